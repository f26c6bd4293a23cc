"""`gui-agent run`: one goal on one device, watched in a terminal."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from devices.goals import goal_on
from gui_agent.agent import EpisodeContext
from gui_agent.cli.agents import AgentOptions, agents_for, open_policy
from gui_agent.cli.config import option
from gui_agent.cli.consent import TerminalConfirm, has_terminal
from gui_agent.cli.ctrl_c import CtrlC, as_interrupted
from gui_agent.cli.devices import one_device
from gui_agent.cli.errands import (
    Guarding,
    check_who_acts,
    device_for,
    guarding,
    is_real,
    named_task,
    world_of,
)
from gui_agent.cli.folders import make_folder
from gui_agent.cli.model_defaults import QUICKSTART_MODEL
from gui_agent.cli.run_end import run_exit, said_in_json, said_in_words
from gui_agent.cli.run_view import Heading, RunView, printable, view_for
from gui_agent.cli.signals import run_holding_devices
from gui_agent.device import StopReason, Task, TaskSource
from gui_agent.errors import ConfigError
from gui_agent.interruption import INTERRUPTED, InterruptibleAgent
from gui_agent.observation import Observation
from gui_agent.safety import (
    Confirm,
    Consent,
    Decision,
    SafeDevice,
    SafetyEvent,
    Secrets,
    always_stop,
    always_yes,
)
from gui_agent.safety.budget import Budget, MeteredPolicy
from gui_agent.safety.options import ConfirmMode, SafetyOptions, check_goal
from trainers.rewards import SAMPLING_LIMIT
from trajectories.collect import AgentFor, demonstrator_for
from trajectories.episode import run_episode
from trajectories.loops import LoopDetector
from trajectories.masking import masked_record, masked_step
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What to do, and where.

    Attributes:
        task: with a check, or a goal in words.
        suite: the task is of it.
        devices: one device, as `open_devices` names it.
        device: the same for people.
    """

    task: Task
    suite: TaskSource
    devices: str
    device: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """Do one thing on one device, and store what happened.

    A goal in words has no check: its episode is unscored. A task of a suite (--task) is checked. What
    happens is shown step by step; the episode goes to a trajectory store, for gui-agent view or training.
    Ctrl-C stops before the next action; the device is left as it was found, but for what the agent did.

    The exit code says how it ended: 0 the agent finished (and the check, if there is one, says success),
    10 it finished and the check says failure, 11 it gave up, 12 step limit, 13 time limit, 14 a loop,
    15 a safety rule held an action back, 16 the budget is spent, 4 the device broke, 1 the model or its
    server failed, 130 Ctrl-C; 2, 3 and 5 as for every command. The steps until a failure are stored, too.

    Purchases, deletions, sending, calls, installing and security settings need your yes on phones and web
    pages, and so does leaving the site of the start page; docs/safety.md says what holds and what does not.

    Examples:
        gui-agent run "turn on wifi"
        gui-agent run "turn on wifi" --model runs/mine/semi_online/model
        gui-agent run "Switch dark mode on" --device android:emulator-5554 --model Qwen/Qwen2.5-VL-7B-Instruct
        gui-agent run "Find the opening hours" --device browser:https://example.org/ \\
            --endpoint http://127.0.0.1:8000/v1 --model UI-S1-7B --time-limit-s 300
        gui-agent run "Log in as {USER} with {PASSWORD}" --device browser:https://example.org/ --model m \\
            --endpoint http://127.0.0.1:8000/v1 --secret USER=SITE_USER PASSWORD=SITE_PASSWORD --deny purchase
        gui-agent run --task phone/quickstart:set_alarm:1000000 --expert

    Attributes:
        goal: what to do, in words.
        task: a task with a check instead, as SUITE:TEMPLATE:SEED.
        device: phone (a virtual one; phone:phone has more apps), android:SERIAL, or browser:URL; a task of
            a suite runs in its own world.
        expert: the task's own expert acts instead of a model.
        max_steps: steps at most; 0 takes what the task allows, 30 for a goal in words.
        time_limit_s: no step begins later than this; 0 is no limit.
        loop_limit: stop when the agent asks for the same in the same state so many times; 0 never does.
        seed: draws a virtual phone, and the noise of a sampling model.
        store: trajectory store that the episode is added to.
        json: print one JSON object at the end instead of lines.
        agent: the model that acts; by default the one of the quickstart.
        guard: what it may not do unasked.
    """

    goal: str = option("", positional=True)
    task: str = ""
    device: str = ""
    expert: bool = False
    max_steps: int = 0
    time_limit_s: float = 0.0
    loop_limit: int = 3
    seed: int = 0
    store: Path = Path("runs/run")
    json: bool = False
    agent: AgentOptions = field(default_factory=AgentOptions)
    default_model: ClassVar[str] = QUICKSTART_MODEL
    guard: SafetyOptions = field(default_factory=SafetyOptions)

    def __post_init__(self) -> None:
        if bool(self.goal) == bool(self.task):
            raise ConfigError(
                "say what to do: a goal in words, such as 'turn on wifi', or --task SUITE:TEMPLATE:SEED"
                + (", not both" if self.goal else "")
            )
        for name in ("max_steps", "time_limit_s", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0 or more")
        LoopDetector(limit=self.loop_limit)
        check_who_acts(expert=self.expert, task=self.task, model=self.agent.model)
        self.guard.budget()
        check_goal(self.goal, Secrets())

    def dry_run(self) -> int:
        """Check the task and the model's name; nothing is loaded, no device is touched."""
        errand = self._errand()
        if not self.expert:
            self.agent.require_model()
        self._guard(errand)
        print(f"would run {errand.task.goal!r} with {self._agent_name()} on {errand.device}")
        return 0

    def run(self) -> int:
        """Run the episode, store it, and say how it ended."""
        return run_holding_devices(self._run())

    def _errand(self) -> Errand:
        if not self.task:
            found = goal_on(self.device or "phone", self.goal)
            task = found.suite.task(found.suite.templates[0], self.seed)
            return Errand(task=task, suite=found.suite, devices=found.devices, device=self.device or "phone")
        named = named_task(self.task)
        return Errand(
            task=named.task,
            suite=named.suite,
            devices=self.device or device_for(named.suite),
            device=self.device or world_of(self.task),
        )

    def _agent_name(self) -> str:
        return "the task's expert" if self.expert else self.agent.model

    async def _run(self) -> int:
        errand = self._errand()
        if not self.expert:
            self.agent.require_model()
        guard, budget = self._guard(errand), self.guard.budget()
        make_folder(self.store, "store")
        source = {} if self.expert else {SAMPLING_LIMIT: self.agent.max_completion_length}
        store = TrajectoryStore.open_or_create(self.store, source={"command": "run"})
        kept: list[Trajectory] = []
        try:
            with view_for(quiet=self.json) as view:
                async with (
                    self._agents(budget) as agent_for,
                    one_device(errand.devices, errand.suite) as device,
                ):
                    agent = InterruptibleAgent(agent_for(device))
                    asking = TerminalConfirm(view.paused)
                    confirm = self._confirm(errand, asking, view)
                    safe = SafeDevice(
                        device,
                        judge=guard.judge,
                        confirm=confirm,
                        secrets=guard.secrets,
                        on_event=lambda event: _show_event(event, view),
                        halted=lambda: agent.interrupted,
                    )

                    def keep(record: EpisodeRecord) -> None:
                        """At once: what follows, such as giving the device back, may fail."""
                        record = masked_record(_with_safety(record, safe, budget), guard.secrets)
                        store.append(record)
                        kept.append(record.trajectory)

                    with CtrlC(agent, asking, view):
                        keep(await self._episode(safe, agent, errand, view, source, budget, keep))
        finally:
            for trajectory in kept:
                self._report(trajectory, budget)
        return run_exit(kept[0])

    @asynccontextmanager
    async def _agents(self, budget: Budget) -> AsyncIterator[AgentFor]:
        if self.expert:
            yield demonstrator_for
            return
        async with open_policy(self.agent) as policy:
            yield agents_for(MeteredPolicy(policy, budget), self.agent)

    def _guard(self, errand: Errand) -> Guarding:
        """What the safety options mean here; wrong ones are told before anything starts."""
        guard = guarding(self.guard, errand.task)
        check_goal(errand.task.goal, guard.secrets)
        return guard

    def _confirm(self, errand: Errand, asking: TerminalConfirm, view: RunView) -> Confirm:
        """Whom to ask, as --confirm says."""
        mode = self.guard.confirm_where(is_real=is_real(errand.devices, errand.task))
        if mode is ConfirmMode.ALLOW:
            return always_yes
        if mode is ConfirmMode.ASK and has_terminal():
            return asking
        if mode is ConfirmMode.ASK:
            view.note(
                "nobody can be asked without a terminal: what needs a yes ends the run, unless "
                "--confirm allow lets it pass"
            )
        return always_stop

    async def _episode(
        self,
        device: SafeDevice,
        agent: InterruptibleAgent,
        errand: Errand,
        view: RunView,
        source: dict[str, int],
        budget: Budget,
        on_broken_off: Callable[[EpisodeRecord], None],
    ) -> EpisodeRecord:
        loops = LoopDetector(limit=self.loop_limit)
        looped = False

        def on_step(step: Step, _: Observation) -> None:
            nonlocal looped
            if step.requested is not INTERRUPTED:
                looped = loops.closes(step)
                view.add(masked_step(step, device.secrets))

        def should_stop() -> bool | StopReason:
            return agent.interrupted or (StopReason.LOOP if looped else budget.spent_up or False)

        task = errand.task
        view.begin(
            Heading(
                goal=task.goal,
                device=errand.device,
                agent=self._agent_name(),
                max_steps=self.max_steps or task.max_steps,
            )
        )
        began = datetime.now(UTC)
        record = await run_episode(
            device,
            agent,
            task,
            context=EpisodeContext(
                goal=task.goal,
                episode_id=f"run-{began:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
                seed=self.seed,
            ),
            max_steps=self.max_steps or None,
            time_limit_s=self.time_limit_s or None,
            suite=errand.suite.suite,
            policy_name="oracle" if self.expert else self.agent.model,
            device_name=errand.device,
            source={**source, "began": began.isoformat(timespec="seconds")},
            on_step=on_step,
            should_stop=should_stop,
            on_broken_off=on_broken_off,
        )
        return as_interrupted(record) if agent.interrupted else record

    def _report(self, trajectory: Trajectory, budget: Budget) -> None:
        if self.json:
            print(said_in_json(trajectory, budget, self.store))
        else:
            print(said_in_words(trajectory, budget, self.store, loop_limit=self.loop_limit))


def _show_event(event: SafetyEvent, view: RunView) -> None:
    if event.verdict.decision is Decision.ALLOW:
        return
    became = "allowed" if event.consent is Consent.YES else "left" if event.executed else "held back"
    view.note(f"safety: {became}: {printable(event.verdict.sentence)}")


def _with_safety(record: EpisodeRecord, device: SafeDevice, budget: Budget) -> EpisodeRecord:
    """Keep beside the episode what the rules said and what it took."""
    said = {
        "safety": [event.to_dict() for event in device.events],
        "tokens_read": budget.tokens_read,
        "tokens_written": budget.tokens_written,
    }
    trajectory = record.trajectory
    return replace(record, trajectory=replace(trajectory, source={**trajectory.source, **said}))
