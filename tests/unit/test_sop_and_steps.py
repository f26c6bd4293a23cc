"""Figures from replays."""

from __future__ import annotations

import dataclasses
import math

import pytest

from eval.intervals import bootstrap_ratio
from eval.sop import SopTask, r_squared, sop_from_replays, sop_metrics, sop_task
from eval.steps import step_metrics
from gui_agent.actions import Action, Click, TypeText, Wait
from gui_agent.device import ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import DataError
from gui_agent.matching import MATCHERS
from trajectories.records import Step, Trajectory


def replay(
    task_id: str, *pairs: tuple[Action, Action], patched: bool = False, compared: bool = True
) -> Trajectory:
    steps = [
        Step(
            index=index,
            screenshot_sha256=None,
            width_px=100,
            height_px=100,
            requested=predicted,
            executed=expert if patched else None,
            source=ActionSource.PATCH if patched else ActionSource.POLICY,
            expected=ExpertAction(action=expert) if compared else None,
            match=MATCHERS["ui_s1"].match(predicted, ExpertAction(action=expert), 100, 100)
            if compared
            else None,
        )
        for index, (predicted, expert) in enumerate(pairs)
    ]
    return Trajectory(
        episode_id=f"e-{task_id}",
        task_id=task_id,
        template="t",
        suite="s",
        goal="g",
        steps=tuple(steps),
        stop=StopReason.PATCH_BUDGET_SPENT,
        outcome=Outcome(verdict=Verdict.FAILURE),
    )


HIT, MISS = (Click(x=5, y=5), Click(x=5, y=5)), (Click(x=95, y=5), Click(x=5, y=5))
OTHER, TYPED = (Wait(), Click(x=5, y=5)), (TypeText(text="a"), TypeText(text="a"))


def test_sop_counts_the_prefix() -> None:
    metrics = sop_from_replays(
        [replay("a", HIT, HIT), replay("b", HIT, MISS), replay("c", MISS)],
        [2, 4, 3],
        matcher="ui_s1@1",
    )
    assert metrics.pg.value == pytest.approx((1 + 0.25 + 0) / 3)
    assert metrics.tsr.value == pytest.approx(1 / 3)
    assert metrics.score.value == pytest.approx((metrics.pg.value + metrics.tsr.value) / 2)
    assert metrics.num_tasks == 3
    assert metrics.matcher == "ui_s1@1"
    assert metrics.pg.low <= metrics.pg.value <= metrics.pg.high


def test_sop_refuses_what_is_no_sop() -> None:
    with pytest.raises(DataError, match="patch_budget=0"):
        sop_task(replay("a", MISS, patched=True), 1)
    with pytest.raises(DataError, match="no match"):
        sop_task(replay("a", HIT, compared=False), 1)
    broken = dataclasses.replace(replay("a", HIT), stop=StopReason.DEVICE_FAULT, fault="gone")
    with pytest.raises(DataError, match=r"broke off \(gone\)"):  # unscored is not zero
        sop_task(broken, 2)
    with pytest.raises(DataError, match="impossible"):
        SopTask(matched=3, length=2)
    with pytest.raises(DataError, match="0 expert lengths for 1 episodes"):
        sop_from_replays([replay("a", HIT)], [], matcher="m")
    with pytest.raises(DataError, match="at least one"):
        sop_metrics([], matcher="m")


def test_step_metrics() -> None:
    metrics = step_metrics(
        [replay("a/step-0", HIT), replay("a/step-1", MISS), replay("b", OTHER, TYPED)], matcher="ui_s1@1"
    )
    assert metrics.num_steps == 4
    assert metrics.type_match.value == pytest.approx(3 / 4)
    assert metrics.success.value == pytest.approx(2 / 4)
    assert metrics.num_grounded == 3
    assert metrics.grounding is not None
    assert metrics.grounding.value == pytest.approx(1 / 3)
    assert metrics.type_match.count == 2, "single steps of one trajectory are drawn together"
    assert metrics.by_action == {"click": (1, 3), "type": (1, 1)}
    assert step_metrics([replay("a", TYPED)], matcher="m").grounding is None
    with pytest.raises(DataError, match="nothing was evaluated"):
        step_metrics([], matcher="m")
    with pytest.raises(DataError, match="not compared"):
        step_metrics([replay("a", HIT, compared=False)], matcher="m")


def test_r_squared() -> None:
    assert r_squared([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert r_squared([1, 2, 3], [3, 2, 1]) == pytest.approx(1)
    assert r_squared([0, 1, 2], [1, 0, 1]) == pytest.approx(0)
    assert math.isnan(r_squared([1, 1], [1, 2]))
    with pytest.raises(DataError, match="equal length"):
        r_squared([1], [1])


def test_bootstrap_ratio_draws_units() -> None:
    interval = bootstrap_ratio([9, 0, 0], [9, 1, 0], seed=1)
    assert interval.value == pytest.approx(0.9)
    assert interval.count == 2
    assert (interval.low, interval.high) == (0.0, 1.0)
    assert bootstrap_ratio([9, 0], [9, 1], seed=1) == bootstrap_ratio([9, 0], [9, 1], seed=1)
    with pytest.raises(ValueError, match="nothing"):
        bootstrap_ratio([0], [0])
    with pytest.raises(ValueError, match="denominators"):
        bootstrap_ratio([0], [])
