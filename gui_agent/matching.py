"""One function that says whether two actions are the same deed: for replay, reward and evaluation.

A matcher is a named set of rules. Training and evaluation take the same object, and every report
carries its name.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchResult:
    """How a predicted action compares with the expert's.

    Attributes:
        type_match: the same kind of deed.
        exact_match: the same deed; implies `type_match`.
        reason: for people: which rule decided.
    """

    type_match: bool
    exact_match: bool
    reason: str = ""

    def __post_init__(self) -> None:
        assert self.type_match or not self.exact_match
