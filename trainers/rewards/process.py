"""Process rewards: parts by name, with weights.

process:outcome=1,progress=0.5,no_op=-0.1
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gui_agent.errors import ConfigError
from gui_agent.matching import get_matcher
from gui_agent.named_options import build_options, suggestion
from trainers.rewards.base import Need, StepReward
from trainers.rewards.parts import PARTS, Compute, PartSettings
from trajectories.records import Trajectory

_EXAMPLE = "process:outcome=1,progress=0.5,no_op=-0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessReward:
    """The weighted sum of parts; every part is kept in `StepReward.parts`, its weight applied.

    Attributes:
        weights: by the name of the part, see `PARTS`; a part of weight 0 is left out.
        settings: of those parts that have any.
    """

    weights: Mapping[str, float]
    settings: PartSettings = field(default_factory=PartSettings)

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if name not in PARTS:
                raise ConfigError(f"reward 'process' has no part {name!r}; {suggestion(name, sorted(PARTS))}")
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
                raise ConfigError(f"the weight of part {name!r} is {weight!r}; expected a finite number")
        if not self._weighted:
            raise ConfigError(
                f"reward 'process' has no part with a weight, so that every reward would be 0; write for "
                f"instance {_EXAMPLE}; parts are {', '.join(PARTS)}"
            )
        self._computed()  # impossible settings are told now

    @property
    def pays_steps(self) -> bool:
        """Whether one of the parts does."""
        return any(PARTS[name].pays_steps for name in self._weighted)

    @property
    def needs(self) -> frozenset[Need]:
        """What its parts need together."""
        return frozenset().union(*(PARTS[name].needs for name in self._weighted))

    def __call__(self, trajectory: Trajectory) -> list[StepReward]:
        """One reward per step.

        Raises:
            DataError: the episode lacks what a part needs, or has no verdict and a part needs one.
        """
        values = {name: compute(trajectory) for name, compute in self._computed().items()}
        return [
            # Adding 0 turns the -0.0 of a penalty that does not apply into 0.0.
            StepReward.of(**{name: self.weights[name] * values[name][index] + 0.0 for name in values})
            for index in range(len(trajectory.steps))
        ]

    @property
    def _weighted(self) -> list[str]:
        return [name for name, weight in self.weights.items() if weight]

    def _computed(self) -> dict[str, Compute]:
        found = {}
        for name in self._weighted:
            part = PARTS[name]
            found[name] = part.compute if part.configure is None else part.configure(self.settings)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOptions:
    """Options of `process` beside the weights of its parts.

    Attributes:
        matcher: compare with the expert again by the rules of this matcher; none takes the recorded match.
        over_long_share: share of the limit beyond which a response is over-long.
        max_completion_length: the limit of a response in tokens; none takes the one that was recorded.
    """

    matcher: str | None = None
    over_long_share: float = 0.7
    max_completion_length: int | None = None


def process_reward(options: Mapping[str, Any]) -> ProcessReward:
    """From what was written after "process:": weights of parts, and settings of parts.

    Raises:
        ConfigError: a name is neither, or a value is impossible.
    """
    settings = [each.name for each in fields(ProcessOptions)]
    weights = {name: value for name, value in options.items() if name not in settings}
    for name in weights:
        if name not in PARTS:
            known = [*sorted(PARTS), *settings]
            raise ConfigError(f"reward 'process' has no part or setting {name!r}; {suggestion(name, known)}")
    given = {name: value for name, value in options.items() if name in settings}
    written = build_options(ProcessOptions, given, kind="reward", name="process")
    return ProcessReward(
        weights=weights,
        settings=PartSettings(
            matcher=None if written.matcher is None else get_matcher(written.matcher),
            over_long_share=written.over_long_share,
            max_completion_length=written.max_completion_length,
        ),
    )
