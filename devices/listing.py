"""The suites of tasks that there are, for people who look for one: `gui-agent suites`.

Names with a part in capitals stand for many: a web site, a goal in words, a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from devices.registry import resolve_suite
from gui_agent.errors import DependencyError

_BROWSER: Final = "Chromium"
_MINIWOB: Final = f"{_BROWSER}, pip install 'gui-agent[browser-tasks]'"
_PHONE: Final = "nothing"
_ADB: Final = "adb, a phone or emulator"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSuite:
    """A suite, or a family of suites, as the list shows it.

    Attributes:
        name: what `--suite` takes; a part in capitals is to be replaced.
        needs: what must be installed or connected, in words.
        summary: what its tasks are, in one line.
        num_templates: where it can only be counted by starting something.
    """

    name: str
    needs: str
    summary: str
    num_templates: int | None = None

    @property
    def is_family(self) -> bool:
        """Whether a part of the name is to be replaced."""
        return any(letter.isupper() for letter in self.name)


LISTED_SUITES: Final[Sequence[ListedSuite]] = (
    ListedSuite(
        name="phone/quickstart",
        needs=_PHONE,
        summary="virtual phone, 1 to 4 gestures on a small screen: for models of a few million parameters",
    ),
    ListedSuite(
        name="phone/long",
        needs=_PHONE,
        summary="virtual phone, 3 to 12 such gestures, several errands in a row: planning and memory",
    ),
    ListedSuite(
        name="phone/phone",
        needs=_PHONE,
        summary="virtual phone of full size, 1 to 12 gestures: forms, lists, dialogs, questions, pop-ups",
    ),
    ListedSuite(
        name="phone/multi_app",
        needs=_PHONE,
        summary="those of phone/phone that carry something from one app to another",
    ),
    ListedSuite(
        name="miniwob/quickstart",
        needs=_MINIWOB,
        summary="MiniWoB++ pages with one or two clicks on something large",
    ),
    ListedSuite(
        name="miniwob/multi_step",
        needs=_MINIWOB,
        summary="MiniWoB++ pages with mostly three to six simple actions",
    ),
    ListedSuite(
        name="miniwob/experts", needs=_MINIWOB, summary="all MiniWoB++ pages with an expert that solves them"
    ),
    ListedSuite(name="miniwob/all", needs=_MINIWOB, summary="all MiniWoB++ pages that give a reward"),
    ListedSuite(
        name="miniwob/PAGE", needs=_MINIWOB, summary="one page, such as miniwob/click-test", num_templates=1
    ),
    ListedSuite(
        name="browser/URL",
        needs=_BROWSER,
        summary="any web site, such as browser/https://example.org; nobody checks it, so unscored",
        num_templates=1,
    ),
    ListedSuite(
        name="android/GOAL",
        needs=_ADB,
        summary="a goal in words, such as 'android/Switch Wi-Fi on'; nobody checks it, so unscored",
        num_templates=1,
    ),
    ListedSuite(
        name="android_world",
        needs="a checkout of AndroidWorld, an emulator (docs/androidworld.md)",
        summary="AndroidWorld's tasks, set up and checked by its own code",
        num_templates=116,
    ),
    ListedSuite(
        name="android_world/NAMES",
        needs="as android_world",
        summary="some of them by family, app or task: android_world/settings, 'android_world/System*,Clock*'",
    ),
)


def num_templates(suite: ListedSuite) -> int | None:
    """How many families of tasks a suite has; None where that is not known here.

    What a suite needs may be missing: then nobody can count, which is no error of who asks for a list.
    """
    if suite.num_templates is not None or suite.is_family:
        return suite.num_templates
    try:
        return len(resolve_suite(suite.name).templates)
    except DependencyError:
        return None
