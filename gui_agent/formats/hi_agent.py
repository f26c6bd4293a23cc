"""The planner's dialect of Hi-Agent: a reasoning block, then an instruction block.

    <reasoning>
    The Wi-Fi switch is off.
    </reasoning>
    <instruction>
    Instruction: tap the Wi-Fi switch
    </instruction>

Each past step is a user turn and an assistant turn; all words stay, only the last pictures do. The user
turn behind a step says what became of it: what was done, who did it, or that nothing was.

Source: Hi-Agent, arXiv:2510.14388, for the two blocks and the word in front of the instruction. The
words of the prompt and the form of the history are this project's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gui_agent.errors import ConfigError
from gui_agent.formats.base import keep_last_images
from gui_agent.formats.planner import ParsedSubgoal, PlannerTurn, planner_error, read_subgoal
from gui_agent.formats.tags import find_block, without_tags
from gui_agent.instructions import instruction_for
from gui_agent.observation import Screenshot
from gui_agent.policy import ImagePart, Message, Prompt, Role, TextPart

_PREFIX: Final = "Instruction:"
_SYSTEM: Final = """\
You plan for an agent that operates a phone or a browser. You receive a task, the steps so far and the \
current screen. Another model carries out what you write: it sees the screen and your instruction, not the \
task.
## Output Format

```
<reasoning> ... </reasoning>

<instruction> Instruction: ... </instruction>
```

## Note

- In the `reasoning` part, say what has been achieved, what is missing, and what this screen allows.
- In the `instruction` part, write one instruction for the next single action: one tap, one gesture, one \
text to type, one button, or that the task is done.
- Name the element as it is labelled or looks; write no coordinates.
- Write out every text that has to be typed.
"""
_REMINDER: Final = "Output Format: <reasoning> ... </reasoning> <instruction> Instruction: ... </instruction>"


@dataclass(frozen=True, slots=True, kw_only=True)
class HiAgentOptions:
    """Choices within the dialect.

    Attributes:
        image_limit: pictures in a prompt, the current one included.
        require_reasoning: a response without reasoning has the wrong form.
        mark_patches: the history says which steps an expert took over.
        max_subgoal_chars: the longest instruction that an actor is given.
    """

    image_limit: int = 2
    require_reasoning: bool = True
    mark_patches: bool = True
    max_subgoal_chars: int = 400

    def __post_init__(self) -> None:
        if self.image_limit < 1:
            raise ConfigError(f"image_limit is {self.image_limit}; the current screenshot needs 1 or more")
        if self.max_subgoal_chars < 1:
            raise ConfigError(f"max_subgoal_chars is {self.max_subgoal_chars}; expected 1 or more")


class HiAgentFormat:
    """Reasoning block, instruction block; see the module."""

    name = "hi_agent"

    def __init__(self, options: HiAgentOptions | None = None) -> None:
        """Fix the options; None takes the defaults."""
        self.options = options or HiAgentOptions()

    @property
    def max_subgoal_chars(self) -> int:
        """The longest instruction that an actor is given."""
        return self.options.max_subgoal_chars

    def prompt(self, goal: str, history: Sequence[PlannerTurn], screenshot: Screenshot) -> Prompt:
        """System, a user and an assistant turn per past step, and the current screenshot."""
        messages = [Message.of_text(Role.SYSTEM, _SYSTEM)]
        said = f"Task: {goal}"
        for turn in history:
            messages.append(_user_turn(said, turn.screenshot))
            messages.append(Message.of_text(Role.ASSISTANT, turn.response))
            said = self._outcome(turn)
        messages.append(_user_turn(said, screenshot))
        return keep_last_images(messages, self.options.image_limit)

    def parse(self, text: str) -> ParsedSubgoal:
        """Read the first reasoning block and the instruction block behind it."""
        block = find_block(text, "reasoning")
        reasoning = block.content if block else None
        # Behind the reasoning first, because a reasoning may talk about instructions.
        behind = find_block(text, "instruction", after=block.end if block else 0)
        found = behind or find_block(text, "instruction")
        if found is None:
            error = planner_error("expected <instruction> Instruction: … </instruction>", text)
            return ParsedSubgoal(subgoal=error, reasoning=reasoning, format_ok=False)
        prefixed = found.content.startswith(_PREFIX)
        words = found.content.removeprefix(_PREFIX)
        subgoal = read_subgoal(words, max_chars=self.max_subgoal_chars, response=text)
        reasoned = bool(reasoning) or not self.options.require_reasoning
        in_place = behind is not None and prefixed and reasoned
        format_ok = isinstance(subgoal, str) and in_place
        return ParsedSubgoal(subgoal=subgoal, reasoning=reasoning, format_ok=format_ok)

    def render(self, subgoal: str | None, reasoning: str | None) -> str:
        """Write a subgoal as the planner would; what is missing leaves its block empty."""
        thought = without_tags(reasoning or "", "reasoning")
        words = " ".join(without_tags(subgoal or "", "instruction").split())
        instruction = f"{_PREFIX} {words}" if words else ""
        return f"<reasoning>\n{thought}\n</reasoning>\n<instruction>\n{instruction}\n</instruction>"

    def _outcome(self, turn: PlannerTurn) -> str:
        if turn.executed is None:
            return "Result: nothing was done; the step could not be carried out."
        done = instruction_for(turn.executed)
        if turn.patched and self.options.mark_patches:
            return f"Result: an expert took this step instead: {done}"
        return f"Result: {done}"


def _user_turn(said: str, screenshot: Screenshot) -> Message:
    text = TextPart(text=f"{said}\n{_REMINDER}\n")
    return Message(role=Role.USER, parts=(text, ImagePart(screenshot=screenshot)))
