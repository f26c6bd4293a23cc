"""What an eager batcher waits for, in a time that passes only when everybody sleeps."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gui_agent.policies.batcher import Batcher, LockStep
from gui_agent.policies.patience import best_wait_s, expected_in_s


class VirtualSelector(selectors.DefaultSelector):
    """Instead of waiting for files until something is due, the clock is put forward."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(0)
        assert found or timeout is not None, "everybody waits for ever"
        if not found and timeout:
            self.now_s += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = VirtualSelector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now_s


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work())


@dataclass(frozen=True, kw_only=True)
class Request:
    order: str
    num_rows: int = 1


@dataclass
class Model:
    """Takes `call_s` for any batch; remembers when it was asked for what."""

    call_s: float = 1.0
    calls: list[tuple[float, str]] = field(default_factory=list)
    lock_step: LockStep = field(default_factory=LockStep)

    def batcher(self, *, max_rows: int = 100) -> Batcher[Request, str]:
        return Batcher(self._serve, deterministic=False, max_rows=max_rows, lock_step=self.lock_step)

    async def _serve(self, requests: Sequence[Request]) -> Sequence[str]:
        words = "".join(sorted(request.order for request in requests))
        self.calls.append((round(asyncio.get_running_loop().time(), 6), words))
        await asyncio.sleep(self.call_s)
        return [request.order for request in requests]

    @property
    def batches(self) -> list[str]:
        return [words for _, words in self.calls]


async def device(batcher: Batcher[Request, str], name: str, *pauses_s: float) -> None:
    async with batcher.lock_step.participant():
        for pause_s in pauses_s:
            await asyncio.sleep(pause_s)
            await batcher.submit(Request(order=name))


def test_quick_devices_come_along_and_nobody_waits_when_all_have_asked() -> None:
    async def work() -> None:
        model = Model()
        batcher = model.batcher()
        await asyncio.gather(*(device(batcher, name, *[0.1] * 6) for name in "abcd"))
        # Without waiting "bcd" would wait for "a", and then always two for two.
        assert model.batches == ["abcd"] * 6
        assert [when for when, _ in model.calls] == [pytest.approx(0.1 + 1.1 * turn) for turn in range(6)]

    run(work)


def test_two_halves_become_one_batch() -> None:
    async def work() -> None:
        model = Model()
        batcher = model.batcher()
        pauses = {"a": 0.1, "b": 0.1, "c": 0.6, "d": 0.6}  # c and d ask while a and b are served
        await asyncio.gather(*(device(batcher, name, first, *[0.1] * 5) for name, first in pauses.items()))
        assert model.batches[:2] == ["ab", "cd"]  # nothing is known of them yet
        assert model.batches[-2:] == ["abcd", "abcd"]

    run(work)


def test_devices_that_take_as_long_as_the_model_are_not_waited_for() -> None:
    async def work() -> None:
        model = Model()
        batcher = model.batcher()
        pauses = {"a": 0.1, "b": 0.1, "c": 1.0, "d": 1.0}
        await asyncio.gather(*(device(batcher, name, first, *[1.0] * 5) for name, first in pauses.items()))
        assert model.batches == ["ab", "cd"] * 6
        assert model.calls[-1][0] == pytest.approx(0.1 + 11 * model.call_s)  # the model was never idle

    run(work)


def test_a_device_that_hangs_is_waited_for_until_it_is_late() -> None:
    async def work() -> None:
        model = Model()
        batcher = model.batcher()
        hangs = device(batcher, "z", *[0.1] * 4, 1000.0)
        await asyncio.gather(hangs, *(device(batcher, name, *[0.1] * 50) for name in "abc"))
        assert model.batches[:4] == ["abcz"] * 4
        alone = [when for when, words in model.calls if words == "abc"]
        assert len(alone) == 46
        gaps = [later - earlier for earlier, later in pairwise(alone)]
        assert max(gaps) == pytest.approx(1.1)  # the pause and the call; nothing for z

    run(work)


@pytest.mark.parametrize(("usual_s", "batches"), [(0.45, ["abcdefgh"]), (0.55, ["a", "bcdefgh"])])
def test_nobody_is_waited_for_longer_than_half_a_call(usual_s: float, batches: list[str]) -> None:
    async def work() -> None:
        model = Model()
        batcher = model.batcher()
        first = device(batcher, "a", *[usual_s] * 5, 0.01)
        await asyncio.gather(first, *(device(batcher, name, *[usual_s] * 6) for name in "bcdefgh"))
        assert model.batches == ["abcdefgh"] * 5 + batches

    run(work)


def test_a_full_batch_waits_for_nobody() -> None:
    async def work() -> None:
        model = Model()
        batcher = model.batcher(max_rows=2)
        await asyncio.gather(*(device(batcher, name, *[0.1] * 6) for name in "abcd"))
        assert {len(words) for words in model.batches} == {2}
        for (earlier, _), (later, _) in pairwise(model.calls[2:]):
            assert later == pytest.approx(earlier + model.call_s)  # the model was never idle

    run(work)


async def guest(batcher: Batcher[Request, str], name: str, *pauses_s: float) -> None:
    for pause_s in pauses_s:
        await asyncio.sleep(pause_s)
        await batcher.submit(Request(order=name), guest=name)


def test_guests_come_along_as_devices_do() -> None:
    async def work() -> None:
        model = Model()
        batcher = model.batcher()
        pauses = {"a": 0.1, "b": 0.1, "c": 0.6, "d": 0.6}
        await asyncio.gather(*(guest(batcher, name, first, *[0.1] * 5) for name, first in pauses.items()))
        assert model.batches[:2] == ["ab", "cd"]
        assert model.batches[-2:] == ["abcd", "abcd"]

    run(work)


def test_a_guest_that_is_gone_is_waited_for_until_it_is_late() -> None:
    async def work() -> None:
        model = Model()
        batcher = model.batcher()
        await asyncio.gather(
            guest(batcher, "z", *[0.1] * 4), *(guest(batcher, n, *[0.1] * 50) for n in "abc")
        )
        alone = [when for when, words in model.calls if words == "abc"]
        assert len(alone) == 46
        gaps = [later - earlier for earlier, later in pairwise(alone)]
        assert max(gaps) == pytest.approx(1.1)

    run(work)


def test_of_many_guests_the_first_are_forgotten() -> None:
    async def work() -> None:
        batcher = Model(call_s=0.0).batcher()
        await guest(batcher, "often", 0.0, 100.0)
        for number in range(300):
            await guest(batcher, str(number), 0.01)
        assert len(batcher.lock_step.expected_s()) == 256

    run(work)


def test_strangers_are_served_at_once() -> None:
    """Who asks without taking part and without a name is nobody's expectation."""

    async def work() -> None:
        model = Model()
        batcher = model.batcher()

        async def stranger(name: str, pause_s: float) -> None:
            for _ in range(5):
                await asyncio.sleep(pause_s)
                await batcher.submit(Request(order=name))

        await asyncio.gather(stranger("a", 0.1), stranger("b", 0.2))
        assert set(model.batches) == {"a", "b"}

    run(work)


def test_who_gives_up_while_others_are_waited_for_leaves_nothing_behind() -> None:
    async def work() -> None:
        model = Model()
        batcher = model.batcher()
        await asyncio.gather(*(device(batcher, name, *[0.3] * 3) for name in "ab"))
        model.calls.clear()
        impatient = asyncio.create_task(device(batcher, "c", 0.0))
        expected = asyncio.create_task(device(batcher, "d", 0.3))
        await asyncio.sleep(0.1)
        assert model.calls == []  # c waits for d
        impatient.cancel()
        await expected
        assert model.batches == ["d"]

    run(work)


def test_the_worked_examples() -> None:
    assert best_wait_s(2, [0.1, 0.2], call_s=1.0, limit_s=0.5) == 0.2
    assert best_wait_s(2, [0.1, 0.2], call_s=1.0, limit_s=0.15) == 0.1
    assert best_wait_s(2, [0.9, 0.9], call_s=1.0, limit_s=1.0) == 0.0
    assert best_wait_s(2, [], call_s=1.0, limit_s=0.5) == 0.0
    assert best_wait_s(1, [0.1], call_s=0.0, limit_s=0.0) == 0.0
    assert expected_in_s([0.1, 0.2, 0.4], 0.15) == pytest.approx(0.25)
    assert expected_in_s([0.1, 0.2, 0.4], 0.4) is None
    assert expected_in_s([], 0.0) is None


TIMES = st.lists(st.integers(0, 40).map(lambda number: number / 10), max_size=6)


@given(num_waiting=st.integers(1, 6), expected_s=TIMES, call_s=st.integers(1, 20), limit_s=st.integers(0, 20))
def test_no_other_wait_makes_all_together_wait_less(
    num_waiting: int, expected_s: list[float], call_s: float, limit_s: float
) -> None:
    """Against the definition, one participant at a time."""

    def lost_s(wait_s: float) -> float:
        lost = num_waiting * wait_s
        for arrives_s in expected_s:
            if arrives_s <= wait_s:
                lost += wait_s - arrives_s
            elif arrives_s < wait_s + call_s:
                lost += wait_s + call_s - arrives_s
        return lost

    chosen_s = best_wait_s(num_waiting, expected_s, call_s=call_s, limit_s=limit_s)
    assert 0 <= chosen_s <= limit_s
    for wait_s in (0.0, *expected_s):
        if wait_s <= limit_s:
            assert lost_s(chosen_s) <= lost_s(wait_s) + 1e-9
