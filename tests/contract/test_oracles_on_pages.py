"""On real pages, an expert's subgoals taken at their word solve the task: each names one widget."""

from __future__ import annotations

from pathlib import Path

import pytest

from devices.browser import BrowserFactory
from devices.browser.miniwob import miniwob_suite
from eval.oracles import ExpertPlanner, LiteralActor, LiteralFormat
from gui_agent.device import Device
from gui_agent.formats.registry import get_planner_format
from gui_agent.hierarchy import HierarchicalAgent
from gui_agent.policy import SamplingParams
from trajectories.collect import collect_episodes, group_jobs

pytest.importorskip("miniwob")
pytestmark = pytest.mark.browser


def both_oracles(device: Device) -> HierarchicalAgent:
    planner_format, params = get_planner_format("compact"), SamplingParams()
    return HierarchicalAgent(
        ExpertPlanner(device, planner_format),
        LiteralActor(device),
        planner_format,
        LiteralFormat(),
        planner_params=params,
        actor_params=params,
    )


async def test_two_oracles_solve_the_multi_step_pages(chromium: Path) -> None:
    suite = miniwob_suite("miniwob/multi_step")
    jobs = group_jobs([suite.task(page, 6) for page in suite.templates])
    async with BrowserFactory(4) as pages:
        episodes = collect_episodes(jobs, pages, both_oracles, concurrency=4)
        failed = [record.trajectory.task_id async for record in episodes if not record.trajectory.succeeded]
    assert failed == []
