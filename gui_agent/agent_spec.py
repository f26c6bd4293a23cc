"""Which kind of agent acts and how it is asked: what every command and every training says in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from gui_agent.agent import FlatAgent, PatchThought
from gui_agent.device import Device
from gui_agent.errors import ConfigError
from gui_agent.formats.planner import PlannerFormat
from gui_agent.formats.registry import get_format, get_planner_format
from gui_agent.hierarchy import HierarchicalAgent, PatchSubgoal
from gui_agent.named_options import NamedOptions
from gui_agent.policy import Policy, SamplingParams

AgentFor = Callable[[Device], FlatAgent | HierarchicalAgent]


class AgentKind(StrEnum):
    """How an agent is built."""

    FLAT = "flat"
    """One model that looks, thinks and acts."""
    HIERARCHICAL = "hierarchical"
    """A planner that writes one subgoal for each step, and an actor that executes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """An agent, short of the models that speak for it.

    Attributes:
        kind: flat or hierarchical.
        format: prompt format of whoever acts, by name.
        planner_format: planner format, by name; empty takes `compact` beside a compact actor, else
            `hi_agent`.
        params: how actions are sampled.
        planner_params: how subgoals are sampled; None is as actions are.
        patch_thought: whose thought goes with a patch.
        patch_subgoal: whose subgoal goes with a patch.
        actor_history: earlier steps that a planner's actor is reminded of, at most; -1 leaves that to its
            format, 0 shows it the screen and the subgoal alone.
    """

    kind: AgentKind = AgentKind.FLAT
    format: str = "ui_s1"
    planner_format: str = ""
    params: SamplingParams = field(default_factory=SamplingParams)
    planner_params: SamplingParams | None = None
    patch_thought: PatchThought = PatchThought.FREE
    patch_subgoal: PatchSubgoal = PatchSubgoal.FROM_DATA
    actor_history: int = -1

    def __post_init__(self) -> None:
        if self.actor_history < -1:
            raise ConfigError(
                f"actor_history is {self.actor_history}; expected -1 (as the format keeps), 0 or more"
            )

    def check(self) -> None:
        """Look the formats up, so that a wrong name is told before a model is loaded.

        Raises:
            ConfigError: a format is unknown, or what is for a planner or its actor is given to a flat agent.
        """
        get_format(self.format)
        if self.kind is AgentKind.HIERARCHICAL:
            self.get_planner_format()
            return
        if self.planner_format:
            raise ConfigError(
                f"planner_format is {self.planner_format!r}, but a flat agent has no planner; "
                "say --agent hierarchical, or leave it out"
            )
        if self.actor_history >= 0:
            raise ConfigError(
                f"actor_history is {self.actor_history}, but a flat agent has no actor beside a planner; say "
                "--agent hierarchical, or choose what a flat agent remembers by its format's options"
            )

    @property
    def planner_dialect(self) -> str:
        """Name of the planner format, also where `planner_format` leaves it open."""
        return self.planner_format or default_planner_format(self.format)

    def get_planner_format(self) -> PlannerFormat:
        """The planner format."""
        return get_planner_format(self.planner_dialect)

    def agent_for(self, policy: Policy, *, planner: Policy | None = None) -> AgentFor:
        """A function that makes one agent for each episode.

        Args:
            policy: acts, and plans if there is no `planner`.
            planner: where subgoals come from, if not from `policy`.

        Raises:
            ConfigError: as `check`.
        """
        self.check()
        prompt_format = get_format(self.format, image_budget=policy.image_budget)

        def flat(device: Device) -> FlatAgent:
            return FlatAgent(policy, prompt_format, params=self.params, patch_thought=self.patch_thought)

        def hierarchical(device: Device) -> HierarchicalAgent:
            return self.hierarchical_agent(policy, planner=planner)

        return flat if self.kind is AgentKind.FLAT else hierarchical

    def hierarchical_agent(self, policy: Policy, *, planner: Policy | None = None) -> HierarchicalAgent:
        """One hierarchical agent, whatever `kind` says; arguments as of `agent_for`."""
        return HierarchicalAgent(
            planner or policy,
            policy,
            self.get_planner_format(),
            get_format(self.format, image_budget=policy.image_budget),
            planner_params=self.planner_params or self.params,
            actor_params=self.params,
            patch_thought=self.patch_thought,
            patch_subgoal=self.patch_subgoal,
            actor_history=None if self.actor_history < 0 else self.actor_history,
        )


def default_planner_format(actor_format: str) -> str:
    """The planner format that goes with an actor's prompt format."""
    name = NamedOptions.parse(actor_format, kind="prompt format").name
    return "compact" if name == "compact" else "hi_agent"
