"""The think/action dialect of UI-S1.

A response is a think block and an action block whose content is one flat JSON object:

    <think>
    The search field is empty.
    </think>
    <action>
    {"action": "click", "coordinate": [546, 391]}
    </action>

Each past step is a user turn and an assistant turn; all words stay, only the last pictures do.

Source: UI-S1, arXiv:2509.11543, appendix A.9 and A.10 (reference vectors `uis1_history`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gui_agent.actions import Action, ParseError
from gui_agent.coordinates import CoordinateSpace, ScreenGeometry
from gui_agent.errors import ConfigError
from gui_agent.formats.base import ParsedResponse, Turn, keep_last_images
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
from gui_agent.policy import ImagePart, Message, Prompt, Role, TextPart

_FENCED_OUTPUT: Final = "```\n<think> ... </think>\n\n<action> ... </action>\n```"
_FENCED_THOUGHT: Final = "```\n<think> ... </think>\n```"
_FENCED_ACTION: Final = "```\n<action> ... </action>\n```"
_QUESTION_NOTE: Final = (
    "If the query asks a question, please answer the question through the answer action before "
    "terminating the process.\n"
)
_ACTIONS: Final = (
    ("key", "Send a key event to the device, such as `volume_up`, `power` or `clear`."),
    ("click", "Tap the point at `coordinate`."),
    ("long_press", "Hold a finger on the point at `coordinate` for `time` seconds."),
    ("swipe", "Move a finger from the point at `coordinate` to the point at `coordinate2`."),
    ("type", "Enter `text` into the field that has the focus."),
    ("answer", "Tell the user the answer to the query, as `text`."),
    ("system_button", "Press the system button named by `button`."),
    ("open", "Start the app whose name is `text`."),
    ("wait", "Let `time` seconds pass so that the screen can change."),
    ("terminate", "End the task and report its `status`."),
)
_BROWSER_ACTIONS: Final = (
    ("double_click", "Click the point at `coordinate` twice in quick succession."),
    ("drag", "Move what lies at `coordinate` to `coordinate2`."),
    ("scroll", "Bring content into view that lies in `direction`, at `coordinate` if given."),
)
_ARGUMENTS: Final = (
    ("coordinate", "[x, y], the pixels from the left edge and from the top edge of the screen."),
    ("coordinate2", "[x, y], where the movement ends, in the same unit."),
    ("text", "The words that key, type, answer or open need."),
    ("time", "Seconds, for long_press and wait."),
    ("button", "The button to press. Possible values: Back, Home, Menu, Enter."),
    ("status", "How the task ended. Possible values: success, failure."),
)
_DIRECTION: Final = ("direction", "Where the content lies. Possible values: up, down, left, right.")
_UNITS: Final = {
    CoordinateSpace.RESIZED_PIXELS: "the pixels from the left edge and from the top edge of the screen.",
    CoordinateSpace.THOUSAND: "from 0 at the left and top edge to 1000 at the right and bottom edge.",
    CoordinateSpace.NORMALISED: "fractions of the width and the height of the screen, from 0 to 1.",
}
_THOUGHT_SYSTEM: Final = """\
You are a GUI agent. You see a task, the actions so far with screenshots, and what comes \
next. Write down the reasoning that leads to this action, as if you had chosen it yourself.
## Output Format

{output}

## How To Think

- Begin with the overall goal, in your own words.
- Go on from what earlier steps have achieved.
- Decide what has to be done on the current screen, and why.
- State the decision as an instruction, in the imperative.
- Speak of elements by what they are called or look like; never write coordinates.
- Never reveal that the action was given to you.
"""


class EmptyThink(StrEnum):
    """What stands for a missing thought in a rendered response."""

    KEEP = "keep"
    """An empty think block, as in the release."""
    OMIT = "omit"
    """Nothing: only the action block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UiS1Options:
    """Choices within the dialect.

    Attributes:
        image_limit: pictures in a prompt, the current one included.
        empty_think: what stands for a missing thought in a patch.
        require_thought: a response without a thought has the wrong form.
        repeat_goal: state the goal in every user turn, not only in the first.
        browser_actions: add double click, drag and scroll to the actions.
        space: the unit in which the model writes points.
    """

    image_limit: int = 2
    empty_think: EmptyThink = EmptyThink.KEEP
    require_thought: bool = True
    repeat_goal: bool = False
    browser_actions: bool = False
    space: CoordinateSpace = CoordinateSpace.RESIZED_PIXELS

    def __post_init__(self) -> None:
        if self.image_limit < 1:
            raise ConfigError(f"image_limit is {self.image_limit}; the current screenshot needs 1 or more")


class UiS1Format:
    """Think block, action block; see the module."""

    name = "ui_s1"

    def __init__(self, options: UiS1Options | None = None) -> None:
        """Fix the options; None takes the defaults."""
        self.options = options or UiS1Options()
        self.system_prompt = _system_prompt(self.options)

    @property
    def space(self) -> CoordinateSpace:
        """The unit in which the model writes points."""
        return self.options.space

    @property
    def action_space(self) -> frozenset[type]:
        """Types of action that this dialect can express."""
        return PHONE_ACTIONS | BROWSER_ACTIONS if self.options.browser_actions else PHONE_ACTIONS

    def prompt(self, goal: str, history: Sequence[Turn], screenshot: Screenshot) -> Prompt:
        """System, a user and an assistant turn per past step, and the current screenshot."""
        output = self._output
        messages = [Message.of_text(Role.SYSTEM, self.system_prompt)]
        messages += self._past(goal, history, output)
        messages.append(self._current_turn(goal, history, screenshot, output))
        return keep_last_images(messages, self.options.image_limit)

    def parse(self, text: str, geometry: ScreenGeometry) -> ParsedResponse:
        """Read the first think block and the action block behind it; points become screen pixels."""
        think = find_block(text, "think")
        thought = think.content if think else None
        # Behind the thought first, because a thought may talk about actions.
        block = find_block(text, "action", after=think.end if think else 0) or find_block(text, "action")
        if block is None:
            error = ParseError(reason="expected <action> … </action>", text=text)
            return ParsedResponse(action=error, thought=thought, format_ok=False)
        arguments = load_json_object(block.content)
        if isinstance(arguments, str):
            error = ParseError(reason=f"the action block is {arguments}", text=text)
            return ParsedResponse(action=error, thought=thought, format_ok=False)
        action = action_from_arguments(arguments, self.space, geometry, self.action_space)
        format_ok = bool(thought) or not self.options.require_thought
        if isinstance(action, ArgumentProblem):
            error = ParseError(reason=action.reason, text=text)
            return ParsedResponse(action=error, thought=thought, format_ok=format_ok)
        return ParsedResponse(action=action, thought=thought, format_ok=format_ok)

    def render(self, action: Action, thought: str | None, geometry: ScreenGeometry) -> str:
        """Write an action as the assistant would.

        Raises:
            ConfigError: the dialect has no word for this type of action.
        """
        arguments = action_arguments(action, self.space, geometry, self.action_space)
        response = f"<action>\n{dump_json(arguments)}\n</action>"
        words = without_tags(thought or "", "think")
        if words or self.options.empty_think is EmptyThink.KEEP:
            response = f"<think>\n{words}\n</think>\n{response}"
        return response

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
        arguments = action_arguments(expert, self.space, geometry, self.action_space)
        messages = [Message.of_text(Role.SYSTEM, _THOUGHT_SYSTEM.format(output=_FENCED_THOUGHT))]
        messages += self._past(goal, history, _FENCED_THOUGHT)
        current = self._current_turn(goal, history, screenshot, _FENCED_THOUGHT)
        hint = TextPart(text=f"Next action: {dump_json(arguments)}\n")
        messages.append(Message(role=Role.USER, parts=(*current.parts[:-1], hint, current.parts[-1])))
        return keep_last_images(messages, self.options.image_limit)

    def parse_thought(self, text: str) -> str:
        """The think block of a response; empty if there is none."""
        block = find_block(text, "think")
        return block.content if block else ""

    @property
    def _output(self) -> str:
        return _FENCED_OUTPUT if self.options.require_thought else _FENCED_ACTION

    def _past(self, goal: str, history: Sequence[Turn], output: str) -> list[Message]:
        messages = []
        for index, turn in enumerate(history):
            stated = goal if index == 0 or self.options.repeat_goal else None
            said = stated if turn.goal is None else turn.goal or None
            messages.append(self._user_turn(said, index, turn.screenshot, output))
            messages.append(Message.of_text(Role.ASSISTANT, turn.response))
        return messages

    def _current_turn(
        self, goal: str, history: Sequence[Turn], screenshot: Screenshot, output: str
    ) -> Message:
        own_goals = any(turn.goal is not None for turn in history)
        stated = not history or own_goals or self.options.repeat_goal
        return self._user_turn(goal if stated else None, len(history), screenshot, output)

    def _user_turn(self, goal: str | None, index: int, screenshot: Screenshot, output: str) -> Message:
        """One user turn; a goal of None is not stated."""
        reminder = f"Output Format: {output}"
        texts = [reminder if goal is None else f"User Instruction: {goal}\n{reminder}"]
        if index == 0:
            texts.append(_QUESTION_NOTE)
        parts = tuple(TextPart(text=text) for text in texts)
        return Message(role=Role.USER, parts=(*parts, ImagePart(screenshot=screenshot)))


def claimed_action(text: str) -> str | None:
    """The name that a response gives its action, known or not; None if its JSON has none."""
    think = find_block(text, "think")
    block = find_block(text, "action", after=think.end if think else 0) or find_block(text, "action")
    arguments = load_json_object(block.content) if block else ""
    name = arguments.get("action") if isinstance(arguments, dict) else None
    return name if isinstance(name, str) else None


def _system_prompt(options: UiS1Options) -> str:
    actions = _ACTIONS + (_BROWSER_ACTIONS if options.browser_actions else ())
    arguments = [
        (name, f"[x, y], {_UNITS[options.space]}" if name == "coordinate" else words)
        for name, words in _ARGUMENTS
    ]
    if options.browser_actions:
        arguments.append(_DIRECTION)
    listed = [f"- {name}: {words}" for name, words in actions]
    taken = [f"- {name}: {words}" for name, words in arguments]
    output = _FENCED_OUTPUT if options.require_thought else _FENCED_ACTION
    think = "<think>\n...\n</think>\n" if options.require_thought else ""
    examples = [
        f'{think}<action>\n{{"action": "{name}", "{argument}": "<value>"}}\n</action>'
        for name, argument in (("key", "text"), ("click", "coordinate"))
    ]
    sections = [
        "You are a GUI agent. You receive a task together with the actions taken so far and screenshots. "
        "Choose the next action that brings the task forward.\n## Output Format\n",
        f"{output}\n",
        "## Action Space\n",
        "The actions are:",
        *listed,
        "\nTheir arguments are:",
        *taken,
        "\nWrite one JSON object that holds the action and its arguments on the same level.",
        "\nExample outputs:",
        *examples,
        "\n## Note\n",
        *(["- Plan and reason step by step in the `think` part."] if options.require_thought else []),
        "- Give one action of the action space in the `action` part.",
    ]
    return "\n".join(sections) + "\n"
