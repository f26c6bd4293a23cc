"""Rewards, returns and advantages of stored episodes, computed again exactly as training did."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gui_agent.matching import get_matcher
from gui_agent.observation import Screenshot
from gui_agent.policy import AgentRole
from trainers.candidates import CandidateCredit, candidate_credits
from trainers.configured_credit import configured_credit
from trainers.credit import Credit, EstimatorCredit, ScoredGroup
from trainers.foresight import ForesightCredit
from trainers.rapo import Rapo
from trainers.rl_config import RLConfig
from trainers.rows import Row
from trainers.semi_online_config import SemiOnlineConfig
from trainers.sources import whole_groups
from trajectories.records import EpisodeRecord, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCredit:
    """What one step was worth.

    Attributes:
        reward: of the step.
        parts: what the reward is made of, by name.
        return_: discounted rewards from the step to the end of its natural segment, as the group filter
            takes them.
        advantage: what its tokens were trained with; None if the filter dropped the group, its prompt was
            too long, or a stored success took the place of its episode. Where several roles speak in one
            step, that of the actor if it learnt; where several samples are compared, that of the executed.
        by_role: the same for each role that learnt at this step, by name.
        candidates: one for each candidate of the step, in their order, where several samples are compared.
    """

    reward: float
    parts: Mapping[str, float]
    return_: float
    advantage: float | None
    by_role: Mapping[str, float] = field(default_factory=dict)
    candidates: tuple[CandidateCredit, ...] = ()


def step_credits(
    trajectories: Iterable[Trajectory],
    config: RLConfig,
    *,
    by_outcome: bool = False,
    screenshots: Mapping[str, Screenshot] | None = None,
) -> dict[str, list[StepCredit]]:
    """The credit of every step, by episode.

    Args:
        trajectories: whole updates of one training, in the order in which they were stored, with RAPO from
            the first one on; groups with an episode that nobody could score are left out, as in training.
        config: of that training.
        by_outcome: the training was online.
        screenshots: of the store, for algorithms that name states by what they look like.
    """
    matcher = None
    if isinstance(config, SemiOnlineConfig) and not by_outcome:
        matcher = get_matcher(config.matcher)
    credit = configured_credit(config, matcher)
    rapo = Rapo.of(config)
    updates: dict[int, list[EpisodeRecord]] = defaultdict(list)
    stored: dict[str, EpisodeRecord] = {}
    # Not `screenshots or {}`: whether a folder of pictures is empty takes listing all of it.
    pictures = {} if screenshots is None else screenshots
    for trajectory in trajectories:
        record = EpisodeRecord(trajectory=trajectory, screenshots=pictures)
        stored[trajectory.episode_id] = record
        updates[trajectory.update].append(record)
    credits: dict[str, list[StepCredit]] = {}
    for update, records in updates.items():
        scored = [credit.score(group) for group in whole_groups(records)]
        learnable = (
            scored if rapo is None else [_to_learn_from(each, rapo, credit, stored) for each in scored]
        )
        kept = [group for group in learnable if credit.keep(group)][: config.groups_per_update]
        rows = [
            row
            for row in credit.rows(kept, update=update)
            if len(row.prompt_token_ids) <= config.max_prompt_length
            and row.role not in config.resting_roles(update)
        ]
        advantages, by_group = _executed(rows), _by_group(rows)
        for group in scored:
            credits |= _group_credits(group, credit, advantages, by_group)
    return credits


def _executed(rows: Sequence[Row]) -> dict[tuple[str, int], dict[AgentRole, float]]:
    """The advantage of what was executed at a step, by role: that of the first row of each role."""
    first: dict[tuple[str, int], dict[AgentRole, float]] = defaultdict(dict)
    for row in rows:
        first[row.episode_id, row.step].setdefault(row.role, row.advantage)
    return first


def _by_group(rows: Sequence[Row]) -> dict[str, list[float]]:
    """Advantages of rows that are compared with each other, in order, by name of the group."""
    advantages: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        advantages[row.group_id].append(row.advantage)
    return advantages


def _to_learn_from(
    scored: ScoredGroup, rapo: Rapo, credit: Credit, stored: Mapping[str, EpisodeRecord]
) -> ScoredGroup:
    group = rapo.take(scored.group, scored.solved, stored.__getitem__)
    return scored if group is scored.group else credit.score(group)


def _group_credits(
    scored: ScoredGroup,
    credit: EstimatorCredit | ForesightCredit,
    advantages: Mapping[tuple[str, int], Mapping[AgentRole, float]],
    by_group: Mapping[str, Sequence[float]],
) -> dict[str, list[StepCredit]]:
    credits = {}
    for record, rewards in zip(scored.group.records, scored.rewards, strict=True):
        trajectory = record.trajectory
        returns = credit.returns(trajectory, rewards)
        learnt = [advantages.get((trajectory.episode_id, step.index), {}) for step in trajectory.steps]
        credits[trajectory.episode_id] = [
            StepCredit(
                reward=reward.value,
                parts=reward.parts,
                return_=value,
                advantage=by_role.get(AgentRole.ACTOR, by_role.get(AgentRole.PLANNER)),
                by_role={role.value: value for role, value in by_role.items()},
                candidates=()
                if isinstance(credit, EstimatorCredit)
                else candidate_credits(credit.reward, trajectory, step, by_group),
            )
            for step, by_role, reward, value in zip(trajectory.steps, learnt, rewards, returns, strict=True)
        ]
    return credits
