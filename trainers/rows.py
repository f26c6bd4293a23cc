"""Rows: what a learner learns from. One row is one completion with its exact prompt.

Vocabulary: a *group* holds sibling episodes of one task or expert trajectory; a *step key* names one
step of one episode; a *cluster* holds the rows whose prompts show the same screenshots, so that they
can be encoded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gui_agent.agent import RoleCompletion
from gui_agent.policy import AgentRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One completion to learn from.

    Attributes:
        role: the part of the agent that wrote it.
        prompt_token_ids: the prompt as the model read it, image placeholders expanded.
        image_grids: for each picture of the prompt (time, height, width) in patches.
        image_sha256s: names of the same pictures, in prompt order.
        token_ids: the tokens to learn, the end-of-turn token included.
        old_logprobs: the sampler's natural-log probability of each; empty for tokens nobody sampled.
        advantage: multiplies the log-probability of every token.
        policy_version: of the weights that sampled the row.
        group_id: equal for siblings.
        episode_id: of the trajectory.
        step: index within the trajectory.
        replayed: taken from the store, where an earlier version of the weights had put it; the importance
            ratio is then that to its sampler, whatever `old_logprobs` says.
    """

    prompt_token_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    image_grids: tuple[tuple[int, int, int], ...] = ()
    image_sha256s: tuple[str, ...] = ()
    old_logprobs: tuple[float, ...] = ()
    advantage: float = 1.0
    role: AgentRole = AgentRole.ACTOR
    policy_version: int = 0
    group_id: str = ""
    episode_id: str = ""
    step: int = 0
    replayed: bool = False

    def __post_init__(self) -> None:
        assert len(self.image_grids) == len(self.image_sha256s), "one name per picture"
        assert len(self.old_logprobs) in (0, len(self.token_ids)), "one log-probability per token"

    @classmethod
    def of(
        cls,
        sampled: RoleCompletion,
        *,
        advantage: float,
        group_id: str,
        episode_id: str,
        step: int,
        replayed: bool = False,
    ) -> Row:
        """The row of a sampled completion."""
        completion = sampled.completion
        return cls(
            role=sampled.role,
            prompt_token_ids=completion.prompt_token_ids,
            image_grids=completion.image_grids,
            image_sha256s=sampled.image_sha256s,
            token_ids=completion.token_ids,
            old_logprobs=completion.logprobs,
            advantage=advantage,
            policy_version=completion.policy_version,
            group_id=group_id,
            episode_id=episode_id,
            step=step,
            replayed=replayed,
        )

    @property
    def num_tokens(self) -> int:
        """Prompt and completion together."""
        return len(self.prompt_token_ids) + len(self.token_ids)


def clusters(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows in lists that share role and screenshots, inside a list by prompt and length.

    Siblings at one step see the same screenshots, and often the same words; neighbours can then be
    computed with shared pictures and prefixes. The result does not depend on the order of `rows`.
    """
    found: dict[tuple[str, tuple[str, ...]], list[Row]] = {}
    for row in sorted(rows, key=_order):
        found.setdefault((row.role.value, row.image_sha256s), []).append(row)
    return list(found.values())


def _order(row: Row) -> tuple[str, str, tuple[str, ...], tuple[int, ...], int, str, int, tuple[int, ...]]:
    return (
        row.role.value,
        row.group_id,
        row.image_sha256s,
        row.prompt_token_ids,
        len(row.token_ids),
        row.episode_id,
        row.step,
        row.token_ids,
    )


def image_names(rows: Sequence[Row]) -> list[str]:
    """The distinct pictures of the rows, in order of first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row.image_sha256s))
