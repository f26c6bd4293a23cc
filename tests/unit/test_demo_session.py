"""An episode that a person directs: corrections, takeovers, undo, hints, rules, limits; what is stored."""

from __future__ import annotations

import asyncio
import json
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from devices.phone.device import PhoneDevice
from gui_agent.actions import Action, Button, Click, Finish, OpenApp, ParseError, SystemButton, TypeText, Wait
from gui_agent.agent_spec import AgentKind, AgentSpec
from gui_agent.cli.demo import Place
from gui_agent.demo.asking import ListenedPolicy
from gui_agent.demo.commands import (
    Act,
    Approve,
    Command,
    Edit,
    Export,
    Hint,
    Mode,
    Pause,
    Reconnect,
    Reject,
    Resume,
    Run,
    SetMode,
    SetOutcome,
    StepOnce,
    Stop,
    Takeover,
    Undo,
)
from gui_agent.demo.events import (
    EpisodeEvent,
    Event,
    ExportedEvent,
    Need,
    NoticeEvent,
    ProposalEvent,
    SaidEvent,
    StepEvent,
    UndoneEvent,
)
from gui_agent.demo.marks import UNDONE
from gui_agent.demo.protocol import ProtocolError
from gui_agent.demo.session import DemoSession
from gui_agent.demo.staleness import has_changed
from gui_agent.demo.world import SessionSettings, World
from gui_agent.device import ActionResult, ActionSource, StopReason, Verdict
from gui_agent.errors import CaptureError, DeviceError, PolicyError
from gui_agent.formats.registry import get_format
from gui_agent.matching import get_matcher
from gui_agent.observation import Observation, Screenshot
from gui_agent.policy import (
    Completion,
    FinishReason,
    ImageBudget,
    Prompt,
    SampleKey,
    SamplingParams,
)
from gui_agent.safety import Decision as Ruling
from gui_agent.safety import Judge, default_rules
from gui_agent.safety.budget import Budget, MeteredPolicy
from gui_agent.safety.options import ConfirmMode
from gui_agent.safety.scene import Scene, Target
from trainers.learner_model import load_learner_model
from trainers.recordings import read_recordings
from trainers.rewards import SAMPLING_LIMIT
from trainers.sft import expert_rows
from trainers.sft_config import SFTConfig
from trajectories.check import check_store
from trajectories.preferences import REJECTED, preferences
from trajectories.records import Trajectory
from trajectories.replay import ReplayDevice
from trajectories.replay_task import ReplayTask
from trajectories.store import TrajectoryStore

BUDGET = ImageBudget(factor=28, min_pixels=784)
HOME = "button home"
OPEN = "open clock"


@dataclass
class Scripted:
    """Says the lines in order, the last one for ever; a line that is an error is raised."""

    lines: list[str | Exception]
    prompts: list[Prompt] = field(default_factory=list)
    temperatures: list[float] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    version: int = 0
    image_budget: ImageBudget = BUDGET

    def __post_init__(self) -> None:
        self.held.set()

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        self.prompts.append(prompt)
        self.temperatures.append(params.temperature)
        await self.held.wait()
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        if isinstance(line, Exception):
            raise line
        return [
            Completion(
                prompt_token_ids=(1, 2), image_grids=((1, 2, 2),), token_ids=(5, 6), logprobs=(-0.5, -0.25),
                text=line, finish_reason=FinishReason.STOP, policy_version=0,
            )
        ]  # fmt: skip


class Watched:
    """A session and everything that it has told."""

    def __init__(self, session: DemoSession, policy: Scripted) -> None:
        self.session = session
        self.policy = policy
        self.events: list[Event] = []
        session.listen(self.events.append)

    async def do(self, *commands: Command) -> None:
        for command in commands:
            await self.session.handle(command)

    async def until(self, holds: Callable[[], Any]) -> None:
        async with asyncio.timeout(30):
            while not holds():  # noqa: ASYNC110 (not all of it is told by an event)
                await asyncio.sleep(0.005)

    async def proposal(self, *, step: int | None = None) -> ProposalEvent:
        """The proposal that waits for an answer."""

        def waits() -> bool:
            found = self.session.proposal
            return (
                found is not None
                and found.needs is not Need.NOTHING
                and found.proposal == self.session.desk.proposal
                and step in (None, found.step)
            )

        await self.until(waits)
        assert self.session.proposal is not None
        return self.session.proposal

    async def steps(self, number: int) -> None:
        await self.until(lambda: self.session.state.step == number)

    async def end(self) -> Trajectory:
        async with asyncio.timeout(30):
            await self.session.ended()
        return self.stored()

    def stored(self) -> Trajectory:
        store = TrajectoryStore.open(self.session.store.path)
        return store.trajectory(store.episode_ids[-1])

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def demo(
    folder: Path,
    *lines: str | Exception,
    device: PhoneDevice | None = None,
    kind: AgentKind = AgentKind.FLAT,
    meter: Budget | None = None,
    source: dict[str, Any] | None = None,
    on_close: Callable[[], None] = lambda: None,
    **settings: Any,
) -> AsyncIterator[Watched]:
    place, policy, meter = Place.of("phone", "", 0), Scripted(list(lines)), meter or Budget()
    listened = ListenedPolicy(MeteredPolicy(policy, meter))
    spec = AgentSpec(kind=kind, format="compact", params=SamplingParams(temperature=0.0))
    phone = device or PhoneDevice()

    @asynccontextmanager
    async def open_device() -> AsyncIterator[PhoneDevice]:
        try:
            yield phone
        finally:
            on_close()

    world = World(
        device="phone",
        agent="scripted",
        open_device=open_device,
        home=place.home,
        errand=place.errand,
        agent_for=spec.agent_for(listened),
        policy=listened,
        meter=meter,
        policy_name="scripted",
        source=source or {},
    )
    store = TrajectoryStore.open_or_create(folder / "demo")
    session = DemoSession(
        world, store, SessionSettings(**{"preview_s": 0.0, "poll_interval_s": 0.0, **settings})
    )
    async with session:
        yield Watched(session, policy)


RUN = Run(goal="open the clock")
TASK = Run(task="phone/quickstart:open_app:3")


async def test_an_episode_without_anybody(tmp_path: Path) -> None:
    async with demo(tmp_path, f"clock {OPEN}", "finish success") as watched:
        await watched.do(TASK)
        trajectory = await watched.end()
        shown = watched.of(ProposalEvent)
        performed = [event for event in watched.events if isinstance(event, ProposalEvent | StepEvent)]
    assert [type(event) for event in performed] == [ProposalEvent, StepEvent] * 2  # shown before it is done
    assert [event.label for event in shown] == ["open clock", "finish: success"]
    assert [event.text for event in watched.of(SaidEvent)][:2] == ["clock", "open clock"]
    assert trajectory.stop is StopReason.FINISHED
    assert trajectory.outcome.verdict is not Verdict.UNSCORED  # a task of a suite has a check
    assert [step.source for step in trajectory.steps] == [ActionSource.POLICY] * 2
    assert trajectory.source["mode"] == "auto"


async def test_a_corrected_episode_can_be_imitated_and_replayed(
    tmp_path: Path, tiny_model_dir_qwen3: Path
) -> None:
    """The proposal that was edited is kept beside the person's action, which is the expert's."""
    async with demo(tmp_path, "wrong click 3 200", "finish success") as watched:
        await watched.do(SetMode(mode=Mode.APPROVE), RUN)
        first = await watched.proposal()
        await watched.do(Edit(proposal=first.proposal, action=Click(x=84, y=168), thought="the clock"))
        second = await watched.proposal(step=1)
        await watched.do(Approve(proposal=second.proposal))
        trajectory = await watched.end()
        assert trajectory.outcome.verdict is Verdict.UNSCORED  # a goal in words, and no thumb
        await watched.do(SetOutcome(episode_id=trajectory.episode_id, verdict="success"))
    trajectory = watched.stored()
    assert trajectory.succeeded
    step = trajectory.steps[0]
    assert (step.requested, step.executed, step.source) == (
        Click(x=3, y=200),
        Click(x=84, y=168),
        ActionSource.HUMAN,
    )
    assert step.expected is not None
    assert (step.expected.action, step.expected.thought) == (step.executed, "the clock")
    assert step.expected.boxes[0].contains(84, 168)  # the whole icon would have been right
    (rejected,) = step.candidates
    assert (rejected.action, rejected.measured, rejected.branch) == (step.requested, {REJECTED: 1.0}, 1)
    assert rejected.completion.completion.text == "wrong click 3 200"
    kept = TrajectoryStore.open(tmp_path / "demo").record(trajectory.episode_id)
    (pair,) = preferences(kept, get_format("compact"), ImageBudget())
    assert (pair.chosen, pair.rejected) == ("the clock click 84 168", "wrong click 3 200")
    assert pair.prompt == watched.policy.prompts[0]  # what the agent was asked
    # What the agent remembers is what was done, not what it wanted.
    assert "click 84 168" in watched.policy.prompts[1][-1].text

    recordings = read_recordings(SFTConfig(data=tmp_path / "demo"))  # as train sft does
    assert recordings.trajectories == (trajectory,)
    model = load_learner_model(SFTConfig(model=str(tiny_model_dir_qwen3), device="cpu"))
    store = TrajectoryStore.open(tmp_path / "demo")
    task = ReplayTask.from_trajectory(trajectory, store.screenshots)
    assert [frame.expert.action for frame in task.frames] == [Click(x=84, y=168), Finish()]
    rows = expert_rows([task], model, get_format("compact"), thoughts=True).rows
    assert len(rows) == 2
    learnt = model.prompts.decode(rows[0].token_ids)
    assert "the clock click" in learnt
    replay = ReplayDevice(get_matcher("ui_s1"))
    await replay.reset(task)
    await replay.observe()
    hit = await replay.execute(Click(x=80, y=160))  # anywhere on the icon
    assert hit.match is not None
    assert hit.match.exact_match


async def test_rejected_proposals_are_asked_for_again_with_some_temperature(tmp_path: Path) -> None:
    lines = ("click 3 200", "click 3 200", "click 5 200", f"clock {OPEN}", "finish success")
    async with demo(tmp_path, *lines) as watched:
        await watched.do(SetMode(mode=Mode.APPROVE), RUN)
        first = await watched.proposal()
        await watched.do(Reject(proposal=first.proposal))
        await watched.until(lambda: watched.session.desk.proposal not in (0, first.proposal))
        second = await watched.proposal()
        assert second.label == "click (5, 200)"  # what repeats the rejected one was not even shown
        assert second.attempt == 3
        with pytest.raises(ProtocolError, match="waits for no answer"):
            await watched.do(Approve(proposal=first.proposal))
        await watched.do(Reject(proposal=second.proposal, hint="it is at the top"))
        third = await watched.proposal()
        await watched.until(lambda: watched.session.desk.proposal not in (0, second.proposal))
        third = await watched.proposal()
        await watched.do(SetMode(mode=Mode.AUTO))
        trajectory = await watched.end()
    assert third.label == "open clock"
    assert watched.policy.temperatures == [0.0, 1.0, 1.0, 1.0, 0.0]
    assert "Hint from the user: it is at the top" not in watched.policy.prompts[2][-1].text
    assert "Hint from the user: it is at the top" in watched.policy.prompts[3][-1].text
    step = trajectory.steps[0]
    assert step.source is ActionSource.POLICY
    wrong = {REJECTED: 1.0}
    assert [(c.branch, c.measured) for c in step.candidates] == [(0, {}), (1, wrong), (2, wrong)]
    assert step.candidates[0].completion == step.completions[0]
    assert trajectory.goal == RUN.goal  # the hint is no part of the goal
    assert trajectory.source["hints"] == [{"step": 0, "text": "it is at the top"}]


async def test_taking_over_is_an_experts_step_and_the_agent_knows(tmp_path: Path) -> None:
    async with demo(tmp_path, "finish success") as watched:
        await watched.do(replace(RUN, takeover=True))
        frame = watched.session.feed.newest
        assert frame is not None
        await watched.do(Act(action=Click(x=84, y=168), frame=frame.number))
        await watched.steps(1)
        await watched.do(Act(action=SystemButton(button=Button.BACK)))
        await watched.steps(2)
        assert not watched.policy.prompts  # nobody asked it
        await watched.do(Takeover(on=False))
        trajectory = await watched.end()
    assert [step.source for step in trajectory.steps] == [ActionSource.HUMAN] * 2 + [ActionSource.POLICY]
    assert all(step.expected and step.expected.action == step.executed for step in trajectory.steps[:2])
    assert [step.requested for step in trajectory.steps] == [step.executed for step in trajectory.steps]
    words = watched.policy.prompts[0][-1].text
    assert "click 84 168" in words
    assert "button back" in words


async def test_acting_while_the_agent_thinks_takes_over(tmp_path: Path) -> None:
    async with demo(tmp_path, f"clock {OPEN}", "finish success") as watched:
        watched.policy.held.clear()
        await watched.do(RUN)
        await watched.until(lambda: watched.policy.prompts)
        await watched.do(Act(action=SystemButton(button=Button.HOME)))
        await watched.steps(1)
        assert watched.session.state.takeover
        watched.policy.held.set()
        await watched.do(Act(action=Finish()))
        trajectory = await watched.end()
    assert [step.executed for step in trajectory.steps] == [SystemButton(button=Button.HOME), Finish()]
    assert trajectory.stop is StopReason.FINISHED


async def test_undone_steps_leave_the_episode_and_its_agent(tmp_path: Path) -> None:
    lines = (f"clock {OPEN}", "back button back", "finish failure", f"notes {OPEN}", "finish success")
    async with demo(tmp_path, *lines) as watched:
        await watched.do(SetMode(mode=Mode.APPROVE), RUN)
        for step in range(2):
            await watched.do(Approve(proposal=(await watched.proposal(step=step)).proposal))
        await watched.proposal(step=2)
        start = watched.of(StepEvent)[0].picture
        await watched.do(Undo(steps=2))
        await watched.until(lambda: watched.of(UndoneEvent))
        with pytest.raises(ProtocolError, match="cannot be undone"):
            await watched.do(Undo())
        await watched.do(SetMode(mode=Mode.AUTO), Resume())
        trajectory = await watched.end()
    assert len(watched.policy.prompts) == 5
    assert watched.policy.prompts[3] == watched.policy.prompts[0]  # it remembers nothing of what was undone
    assert [step.index for step in trajectory.steps] == [0, 1]
    assert watched.of(StepEvent)[-2].picture == start
    assert [step.thought for step in trajectory.steps] == ["notes", None]
    assert [(old["step"], old["action"]) for old in trajectory.source["undone"]] == [
        (0, "open clock"),
        (1, "back button"),
    ]
    (undone,) = trajectory.steps[0].candidates
    assert (undone.measured, undone.completion.completion.text) == ({UNDONE: 1.0}, f"clock {OPEN}")


async def test_pause_step_and_stop(tmp_path: Path) -> None:
    async with demo(tmp_path, HOME, preview_s=20.0, loop_limit=0) as watched:
        await watched.do(RUN)
        await watched.until(lambda: watched.session.proposal)
        await watched.do(Pause())
        assert (await watched.proposal()).reason == "paused"  # what was shown waits
        await watched.do(StepOnce())
        await watched.until(lambda: watched.of(ProposalEvent)[-1].needs is Need.NOTHING)
        number = len(watched.policy.prompts)
        await watched.do(Stop())  # during the preview: it is not performed any more
        await watched.session.ended()
        assert watched.session.archive.episodes[-1].stop == "user"
        assert not watched.session.archive.episodes[-1].stored  # nothing happened in it
        assert len(watched.policy.prompts) == number
        for command in (Pause(), Resume(), Stop(), Undo(), Takeover(on=True), Hint(text="x")):
            with pytest.raises(ProtocolError, match="no episode runs"):
                await watched.do(command)
    async with demo(tmp_path, HOME, loop_limit=0) as watched:
        await watched.do(SetMode(mode=Mode.APPROVE), RUN)
        await watched.proposal()
        await watched.do(Pause(), SetMode(mode=Mode.AUTO), StepOnce())
        await watched.steps(1)
        await watched.until(lambda: watched.session.state.phase == "paused")
        await watched.do(Stop())
        trajectory = await watched.end()
    assert (trajectory.stop, len(trajectory.steps)) == (StopReason.USER, 1)


@pytest.mark.parametrize("edited", [False, True])
async def test_a_yes_that_comes_after_the_screen_has_changed(tmp_path: Path, edited: bool) -> None:
    device, aside, clock = PhoneDevice(), Click(x=90, y=170), Click(x=84, y=168)
    lines = ("click 84 168", "click 84 168", "finish success")
    async with demo(tmp_path, *lines, device=device, poll_interval_s=0.01) as watched:
        await watched.do(SetMode(mode=Mode.APPROVE), RUN)
        first = await watched.proposal()
        frame = watched.session.feed.newest
        async with watched.session.borrowed.lock:
            await device.execute(SystemButton(button=Button.HOME))
            await device.execute(OpenApp(name="notes"))  # something else comes to the front
        await watched.until(lambda: watched.session.feed.newest is not frame)
        if edited:
            await watched.do(Edit(proposal=first.proposal, action=aside))
        else:
            await watched.do(Approve(proposal=first.proposal))
            await watched.until(lambda: watched.session.desk.proposal not in (0, first.proposal))
            again = await watched.proposal()
            assert (again.step, again.action) == (0, first.action)  # nothing was done yet
            assert "has changed" in watched.of(NoticeEvent)[-1].text
            await watched.do(Approve(proposal=again.proposal))
        await watched.steps(1)
        await watched.do(Stop())
        trajectory = await watched.end()
        newest = watched.session.feed.newest
    step = trajectory.steps[0]
    assert step.executed == (aside if edited else clock)
    assert step.source is (ActionSource.HUMAN if edited else ActionSource.POLICY)
    assert frame is not None
    assert newest is not None
    assert step.screenshot_sha256 != frame.screenshot.sha256  # kept with the screen that it was done on


def test_only_what_lies_around_the_action_counts() -> None:
    before = Image.new("RGB", (320, 640), "white")
    after = before.copy()
    after.paste("black", (300, 0, 320, 20))  # a clock in the corner
    one, other = Screenshot.from_image(before), Screenshot.from_image(after)
    assert not has_changed(one, one, [(310, 10)])
    assert not has_changed(one, other, [(100, 100)])
    assert not has_changed(one, other, [])
    assert has_changed(one, other, [(310, 10)])
    assert has_changed(one, other, [(100, 100), (319, 0)])
    assert has_changed(one, Screenshot.from_image(before.rotate(90, expand=True)), [(100, 100)])
    after.paste("black", (0, 300, 320, 400))
    assert has_changed(one, Screenshot.from_image(after), [])


async def test_a_hint_goes_into_the_prompts_and_can_be_taken_back(tmp_path: Path) -> None:
    async with demo(tmp_path, HOME, HOME, "finish success") as watched:
        await watched.do(SetMode(mode=Mode.APPROVE), RUN, Hint(text="look at the top"))
        await watched.do(Approve(proposal=(await watched.proposal()).proposal))
        await watched.proposal(step=1)
        await watched.do(Hint(text=""))
        await watched.do(SetMode(mode=Mode.AUTO))
        await watched.end()
    said = ["Hint from the user: look at the top" in prompt[-1].text for prompt in watched.policy.prompts]
    assert said[1:] == [True, False]


async def test_a_planner_speaks_before_its_actor_is_asked(tmp_path: Path) -> None:
    lines = ("open the clock", f"{OPEN}", "finish", "finish success")
    async with demo(tmp_path, *lines, kind=AgentKind.HIERARCHICAL) as watched:
        await watched.do(SetMode(mode=Mode.APPROVE), RUN)
        proposal = await watched.proposal()
        await watched.do(Edit(proposal=proposal.proposal, action=Click(x=84, y=168)))
        await watched.do(Approve(proposal=(await watched.proposal(step=1)).proposal))
        trajectory = await watched.end()
    parts = [(event.role, event.part.value) for event in watched.of(SaidEvent)]
    assert parts[0] == ("planner", "subgoal")
    step = trajectory.steps[0]
    assert [candidate.kind.value for candidate in step.candidates] == ["subgoal", "action"]
    assert [completion.role.value for completion in step.completions] == ["planner", "actor"]


async def test_what_a_rule_denies_is_not_done_by_anybody(tmp_path: Path) -> None:
    rules = default_rules().with_decision(("clock",), Ruling.DENY)
    async with demo(tmp_path, "click 84 168", "finish success", judge=Judge(rules=rules)) as watched:
        with pytest.raises(ProtocolError, match="forbidden"):
            await watched.do(Act(action=Click(x=84, y=168)))
        await watched.do(RUN)
        trajectory = await watched.end()
    step = trajectory.steps[0]
    assert (step.requested, step.executed) == (Click(x=84, y=168), None)
    assert step.error is not None
    assert "denied" in step.error
    assert trajectory.source["safety"][0]["decision"] == "deny"


@pytest.mark.parametrize("agrees", [True, False])
async def test_what_needs_a_yes_waits_for_a_person(tmp_path: Path, agrees: bool) -> None:
    rules = default_rules().with_decision(("clock",), Ruling.CONFIRM)
    async with demo(tmp_path, "click 84 168", "finish success", judge=Judge(rules=rules)) as watched:
        await watched.do(RUN)
        proposal = await watched.proposal()
        assert proposal.needs is Need.CONFIRMATION
        assert "clock" in proposal.reason
        if agrees:
            await watched.do(Approve(proposal=proposal.proposal))
        else:
            await watched.do(Reject(proposal=proposal.proposal))
        trajectory = await watched.end()
    assert trajectory.steps[0].executed == (Click(x=84, y=168) if agrees else Finish())
    async with demo(tmp_path, "click 84 168", judge=Judge(rules=rules)) as watched:
        watched.session.desk.attended = False
        await watched.do(RUN)
        assert (await watched.end()).stop is StopReason.SAFETY  # nobody is there to say yes
    async with demo(tmp_path, "finish success", judge=Judge(rules=rules)) as watched:
        await watched.do(replace(RUN, takeover=True), Act(action=Click(x=84, y=168)))
        await watched.steps(1)  # who acts by hand has said yes
        await watched.do(Stop())
        await watched.end()


async def test_who_acts_by_hand_after_an_episode_is_not_asked(tmp_path: Path) -> None:
    rules = default_rules().with_decision(("clock",), Ruling.CONFIRM)
    async with demo(tmp_path, "finish success", judge=Judge(rules=rules)) as watched:
        await watched.do(RUN)
        await watched.end()  # its last deed was the agent's
        async with asyncio.timeout(30):
            await watched.do(Act(action=Click(x=84, y=168)))
        assert not [event for event in watched.of(ProposalEvent) if event.needs is Need.CONFIRMATION]


async def test_stop_while_an_action_is_judged_performs_nothing(tmp_path: Path) -> None:
    judged, go_on = asyncio.Event(), asyncio.Event()

    class Slow(PhoneDevice):
        performed = 0

        async def scene(self, action: Action) -> Scene:
            if action == SystemButton(button=Button.HOME):
                judged.set()
                await go_on.wait()
            return await super().scene(action)

        async def execute(self, action: Action | ParseError) -> ActionResult:
            self.performed += 1
            return await super().execute(action)

    device = Slow()
    async with demo(tmp_path, HOME, device=device) as watched:
        go_on.set()
        await watched.do(SetMode(mode=Mode.APPROVE), RUN)
        await watched.do(Approve(proposal=(await watched.proposal()).proposal))
        proposal = await watched.proposal(step=1)
        go_on.clear()
        judged.clear()
        before = device.performed
        await watched.do(Approve(proposal=proposal.proposal))
        await judged.wait()
        await watched.do(Stop())
        go_on.set()
        await watched.session.ended()
        assert device.performed == before
        trajectory = watched.stored()
    assert trajectory.stop is StopReason.USER
    assert all(step.executed is not None for step in trajectory.steps)  # the stopped one is no step


async def test_waiting_is_cut_short_and_leaves_no_step(tmp_path: Path) -> None:
    class Patient(PhoneDevice):  # the virtual phone itself waits in no time
        async def execute(self, action: Action | ParseError) -> ActionResult:
            await asyncio.sleep(3600 if isinstance(action, Wait) else 0)
            return await super().execute(action)

    async with demo(tmp_path, HOME, "wait 60", device=Patient()) as watched:
        await watched.do(SetMode(mode=Mode.APPROVE), RUN)
        await watched.do(Approve(proposal=(await watched.proposal()).proposal))
        await watched.do(Approve(proposal=(await watched.proposal(step=1)).proposal))
        await watched.until(lambda: watched.session.state.phase == "acting")
        await watched.do(Stop())
        trajectory = await watched.end()
    assert [step.executed for step in trajectory.steps] == [SystemButton(button=Button.HOME)]


async def test_a_secret_is_typed_but_never_written_down(tmp_path: Path) -> None:
    typed: list[str] = []

    class Typing(PhoneDevice):
        async def execute(self, action: Any) -> ActionResult:
            if isinstance(action, TypeText):
                typed.append(action.text)
                return ActionResult(executed=action)
            return await super().execute(action)

    async with demo(tmp_path, HOME, "finish success", device=Typing()) as watched:
        await watched.do(replace(RUN, takeover=True))
        await watched.do(Act(action=TypeText(text="hunter22"), secret=True, thought="it is hunter22"))
        await watched.steps(1)
        with pytest.raises(ProtocolError, match=r"write its name in braces instead: \{TYPED_1\}"):
            await watched.do(Hint(text="the password is hunter22"))
        await watched.do(Takeover(on=False))
        trajectory = await watched.end()
    assert typed == ["hunter22"]
    assert trajectory.steps[0].executed == TypeText(text="{TYPED_1}")
    said = "".join(map(repr, watched.events)) + "".join(map(repr, watched.policy.prompts))
    assert "hunter22" not in said
    assert "hunter22" not in repr(trajectory)
    with pytest.raises(ProtocolError, match="characters"):
        async with demo(tmp_path, HOME) as watched:
            await watched.do(Act(action=TypeText(text="abc"), secret=True))


async def test_circles_and_limits(tmp_path: Path) -> None:
    async with demo(tmp_path, HOME, loop_limit=2) as watched:
        await watched.do(RUN)
        assert "again and again" in (await watched.proposal()).reason  # a person is asked
        watched.session.desk.attended = False
        watched.session.desk.touch()
        assert (await watched.end()).stop is StopReason.LOOP
    limits: list[tuple[dict[str, Any], StopReason]] = [
        ({"max_steps": 2}, StopReason.STEP_LIMIT),
        ({"time_limit_s": 1e-9}, StopReason.TIME_LIMIT),
        ({"meter": Budget(max_tokens=4)}, StopReason.BUDGET),
        ({"meter": Budget(max_cost=1.0, price_input=1e6)}, StopReason.BUDGET),
    ]
    for settings, stop in limits:
        async with demo(tmp_path, HOME, loop_limit=0, **settings) as watched:
            await watched.do(RUN)
            assert (await watched.end()).stop is stop


async def test_a_model_that_fails_is_asked_again(tmp_path: Path) -> None:
    async with demo(tmp_path, PolicyError("no answer"), "finish success") as watched:
        await watched.do(RUN)
        await watched.until(lambda: watched.session.state.phase == "paused")
        assert "no answer" in watched.of(NoticeEvent)[-1].text
        assert watched.of(NoticeEvent)[-1] in watched.session.story()  # a page that comes later sees why
        watched.session.desk.attended = False  # who leaves a paused episode finds it paused
        watched.session.desk.touch()
        await watched.do(Resume())
        assert (await watched.end()).stop is StopReason.FINISHED
        assert watched.of(NoticeEvent)[-1] not in watched.session.story()


async def test_a_model_that_fails_with_nobody_there_ends_the_episode(tmp_path: Path) -> None:
    async with demo(tmp_path, HOME, PolicyError("no answer")) as watched:
        watched.session.desk.attended = False
        await watched.do(RUN)
        trajectory = await watched.end()
        assert (trajectory.stop, trajectory.outcome.verdict) == (StopReason.MODEL_FAULT, Verdict.UNSCORED)
        assert trajectory.fault == "PolicyError: no answer"
        assert len(trajectory.steps) == 1
        assert trajectory.final_screenshot_sha256 is not None
        assert "no answer" in watched.of(NoticeEvent)[-1].text
        ended = watched.of(EpisodeEvent)[-1]
        assert (ended.reason, ended.stored) == ("the model failed", True)
        assert watched.session.state.phase == "idle"
        await watched.do(RUN)  # and fails at once: there is nothing to store
        await watched.session.ended()
        assert not watched.of(EpisodeEvent)[-1].stored


@pytest.mark.parametrize("attended", [True, False])
async def test_a_bug_loses_no_step(tmp_path: Path, attended: bool) -> None:
    said: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context["exception"]))
    async with demo(tmp_path, HOME, KeyError("no such adapter")) as watched:
        watched.session.desk.attended = attended
        await watched.do(RUN)
        trajectory = await watched.end()
        assert (trajectory.stop, len(trajectory.steps)) == (StopReason.PROGRAM_FAULT, 1)
        await watched.until(lambda: watched.of(NoticeEvent))
        assert "no such adapter" in watched.of(NoticeEvent)[-1].text
        assert watched.session.state.phase == "idle"
    assert [type(error) for error in said] == [KeyError]


class Breaking(PhoneDevice):
    """Breaks, or sees nothing, when it is told to."""

    error: DeviceError | None = None
    is_gone = False

    async def scene(self, action: Action) -> Scene:
        if self.is_gone:
            raise DeviceError("the cable is out")
        return await super().scene(action)

    async def observe(self) -> Observation:
        if self.error is not None:
            raise self.error
        return await super().observe()


async def test_a_device_that_breaks_leaves_the_episode_unscored(tmp_path: Path) -> None:
    device = Breaking()
    async with demo(tmp_path, HOME, device=device) as watched:
        await watched.do(SetMode(mode=Mode.APPROVE), RUN)
        proposal = await watched.proposal()
        device.error = DeviceError("the cable is out")
        await watched.do(Approve(proposal=proposal.proposal))
        trajectory = await watched.end()
        assert (trajectory.stop, trajectory.outcome.verdict) == (StopReason.DEVICE_FAULT, Verdict.UNSCORED)
        assert watched.session.state.phase == "fault"
        with pytest.raises(ProtocolError, match="reconnect"):
            await watched.do(RUN)
        await watched.do(Reconnect())
        assert watched.session.state.phase == "fault"
        device.error = None
        await watched.do(Reconnect())
        assert watched.session.state.phase == "idle"
        await watched.do(RUN)
        await watched.proposal()


async def test_no_picture_is_a_notice_and_never_a_black_frame(tmp_path: Path) -> None:
    device = Breaking()
    async with demo(tmp_path, HOME, device=device, poll_interval_s=0.01) as watched:
        before = watched.session.feed.newest
        device.error = CaptureError("the screen is dark")
        await watched.until(lambda: watched.of(NoticeEvent))
        assert watched.session.feed.newest is before
        assert watched.session.state.phase == "idle"
        assert len(watched.of(NoticeEvent)) == 1
        device.is_gone = True  # and now somebody pulls the cable
        await watched.until(lambda: watched.session.state.phase == "fault")
        assert "the cable is out" in watched.of(NoticeEvent)[-1].text
        device.error, device.is_gone = None, False
        await watched.do(Reconnect())
        assert watched.session.state.phase == "idle"


async def test_going_on_where_the_device_is(tmp_path: Path) -> None:
    async with demo(tmp_path, f"clock {OPEN}", "finish success") as watched:
        await watched.do(RUN)
        first = await watched.end()
        watched.policy.lines = ["finish success"]
        await watched.do(Run(goal="and now", fresh=False))
        second = await watched.end()
        assert second.steps[0].screenshot_sha256 == first.final_screenshot_sha256
        assert second.task_id.endswith(f"/after/{first.episode_id}")  # no other task begins there
        with pytest.raises(ProtocolError, match="fresh"):
            await watched.do(replace(TASK, fresh=False))
        with pytest.raises(ProtocolError, match="say what to do"):
            await watched.do(Run())


async def test_an_export_is_a_store_and_a_page(tmp_path: Path) -> None:
    async with demo(tmp_path, HOME, "finish success") as watched:
        with pytest.raises(ProtocolError, match="no episode"):
            await watched.do(Export())
        await watched.do(RUN)
        trajectory = await watched.end()
        await watched.do(Export())
        name = watched.of(ExportedEvent)[0].name
        file = watched.session.archive.exported(name)
        assert watched.session.archive.exported(f"../{name}") is None
    assert file is not None
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path / "out")
    copy = TrajectoryStore.open(tmp_path / "out" / "trajectories")
    assert check_store(copy).ok
    assert copy.episode_ids == [trajectory.episode_id]
    assert "open the clock" in (tmp_path / "out" / "episodes.html").read_text(encoding="utf-8")


async def test_a_thumb_that_is_taken_back_leaves_the_word_of_the_check(tmp_path: Path) -> None:
    async with demo(tmp_path, "finish success", source={SAMPLING_LIMIT: 9}) as watched:
        await watched.do(TASK)
        before = await watched.end()
        for verdict in ("success", "failure", "unscored"):
            await watched.do(SetOutcome(episode_id=before.episode_id, verdict=verdict))
            expected = before.outcome.verdict.value if verdict == "unscored" else verdict
            assert watched.stored().outcome.verdict == expected
        assert watched.stored() == before
        assert json.dumps(before.source)
        with pytest.raises(ProtocolError, match="no stored episode"):
            await watched.do(SetOutcome(episode_id="other", verdict="success"))
    assert ConfirmMode.ASK is SessionSettings().confirm


async def test_a_step_with_a_model_that_fails_pauses_too(tmp_path: Path) -> None:
    async with demo(tmp_path, PolicyError("no answer")) as watched:
        await watched.do(replace(RUN, takeover=True), StepOnce())
        await watched.until(lambda: watched.session.state.phase == "paused" and watched.policy.prompts)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(watched.policy.prompts) == 1  # it is not asked again and again


async def test_undo_twice_takes_two_steps_back(tmp_path: Path) -> None:
    async with demo(tmp_path, f"clock {OPEN}", "back button back", HOME) as watched:
        await watched.do(SetMode(mode=Mode.APPROVE), RUN)
        for step in range(2):
            await watched.do(Approve(proposal=(await watched.proposal(step=step)).proposal))
        await watched.proposal(step=2)
        await watched.do(Undo(), Undo())  # before the first one is done
        with pytest.raises(ProtocolError, match="1 steps cannot be undone; 0 can"):
            await watched.do(Undo())
        await watched.steps(0)
        await watched.do(Stop())
        await watched.session.ended()


async def test_what_the_rules_said_belongs_to_its_episode(tmp_path: Path) -> None:
    rules = default_rules().with_decision(("clock",), Ruling.DENY)
    async with demo(tmp_path, "click 84 168", "finish success", judge=Judge(rules=rules)) as watched:
        await watched.do(RUN)
        assert len((await watched.end()).source["safety"]) == 1
        await watched.do(replace(RUN, fresh=False))
        assert "safety" not in (await watched.end()).source


async def test_an_undo_that_the_device_cannot_do_is_no_step(tmp_path: Path) -> None:
    class Forgetful(PhoneDevice):
        async def restore(self, snapshot: Any) -> None:
            raise DeviceError("the snapshot is gone")

    async with demo(tmp_path, HOME, HOME, device=Forgetful(), loop_limit=0) as watched:
        await watched.do(SetMode(mode=Mode.APPROVE), RUN)
        await watched.do(Approve(proposal=(await watched.proposal()).proposal))
        await watched.proposal(step=1)
        await watched.do(Undo())
        trajectory = await watched.end()
    assert (trajectory.stop, len(trajectory.steps)) == (StopReason.DEVICE_FAULT, 1)


async def test_a_persons_action_at_which_the_device_breaks_is_no_step_of_the_agents(tmp_path: Path) -> None:
    class Fragile(PhoneDevice):
        async def execute(self, action: Action | ParseError) -> ActionResult:
            if isinstance(action, OpenApp):
                raise DeviceError("the cable is out")
            return await super().execute(action)

    async with demo(tmp_path, HOME, device=Fragile()) as watched:
        await watched.do(replace(RUN, takeover=True), Act(action=SystemButton(button=Button.HOME)))
        await watched.steps(1)
        await watched.do(Act(action=OpenApp(name="clock")))
        trajectory = await watched.end()
    assert trajectory.stop is StopReason.DEVICE_FAULT
    assert [step.source for step in trajectory.steps] == [ActionSource.HUMAN]


class Restless(PhoneDevice):
    """Another button lies under the point at each look that is taken before an action."""

    def __init__(self, *labels: str) -> None:
        super().__init__()
        self.labels = list(labels)
        self.performed: list[Action | ParseError] = []

    async def scene(self, action: Action) -> Scene:
        if not isinstance(action, Click):
            return await super().scene(action)
        label = self.labels.pop(0) if len(self.labels) > 1 else self.labels[0]
        return Scene(place="app", hit=(Target(labels=(label,), role="button"),))

    async def execute(self, action: Action | ParseError) -> ActionResult:
        self.performed.append(action)
        return await super().execute(action)


async def test_what_was_shown_as_forbidden_is_not_done_when_the_screen_has_changed(tmp_path: Path) -> None:
    rules = default_rules().with_decision(("clock",), Ruling.DENY)
    device = Restless("clock", "calendar")  # forbidden when it is shown, nothing against it a moment later
    async with demo(tmp_path, "click 84 168", device=device, judge=Judge(rules=rules)) as watched:
        await watched.do(SetMode(mode=Mode.APPROVE), RUN)
        proposal = await watched.proposal()  # the agent is asked anew, and the person too
        assert (proposal.step, proposal.needs) == (0, Need.APPROVAL)
        assert device.performed == []
        await watched.do(Approve(proposal=proposal.proposal))
        await watched.steps(1)
        await watched.do(Stop())
        trajectory = await watched.end()
    assert [step.executed for step in trajectory.steps] == [Click(x=84, y=168)]


async def test_a_question_that_comes_late_ends_with_who_could_answer_it(tmp_path: Path) -> None:
    rules = default_rules().with_decision(("clock",), Ruling.CONFIRM)
    device = Restless("calendar", "clock")
    async with demo(tmp_path, "click 84 168", device=device, judge=Judge(rules=rules)) as watched:
        await watched.do(RUN)
        assert (await watched.proposal()).needs is Need.CONFIRMATION
        watched.session.desk.attended = False  # the tab is closed
        watched.session.desk.touch()
        assert (await watched.end()).stop is StopReason.SAFETY


async def test_thinking_about_a_late_question_costs_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_s = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: passed_s)
    rules = default_rules().with_decision(("clock",), Ruling.CONFIRM)
    device = Restless("calendar", "clock")
    lines = ("click 84 168", "finish success")
    async with demo(tmp_path, *lines, device=device, judge=Judge(rules=rules), time_limit_s=60) as watched:
        await watched.do(RUN)
        proposal = await watched.proposal()
        passed_s = 100.0
        await watched.do(Approve(proposal=proposal.proposal))
        trajectory = await watched.end()
    assert trajectory.stop is StopReason.FINISHED
    assert trajectory.steps[0].timings.execute_s == 0
    seconds = watched.of(StepEvent)[0].seconds
    assert (seconds.execute, seconds.person) == (0, 100)


async def test_no_picture_after_acting_by_hand_is_no_fault(tmp_path: Path) -> None:
    device = Breaking()
    async with demo(tmp_path, HOME, device=device) as watched:
        device.error = CaptureError("the screen is dark")
        await watched.do(Act(action=SystemButton(button=Button.HOME)))
        assert watched.session.state.phase == "idle"
        assert "no picture" in watched.of(NoticeEvent)[-1].text
        device.error = DeviceError("the cable is out")
        await watched.do(Act(action=SystemButton(button=Button.HOME)))
        assert watched.session.state.phase == "fault"


async def test_what_was_begun_before_an_episode_is_not_done_in_it(tmp_path: Path) -> None:
    looked, go_on = asyncio.Event(), asyncio.Event()

    class Slow(PhoneDevice):
        async def scene(self, action: Action) -> Scene:
            if isinstance(action, OpenApp):
                looked.set()
                await go_on.wait()
            return await super().scene(action)

    async with demo(tmp_path, HOME, device=Slow()) as watched:
        acting = asyncio.ensure_future(watched.do(Act(action=OpenApp(name="clock"))))
        await looked.wait()
        await watched.do(replace(RUN, takeover=True))  # from another tab, which has taken control
        go_on.set()
        with pytest.raises(ProtocolError, match="an episode has begun"):
            await acting
        await watched.do(Stop())
        await watched.session.ended()


async def test_nothing_is_answered_where_nothing_is_asked(tmp_path: Path) -> None:
    async with demo(tmp_path, HOME) as watched:
        await watched.do(replace(RUN, takeover=True))
        for command in (Approve(proposal=0), Edit(proposal=0, action=Finish()), Reject(proposal=0)):
            with pytest.raises(ProtocolError, match="waits for no answer"):
                await watched.do(command)


async def test_the_device_is_given_back_also_when_nobody_waits_for_the_episode(tmp_path: Path) -> None:
    """A second Ctrl-C, while the first one waits for a device that hangs."""
    hangs, given_back = asyncio.Event(), asyncio.Event()

    class Hanging(PhoneDevice):
        async def execute(self, action: Action | ParseError) -> ActionResult:
            hangs.set()
            await asyncio.Event().wait()
            raise AssertionError

    async def serve() -> None:
        async with demo(tmp_path, HOME, device=Hanging(), on_close=given_back.set) as watched:
            await watched.do(RUN)
            await hangs.wait()

    serving = asyncio.ensure_future(serve())
    await hangs.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert given_back.is_set()


async def test_a_full_disk_is_told_and_the_demo_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bugs: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: bugs.append(context))

    def full(record: object) -> None:
        raise OSError(28, "No space left on device")

    async with demo(tmp_path, "finish success") as watched:
        monkeypatch.setattr(watched.session.store, "append", full)
        await watched.do(RUN)
        await watched.session.ended()
        assert watched.of(NoticeEvent)[-1].code == "episode"
        assert "No space left" in watched.of(NoticeEvent)[-1].text
        assert watched.session.state.phase == "idle"
    assert bugs == []
