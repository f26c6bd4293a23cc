"""What the formats promise beyond their golden files."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from gui_agent.actions import (
    Action,
    Click,
    Direction,
    Finish,
    FinishStatus,
    LongPress,
    ParseError,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
)
from gui_agent.coordinates import CoordinateSpace, ScreenGeometry
from gui_agent.errors import ConfigError
from gui_agent.formats.base import Turn
from gui_agent.formats.compact import CompactFormat, CompactOptions, compact_vocabulary
from gui_agent.formats.mobile_use import MobileUseFormat, MobileUseOptions
from gui_agent.formats.registry import FORMATS, get_format
from gui_agent.formats.ui_s1 import EmptyThink, UiS1Format, UiS1Options, claimed_action
from gui_agent.observation import Screenshot
from gui_agent.policy import ImageBudget, ImagePart

PHONE = ScreenGeometry.of(1080, 2400, ImageBudget())
TINY = ScreenGeometry.of(112, 224, ImageBudget(min_pixels=784))


def screenshot(number: int) -> Screenshot:
    buffer = io.BytesIO()
    Image.new("L", (56, 84), number).save(buffer, "PNG")
    return Screenshot.from_bytes(buffer.getvalue())


def pictures(prompt: tuple[object, ...]) -> list[Screenshot]:
    return [
        part.screenshot
        for message in prompt
        for part in message.parts  # type: ignore[attr-defined]
        if isinstance(part, ImagePart)
    ]


# -- ui_s1 -----------------------------------------------------------------------------------------


def test_ui_s1_reads_points_in_resized_pixels() -> None:
    text = '<think>\nx\n</think>\n<action>\n{"action": "click", "coordinate": [546, 1204]}\n</action>'
    parsed = UiS1Format().parse(text, PHONE)
    assert parsed.action == Click(x=540, y=1200)
    assert (parsed.thought, parsed.format_ok) == ("x", True)


@pytest.mark.parametrize(
    ("text", "format_ok", "is_action"),
    [
        ('<think>a</think><action>{"action": "wait"}</action>', True, True),
        ('<think> \n </think><action>{"action": "wait"}</action>', False, True),
        ('<action>{"action": "wait"}</action>', False, True),
        ('<action>{"action": "wait"}</action><think>late</think>', True, True),
        ('<think>a</think><action>{"action": "click"}</action>', True, False),
        ('<think>a</think><action>{"action": "fly"}</action>', True, False),
        ("<think>a</think><action>click</action>", False, False),
        ('<think>a</think><action>["wait"]</action>', False, False),
        ('<think>a</think>{"action": "wait"}', False, False),
        ("", False, False),
    ],
)
def test_ui_s1_form_is_judged_apart_from_the_action(text: str, format_ok: bool, is_action: bool) -> None:
    parsed = UiS1Format().parse(text, PHONE)
    assert parsed.format_ok is format_ok
    assert isinstance(parsed.action, ParseError) is not is_action


def test_ui_s1_thoughts_may_talk_about_actions() -> None:
    text = '<think>not <action>{"action": "wait"}</action></think><action>{"action": "terminate"}</action>'
    assert UiS1Format().parse(text, PHONE).action == Finish()


def test_ui_s1_missing_thought_is_kept_empty_or_omitted() -> None:
    kept = UiS1Format().render(Wait(), None, PHONE)
    assert kept == '<think>\n\n</think>\n<action>\n{"action": "wait", "time": 1}\n</action>'
    omitted = UiS1Format(UiS1Options(empty_think=EmptyThink.OMIT)).render(Wait(), None, PHONE)
    assert omitted == '<action>\n{"action": "wait", "time": 1}\n</action>'


def test_ui_s1_keeps_the_last_pictures_and_all_words() -> None:
    history = [Turn(screenshot=screenshot(number), response=f"r{number}") for number in range(4)]
    prompt = UiS1Format(UiS1Options(image_limit=3)).prompt("g", history, screenshot(4))
    assert [shot.sha256 for shot in pictures(prompt)] == [screenshot(number).sha256 for number in (2, 3, 4)]
    assert len(prompt) == 2 * len(history) + 2
    assert [message.text for message in prompt if message.role == "assistant"] == ["r0", "r1", "r2", "r3"]


def test_ui_s1_cannot_write_what_it_has_no_word_for() -> None:
    with pytest.raises(ConfigError, match="cannot write 'scroll'"):
        UiS1Format().render(Scroll(direction=Direction.UP), None, PHONE)
    browser = UiS1Format(UiS1Options(browser_actions=True))
    assert Scroll in browser.action_space
    assert "- scroll:" in browser.system_prompt
    assert "- scroll:" not in UiS1Format().system_prompt


def test_a_dialect_does_not_read_what_it_cannot_write() -> None:
    text = '<think>a</think><action>{"action": "scroll", "direction": "up"}</action>'
    assert isinstance(UiS1Format().parse(text, PHONE).action, ParseError)


def test_claimed_action_is_found_in_what_does_not_parse() -> None:
    assert claimed_action('<action>{"action": "fly"}</action>') == "fly"
    assert claimed_action('<action>{"action": 3}</action>') is None
    assert claimed_action("<action>fly</action>") is None


# -- mobile_use ------------------------------------------------------------------------------------


def test_mobile_use_families_point_in_their_own_space() -> None:
    call = '{"name": "mobile_use", "arguments": {"action": "click", "coordinate": [500, 500]}}'
    text = f"<tool_call>{call}</tool_call>"
    qwen3 = get_format("mobile_use", family="qwen3_vl")
    assert qwen3.parse(text, PHONE).action == Click(x=540, y=1200)
    assert get_format("mobile_use").parse(text, PHONE).action == Click(x=494, y=498)


@pytest.mark.parametrize(
    ("factor", "options", "space"),
    [
        (28, {}, CoordinateSpace.RESIZED_PIXELS),
        (32, {}, CoordinateSpace.THOUSAND),
        (32, {"family": "qwen2_5_vl"}, CoordinateSpace.RESIZED_PIXELS),
        (32, {"space": "normalised"}, CoordinateSpace.NORMALISED),
    ],
)
def test_mobile_use_takes_the_space_of_the_model_it_is_made_for(
    factor: int, options: dict[str, str], space: CoordinateSpace
) -> None:
    made = get_format("mobile_use", image_budget=ImageBudget.of_factor(factor), **options)
    assert made.space is space


def test_mobile_use_states_the_size_that_the_model_sees() -> None:
    budget = ImageBudget(factor=28, min_pixels=784, max_pixels=784 * 4)
    mobile_use = MobileUseFormat(MobileUseOptions(image_budget=budget))
    assert "resolution is 28x56" in mobile_use.prompt("g", [], screenshot(0))[0].text
    assert "1000x1000" in get_format("mobile_use", family="qwen3_vl").prompt("g", [], screenshot(0))[0].text


def test_mobile_use_tells_earlier_steps_by_their_conclusions() -> None:
    mobile_use = MobileUseFormat()
    history = [
        Turn(screenshot=screenshot(0), response=mobile_use.render(Wait(), "t", PHONE)),
        Turn(
            screenshot=screenshot(1),
            response=mobile_use.render(Wait(), "t", PHONE) + "\n<conclusion>\nopened it\n</conclusion>",
        ),
        Turn(screenshot=screenshot(2), response="what\nis this"),
    ]
    prompt = mobile_use.prompt("g", history, screenshot(3))
    assert 'Step 1: {"action": "wait", "time": 1}; Step 2: opened it; Step 3: what is this;' in prompt[1].text
    assert len(pictures(prompt)) == 1


def test_mobile_use_takes_words_before_the_call_for_the_thought() -> None:
    call = '<tool_call>{"name": "mobile_use", "arguments": {"action": "wait"}}</tool_call>'
    parsed = MobileUseFormat().parse(f"Thought: it loads\n{call}", PHONE)
    assert (parsed.action, parsed.thought) == (Wait(), "Thought: it loads")
    strict = MobileUseFormat(MobileUseOptions(require_thought=True))
    assert not strict.parse(call, PHONE).format_ok
    assert MobileUseFormat().parse(call, PHONE).format_ok


def test_mobile_use_wants_its_own_function() -> None:
    text = '<tool_call>{"name": "computer_use", "arguments": {"action": "wait"}}</tool_call>'
    parsed = MobileUseFormat().parse(text, PHONE)
    assert isinstance(parsed.action, ParseError)
    assert not parsed.format_ok


# -- compact ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "action", "thought"),
    [
        ("settings click 28 60", Click(x=28, y=60), "settings"),
        ("click 28 60", Click(x=28, y=60), None),
        ("done finish success", Finish(), "done"),
        ("back button back", SystemButton(button="back"), "back"),  # type: ignore[arg-type]
        ("anna type hello", TypeText(text="hello"), "anna"),
        ("anna type hello there", TypeText(text="hello there"), "anna"),
        ('type "click 1 2"', TypeText(text="click 1 2"), None),
        ("list scroll down", Scroll(direction=Direction.DOWN), "list"),
        ("scroll left 28 60", Scroll(direction=Direction.LEFT, x=28, y=60), None),
        ("item long_press 28 60", LongPress(x=28, y=60), "item"),
        ("long_press 28 60 2.5", LongPress(x=28, y=60, duration_s=2.5), None),
        ("swipe 56 200 56 20", Swipe(x=56, y=200, to_x=56, to_y=20), None),
        ("type hello click 28 60", Click(x=28, y=60), "type hello"),
        ("click the open button click 28 60", Click(x=28, y=60), "click the open button"),
        ("wait", Wait(), None),
        ("wait 2", Wait(duration_s=2), None),
        ("give up finish failure", Finish(status=FinishStatus.FAILURE), "give up"),
    ],
)
def test_compact_reads_one_line(text: str, action: Action, thought: str | None) -> None:
    parsed = CompactFormat().parse(text, TINY)
    assert parsed.action == action
    assert parsed.thought == thought
    assert parsed.format_ok


@pytest.mark.parametrize(
    "text",
    [
        "",
        "settings",
        "click 28",
        "click 28 60 5",
        "click 2a 60",
        "click 28 60 type",
        "click 28 60\nclick 28 60",
        'type "unfinished',
        'type quo"te',
        "scroll sideways",
        "button power",
        "finish",
        "wait -1",
        "wait nan",
        "click 123456 1",
    ],
)
def test_compact_refuses_what_no_command_completes(text: str) -> None:
    parsed = CompactFormat().parse(text, TINY)
    assert isinstance(parsed.action, ParseError)
    assert not parsed.format_ok


def test_compact_prompt_is_a_picture_and_lines() -> None:
    history = [Turn(screenshot=screenshot(n), response=f"word click {n}  {n}\n") for n in range(3)]
    (message,) = CompactFormat(CompactOptions(history_limit=2)).prompt("turn on wifi", history, screenshot(3))
    assert isinstance(message.parts[0], ImagePart)
    assert message.text == "turn on wifi\nword click 1 1\nword click 2 2\n"
    (message,) = CompactFormat(CompactOptions(history_limit=0)).prompt("turn on wifi", history, screenshot(3))
    assert message.text == "turn on wifi\n"


def test_compact_vocabulary_holds_every_word_that_is_written() -> None:
    for snap_px in (1, 8):
        words = compact_vocabulary(max_coordinate=223, snap_px=snap_px)
        assert len(words) == len(set(words))
        snapped = CompactFormat(CompactOptions(snap_px=snap_px))
        for x in range(0, 112, 3):
            line = snapped.render(Click(x=x, y=2 * x), None, TINY)
            keyword, *numbers = line.split(" ")
            assert {keyword, *(f" {number}" for number in numbers)} <= set(words)
    assert len(compact_vocabulary(max_coordinate=223, snap_px=8)) < 80


def test_compact_why_prompt_holds_the_command() -> None:
    compact = CompactFormat()
    (message,) = compact.thought_prompt("g", [], screenshot(0), Click(x=28, y=60), TINY)
    assert message.text == "g\nwhy click 28 60\n"
    assert compact.parse_thought(" settings \n more") == "settings"


# -- registry --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_registry_knows_names(name: str) -> None:
    assert get_format(name).name == name


def test_registry_suggests_names_options_and_values() -> None:
    with pytest.raises(ConfigError, match="did you mean 'compact'"):
        get_format("compakt")
    with pytest.raises(ConfigError, match="did you mean 'image_limit'"):
        get_format("ui_s1", image_limits=3)
    with pytest.raises(ConfigError, match="did you mean 'thousand'"):
        get_format("mobile_use", space="thousands")
    with pytest.raises(ConfigError, match=r"compact.snap_px is 'wide'; expected int"):
        get_format("compact:snap_px=wide")
    with pytest.raises(ConfigError, match=r"ui_s1.repeat_goal is 1; expected bool"):
        get_format("ui_s1", repeat_goal=1)
    with pytest.raises(ConfigError, match="image_limit is 0"):
        get_format("ui_s1", image_limit=0)
    with pytest.raises(ConfigError, match="whole numbers"):
        get_format("compact", space="normalised")


def test_registry_reads_options_behind_a_colon() -> None:
    prompt_format = get_format("compact:snap_px=8,require_thought=true,space=thousand")
    assert isinstance(prompt_format, CompactFormat)
    options = CompactOptions(snap_px=8, require_thought=True, space=CoordinateSpace.THOUSAND)
    assert prompt_format.options == options
    with pytest.raises(ConfigError, match="key=value"):
        get_format("compact:snap_px")


def test_only_formats_that_state_a_size_use_the_image_budget() -> None:
    budget = ImageBudget(factor=28, min_pixels=784, max_pixels=784 * 4)
    mobile_use = get_format("mobile_use", image_budget=budget)
    assert "resolution is 28x56" in mobile_use.prompt("g", [], screenshot(0))[0].text
    assert get_format("ui_s1", image_budget=budget).name == "ui_s1"
