"""Rewards by name: what `reward` in a recipe, `--reward` or `gui-agent score` chooses.

task
task:format_penalty=0,progress_weight=0.5
process:outcome=1,progress=0.5,no_op=-0.1
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from gui_agent.errors import ConfigError
from gui_agent.matching import get_matcher
from gui_agent.named_options import NamedOptions, build_options, suggestion
from trainers.choices import Compat
from trainers.rewards.base import RewardFn
from trainers.rewards.fathom import FathomReward
from trainers.rewards.process import ProcessOptions, process_reward
from trainers.rewards.srgpo import SrgpoReward
from trainers.rewards.task import TaskReward
from trainers.rewards.ui_s1 import UiS1Reward

_KIND: Final = "reward"


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardEntry:
    """A reward that can be chosen by name.

    Attributes:
        defaults: a dataclass with its options as they are where nothing is written.
        build: makes it from such options; None where the options are the reward.
        summary: what it pays for, in one line.
        source: the paper, and what is ours.
    """

    defaults: Any
    build: Callable[[Any], RewardFn] | None = None
    summary: str
    source: str

    def reward(self, name: str, options: Mapping[str, Any]) -> RewardFn:
        """The reward with the options written after its name.

        Raises:
            ConfigError: there is no such option, or a value is impossible.
        """
        for key, value in options.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{name}.{key} is {value}; expected a finite number")
        given = {each.name: getattr(self.defaults, each.name) for each in fields(self.defaults)}
        chosen = build_options(type(self.defaults), {**given, **options}, kind=_KIND, name=name)
        made: RewardFn = chosen if self.build is None else self.build(chosen)
        return made


class _ProcessEntry(RewardEntry):
    """`process`: among its options stand the weights of its parts."""

    __slots__ = ()

    def reward(self, name: str, options: Mapping[str, Any]) -> RewardFn:
        return process_reward(options)


@dataclass(frozen=True, slots=True, kw_only=True)
class UiS1Options:
    """Options of `ui_s1`, see `UiS1Reward`.

    Attributes:
        compat: the paper's equation 8, or the formula of the release.
        matcher: compare with the expert again by the rules of this matcher; none takes the recorded match.
        annotations: the data say which steps of the expert are worth imitating (release only).
    """

    compat: Compat = Compat.PAPER
    matcher: str | None = None
    annotations: bool = False


def _ui_s1(options: UiS1Options) -> RewardFn:
    return UiS1Reward(
        compat=options.compat,
        matcher=None if options.matcher is None else get_matcher(options.matcher),
        annotations=options.annotations,
    )


REWARDS: Final[dict[str, RewardEntry]] = {
    "ui_s1": RewardEntry(
        defaults=UiS1Options(),
        build=_ui_s1,
        summary="form, type and exact action of each step, compared with the expert's",
        source="UI-S1, arXiv:2509.11543, eq. 8",
    ),
    "ui_s1_release": RewardEntry(
        defaults=UiS1Options(compat=Compat.RELEASE),
        build=_ui_s1,
        summary="the same by the formula of the released code",
        source="release of UI-S1",
    ),
    "task": RewardEntry(
        defaults=TaskReward(),
        summary="1 at the end of a success, -0.1 for each response of the wrong form",
        source="outcome reward of GRPO and GiGPO; the size of the penalty is ours",
    ),
    "task_progress": RewardEntry(
        defaults=TaskReward(progress_weight=1.0),
        summary="the same, and the progress of the task that each step made",
        source="ours",
    ),
    "srgpo_vpr": RewardEntry(
        defaults=SrgpoReward(),
        summary="1 for each step that made progress, minus penalties; episodes by their outcome",
        source="SRGPO, arXiv:2512.02631; progress for distance is ours",
    ),
    "fathom": RewardEntry(
        defaults=FathomReward(),
        summary="at the end: success, less the more steps were redundant",
        source="Fathom, arXiv:2509.24107; rules in place of the judge are ours",
    ),
    "process": _ProcessEntry(
        defaults=ProcessOptions(),
        summary="a sum of parts, whose weights stand among its options",
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
    reading = {"compat": compat} if chosen.name == "ui_s1" else {}
    return entry.reward(chosen.name, {**reading, **chosen.options})
