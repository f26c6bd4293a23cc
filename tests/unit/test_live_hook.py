"""The evaluation that a training asks for while it runs."""

from __future__ import annotations

import pytest

from gui_agent.agent_spec import AgentSpec
from gui_agent.cli.train import LiveHook
from gui_agent.errors import ConfigError
from gui_agent.policy import SamplingParams
from trainers.semi_online_config import SemiOnlineConfig


def test_a_hook_is_made_where_one_is_asked_for() -> None:
    config = SemiOnlineConfig(eval_steps=2, format="compact", max_completion_length=8, seed=3)
    greedy = SamplingParams(temperature=0.0, max_new_tokens=8)
    assert LiveHook.of(config, "phone/quickstart", 5) == LiveHook(
        suite="phone/quickstart",
        episodes_per_template=5,
        agent=AgentSpec(format="compact", params=greedy),
        seed=3,
    )
    assert LiveHook.of(SemiOnlineConfig(), "", 5) is None
    with pytest.warns(UserWarning, match="has no effect without eval_steps"):
        assert LiveHook.of(SemiOnlineConfig(), "phone/quickstart", 5) is None


def test_measuring_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="eval_suite is empty"):
        LiveHook.of(SemiOnlineConfig(eval_steps=2), "", 5)
