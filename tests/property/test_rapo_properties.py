"""RAPO's scaling: nothing where every group teaches something, and just what makes up for the others."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trainers.rapo import scale_informative

VALUES = st.floats(-10, 10, allow_subnormal=False)
GROUPS = st.dictionaries(
    st.text("abc", min_size=1, max_size=3), st.lists(VALUES, min_size=1, max_size=5), min_size=1, max_size=6
)


def flat(groups: dict[str, list[float]]) -> tuple[list[float], list[str]]:
    rows = [(value, name) for name, values in groups.items() for value in values]
    return [value for value, _ in rows], [name for _, name in rows]


@given(groups=GROUPS)
def test_an_all_informative_batch_is_unchanged_bit_by_bit(groups: dict[str, list[float]]) -> None:
    assume(all(any(values) for values in groups.values()))
    advantages_N, groups_N = flat(groups)
    assert scale_informative(advantages_N, groups_N) == advantages_N


@given(groups=GROUPS, flat_groups=st.integers(0, 5), size=st.integers(1, 4))
def test_the_factor_is_all_groups_over_informative_ones(
    groups: dict[str, list[float]], flat_groups: int, size: int
) -> None:
    assume(all(any(values) for values in groups.values()))
    advantages_N, groups_N = flat(groups | {f"flat-{n}": [0.0] * size for n in range(flat_groups)})
    scaled_N = scale_informative(advantages_N, groups_N)
    factor = (len(groups) + flat_groups) / len(groups)
    assert scaled_N == pytest.approx([value * factor for value in advantages_N], rel=1e-12)
    # The mean over groups is what it would be without the flat ones.
    without_N, _ = flat(groups)
    assert math.isclose(
        math.fsum(scaled_N) / (len(groups) + flat_groups),
        math.fsum(without_N) / len(groups),
        rel_tol=1e-9,
        abs_tol=1e-9,
    )


@given(groups=st.lists(st.sampled_from("ab"), max_size=6))
def test_a_batch_that_teaches_nothing_stays_at_zero(groups: list[str]) -> None:
    assert scale_informative([0.0] * len(groups), groups) == [0.0] * len(groups)


@given(groups=GROUPS, seed=st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(groups: dict[str, list[float]], seed: object) -> None:
    advantages_N, groups_N = flat(groups)
    order = list(range(len(advantages_N)))
    seed.shuffle(order)  # type: ignore[attr-defined]
    shuffled = scale_informative([advantages_N[i] for i in order], [groups_N[i] for i in order])
    plain = scale_informative(advantages_N, groups_N)
    assert shuffled == [plain[i] for i in order]
