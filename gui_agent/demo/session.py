"""One device, one agent, one episode after the other, directed by commands and told by events.

A session needs no server: `handle` takes a command, `listen` hears the events. The server is one that does
both for the pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from types import TracebackType
from typing import Self

from gui_agent.demo.archive import Archive
from gui_agent.demo.borrowed import BorrowedDevice
from gui_agent.demo.commands import (
    Act,
    Claim,
    Command,
    Export,
    Reconnect,
    Release,
    Run,
    Seen,
    SetMode,
    SetOutcome,
)
from gui_agent.demo.desk import Desk
from gui_agent.demo.directing import direct
from gui_agent.demo.episode import DirectedEpisode
from gui_agent.demo.events import (
    Event,
    HelloEvent,
    NoticeEvent,
    Phase,
    ProposalEvent,
    ResolvedEvent,
    StateEvent,
)
from gui_agent.demo.hands import Hands
from gui_agent.demo.protocol import ProtocolError
from gui_agent.demo.scene import DeedKind, Scene
from gui_agent.demo.world import SessionSettings, World
from gui_agent.device import StopReason
from gui_agent.errors import ConfigError, DataError, DeviceError, GuiAgentError
from gui_agent.observation import Screenshot
from gui_agent.safety.device import SafeDevice
from gui_agent.safety.options import ConfirmMode, check_goal
from gui_agent.safety.verdict import Consent, Question
from trajectories.records import EpisodeRecord
from trajectories.store import TrajectoryStore

Listener = Callable[[Event], None]


class DemoSession:
    """What a demo is, without its pages; an async context manager that borrows the device.

    Attributes:
        feed: the screens of the device.
        desk: what the person wants.
        borrowed: the device.
        hands: the person's, on the device.
        archive: the episodes that have ended.
    """

    def __init__(self, world: World, store: TrajectoryStore, settings: SessionSettings | None = None) -> None:
        """Nothing is opened yet."""
        self.world = world
        self.settings = settings or SessionSettings()
        self.archive = Archive(store)
        self.desk = Desk()
        self.borrowed = BorrowedDevice(
            world,
            self.settings,
            confirm=self._confirm,
            halted=self._halted,
            tell=self.tell,
            on_fault=self._fault,
        )
        self.feed = self.borrowed.feed
        self.hands = Hands(self.borrowed, self.settings.secrets, on_fault=self._fault)
        self.proposal: ProposalEvent | None = None
        self._listeners: list[Listener] = []
        self._numbers = count(1)
        self._episode: DirectedEpisode | None = None
        self._task = ""
        self._running: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._phase = Phase.IDLE
        self._shown: StateEvent | None = None

    # Beginning and end

    async def __aenter__(self) -> Self:
        """Borrow the device and show its first screen.

        Raises:
            DeviceError: there is no such device, or it does not answer.
            ConfigError: it cannot be used so.
        """
        await self.borrowed.open()
        self._watching = asyncio.ensure_future(self.borrowed.watch(rests=self._rests))
        self._watching.add_done_callback(self._report_bug)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop what runs, store it, and give the device back."""
        self.interrupt()
        try:
            await self.ended()
        finally:  # whoever does not wait for the end of an episode has the device given back all the same
            if self._watching is not None:
                self._watching.cancel()
                await asyncio.gather(self._watching, return_exceptions=True)
            await self.borrowed.close()

    def interrupt(self) -> None:
        """Stop the episode that runs, if one does; nothing more is performed."""
        if self._episode is not None and self._runs:
            self._episode.stop()

    async def ended(self) -> None:
        """Wait until no episode runs."""
        if self._running is not None:
            await asyncio.wait({self._running})

    @property
    def store(self) -> TrajectoryStore:
        """Where the episodes go."""
        return self.archive.store

    # What is told

    def listen(self, listener: Listener) -> None:
        """Hear every event from now on."""
        self._listeners.append(listener)

    def tell(self, event: Event) -> None:
        """Say something to all listeners."""
        match event:
            case ProposalEvent():
                self.proposal = event
            case ResolvedEvent():
                self.proposal = None
            case _:
                pass
        for listener in self._listeners:
            listener(event)
        if not isinstance(event, StateEvent):
            self._tell_state()

    def hello(self, client: int) -> HelloEvent:
        """What a page is told first."""
        return HelloEvent(
            client=client,
            device=self.world.device,
            agent=self.world.agent,
            can_undo=self.borrowed.can_undo,
            can_hint=self.borrowed.can_hint,
            actions=self.borrowed.actions,
            task=self.world.task,
            examples=self.world.examples,
            poll_interval_s=self.settings.poll_interval_s,
        )

    def story(self) -> list[Event]:
        """What a page must be told that comes later: the episodes, the steps so far, and how things are."""
        said: list[Event] = [*self.archive.episodes]
        if self._episode is not None:
            said += [*self._episode.steps, self._episode.spent.event]
        said.append(self.state)
        if self.proposal is not None:
            said.append(self.proposal)
        if self._runs and self.desk.failure:
            said.append(NoticeEvent(level="error", code="model", text=self.desk.failure))
        return said

    @property
    def state(self) -> StateEvent:
        """How things are."""
        episode, desk = self._episode, self.desk
        return StateEvent(
            phase=self._phase,
            mode=desk.mode,
            takeover=desk.takeover,
            paused=desk.paused,
            step=0 if episode is None else episode.scene.taken,
            goal="" if episode is None else episode.goal,
            task=self._task,
            episode_id="" if episode is None else episode.episode_id,
            hint=desk.hint,
            undo_steps=0 if episode is None else episode.scene.undoable,
        )

    def picture(self, sha256: str) -> Screenshot | None:
        """A screen that an event has named, or None if there is none of that name."""
        running = {} if self._episode is None else self._episode.pictures
        if (found := running.get(sha256)) is not None:
            return found
        newest = self.feed.newest
        if newest is not None and newest.screenshot.sha256 == sha256:
            return newest.screenshot
        return self.archive.picture(sha256)

    def _tell_state(self) -> None:
        state = self.state
        if state != self._shown:
            self._shown = state
            self.tell(state)

    def _enter(self, phase: Phase) -> None:
        if phase is Phase.PAUSED and self.desk.stopping:
            return
        self._phase = phase
        self._tell_state()

    def _notice(self, level: str, code: str, text: str) -> None:
        self.tell(NoticeEvent(level=level, code=code, text=text))

    # Commands

    async def handle(self, command: Command) -> None:
        """Do what a page asks for; what takes long goes on after this returns.

        Raises:
            ProtocolError: it cannot be done now, or a value is impossible.
        """
        try:
            await self._handle(command)
        except (ConfigError, DataError) as error:
            raise ProtocolError(str(error), code="bad_value") from error
        except OSError as error:  # a full disk, for instance
            raise ProtocolError(f"not done: {error}", code="not_performed") from error
        self._tell_state()

    async def _handle(self, command: Command) -> None:
        match command:
            case Run():
                self._run(command)
            case SetMode(mode=mode):
                self.desk.mode = mode
            case SetOutcome():
                self.tell(await self.archive.judge(command))
            case Export(episodes=episodes):
                self.tell(await self.archive.export(episodes))
            case Reconnect():
                await self._reconnect()
            case Claim() | Release() | Seen():
                raise ProtocolError("only a page can do this", code="not_now")
            case Act() if not self._runs:
                await self._act_by_hand(command)
            case _:
                await direct(self._running_episode(), command, self.hands)
        self.desk.touch()

    def _running_episode(self) -> DirectedEpisode:
        if self._episode is None or not self._runs or self._episode.ended:
            raise ProtocolError("no episode runs", code="not_now")
        return self._episode

    @property
    def _runs(self) -> bool:
        return self._running is not None and not self._running.done()

    def _ready_device(self) -> SafeDevice:
        if self.borrowed.device is None or self._phase is Phase.FAULT:
            raise ProtocolError("the device is not there; reconnect first", code="not_now")
        return self.borrowed.device

    def _rests(self) -> bool:
        return self._phase not in (Phase.FAULT, Phase.STARTING)

    async def _act_by_hand(self, command: Act) -> None:
        device = self._ready_device()
        action = await self.hands.permitted(device, command.action, secret=command.secret)
        if self._runs:
            raise ProtocolError("an episode has begun; act again to take over", code="not_now")
        await self.hands.act(device, action, frame=command.frame)

    def _halted(self) -> bool:
        """Whether nothing is to be performed: the person has said stop, or what was shown as forbidden, so
        that nobody was asked about it, is allowed a moment later."""
        episode = self._episode if self._runs else None
        return self.desk.stopping or (episode is not None and episode.scene.deed.forbidden)

    async def _confirm(self, question: Question) -> Consent:
        """Asked by the safety rules while an action is being performed."""
        episode = self._episode
        if self.hands.busy or episode is None or episode.scene.deed.kind is DeedKind.HUMAN:
            return Consent.YES  # the person's own action: who makes it has said yes
        if episode.scene.deed.forbidden:
            return Consent.NO  # it was not even proposed
        if not question.done and episode.scene.deed.consented == question.verdict:
            return Consent.YES
        if not episode.scene.asks:
            return Consent.YES if self.settings.confirm is ConfirmMode.ALLOW else Consent.STOP
        self.borrowed.lock.release()  # while the person thinks, others may look
        try:
            return await episode.agent.confirm(question)
        finally:
            await self.borrowed.lock.acquire()

    # Episodes

    def _run(self, command: Run) -> None:
        device = self._ready_device()
        if self._runs:
            raise ProtocolError("an episode runs; stop it first", code="not_now")
        task = command.task or ("" if command.goal.strip() else self.world.task)
        if not command.fresh and task:
            raise ProtocolError("a task of a suite begins at its start: fresh must be true", code="bad_value")
        check_goal(command.goal, self.settings.secrets)
        errand = self.world.errand(command.goal, task)
        self.desk.begin(takeover=command.takeover)
        self.proposal, self._task = None, task
        scene = Scene(
            desk=self.desk,
            feed=self.feed,
            device=device,
            lock=self.borrowed.lock,
            tell=self.tell,
            phase=self._enter,
            policy=self.world.policy,
            confirm=self.settings.confirm,
            preview_s=self.settings.preview_s,
        )
        self._episode = DirectedEpisode(
            scene,
            self.world.agent_for(device.device),
            errand,
            self.world,
            self.settings,
            numbers=self._numbers,
            fresh=command.fresh,
            after=self.archive.episodes[-1].episode_id if self.archive.episodes else "",
        )
        self._enter(Phase.STARTING)
        self._running = asyncio.ensure_future(self._run_episode(self._episode))
        self._running.add_done_callback(self._report_bug)

    async def _run_episode(self, episode: DirectedEpisode) -> None:
        phase = Phase.IDLE
        ended: list[EpisodeRecord] = []
        try:
            try:
                ended.append(await episode.run(on_broken_off=ended.append))
            finally:
                for record in ended:
                    phase = await self._keep(record)
        except (GuiAgentError, OSError) as error:  # the model, a task that does not run here, a full disk
            text = self.settings.secrets.mask(f"the episode was given up: {error}")
            self._notice("error", "episode", text)
        finally:
            self.proposal, self.desk.takeover, self.desk.paused = None, False, False
            self.desk.stopping = False
            self._enter(phase)

    async def _keep(self, record: EpisodeRecord) -> Phase:
        """Keep an episode that has ended; what follows it."""
        self.tell(await self.archive.keep(record))
        if record.trajectory.stop is not StopReason.DEVICE_FAULT:
            return Phase.IDLE
        self._notice("error", "device", f"{record.trajectory.fault}; reconnect takes the device up again")
        return Phase.FAULT

    def _report_bug(self, task: asyncio.Task[None]) -> None:
        """What nobody expected ends an episode, or the looks at an idle device, not the demo; its traceback
        goes to the log."""
        if not task.cancelled() and (error := task.exception()) is not None:
            what = "the live screen" if task is self._watching else "the episode"
            text = self.settings.secrets.mask(f"{what} was given up: {type(error).__name__}: {error}")
            self._notice("error", "bug", text)
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"{what} of the demo was given up", "exception": error, "task": task}
            )

    # The device

    def _fault(self, error: DeviceError) -> None:
        self._notice("error", "device", f"{error}; reconnect takes the device up again")
        if not self._runs:
            self._enter(Phase.FAULT)

    async def _reconnect(self) -> None:
        if self._runs:
            raise ProtocolError("an episode runs; stop it first", code="not_now")
        self._enter(Phase.FAULT)  # until it is there again, whatever happens
        try:
            await self.borrowed.reopen()
        except DeviceError as error:
            self._fault(error)
            return
        self._enter(Phase.IDLE)
        self._notice("info", "device", f"{self.world.device} is back")
