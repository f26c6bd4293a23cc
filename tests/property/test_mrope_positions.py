from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForImageTextToText

from gui_agent.policies.transformers_encoding import mrope_positions

IMAGE = 7
GRIDS = st.tuples(st.just(1), st.integers(1, 5).map(lambda n: 2 * n), st.integers(1, 5).map(lambda n: 2 * n))
# Text between pictures is never empty: at least the tokens that open and close one.
PROMPTS = st.tuples(st.integers(1, 6), st.lists(st.tuples(GRIDS, st.integers(1, 6)), max_size=4))


@pytest.fixture(scope="session")
def network(tiny_model_dir: Path) -> Any:
    return AutoModelForImageTextToText.from_pretrained(tiny_model_dir)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=PROMPTS)
def test_positions_equal_the_models_own(network: Any, prompt: Any) -> None:
    start, pictures = prompt
    token_ids = [1] * start
    for (time, height, width), text in pictures:
        token_ids += [IMAGE] * (time * height * width // 4) + [2] * text
    grids = tuple(grid for grid, _ in pictures)
    ids = torch.tensor([token_ids])
    expected, deltas = network.model.get_rope_index(
        ids, (ids == IMAGE).int(), torch.tensor(grids) if grids else None
    )

    positions = mrope_positions(tuple(token_ids), grids, image_token_id=IMAGE)

    assert torch.equal(torch.from_numpy(positions.copy()), expected[:, 0])
    assert positions.max() + 1 - len(token_ids) == deltas.item()
