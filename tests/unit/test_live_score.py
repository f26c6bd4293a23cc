"""Live success counts what was judged, and only what the agent finished."""

import pytest

from devices.registry import resolve_suite
from eval.live import evaluation_tasks, live_score, training_tasks
from gui_agent.actions import Finish
from gui_agent.device import EVALUATION_SEED_START, Outcome, StopReason, Verdict
from gui_agent.errors import ConfigError
from trajectories.records import Step, Trajectory


def episode(
    verdict: Verdict, stop: StopReason = StopReason.FINISHED, *, template: str = "open_app", number: int = 0
) -> Trajectory:
    step = Step(
        index=0, screenshot_sha256=None, width_px=None, height_px=None, requested=Finish(), executed=Finish()
    )
    return Trajectory(
        episode_id=f"{template}-{number}",
        task_id=f"{template}/{number}",
        template=template,
        suite="phone/quickstart",
        goal="open clock",
        steps=(step,),
        stop=stop,
        outcome=Outcome(verdict=verdict, progress=1.0 if verdict is Verdict.SUCCESS else 0.5),
    )


def test_unscored_episodes_are_counted_and_left_out() -> None:
    score = live_score(
        [
            episode(Verdict.SUCCESS),
            episode(Verdict.FAILURE),
            episode(Verdict.UNSCORED, StopReason.DEVICE_FAULT),
        ]
    )
    assert score.success is not None
    assert score.success.value == 0.5
    assert (score.scored, score.unscored) == (2, 1)


def test_a_few_successes_do_not_make_certainty() -> None:
    score = live_score([episode(Verdict.SUCCESS, number=number) for number in range(4)])
    assert score.success is not None
    assert score.success.value == score.success.high == 1
    assert score.success.low == pytest.approx(4 / (4 + 1.959964**2))  # Wilson's bound for n of n


def test_a_suite_that_nobody_could_score_has_no_figure() -> None:
    score = live_score([episode(Verdict.UNSCORED, StopReason.DEVICE_FAULT)])
    assert score.success is None
    assert score.templates[0].success is None


@pytest.mark.parametrize(
    ("stop", "success"),
    [
        (StopReason.FINISHED, 1.0),
        (StopReason.TASK_ENDED, 1.0),
        (StopReason.STEP_LIMIT, 0.0),
        (StopReason.TIME_LIMIT, 0.0),
    ],
)
def test_reaching_the_goal_without_noticing_is_no_success(stop: StopReason, success: float) -> None:
    score = live_score([episode(Verdict.SUCCESS, stop)])
    assert score.success is not None
    assert score.success.value == success


def test_claims_that_the_check_denies_are_counted() -> None:
    score = live_score([episode(Verdict.FAILURE), episode(Verdict.SUCCESS)])
    assert score.claimed_but_failed == 1


def test_templates_are_reported_one_by_one() -> None:
    score = live_score(
        [
            episode(Verdict.SUCCESS),
            episode(Verdict.FAILURE, template="go_home"),
            episode(Verdict.SUCCESS, number=1),
        ]
    )
    assert [(row.template, row.success, row.scored) for row in score.templates] == [
        ("go_home", 0.0, 1),
        ("open_app", 1.0, 2),
    ]


def test_training_never_draws_an_evaluation_instance() -> None:
    suite = resolve_suite("phone/quickstart")
    trained = {task.task_id for seed in range(3) for task in training_tasks(suite, 50, seed=seed)}
    evaluated = {task.task_id for task in evaluation_tasks(suite, 5)}
    assert len(trained) == 150, "seeds draw different instances"
    assert not trained & evaluated
    assert all(task.seed >= EVALUATION_SEED_START for task in evaluation_tasks(suite, 5))
    later = {task.task_id for task in evaluation_tasks(suite, 5, first=5)}
    assert len(later) == len(evaluated)
    assert not later & evaluated
    with pytest.raises(ConfigError, match="evaluation instances"):
        training_tasks(suite, 10, seed=100)
