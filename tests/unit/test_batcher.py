from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from gui_agent.errors import ConfigError, PolicyError
from gui_agent.policies.batcher import Batcher, LockStep


@dataclass(frozen=True, kw_only=True)
class Request:
    order: str
    num_rows: int = 1


class Model:
    """Answers with the key; remembers its batches; waits for `gate` if there is one."""

    def __init__(self) -> None:
        self.batches: list[str] = []
        self.gate: asyncio.Event | None = None
        self.broken = False

    async def serve(self, requests: Sequence[Request]) -> Sequence[str]:
        self.batches.append("".join(request.order for request in requests))
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise PolicyError("out of memory")
        return [request.order for request in requests]

    def batcher(self, *, deterministic: bool = True, max_rows: int = 100) -> Batcher[Request, str]:
        return Batcher(self.serve, deterministic=deterministic, max_rows=max_rows)


async def test_lock_step_waits_for_every_participant_and_sorts() -> None:
    model = Model()
    batcher = model.batcher()
    late = asyncio.Event()

    async def episode(name: str, *, wait: bool) -> None:
        async with batcher.lock_step.participant():
            if wait:
                await late.wait()
            for step in range(2):
                key = f"{step}{name}"
                assert await batcher.submit(Request(order=key)) == key

    running = [asyncio.create_task(episode(name, wait=name == "c")) for name in "bca"]
    for _ in range(20):
        await asyncio.sleep(0)
    assert model.batches == []
    late.set()
    await asyncio.gather(*running)
    assert model.batches == ["0a0b0c", "1a1b1c"]


async def test_an_episode_that_ends_or_breaks_releases_the_others() -> None:
    model = Model()
    batcher = model.batcher()

    async def short() -> None:
        async with batcher.lock_step.participant():
            await batcher.submit(Request(order="a"))
            raise RuntimeError("the device broke")

    async def long() -> None:
        async with batcher.lock_step.participant():
            for step in "bcd":
                await batcher.submit(Request(order=step))

    results = await asyncio.gather(short(), long(), return_exceptions=True)
    assert isinstance(results[0], RuntimeError)
    assert model.batches == ["ab", "c", "d"]


async def test_several_requests_of_one_participant_go_together() -> None:
    model = Model()
    batcher = model.batcher()
    async with batcher.lock_step.participant():
        answers = await asyncio.gather(*(batcher.submit(Request(order=key)) for key in "cab"))
    assert answers == ["c", "a", "b"]
    assert model.batches == ["abc"]


async def test_without_participants_requests_are_served_at_once() -> None:
    model = Model()
    assert await asyncio.wait_for(model.batcher().submit(Request(order="x")), timeout=5) == "x"


async def test_lock_step_waits_for_no_guest() -> None:
    model = Model()
    batcher = model.batcher()
    for name in "xy":
        await asyncio.wait_for(batcher.submit(Request(order=name), guest=name), timeout=5)
    assert model.batches == ["x", "y"]


async def test_eager_mode_serves_what_waits_when_the_model_is_free() -> None:
    model = Model()
    model.gate = asyncio.Event()
    batcher = model.batcher(deterministic=False)
    idle = batcher.lock_step.participant()
    await idle.__aenter__()  # never asks, and holds up nobody
    first = asyncio.create_task(batcher.submit(Request(order="z")))
    for _ in range(20):
        await asyncio.sleep(0)
    assert model.batches == ["z"]
    others = [asyncio.create_task(batcher.submit(Request(order=key))) for key in "ba"]
    await asyncio.sleep(0)
    model.gate.set()
    assert await asyncio.gather(first, *others) == ["z", "b", "a"]
    assert model.batches == ["z", "ba"]
    await idle.__aexit__(None, None, None)


async def test_batches_are_bounded_by_rows() -> None:
    model = Model()
    batcher = model.batcher(max_rows=4)
    sizes = {"a": 2, "b": 2, "c": 1, "d": 9, "e": 1}
    requests = [Request(order=key, num_rows=rows) for key, rows in sizes.items()]
    await asyncio.gather(*(batcher.submit(request) for request in requests))
    assert model.batches == ["ab", "c", "d", "e"]
    assert (batcher.num_batches, batcher.num_requests) == (4, 5)
    with pytest.raises(ConfigError):
        model.batcher(max_rows=0)


async def test_a_failure_reaches_those_who_asked_and_the_next_batch_works() -> None:
    model = Model()
    batcher = model.batcher()
    model.broken = True
    results = await asyncio.gather(
        *(batcher.submit(Request(order=key)) for key in "ab"), return_exceptions=True
    )
    assert [type(result) for result in results] == [PolicyError, PolicyError]
    model.broken = False
    assert await batcher.submit(Request(order="c")) == "c"


async def test_a_cancelled_request_is_not_served_and_blocks_nobody() -> None:
    model = Model()
    batcher = model.batcher()
    other_speaks = asyncio.Event()

    async def impatient() -> None:
        async with batcher.lock_step.participant():
            await batcher.submit(Request(order="a"))

    async def other() -> None:
        async with batcher.lock_step.participant():
            await other_speaks.wait()
            await batcher.submit(Request(order="b"))

    first, second = asyncio.create_task(impatient()), asyncio.create_task(other())
    for _ in range(10):
        await asyncio.sleep(0)
    first.cancel()
    other_speaks.set()
    await second
    assert first.cancelled()
    assert model.batches == ["b"]


async def test_two_models_asked_by_the_same_episodes_do_not_wait_for_each_other() -> None:
    planner, actor, lock_step = Model(), Model(), LockStep()
    plan = Batcher[Request, str](planner.serve, deterministic=True, max_rows=9, lock_step=lock_step)
    act = Batcher[Request, str](actor.serve, deterministic=True, max_rows=9, lock_step=lock_step)

    async def episode(name: str, *, skip_first_plan: bool) -> None:
        async with lock_step.participant():
            for step in range(3):
                if step or not skip_first_plan:
                    await plan.submit(Request(order=f"{name}{step}"))
                await act.submit(Request(order=f"{name}{step}"))

    episodes = (episode("x", skip_first_plan=False), episode("y", skip_first_plan=True))
    await asyncio.wait_for(asyncio.gather(*episodes), timeout=5)
    assert planner.batches == ["x0", "y1", "x1", "y2", "x2"]
    assert actor.batches == ["y0", "x0", "y1", "x1", "y2", "x2"]
