"""Advantage estimators by name: what `algorithm` in a recipe or `--algorithm` chooses."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gui_agent.errors import ConfigError
from trainers.advantages import (
    AdvantageEstimator,
    EpisodeReturn,
    EpisodeTerm,
    GigpoAdvantage,
    GrpoAdvantage,
    SrgpoAdvantage,
    Statistics,
    UiS1Advantage,
)
from trainers.config import Compat
from trainers.normalisation import NormMode


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorSettings:
    """What every estimator is built from; each takes what it knows.

    Attributes:
        gamma: discount; None takes the method's published value.
        step_weight: omega; None takes the method's published value.
        mode: how values are compared within a cluster.
        compat: `release` reproduces the methods' released code.
    """

    gamma: float | None = None
    step_weight: float | None = None
    mode: NormMode = NormMode.MEAN_STD_NORM
    compat: Compat = Compat.PAPER

    @property
    def episode_term(self) -> EpisodeTerm:
        """How episodes are compared under these settings."""
        if self.compat is Compat.RELEASE:
            return EpisodeTerm(mode=self.mode, statistics=Statistics.ROWS, raw_singletons=True)
        return EpisodeTerm(mode=self.mode)


def _or(value: float | None, published: float) -> float:
    return published if value is None else value


def _ui_s1(settings: EstimatorSettings) -> AdvantageEstimator:
    release = settings.compat is Compat.RELEASE
    return UiS1Advantage(
        gamma=_or(settings.gamma, 0.5),
        step_weight=_or(settings.step_weight, 1.0),
        episode_return=EpisodeReturn.ROW if release else EpisodeReturn.FINAL,
        episode_term=settings.episode_term,
        cut_includes_mismatch=not release,
    )


def _ui_s1_offline(settings: EstimatorSettings) -> AdvantageEstimator:
    # Group-relative advantages of single steps: the reward of a step among siblings at the same step.
    return UiS1Advantage(gamma=0.0, episode_weight=0.0, episode_term=settings.episode_term)


def _grpo(settings: EstimatorSettings) -> AdvantageEstimator:
    return GrpoAdvantage(episode_term=settings.episode_term)


def _gigpo(settings: EstimatorSettings) -> AdvantageEstimator:
    return GigpoAdvantage(
        gamma=_or(settings.gamma, 0.95),
        step_weight=_or(settings.step_weight, 1.0),
        episode_term=settings.episode_term,
    )


def _srgpo(settings: EstimatorSettings) -> AdvantageEstimator:
    return SrgpoAdvantage(step_weight=_or(settings.step_weight, 0.5), episode_term=settings.episode_term)


ESTIMATORS: Final[dict[str, Callable[[EstimatorSettings], AdvantageEstimator]]] = {
    "ui_s1": _ui_s1,
    "ui_s1_offline": _ui_s1_offline,
    "grpo": _grpo,
    "gigpo": _gigpo,
    "srgpo": _srgpo,
}


def get_estimator(name: str, settings: EstimatorSettings | None = None) -> AdvantageEstimator:
    """The estimator of that name; a setting that it does not know is warned of.

    Raises:
        ConfigError: there is none; the message suggests the closest name.
    """
    build = ESTIMATORS.get(name)
    if build is None:
        close = difflib.get_close_matches(name, ESTIMATORS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"unknown algorithm {name!r}; {hint}known are {', '.join(ESTIMATORS)}")
    settings = settings or EstimatorSettings()
    estimator = build(settings)
    for setting in ("gamma", "step_weight"):
        wanted = getattr(settings, setting)
        if wanted is not None and getattr(estimator, setting, None) != wanted:
            warnings.warn(f"{setting}={wanted} has no effect on the advantages of {name!r}", stacklevel=2)
    return estimator
