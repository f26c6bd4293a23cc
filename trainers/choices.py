"""What the settings of a training command choose between."""

from __future__ import annotations

from enum import StrEnum


class SchedulerType(StrEnum):
    """How the learning rate moves after its warm-up."""

    CONSTANT = "constant"
    LINEAR = "linear"
    """Down to zero, which would be reached with the step after `max_steps`."""
    COSINE = "cosine"
    """Half a cosine down to zero, which would be reached with the step after `max_steps`."""


class OldLogprobs(StrEnum):
    """Whose log-probabilities stand below the line of the importance ratio."""

    SAMPLER = "sampler"
    """The sampler's, recorded with the tokens."""
    STALE = "stale"
    """The sampler's for rows of the current version; computed anew for older rows."""
    RECOMPUTE = "recompute"
    """Always computed anew before the first mini-batch, as the UI-S1 release does."""


class OnExhausted(StrEnum):
    """What to do when `max_num_gen_batches` did not yield enough groups worth training on."""

    RAISE = "raise"
    TRAIN_ON_REST = "train_on_rest"
    """Train on the groups that passed; an iteration without any changes no weights, and is counted."""


class FaultStrategy(StrEnum):
    """What becomes of an episode whose device broke; it is never scored."""

    RETRY = "retry"
    """Run it again on another lease, up to `max_fault_retries` times, then drop its group."""
    DROP_GROUP = "drop_group"


class Compat(StrEnum):
    """Which reading of a method is meant where its paper and its release differ."""

    PAPER = "paper"
    RELEASE = "release"
    """Reward 0.1 f + 0.9 a, return cut before the mismatch, row statistics in the episode term."""
