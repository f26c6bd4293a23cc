"""Advantage estimators by name: what `algorithm` in a recipe or `--algorithm` chooses.

    gigpo
    srgpo:cluster_size=16,within=group

Every entry says which paper it follows, what it needs and when to use it. Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from gui_agent.errors import ConfigError
from gui_agent.named_options import NamedOptions, build_options, suggestion
from trainers.advantages import (
    AdvantageEstimator,
    AnchorOptions,
    GigpoOptions,
    GrpoOptions,
    ReinforcePpOptions,
    RlooOptions,
    SaltOptions,
    SrgpoOptions,
    UiS1OfflineOptions,
    UiS1Options,
)
from trainers.advantages.foresight import ForesightOptions
from trainers.choices import Compat
from trainers.rl_config import RLConfig

_KIND: Final = "algorithm"


class Need(StrEnum):
    """What a method cannot do without."""

    GROUP = "group of 2 or more"
    """Sibling episodes of one task, `num_generations` of them."""
    RECORDING = "recorded expert"
    """Equal step numbers are equal states, as in the replay of a recording."""
    STATE_KEYS = "state keys"
    """Something that tells which states are equal."""
    NEXT_STATE_KEYS = "next-state keys"
    """Which state a step led to."""
    STEP_REWARD = "step reward"
    """A reward that judges every step, not the outcome alone."""
    HIERARCHY = "planner and actor"
    """A hierarchical agent: subgoals to compare."""


class AlgorithmOptions(Protocol):
    """A frozen dataclass of options; its defaults are the published setting."""

    def build(self, compat: Compat) -> AdvantageEstimator:
        """The estimator under these options."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """Where a method comes from."""

    title: str
    arxiv: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmEntry:
    """What is known of an algorithm.

    Attributes:
        options: its dataclass of options, which builds it.
        summary: what it compares, in one line.
        paper: where it comes from.
        needs: what it cannot do without.
        use: when to choose it.
        filter_std: deviation that a group must exceed, where the setting of that name says nothing.
    """

    options: type[AlgorithmOptions]
    summary: str
    paper: Paper
    needs: tuple[Need, ...]
    use: str
    filter_std: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """An entry with its options chosen.

    Attributes:
        name: in `ALGORITHMS`.
        entry: what is known of it.
        options: as chosen.
        estimator: built from them.
    """

    name: str
    entry: AlgorithmEntry
    options: AlgorithmOptions
    estimator: AdvantageEstimator

    @property
    def anchors(self) -> AnchorOptions | None:
        """What makes two states the same; None if it compares no states."""
        return self.options if isinstance(self.options, AnchorOptions) else None

    @property
    def needs_elements(self) -> bool:
        """Whether the widgets of every screen must be recorded."""
        return self.anchors is not None and self.anchors.anchor.needs_elements


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorSettings:
    """Settings with flags of their own, beside the options in an algorithm's name.

    Attributes:
        gamma: discount; None leaves the option of that name.
        step_weight: omega; None leaves the option of that name.
        compat: `release` reproduces the methods' released code.
    """

    gamma: float | None = None
    step_weight: float | None = None
    compat: Compat = Compat.PAPER


_UI_S1 = Paper(
    title="UI-S1: Advancing GUI Automation via Semi-online Reinforcement Learning", arxiv="2509.11543"
)

ALGORITHMS: Final[dict[str, AlgorithmEntry]] = {
    "ui_s1": AlgorithmEntry(
        options=UiS1Options,
        summary="last rewards of rollouts, and returns at equal steps of a recording",
        paper=_UI_S1,
        needs=(Need.GROUP, Need.RECORDING),
        use="semi-online RL on recorded trajectories; the default there",
    ),
    "ui_s1_offline": AlgorithmEntry(
        options=UiS1OfflineOptions,
        summary="rewards at equal steps of a recording, without returns",
        paper=_UI_S1,
        needs=(Need.GROUP, Need.RECORDING, Need.STEP_REWARD),
        use="with single_step: offline RL, the baseline of UI-S1",
    ),
    "grpo": AlgorithmEntry(
        options=GrpoOptions,
        summary="sums of rewards of sibling episodes",
        paper=Paper(
            title="DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models",
            arxiv="2402.03300",
        ),
        needs=(Need.GROUP,),
        use="the baseline without step-level credit; short episodes",
    ),
    "rloo": AlgorithmEntry(
        options=RlooOptions,
        summary="sums of rewards of an episode and of its siblings without it",
        paper=Paper(
            title="Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human Feedback "
            "in LLMs",
            arxiv="2402.14740",
        ),
        needs=(Need.GROUP,),
        use="as grpo, where dividing by the deviation of small groups is too noisy",
    ),
    "reinforce_pp": AlgorithmEntry(
        options=ReinforcePpOptions,
        summary="sums of rewards of all episodes of the batch",
        paper=Paper(
            title="REINFORCE++: Stabilizing Critic-Free Policy Optimization with Global Advantage "
            "Normalization",
            arxiv="2501.03262",
        ),
        needs=(),
        use="many tasks with few episodes each; filter_std=-1 keeps groups without any spread",
    ),
    "gigpo": AlgorithmEntry(
        options=GigpoOptions,
        summary="sums of rewards, and returns in equal states",
        paper=Paper(title="Group-in-Group Policy Optimization for LLM Agent Training", arxiv="2505.10978"),
        needs=(Need.GROUP, Need.STATE_KEYS),
        use="live episodes that come through the same screens; the default online",
    ),
    "srgpo": AlgorithmEntry(
        options=SrgpoOptions,
        summary="sums of rewards, and step rewards in random clusters",
        paper=Paper(
            title="SeeNav-Agent: Enhancing Vision-Language Navigation with Visual Prompt and Step-Level "
            "Policy Optimization",
            arxiv="2512.02631",
        ),
        needs=(Need.GROUP, Need.STEP_REWARD),
        use="step rewards that mean the same on every screen, where states seldom repeat",
    ),
    "salt": AlgorithmEntry(
        options=SaltOptions,
        summary="sums of rewards, shared among trajectories that made the same step",
        paper=Paper(
            title="SALT: Step-level Advantage Assignment for Long-horizon Agents via Trajectory Graph",
            arxiv="2510.20022",
        ),
        needs=(Need.GROUP, Need.STATE_KEYS, Need.NEXT_STATE_KEYS),
        use="outcome rewards alone, and siblings that share steps before they part",
    ),
    "foresight": AlgorithmEntry(
        options=ForesightOptions,
        summary="subgoals at one state by what the actor then achieves, and actions under one subgoal",
        paper=Paper(
            title="Hi-Agent: Hierarchical Vision-Language Agents for Mobile Device Control",
            arxiv="2510.14388",
        ),
        needs=(Need.GROUP, Need.HIERARCHY),
        use="joint training of planner and actor; live, on devices that can be restored",
        filter_std=0.0,  # where one of many is right a group deviates by less than 0.3, and is worth most
    ),
}

_OTHER_SPELLINGS: Final = {"uis1": "ui_s1", "uis1_offline": "ui_s1_offline", "reinforce++": "reinforce_pp"}


def get_algorithm(text: str, settings: EstimatorSettings | None = None) -> Algorithm:
    """The algorithm of that name, with the options after its colon.

    A setting with a flag of its own goes before the published value; one that the algorithm does not know
    is warned of.

    Args:
        text: "gigpo", or with options: "srgpo:cluster_size=16,within=group".
        settings: given beside the name.

    Raises:
        ConfigError: there is no such algorithm or option, a value is impossible, or flag and option say
            different things.
    """
    settings = settings or EstimatorSettings()
    chosen = NamedOptions.parse(text, kind=_KIND)
    chosen = dataclasses.replace(chosen, name=_OTHER_SPELLINGS.get(chosen.name, chosen.name))
    entry = ALGORITHMS.get(chosen.name)
    if entry is None:
        raise ConfigError(f"unknown {_KIND} {chosen.name!r}; {suggestion(chosen.name, ALGORITHMS)}")
    given = {**chosen.options, **_flags(chosen, entry, settings)}
    for key, value in given.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{chosen.name}.{key} is {value}; expected a finite number")
    options = build_options(entry.options, given, kind=_KIND, name=chosen.name)
    return Algorithm(name=chosen.name, entry=entry, options=options, estimator=options.build(settings.compat))


def configured_algorithm(config: RLConfig) -> Algorithm:
    """The algorithm that a training names, see `get_algorithm`."""
    return get_algorithm(
        config.algorithm,
        EstimatorSettings(gamma=config.gamma, step_weight=config.step_weight, compat=config.compat),
    )


def min_group_std(config: RLConfig) -> float:
    """What `filter_std` of a training comes to."""
    given = config.filter_std
    return get_algorithm(config.algorithm).entry.filter_std if given is None else given


def get_estimator(text: str, settings: EstimatorSettings | None = None) -> AdvantageEstimator:
    """The estimator of the algorithm of that name, see `get_algorithm`."""
    return get_algorithm(text, settings).estimator


def _flags(chosen: NamedOptions, entry: AlgorithmEntry, settings: EstimatorSettings) -> dict[str, Any]:
    """The settings that are options of the algorithm, by name."""
    known = {field.name for field in dataclasses.fields(entry.options)}  # type: ignore[arg-type]
    flags: dict[str, Any] = {}
    for name in ("gamma", "step_weight"):
        wanted = getattr(settings, name)
        if wanted is None:
            continue
        if name not in known:
            warnings.warn(f"{name}={wanted} has no effect on the advantages of {chosen.name!r}", stacklevel=4)
        elif chosen.options.get(name, wanted) != wanted:
            raise ConfigError(
                f"{name} is {wanted}, but the algorithm says {name}={chosen.options[name]}; give one of them"
            )
        else:
            flags[name] = wanted
    return flags
