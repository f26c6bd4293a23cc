"""Prompts and renderings of every planner format, and of an actor that is given subgoals, word for word.

The files are our own output, read and checked by eye. A changed word changes what a trained model sees:
change a file only on purpose, by running this test with UPDATE_GOLDEN=1, and say why in the commit.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gui_agent.actions import Click, TypeText
from gui_agent.formats.base import Turn
from gui_agent.formats.planner import PlannerTurn
from gui_agent.formats.registry import get_format, get_planner_format
from gui_agent.observation import Screenshot
from gui_agent.policy import ImagePart, Prompt

FOLDER = Path(__file__).parent / "formats"
PLANNERS: dict[str, tuple[str, dict[str, Any]]] = {
    "planner_hi_agent": ("hi_agent", {}),
    "planner_hi_agent_unmarked": ("hi_agent", {"mark_patches": False, "image_limit": 1}),
    "planner_compact": ("compact", {"history_limit": 3}),
    "planner_compact_unmarked": ("compact", {"mark_patches": False}),
    "planner_compact_planned": ("compact", {"history": "planned"}),
}
ACTORS = ("ui_s1", "mobile_use", "compact")
GOAL = "write to Anna that I am late"


def _pictures(count: int) -> list[Screenshot]:
    return [Screenshot.from_image(Image.new("L", (112, 224), number)) for number in range(count)]


def _listed(prompt: Prompt, pictures: list[Screenshot]) -> list[dict[str, Any]]:
    names = {picture.sha256: f"<screenshot {number}>" for number, picture in enumerate(pictures)}
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


def _planner(name: str, options: dict[str, Any]) -> dict[str, Any]:
    planner_format = get_planner_format(name, **options)
    pictures = _pictures(5)
    render = planner_format.render
    history = [
        PlannerTurn(
            screenshot=pictures[0],
            response=render("tap Chats", "It is there."),
            executed=Click(x=1, y=2),
            acted="(the actor taps Chats)",
        ),
        PlannerTurn(
            screenshot=pictures[1],
            response=render("tap Anna", None),
            executed=Click(x=3, y=4),
            patched=True,
            acted="(the expert taps Anna)",
        ),
        PlannerTurn(
            screenshot=pictures[2],
            response=render(None, None),
            executed=TypeText(text="hi"),
            patched=True,
            acted="(the expert types)",
        ),
        PlannerTurn(screenshot=pictures[3], response="no instruction at all"),
    ]
    return {
        "prompt_at_first_step": _listed(planner_format.prompt(GOAL, [], pictures[0]), pictures),
        "prompt_at_fifth_step": _listed(planner_format.prompt(GOAL, history, pictures[4]), pictures),
        "renderings": [render("tap send", "Done writing."), render("tap send", None), render(None, None)],
    }


def _actor(name: str) -> dict[str, Any]:
    prompt_format = get_format(name)
    pictures = _pictures(3)
    history = [
        Turn(screenshot=pictures[0], response="(response to the first)", goal="tap Chats"),
        Turn(screenshot=pictures[1], response="(patch without a subgoal)", goal=""),
    ]
    return {"prompt_at_third_step": _listed(prompt_format.prompt("tap send", history, pictures[2]), pictures)}


@pytest.mark.parametrize("config", [*PLANNERS, *(f"actor_{name}" for name in ACTORS)])
def test_roles_are_asked_what_they_were_asked(config: str) -> None:
    if config in PLANNERS:
        name, options = PLANNERS[config]
        made = _planner(name, options)
    else:
        name, options = config.removeprefix("actor_"), {}
        made = _actor(name)
    file = FOLDER / f"{config}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        origin = "output of this project, read and checked by eye; see test_planner_prompts.py"
        meta = {"origin": origin, "format": name, "options": options}
        text = json.dumps({"meta": meta, **made}, indent=1, ensure_ascii=False)
        file.write_text(text + "\n", encoding="utf-8")
    stored = json.loads(file.read_text(encoding="utf-8"))
    stored.pop("meta")
    assert made == stored
