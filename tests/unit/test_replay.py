"""Replaying recordings: UI-S1's rollouts, patches, refusals, single steps, and pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gui_agent.actions import Action, Click, Finish, ParseError, Wait
from gui_agent.agent import Decision, DemonstratorAgent, EpisodeContext
from gui_agent.device import ActionResult, ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import ConfigError, DeviceError, ReplayError
from gui_agent.matching import get_matcher
from gui_agent.observation import Box, Observation, Screenshot
from trajectories.damage import OnDamage
from trajectories.episode import run_episode
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.replay import ReplayDevice, ReplayFactory, ReplaySource, ReplayTask
from trajectories.store import TrajectoryStore

VECTORS = json.loads((Path(__file__).parents[1] / "golden" / "ui_s1_rollouts.json").read_text())
MATCHER = get_matcher("ui_s1")
WIDTH, HEIGHT = 100, 200
MISS = Wait()


def pictures(count: int) -> list[Screenshot]:
    return [Screenshot.from_image(Image.new("RGB", (WIDTH, HEIGHT), (n, n, n))) for n in range(count)]


def expert_click(index: int) -> ExpertAction:
    x, y = 10 * index, 20 * index
    box = Box(left=x, top=y, right=x + 9, bottom=y + 9)
    return ExpertAction(action=Click(x=x, y=y), boxes=(box,), thought=f"thought {index}")


def recording(actions: Sequence[ExpertAction], name: str = "rec") -> EpisodeRecord:
    shots = pictures(len(actions))
    steps = tuple(
        Step(
            index=index,
            screenshot_sha256=shot.sha256,
            width_px=WIDTH,
            height_px=HEIGHT,
            requested=expert.action,
            executed=expert.action,
            expected=expert,
        )
        for index, (shot, expert) in enumerate(zip(shots, actions, strict=True))
    )
    trajectory = Trajectory(
        episode_id=name,
        task_id=f"task-{name}",
        template="shopping",
        suite="phone",
        goal="Buy milk",
        steps=steps,
        stop=StopReason.FINISHED,
        outcome=Outcome(verdict=Verdict.SUCCESS),
    )
    return EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot for shot in shots})


CLICKS = recording([expert_click(index) for index in range(5)])
FINISHING = recording([expert_click(1), ExpertAction(action=Finish())], "finishing")


class Obedient:
    """Says what it is told at each step, and remembers what happened."""

    def __init__(self, says: Sequence[Action | ParseError]) -> None:
        self.says = says
        self.results: list[ActionResult] = []
        self.past: list[tuple[str, Action, str | None]] = []

    def start(self, context: EpisodeContext) -> None:
        self.results = []

    def remember(
        self, screenshot: Screenshot, action: Action, thought: str | None, subgoal: str | None = None
    ) -> None:
        self.past.append((screenshot.sha256, action, thought))

    async def decide(self, observation: Observation) -> Decision:
        return Decision(action=self.says[len(self.results)])

    async def record(self, result: ActionResult) -> None:
        self.results.append(result)


def task_of(record: EpisodeRecord) -> ReplayTask:
    return ReplayTask.from_trajectory(record.trajectory, record.screenshots)


async def rollout(
    task: ReplayTask, agent: Any, *, patch_budget: int | None = 1, device: ReplayDevice | None = None
) -> Trajectory:
    device = device or ReplayDevice(MATCHER, patch_budget=patch_budget)
    context = EpisodeContext(goal=task.goal, episode_id="e")
    return (await run_episode(device, agent, task, context=context)).trajectory


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: f"{case['name']}-eps{case['epsilon']}")
async def test_rollouts_are_those_of_the_release(case: dict[str, Any]) -> None:
    pattern = case["match_pattern"]
    says = [expert_click(index).action if pattern[index] else MISS for index in range(5)]
    episode = await rollout(task_of(CLICKS), Obedient(says), patch_budget=case["epsilon"])
    assert len(episode.steps) == case["steps_sampled"]
    assert [step.source is ActionSource.PATCH for step in episode.steps] == case["patched"]
    sampled = pattern[: len(episode.steps)]
    assert [step.match.exact_match for step in episode.steps if step.match] == sampled
    # What was requested is kept beside the patch that stood in for it.
    assert [step.requested for step in episode.steps] == says[: len(episode.steps)]
    clean = [*sampled, False].index(False)
    assert episode.outcome.progress == clean / 5
    assert (episode.outcome.verdict is Verdict.SUCCESS) == all(pattern)
    spent = not sampled[-1] and not case["patched"][-1]
    assert episode.stop is (StopReason.PATCH_BUDGET_SPENT if spent else StopReason.EXPERT_END)
    assert (episode.steps[-1].executed is None) == spent


async def test_the_state_is_always_the_experts_screen() -> None:
    episode = await rollout(task_of(CLICKS), Obedient([MISS] * 5), patch_budget=None)
    shown = [step.screenshot_sha256 for step in episode.steps]
    assert shown == [step.screenshot_sha256 for step in CLICKS.trajectory.steps]
    assert episode.patches == 5


async def test_a_patch_carries_the_expert_and_a_parse_error_spends_budget() -> None:
    agent = Obedient([ParseError(reason="no action block", text="?"), MISS])
    episode = await rollout(task_of(CLICKS), agent, patch_budget=1)
    patched, ended = agent.results
    assert (patched.source, patched.executed) == (ActionSource.PATCH, Click(x=0, y=0))
    assert patched.expected == expert_click(0)
    assert patched.match is not None
    assert not patched.match.type_match
    assert patched.error == "not what the expert did: no action block"
    assert (ended.stop, ended.executed) == (StopReason.PATCH_BUDGET_SPENT, None)
    assert episode.outcome.verdict is Verdict.FAILURE


async def test_a_matched_finish_ends_and_succeeds() -> None:
    episode = await rollout(task_of(FINISHING), Obedient([Click(x=10, y=20), Finish()]))
    assert (episode.stop, episode.outcome.verdict) == (StopReason.FINISHED, Verdict.SUCCESS)
    assert episode.outcome.progress == 1.0


async def test_finishing_too_early_is_a_mismatch() -> None:
    episode = await rollout(task_of(FINISHING), Obedient([Finish(), Finish()]))
    assert episode.steps[0].source is ActionSource.PATCH
    assert (episode.stop, episode.outcome.verdict) == (StopReason.FINISHED, Verdict.FAILURE)


async def test_the_expert_replays_itself() -> None:
    device = ReplayDevice(MATCHER, patch_budget=0)
    episode = await rollout(task_of(FINISHING), DemonstratorAgent(device), device=device)
    assert episode.outcome.verdict is Verdict.SUCCESS
    assert await device.next_expert_action() is None
    with pytest.raises(DeviceError, match="is over"):
        await device.execute(MISS)


async def test_a_snapshot_restores_position_and_budget() -> None:
    device = ReplayDevice(MATCHER, patch_budget=1)
    await device.reset(task_of(CLICKS))
    snapshot = await device.snapshot()
    assert (await device.execute(MISS)).source is ActionSource.PATCH
    await device.restore(snapshot)
    assert (await device.observe()).state_key == CLICKS.trajectory.steps[0].screenshot_sha256
    assert (await device.execute(MISS)).source is ActionSource.PATCH


def changed(**fields: Any) -> Trajectory:
    steps = list(CLICKS.trajectory.steps)
    steps[2] = replace(steps[2], **fields)
    return replace(CLICKS.trajectory, steps=tuple(steps))


OUTSIDE = ExpertAction(action=Click(x=100, y=5))


@pytest.mark.parametrize(
    ("trajectory", "message"),
    [
        (changed(screenshot_sha256=None), r"'rec', step 2: a screenshot is missing.*--images"),
        (changed(screenshot_sha256="ab" * 32), r"step 2: screenshot abababababab is missing"),
        (changed(width_px=None), r"step 2: the size of the screen is not recorded.*--screen"),
        (changed(executed=None, error="off screen"), r"step 2: nothing was executed \(off screen\)"),
        (
            changed(executed=OUTSIDE.action, expected=OUTSIDE),
            r"step 2: click at \(100, 5\) lies outside the screen of 100x200 pixels; check",
        ),
        (replace(CLICKS.trajectory, steps=()), r"'rec' has no steps; leave it out"),
    ],
)
def test_a_recording_that_cannot_be_a_world_is_refused(trajectory: Trajectory, message: str) -> None:
    with pytest.raises(ReplayError, match=message):
        ReplayTask.from_trajectory(trajectory, CLICKS.screenshots)
    source = ReplaySource([trajectory, FINISHING.trajectory], CLICKS.screenshots, on_damage=OnDamage.SKIP)
    assert [task.trajectory_id for task in source.tasks] == ["finishing"]
    assert [refusal.episode_id for refusal in source.refused] == ["rec"]


async def test_a_picture_of_another_size_is_refused_when_shown() -> None:
    steps = tuple(replace(step, width_px=200, height_px=400) for step in CLICKS.trajectory.steps)
    task = ReplayTask.from_trajectory(replace(CLICKS.trajectory, steps=steps), CLICKS.screenshots)
    with pytest.raises(ReplayError, match=r"has 100x200 pixels, the step says 200x400"):
        await rollout(task, Obedient([MISS] * 5))


def test_a_source_reads_a_store_and_leaves_failures_out(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path)
    failed = replace(CLICKS.trajectory, episode_id="bad", outcome=Outcome(verdict=Verdict.FAILURE))
    store.append([CLICKS, FINISHING, EpisodeRecord(trajectory=failed, screenshots=CLICKS.screenshots)])
    source = ReplaySource(store, suite="mine")
    assert (source.suite, source.templates, len(source)) == ("mine", ["shopping"], 2)
    assert [refusal.episode_id for refusal in source.refused] == ["bad"]
    assert source.task("shopping", 1).trajectory_id == "finishing"
    assert source.task("shopping", 2) == source.task("shopping", 0)
    assert source.task("shopping", 0).picture(source.tasks[0].frames[0]) == pictures(1)[0]
    with pytest.raises(ConfigError, match="no template 'toys'"):
        source.task("toys", 0)
    with pytest.raises(ReplayError, match="nothing to replay"):
        ReplaySource([failed], CLICKS.screenshots)
    with pytest.raises(ConfigError, match="needs `screenshots`"):
        ReplaySource([failed])


async def test_single_steps_give_the_agent_the_experts_past(tmp_path: Path) -> None:
    source = ReplaySource([CLICKS.trajectory], CLICKS.screenshots, single_step=True)
    assert [task.max_steps for task in source.tasks] == [1] * 5
    assert len({task.task_id for task in source.tasks}) == 5
    agent = Obedient([Click(x=20, y=40)])
    task = source.tasks[2]
    device = ReplayDevice(MATCHER, patch_budget=0)
    record = await run_episode(
        device, agent, task, context=EpisodeContext(goal=task.goal, episode_id="single")
    )
    assert record.trajectory.outcome.verdict is Verdict.SUCCESS
    assert record.trajectory.steps[0].screenshot_sha256 == pictures(3)[2].sha256
    expected = [
        (shot.sha256, expert_click(index).action, f"thought {index}")
        for index, shot in enumerate(pictures(2))
    ]
    assert agent.past == expected
    # The pictures of the past are part of later prompts, so they go with the record.
    assert set(record.screenshots) == {shot.sha256 for shot in pictures(3)}
    TrajectoryStore.create(tmp_path).append(record)


async def test_the_factory_lends_without_limit() -> None:
    factory = ReplayFactory(matcher=MATCHER, patch_budget=0)
    async with factory.lease() as one, factory.lease() as other:
        await one.reset(task_of(CLICKS))
        assert one is not other
        with pytest.raises(DeviceError, match="before its first reset"):
            await other.observe()
    assert factory.capacity > 10_000
    with pytest.raises(ConfigError, match="patch_budget is -1"):
        ReplayDevice(MATCHER, patch_budget=-1)
