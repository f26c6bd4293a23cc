"""Who says whether a subgoal is a good one: the task itself, or a vision-language model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol

from gui_agent.observation import Screenshot
from gui_agent.policy import (
    ImagePart,
    Message,
    Policy,
    Prompt,
    Role,
    SampleKey,
    SamplingParams,
    TextPart,
)

_SYSTEM: Final = """\
You judge the plans of an agent that operates a phone or a browser. You are shown a task, a screen and \
the instruction that the agent chose for its next single action. Say whether carrying out this \
instruction on this screen is a sensible next step of the task: it must be possible here, it must be \
needed now, and it must not have been done already. Answer with one word, yes or no."""
_AFTER: Final = "The screen after an attempt to carry it out:\n"
_FIRST_WORD: Final = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeQuestion:
    """What a judge may know of a subgoal.

    Attributes:
        goal: of the task.
        screenshot: the screen on which the subgoal was written.
        subgoal: the instruction.
        gains: progress of the task that each attempt at it made; empty where nothing was tried.
        after: the screen after the first attempt, where one was made.
    """

    goal: str
    screenshot: Screenshot
    subgoal: str
    gains: tuple[float, ...] = ()
    after: Screenshot | None = None


class SubgoalJudge(Protocol):
    """Judges subgoals."""

    async def judge(self, question: JudgeQuestion, key: SampleKey) -> float | None:
        """A number in [0, 1], or None if the judge cannot tell.

        Raises:
            PolicyError: the judge's model failed.
        """
        ...


class ProgressJudge:
    """The task itself: 1 if some attempt brought it forward."""

    async def judge(self, question: JudgeQuestion, key: SampleKey) -> float | None:
        """See `SubgoalJudge`; None where nothing was tried."""
        return float(max(question.gains) > 0) if question.gains else None


class ModelJudge:
    """A vision-language model that answers yes or no, with the most likely words."""

    def __init__(self, policy: Policy, *, max_new_tokens: int = 8) -> None:
        """Ask `policy`."""
        self._policy = policy
        self._params = SamplingParams(temperature=0.0, max_new_tokens=max_new_tokens)

    async def judge(self, question: JudgeQuestion, key: SampleKey) -> float | None:
        """See `SubgoalJudge`; None if the answer begins with neither yes nor no."""
        (answer,) = await self._policy.sample(judge_prompt(question), n=1, params=self._params, key=key)
        return read_verdict(answer.text)


def judge_prompt(question: JudgeQuestion) -> Prompt:
    """The question as a model is asked it: task, screen, instruction, and the screen after an attempt."""
    parts: list[TextPart | ImagePart] = [
        TextPart(text=f"Task: {question.goal}\n"),
        ImagePart(screenshot=question.screenshot),
        TextPart(text=f"Instruction: {question.subgoal}\n"),
    ]
    if question.after is not None:
        parts += [TextPart(text=_AFTER), ImagePart(screenshot=question.after)]
    parts.append(TextPart(text="Is this a sensible next step? Answer yes or no."))
    system = Message.of_text(Role.SYSTEM, _SYSTEM)
    return (system, Message(role=Role.USER, parts=tuple(parts)))


def read_verdict(text: str) -> float | None:
    """1 for yes, 0 for no, None for anything else."""
    word = _FIRST_WORD.search(text.lower())
    return {"yes": 1.0, "no": 0.0}.get(word.group()) if word else None
