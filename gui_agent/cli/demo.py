"""`gui-agent demo`: watch an agent work on a device, correct it, and keep what happened to learn from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from devices.android.tasks import AndroidGoal
from devices.goals import goal_on
from devices.phone.factory import phone_devices
from gui_agent.cli.agents import AgentOptions, agents_for, open_policy
from gui_agent.cli.devices import one_device
from gui_agent.cli.errands import check_who_acts, device_for, guarding, is_real, named_task, world_of
from gui_agent.cli.folders import make_folder
from gui_agent.cli.model_defaults import QUICKSTART_MODEL
from gui_agent.cli.signals import run_holding_devices
from gui_agent.demo.asking import ListenedPolicy
from gui_agent.demo.clients import Clients
from gui_agent.demo.commands import Mode
from gui_agent.demo.protocol import MAX_MESSAGE_BYTES
from gui_agent.demo.server import create_demo
from gui_agent.demo.session import DemoSession
from gui_agent.demo.world import Errand, SessionSettings, World
from gui_agent.device import Device, Task, TaskSource
from gui_agent.errors import ConfigError
from gui_agent.formats.registry import get_format
from gui_agent.safety.budget import Budget, MeteredPolicy
from gui_agent.safety.options import SafetyOptions
from gui_agent.web.serving import ServingOptions, serve_here
from trainers.rewards import SAMPLING_LIMIT
from trajectories.collect import AgentFor, demonstrator_for
from trajectories.loops import LoopDetector
from trajectories.store import TrajectoryStore

_LOOK: Final = "look around"
_EXAMPLES: Final = {
    "phone": ("turn on wifi", "open clock", "go home"),
    "phone:phone": ("turn off wifi and dark", "add an alarm at 12:00", "compute 85+8 with the calculator"),
    "android": ("turn on Wi-Fi", "open the clock"),
}
_WORLDS_ON: Final = {"android": ("phone", "android", "android_world")}
"""Worlds whose tasks run on a kind of device that is not named as they are."""
_POLL_INTERVAL_S: Final = {"phone": 0.1, "android": 1.0, "android_world": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class _AsItIs(AndroidGoal):
    """A phone that is shown as it was found; nothing is pressed."""

    async def set_up(self, device: object) -> None:
        """Nothing."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Watch an agent work on a device, and correct it: a page with its live screen.

    Write what to do; every subgoal, thought and action is shown, the action before it is performed. Pause,
    go step by step, stop at once, approve each action, say where to tap instead, take over by hand, give a
    hint, undo where the device can. Each episode goes to a trajectory store: what you did counts as an
    expert's steps there, thumbs up or down is its outcome, and training takes it as it is.

    The page is reached from this computer only, by the address that is printed. Ctrl-C ends the demo; the
    device is left as it was found, but for what was done on it.

    Examples:
        gui-agent demo
        gui-agent demo --device android:emulator-5554 --model Qwen/Qwen2.5-VL-7B-Instruct --mode approve
        gui-agent demo --device browser:https://example.org/ --endpoint http://127.0.0.1:8000/v1 --model m
        gui-agent demo --task phone/quickstart:set_alarm:1000020 --expert
        gui-agent demo --host 0.0.0.0 --allow-remote --password-env DEMO_PASSWORD

    Attributes:
        device: phone (a virtual one; phone:phone has more apps), android:SERIAL, or browser:URL.
        task: SUITE:TEMPLATE:SEED, a task with a check that is done where no goal is written.
        expert: the task's own expert acts instead of a model.
        mode: auto performs what the agent proposes, approve asks you each time; the page can change it.
        preview_s: an action is shown so long before it is performed.
        max_steps: steps of an episode at most; 0 takes what the task allows, 30 for a goal in words.
        time_limit_s: an episode begins no step after the agent and the device have worked so long; waiting
            for you is free; 0 is no limit.
        loop_limit: ask you before going on when the agent asks for the same in the same state so many times;
            0 never does.
        poll_interval_s: look at the device so often while nothing else uses it; 0 leaves it to 0.1 for a
            virtual phone, 0.5 for a page, 1 for a phone.
        seed: draws a virtual phone, and the noise of a sampling model.
        store: trajectory store that the episodes are added to.
        agent: the model that acts; by default the one of the quickstart.
        guard: what it may not do unasked.
        serving: where the page is served, and to whom.
    """

    device: str = ""
    task: str = ""
    expert: bool = False
    mode: Mode = Mode.AUTO
    preview_s: float = 0.5
    max_steps: int = 0
    time_limit_s: float = 0.0
    loop_limit: int = 3
    poll_interval_s: float = 0.0
    seed: int = 0
    store: Path = Path("runs/demo")
    agent: AgentOptions = field(default_factory=AgentOptions)
    default_model: ClassVar[str] = QUICKSTART_MODEL
    guard: SafetyOptions = field(default_factory=SafetyOptions)
    serving: ServingOptions = field(default_factory=ServingOptions)

    def __post_init__(self) -> None:
        for name in ("preview_s", "max_steps", "time_limit_s", "poll_interval_s", "seed"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0 or more")
        LoopDetector(limit=self.loop_limit)
        check_who_acts(expert=self.expert, task=self.task, model=self.agent.model)
        self.guard.budget()

    def dry_run(self) -> int:
        """Check the device's and the model's name; nothing is loaded, no device is touched."""
        place = Place.of(self.device, self.task, self.seed)
        place.errand("", self.task) if self.task else place.errand(_LOOK, "")
        if not self.expert:
            self.agent.require_model()
        self._settings(place)
        print(f"would serve a demo of {self._agent_name()} on {place.name}")
        return 0

    def run(self) -> int:
        """Serve the page until interrupted."""
        return run_holding_devices(self._run())

    async def _run(self) -> int:
        async with self.opened() as session:
            clients = Clients(session)
            try:
                await serve_here(
                    create_demo(clients),
                    self.serving,
                    title=f"demo of {session.world.agent} on {session.world.device}",
                    max_message_bytes=MAX_MESSAGE_BYTES,
                    on_interrupt=session.interrupt,
                )
            finally:
                await clients.close()
        return 0

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[DemoSession]:
        """The session without its page: load the model, borrow the device; both end with the context.

        Raises:
            ConfigError: a name is wrong, or the model cannot be loaded.
            DeviceError: there is no such device.
        """
        place = Place.of(self.device, self.task, self.seed)
        settings, meter = self._settings(place), self.guard.budget()
        if self.task:
            place.errand("", self.task)  # a task that is none is told here
        if not self.expert:
            self.agent.require_model()
        make_folder(self.store, "store")
        store = TrajectoryStore.open_or_create(self.store, source={"command": "demo"})
        async with self._agents(meter) as (agent_for, policy):
            world = World(
                device=place.name,
                agent=self._agent_name(),
                open_device=place.open_device,
                home=place.home,
                errand=place.errand,
                agent_for=agent_for,
                words=None if self.expert else get_format(self.agent.format).action_space,
                policy=policy,
                meter=meter,
                task=self.task,
                examples=_EXAMPLES.get(place.name, _EXAMPLES.get(place.kind, ())),
                policy_name="oracle" if self.expert else self.agent.model,
                source={} if self.expert else {SAMPLING_LIMIT: self.agent.max_completion_length},
            )
            session = DemoSession(world, store, settings)
            session.desk.mode = self.mode
            async with session:
                yield session

    @asynccontextmanager
    async def _agents(self, meter: Budget) -> AsyncIterator[tuple[AgentFor, ListenedPolicy | None]]:
        if self.expert:
            yield demonstrator_for, None
            return
        async with open_policy(self.agent) as policy:
            listened = ListenedPolicy(MeteredPolicy(policy, meter))
            yield agents_for(listened, self.agent), listened

    def _agent_name(self) -> str:
        return "the task's expert" if self.expert else self.agent.model

    def _settings(self, place: Place) -> SessionSettings:
        guard = guarding(self.guard, place.home)
        return SessionSettings(
            max_steps=self.max_steps,
            time_limit_s=self.time_limit_s,
            confirm=self.guard.confirm_where(is_real=is_real(place.devices, place.home)),
            judge=guard.judge,
            secrets=guard.secrets,
            preview_s=self.preview_s,
            poll_interval_s=self.poll_interval_s or _POLL_INTERVAL_S.get(place.kind, 0.5),
            loop_limit=self.loop_limit,
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True)
class Place:
    """The one device of a demo, and the errands that can be run on it.

    Attributes:
        name: as `--device` says it, or the world of the task.
        kind: phone, android, browser, miniwob.
        devices: one device, as `open_devices` names it.
        suite: what it is opened for.
        home: the task that shows it before the first episode.
        seed: of goals in words.
    """

    name: str
    kind: str
    devices: str
    suite: TaskSource
    home: Task
    seed: int

    @classmethod
    def of(cls, device: str, task: str, seed: int) -> Place:
        """The place that the options name.

        Raises:
            ConfigError: there is no such device or task.
        """
        world = world_of(task)
        if not device and world not in ("", "phone"):
            named = named_task(task)
            devices = device_for(named.suite)
            return cls(name=world, kind=world, devices=devices, suite=named.suite, home=named.task, seed=seed)
        name = device or ("phone:phone" if task.startswith("phone/phone:") else "phone")
        found = goal_on(name, _LOOK)
        kind = name.partition(":")[0]
        first = found.suite.task(found.suite.templates[0], seed)
        home = _AsItIs(goal=_LOOK) if kind == "android" else first
        return cls(name=name, kind=kind, devices=found.devices, suite=found.suite, home=home, seed=seed)

    def open_device(self) -> AbstractAsyncContextManager[Device]:
        """Borrow it."""
        return one_device(self.devices, self.suite)

    def errand(self, goal: str, task: str) -> Errand:
        """A goal in words, or a task of a suite, here.

        Raises:
            ConfigError: both or neither are given, or it cannot be done here.
        """
        if bool(goal.strip()) == bool(task):
            raise ConfigError("say what to do: a goal in words, or a task SUITE:TEMPLATE:SEED")
        if task:
            named = named_task(task)
            self._check_suite(named.suite)
            return Errand(task=named.task, suite=named.suite.suite, is_checked=True)
        if self.kind not in ("phone", "android", "browser"):
            raise ConfigError(f"on {self.name} only tasks can be run, SUITE:TEMPLATE:SEED; no goals in words")
        suite = goal_on(self.name, goal).suite
        return Errand(task=suite.task(suite.templates[0], self.seed), suite=suite.suite)

    def _check_suite(self, suite: TaskSource) -> None:
        """A virtual phone keeps its screen for the time of a demo."""
        if world_of(suite.suite) not in _WORLDS_ON.get(self.kind, (self.kind,)):
            raise ConfigError(f"suite {suite.suite!r} does not run on {self.name}")
        if self.kind == "phone" and _display(suite) != _display(self.suite):
            raise ConfigError(
                f"suite {suite.suite!r} needs another screen than {self.name} has; start the demo with "
                "--device phone:phone, or with the task"
            )


def _display(suite: TaskSource) -> object:
    return phone_devices(1, suite).display
