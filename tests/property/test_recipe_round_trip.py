"""Whatever can be set survives being printed as a recipe and read again."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gui_agent.cli.recipes import dump_yaml, parse_yaml

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
looks_like_something_else = st.from_regex(r"\A[-+0-9.eExo_:~]{1,7}\Z") | st.sampled_from(
    ["null", "Null", "true", "True", "yes", "on", "off", "n", "~", "<<", "=", "1e-4", "12:30", "2024-01-01"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts | looks_like_something_else
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def _same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
    return bool(a == b)


@settings(deadline=None, max_examples=200)
@given(values)
@example({"\x85": "\u2028 a\r\n\tb "})
@example(1e-05)
@example("1e5")
@example(-0.0)
@example(1e22)
@example(["0o7", "010", "0x1F", ".5", "1_000", "+.inf", ""])
def test_values_survive_a_recipe(value: Any) -> None:
    assert _same(parse_yaml(dump_yaml({"key": value})), {"key": value})
