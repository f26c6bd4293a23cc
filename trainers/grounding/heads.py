"""Read-outs that dense grounding needs while it lasts: what a vector means, and where it points.

Both are measured against the model's own token embeddings, so that what is learnt is already said in
the words and numbers of the answers to come. The two linear maps are thrown away afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from trainers.grounding.text import CoordinateTokens


class PointingHeads(torch.nn.Module):
    """Logits over columns and rows of pixels, and over names, by cosine with token embeddings."""

    def __init__(
        self,
        embedding: torch.nn.Embedding,
        coordinates: CoordinateTokens,
        names: Sequence[tuple[int, ...]],
        *,
        nothing_token: int,
    ) -> None:
        """Prepare the classes.

        Args:
            embedding: the language model's input embedding; its weights are trained, not copied.
            coordinates: the token of every column and row.
            names: tokens of each name; class k + 1 is name k.
            nothing_token: its embedding is class 0, "no element here".
        """
        super().__init__()
        # In a list, so that the embedding is no parameter of this module.
        self._embedding = [embedding]
        width = embedding.weight.shape[1]
        self.to_x = torch.nn.Linear(width, width, bias=False)
        self.to_y = torch.nn.Linear(width, width, bias=False)
        self.log_scale = torch.nn.Parameter(torch.tensor(2.0))
        self._x_tokens, self.x_class = _distinct(coordinates.x_tokens)
        self._y_tokens, self.y_class = _distinct(coordinates.y_tokens)
        self.x_class_of = {token: index for index, token in enumerate(self._x_tokens)}
        self.y_class_of = {token: index for index, token in enumerate(self._y_tokens)}
        classes = [(nothing_token,), *names]
        longest = max(map(len, classes))
        # Spelt names are as long as their longest; a padded token has weight 0.
        self._name_tokens = torch.tensor([[*one, *([one[0]] * (longest - len(one)))] for one in classes])
        self._name_weights = torch.tensor(
            [[1.0] * len(one) + [0.0] * (longest - len(one)) for one in classes]
        ).unsqueeze(-1)

    def name_logits(self, vectors_ND: torch.Tensor) -> torch.Tensor:
        """Of each vector, logits over "nothing" and the names, shape (N, 1 + names)."""
        spelt = self._embedding[0](self._name_tokens.to(vectors_ND.device))
        names = (spelt * self._name_weights.to(vectors_ND.device)).sum(1)
        return self._compare(_normal(vectors_ND), names)

    def point_logits(self, vectors_ND: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of each vector, logits over the classes of x and of y."""
        weight, vectors = self._embedding[0].weight, _normal(vectors_ND)
        return (
            self._compare(self.to_x(vectors), weight[self._x_tokens]),
            self._compare(self.to_y(vectors), weight[self._y_tokens]),
        )

    def _compare(self, vectors: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        return self.log_scale.exp() * vectors @ functional.normalize(classes, dim=-1).T


def _normal(vectors: torch.Tensor) -> torch.Tensor:
    return vectors * torch.rsqrt(vectors.pow(2).mean(-1, keepdim=True) + 1e-6)


def _distinct(tokens: Sequence[int]) -> tuple[list[int], list[int]]:
    """The different tokens, and for each pixel which of them is its class."""
    distinct = list(dict.fromkeys(tokens))
    place = {token: index for index, token in enumerate(distinct)}
    return distinct, [place[token] for token in tokens]
