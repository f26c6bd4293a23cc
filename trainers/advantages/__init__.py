"""Advantage estimators: rewards of sibling episodes become one number per row.

Vocabulary: a *row* is one completion, that is one step of one episode in one role; a *group* holds
sibling episodes of one task or expert trajectory; a *cluster* holds the rows whose values are compared
to each other, see `trainers.normalisation`. One module per method, with the estimator and the options
that recipes and flags may give it; their names are in `trainers.algorithms`.
"""

from trainers.advantages.anchors import Anchor, AnchorOptions
from trainers.advantages.gigpo import GigpoAdvantage, GigpoOptions
from trainers.advantages.grpo import GrpoAdvantage, GrpoOptions
from trainers.advantages.reinforce_pp import Baseline, ReinforcePpAdvantage, ReinforcePpOptions
from trainers.advantages.rloo import RlooAdvantage, RlooOptions
from trainers.advantages.rows import AdvantageEstimator, AdvantageTerms, EstimatorRow, HasTerms, Rng
from trainers.advantages.salt import SaltAdvantage, SaltOptions, TrajectoryAdvantage
from trainers.advantages.srgpo import DrawWithin, SrgpoAdvantage, SrgpoOptions
from trainers.advantages.states import (
    HammingTolerance,
    SameState,
    StateClusters,
    TextSimilarity,
    anchor_clusters,
)
from trainers.advantages.terms import EpisodeTerm, Statistics
from trainers.advantages.ui_s1 import EpisodeReturn, UiS1Advantage, UiS1OfflineOptions, UiS1Options

__all__ = [
    "AdvantageEstimator",
    "AdvantageTerms",
    "Anchor",
    "AnchorOptions",
    "Baseline",
    "DrawWithin",
    "EpisodeReturn",
    "EpisodeTerm",
    "EstimatorRow",
    "GigpoAdvantage",
    "GigpoOptions",
    "GrpoAdvantage",
    "GrpoOptions",
    "HammingTolerance",
    "HasTerms",
    "ReinforcePpAdvantage",
    "ReinforcePpOptions",
    "RlooAdvantage",
    "RlooOptions",
    "Rng",
    "SaltAdvantage",
    "SaltOptions",
    "SameState",
    "SrgpoAdvantage",
    "SrgpoOptions",
    "StateClusters",
    "Statistics",
    "TextSimilarity",
    "TrajectoryAdvantage",
    "UiS1Advantage",
    "UiS1OfflineOptions",
    "UiS1Options",
    "anchor_clusters",
]
