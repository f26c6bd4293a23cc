"""Prompt formats by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final

from gui_agent.errors import ConfigError
from gui_agent.formats.base import PromptFormat
from gui_agent.formats.compact import CompactFormat, CompactOptions
from gui_agent.formats.compact_planner import CompactPlannerFormat, CompactPlannerOptions
from gui_agent.formats.hi_agent import HiAgentFormat, HiAgentOptions
from gui_agent.formats.mobile_use import MobileUseFormat, MobileUseOptions
from gui_agent.formats.planner import PlannerFormat
from gui_agent.formats.ui_s1 import UiS1Format, UiS1Options
from gui_agent.named_options import NamedOptions, build_options, suggestion
from gui_agent.policy import ImageBudget

_KIND: Final = "prompt format"
_PLANNER_KIND: Final = "planner format"


@dataclass(frozen=True, slots=True)
class FormatEntry:
    """A format and the dataclass of its options."""

    options: type
    build: Callable[[Any], PromptFormat]


FORMATS: Final[dict[str, FormatEntry]] = {
    "ui_s1": FormatEntry(UiS1Options, UiS1Format),
    "mobile_use": FormatEntry(MobileUseOptions, MobileUseFormat),
    "compact": FormatEntry(CompactOptions, CompactFormat),
}


@dataclass(frozen=True, slots=True)
class PlannerFormatEntry:
    """A planner format and the dataclass of its options."""

    options: type
    build: Callable[[Any], PlannerFormat]


PLANNER_FORMATS: Final[dict[str, PlannerFormatEntry]] = {
    "hi_agent": PlannerFormatEntry(HiAgentOptions, HiAgentFormat),
    "compact": PlannerFormatEntry(CompactPlannerOptions, CompactPlannerFormat),
}


def get_format(name: str, *, image_budget: ImageBudget | None = None, **options: Any) -> PromptFormat:
    """The format of that name; options that are choices may be given as plain strings.

    The name may carry options of its own after a colon, as recipes and flags write them:
    "compact:snap_px=8,require_thought=true".

    Args:
        name: with or without options.
        image_budget: how the policy resizes pictures, for formats that state the screen's size as the
            model sees it; the others have no use for it.
        options: of the format's dataclass of options.

    Raises:
        ConfigError: no format has that name, it has no such option, or the value is impossible.
    """
    chosen = NamedOptions.parse(name, kind=_KIND)
    options = {**chosen.options, **options}
    entry = FORMATS.get(chosen.name)
    if entry is None:
        raise ConfigError(f"unknown {_KIND} {chosen.name!r}; {suggestion(chosen.name, FORMATS)}")
    if image_budget is not None and any(each.name == "image_budget" for each in fields(entry.options)):
        options["image_budget"] = image_budget
    return entry.build(build_options(entry.options, options, kind=_KIND, name=chosen.name))


def get_planner_format(name: str, **options: Any) -> PlannerFormat:
    """The planner format of that name; options may follow a colon, as in `get_format`.

    Raises:
        ConfigError: no planner format has that name, it has no such option, or the value is impossible.
    """
    chosen = NamedOptions.parse(name, kind=_PLANNER_KIND)
    entry = PLANNER_FORMATS.get(chosen.name)
    if entry is None:
        raise ConfigError(
            f"unknown {_PLANNER_KIND} {chosen.name!r}; {suggestion(chosen.name, PLANNER_FORMATS)}"
        )
    given = {**chosen.options, **options}
    return entry.build(build_options(entry.options, given, kind=_PLANNER_KIND, name=chosen.name))
