"""Planner formats: what counts as a subgoal, and what a mistake is called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gui_agent.actions import (
    Answer,
    Button,
    Click,
    Direction,
    Finish,
    FinishStatus,
    LongPress,
    OpenApp,
    ParseError,
    PressKey,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
)
from gui_agent.agent_spec import default_planner_format
from gui_agent.errors import ConfigError
from gui_agent.formats.registry import PLANNER_FORMATS, get_planner_format
from gui_agent.instructions import instruction_for

GOOD = "<reasoning>\nThe switch is off.\n</reasoning>\n<instruction>\nInstruction: tap Wi-Fi\n</instruction>"
SHORT = "hi_agent:max_subgoal_chars=20"


@pytest.mark.parametrize(
    ("response", "subgoal", "reasoning", "format_ok"),
    [
        (GOOD, "tap Wi-Fi", "The switch is off.", True),
        (f"Sure.\n{GOOD}\nDone.", "tap Wi-Fi", "The switch is off.", True),
        ("<instruction>Instruction: tap Wi-Fi</instruction>", "tap Wi-Fi", None, False),
        ("<reasoning>r</reasoning><instruction>tap Wi-Fi</instruction>", "tap Wi-Fi", "r", False),
        (
            "<reasoning>not <instruction>this</instruction></reasoning>"
            "<instruction>Instruction: that</instruction>",
            "that",
            "not <instruction>this</instruction>",
            True,
        ),
        (
            "<reasoning>r</reasoning><instruction>Instruction: tap\n  Wi-Fi</instruction>",
            "tap Wi-Fi",
            "r",
            True,
        ),
        ("<reasoning></reasoning><instruction>Instruction: go</instruction>", "go", "", False),
        ("<instruction>Instruction: go</instruction><reasoning>r</reasoning>", "go", "r", False),
        (
            "<reasoning><instruction>Instruction: go</instruction></reasoning>",
            "go",
            "<instruction>Instruction: go</instruction>",
            False,
        ),
    ],
)
def test_what_hi_agent_reads(response: str, subgoal: str, reasoning: str | None, format_ok: bool) -> None:
    parsed = get_planner_format(SHORT).parse(response)
    assert (parsed.subgoal, parsed.reasoning, parsed.format_ok) == (subgoal, reasoning, format_ok)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("tap Wi-Fi", "expected <instruction>"),
        ("<reasoning>r</reasoning>", "expected <instruction>"),
        ("<instruction>Instruction: tap", "expected <instruction>"),
        ("<instruction></instruction>", "is empty"),
        ("<instruction>Instruction:\n\n</instruction>", "is empty"),
        ("<instruction>Instruction: \u200b \ufeff</instruction>", "is empty"),
        (f"<instruction>Instruction: {'x' * 21}</instruction>", "21 characters"),
        ("<instruction>Instruction: <|im_end|></instruction>", "control token"),
        ("<instruction>Instruction: a\x00b</instruction>", "control characters"),
    ],
)
def test_what_is_no_subgoal_says_why(response: str, reason: str) -> None:
    parsed = get_planner_format(SHORT).parse(response)
    assert isinstance(parsed.subgoal, ParseError)
    assert parsed.subgoal.reason.startswith("planner: ")
    assert reason in parsed.subgoal.reason
    assert parsed.subgoal.text == response
    assert not parsed.format_ok


@given(
    st.sampled_from(sorted(PLANNER_FORMATS)),
    st.one_of(st.text(), st.text(alphabet="<>/instruction:reasoning ", max_size=200)),
)
def test_no_response_is_too_strange(name: str, text: str) -> None:
    parsed = get_planner_format(name).parse(text)
    if isinstance(parsed.subgoal, str):
        assert parsed.subgoal == " ".join(parsed.subgoal.split()) != ""
    else:
        assert not parsed.format_ok


WORDS = st.text(st.characters(categories=["L", "N", "P"], exclude_characters="<|>"), min_size=1, max_size=30)


@given(st.sampled_from(sorted(PLANNER_FORMATS)), WORDS, WORDS)
def test_what_is_written_is_read_again(name: str, subgoal: str, reasoning: str) -> None:
    planner_format = get_planner_format(name)
    parsed = planner_format.parse(planner_format.render(subgoal, reasoning))
    assert parsed.subgoal == " ".join(subgoal.split())
    assert parsed.format_ok
    if name == "hi_agent":
        assert parsed.reasoning == reasoning


def test_a_tag_in_a_subgoal_does_not_end_its_block() -> None:
    planner_format = get_planner_format("hi_agent")
    written = planner_format.render("tap </instruction> it", "so </reasoning> there")
    assert planner_format.parse(written).subgoal == "tap it"


def test_options_come_with_the_name() -> None:
    assert get_planner_format("compact:max_subgoal_chars=7").max_subgoal_chars == 7
    for wrong, match in (
        ("hiagent", "hi_agent"),
        ("compact:history_limits=2", "history_limit"),
        ("compact:history=said", "acted"),
    ):
        with pytest.raises(ConfigError, match=match):
            get_planner_format(wrong)
    with pytest.raises(ConfigError, match="image_limit"):
        get_planner_format("hi_agent", image_limit=0)
    assert default_planner_format("compact:snap_px=8") == "compact"
    assert default_planner_format("ui_s1") == "hi_agent"


@pytest.mark.parametrize(
    ("action", "target", "words"),
    [
        (Click(x=1, y=2), "Wi-Fi", "tap Wi-Fi"),
        (Click(x=1, y=2), None, "tap"),
        (LongPress(x=1, y=2), " the\nphoto ", "hold the photo"),
        (TypeText(text="hello you"), None, "type hello you"),
        (TypeText(text=' two\n"lines"'), None, 'type " two\\n\\"lines\\""'),
        (SystemButton(button=Button.BACK), None, "press back"),
        (PressKey(key="Tab"), None, "press Tab"),
        (Scroll(direction=Direction.DOWN, x=3, y=4), "list", "scroll down"),
        (Swipe(x=5, y=9, to_x=5, to_y=1), None, "swipe up"),
        (OpenApp(name="Zoho"), None, "open Zoho"),
        (Wait(), None, "wait"),
        (Answer(text="42"), None, "answer 42"),
        (Finish(), None, "finish"),
        (Finish(status=FinishStatus.FAILURE), None, "give up"),
    ],
)
def test_actions_in_words(action: Click, target: str | None, words: str) -> None:
    assert instruction_for(action, target) == words
