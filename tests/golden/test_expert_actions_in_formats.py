"""Real expert actions survive every dialect: written, read back and compared, they still match."""

from __future__ import annotations

from pathlib import Path

import pytest

from gui_agent.coordinates import ScreenGeometry
from gui_agent.formats.registry import get_format
from gui_agent.matching import MATCHERS
from gui_agent.policy import ImageBudget
from trajectories.convert import ScreenSize
from trajectories.convert_ui_s1 import UiS1Options, read_ui_s1

FOLDER = Path(__file__).parent / "android_control"
PHONE = ScreenSize(width_px=1080, height_px=2400)
BUDGETS = {"qwen2_5_vl": ImageBudget(factor=28), "qwen3_vl": ImageBudget(factor=32)}


@pytest.mark.parametrize("matcher", ["ui_s1", "distance_only", "boxes"])
@pytest.mark.parametrize(
    "name", ["ui_s1", "ui_s1:space=thousand", "mobile_use", "mobile_use:family=qwen3_vl", "compact:snap_px=8"]
)
def test_expert_actions_match_themselves_through_a_format(name: str, matcher: str) -> None:
    budget = BUDGETS["qwen3_vl" if "thousand" in name or "qwen3" in name else "qwen2_5_vl"]
    prompt_format = get_format(name, image_budget=budget)
    geometry = ScreenGeometry.of(PHONE.width_px, PHONE.height_px, budget)
    checked = 0
    for file in ("train.jsonl", "evaluation.jsonl"):
        for record in read_ui_s1(FOLDER / file, UiS1Options(screen=PHONE)):
            for step in record.trajectory.steps:
                expert = step.expected
                assert expert is not None
                parsed = prompt_format.parse(prompt_format.render(expert.action, "why", geometry), geometry)
                result = MATCHERS[matcher].match(parsed.action, expert, PHONE.width_px, PHONE.height_px)
                assert result.exact_match, (expert, parsed.action, result.reason)
                assert parsed.thought == "why"
                checked += 1
    assert checked > 50
