"""In which order tasks come, what an epoch leaves out, and that a position is enough to go on."""

from __future__ import annotations

import json

import pytest

from trainers.task_order import TaskOrder, distinct_names

NAMES = ["a", "b", "c", "d", "e"]


def walk(order: TaskOrder, count: int, *leave_out: str) -> list[str]:
    return [NAMES[order.next(leave_out)] for _ in range(count)]


def test_every_epoch_brings_every_task_once_in_its_own_order() -> None:
    order = TaskOrder(NAMES, seed=0)
    first, second = walk(order, 5), walk(order, 5)
    assert sorted(first) == sorted(second) == NAMES
    assert first != second
    assert order.epochs == 2.0
    assert order.position == {"drawn": 10}


def test_what_is_left_out_goes_with_the_next_epoch_not_at_once() -> None:
    order, whole = TaskOrder(NAMES, seed=0), TaskOrder(NAMES, seed=0)
    walk(order, 2), walk(whole, 2)
    assert walk(order, 3, "a", "b") == walk(whole, 3)
    second = walk(order, 3, "a", "b")
    assert second == [name for name in walk(whole, 5) if name not in ("a", "b")]
    assert order.epochs == 2.0
    assert order.drawn == 8


def test_an_epoch_is_never_empty() -> None:
    order = TaskOrder(NAMES, seed=0)
    walk(order, 5)
    assert sorted(walk(order, 5, *NAMES)) == NAMES


@pytest.mark.parametrize("stop_after", range(14))
def test_a_position_is_enough_to_go_on(stop_after: int) -> None:
    """Also at the end of an epoch: the next one has not begun, and leaves out what is solved by then."""
    leave_out = {number: NAMES[: number // 4] for number in range(20)}
    whole, begun, resumed = (TaskOrder(NAMES, seed=1) for _ in range(3))
    wanted = [whole.next(leave_out[number]) for number in range(20)]
    found = [begun.next(leave_out[number]) for number in range(stop_after)]
    resumed.restore(json.loads(json.dumps(begun.position)))
    found += [resumed.next(leave_out[number]) for number in range(stop_after, 20)]
    assert found == wanted
    assert resumed.position == whole.position
    assert resumed.epochs == whole.epochs


def test_recordings_of_one_task_have_names_of_their_own() -> None:
    assert distinct_names(["a", "b", "a", "a"]) == ["a", "b", "a#2", "a#3"]
