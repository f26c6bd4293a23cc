"""Credits computed again from stored episodes: those of the training, and nothing it left out."""

from __future__ import annotations

import dataclasses

import pytest

from gui_agent.actions import Wait
from gui_agent.agent import RoleCompletion
from gui_agent.device import Outcome, StopReason, Verdict
from gui_agent.policy import AgentRole, Completion, FinishReason
from trainers.annotate import step_credits
from trainers.online_config import OnlineConfig
from trajectories.records import Step, Trajectory

CONFIG = OnlineConfig(algorithm="grpo", num_generations=2, max_prompt_length=3)


def episode(
    name: str, verdict: Verdict, *, group: str = "g", stop: StopReason = StopReason.FINISHED, prompt: int = 1
) -> Trajectory:
    completion = Completion(
        prompt_token_ids=(1,) * prompt,
        image_grids=(),
        token_ids=(2,),
        logprobs=(-0.1,),
        text="wait",
        finish_reason=FinishReason.STOP,
        policy_version=0,
    )
    step = Step(
        index=0,
        screenshot_sha256="a" * 64,
        width_px=10,
        height_px=10,
        requested=Wait(),
        executed=Wait(),
        completions=(RoleCompletion(role=AgentRole.ACTOR, completion=completion, image_sha256s=()),),
    )
    return Trajectory(
        episode_id=name,
        task_id="t",
        template="t",
        suite="s",
        goal="g",
        steps=(step,),
        stop=stop,
        outcome=Outcome(verdict=verdict),
        group_id=group,
        fault="unplugged" if stop is StopReason.DEVICE_FAULT else None,
    )


def advantages(trajectories: list[Trajectory], config: OnlineConfig = CONFIG) -> dict[str, float | None]:
    credits = step_credits(trajectories, config, by_outcome=True)
    return {name: steps[0].advantage for name, steps in credits.items()}


def test_siblings_are_compared_as_in_training() -> None:
    won, lost = episode("won", Verdict.SUCCESS), episode("lost", Verdict.FAILURE)
    found = advantages([won, lost])
    assert found == {"won": pytest.approx(0.7071, abs=1e-4), "lost": pytest.approx(-0.7071, abs=1e-4)}


@pytest.mark.parametrize("stop", [StopReason.DEVICE_FAULT, StopReason.FINISHED])
def test_a_group_that_training_dropped_has_no_credits(stop: StopReason) -> None:
    dropped = [
        episode("a", Verdict.SUCCESS),
        episode("b", Verdict.FAILURE),
        episode("c", Verdict.UNSCORED, stop=stop),
    ]
    whole = [episode("d", Verdict.SUCCESS, group="h"), episode("e", Verdict.FAILURE, group="h")]
    assert set(advantages([*dropped, *whole])) == {"d", "e"}


def test_a_success_that_training_replayed_counts_in_its_group() -> None:
    first = [episode("won", Verdict.SUCCESS), episode("lost", Verdict.FAILURE)]
    second = [dataclasses.replace(episode(name, Verdict.FAILURE, group="h"), update=1) for name in "ab"]
    assert {name: advantages([*first, *second])[name] for name in "ab"} == {"a": None, "b": None}
    found = advantages([*first, *second], dataclasses.replace(CONFIG, replay_successes=True))
    # One made room for the stored success, to which the other was compared.
    assert sorted(map(str, (found["a"], found["b"]))) == [str(found["lost"]), "None"]


def test_what_was_not_trained_on_has_rewards_but_no_advantage() -> None:
    equal = [episode("a", Verdict.SUCCESS), episode("b", Verdict.SUCCESS)]
    assert advantages(equal) == {"a": None, "b": None}
    long = [episode("a", Verdict.SUCCESS, prompt=4), episode("b", Verdict.FAILURE)]
    assert advantages(long) == {"a": None, "b": pytest.approx(-0.7071, abs=1e-4)}
    everything = dataclasses.replace(CONFIG, filter_std=-1)
    assert advantages(equal, everything) == {"a": 0.0, "b": 0.0}
