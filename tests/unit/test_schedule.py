"""Which role learns when."""

from __future__ import annotations

import pytest

from gui_agent.errors import ConfigError
from gui_agent.policy import AgentRole
from trainers.schedule import get_schedule


def turns(text: str, updates: int = 6) -> str:
    """One letter per update: p, a, or b for both."""
    schedule = get_schedule(text)
    names = {frozenset({AgentRole.PLANNER}): "p", frozenset({AgentRole.ACTOR}): "a"}
    return "".join(names.get(schedule.roles(update), "b") for update in range(updates))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("simultaneous", "bbbbbb"),
        ("alternating", "papapa"),
        ("alternating:planner=2,actor=1", "ppappa"),
        ("alternating:planner=1,actor=3", "paaapa"),
        ("staged:actor_updates=2", "aapppp"),
        ("staged:actor_updates=2,then=both", "aabbbb"),
        ("staged:actor_updates=0", "pppppp"),
        ("planner_only", "pppppp"),
        ("actor_only", "aaaaaa"),
    ],
)
def test_turns_are_a_function_of_the_number_of_the_update(text: str, expected: str) -> None:
    assert turns(text) == expected


def test_only_a_role_that_never_learns_is_frozen() -> None:
    assert get_schedule("planner_only").frozen == {AgentRole.ACTOR}
    assert get_schedule("actor_only").frozen == {AgentRole.PLANNER}
    for text in ("simultaneous", "alternating", "staged"):
        assert not get_schedule(text).frozen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alternate", "did you mean 'alternating'"),
        ("alternating:planners=2", "did you mean 'planner'"),
        ("alternating:actor=0", "alternating.actor is 0; expected 1 or more"),
        ("staged:actor_updates=-1", "0 or more"),
        ("staged:then=actor", "planner, both"),
        ("planner_only:actor=1", "no option 'actor'"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        get_schedule(text)
