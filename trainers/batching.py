"""From rows to mini-batches (one optimiser step each) and micro-batches (one forward pass each).

Every process computes the same plan from the same rows and takes its own micro-batches from it. No
row is ever repeated to fill a batch: processes may hold different numbers of micro-batches, because
gradients are summed once per mini-batch and divided by the number of tokens of all of them.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from trainers.rows import Row, clusters


@dataclass(frozen=True, slots=True)
class MiniBatch:
    """The rows behind one optimiser step, cut into forward passes.

    Attributes:
        micro_batches: rows of one role each, within the token budget.
        num_tokens: completion tokens of all rows: what the loss is divided by.
    """

    micro_batches: tuple[tuple[Row, ...], ...]
    num_tokens: int

    @property
    def num_rows(self) -> int:
        """Rows in all micro-batches."""
        return sum(len(rows) for rows in self.micro_batches)

    def share(self, rank: int, world_size: int) -> tuple[tuple[Row, ...], ...]:
        """The micro-batches of one process: the largest first, each to the least loaded process."""
        order = sorted(range(len(self.micro_batches)), key=lambda i: (-_cost(self.micro_batches[i]), i))
        load = [0] * world_size
        owner = [0] * len(self.micro_batches)
        for index in order:
            owner[index] = min(range(world_size), key=lambda r: (load[r], r))
            load[owner[index]] += _cost(self.micro_batches[index])
        return tuple(batch for batch, r in zip(self.micro_batches, owner, strict=True) if r == rank)


def plan_mini_batches(
    rows: Sequence[Row], *, num_mini_batches: int, max_tokens: int, seed: int
) -> list[MiniBatch]:
    """Cut rows into at most `num_mini_batches` of nearly equal numbers of rows.

    Rows that show the same screenshots stay together where the cut allows it.

    Args:
        rows: of one update, in any order: the plan depends on their contents and `seed` alone.
        num_mini_batches: optimiser steps; fewer rows than that give one step per row.
        max_tokens: padded tokens of a micro-batch; a longer row goes alone.
        seed: of the order in which clusters of rows are dealt out.

    Source: UI-S1 release, fixed number of mini-batches; rows are not duplicated here.
    """
    shuffled = clusters(rows)
    random.Random(seed).shuffle(shuffled)
    flat = [row for cluster in shuffled for row in cluster]
    count = min(num_mini_batches, len(flat))
    bounds = [index * len(flat) // count for index in range(count + 1)] if count else []
    return [_mini_batch(flat[start:end], max_tokens) for start, end in itertools.pairwise(bounds)]


def plan_steps(rows: Sequence[Row], *, rows_per_step: int, max_tokens: int, seed: int) -> list[MiniBatch]:
    """Cut rows, shuffled one by one, into steps of `rows_per_step` (supervised training)."""
    order = list(rows)
    random.Random(seed).shuffle(order)
    return [
        _mini_batch(order[start : start + rows_per_step], max_tokens)
        for start in range(0, len(order), rows_per_step)
    ]


def micro_batches(rows: Sequence[Row], max_tokens: int) -> list[tuple[Row, ...]]:
    """Forward passes over rows: one role each, neighbours share screenshots, within the budget."""
    batches: list[tuple[Row, ...]] = []
    current: list[Row] = []
    longest = 0
    for row in (row for cluster in sorted(clusters(rows), key=_by_role_and_length) for row in cluster):
        longest = max(longest, row.num_tokens)
        if current and (row.role is not current[0].role or (len(current) + 1) * longest > max_tokens):
            batches.append(tuple(current))
            current, longest = [], row.num_tokens
        current.append(row)
    return [*batches, tuple(current)] if current else batches


def _by_role_and_length(cluster: list[Row]) -> tuple[str, int]:
    return cluster[0].role.value, max(row.num_tokens for row in cluster)


def _mini_batch(rows: Sequence[Row], max_tokens: int) -> MiniBatch:
    return MiniBatch(
        micro_batches=tuple(micro_batches(rows, max_tokens)),
        num_tokens=sum(len(row.token_ids) for row in rows),
    )


def _cost(rows: Sequence[Row]) -> int:
    """Tokens of a padded batch."""
    return len(rows) * max(row.num_tokens for row in rows)
