"""The tool-call dialect of the Qwen-VL families: one function, `mobile_use`.

A response may think first and summarise afterwards; between stands the call:

    <thinking>
    The search field is empty.
    </thinking>
    <tool_call>
    {"name": "mobile_use", "arguments": {"action": "click", "coordinate": [546, 391]}}
    </tool_call>

Words in front of the call count as the thought if there is no thinking block, which is how Qwen3-VL
tends to write. The prompt holds one picture; earlier steps are told as text ("Task progress").

Qwen2.5-VL points in pixels of the resized picture, so the screen's size as the model sees it stands in
the prompt: `image_budget` must be the policy's. Qwen3-VL points from 0 to 1000 on both axes.

Source: Qwen2.5-VL and Qwen3-VL function calling (Hermes style); UI-S1 release, single-turn format.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from gui_agent.actions import Action, ParseError
from gui_agent.coordinates import CoordinateSpace, ScreenGeometry
from gui_agent.errors import ConfigError
from gui_agent.formats.base import ParsedResponse, Turn
from gui_agent.formats.json_actions import (
    BROWSER_ACTIONS,
    PHONE_ACTIONS,
    ArgumentProblem,
    action_arguments,
    action_from_arguments,
    dump_json,
    load_json_object,
)
from gui_agent.formats.tags import find_block, without_tags
from gui_agent.observation import Screenshot
from gui_agent.policy import ImageBudget, ImagePart, Message, Prompt, Role, TextPart

_TOOL: Final = "mobile_use"
_QWEN3_FACTOR: Final = 32


class QwenFamily(StrEnum):
    """Which family's coordinates and picture sizes the prompt speaks of."""

    QWEN2_5_VL = "qwen2_5_vl"
    QWEN3_VL = "qwen3_vl"


@dataclass(frozen=True, slots=True, kw_only=True)
class MobileUseOptions:
    """Choices within the dialect.

    Attributes:
        family: decides the coordinate space unless `space` does; None takes the one whose pictures
            `image_budget` resizes: a factor of 32 is Qwen3-VL's.
        space: the unit in which the model writes points; None takes the family's.
        image_budget: how the policy resizes pictures; the screen's size is stated after it.
        thought_tag: name of the block that holds the thought.
        ask_for_thought: the user turn asks for a thought.
        ask_for_conclusion: the user turn asks for a summary, which then stands in the task progress.
        require_thought: a response without a thought has the wrong form.
        browser_actions: add double click, drag and scroll to the actions.
    """

    family: QwenFamily | None = None
    space: CoordinateSpace | None = None
    image_budget: ImageBudget = field(default_factory=ImageBudget)
    thought_tag: str = "thinking"
    ask_for_thought: bool = True
    ask_for_conclusion: bool = False
    require_thought: bool = False
    browser_actions: bool = False

    def __post_init__(self) -> None:
        if not self.thought_tag.isidentifier() or self.thought_tag in ("tool_call", "conclusion"):
            raise ConfigError(f"thought_tag is {self.thought_tag!r}; expected a word such as 'thinking'")

    @property
    def coordinate_space(self) -> CoordinateSpace:
        """The unit in which the model writes points."""
        if self.space is not None:
            return self.space
        is_qwen3 = self.image_budget.factor == _QWEN3_FACTOR
        match self.family or (QwenFamily.QWEN3_VL if is_qwen3 else QwenFamily.QWEN2_5_VL):
            case QwenFamily.QWEN2_5_VL:
                return CoordinateSpace.RESIZED_PIXELS
            case QwenFamily.QWEN3_VL:
                return CoordinateSpace.THOUSAND


class MobileUseFormat:
    """Thought, tool call, conclusion; see the module."""

    name = "mobile_use"

    def __init__(self, options: MobileUseOptions | None = None) -> None:
        """Fix the options; None takes the defaults."""
        self.options = options or MobileUseOptions()

    @property
    def space(self) -> CoordinateSpace:
        """The unit in which the model writes points."""
        return self.options.coordinate_space

    @property
    def action_space(self) -> frozenset[type]:
        """Types of action that this dialect can express."""
        return PHONE_ACTIONS | BROWSER_ACTIONS if self.options.browser_actions else PHONE_ACTIONS

    def prompt(self, goal: str, history: Sequence[Turn], screenshot: Screenshot) -> Prompt:
        """A system message with the tool, and one user message: goal, progress, screenshot."""
        asks = []
        if self.options.ask_for_thought or self.options.require_thought:
            tag = self.options.thought_tag
            asks.append(
                f"Think step by step inside <{tag}></{tag}> tags before the <tool_call></tool_call> tags."
            )
        if self.options.ask_for_conclusion:
            asks.append("After the call, sum up your action inside <conclusion></conclusion> tags.")
        text = "\n".join([f"The user query: {goal}", *asks, self._progress(history)])
        return self._messages(text, screenshot)

    def parse(self, text: str, geometry: ScreenGeometry) -> ParsedResponse:
        """Read the thought and the first tool call behind it; points become screen pixels."""
        think = find_block(text, self.options.thought_tag)
        block = find_block(text, "tool_call", after=think.end if think else 0)
        block = block or find_block(text, "tool_call")
        if block is None:
            thought = think.content if think else None
            error = ParseError(reason="expected <tool_call> … </tool_call>", text=text)
            return ParsedResponse(action=error, thought=thought, format_ok=False)
        thought = think.content if think else text[: block.start].strip() or None
        arguments = _call_arguments(block.content)
        if isinstance(arguments, str):
            error = ParseError(reason=arguments, text=text)
            return ParsedResponse(action=error, thought=thought, format_ok=False)
        action = action_from_arguments(arguments, self.space, geometry, self.action_space)
        format_ok = bool(thought) or not self.options.require_thought
        if isinstance(action, ArgumentProblem):
            error = ParseError(reason=action.reason, text=text)
            return ParsedResponse(action=error, thought=thought, format_ok=format_ok)
        return ParsedResponse(action=action, thought=thought, format_ok=format_ok)

    def render(self, action: Action, thought: str | None, geometry: ScreenGeometry) -> str:
        """Write an action as the assistant would; without a thought there is only the call.

        Raises:
            ConfigError: the dialect has no word for this type of action.
        """
        call = {"name": _TOOL, "arguments": self._arguments(action, geometry)}
        response = f"<tool_call>\n{dump_json(call)}\n</tool_call>"
        tag = self.options.thought_tag
        words = without_tags(thought or "", tag)
        return f"<{tag}>\n{words}\n</{tag}>\n{response}" if words else response

    def thought_prompt(
        self,
        goal: str,
        history: Sequence[Turn],
        screenshot: Screenshot,
        expert: Action,
        geometry: ScreenGeometry,
    ) -> Prompt:
        """Ask for the reasoning behind an expert's action, which is shown in the model's own units.

        Source: UI-S1, appendix A.10.
        """
        tag = self.options.thought_tag
        text = "\n".join(
            [
                f"The user query: {goal}",
                self._progress(history),
                f"Next action: {dump_json(self._arguments(expert, geometry))}",
                f"Do not call the tool now. Inside <{tag}></{tag}> tags, write the reasoning that leads to "
                "this action as if it were your own choice: restate the goal, take up what was achieved "
                "so far, decide, and end with an instruction in the imperative. Name elements by "
                "how they look, write no coordinates, and never mention that the action was given to you.",
            ]
        )
        return self._messages(text, screenshot)

    def parse_thought(self, text: str) -> str:
        """The thinking block of a response; empty if there is none."""
        block = find_block(text, self.options.thought_tag)
        return block.content if block else ""

    def _arguments(self, action: Action, geometry: ScreenGeometry) -> dict[str, Any]:
        return action_arguments(action, self.space, geometry, self.action_space)

    def _progress(self, history: Sequence[Turn]) -> str:
        done = "".join(f"Step {index}: {_summary(turn)}; " for index, turn in enumerate(history, start=1))
        return f"Task progress (what you have done on this device so far): {done}".rstrip()

    def _messages(self, text: str, screenshot: Screenshot) -> Prompt:
        return (
            Message.of_text(Role.SYSTEM, self._system_prompt(screenshot)),
            Message(role=Role.USER, parts=(TextPart(text=text), ImagePart(screenshot=screenshot))),
        )

    def _system_prompt(self, screenshot: Screenshot) -> str:
        signature = json.dumps(self._signature(screenshot), ensure_ascii=False)
        return (
            "You are a helpful assistant.\n\n# Tools\n\n"
            "You may call a function to help with the user query.\n\n"
            "The signatures of the functions stand within <tools></tools> XML tags:\n"
            f"<tools>\n{signature}\n</tools>\n\n"
            "To call a function, return a JSON object with its name and arguments within "
            "<tool_call></tool_call> XML tags:\n"
            '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
        )

    def _signature(self, screenshot: Screenshot) -> dict[str, Any]:
        browser = self.options.browser_actions
        actions = _ACTIONS | (_BROWSER_ACTIONS if browser else {})
        properties: dict[str, Any] = {
            "action": {
                "type": "string",
                "enum": list(actions),
                "description": "What to do. "
                + " ".join(f"`{name}`: {description}" for name, description in actions.items()),
            },
            **_PARAMETERS,
            **(_BROWSER_PARAMETERS if browser else {}),
        }
        return {
            "type": "function",
            "function": {
                "name": _TOOL,
                "description": "Operate a device with a touch screen, and see it through screenshots. "
                f"{self._screen(screenshot)} Aim at the middle of an element. An app may need time to start; "
                "wait and look again where nothing has changed.",
                "parameters": {"type": "object", "properties": properties, "required": ["action"]},
            },
        }

    def _screen(self, screenshot: Screenshot) -> str:
        match self.space:
            case CoordinateSpace.RESIZED_PIXELS:
                geometry = ScreenGeometry.of(
                    screenshot.width_px, screenshot.height_px, self.options.image_budget
                )
                size = f"{geometry.resized_width_px}x{geometry.resized_height_px}"
                return f"The screen's resolution is {size}."
            case CoordinateSpace.THOUSAND:
                return "The screen's resolution is 1000x1000."
            case CoordinateSpace.NORMALISED:
                return "Coordinates are fractions of the screen's width and height, from 0 to 1."


_ACTIONS: Final = {
    "key": "send the key event named in text.",
    "click": "tap the point (x, y).",
    "long_press": "hold a finger on the point (x, y) for some seconds.",
    "swipe": "move a finger from the point (x, y) to the point (x2, y2).",
    "type": "enter text into the focused field.",
    "answer": "tell the user the answer.",
    "system_button": "press a button of the system.",
    "open": "start the app named in text.",
    "wait": "let some seconds pass.",
    "terminate": "end the task and report its status.",
}
_BROWSER_ACTIONS: Final = {
    "double_click": "click the point (x, y) twice.",
    "drag": "move what lies at (x, y) to (x2, y2).",
    "scroll": "bring content into view that lies in a direction.",
}
_PARAMETERS: Final[dict[str, Any]] = {
    "coordinate": {"type": "array", "description": "(x, y): distance from the left and the top edge."},
    "coordinate2": {"type": "array", "description": "(x2, y2): where the movement ends."},
    "text": {"type": "string", "description": "Needed by key, type, answer and open."},
    "time": {"type": "number", "description": "Seconds, for long_press and wait."},
    "button": {"type": "string", "enum": ["Back", "Home", "Menu", "Enter"], "description": "The button."},
    "status": {"type": "string", "enum": ["success", "failure"], "description": "How the task ended."},
}
_BROWSER_PARAMETERS: Final[dict[str, Any]] = {
    "direction": {"type": "string", "enum": ["up", "down", "left", "right"], "description": "For scroll."},
}


def _call_arguments(call_text: str) -> dict[str, Any] | str:
    """The arguments of a call, or why there are none."""
    call = load_json_object(call_text)
    if isinstance(call, str):
        return f"the tool call is {call}"
    if call.get("name") != _TOOL:
        return f"the tool call must name {_TOOL!r}"
    arguments = call.get("arguments")
    return arguments if isinstance(arguments, dict) else "the tool call has no object of arguments"


def _summary(turn: Turn) -> str:
    """What one earlier step is remembered as: its conclusion, its arguments, or its words."""
    conclusion = find_block(turn.response, "conclusion")
    if conclusion is not None and conclusion.content:
        return conclusion.content
    block = find_block(turn.response, "tool_call")
    if block is None:
        return " ".join(turn.response.split())
    arguments = _call_arguments(block.content)
    return dump_json(arguments) if isinstance(arguments, dict) else " ".join(block.content.split())
