"""The episode loop: what is recorded, how it ends, and whose mistake is whose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image

from gui_agent.actions import ACTION_TYPES, Action, Click, Finish, ParseError, Wait
from gui_agent.agent import Decision, EpisodeContext
from gui_agent.device import ActionResult, ExpertAction, Outcome, StopReason, Task, Verdict
from gui_agent.errors import ConfigError, DeviceTimeoutError, PolicyError
from gui_agent.observation import Box, Observation, Screenshot, UiElement
from trajectories.episode import run_episode
from trajectories.records import EpisodeRecord, Step


def picture(shade: int) -> Screenshot:
    return Screenshot.from_image(Image.new("RGB", (20, 40), (shade, shade, shade)))


@dataclass(frozen=True, kw_only=True)
class CountTask:
    """Click until the counter shows `target`."""

    target: int = 2
    task_id: str = "count-2"
    template: str = "count"
    seed: int = 7
    goal: str = "count to two"
    max_steps: int = 5


@dataclass
class CounterDevice:
    """A world whose state is a number; breaks at the named call."""

    breaks_at: str = ""
    error: Exception = field(default_factory=lambda: DeviceTimeoutError("no answer for 5 s"))
    count: int = 0
    calls: list[str] = field(default_factory=list)
    action_space: frozenset[type] = frozenset(ACTION_TYPES)
    target: int = 2

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if f"{name}{self.calls.count(name)}" == self.breaks_at:
            raise self.error

    async def reset(self, task: Task) -> None:
        self._call("reset")
        self.count = 0
        self.target = task.target  # type: ignore[attr-defined]

    async def observe(self) -> Observation:
        self._call("observe")
        element = UiElement(name="plus", role="button", box=Box(left=1, top=2, right=3, bottom=4))
        return Observation(
            screenshot=picture(self.count),
            state_key=str(self.count),
            elements=(element,),
            foreground_app="counter",
        )

    async def execute(self, action: Action | ParseError) -> ActionResult:
        self._call("execute")
        if isinstance(action, ParseError):
            return ActionResult(executed=None, error=action.reason)
        self.count += isinstance(action, Click)
        return ActionResult(executed=action)

    async def check(self) -> Outcome:
        self._call("check")
        done = self.count >= self.target
        return Outcome(
            verdict=Verdict.SUCCESS if done else Verdict.FAILURE, progress=min(1, self.count / self.target)
        )

    async def close(self) -> None:
        raise AssertionError("the loop does not own the device")


class ScriptedAgent:
    """Says one thing after another; the last one for ever."""

    def __init__(self, *script: Action | ParseError | Exception) -> None:
        self.script = script
        self.recorded: list[ActionResult] = []
        self.started = False

    def start(self, context: EpisodeContext) -> None:
        self.started = True

    async def decide(self, observation: Observation) -> Decision:
        assert self.started
        saying = self.script[min(len(self.recorded), len(self.script) - 1)]
        if isinstance(saying, Exception):
            raise saying
        expert = ExpertAction(action=saying) if isinstance(saying, Click) else None
        return Decision(action=saying, thought="so be it", expert=expert)

    async def record(self, result: ActionResult) -> None:
        self.recorded.append(result)


CLICK, FINISH = Click(x=1, y=1), Finish()
GARBAGE = ParseError(reason="no action block", text="hello")


async def run(device: CounterDevice, agent: ScriptedAgent, **options: Any) -> EpisodeRecord:
    context = EpisodeContext(goal="count to two", episode_id="e1", update=3)
    return await run_episode(device, agent, CountTask(), context=context, **options)


async def test_success_is_recorded_with_states_progress_and_pictures() -> None:
    record = await run(CounterDevice(), ScriptedAgent(CLICK, CLICK, FINISH), group_id="g", split="train")
    episode = record.trajectory
    assert (episode.stop, episode.outcome.verdict) == (StopReason.FINISHED, Verdict.SUCCESS)
    assert [step.progress for step in episode.steps] == [0.5, 1.0, 1.0]
    states = [(step.state_key_before, step.state_key_after) for step in episode.steps]
    assert states == [("0", "1"), ("1", "2"), ("2", "2")]
    assert episode.steps[0].expected == ExpertAction(action=CLICK)
    assert set(record.screenshots) == set(episode.screenshot_sha256s) == {picture(n).sha256 for n in range(3)}
    assert (episode.group_id, episode.split, episode.update, episode.seed) == ("g", "train", 3, 7)
    assert episode.steps[0].elements is None


async def test_elements_are_kept_on_request() -> None:
    record = await run(CounterDevice(), ScriptedAgent(FINISH), record_elements=True)
    assert record.trajectory.steps[0].elements == (
        {"name": "plus", "role": "button", "box": [1, 2, 3, 4], "clickable": True},
    )


async def test_parse_errors_are_data_and_go_on_to_the_step_limit() -> None:
    agent = ScriptedAgent(GARBAGE)
    record = await run(CounterDevice(), agent, max_steps=3)
    episode = record.trajectory
    assert (episode.stop, episode.outcome.verdict) == (StopReason.STEP_LIMIT, Verdict.FAILURE)
    assert [step.requested for step in episode.steps] == [GARBAGE] * 3
    assert all(step.executed is None and step.error == "no action block" for step in episode.steps)
    # The agent knows that its last step was the last, so that it writes nothing more.
    assert [result.stop for result in agent.recorded] == [None, None, StopReason.STEP_LIMIT]


async def test_the_limit_of_the_task_holds_by_default() -> None:
    record = await run(CounterDevice(), ScriptedAgent(Wait()))
    assert len(record.trajectory.steps) == 5


@pytest.mark.parametrize(
    ("breaks_at", "num_steps"),
    [("reset1", 0), ("observe1", 0), ("observe2", 1), ("execute2", 2), ("check1", 1), ("check3", 3)],
)
async def test_a_device_fault_is_never_scored(breaks_at: str, num_steps: int) -> None:
    record = await run(CounterDevice(breaks_at=breaks_at), ScriptedAgent(CLICK, CLICK, FINISH))
    episode = record.trajectory
    assert episode.stop is StopReason.DEVICE_FAULT
    assert episode.outcome.verdict is Verdict.UNSCORED
    assert episode.outcome.progress is None
    assert episode.fault == "DeviceTimeoutError: no answer for 5 s"
    assert len(episode.steps) == num_steps
    if breaks_at == "execute2":
        assert episode.steps[-1].requested == CLICK
        assert episode.steps[-1].executed is None


async def test_a_last_look_that_fails_does_not_undo_the_verdict() -> None:
    record = await run(CounterDevice(breaks_at="observe4"), ScriptedAgent(CLICK, CLICK, FINISH))
    assert record.trajectory.outcome.verdict is Verdict.SUCCESS
    assert record.trajectory.steps[-1].state_key_after is None
    assert record.trajectory.final_screenshot_sha256 is None


@pytest.mark.parametrize(
    ("error", "stop"),
    [(PolicyError("server down"), StopReason.MODEL_FAULT), (KeyError("adapter"), StopReason.PROGRAM_FAULT)],
)
async def test_what_breaks_off_an_episode_is_raised_and_its_steps_are_handed_over(
    error: Exception, stop: StopReason
) -> None:
    kept: list[EpisodeRecord] = []
    with pytest.raises(type(error)):
        await run(CounterDevice(), ScriptedAgent(CLICK, error), on_broken_off=kept.append)
    (record,) = kept
    episode = record.trajectory
    assert (episode.stop, episode.outcome.verdict) == (stop, Verdict.UNSCORED)
    assert episode.stop.is_fault
    assert episode.fault == f"{type(error).__name__}: {error}"
    assert [(step.requested, step.state_key_after) for step in episode.steps] == [(CLICK, "1")]
    assert episode.final_screenshot_sha256 == picture(1).sha256
    assert set(record.screenshots) == {picture(0).sha256, picture(1).sha256}


async def test_an_error_while_acting_keeps_the_decision_and_one_before_the_first_look_nothing() -> None:
    kept: list[EpisodeRecord] = []
    device = CounterDevice(breaks_at="execute2", error=KeyError("a bug of the driver"))
    with pytest.raises(KeyError):
        await run(device, ScriptedAgent(CLICK), on_broken_off=kept.append)
    (record,) = kept
    assert [step.executed for step in record.trajectory.steps] == [CLICK, None]
    device = CounterDevice(breaks_at="reset1", error=KeyError("a bug of the driver"))
    with pytest.raises(KeyError):
        await run(device, ScriptedAgent(CLICK), on_broken_off=kept.append)
    assert len(kept) == 1


async def test_time_limit_and_user_end_before_the_next_step() -> None:
    late = await run(CounterDevice(), ScriptedAgent(CLICK), time_limit_s=0.0)
    assert (late.trajectory.stop, len(late.trajectory.steps)) == (StopReason.TIME_LIMIT, 0)
    seen: list[Step] = []
    stopped = await run(
        CounterDevice(),
        ScriptedAgent(CLICK),
        on_step=lambda step, observation: seen.append(step),
        should_stop=lambda: len(seen) == 1,
    )
    assert stopped.trajectory.stop is StopReason.USER
    assert [step.index for step in seen] == [0]


async def test_checks_between_steps_can_be_turned_off() -> None:
    device = CounterDevice()
    record = await run(device, ScriptedAgent(CLICK, FINISH), track_progress=False, observe_end=False)
    assert device.calls.count("check") == 1
    assert [step.progress for step in record.trajectory.steps] == [None, 0.5]
    assert device.calls.count("observe") == 2


async def test_a_task_that_begins_in_the_middle_needs_an_agent_that_remembers() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Middle(CountTask):
        past: tuple[str, ...] = ("something",)

    context = EpisodeContext(goal="", episode_id="e")
    with pytest.raises(ConfigError, match="remember"):
        await run_episode(CounterDevice(), ScriptedAgent(CLICK), Middle(), context=context)
