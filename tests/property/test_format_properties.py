"""Every format reads what it writes, and survives whatever a model writes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gui_agent.actions import (
    Action,
    Answer,
    Button,
    Click,
    Direction,
    DoubleClick,
    Drag,
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
    action_points,
    action_to_dict,
)
from gui_agent.coordinates import CoordinateSpace, ScreenGeometry
from gui_agent.formats.base import PromptFormat
from gui_agent.formats.compact import KEYWORDS
from gui_agent.formats.registry import get_format
from gui_agent.policy import ImageBudget

_SPACES = tuple(CoordinateSpace)
FORMATS: list[PromptFormat] = [
    *(get_format("ui_s1", browser_actions=True, space=space) for space in _SPACES),
    *(get_format("mobile_use", browser_actions=True, space=space) for space in _SPACES),
    get_format("mobile_use", browser_actions=True, family="qwen3_vl"),
    get_format("compact"),
    get_format("compact", space="thousand"),
    get_format("compact", snap_px=8),
]
BUDGETS = {"qwen2_5_vl": ImageBudget(factor=28), "qwen3_vl": ImageBudget(factor=32, min_pixels=65536)}

_hard = [*'abZ 0"\\<>/{}\n\t:é漢🙂\u2028\x00', *KEYWORDS, "</think>", "<action>", "</tool_call>"]
_words = st.lists(st.sampled_from(_hard)).map("".join)
texts = st.one_of(st.text(), _words)
thoughts = st.one_of(st.none(), texts)
durations = st.integers(0, 3600 * 4).map(lambda quarter: quarter / 4)


@st.composite
def screens(draw: st.DrawFn) -> ScreenGeometry:
    width, height = draw(st.integers(60, 3000)), draw(st.integers(60, 3000))
    return ScreenGeometry.of(width, height, BUDGETS[draw(st.sampled_from(sorted(BUDGETS)))])


@st.composite
def actions(draw: st.DrawFn, geometry: ScreenGeometry) -> Action:
    x, to_x = (draw(st.integers(0, geometry.width_px - 1)) for _ in range(2))
    y, to_y = (draw(st.integers(0, geometry.height_px - 1)) for _ in range(2))
    text = draw(texts)
    direction = draw(st.sampled_from(Direction))
    choices: list[Action] = [
        Click(x=x, y=y),
        DoubleClick(x=x, y=y),
        LongPress(x=x, y=y, duration_s=draw(durations)),
        Drag(x=x, y=y, to_x=to_x, to_y=to_y),
        Swipe(x=x, y=y, to_x=to_x, to_y=to_y),
        Scroll(direction=direction),
        Scroll(direction=direction, x=x, y=y),
        TypeText(text=text),
        PressKey(key=text),
        OpenApp(name=text),
        Answer(text=text),
        SystemButton(button=draw(st.sampled_from(Button))),
        Wait(duration_s=draw(durations)),
        Finish(status=draw(st.sampled_from(FinishStatus))),
    ]
    return draw(st.sampled_from(choices))


def _tolerance_px(prompt_format: PromptFormat, geometry: ScreenGeometry) -> tuple[float, float]:
    """Half a unit of the model's for rounding, or a cell for snapping, and a pixel for the floor."""
    cell = getattr(getattr(prompt_format, "options", None), "snap_px", 1)
    match prompt_format.space:
        case CoordinateSpace.RESIZED_PIXELS:
            unit_x = geometry.width_px / geometry.resized_width_px
            unit_y = geometry.height_px / geometry.resized_height_px
        case CoordinateSpace.THOUSAND:
            unit_x, unit_y = geometry.width_px / 1000, geometry.height_px / 1000
        case CoordinateSpace.NORMALISED:
            unit_x, unit_y = geometry.width_px / 10_000, geometry.height_px / 10_000
    return cell * unit_x + 1, cell * unit_y + 1


@pytest.mark.parametrize("prompt_format", FORMATS, ids=lambda each: f"{each.name}-{each.space}")
@settings(max_examples=60, deadline=None)
@given(data=st.data(), thought=thoughts)
def test_parse_inverts_render(prompt_format: PromptFormat, data: st.DataObject, thought: str | None) -> None:
    geometry = data.draw(screens())
    action = data.draw(actions(geometry))

    parsed = prompt_format.parse(prompt_format.render(action, thought, geometry), geometry)

    assert not isinstance(parsed.action, ParseError), parsed.action
    assert type(parsed.action) is type(action)
    limit_x, limit_y = _tolerance_px(prompt_format, geometry)
    for before, after in zip(action_points(action), action_points(parsed.action), strict=True):
        assert abs(before[0] - after[0]) <= limit_x
        assert abs(before[1] - after[1]) <= limit_y
        assert 0 <= after[0] < geometry.width_px
        assert 0 <= after[1] < geometry.height_px
    places = {"x", "y", "to_x", "to_y"}
    rest = [
        {k: v for k, v in action_to_dict(each).items() if k not in places} for each in (action, parsed.action)
    ]
    assert rest[0] == rest[1]


@pytest.mark.parametrize("prompt_format", FORMATS[:8], ids=lambda each: f"{each.name}-{each.space}")
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_ordinary_thoughts_come_back(prompt_format: PromptFormat, data: st.DataObject) -> None:
    geometry = data.draw(screens())
    action = data.draw(actions(geometry))
    thought = data.draw(
        st.lists(st.sampled_from([*"abc .'?é", *KEYWORDS])).map(
            lambda words: " ".join("".join(words).split())
        )
    )
    parsed = prompt_format.parse(prompt_format.render(action, thought, geometry), geometry)
    assert (parsed.thought or "") == thought


_pieces = st.sampled_from(
    [
        *'x{}[]:," \n',
        *("<think>", "</think>", "<action>", "</action>", "<tool_call>", "</tool_call>", "<thinking>"),
        *('"action"', '"click"', '"coordinate"', '"arguments"', '"name"', '"mobile_use"', '"x y"'),
        *("NaN", "Infinity", "-1e999", "9" * 400, "true", "null", "\\u0000", "click", "type", "wait", "-5"),
        '{"action": "click", "coordinate": [true, 1]}',
        '{"action": "wait", "time": -3}',
        '{"action": ["x"]}',
        '{"action": "swipe", "coordinate": [1e400, 2], "coordinate2": [NaN, 1]}',
        "12 30",
    ]
)
GEOMETRY = ScreenGeometry.of(1080, 2400, ImageBudget())


@pytest.mark.parametrize("prompt_format", FORMATS, ids=lambda each: f"{each.name}-{each.space}")
@settings(max_examples=80, deadline=None)
@given(text=st.one_of(st.text(), st.lists(_pieces, max_size=30).map("".join)))
def test_parse_never_raises(prompt_format: PromptFormat, text: str) -> None:
    parsed = prompt_format.parse(text, GEOMETRY)
    if isinstance(parsed.action, ParseError):
        assert parsed.action.text == text
        assert parsed.action.reason
    assert isinstance(prompt_format.parse_thought(text), str)


@pytest.mark.parametrize("prompt_format", FORMATS, ids=lambda each: f"{each.name}-{each.space}")
@pytest.mark.parametrize(
    "text",
    [
        "<think>" * 40_000,
        "<action>" * 40_000,
        "<tool_call>" * 40_000,
        "type " * 40_000,
        'type "' * 40_000,
        "<action>" + "[" * 100_000 + "</action>",
        '<tool_call>{"name": "mobile_use", "arguments": ' + '{"a":' * 100_000 + "</tool_call>",
        '<think>a</think><action>{"action": "wait", "time": ' + "9" * 10_000 + "}</action>",
        '<action>{"action": "click", "coordinate": [' + "1" * 4000 + ", 2]}</action>",
        '<tool_call>{"name": "mobile_use", "arguments": {"action": "click", "coordinate": [false, 2]}}'
        "</tool_call>",
    ],
    ids=range(10),
)
def test_hostile_responses_are_parse_errors(prompt_format: PromptFormat, text: str) -> None:
    assert isinstance(prompt_format.parse(text, GEOMETRY).action, ParseError)
