"""Apps by the names that people use: what is installed, and how it is started and stopped."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from devices.android.connection import AdbConnection
from gui_agent.errors import DeviceError

COMMON_PACKAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "browser": ("com.android.chrome", "com.android.browser", "org.mozilla.firefox"),
    "calculator": ("com.google.android.calculator", "com.android.calculator2"),
    "calendar": ("com.google.android.calendar", "com.android.calendar"),
    "camera": ("com.google.android.GoogleCamera", "com.android.camera2", "com.android.camera"),
    "chrome": ("com.android.chrome",),
    "clock": ("com.google.android.deskclock", "com.android.deskclock", "com.sec.android.app.clockpackage"),
    "contacts": ("com.google.android.contacts", "com.android.contacts"),
    "files": ("com.google.android.documentsui", "com.android.documentsui"),
    "gallery": ("com.google.android.apps.photos", "com.android.gallery3d", "com.sec.android.gallery3d"),
    "gmail": ("com.google.android.gm",),
    "maps": ("com.google.android.apps.maps",),
    "messages": ("com.google.android.apps.messaging", "com.android.messaging", "com.android.mms"),
    "phone": ("com.google.android.dialer", "com.android.dialer"),
    "photos": ("com.google.android.apps.photos",),
    "play store": ("com.android.vending",),
    "settings": ("com.android.settings",),
    "youtube": ("com.google.android.youtube",),
}  # fmt: skip
"""Names that say nothing about the package, with the packages that go by them, best first."""

_COMPONENT: Final = re.compile(r"^\s*([\w.]+/[\w.$]+)\s*$", re.MULTILINE)
_MISSING: Final = ("does not exist", "unable to resolve", "No activities found")
_RESOLVE: Final = ("resolve-activity", "--brief", "-c", "android.intent.category.LAUNCHER")
_START_DEADLINE_S: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppName:
    """The package that a name stands for, or why there is none."""

    package: str
    error: str = ""


class Apps:
    """The apps of one phone.

    Args:
        connection: the phone.
        names: names of one's own, each with its package; they win over everything else.
    """

    def __init__(self, connection: AdbConnection, *, names: Mapping[str, str] | None = None) -> None:
        """Nothing is asked before the first use."""
        self._connection = connection
        self._names = {_folded(name): package for name, package in (names or {}).items()}
        self._installed: frozenset[str] = frozenset()
        self._components: dict[str, str] = {}

    async def installed(self, *, refresh: bool = False) -> frozenset[str]:
        """The packages on the phone.

        Raises:
            DeviceError: the phone does not say.
        """
        if refresh or not self._installed:
            listing = await self._connection.check_shell("pm list packages", timeout_s=_START_DEADLINE_S)
            packages = (line.partition("package:")[2].strip() for line in listing.splitlines())
            self._installed = frozenset(filter(None, packages))
        return self._installed

    async def resolve(self, name: str) -> AppName:
        """The installed package that a name or a package stands for."""
        found = resolve_app(name, await self.installed(), self._names)
        if found.error:  # it may have been installed a moment ago
            found = resolve_app(name, await self.installed(refresh=True), self._names)
        return found

    async def start(self, name: str) -> str | None:
        """Start an app or bring it to the front, and wait until it is drawn.

        Returns:
            What is wrong with the name, or None.

        Raises:
            DeviceError: the phone did not start an app that is installed.
        """
        app = await self.resolve(name)
        if app.error:
            return app.error
        component = await self._component(app.package)
        if not component:
            return await self._start_by_monkey(app.package)
        line = f"am start -W -n '{component}'"
        result = await self._connection.shell(line, timeout_s=_START_DEADLINE_S)
        if result.exit_code != 0 or "Error" in result.complaint:
            self._components.pop(app.package, None)
            raise DeviceError(
                self._connection.message(line, f"exit code {result.exit_code}: {result.complaint}")
            )
        return None

    async def stop(self, name: str) -> str | None:
        """End an app; what is wrong with the name, or None."""
        app = await self.resolve(name)
        if app.error:
            return app.error
        await self._connection.check_shell(["am", "force-stop", app.package])
        return None

    async def _component(self, package: str) -> str:
        """The activity that the launcher would start, "" where the phone does not tell."""
        if package not in self._components:
            result = await self._connection.shell(["cmd", "package", *_RESOLVE, package])
            found = _COMPONENT.findall(result.text)
            # A chooser is what the system answers when several activities would do.
            usable = [one for one in found if one.startswith(f"{package}/")]
            self._components[package] = usable[-1] if result.exit_code == 0 and usable else ""
        return self._components[package]

    async def _start_by_monkey(self, package: str) -> str | None:
        """Older phones: the stress tester starts an app by its package alone."""
        line = shlex.join(["monkey", "-p", package, "-c", "android.intent.category.LAUNCHER", "1"])
        result = await self._connection.shell(line, timeout_s=_START_DEADLINE_S)
        words = result.stdout.decode(errors="replace") + result.stderr.decode(errors="replace")
        if any(missing in words for missing in _MISSING):
            return f"the app {package!r} has no screen of its own to open"
        if result.exit_code != 0:
            raise DeviceError(
                self._connection.message(line, f"exit code {result.exit_code}: {result.complaint}")
            )
        return None


def resolve_app(name: str, installed: Iterable[str], own_names: Mapping[str, str]) -> AppName:
    """The package that a name stands for.

    In this order: a name of one's own; an installed package itself; a common name ("settings"); packages
    that have the name as one of their words ("Spotify" is com.spotify.music). Letter case, blanks and hyphens
    do not matter.

    Args:
        name: what the agent wrote.
        installed: packages of the phone.
        own_names: folded names with their packages.
    """
    packages = frozenset(installed)
    wanted = _folded(name)
    if not wanted:
        return AppName(package="", error="the name of the app is empty")
    own = own_names.get(wanted)
    if own is not None:
        if own in packages:
            return AppName(package=own)
        return AppName(package="", error=f"the app {name!r} stands for {own}, which is not installed")
    if name.strip() in packages:
        return AppName(package=name.strip())
    by_name = {_folded(common): candidates for common, candidates in COMMON_PACKAGES.items()}
    for package in by_name.get(wanted, ()):
        if package in packages:
            return AppName(package=package)
    found = sorted(package for package in packages if wanted in _words(package))
    # The app itself before its helpers: com.spotify.music before com.spotify.music.widget.
    shortest = [package for package in found if package.count(".") == min(one.count(".") for one in found)]
    if len(shortest) == 1:
        return AppName(package=shortest[0])
    if shortest:
        return AppName(
            package="", error=f"several apps go by {name!r}: {', '.join(shortest)}; name the package"
        )
    close = difflib.get_close_matches(wanted, sorted({_words(p)[-1] for p in packages} | set(by_name)), n=3)
    hint = f"; is it one of {', '.join(close)}?" if close else ""
    return AppName(package="", error=f"no app {name!r} is installed{hint}")


def _words(package: str) -> tuple[str, ...]:
    return tuple(_folded(word) for word in package.split("."))


def _folded(name: str) -> str:
    return "".join(character for character in name.lower() if character not in " -_")
