"""Which role learns in which update, where an agent has a planner and an actor.

    simultaneous                        both, in every update
    alternating:planner=1,actor=1       so many updates of one, then of the other, and again
    staged:actor_updates=50             the actor first; the planner after that, the actor frozen
    planner_only                        the actor is frozen
    actor_only                          the planner is frozen

A schedule is a function of the number of the update, so that a resumed run goes on with the role whose
turn it is. The role that does not learn is sampled once at each state, because the episode needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from gui_agent.errors import ConfigError
from gui_agent.named_options import NamedOptions, build_options, suggestion
from gui_agent.policy import AgentRole

_KIND: Final = "schedule"
_PLANNER: Final = frozenset({AgentRole.PLANNER})
_ACTOR: Final = frozenset({AgentRole.ACTOR})
BOTH_ROLES: Final = _PLANNER | _ACTOR


class Schedule(Protocol):
    """Says who learns."""

    def roles(self, update: int) -> frozenset[AgentRole]:
        """The roles whose rows are trained in an update, counted from 0; never empty."""
        ...

    @property
    def frozen(self) -> frozenset[AgentRole]:
        """Roles that never learn."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NoOptions:
    """A schedule without a choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlternatingOptions:
    """Lengths of the turns.

    Attributes:
        planner: updates of the planner, which begins.
        actor: updates of the actor after that.
    """

    planner: int = 1
    actor: int = 1

    def __post_init__(self) -> None:
        for name in ("planner", "actor"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"alternating.{name} is {getattr(self, name)}; expected 1 or more updates (planner_only "
                    "and actor_only leave one role out)"
                )


class Then(StrEnum):
    """Who learns after the first stage."""

    PLANNER = "planner"
    BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedOptions:
    """The stages.

    Attributes:
        actor_updates: updates of the actor alone, at the beginning.
        then: who learns in all later updates.
    """

    actor_updates: int = 50
    then: Then = Then.PLANNER

    def __post_init__(self) -> None:
        if self.actor_updates < 0:
            raise ConfigError(f"staged.actor_updates is {self.actor_updates}; expected 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """The same roles in every update."""

    learning: frozenset[AgentRole]

    def roles(self, update: int) -> frozenset[AgentRole]:
        """See `Schedule`."""
        return self.learning

    @property
    def frozen(self) -> frozenset[AgentRole]:
        """See `Schedule`."""
        return BOTH_ROLES - self.learning


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternating:
    """Turns of fixed length, the planner's first."""

    options: AlternatingOptions

    def roles(self, update: int) -> frozenset[AgentRole]:
        """See `Schedule`."""
        place = update % (self.options.planner + self.options.actor)
        return _PLANNER if place < self.options.planner else _ACTOR

    @property
    def frozen(self) -> frozenset[AgentRole]:
        """See `Schedule`."""
        return frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """The actor first, as CES (arXiv:2511.22235) trains its coordinator on a finished executor."""

    options: StagedOptions

    def roles(self, update: int) -> frozenset[AgentRole]:
        """See `Schedule`."""
        if update < self.options.actor_updates:
            return _ACTOR
        return _PLANNER if self.options.then is Then.PLANNER else BOTH_ROLES

    @property
    def frozen(self) -> frozenset[AgentRole]:
        """See `Schedule`."""
        return frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    options: type
    build: Callable[[Any], Schedule]


SCHEDULES: Final[dict[str, _Entry]] = {
    "simultaneous": _Entry(options=NoOptions, build=lambda _: Fixed(learning=BOTH_ROLES)),
    "alternating": _Entry(options=AlternatingOptions, build=lambda options: Alternating(options=options)),
    "staged": _Entry(options=StagedOptions, build=lambda options: Staged(options=options)),
    "planner_only": _Entry(options=NoOptions, build=lambda _: Fixed(learning=_PLANNER)),
    "actor_only": _Entry(options=NoOptions, build=lambda _: Fixed(learning=_ACTOR)),
}


def get_schedule(text: str) -> Schedule:
    """The schedule that a recipe or a flag names, options after a colon.

    Raises:
        ConfigError: there is no such schedule or option, or a number is out of range.
    """
    chosen = NamedOptions.parse(text, kind=_KIND)
    entry = SCHEDULES.get(chosen.name)
    if entry is None:
        raise ConfigError(f"unknown {_KIND} {chosen.name!r}; {suggestion(chosen.name, SCHEDULES)}")
    return entry.build(build_options(entry.options, chosen.options, kind=_KIND, name=chosen.name))
