"""What each method of step-level credit promises, against slow and obvious versions."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gui_agent.policy import AgentRole
from trainers.advantages import (
    Baseline,
    DrawWithin,
    EstimatorRow,
    GrpoAdvantage,
    HammingTolerance,
    ReinforcePpAdvantage,
    RlooAdvantage,
    SaltAdvantage,
    SrgpoAdvantage,
    TextSimilarity,
    anchor_clusters,
)
from trainers.algorithms import ALGORITHMS, get_estimator

HASHES = st.sampled_from(["00", "01", "03", "0f", "ff", "fe"])
rewards = st.one_of(st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.floats(-10, 10))
SETTLED = [
    *sorted(ALGORITHMS),
    "rloo",
    "reinforce_pp:baseline=group",
    "grpo:mode=mean_norm",
    "srgpo:within=episode",
    "srgpo:cluster_size=-1",
    "gigpo:mode=mean_norm",
    "salt:history=-1,trajectory=rloo",
]


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def episode(
    group: int, name: int, score: float, steps: Sequence[tuple[str | None, str, str | None, float]]
) -> list[EstimatorRow]:
    """Rows from (state, action, next state, reward) of each step."""
    return [
        EstimatorRow(
            group_id=f"g{group}",
            episode_id=f"e{name}",
            step=number,
            reward=reward,
            episode_reward=score,
            state_key=state,
            action_key=action,
            next_state_key=after,
        )
        for number, (state, action, after, reward) in enumerate(steps)
    ]


states = st.sampled_from(["a", "b", "c", None])
step_facts = st.tuples(states, st.sampled_from(["x", "y"]), states, rewards)


@st.composite
def batches(draw: st.DrawFn, least_episodes: int = 1) -> list[EstimatorRow]:
    return [
        row
        for group in range(draw(st.integers(1, 3)))
        for name in range(draw(st.integers(least_episodes, 4)))
        for row in episode(group, name, draw(rewards), draw(st.lists(step_facts, min_size=1, max_size=4)))
    ]


def scores(rows: list[EstimatorRow]) -> dict[str, dict[str, float]]:
    """The score of each episode, by group."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        found[row.group_id][row.episode_id] = row.episode_reward
    return found


# -- whole episodes --------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(rows=batches())
def test_rloo_leaves_the_episode_itself_out(rows: list[EstimatorRow]) -> None:
    expected = []
    for row in rows:
        others = [score for name, score in scores(rows)[row.group_id].items() if name != row.episode_id]
        expected.append(row.episode_reward - statistics.fmean(others) if others else 0.0)
    np.testing.assert_allclose(RlooAdvantage()(rows, rng()), expected, atol=3e-6)


@settings(max_examples=50, deadline=None)
@given(rows=batches(), baseline=st.sampled_from(list(Baseline)))
def test_reinforce_pp_divides_by_the_deviation_of_the_batch(
    rows: list[EstimatorRow], baseline: Baseline
) -> None:
    groups = scores(rows)
    everything = [score for group in groups.values() for score in group.values()]
    mean = {group: statistics.fmean(found.values()) for group, found in groups.items()}
    if baseline is Baseline.BATCH:
        mean = dict.fromkeys(groups, statistics.fmean(everything))
    left = [score - mean[group] for group, found in groups.items() for score in found.values()]
    if max(left) - min(left) < 1e-5:
        return  # what counts as equal is tested below
    deviation = statistics.stdev(left)
    expected = [(row.episode_reward - mean[row.group_id]) / (deviation + 1e-6) for row in rows]
    estimator = ReinforcePpAdvantage(baseline=baseline)
    np.testing.assert_allclose(estimator(rows, rng()), expected, atol=1e-4, rtol=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    score=st.floats(-100, 100), reward=rewards, num_episodes=st.integers(1, 3), num_steps=st.integers(1, 3),
    name=st.sampled_from(SETTLED),
)  # fmt: skip
def test_nothing_to_compare_gives_exactly_zero(
    score: float, reward: float, num_episodes: int, num_steps: int, name: str
) -> None:
    """One episode, or several that are alike; no state comes twice, because returns differ with time."""
    steps = [(f"s{i}", "x", f"s{i + 1}", reward) for i in range(num_steps)]
    rows = [row for each in range(num_episodes) for row in episode(0, each, score, steps)]
    assert not any(get_estimator(name)(rows, rng()))


# -- constants -------------------------------------------------------------------------------------


def shifted(rows: list[EstimatorRow], by: float, group: str | None) -> list[EstimatorRow]:
    """A constant added to all rewards of one group, or of all."""
    return [
        replace(row, reward=row.reward + by, episode_reward=row.episode_reward + by)
        if group in (None, row.group_id)
        else row
        for row in rows
    ]


WITHIN_GROUPS = [
    "grpo",
    "rloo",
    "salt",
    "salt:trajectory=rloo",
    "reinforce_pp:baseline=group",
    "srgpo:within=group",
    "srgpo:within=episode",
    # Returns add a constant up over the steps that are left; without a discount there is nothing to add.
    "gigpo:gamma=0",
    "ui_s1:gamma=0",
    "ui_s1_offline",
]


def levelled(rows: list[EstimatorRow]) -> list[EstimatorRow]:
    """Rewards in steps of 1/8, so that adding a constant makes no two of them equal or different."""
    return [
        replace(row, reward=round(row.reward * 8) / 8, episode_reward=round(row.episode_reward * 8) / 8)
        for row in rows
    ]


@settings(max_examples=60, deadline=None)
@given(rows=batches().map(levelled), name=st.sampled_from(WITHIN_GROUPS), by=st.integers(-20, 20))
def test_a_constant_for_one_group_changes_nothing(rows: list[EstimatorRow], name: str, by: int) -> None:
    estimator = get_estimator(name)
    np.testing.assert_allclose(estimator(shifted(rows, by, "g0"), rng()), estimator(rows, rng()), atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    rows=batches().map(levelled),
    name=st.sampled_from([*WITHIN_GROUPS, "srgpo", "srgpo:cluster_size=-1", "reinforce_pp"]),
    by=st.integers(-20, 20),
)
def test_a_constant_for_all_changes_nothing(rows: list[EstimatorRow], name: str, by: int) -> None:
    estimator = get_estimator(name)
    np.testing.assert_allclose(estimator(shifted(rows, by, None), rng()), estimator(rows, rng()), atol=1e-6)


def test_what_compares_across_groups_or_returns_is_changed_by_a_constant() -> None:
    """The exceptions, and why: a batch baseline sees the other group, a return sums the constant up."""
    rows = [
        *episode(0, 0, 1.0, [("a", "x", "b", 0.0), ("b", "x", "c", 1.0)]),
        *episode(0, 1, 0.0, [("c", "x", "a", 0.0), ("d", "x", "b", 0.0), ("a", "y", "b", 0.0)]),
        *episode(1, 0, 0.5, [("a", "x", "b", 0.5)]),
    ]
    for name in ("reinforce_pp", "srgpo:cluster_size=-1", "gigpo:mode=mean_norm", "ui_s1:mode=mean_norm"):
        estimator = get_estimator(name)
        assert estimator(shifted(rows, 5.0, "g0"), rng()) != pytest.approx(estimator(rows, rng()), abs=1e-3)


# -- order and roles -------------------------------------------------------------------------------


class TheSameDraw:
    """Draws for shuffled rows what another generator draws for the rows in order."""

    def __init__(self, order: list[int]) -> None:
        self._place = np.argsort(order)
        self._rng = rng()

    def permutation(self, x: int, /) -> npt.NDArray[Any]:
        return self._place[self._rng.permutation(x)]


@settings(max_examples=40, deadline=None)
@given(rows=batches(), data=st.data(), size=st.sampled_from([-1, 1, 3, 16]))
def test_srgpo_depends_on_who_meets_and_not_on_the_order(
    rows: list[EstimatorRow], data: st.DataObject, size: int
) -> None:
    order = data.draw(st.permutations(range(len(rows))))
    estimator = SrgpoAdvantage(cluster_size=size)
    straight = estimator(rows, rng())
    shuffled = estimator([rows[index] for index in order], TheSameDraw(order))
    np.testing.assert_allclose(shuffled, [straight[index] for index in order], atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    rows=batches(), size=st.sampled_from([-1, 1, 2, 3, 16]), within=st.sampled_from(list(DrawWithin)),
    data=st.data(),
)  # fmt: skip
def test_srgpo_clusters_have_the_stated_size_and_scope(
    rows: list[EstimatorRow], size: int, within: DrawWithin, data: st.DataObject
) -> None:
    roles = data.draw(st.lists(st.sampled_from(list(AgentRole)), min_size=len(rows), max_size=len(rows)))
    rows = [replace(row, role=role) for row, role in zip(rows, roles, strict=True)]
    clusters: dict[int, list[EstimatorRow]] = defaultdict(list)
    for row, number in zip(
        rows, SrgpoAdvantage(cluster_size=size, within=within).draw(rows, rng()), strict=True
    ):
        clusters[int(number)].append(row)
    scope: Callable[[EstimatorRow], Hashable] = {
        DrawWithin.BATCH: lambda row: row.role,
        DrawWithin.GROUP: lambda row: (row.role, row.group_id),
        DrawWithin.EPISODE: lambda row: (row.role, row.group_id, row.episode_id),
    }[within]
    sizes: dict[Any, list[int]] = defaultdict(list)
    for members in clusters.values():
        (pool,) = {scope(row) for row in members}
        sizes[pool].append(len(members))
    for pool, found in sizes.items():
        whole = sum(scope(row) == pool for row in rows)
        per_cluster = whole if size == -1 else size
        full, rest = divmod(whole, per_cluster)
        assert sorted(found) == sorted([per_cluster] * full + [rest] * (rest > 0))


# -- states ----------------------------------------------------------------------------------------


def test_equal_states_at_different_times_share_a_cluster() -> None:
    rows = [
        *episode(
            0, 0, 1.0, [("home", "x", "menu", 0.0), ("menu", "x", "home", 0.0), ("home", "y", None, 1.0)]
        ),
        *episode(0, 1, 0.0, [("lost", "x", "home", 0.0), ("home", "x", "menu", 0.0)]),
        *episode(1, 0, 1.0, [("home", "y", None, 1.0)]),
    ]
    clusters = anchor_clusters(rows).tolist()
    assert clusters[0] == clusters[2] == clusters[4]
    assert len({clusters[0], clusters[1], clusters[3], clusters[5]}) == 4  # never across groups
    planner = [replace(row, role=AgentRole.PLANNER) for row in rows]
    assert not set(anchor_clusters([*rows, *planner]).tolist()[:6]) & set(
        anchor_clusters([*rows, *planner]).tolist()[6:]
    )


@settings(max_examples=40, deadline=None)
@given(rows=batches(), keys=st.lists(HASHES, min_size=48, max_size=48))
def test_near_states_join_the_first_that_is_near(rows: list[EstimatorRow], keys: list[str]) -> None:
    rows = [replace(row, state_key=key) for row, key in zip(rows, keys, strict=False)]
    clusters = anchor_clusters(rows, HammingTolerance(1)).tolist()
    leaders: dict[str, dict[str, int]] = defaultdict(dict)
    for row, cluster in zip(rows, clusters, strict=True):
        assert row.state_key is not None
        known = leaders[row.group_id]
        near = [
            number
            for leader, number in known.items()
            if (int(leader, 16) ^ int(row.state_key, 16)).bit_count() <= 1
        ]
        if near:
            assert cluster == near[0]
        else:
            assert cluster not in known.values()
            known[row.state_key] = cluster


def test_similar_texts_are_one_state() -> None:
    menu = "button Wi-Fi\nbutton Bluetooth\nbutton Display\nbutton Sound\ntext 12:30"
    rows = episode(0, 0, 0.0, [(menu, "x", None, 0.0), (menu.replace("30", "31"), "x", None, 0.0),
                               ("button Back", "x", None, 0.0)])  # fmt: skip
    assert anchor_clusters(rows, TextSimilarity(0.95)).tolist() == [0, 0, 1]
    assert anchor_clusters(rows).tolist() == [0, 1, 2]


# -- SALT ------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(shared=st.integers(1, 4), win=st.floats(0.5, 10), loss=st.floats(-10, 0.4), history=st.integers(-1, 5))
def test_what_a_win_and_a_loss_share_is_worth_nothing(
    shared: int, win: float, loss: float, history: int
) -> None:
    prefix = [(f"s{i}", "x", f"s{i + 1}", 0.0) for i in range(shared)]
    won = episode(0, 0, win, [*prefix, (f"s{shared}", "right", "goal", win)])
    lost = episode(0, 1, loss, [*prefix, (f"s{shared}", "wrong", "nowhere", loss)])
    rows = [*won, *lost]
    found = SaltAdvantage(history=history)(rows, rng())
    own = GrpoAdvantage()(rows, rng())
    for index, row in enumerate(rows):
        if row.step < shared:
            assert found[index] == pytest.approx(0.0, abs=1e-9)
        else:
            assert found[index] == own[index] != 0


@settings(max_examples=60, deadline=None)
@given(rows=batches(), history=st.integers(-1, 3))
def test_salt_against_the_definition(rows: list[EstimatorRow], history: int) -> None:
    own = GrpoAdvantage()(rows, rng())
    by_place = {(row.group_id, row.episode_id, row.step): row for row in rows}

    def facts(row: EstimatorRow) -> list[str | None]:
        reach = row.step if history == -1 else min(history, row.step)
        before = [by_place[row.group_id, row.episode_id, row.step - back] for back in range(1, reach + 1)]
        return [row.state_key, row.action_key, row.next_state_key, *(past.state_key for past in before)]

    expected = []
    for index, row in enumerate(rows):
        passing = {row.episode_id: own[index]}
        for other, value in zip(rows, own, strict=True):
            if other.group_id == row.group_id and facts(other) == facts(row) and None not in facts(row):
                passing[other.episode_id] = value
        expected.append(statistics.fmean(passing.values()))
    np.testing.assert_allclose(SaltAdvantage(history=history)(rows, rng()), expected, atol=1e-9)


def test_history_tells_steps_apart_that_were_reached_differently() -> None:
    rows = [
        *episode(0, 0, 1.0, [("left", "x", "hall", 0.0), ("hall", "open", "room", 1.0)]),
        *episode(0, 1, 0.0, [("right", "x", "hall", 0.0), ("hall", "open", "room", 0.0)]),
    ]
    merged = SaltAdvantage(history=0)(rows, rng())
    apart = SaltAdvantage(history=1)(rows, rng())
    assert merged[1] == merged[3] == pytest.approx(0.0)
    assert apart[1] == -apart[3] != 0


def test_a_loop_does_not_count_twice() -> None:
    circle = [("a", "x", "b", 0.0), ("b", "y", "a", 0.0)]
    rows = [*episode(0, 0, 1.0, circle * 3), *episode(0, 1, 0.0, circle)]
    assert SaltAdvantage(history=0)(rows, rng()) == pytest.approx([0.0] * len(rows))
