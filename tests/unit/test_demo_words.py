"""What a person may do in a demo: what the device does and the agent has words for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gui_agent.actions import Click, Drag, Swipe
from gui_agent.cli.demo import Demo
from gui_agent.demo.commands import Act, Run, Stop
from gui_agent.demo.protocol import ProtocolError
from gui_agent.demo.session import DemoSession
from trajectories.store import TrajectoryStore

DRAG = Drag(x=56, y=179, to_x=56, to_y=67)
SWIPE = Swipe(x=56, y=179, to_x=56, to_y=67)


@asynccontextmanager
async def demo(store: Path, words: frozenset[type] | None) -> AsyncIterator[DemoSession]:
    settings = Demo(task="phone/quickstart:open_app:3", expert=True, store=store, preview_s=0.0)
    async with settings.opened() as opened:
        world = replace(opened.world, words=words)
    async with DemoSession(world, TrajectoryStore.open(store)) as session:
        yield session


async def test_an_action_that_the_agent_cannot_be_told_of_is_refused_before_it_is_performed(
    tmp_path: Path,
) -> None:
    """The agent's history could not hold it, and no training in that format could write it."""
    async with demo(tmp_path / "store", frozenset({Click, Swipe})) as session:
        assert session.hello(1).actions == ("click", "swipe")
        await session.handle(Run(task=session.world.task, takeover=True))
        with pytest.raises(ProtocolError, match=r"'drag' is nothing .*; choose click, swipe"):
            await session.handle(Act(action=DRAG))
        await session.handle(Act(action=SWIPE))
        await session.handle(Stop())
        await session.ended()


async def test_an_expert_needs_no_words(tmp_path: Path) -> None:
    async with demo(tmp_path / "store", None) as session:
        assert {"drag", "double_click", "scroll"} <= set(session.hello(1).actions)
        await session.handle(Act(action=DRAG))
