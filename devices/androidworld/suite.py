"""AndroidWorld's tasks as a suite: `android_world`, `android_world/settings`, `android_world/System*`."""

from __future__ import annotations

import asyncio
import fnmatch
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Final

from devices.androidworld.catalogue import App, Catalogue, Description, Entry
from devices.androidworld.installation import Installation, find_installation
from devices.androidworld.session import PhoneSession, SessionLimits, TaskFailedError
from gui_agent.device import ExpertAction, Outcome, Verdict
from gui_agent.errors import ConfigError, DataError, DeviceError
from gui_agent.named_options import suggestion

if TYPE_CHECKING:
    from devices.android.device import AndroidDevice

WORLD: Final = "android_world"
_WHOLE: Final = "android_world"
"""AndroidWorld's own list of everything but MiniWoB."""


class Sessions:
    """A session for each phone, kept from one episode to the next: importing AndroidWorld takes a second.

    Args:
        installation: which AndroidWorld.
        limits: deadlines of each.
    """

    def __init__(self, installation: Installation, limits: SessionLimits | None = None) -> None:
        """None yet."""
        self._installation = installation
        self._limits = limits
        self._by_phone: dict[str, PhoneSession] = {}

    def of(self, device: AndroidDevice) -> PhoneSession:
        """The session of a phone."""
        server = device.connection.server
        phone = f"{server.host}:{server.port}/{device.serial}"
        return self._by_phone.setdefault(phone, PhoneSession(self._installation, self._limits))

    def close(self) -> None:
        """End all processes."""
        for session in self._by_phone.values():
            session.close()
        self._by_phone.clear()


@dataclass(slots=True, kw_only=True)
class AndroidWorldTask:
    """One instance of a task of AndroidWorld (a `devices.android.tasks.AndroidTask`).

    Attributes:
        template: the name of its class.
        seed: from 1,000,000 on, instance `seed - 1000000` of AndroidWorld's own runner.
        goal: the instruction; pages of MiniWoB have one once they are set up.
        max_steps: AndroidWorld's budget.
        apps: what must be installed.
        sessions: the processes.
    """

    template: str
    seed: int
    goal: str
    max_steps: int
    apps: tuple[App, ...]
    sessions: Sessions = field(repr=False, compare=False)

    @property
    def task_id(self) -> str:
        """World, class and seed, whatever part of the world was asked for."""
        return f"{WORLD}/{self.template}/{self.seed}"

    @property
    def judged_at_end(self) -> bool:
        """Yes: some checks open apps, press keys or close what they read."""
        return True

    async def set_up(self, device: AndroidDevice) -> None:
        """Let AndroidWorld bring the phone to the start of the task.

        Raises:
            ConfigError: an app that the task is about is not installed.
            DataError: the task is another one than was promised.
            DeviceError: the phone failed, or AndroidWorld could not prepare it.
        """
        await self._require_apps(device)
        try:
            found = await self.sessions.of(device).set_up(device, self.template, self.seed)
        except TaskFailedError as error:
            raise DeviceError(
                f"phone {device.serial}: AndroidWorld cannot set {self.task_id} up: {error}; its tasks want "
                "a phone on which `adb root` works and whose apps `python run.py --perform_emulator_setup` "
                "of AndroidWorld prepared"
            ) from error
        self.goal = self.goal or found.goal
        if found.goal != self.goal:
            raise DataError(
                f"{self.task_id}: the goal is {self.goal!r}, but the phone was set up for {found.goal!r}; "
                "AndroidWorld does not draw this task alike from one seed: leave it out"
            )
        if found.home:
            await device.go_home()

    async def check(self, device: AndroidDevice) -> Outcome:
        """AndroidWorld's own judgement; a check that raises something is no failure of the agent.

        Raises:
            DeviceError: the phone failed.
        """
        session = self.sessions.of(device)
        try:
            score = await session.score(device, self.template, self.seed, device.last_answer)
        except TaskFailedError as error:
            return Outcome(verdict=Verdict.UNSCORED, detail=f"AndroidWorld's check raised {error}")
        verdict = Verdict.SUCCESS if score >= 1.0 else Verdict.FAILURE
        return Outcome(
            verdict=verdict,
            progress=min(1.0, max(0.0, score)),
            detail=f"AndroidWorld's {self.template} gives {score:g}",
        )

    async def next_expert_action(self, device: AndroidDevice) -> ExpertAction | None:
        """AndroidWorld has no experts."""
        return None

    async def tear_down(self, device: AndroidDevice) -> None:
        """Let AndroidWorld tidy up; what fails now is only told, for the episode is over."""
        try:
            await self.sessions.of(device).tear_down(device)
        except (DeviceError, TaskFailedError) as error:
            warnings.warn(f"phone {device.serial}: {self.task_id} was not tidied up: {error}", stacklevel=2)

    async def _require_apps(self, device: AndroidDevice) -> None:
        installed = await device.apps.installed()
        missing = [app for app in self.apps if app.package and app.package not in installed]
        if missing:  # it may have been installed a moment ago
            installed = await device.apps.installed(refresh=True)
            missing = [app for app in missing if app.package not in installed]
        if missing:
            raise ConfigError(
                f"phone {device.serial}: {self.task_id} needs {'; '.join(map(_how_to_install, missing))}. "
                f"Choose tasks of apps that the phone has, for instance --suite {WORLD}/settings"
            )


def _how_to_install(app: App) -> str:
    if app.apks:
        return (
            f"the app {app.name!r} ({app.package}), which is not installed: `python run.py "
            f"--perform_emulator_setup` of AndroidWorld downloads {' or '.join(app.apks)} and installs it"
        )
    return (
        f"the app {app.name!r} ({app.package}), which is not installed: it comes with the system images of "
        "emulators that have Google APIs; AndroidWorld asks for a Pixel 6 with Android 13 (API 33)"
    )


@dataclass(slots=True, kw_only=True)
class AndroidWorldSuite:
    """A part of AndroidWorld (a `gui_agent.device.TaskSource`).

    Attributes:
        suite: the name that was asked for.
        templates: names of tasks.
        catalogue: draws instances.
        sessions: the processes of phones.
    """

    suite: str
    templates: Sequence[str]
    catalogue: Catalogue = field(repr=False)
    sessions: Sessions = field(repr=False)

    def task(self, template: str, seed: int) -> AndroidWorldTask:
        """The instance of a task with this seed; equal arguments give equal tasks.

        Raises:
            ConfigError: the suite has no such task.
        """
        if template not in self.templates:
            raise ConfigError(
                f"suite {self.suite!r} has no task {template!r}; {suggestion(template, self.templates)}"
            )
        found: Description = self.catalogue.describe(template, seed)
        return AndroidWorldTask(
            template=template,
            seed=seed,
            goal=found.goal,
            max_steps=found.max_steps,
            apps=found.apps,
            sessions=self.sessions,
        )

    async def close(self) -> None:
        """End all processes; they end with this program anyway."""
        self.catalogue.close()
        await asyncio.to_thread(self.sessions.close)


def android_world_suite(names: str) -> AndroidWorldSuite:
    """The suite of what stands after "android_world/".

    Args:
        names: families of AndroidWorld ("android", "information_retrieval", …), its names of apps
            ("settings", "simple calendar pro") and tasks ("SystemWifiTurnOn", "System*"), with commas
            between; "" is all of its family "android_world".

    Raises:
        ConfigError: there is no such family, app or task.
        DependencyError: there is no AndroidWorld, or it cannot be imported.
    """
    return select(names, *_opened(find_installation()))


@cache
def _opened(installation: Installation) -> tuple[Catalogue, Sessions]:
    """One catalogue and one set of sessions for a program, however often a suite is asked for."""
    return Catalogue(installation), Sessions(installation)


def select(names: str, catalogue: Catalogue, sessions: Sessions) -> AndroidWorldSuite:
    """The suite of a catalogue; raises as `android_world_suite` does."""
    entries = catalogue.entries
    wanted = [name.strip() for name in names.split(",") if name.strip()] or [_WHOLE]
    chosen = {name for part in wanted for name in _matching(part, entries)}
    return AndroidWorldSuite(
        suite=f"{WORLD}/{names}" if names else WORLD,
        templates=tuple(name for name in entries if name in chosen),
        catalogue=catalogue,
        sessions=sessions,
    )


def _matching(part: str, entries: Mapping[str, Entry]) -> Sequence[str]:
    families = {family for entry in entries.values() for family in entry.families}
    apps = {app.name for entry in entries.values() for app in entry.first.apps}
    if part in families:
        return [name for name, entry in entries.items() if part in entry.families]
    if part in apps:
        return [name for name, entry in entries.items() if part in {app.name for app in entry.first.apps}]
    found = fnmatch.filter(entries, part)
    if not found:
        close = get_close_matches(part, [*entries, *families, *apps], n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(
            f"suite '{WORLD}/{part}': AndroidWorld has no family, app or task {part!r}; {hint}families: "
            f"{', '.join(sorted(families))}; apps: {', '.join(sorted(apps))}; `python -m "
            "devices.androidworld` lists the tasks"
        )
    return found
