"""Token sequences that begin alike, computed with one copy of what they share.

Samples of one prompt share all of it; roll-outs of one goal share the system prompt, the goal and the
screenshot, and differ in their histories. Sequences are sorted, so that those with a common beginning
are neighbours, and each is laid behind the tokens it does not share with the one before. What comes
out is a tree written as one sequence, with a mask under which every token sees its ancestors only, at
the positions it would have had alone. The result is exact, in values and in gradients.

Shapes: B sequences, packed into S trees of at most L tokens.

Source: tree attention as in Tree Training, arXiv:2511.00413; the layout here is our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from gui_agent.policies.transformers_encoding import image_runs, mrope_positions

IntArray = npt.NDArray[np.int64]

# Sharing less than this part of a sequence costs more, in wider attention, than it saves.
_MIN_SHARED: Final = 0.3
# Sequences shorter than this part of the longest go into another batch instead of being padded.
_MIN_FILL: Final = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSequence:
    """Tokens with their pictures: a prompt, or a prompt and what was written after it."""

    token_ids: tuple[int, ...]
    image_grids: tuple[tuple[int, int, int], ...]
    image_sha256s: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackingRules:
    """How to pack.

    Attributes:
        image_token_id: the placeholder.
        pad_token_id: fills up shorter trees; never seen by a real token.
        merge_size: side in patches of the square behind one placeholder.
        share: whether to share common beginnings at all.
        max_tokens: a tree grows no larger, because attention inside it costs its length squared.
        max_batch_tokens: trees computed together hold no more, padding included; a larger tree goes alone.
    """

    image_token_id: int
    pad_token_id: int
    merge_size: int
    share: bool
    max_tokens: int
    max_batch_tokens: int = 2**14


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedBatch:
    """Trees of similar length, to be computed together.

    Attributes:
        sequences: indices of the packed sequences, in the order of axis B.
        token_ids_SL: padded on the right.
        positions_3SL: M-RoPE positions.
        images: for each tree the sha256 of its pictures in reading order.
        mask_SLL: who (first L) sees whom (second L); None where plain causal attention does.
        tree_B: the tree of each sequence.
        place_BT: the place of each of its tokens in the tree; padded with the place of the last.
        lengths_B: tokens of each sequence.
    """

    sequences: tuple[int, ...]
    token_ids_SL: IntArray
    positions_3SL: IntArray
    images: tuple[tuple[str, ...], ...]
    mask_SLL: npt.NDArray[np.bool_] | None
    tree_B: IntArray
    place_BT: IntArray
    lengths_B: IntArray


@dataclass(slots=True, kw_only=True)
class _Branch:
    """A sequence in a tree: it shares `shared` tokens with the one before and starts its own at `start`."""

    sequence: int
    shared: int
    start: int
    places: IntArray


@dataclass(slots=True, kw_only=True)
class _Tree:
    branches: list[_Branch] = field(default_factory=list)
    length: int = 0

    def add(self, sequence: int, length: int, shared: int) -> None:
        own = np.arange(self.length, self.length + length - shared)
        places = np.concatenate([self.branches[-1].places[:shared], own]) if shared else own
        self.branches.append(_Branch(sequence=sequence, shared=shared, start=self.length, places=places))
        self.length += len(own)


def pack(sequences: Sequence[TokenSequence], rules: PackingRules) -> list[PackedBatch]:
    """Pack all sequences into batches.

    Raises:
        ImageTokenError: placeholders and pictures of a sequence disagree.
    """
    trees = _shared_trees(sequences, rules) if rules.share else _lone_trees(sequences)
    return [_batch(group, sequences, rules) for group in _similar(trees, rules.max_batch_tokens)]


def _lone_trees(sequences: Sequence[TokenSequence]) -> list[_Tree]:
    trees = []
    for index, sequence in enumerate(sequences):
        trees.append(_Tree())
        trees[-1].add(index, len(sequence.token_ids), 0)
    return trees


def _shared_trees(sequences: Sequence[TokenSequence], rules: PackingRules) -> list[_Tree]:
    shown = sorted({sha256 for sequence in sequences for sha256 in sequence.image_sha256s})
    names = {sha256: index for index, sha256 in enumerate(shown)}
    identities = [_identity(sequence, rules.image_token_id, names) for sequence in sequences]
    # Any order will do in which sequences with a common beginning are neighbours.
    order = sorted(range(len(sequences)), key=lambda index: identities[index].tobytes())
    trees: list[_Tree] = []
    for previous, index in zip([None, *order[:-1]], order, strict=True):
        length = len(identities[index])
        shared = 0 if previous is None else _common_prefix(identities[previous], identities[index])
        fits = trees and trees[-1].length + length - shared <= rules.max_tokens
        if not fits or shared < _MIN_SHARED * length:
            trees.append(_Tree())
            shared = 0
        trees[-1].add(index, length, shared)
    return trees


def _identity(sequence: TokenSequence, image_token_id: int, names: dict[str, int]) -> IntArray:
    """Token ids, with placeholders replaced by a number that stands for their picture."""
    identity = np.asarray(sequence.token_ids, dtype=np.int64)
    for (start, end), sha256 in zip(
        image_runs(identity, image_token_id), sequence.image_sha256s, strict=False
    ):
        identity[start:end] = -1 - names[sha256]
    return identity


def _common_prefix(left: IntArray, right: IntArray) -> int:
    length = min(len(left), len(right))
    different = np.flatnonzero(left[:length] != right[:length])
    return int(different[0]) if len(different) else length


def _similar(trees: Sequence[_Tree], max_batch_tokens: int) -> list[list[_Tree]]:
    """Trees in groups of similar length, those that need a mask apart from those that do not."""
    groups: list[list[_Tree]] = []
    for tree in sorted(trees, key=lambda tree: (len(tree.branches) > 1, -tree.length)):
        alike = groups and (len(groups[-1][0].branches) > 1) == (len(tree.branches) > 1)
        fits = groups and (len(groups[-1]) + 1) * groups[-1][0].length <= max_batch_tokens
        if alike and fits and tree.length >= _MIN_FILL * groups[-1][0].length:
            groups[-1].append(tree)
        else:
            groups.append([tree])
    return groups


def _batch(trees: Sequence[_Tree], sequences: Sequence[TokenSequence], rules: PackingRules) -> PackedBatch:
    width = trees[0].length
    token_ids_SL = np.full((len(trees), width), rules.pad_token_id, dtype=np.int64)
    positions_3SL = np.zeros((3, len(trees), width), dtype=np.int64)
    masked = len(trees[0].branches) > 1
    # Padding sees itself, because a row of a mask that is all False gives NaN.
    mask_SLL = np.tile(np.eye(width, dtype=bool), (len(trees), 1, 1)) if masked else None
    images = []
    for s, tree in enumerate(trees):
        names: list[str] = []
        for branch in tree.branches:
            sequence = sequences[branch.sequence]
            own = slice(branch.start, branch.start + len(sequence.token_ids) - branch.shared)
            token_ids_SL[s, own] = sequence.token_ids[branch.shared :]
            positions = mrope_positions(
                sequence.token_ids,
                sequence.image_grids,
                image_token_id=rules.image_token_id,
                merge_size=rules.merge_size,
            )
            positions_3SL[:, s, own] = positions[:, branch.shared :]
            runs = image_runs(np.asarray(sequence.token_ids), rules.image_token_id)
            names += [
                sha256
                for (start, _), sha256 in zip(runs, sequence.image_sha256s, strict=True)
                if start >= branch.shared
            ]
            if mask_SLL is not None:
                mask_SLL[s, own, branch.places[: branch.shared]] = True
                mask_SLL[s, own, own] = np.tri(own.stop - own.start, dtype=bool)
        images.append(tuple(names))
    branches = [(s, branch) for s, tree in enumerate(trees) for branch in tree.branches]
    lengths = np.asarray([len(branch.places) for _, branch in branches])
    return PackedBatch(
        sequences=tuple(branch.sequence for _, branch in branches),
        token_ids_SL=token_ids_SL,
        positions_3SL=positions_3SL,
        images=tuple(images),
        mask_SLL=mask_SLL,
        tree_B=np.asarray([s for s, _ in branches]),
        place_BT=np.stack(
            [
                np.pad(branch.places, (0, lengths.max() - len(branch.places)), mode="edge")
                for _, branch in branches
            ]
        ),
        lengths_B=lengths,
    )
