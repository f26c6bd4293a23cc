"""From rows to mini-batches (one optimiser step each) and micro-batches (one forward pass each).

Every process computes the same plan from the same rows and takes its own micro-batches from it. No
row is ever repeated to fill a batch: processes may hold different numbers of micro-batches, because
gradients are summed once per mini-batch and divided by the number of tokens of all of them.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from trainers.config import LearnerConfig
from trainers.rows import Row, clusters


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBudget:
    """How much goes into one forward pass.

    Attributes:
        max_tokens: padded tokens; a longer row goes alone.
        share_prefixes: rows with equal prompts take the tokens of one prompt.
        gather_screens: keep rows that show the same screenshots together, at the price of more padding:
            right where a forward pass encodes its pictures or shares beginnings of prompts.
    """

    max_tokens: int
    share_prefixes: bool = False
    gather_screens: bool = True

    def cost(self, rows: Sequence[Row]) -> int:
        """Padded tokens of a forward pass over these rows."""
        lengths = [_length(unit) for unit in self.units(rows)]
        return len(lengths) * max(lengths)

    def units(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """Neighbours that are computed as one sequence: samples of one prompt, or a row by itself."""
        unit: list[Row] = []
        for row in rows:
            if unit and not (self.share_prefixes and self._fits(unit, row)):
                yield unit
                unit = []
            unit.append(row)
        if unit:
            yield unit

    def _fits(self, unit: list[Row], row: Row) -> bool:
        same = (
            row.prompt_token_ids == unit[0].prompt_token_ids
            and row.image_sha256s == unit[0].image_sha256s
            and row.role is unit[0].role
        )
        return same and _length(unit) + len(row.token_ids) <= self.max_tokens


@dataclass(frozen=True, slots=True)
class MiniBatch:
    """The rows behind one optimiser step, cut into forward passes.

    Attributes:
        micro_batches: rows of one role each, within the token budget.
        num_tokens: completion tokens of all rows: what the loss is divided by.
        budget: that they were cut by.
    """

    micro_batches: tuple[tuple[Row, ...], ...]
    num_tokens: int
    budget: TokenBudget

    @property
    def num_rows(self) -> int:
        """Rows in all micro-batches."""
        return sum(len(rows) for rows in self.micro_batches)

    def share(self, rank: int, world_size: int) -> tuple[tuple[Row, ...], ...]:
        """The micro-batches of one process: the largest first, each to the least loaded process."""
        costs = [self.budget.cost(rows) for rows in self.micro_batches]
        load = [0] * world_size
        owner = [0] * len(costs)
        for index in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
            owner[index] = min(range(world_size), key=lambda r: (load[r], r))
            load[owner[index]] += costs[index]
        return tuple(batch for batch, r in zip(self.micro_batches, owner, strict=True) if r == rank)


def token_budget(config: LearnerConfig) -> TokenBudget:
    """How much goes into one forward pass."""
    return TokenBudget(
        max_tokens=config.max_tokens_per_batch,
        share_prefixes=config.share_prefixes,
        gather_screens=config.share_prefixes or not config.freeze_vision,
    )


def plan_mini_batches(
    rows: Sequence[Row], *, num_mini_batches: int, budget: TokenBudget, seed: int
) -> list[MiniBatch]:
    """Cut rows into at most `num_mini_batches` of nearly equal numbers of rows.

    Rows that show the same screenshots stay together where the cut allows it.

    Args:
        rows: of one update, in any order: the plan depends on their contents and `seed` alone.
        num_mini_batches: optimiser steps; fewer rows than that give one step per row.
        budget: of a forward pass.
        seed: of the order in which clusters of rows are dealt out.

    Source: UI-S1 release, fixed number of mini-batches; rows are not duplicated here.
    """
    shuffled = clusters(rows)
    random.Random(seed).shuffle(shuffled)
    flat = [row for cluster in shuffled for row in cluster]
    count = min(num_mini_batches, len(flat))
    bounds = [index * len(flat) // count for index in range(count + 1)] if count else []
    return [_mini_batch(flat[start:end], budget) for start, end in itertools.pairwise(bounds)]


def plan_steps(rows: Sequence[Row], *, rows_per_step: int, budget: TokenBudget, seed: int) -> list[MiniBatch]:
    """Cut rows, shuffled one by one, into steps of `rows_per_step` (supervised training)."""
    order = list(rows)
    random.Random(seed).shuffle(order)
    return [
        _mini_batch(order[start : start + rows_per_step], budget)
        for start in range(0, len(order), rows_per_step)
    ]


def micro_batches(rows: Sequence[Row], budget: TokenBudget) -> Iterator[tuple[Row, ...]]:
    """Forward passes over rows: one role each, within the budget, see `TokenBudget`."""
    current: list[Row] = []
    num_units, longest = 0, 0
    for unit in _units_by_length(rows, budget):
        longest = max(longest, _length(unit))
        full = (num_units + 1) * longest > budget.max_tokens
        if current and (full or unit[0].role is not current[0].role):
            yield tuple(current)
            current, num_units, longest = [], 0, _length(unit)
        current.extend(unit)
        num_units += 1
    if current:
        yield tuple(current)


def _units_by_length(rows: Sequence[Row], budget: TokenBudget) -> Iterable[list[Row]]:
    """Units of one role after the other, short ones first to pad little."""
    gathered = [list(budget.units(cluster)) for cluster in clusters(rows)]
    if not budget.gather_screens:
        gathered = [[unit] for units in gathered for unit in units]
    gathered.sort(key=lambda units: (units[0][0].role.value, max(_length(unit) for unit in units)))
    return itertools.chain.from_iterable(gathered)


def _mini_batch(rows: Sequence[Row], budget: TokenBudget) -> MiniBatch:
    return MiniBatch(
        micro_batches=tuple(micro_batches(rows, budget)),
        num_tokens=sum(len(row.token_ids) for row in rows),
        budget=budget,
    )


def _length(unit: Sequence[Row]) -> int:
    """Tokens of one prompt and all its completions."""
    return len(unit[0].prompt_token_ids) + sum(len(row.token_ids) for row in unit)
