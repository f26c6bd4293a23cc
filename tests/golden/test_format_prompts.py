"""Prompts and renderings of every format, word for word.

The files in `formats/` are our own output, read and checked by eye against the published dialects (the
turns of `ui_s1` also against the reference vectors). A changed word changes what a trained model sees:
change a file only on purpose, by running this test with UPDATE_GOLDEN=1, and say why in the commit.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

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
    PressKey,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
    action_name,
)
from gui_agent.coordinates import ScreenGeometry
from gui_agent.formats.base import PromptFormat, Turn
from gui_agent.formats.registry import get_format
from gui_agent.observation import Screenshot
from gui_agent.policy import ImageBudget, ImagePart, Prompt

FOLDER = Path(__file__).parent / "formats"
PHONE = (1080, 2400)
TINY = (112, 224)
CONFIGS: dict[str, tuple[str, dict[str, Any], tuple[int, int], ImageBudget]] = {
    "ui_s1": ("ui_s1", {}, PHONE, ImageBudget()),
    "ui_s1_browser_without_thought": (
        "ui_s1",
        {"browser_actions": True, "require_thought": False, "empty_think": "omit", "space": "thousand"},
        PHONE,
        ImageBudget(),
    ),
    "mobile_use_qwen2_5_vl": ("mobile_use", {}, PHONE, ImageBudget()),
    "mobile_use_qwen3_vl": (
        "mobile_use",
        {"family": "qwen3_vl", "ask_for_conclusion": True},
        PHONE,
        ImageBudget(factor=32),
    ),
    "compact": ("compact", {"history_limit": 2}, TINY, ImageBudget(min_pixels=784)),
    "compact_snapped": ("compact", {"snap_px": 8}, TINY, ImageBudget(min_pixels=784)),
}


def _actions(size: tuple[int, int]) -> list[Action]:
    width, height = size
    x, y, to_x, to_y = width // 2, height // 3, width // 4, height - 1
    return [
        Click(x=x, y=y),
        Click(x=width - 1, y=0),
        DoubleClick(x=x, y=y),
        LongPress(x=x, y=y, duration_s=2.5),
        Drag(x=x, y=y, to_x=to_x, to_y=to_y),
        Swipe(x=x, y=y, to_x=to_x, to_y=to_y),
        Scroll(direction=Direction.DOWN),
        Scroll(direction=Direction.LEFT, x=x, y=y),
        TypeText(text="Welsh cakes"),
        TypeText(text='click "5 </action></tool_call>\nä'),
        PressKey(key="volume_up"),
        SystemButton(button=Button.BACK),
        OpenApp(name="Zoho Meeting"),
        Wait(),
        Answer(text="42"),
        Finish(status=FinishStatus.FAILURE),
    ]


def _screenshot(number: int, size: tuple[int, int]) -> Screenshot:
    buffer = io.BytesIO()
    Image.new("L", size, number).save(buffer, "PNG", compress_level=1)
    return Screenshot.from_bytes(buffer.getvalue())


def _listed(prompt: Prompt, names: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "role": message.role.value,
            "parts": [
                names[part.screenshot.sha256] if isinstance(part, ImagePart) else part.text
                for part in message.parts
            ],
        }
        for message in prompt
    ]


def _renderings(prompt_format: PromptFormat, size: tuple[int, int], geometry: ScreenGeometry) -> Any:
    return [
        {
            "action": action_name(action),
            "thoughtless": prompt_format.render(action, None, geometry),
            "thoughtful": prompt_format.render(action, "open the settings", geometry),
        }
        for action in _actions(size)
        if type(action) in prompt_format.action_space
    ]


def _snapshot(config: str) -> dict[str, Any]:
    name, options, size, budget = CONFIGS[config]
    prompt_format = get_format(name, **options)
    geometry = ScreenGeometry.of(*size, budget)
    pictures = [_screenshot(number, size) for number in range(4)]
    names = {picture.sha256: f"<screenshot {number}>" for number, picture in enumerate(pictures)}
    steps: tuple[Action, ...] = (Click(x=size[0] // 2, y=size[1] // 3), TypeText(text="wifi"), Wait())
    history = [
        Turn(screenshot=picture, response=prompt_format.render(action, f"thought {number}", geometry))
        for number, (picture, action) in enumerate(zip(pictures[:3], steps, strict=True))
    ]
    expert = Click(x=size[0] // 4, y=size[1] // 2)
    thought = prompt_format.thought_prompt("turn on wifi", history[:1], pictures[1], expert, geometry)
    return {
        "prompt_at_first_step": _listed(prompt_format.prompt("turn on wifi", [], pictures[0]), names),
        "prompt_at_fourth_step": _listed(prompt_format.prompt("turn on wifi", history, pictures[3]), names),
        "thought_prompt_at_second_step": _listed(thought, names),
        "renderings": _renderings(prompt_format, size, geometry),
    }


@pytest.mark.parametrize("config", CONFIGS)
def test_format_says_what_it_said(config: str) -> None:
    name, options, size, budget = CONFIGS[config]
    made = _snapshot(config)
    file = FOLDER / f"{config}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        meta = {
            "origin": "output of this project, read and checked by eye; see test_format_prompts.py",
            "format": name,
            "options": options,
            "screen_px": list(size),
            "factor": budget.factor,
        }
        text = json.dumps({"meta": meta, **made}, indent=1, ensure_ascii=False)
        file.write_text(text + "\n", encoding="utf-8")
    stored = json.loads(file.read_text(encoding="utf-8"))
    stored.pop("meta")
    assert made == stored
