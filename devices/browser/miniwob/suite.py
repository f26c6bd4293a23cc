"""Lists of MiniWoB++ pages: which can be played, which have an expert, which are for a quick start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from devices.browser.miniwob.task import MiniwobTask
from gui_agent.errors import ConfigError, DependencyError

EXPERT_STEPS: Final[dict[str, int]] = {
    "ascending-numbers": 5,
    "choose-list": 4,
    "click-button": 1,
    "click-button-sequence": 2,
    "click-checkboxes": 7,
    "click-checkboxes-large": 14,
    "click-checkboxes-soft": 7,
    "click-checkboxes-transfer": 4,
    "click-collapsible": 2,
    "click-collapsible-2": 2,
    "click-collapsible-2-nodelay": 2,
    "click-collapsible-nodelay": 2,
    "click-color": 1,
    "click-dialog": 1,
    "click-dialog-2": 1,
    "click-link": 1,
    "click-option": 2,
    "click-shades": 7,
    "click-shape": 1,
    "click-tab": 1,
    "click-tab-2": 2,
    "click-tab-2-easy": 1,
    "click-tab-2-hard": 2,
    "click-tab-2-medium": 1,
    "click-test": 1,
    "click-test-2": 1,
    "click-test-transfer": 1,
    "click-widget": 1,
    "count-shape": 1,
    "enter-date": 4,
    "enter-password": 5,
    "enter-text": 3,
    "enter-text-2": 3,
    "enter-text-dynamic": 3,
    "enter-time": 4,
    "find-word": 3,
    "focus-text": 1,
    "focus-text-2": 1,
    "grid-coordinate": 1,
    "identify-shape": 1,
    "login-user": 5,
    "login-user-popup": 7,
    "multi-layouts": 7,
    "multi-orderings": 7,
    "odd-or-even": 4,
    "read-table": 3,
    "read-table-2": 5,
    "scroll-text-2": 8,
    "simple-algebra": 3,
    "simple-arithmetic": 3,
    "text-transform": 3,
    "unicode-test": 1,
    "use-spinner": 11,
    "visual-addition": 3,
}
"""Pages with an expert, and how many actions it takes at most."""

QUICKSTART: Final = (
    "click-test",
    "click-test-2",
    "click-color",
    "click-dialog",
    "click-dialog-2",
    "click-tab",
    "focus-text",
    "focus-text-2",
    "click-button-sequence",
    "identify-shape",
)
"""One or two clicks on something large, in few words: within reach of a very small model."""

MULTI_STEP: Final = (
    "click-collapsible",
    "click-checkboxes-transfer",
    "click-checkboxes",
    "click-checkboxes-soft",
    "enter-text",
    "use-spinner",
)
"""One to eleven actions, 3.5 on average, each simple: what is wanted stands in the goal or in view, and
the words for a widget ("tap Submit") say which one is meant. Within reach of a very small model, if not
in full."""

NEVER_ENDING: Final = frozenset({"hover-shape"})
"""Pages that never give a reward."""

# Restarting in the same document costs a third of loading it. Measured on the pages with an expert, 24
# seeds each: after random actions a restart shows the pixels of a freshly loaded page, but for these.
# Pages without an expert were not measured and are loaded for every episode.
_LOADED_ANEW: Final = frozenset({"enter-date", "scroll-text-2"})

_SPARE_STEPS: Final = 2
_DEFAULT_STEPS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniwobSuite:
    """A named list of pages, each with as many instances as there are seeds.

    Attributes:
        suite: name of the list, for instance `miniwob/quickstart`.
        templates: names of the pages.
        folder: where the html files are.
    """

    suite: str
    templates: tuple[str, ...]
    folder: Path

    def task(self, template: str, seed: int) -> MiniwobTask:
        """One instance of a page.

        Raises:
            ConfigError: the suite has no such page.
        """
        if template not in self.templates:
            raise ConfigError(
                f"{self.suite} has no page {template!r}; it has {', '.join(self.templates[:12])}"
                + (", …" if len(self.templates) > 12 else "")
            )
        expert_steps = EXPERT_STEPS.get(template)
        return MiniwobTask(
            env=template,
            seed=seed,
            folder=self.folder,
            max_steps=_DEFAULT_STEPS if expert_steps is None else expert_steps + _SPARE_STEPS,
            in_place=expert_steps is not None and template not in _LOADED_ANEW,
            has_expert=expert_steps is not None,
        )


def miniwob_suite(name: str) -> MiniwobSuite:
    """The list of pages of that name.

    Args:
        name: `miniwob/quickstart`, `miniwob/multi_step`, `miniwob/experts` (all pages with an expert),
            `miniwob/all`, or `miniwob/<page>` for a single one; `miniwob/` may be left out, and "" is the
            quick start.

    Raises:
        ConfigError: there is no such list or page.
        DependencyError: the package `miniwob` is not installed.
    """
    folder = html_folder()
    lists: dict[str, Sequence[str]] = {
        "miniwob/quickstart": QUICKSTART,
        "miniwob/multi_step": MULTI_STEP,
        "miniwob/experts": tuple(EXPERT_STEPS),
        "miniwob/all": _all_pages(folder),
    }
    name = f"miniwob/{name.removeprefix('miniwob/') or 'quickstart'}"
    pages = lists.get(name)
    if pages is None:
        page = name.removeprefix("miniwob/")
        if page not in lists["miniwob/all"]:
            raise ConfigError(f"unknown suite {name!r}; expected {', '.join(lists)} or miniwob/<page>")
        pages = (page,)
    return MiniwobSuite(suite=name, templates=tuple(pages), folder=folder)


def suite_names() -> tuple[str, ...]:
    """Names that `miniwob_suite` takes, single pages left out."""
    return ("miniwob/quickstart", "miniwob/multi_step", "miniwob/experts", "miniwob/all")


def html_folder() -> Path:
    """The folder `html` of the package `miniwob`, found without importing the package.

    Raises:
        DependencyError: the package is not installed, or has no pages.
    """
    # Importing it would load gymnasium and selenium, which nothing here uses.
    spec = find_spec("miniwob")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "html"
        if (folder / "miniwob" / "click-test.html").is_file():
            return folder
    raise DependencyError(
        "the MiniWoB++ pages are missing; install them with `pip install 'gui-agent[browser-tasks]'`"
    )


def _all_pages(folder: Path) -> tuple[str, ...]:
    pages = sorted(path.stem for path in (folder / "miniwob").glob("*.html"))
    return tuple(page for page in pages if page not in NEVER_ENDING)
