from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gui_agent.errors import ImageTokenError
from gui_agent.policies.transformers_encoding import mrope_positions
from gui_agent.policies.transformers_packing import PackingRules, TokenSequence, pack

IMAGE, PAD = 7, 0


def _rules(*, share: bool = True, max_tokens: int = 200, max_batch_tokens: int = 1000) -> PackingRules:
    return PackingRules(
        image_token_id=IMAGE,
        pad_token_id=PAD,
        merge_size=2,
        share=share,
        max_tokens=max_tokens,
        max_batch_tokens=max_batch_tokens,
    )


def _sequence(parts: list[int | str]) -> TokenSequence:
    """Numbers are text tokens; letters are pictures of four features, upper case of two by one."""
    token_ids: list[int] = []
    for part in parts:
        token_ids += [part] if isinstance(part, int) else [1, *[IMAGE] * (2 if part.isupper() else 4), 2]
    names = tuple(part for part in parts if isinstance(part, str))
    return TokenSequence(
        token_ids=(3, *token_ids, 4),
        image_grids=tuple((1, 4, 2) if name.isupper() else (1, 4, 4) for name in names),
        image_sha256s=names,
    )


# Few distinct parts, so that common beginnings of all lengths are frequent.
PART: list[int | str] = [5, 6, 8, "a", "b", "C"]
PARTS = st.lists(st.sampled_from(PART), max_size=8)
SEQUENCES = st.lists(PARTS.map(_sequence), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(
    sequences=SEQUENCES,
    share=st.booleans(),
    max_tokens=st.sampled_from([1, 30, 200]),
    max_batch_tokens=st.sampled_from([1, 60, 1000]),
)
def test_every_token_sees_exactly_its_own_sequence(
    sequences: list[TokenSequence], share: bool, max_tokens: int, max_batch_tokens: int
) -> None:
    rules = _rules(share=share, max_tokens=max_tokens, max_batch_tokens=max_batch_tokens)
    batches = pack(sequences, rules)
    assert sorted(i for batch in batches for i in batch.sequences) == list(range(len(sequences)))
    for batch in batches:
        width = batch.token_ids_SL.shape[1]
        assert len(batch.images) == 1 or batch.token_ids_SL.size <= max_batch_tokens
        mask_SLL = batch.mask_SLL
        if mask_SLL is None:
            mask_SLL = np.tile(np.tri(width, dtype=bool), (len(batch.images), 1, 1))
        assert mask_SLL.any(axis=-1).all()
        for b, index in enumerate(batch.sequences):
            sequence, s = sequences[index], batch.tree_B[b]
            places = batch.place_BT[b, : batch.lengths_B[b]]
            assert tuple(batch.token_ids_SL[s, places]) == sequence.token_ids
            alone = mrope_positions(sequence.token_ids, sequence.image_grids, image_token_id=IMAGE)
            assert np.array_equal(batch.positions_3SL[:, s, places], alone)
            for t, place in enumerate(places):
                assert np.array_equal(np.flatnonzero(mask_SLL[s, place]), places[: t + 1])


@settings(max_examples=100, deadline=None)
@given(sequences=SEQUENCES)
def test_features_reach_the_placeholders_of_their_picture(sequences: list[TokenSequence]) -> None:
    for batch in pack(sequences, _rules()):
        shown_SL = np.full(batch.token_ids_SL.shape, "", dtype=object)
        for s, names in enumerate(batch.images):
            features = [name for name in names for _ in range(2 if name.isupper() else 4)]
            shown_SL[s, batch.token_ids_SL[s] == IMAGE] = features  # as masked_scatter does
        for b, index in enumerate(batch.sequences):
            places = batch.place_BT[b, : batch.lengths_B[b]]
            shown = [name for name in shown_SL[batch.tree_B[b], places] if name]
            names = sequences[index].image_sha256s
            assert shown == [name for name in names for _ in range(2 if name.isupper() else 4)]


def test_siblings_cost_one_prompt() -> None:
    prompt: list[int | str] = ["a", 5, 6, 8]
    siblings = [_sequence([*prompt, 5, 5, 5]), _sequence([*prompt, 6]), _sequence([*prompt, 8, 8])]
    (batch,) = pack(siblings, _rules())
    # 1 + 6 + 3 shared, then 3, 1 and 2 tokens, each with an end of its own
    assert batch.token_ids_SL.shape == (1, 10 + 6 + 3)
    assert batch.images == (("a",),)


def test_equal_placeholders_of_different_pictures_are_not_shared() -> None:
    long_text: list[int | str] = [5, 6, 8, 5, 6, 8]
    (batch,) = pack([_sequence([*long_text, "a"]), _sequence([*long_text, "b"])], _rules())
    assert sorted(batch.images[0]) == ["a", "b"]


def test_the_result_does_not_depend_on_the_order() -> None:
    rows: list[list[int | str]] = [["a", 5], ["a", 6, 6], ["b"], ["a", 5, 8]]
    sequences = [_sequence(parts) for parts in rows]
    forward, backward = pack(sequences, _rules()), pack(sequences[::-1], _rules())
    for one, two in zip(forward, backward, strict=True):
        assert np.array_equal(one.token_ids_SL, two.token_ids_SL)
        assert [3 - i for i in two.sequences] == list(one.sequences)


def test_a_sequence_without_its_picture_is_refused() -> None:
    lost = TokenSequence(token_ids=_sequence(["a"]).token_ids, image_grids=(), image_sha256s=())
    for share in (False, True):
        with pytest.raises(ImageTokenError):
            pack([_sequence(["a", 5]), lost], _rules(share=share))
