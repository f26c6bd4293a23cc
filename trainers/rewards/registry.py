"""Rewards by name: what `reward` in a recipe, `--reward` or `gui-agent score` chooses.

task
task:format_penalty=0,progress_weight=0.5
process:outcome=1,progress=0.5,no_op=-0.1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gui_agent.errors import ConfigError
from gui_agent.matching import get_matcher
from gui_agent.named_options import NamedOptions, build_options, suggestion
from trainers.config import Compat
from trainers.rewards.base import RewardFn
from trainers.rewards.fathom import FathomReward
from trainers.rewards.process import process_reward
from trainers.rewards.srgpo import SrgpoReward
from trainers.rewards.task import TaskReward
from trainers.rewards.ui_s1 import UiS1Reward

_KIND: Final = "reward"
Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardEntry:
    """A reward that can be chosen by name.

    Attributes:
        build: makes it from the options written after its name.
        summary: what it pays for, in one line.
        source: the paper, and what is ours.
    """

    build: Callable[[Options], RewardFn]
    summary: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UiS1Options:
    """Options of `ui_s1`, see `UiS1Reward`."""

    compat: Compat = Compat.PAPER
    matcher: str | None = None
    annotations: bool = False


def _ui_s1(options: Options) -> RewardFn:
    chosen = build_options(UiS1Options, options, kind=_KIND, name="ui_s1")
    return UiS1Reward(
        compat=chosen.compat,
        matcher=None if chosen.matcher is None else get_matcher(chosen.matcher),
        annotations=chosen.annotations,
    )


REWARDS: Final[dict[str, RewardEntry]] = {
    "ui_s1": RewardEntry(
        build=_ui_s1,
        summary="form, type and exact action of each step, compared with the expert's",
        source="UI-S1, arXiv:2509.11543, eq. 8",
    ),
    "ui_s1_release": RewardEntry(
        build=lambda options: _ui_s1({"compat": Compat.RELEASE, **options}),
        summary="the same by the formula of the released code",
        source="release of UI-S1",
    ),
    "task": RewardEntry(
        build=lambda options: build_options(TaskReward, options, kind=_KIND, name="task"),
        summary="1 at the end of a success, -0.1 for each response of the wrong form",
        source="outcome reward of GRPO and GiGPO; the size of the penalty is ours",
    ),
    "task_progress": RewardEntry(
        build=lambda options: build_options(
            TaskReward, {"progress_weight": 1.0, **options}, kind=_KIND, name="task_progress"
        ),
        summary="the same, and the progress of the task that each step made",
        source="ours",
    ),
    "srgpo_vpr": RewardEntry(
        build=lambda options: build_options(SrgpoReward, options, kind=_KIND, name="srgpo_vpr"),
        summary="1 for each step that made progress, minus penalties; episodes by their outcome",
        source="SRGPO, arXiv:2512.02631; progress for distance is ours",
    ),
    "fathom": RewardEntry(
        build=lambda options: build_options(FathomReward, options, kind=_KIND, name="fathom"),
        summary="at the end: success, less the more steps were redundant",
        source="Fathom, arXiv:2509.24107; rules in place of the judge are ours",
    ),
    "process": RewardEntry(
        build=process_reward,
        summary="any parts, with weights: process:outcome=1,progress=0.5,no_op=-0.1",
        source="each part has its own",
    ),
}


def get_reward(name: str, *, compat: Compat = Compat.PAPER) -> RewardFn:
    """The reward of that name, which may carry options after a colon.

    Args:
        name: with or without options.
        compat: the reading of UI-S1 that `ui_s1` takes if its options name none.

    Raises:
        ConfigError: no reward has that name, it has no such option or part, or a value is impossible.
    """
    chosen = NamedOptions.parse(name, kind=_KIND)
    entry = REWARDS.get(chosen.name)
    if entry is None:
        raise ConfigError(f"unknown {_KIND} {chosen.name!r}; {suggestion(chosen.name, REWARDS)}")
    options = {"compat": compat, **chosen.options} if chosen.name == "ui_s1" else chosen.options
    return entry.build(options)
