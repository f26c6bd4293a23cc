"""`gui-agent run`: one goal on one device, watched in a terminal."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, assert_never

from devices.android.apps import COMMON_PACKAGES
from devices.browser.site import SiteTask
from devices.goals import goal_on
from devices.registry import resolve_suite
from gui_agent.actions import Answer, Finish, FinishStatus
from gui_agent.agent import Agent, EpisodeContext
from gui_agent.cli.agents import AgentOptions, agents_for, open_policy
from gui_agent.cli.config import option
from gui_agent.cli.consent import TerminalConfirm, has_terminal
from gui_agent.cli.default_model import with_default_model
from gui_agent.cli.devices import open_devices
from gui_agent.cli.folders import make_folder
from gui_agent.cli.run_view import Heading, RunView, printable, view_for
from gui_agent.device import Device, StopReason, Task, TaskSource, Verdict
from gui_agent.errors import ConfigError
from gui_agent.interruption import INTERRUPTED, InterruptibleAgent
from gui_agent.observation import Observation
from gui_agent.safety import (
    Confirm,
    Consent,
    Decision,
    Judge,
    SafeDevice,
    SafetyEvent,
    Secrets,
    always_stop,
    always_yes,
)
from gui_agent.safety.budget import Budget, MeteredPolicy
from gui_agent.safety.device import HALTED
from gui_agent.safety.options import ConfirmMode, SafetyOptions, check_goal
from trainers.rewards import SAMPLING_LIMIT
from trajectories.collect import demonstrator_for
from trajectories.episode import run_episode
from trajectories.loops import LoopDetector
from trajectories.masking import masked_record, masked_step
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore

AgentFor = Callable[[Device], Agent]


class RunExit(IntEnum):
    """How an episode ended, as the exit status of `gui-agent run`."""

    DONE = 0
    """The agent finished; the task's check says success, or there is none."""
    FAILED = 1
    """The model, its server or this program failed, as for every command; the steps until then are kept."""
    DEVICE_FAULT = 4
    """The device broke, as for every command."""
    WRONG = 10
    """The agent finished; the task's check says failure."""
    GAVE_UP = 11
    """The agent said that it cannot be done."""
    STEP_LIMIT = 12
    TIME_LIMIT = 13
    LOOP = 14
    """The agent did the same in the same state again and again."""
    SAFETY = 15
    """A safety rule held an action back, or the agent left the apps and sites that are allowed."""
    BUDGET = 16
    """The tokens or the money are spent."""
    USER = 130
    """Ctrl-C."""


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

    @property
    def is_real(self) -> bool:
        """Whether something can be hit there that matters: a phone behind adb, or a page of one's own."""
        return self.devices.startswith("android") or isinstance(self.task, SiteTask)


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
        if self.expert and not self.task:
            raise ConfigError("a goal in words has no expert; name a model, or a task of a suite with --task")
        if self.expert and self.agent.model:
            raise ConfigError("either the expert acts or a model; leave --expert or --model away")
        self._budget()
        check_goal(self.goal, Secrets())

    def dry_run(self) -> int:
        """Check the task and the model's name; nothing is loaded, no device is touched."""
        errand = self._errand()
        ready = self._with_model()
        if not self.expert:
            ready.agent.require_model()
        self._guard(errand)
        print(f"would run {errand.task.goal!r} with {ready._agent_name()} on {errand.device}")
        return 0

    def run(self) -> int:
        """Run the episode, store it, and say how it ended."""
        self._errand()  # a task that is none is told before a model that is missing
        return asyncio.run(self._with_model()._run())

    def _with_model(self) -> Run:
        """The same run with the quickstart's model, if none is named."""
        return self if self.expert else replace(self, agent=with_default_model(self.agent))

    def _errand(self) -> Errand:
        if not self.task:
            found = goal_on(self.device or "phone", self.goal)
            task = found.suite.task(found.suite.templates[0], self.seed)
            return Errand(task=task, suite=found.suite, devices=found.devices, device=self.device or "phone")
        suite_name, _, rest = self.task.partition(":")
        template, colon, seed = rest.rpartition(":")
        if not colon or not template or not seed.isdecimal():
            raise ConfigError(
                f"task {self.task!r}: expected SUITE:TEMPLATE:SEED, such as phone/quickstart:set_alarm:7"
            )
        suite = resolve_suite(suite_name)
        world = suite_name.partition("/")[0]
        devices = self.device or {"miniwob": "browser:1"}.get(world, f"{world}:1")
        return Errand(
            task=suite.task(template, int(seed)), suite=suite, devices=devices, device=self.device or world
        )

    def _agent_name(self) -> str:
        return "the task's expert" if self.expert else self.agent.model

    async def _run(self) -> int:
        errand = self._errand()
        if not self.expert:
            self.agent.require_model()
        judge, secrets = self._guard(errand)
        budget = self._budget()
        make_folder(self.store, "store")
        source = {} if self.expert else {SAMPLING_LIMIT: self.agent.max_completion_length}
        store = TrajectoryStore.open_or_create(self.store, source={"command": "run"})
        kept: list[Trajectory] = []
        try:
            with view_for(quiet=self.json) as view:
                async with (
                    self._agents(budget) as agent_for,
                    open_devices(errand.devices, errand.suite, is_patient=False) as factory,
                    factory.lease() as device,
                ):
                    agent = InterruptibleAgent(agent_for(device))
                    asking = TerminalConfirm(view.paused)
                    safe = SafeDevice(
                        device,
                        judge=judge,
                        confirm=self._confirm(errand, asking),
                        secrets=secrets,
                        on_event=lambda event: _show_event(event, view),
                        halted=lambda: agent.interrupted,
                    )

                    def keep(record: EpisodeRecord) -> None:
                        """At once: what follows, such as giving the device back, may fail."""
                        record = masked_record(_with_safety(record, safe, budget), secrets)
                        store.append(record)
                        kept.append(record.trajectory)

                    with _CtrlC(agent, asking, view):
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

    def _budget(self) -> Budget:
        return Budget(
            max_tokens=self.guard.token_budget,
            max_cost=self.guard.cost_limit,
            price_input=self.guard.price_input,
            price_output=self.guard.price_output,
        )

    def _guard(self, errand: Errand) -> tuple[Judge, Secrets]:
        """What the safety options mean here; wrong ones are told before anything starts."""
        task = errand.task
        url = task.url if isinstance(task, SiteTask) else ""
        secrets = self.guard.secrets(start_url=url)
        check_goal(task.goal, secrets)
        return self.guard.judge(start_url=url, packages_of=_packages_of), secrets

    def _confirm(self, errand: Errand, asking: TerminalConfirm) -> Confirm:
        """Whom to ask, as --confirm says."""
        match self.guard.confirm:
            case ConfirmMode.ALLOW:
                return always_yes
            case ConfirmMode.DENY:
                return always_stop
            case ConfirmMode.AUTO if not errand.is_real:
                return always_yes
            case ConfirmMode.AUTO | ConfirmMode.ASK:
                return asking if has_terminal() else always_stop
            case _:
                assert_never(self.guard.confirm)

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
        return _as_interrupted(record) if agent.interrupted else record

    def _report(self, trajectory: Trajectory, budget: Budget) -> None:
        code = run_exit(trajectory)
        verdict, steps = trajectory.outcome.verdict, len(trajectory.steps)
        if self.json:
            said = {
                "end": code.name.lower(),
                "exit_code": int(code),
                "verdict": verdict.value,
                "detail": trajectory.outcome.detail,
                "progress": trajectory.outcome.progress,
                "answer": _answer(trajectory),
                "steps": steps,
                "held": _held(trajectory),
                "tokens_read": budget.tokens_read,
                "tokens_written": budget.tokens_written,
                "cost": round(budget.cost, 6),
                "wall_s": round(trajectory.wall_s, 3),
                "episode_id": trajectory.episode_id,
                "store": str(self.store),
            }
            print(json.dumps(said))
            return
        if answer := _answer(trajectory):
            print(f"answer: {printable(answer)}")
        end = _ENDS[code].format(loop_limit=self.loop_limit)
        # What failed is said by the error that follows.
        detail = "" if code is RunExit.FAILED else f" ({printable(trajectory.outcome.detail)})"
        print(f"{end} after {steps} steps, {trajectory.wall_s:.1f} s; {verdict.value}{detail}")
        if budget.tokens:
            print(budget.sentence)
        print(f"episode {trajectory.episode_id} in {self.store}; see it with: gui-agent view {self.store}")


_ENDS = {
    RunExit.DONE: "finished",
    RunExit.WRONG: "finished, but not done",
    RunExit.GAVE_UP: "gave up",
    RunExit.STEP_LIMIT: "stopped at the step limit",
    RunExit.TIME_LIMIT: "stopped at the time limit",
    RunExit.LOOP: "stopped: the same action in the same state {loop_limit} times",
    RunExit.SAFETY: "stopped by a safety rule",
    RunExit.BUDGET: "stopped: the budget is spent",
    RunExit.FAILED: "broken off by a failure",
    RunExit.DEVICE_FAULT: "the device broke",
    RunExit.USER: "stopped by Ctrl-C",
}


def run_exit(trajectory: Trajectory) -> RunExit:
    """How an episode ended; what its check says counts where the agent, or the world, ended it."""
    match trajectory.stop:
        case StopReason.MODEL_FAULT | StopReason.PROGRAM_FAULT:
            return RunExit.FAILED
        case StopReason.DEVICE_FAULT:
            return RunExit.DEVICE_FAULT
        case StopReason.STEP_LIMIT:
            return RunExit.STEP_LIMIT
        case StopReason.TIME_LIMIT:
            return RunExit.TIME_LIMIT
        case StopReason.LOOP:
            return RunExit.LOOP
        case StopReason.SAFETY:
            return RunExit.SAFETY
        case StopReason.BUDGET:
            return RunExit.BUDGET
        case StopReason.USER:
            return RunExit.USER
        case _:
            last = trajectory.steps[-1].executed if trajectory.steps else None
            if isinstance(last, Finish) and last.status is FinishStatus.FAILURE:
                return RunExit.GAVE_UP
            return RunExit.WRONG if trajectory.outcome.verdict is Verdict.FAILURE else RunExit.DONE


def _answer(trajectory: Trajectory) -> str:
    answers = [step.executed.text for step in trajectory.steps if isinstance(step.executed, Answer)]
    return answers[-1] if answers else ""


def _held(trajectory: Trajectory) -> list[dict[str, Any]]:
    """What the safety rules said on the way."""
    found = trajectory.source.get("safety", [])
    return found if isinstance(found, list) else []


def _packages_of(name: str) -> Sequence[str]:
    return COMMON_PACKAGES.get(name.lower(), ())


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


def _as_interrupted(record: EpisodeRecord) -> EpisodeRecord:
    """What Ctrl-C leaves of an episode.

    A step that was cut short is left out: it is no deed of the agent, and nothing was executed. Ctrl-C in
    place of an answer holds an action back, but it is the person who ended the episode.
    """
    trajectory = record.trajectory
    last = trajectory.steps[-1] if trajectory.steps else None
    if last is not None and (last.requested is INTERRUPTED or last.error == HALTED):
        trajectory = replace(trajectory, steps=trajectory.steps[:-1])
    if trajectory.stop is StopReason.SAFETY:
        trajectory = replace(trajectory, stop=StopReason.USER)
    return replace(record, trajectory=trajectory)


class _CtrlC:
    """While it lasts, the first Ctrl-C (or SIGTERM) interrupts the agent, a second one this program."""

    def __init__(self, agent: InterruptibleAgent, asking: TerminalConfirm, view: RunView) -> None:
        self._agent = agent
        self._asking = asking
        self._view = view
        self._loop = asyncio.get_running_loop()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            self._loop.add_signal_handler(number, self._stop)
            self._before[number] = before

    def __exit__(self, *error: object) -> None:
        self._release()

    def _stop(self) -> None:
        self._agent.interrupt()
        self._asking.stop()
        self._view.note("stopping; Ctrl-C again to end at once")
        self._release()

    def _release(self) -> None:
        while self._before:
            number, before = self._before.popitem()
            self._loop.remove_signal_handler(number)
            signal.signal(number, before)
