"""Foresight: candidates at one state compared with each other, subgoals by what the actor then achieved.

What a candidate is worth is found in `trainers.foresight`; here values are compared within their groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from gui_agent.errors import ConfigError
from trainers.advantages.rows import AdvantageTerms, EstimatorRow, HasTerms, Rng, group_codes, step_rewards
from trainers.choices import Compat
from trainers.normalisation import NormMode, normalise

_DISCOUNT: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class ForesightAdvantage(HasTerms):
    """A = (R - mean) / (std + eps) over the rows of a group, which are the candidates of one state.

    A group of one, and a group of equal rewards, get exactly 0.

    Source: Hi-Agent, arXiv:2510.14388, for groups at single states; its normalisation is GRPO's.

    Attributes:
        mode: divide by the deviation of the group, or centre alone.
    """

    mode: NormMode = NormMode.MEAN_STD_NORM

    def terms(self, rows: Sequence[EstimatorRow], rng: Rng) -> AdvantageTerms:
        """The advantage; there is no episode term."""
        codes_N, values_N = group_codes(rows), step_rewards(rows)
        advantage_N = normalise(values_N, codes_N, mode=self.mode)
        return AdvantageTerms(
            combined=advantage_N,
            episode=np.zeros(len(rows)),
            step=advantage_N,
            step_value=values_N,
            step_clusters=codes_N,
        )


class Execution(StrEnum):
    """What a probe achieved, where an expert's action is known."""

    EXACT = "exact"
    """1 if it is the expert's action."""
    GRADED = "graded"
    """0.2 for the type plus 0.8 for the arguments (CES; the direction of a swipe is an argument here)."""


class JudgeName(StrEnum):
    """Who says whether a subgoal is a good one."""

    NONE = "none"
    PROGRESS = "progress"
    """The task: whether a probe brought it forward. Needs live devices that can be restored."""
    VLM = "vlm"
    """A vision-language model behind an OpenAI-compatible endpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForesightOptions:
    """Options of `foresight`.

    Attributes:
        probes: actions that the actor tries under each subgoal (K).
        share_probes: subgoals in equal words share their probes and the judge's word, so that luck does not
            tell them apart.
        lambda_format: weight of the form.
        lambda_execution: weight of what the probes achieved.
        lambda_judge: weight of the judge.
        execution: what a probe achieved, in a replay.
        mode: mean_std_norm divides by the deviation of the group, mean_norm does not.
        judge: who judges subgoals.
        judge_endpoint: base URL of the judge's server, such as http://127.0.0.1:8000/v1.
        judge_model: name of the model there; empty takes the only one.
        lookahead: steps that the agent goes on for, greedily, after a probe is tried live.
        discount: of the progress that those steps make.
    """

    probes: int = 1
    share_probes: bool = True
    lambda_format: float = 0.1
    lambda_execution: float = 0.9
    lambda_judge: float = 0.0
    execution: Execution = Execution.EXACT
    mode: NormMode = NormMode.MEAN_STD_NORM
    judge: JudgeName = JudgeName.NONE
    judge_endpoint: str = ""
    judge_model: str = ""
    lookahead: int = 0
    discount: float = _DISCOUNT

    def __post_init__(self) -> None:
        self._require(self.probes >= 1, "probes", "1 or more")
        for name in ("lambda_format", "lambda_execution", "lambda_judge"):
            self._require(getattr(self, name) >= 0, name, "a weight of 0 or more")
        self._require(self.lookahead >= 0, "lookahead", "0 (off) or more steps")
        self._require(0 <= self.discount <= 1, "discount", "a number from 0 to 1")
        if not self.lookahead and self.discount != _DISCOUNT:
            raise ConfigError(
                f"foresight.discount is {self.discount}, but without lookahead there is no later step to "
                "discount; give foresight:lookahead=… too, or leave it out"
            )
        if (self.judge is JudgeName.NONE) != (self.lambda_judge == 0):
            raise ConfigError(
                f"foresight.judge is {self.judge.value!r} and foresight.lambda_judge is {self.lambda_judge}: "
                "one has no effect without the other; give both, or neither"
            )
        if (self.judge is JudgeName.VLM) != bool(self.judge_endpoint):
            raise ConfigError(
                f"foresight.judge is {self.judge.value!r} and foresight.judge_endpoint is "
                f"{self.judge_endpoint!r}; the judge vlm needs the address of its server, and no other does"
            )
        if self.judge_model and self.judge is not JudgeName.VLM:
            raise ConfigError(
                f"foresight.judge_model is {self.judge_model!r}, but foresight.judge is "
                f"{self.judge.value!r}; it names the model of the judge vlm"
            )

    def build(self, compat: Compat) -> ForesightAdvantage:
        """The estimator; there is no release to reproduce, so that `compat` changes nothing."""
        return ForesightAdvantage(mode=self.mode)

    def _require(self, condition: bool, name: str, expected: str) -> None:
        if not condition:
            raise ConfigError(f"foresight.{name} is {getattr(self, name)!r}; expected {expected}")
