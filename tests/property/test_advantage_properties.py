"""What holds for advantages whatever the rewards are, against slow and obvious versions."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gui_agent.errors import ConfigError, DataError
from gui_agent.policy import AgentRole
from trainers.advantages import (
    DrawWithin,
    EpisodeReturn,
    EpisodeTerm,
    EstimatorRow,
    GigpoAdvantage,
    GrpoAdvantage,
    HasTerms,
    SaltAdvantage,
    SrgpoAdvantage,
    Statistics,
    TextSimilarity,
    UiS1Advantage,
)
from trainers.algorithms import ALGORITHMS, EstimatorSettings, get_estimator
from trainers.choices import Compat
from trainers.clusters import cluster_codes
from trainers.normalisation import NormMode, normalise
from trainers.returns import discounted_returns

rewards = st.one_of(st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.floats(-10, 10))


@st.composite
def batches(draw: st.DrawFn) -> list[EstimatorRow]:
    rows = []
    for group in range(draw(st.integers(1, 3))):
        for episode in range(draw(st.integers(1, 4))):
            score = draw(rewards)
            for step in range(draw(st.integers(1, 4))):
                rows.append(
                    EstimatorRow(
                        group_id=f"g{group}",
                        episode_id=f"e{episode}",
                        step=step,
                        reward=draw(rewards),
                        episode_reward=score,
                        matched=draw(st.booleans()),
                        state_key=draw(st.sampled_from(["a", "b", "c", None])),
                        action_key=draw(st.sampled_from(["x", "y"])),
                        next_state_key=draw(st.sampled_from(["a", "b", None])),
                    )
                )
    return rows


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@settings(max_examples=50, deadline=None)
@given(
    rows=batches(),
    data=st.data(),
    name=st.sampled_from(sorted(set(ALGORITHMS) - {"srgpo"})),
)
def test_the_order_of_rows_does_not_matter(rows: list[EstimatorRow], data: st.DataObject, name: str) -> None:
    estimator = get_estimator(name)
    order = data.draw(st.permutations(range(len(rows))))
    straight = estimator(rows, rng())
    shuffled = estimator([rows[index] for index in order], rng())
    np.testing.assert_allclose(shuffled, [straight[index] for index in order], atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(rows=batches(), name=st.sampled_from(sorted(ALGORITHMS)), reward=st.floats(-100, 100))
def test_equal_siblings_get_exactly_zero(rows: list[EstimatorRow], name: str, reward: float) -> None:
    # Equal length and matches as well, because returns differ otherwise.
    same = [replace(row, reward=reward, episode_reward=reward, matched=False) for row in rows]
    assert not any(GrpoAdvantage()(same, rng()))
    assert not any(UiS1Advantage()(same, rng()))
    assert not any(SrgpoAdvantage()(same, rng()))
    assert all(np.isfinite(get_estimator(name)(same, rng())))


@settings(max_examples=30, deadline=None)
@given(rows=batches(), name=st.sampled_from(sorted(ALGORITHMS)), compat=st.sampled_from(list(Compat)))
def test_a_lone_row_gets_exactly_zero_unless_release(
    rows: list[EstimatorRow], name: str, compat: Compat
) -> None:
    lone = rows[:1]
    advantages = get_estimator(name, EstimatorSettings(compat=compat))(lone, rng())
    assert len(advantages) == 1
    if compat is Compat.PAPER:
        assert advantages == [0.0]


@settings(max_examples=50, deadline=None)
@given(rows=batches())
def test_ui_s1_against_the_equations(rows: list[EstimatorRow]) -> None:
    gamma, eps = 0.5, 1e-6
    episodes: dict[tuple[str, str], list[EstimatorRow]] = defaultdict(list)
    for row in rows:
        episodes[row.group_id, row.episode_id].append(row)

    def equation_9(row: EstimatorRow) -> float:
        steps = episodes[row.group_id, row.episode_id]
        last, end = len(steps) - 1, row.step
        if row.matched:
            while end < last and steps[end].matched:
                end += 1
        return sum(gamma ** (k - row.step) * steps[k].reward for k in range(row.step, end + 1))

    def standardised(value: float, values: list[float]) -> float:
        if len(values) == 1 or max(values) - min(values) < 1e-6:
            return 0.0
        return (value - statistics.fmean(values)) / (statistics.stdev(values) + eps)

    expected = []
    for row in rows:
        peers = [equation_9(peer) for peer in rows if (peer.group_id, peer.step) == (row.group_id, row.step)]
        finals = [steps[-1].reward for key, steps in episodes.items() if key[0] == row.group_id]
        final = episodes[row.group_id, row.episode_id][-1].reward
        expected.append(standardised(equation_9(row), peers) + standardised(final, finals))
    np.testing.assert_allclose(UiS1Advantage(gamma=gamma)(rows, rng()), expected, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(rows=batches(), gamma=st.floats(0, 1))
def test_all_matched_is_the_ordinary_return(rows: list[EstimatorRow], gamma: float) -> None:
    rollouts = [(row.group_id, row.episode_id) for row in rows]
    steps = [row.step for row in rows]
    values = [row.reward for row in rows]
    for includes in (True, False):
        returns = discounted_returns(
            values, [True] * len(rows), rollouts, steps, gamma=gamma, cut_includes_mismatch=includes
        )
        for index, row in enumerate(rows):
            later = [
                gamma ** (other.step - row.step) * other.reward
                for other, rollout in zip(rows, rollouts, strict=True)
                if rollout == rollouts[index] and other.step >= row.step
            ]
            assert returns[index] == pytest.approx(sum(later), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(rows=batches())
def test_gigpo_without_repeated_states_is_grpo(rows: list[EstimatorRow]) -> None:
    unique = [replace(row, state_key=f"{index}") for index, row in enumerate(rows)]
    unknown = [replace(row, state_key=None) for row in rows]
    expected = GrpoAdvantage()(rows, rng())
    assert GigpoAdvantage()(unique, rng()) == expected
    assert GigpoAdvantage()(unknown, rng()) == expected


@settings(max_examples=30, deadline=None)
@given(
    rows=batches(), size=st.one_of(st.just(-1), st.integers(1, 20)), within=st.sampled_from(list(DrawWithin))
)
def test_srgpo_puts_every_row_into_one_cluster(
    rows: list[EstimatorRow], size: int, within: DrawWithin
) -> None:
    clusters = SrgpoAdvantage(cluster_size=size, within=within).draw(rows, rng())
    members: dict[int, list[EstimatorRow]] = defaultdict(list)
    for row, cluster in zip(rows, clusters.tolist(), strict=True):
        members[cluster].append(row)
    assert sum(map(len, members.values())) == len(rows)
    if size > 0:
        assert max(map(len, members.values())) <= size
    if within is DrawWithin.BATCH and size > 0:
        assert len(members) == -(-len(rows) // size)
    if within is DrawWithin.GROUP:
        assert all(len({row.group_id for row in cluster}) == 1 for cluster in members.values())
    if within is DrawWithin.EPISODE:
        assert all(
            len({(row.group_id, row.episode_id) for row in cluster}) == 1 for cluster in members.values()
        )


@settings(max_examples=30, deadline=None)
@given(rows=batches(), name=st.sampled_from(sorted(set(ALGORITHMS) - {"srgpo"})))
def test_roles_are_never_compared(rows: list[EstimatorRow], name: str) -> None:
    planners = [replace(row, role=AgentRole.PLANNER, reward=-row.reward) for row in rows]
    estimator = get_estimator(name)
    assert estimator([*rows, *planners], rng()) == [*estimator(rows, rng()), *estimator(planners, rng())]


@settings(max_examples=30, deadline=None)
@given(rows=batches(), data=st.data(), name=st.sampled_from(["ui_s1", "gigpo", "salt", "grpo"]))
def test_a_step_at_which_an_actor_was_not_asked_is_one_of_its_episode(
    rows: list[EstimatorRow], data: st.DataObject, name: str
) -> None:
    """A planner without a usable subgoal: what the actor did before is credited as if it had spoken."""
    silent = data.draw(st.sets(st.integers(0, len(rows) - 1), max_size=len(rows) - 1))
    estimator = get_estimator(name)
    assert isinstance(estimator, HasTerms)
    planners = [replace(row, role=AgentRole.PLANNER) for row in rows]
    spoken = [row for i, row in enumerate(rows) if i not in silent]
    found = estimator.terms([*spoken, *planners], rng())
    if name == "salt":
        assert isinstance(estimator, SaltAdvantage)
        edges = estimator.edges(rows)[[i for i in range(len(rows)) if i not in silent]]
        np.testing.assert_array_equal(
            estimator.edges([*spoken, *planners])[: len(spoken)], cluster_codes(edges)
        )
        return
    values = estimator.terms(rows, rng()).step_value
    expected = [value for i, value in enumerate(values) if i not in silent]
    np.testing.assert_allclose(found.step_value[: len(spoken)], expected)


def test_the_end_of_a_rollout_is_that_of_both_roles() -> None:
    """Both actors were right whenever they were asked; one planner had nothing to ask in the end."""

    def row(episode: str, step: int, reward: float, role: AgentRole) -> EstimatorRow:
        return EstimatorRow(
            group_id="g", episode_id=episode, step=step, reward=reward, matched=reward == 1, role=role
        )

    ends = {"a": 1.0, "b": 0.0}
    planners = [
        row(name, step, reward, AgentRole.PLANNER)
        for name, end in ends.items()
        for step, reward in enumerate((1.0, end))
    ]
    actors = [replace(planner, role=AgentRole.ACTOR) for planner in planners[:3]]
    terms = UiS1Advantage().terms([*planners, *actors], rng())
    np.testing.assert_allclose(terms.episode[4:], [0.7071, 0.7071, -0.7071], atol=1e-3)
    np.testing.assert_allclose(terms.step_value[4:], [1.5, 1.0, 1.0])


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30),
    data=st.data(),
    mode=st.sampled_from(list(NormMode)),
)
def test_centred_values_sum_to_zero(values: list[float], data: st.DataObject, mode: NormMode) -> None:
    labels = data.draw(st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values)))
    codes = cluster_codes(labels)
    result = normalise(np.array(values), codes, mode=mode)
    assert np.abs(np.bincount(codes, result)).max() < 1e-3


def test_long_episodes_weigh_more_in_the_release() -> None:
    def rows(episode: str, score: float, length: int) -> list[EstimatorRow]:
        return [
            EstimatorRow(group_id="g", episode_id=episode, step=step, reward=0.0, episode_reward=score)
            for step in range(length)
        ]

    batch = [*rows("long", 0.0, 9), *rows("short", 1.0, 1)]
    fair = GrpoAdvantage()(batch, rng())
    skewed = GrpoAdvantage(episode_term=EpisodeTerm(statistics=Statistics.ROWS))(batch, rng())
    assert fair[0] == pytest.approx(-fair[-1])
    assert skewed[-1] > 5 * -skewed[0]


def test_offline_rows_are_compared_at_their_own_step_by_their_own_reward() -> None:
    def row(episode: str, step: int, reward: float) -> EstimatorRow:
        return EstimatorRow(group_id="g", episode_id=episode, step=step, reward=reward)

    batch = [row("a", 0, 1.0), row("b", 0, 0.0), row("a", 1, 0.0), row("b", 1, 1.0)]
    offline = get_estimator("ui_s1_offline")(batch, rng())
    np.testing.assert_allclose(offline, [0.7071, -0.7071, -0.7071, 0.7071], atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(rows=batches())
def test_rewards_of_rows_are_compared_over_all_rows_of_a_group(rows: list[EstimatorRow]) -> None:
    """Not with the first rows of the episodes alone, of which they need not be one."""
    estimator = get_estimator("ui_s1:episode_return=row,mode=mean_norm")
    assert isinstance(estimator, UiS1Advantage)
    episode_N = estimator.terms(rows, rng()).episode
    for group in {row.group_id for row in rows}:
        members = [i for i, row in enumerate(rows) if row.group_id == group]
        mean = statistics.fmean(rows[i].reward for i in members)
        expected = [rows[i].reward - mean for i in members] if len(members) > 1 else [0.0]
        np.testing.assert_allclose(episode_N[members], expected, atol=1e-6)


def test_settings_reach_the_estimators() -> None:
    settings_ = EstimatorSettings(gamma=0.25, step_weight=0.75, compat=Compat.RELEASE)
    ui_s1 = get_estimator("ui_s1:mode=mean_norm", settings_)
    assert isinstance(ui_s1, UiS1Advantage)
    assert (ui_s1.gamma, ui_s1.step_weight, ui_s1.cut_includes_mismatch) == (0.25, 0.75, False)
    assert ui_s1.episode_return is EpisodeReturn.ROW
    assert ui_s1.episode_term == EpisodeTerm(
        mode=NormMode.MEAN_NORM, statistics=Statistics.ROWS, raw_singletons=True
    )
    srgpo = get_estimator("srgpo")
    assert isinstance(srgpo, SrgpoAdvantage)
    assert srgpo.step_weight == 0.5


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("grpo", EstimatorSettings(gamma=0.25)),
        ("grpo", EstimatorSettings(step_weight=0.25)),
        ("srgpo", EstimatorSettings(gamma=0.25)),
        ("ui_s1_offline", EstimatorSettings(gamma=0.25)),
    ],
)
def test_a_setting_without_effect_is_said(name: str, given: EstimatorSettings) -> None:
    setting = "step_weight" if given.gamma is None else "gamma"
    with pytest.warns(UserWarning, match=f"{setting}=0.25 has no effect on the advantages of '{name}'"):
        get_estimator(name, given)


@pytest.mark.parametrize("name", ["ui_s1", "gigpo"])
def test_a_setting_with_effect_is_taken(name: str, recwarn: pytest.WarningsRecorder) -> None:
    rows = [
        EstimatorRow(group_id="g", episode_id=f"e{episode}", step=step, reward=reward, state_key=f"{step}")
        for episode, rewards in enumerate([(0.1, 0.0), (0.5, 1.0), (0.0, 0.7)])
        for step, reward in enumerate(rewards)
    ]
    published = get_estimator(name)(rows, rng())
    for changed in (EstimatorSettings(gamma=0.0), EstimatorSettings(step_weight=0.25)):
        assert get_estimator(name, changed)(rows, rng()) != published
    assert not recwarn


def test_bad_names_and_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'gigpo'"):
        get_estimator("gipo")
    with pytest.raises(ConfigError, match="similarity"):
        TextSimilarity(1.5)
    with pytest.raises(ConfigError, match="cluster_size"):
        SrgpoAdvantage(cluster_size=0)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_a_reward_that_is_no_number_names_the_trajectory(name: str, value: Any) -> None:
    fine = EstimatorRow(group_id="g", episode_id="fine", step=0, reward=0.0)
    spoilt = replace(fine, episode_id="spoilt", reward=value, episode_reward=value)
    with pytest.raises(DataError, match=r"trajectory 'spoilt'.*reward is"):
        get_estimator(name)([fine, spoilt], rng())


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_options_are_finite(value: str) -> None:
    with pytest.raises(ConfigError, match=r"gigpo\.step_weight is"):
        get_estimator(f"gigpo:step_weight={value}")


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_no_rows_give_no_advantages(name: str) -> None:
    assert get_estimator(name)([], rng()) == []
