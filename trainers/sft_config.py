"""Settings of the supervised warm start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gui_agent.agent_spec import AgentSpec
from trainers.config import LearnerConfig
from trajectories.damage import OnDamage
from trajectories.subgoals import SubgoalSource


@dataclass(frozen=True, kw_only=True)
class SFTConfig(LearnerConfig):
    """Supervised warm start on expert trajectories.

    Attributes:
        data: trajectory store with the expert trajectories.
        split: split of the store to train on; empty takes all.
        max_trajectories: use the first so many trajectories; 0 uses all.
        on_damage: what to do about a recording that cannot be read or replayed: a truncated file, a missing
            or broken picture, no steps, no or an unknown action, a point outside the screen.
        format: prompt format, by name; one that the model was taught before, where none is chosen.
        thoughts: teach the recorded thoughts; without, the format writes none.
        learning_rate: of AdamW; 0 changes nothing.
        num_train_epochs: passes over the data.
        rows_per_step: rows behind one optimiser step: an expert step is one row, or two for a hierarchical
            agent, whose planner learns the subgoal and whose actor learns the action.
        subgoals: where the subgoals come from that a hierarchical agent learns.
        save_steps: optimiser steps between two checkpoints; 0 writes the last one only.
    """

    data: Path = Path()
    split: str = "train"
    max_trajectories: int = 0
    on_damage: OnDamage = OnDamage.RAISE
    format: str = "ui_s1"
    thoughts: bool = True
    learning_rate: float = 1e-5
    num_train_epochs: int = 1
    rows_per_step: int = 32
    subgoals: SubgoalSource = SubgoalSource.DATA_ELSE_TEMPLATE
    save_steps: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.num_train_epochs >= 1, "num_train_epochs", "1 or more")
        self._require(self.rows_per_step >= 1, "rows_per_step", "1 or more")
        self._require(self.max_trajectories >= 0, "max_trajectories", "0 (all) or more")

    @property
    def agent_spec(self) -> AgentSpec:
        """The agent whose prompts and words are taught."""
        return AgentSpec(
            kind=self.agent,
            format=self.format,
            planner_format=self.planner_format,
            actor_history=self.actor_history,
        )
