"""Settings that change nothing beside the others are named, and those that matter are not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gui_agent.agent import PatchThought
from gui_agent.agent_spec import AgentKind
from gui_agent.hierarchy import PatchSubgoal
from trainers.choices import Compat, FaultStrategy
from trainers.config import LearnerConfig
from trainers.online_config import OnlineConfig
from trainers.semi_online_config import SemiOnlineConfig
from trainers.sft_config import SFTConfig
from trainers.without_effect import settings_without_effect, warn_without_effect
from trajectories.subgoals import SubgoalSource

ONLINE = OnlineConfig(algorithm="grpo", filter_std=-1)
REPLAY = SemiOnlineConfig()
TWO_ROLES = SemiOnlineConfig(agent=AgentKind.HIERARCHICAL)


@pytest.mark.parametrize(
    ("config", "settings", "words"),
    [
        (ONLINE, {"solved_reward": 0.5}, "solved_reward=0.5 has no effect without filter_solve_rate"),
        (ONLINE, {"scale_informative": True, "filter_std": 0.3}, "set filter_std to -1"),
        (
            ONLINE,
            {"compat": Compat.RELEASE, "algorithm": "rloo"},
            "compat=release has no effect on",
        ),
        (
            REPLAY,
            {"compat": Compat.RELEASE, "algorithm": "rloo", "reward": "task", "filter_std": -1},
            "compat=release has no effect on",
        ),
        (
            TWO_ROLES,
            {"compat": Compat.RELEASE, "algorithm": "foresight"},
            "compat=release has no effect on algorithm 'foresight'",
        ),
        (ONLINE, {"fault_strategy": FaultStrategy.DROP_GROUP, "max_fault_retries": 5}, "max_fault_retries=5"),
        (ONLINE, {"api_key_env": "KEY"}, "api_key_env=KEY has no effect without"),
        (REPLAY, {"lora_alpha": 64}, "lora_alpha=64 has no effect without lora_rank"),
        (REPLAY, {"subgoals": SubgoalSource.TEMPLATE}, "subgoals=template has no effect on a flat agent"),
        (REPLAY, {"patch_subgoal": PatchSubgoal.NONE}, "patch_subgoal=none has no effect on a flat agent"),
        (REPLAY, {"patch_budget": 0, "patch_thought": PatchThought.ON_POLICY}, "with patch_budget=0"),
        (REPLAY, {"single_step": True, "patch_budget": 3}, "patch_budget=3 has no effect with single_step"),
        (TWO_ROLES, {"patch_budget": 0, "patch_subgoal": PatchSubgoal.NONE}, "with patch_budget=0"),
        (TWO_ROLES, {"patch_budget": 0, "subgoals": SubgoalSource.TEMPLATE}, "with patch_budget=0"),
        (
            dataclasses.replace(TWO_ROLES, patch_subgoal=PatchSubgoal.NONE),
            {"subgoals": SubgoalSource.TEMPLATE},
            "subgoals=template has no effect with patch_subgoal=none",
        ),
        (
            REPLAY,
            {"max_updates": 10, "num_train_epochs": 3},
            "num_train_epochs=3 has no effect where max_updates says when to stop",
        ),
        (
            SFTConfig(),
            {"max_steps": 10, "num_train_epochs": 3},
            "num_train_epochs=3 has no effect where",
        ),
    ],
)
def test_a_setting_without_effect_is_named(
    config: LearnerConfig, settings: dict[str, Any], words: str
) -> None:
    (found,) = settings_without_effect(dataclasses.replace(config, **settings))
    assert words in found
    with pytest.warns(UserWarning, match="effect"):
        warn_without_effect(dataclasses.replace(config, **settings))


@pytest.mark.parametrize(
    ("config", "settings", "words"),
    [
        (SFTConfig(learning_rate=1e-3), {"warmup_steps": 20, "max_steps": 10}, r"rises to 0\.0005 at most"),
        (REPLAY, {"warmup_steps": 20, "max_steps": 19}, "warmup_steps=20 is more than max_steps=19"),
        (
            REPLAY,
            {"warmup_steps": 20, "max_updates": 4, "num_mini_batches": 4},
            r"warmup_steps=20 is more than max_updates \* num_mini_batches=16, so that it rises to 8e-07",
        ),
        (REPLAY, {"temperature": 0.7}, r"temperature=0\.7 trains off policy"),
        (ONLINE, {"temperature": 1.2}, r"temperature=1\.2 trains off policy"),
    ],
)
def test_a_setting_that_does_what_few_will_want_is_named(
    config: LearnerConfig, settings: dict[str, Any], words: str
) -> None:
    with pytest.warns(UserWarning, match=words) as told:
        warn_without_effect(dataclasses.replace(config, **settings))
    assert len(told) == 1


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        (ONLINE, {}),
        (REPLAY, {"warmup_steps": 20, "max_steps": 20}),  # which the last step reaches
        (REPLAY, {"warmup_steps": 20}),
        (REPLAY, {"warmup_steps": 20, "max_updates": 5}),
        (REPLAY, {"max_steps": 10, "num_train_epochs": 3}),  # whichever comes first
        (ONLINE, {"scale_informative": True, "replay_successes": True}),
        (ONLINE, {"solved_reward": 0.5, "filter_solve_rate": (0.0, 1.0)}),
        (ONLINE, {"compat": Compat.RELEASE}),
        (ONLINE, {"max_fault_retries": 5}),
        (REPLAY, {}),
        (REPLAY, {"compat": Compat.RELEASE, "algorithm": "rloo"}),  # it switches the reward
        (REPLAY, {"compat": Compat.RELEASE, "algorithm": "rloo", "reward": "task"}),  # … and the filter
        (REPLAY, {"lora_rank": 8, "lora_alpha": 64}),
        (REPLAY, {"patch_thought": PatchThought.ON_POLICY}),
        (TWO_ROLES, {"subgoals": SubgoalSource.TEMPLATE}),
        (TWO_ROLES, {"patch_subgoal": PatchSubgoal.NONE}),
        # The history of a single step is the expert's, its subgoals too.
        (TWO_ROLES, {"subgoals": SubgoalSource.TEMPLATE, "single_step": True}),
        (TWO_ROLES, {"planner": "http://127.0.0.1:8000/v1#planner", "api_key_env": "KEY"}),
        (SFTConfig(), {"num_train_epochs": 3}),
    ],
)
def test_a_setting_with_an_effect_is_not(config: LearnerConfig, settings: dict[str, Any]) -> None:
    assert settings_without_effect(dataclasses.replace(config, **settings)) == []
