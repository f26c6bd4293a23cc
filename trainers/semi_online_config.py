"""Settings of reinforcement learning on recordings that are replayed as if live."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from gui_agent.agent import PatchThought
from gui_agent.agent_spec import AgentSpec
from gui_agent.hierarchy import PatchSubgoal
from trainers.rl_config import RLConfig
from trajectories.damage import OnDamage
from trajectories.subgoals import SubgoalSource


@dataclass(frozen=True, kw_only=True)
class SemiOnlineConfig(RLConfig):
    """RL on recorded expert trajectories that are replayed as if live (UI-S1).

    Attributes:
        data: trajectory store with the expert trajectories.
        split: split of the store to train on; empty takes all.
        max_trajectories: use the first so many trajectories; 0 uses all.
        on_damage: what to do about a recording that cannot be read or replayed: a truncated file, a missing
            or broken picture, no steps, no or an unknown action, a point outside the screen.
        matcher: action matcher for replay and reward, by name.
        patch_budget: mismatches per episode after which the expert takes over; -1 is without limit.
        patch_thought: whose thought goes with a patch.
        patch_subgoal: whose subgoal goes with a patch in a planner's history.
        subgoals: where the subgoals come from that patches may bring.
        single_step: start at every step with the expert's own history and sample that step alone (offline
            RL); with the algorithm ui_s1_offline, because both terms of ui_s1 are the same there.
    """

    data: Path = Path()
    split: str = "train"
    max_trajectories: int = 0
    on_damage: OnDamage = OnDamage.RAISE
    matcher: str = "ui_s1"
    patch_budget: int = 1
    patch_thought: PatchThought = PatchThought.FREE
    patch_subgoal: PatchSubgoal = PatchSubgoal.FROM_DATA
    subgoals: SubgoalSource = SubgoalSource.DATA_ELSE_TEMPLATE
    single_step: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.patch_budget >= -1, "patch_budget", "-1 (without limit), 0 or more")
        self._require(self.max_trajectories >= 0, "max_trajectories", "0 (all) or more")

    @property
    def agent_spec(self) -> AgentSpec:
        """The agent that is trained, with what the patches of a replay leave in its history."""
        spec = super().agent_spec
        return dataclasses.replace(spec, patch_thought=self.patch_thought, patch_subgoal=self.patch_subgoal)
