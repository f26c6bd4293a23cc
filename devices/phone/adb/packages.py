"""The apps of the phone as packages and activities.

The names are AOSP's where AOSP has such an app.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from devices.phone.apps.launcher import HOME_SCREEN
from devices.phone.state import LAUNCHER, PhoneState


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An installed package.

    Attributes:
        name: "com.android.settings".
        activity: the full class name of its first activity; "" for none that can be started.
        app: the phone's own name of the app; "" for a package without a screen.
        system: whether it came with the phone.
        version: its version name.
    """

    name: str
    activity: str = ""
    app: str = ""
    system: bool = True
    version: str = "13"

    @property
    def component(self) -> str:
        """ "com.android.settings/.Settings": the class is shortened where it lies in the package."""
        return f"{self.name}/{self.activity.removeprefix(self.name)}"

    @property
    def path(self) -> str:
        """Where its file is on the phone."""
        return f"/system/app/{self.name}/base.apk" if self.system else f"/data/app/{self.name}-1/base.apk"


def _package(app: str, name: str, activity: str, *, system: bool = True, version: str = "13") -> Package:
    return Package(name=name, activity=name + activity, app=app, system=system, version=version)


LAUNCHER_PACKAGE: Final = _package(
    LAUNCHER, "com.android.launcher3", ".uioverrides.QuickstepLauncher", version="13"
)
APP_PACKAGES: Final[Mapping[str, Package]] = {
    one.app: one
    for one in (
        LAUNCHER_PACKAGE,
        _package("settings", "com.android.settings", ".Settings"),
        _package("contacts", "com.android.contacts", ".activities.PeopleActivity"),
        _package("chats", "com.android.messaging", ".ui.conversationlist.ConversationListActivity"),
        _package("clock", "com.android.deskclock", ".DeskClock"),
        _package("music", "com.android.music", ".MusicBrowserActivity"),
        _package("calculator", "com.android.calculator2", ".Calculator"),
        _package("files", "com.android.documentsui", ".files.FilesActivity"),
        _package("notes", "com.example.notes", ".MainActivity", system=False, version="1.2"),
        _package("shop", "com.example.shop", ".MainActivity", system=False, version="3.0.1"),
    )
}
"""Package of each app of the phone by the app's own name."""

LATIN_KEYBOARD: Final = "com.android.inputmethod.latin/.LatinIME"
ADB_KEYBOARD: Final = "com.android.adbkeyboard/.AdbIME"
UIAUTOMATOR_KEYBOARD: Final = "com.github.uiautomator/.AdbKeyboard"
KEYBOARDS: Final = (LATIN_KEYBOARD, ADB_KEYBOARD, UIAUTOMATOR_KEYBOARD)
"""Input methods that the phone has where their packages are installed; the last must be installed first."""
FRAMEWORK: Final = "android"
SYSTEM_UI: Final = "com.android.systemui"
_SERVICES: Final = (
    Package(name=FRAMEWORK),
    Package(name=SYSTEM_UI),
    Package(name="com.android.shell"),
    Package(name="com.android.inputmethod.latin"),
    Package(name="com.android.providers.contacts"),
    Package(name="com.android.providers.settings"),
    Package(name="com.android.adbkeyboard", system=False, version="2.4-dev"),
)


def installed_packages(state: PhoneState, added: Mapping[str, Package]) -> Sequence[Package]:
    """The packages of a phone in this state, by name.

    Args:
        state: says which apps are on the launcher.
        added: packages that were installed later.
    """
    apps = [APP_PACKAGES[app] for app in (LAUNCHER, *HOME_SCREEN.get(state).order)]
    found = {one.name: one for one in (*_SERVICES, *apps)} | dict(added)
    return [found[name] for name in sorted(found)]


def package_of(app: str) -> Package:
    """The package of an app of the phone."""
    return APP_PACKAGES.get(app) or Package(
        name=f"com.example.{app}", activity=f"com.example.{app}.Main", app=app
    )
