"""What an algorithm makes of a training: how much is sampled, and who judges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from PIL import Image
from starlette.applications import Starlette

from gui_agent.agent_spec import AgentKind
from gui_agent.errors import ConfigError
from gui_agent.foresight import Fan
from gui_agent.judge import JudgeQuestion, ProgressJudge
from gui_agent.matching import get_matcher
from gui_agent.observation import Screenshot
from gui_agent.policies.server import create_app
from gui_agent.policy import (
    Completion,
    FinishReason,
    ImageBudget,
    ImagePart,
    Prompt,
    SampleKey,
    SamplingParams,
)
from trainers.advantages.foresight import ForesightOptions, JudgeName
from trainers.credit import EstimatorCredit
from trainers.foresight import ForesightCredit
from trainers.methods import fans, open_judge, open_method
from trainers.semi_online_config import SemiOnlineConfig

KEY = SampleKey(seed=0, update=0, episode="e", step=0)
SHOT = Screenshot.from_image(Image.new("RGB", (56, 56)))
BOTH = Fan(subgoals=4, probes=2, actions=4)
MATCHER = get_matcher("ui_s1")


def config(**changes: object) -> SemiOnlineConfig:
    values: dict[str, object] = {
        "agent": AgentKind.HIERARCHICAL, "algorithm": "foresight:probes=2", "num_generations": 4,
        "lora_rank": 2, "data": Path("d"), "model": "m",
    }  # fmt: skip
    return SemiOnlineConfig(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "first", "second"),
    [
        ({}, BOTH, BOTH),
        ({"schedule": "alternating"}, Fan(subgoals=4, probes=2), Fan(actions=4)),
        (
            {"schedule": "staged:actor_updates=1,then=both"},
            Fan(actions=4),
            Fan(subgoals=4, probes=2, actions=4),
        ),
        ({"schedule": "actor_only"}, Fan(actions=4), Fan(actions=4)),
        ({"freeze_actor": True}, Fan(subgoals=4, probes=2), Fan(subgoals=4, probes=2)),
    ],
)
def test_who_rests_is_sampled_once(settings: dict[str, object], first: Fan, second: Fan) -> None:
    fan_at = fans(config(**settings), ForesightOptions(probes=2))
    assert (fan_at(0), fan_at(1)) == (first, second)


async def test_foresight_plays_one_trunk_and_other_algorithms_play_siblings() -> None:
    async with open_method(config(), matcher=MATCHER) as method:
        assert method.episodes_per_group == 1
        assert isinstance(method.credit, ForesightCredit)
        assert method.build_agents is not None
    async with open_method(config(algorithm="ui_s1"), matcher=MATCHER) as method:
        assert method.episodes_per_group == 4
        assert isinstance(method.credit, EstimatorCredit)
        assert method.build_agents is None


class Critic:
    """Says yes to whatever shows two screens."""

    version = 0
    image_budget = ImageBudget()

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        pictures = sum(isinstance(part, ImagePart) for message in prompt for part in message.parts)
        return [
            Completion(
                prompt_token_ids=(1,), image_grids=((1, 2, 2),) * pictures, token_ids=(1,), logprobs=(-0.1,),
                text="Yes." if pictures == 2 else "No.", finish_reason=FinishReason.STOP, policy_version=0,
            )
            for _ in range(n)
        ]  # fmt: skip


async def test_a_served_model_judges(
    served: Callable[[Starlette], AbstractAsyncContextManager[str]],
) -> None:
    async with served(create_app(Critic(), models=["critic"])) as address:
        options = ForesightOptions(judge=JudgeName.VLM, judge_endpoint=address, lambda_judge=0.5)
        async with open_judge(options) as judge:
            assert judge is not None
            question = JudgeQuestion(goal="tap", screenshot=SHOT, subgoal="tap it")
            assert await judge.judge(question, KEY) == 0.0
            seen = JudgeQuestion(goal="tap", screenshot=SHOT, subgoal="tap it", after=SHOT)
            assert await judge.judge(seen, KEY) == 1.0
        unknown = ForesightOptions(
            judge=JudgeName.VLM, judge_endpoint=address, judge_model="other", lambda_judge=0.5
        )
        with pytest.raises(ConfigError, match="no model 'other'"):
            async with open_judge(unknown):
                pass


async def test_the_other_judges_need_no_server() -> None:
    async with open_judge(ForesightOptions()) as judge:
        assert judge is None
    async with open_judge(ForesightOptions(judge=JudgeName.PROGRESS, lambda_judge=0.5)) as judge:
        assert isinstance(judge, ProgressJudge)
        for gains, word in [((0.0, 0.25), 1.0), ((-0.25, 0.0), 0.0), ((), None)]:
            question = JudgeQuestion(goal="tap", screenshot=SHOT, subgoal="tap it", gains=gains)
            assert await judge.judge(question, KEY) == word
