"""The losses of the grounding stages, each for some screens of one pool.

    vision   tower and token embedding   every cell says what it shows, and where the centre of that is
    noun     language model              a name, read after a picture, says where its element is
    lookup   language model              answers, many to a picture, over remembered features
    answer   everything                  answers in the agent's prompt format

Shapes: B screens, N supervised positions, D width of the language model.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from gui_agent.errors import DataError
from gui_agent.observation import LabelledScreen, UiElement
from gui_agent.policies.transformers_model import ImageFeatures, VisionLanguageModel
from trainers.grounding.config import GroundingConfig
from trainers.grounding.heads import PointingHeads
from trainers.grounding.labels import NOBODY, cell_owners, pointable
from trainers.grounding.pixels import ScreenPixels
from trainers.grounding.text import IGNORED, LessonRow, TurnWriter, pad_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLoss:
    """A loss, and the share of its targets that the most likely classes hit.

    Attributes:
        loss: with gradient.
        hits: names of measures to values in [0, 1].
    """

    loss: torch.Tensor
    hits: dict[str, float]


class ScreenPool:
    """Labelled screens ready to learn from, or to be tested on."""

    def __init__(
        self,
        model: VisionLanguageModel,
        screens: Sequence[LabelledScreen],
        writer: TurnWriter,
        config: GroundingConfig,
    ) -> None:
        """Keep the screens on which something can be pointed at.

        Raises:
            DataError: there is no such screen.
        """
        self.screens = [screen for screen in screens if pointable(screen.elements)]
        if not self.screens:
            raise DataError(
                f"none of {len(screens)} labelled screens has a clickable element with a name of its own; "
                "grounding needs at least one"
            )
        self._model = model
        self._writer = writer
        self._config = config
        self._features: list[ImageFeatures] | None = None
        self.pixels = ScreenPixels(model, [screen.screenshot for screen in self.screens])

    def __len__(self) -> int:
        return len(self.screens)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name on any of the screens, sorted."""
        return tuple(sorted({one.name for screen in self.screens for one in screen.elements if one.name}))

    def remember_features(self) -> None:
        """Run the vision tower once over all screens, for the stages that leave it alone."""
        self._features = self.pixels.all_features()

    def forget_features(self) -> None:
        """Forget what `remember_features` computed, because the tower learns again."""
        self._features = None

    def vision_loss(self, indices: Sequence[int], heads: PointingHeads, labels: CellLabels) -> StageLoss:
        """Each cell says the name of what it shows, and where that is."""
        vectors_ND = torch.cat([one.embeddings_ND for one in self.pixels.features(indices)])
        names_N, x_N, y_N = (
            torch.cat([part[i] for i in indices]) for part in (labels.names, labels.x, labels.y)
        )
        shown_N = names_N > 0
        name_logits = heads.name_logits(vectors_ND)
        x_logits, y_logits = heads.point_logits(vectors_ND[shown_N])
        parts = {"name": (name_logits, names_N), "x": (x_logits, x_N[shown_N]), "y": (y_logits, y_N[shown_N])}
        weights = {"name": labels.name_weights.to(name_logits.device)}
        loss = sum(
            functional.cross_entropy(logits, target, weight=weights.get(key))
            for key, (logits, target) in parts.items()
        )
        hits = {key: (logits.argmax(-1) == target) for key, (logits, target) in parts.items()}
        hits["name"] = hits["name"][shown_N]
        return StageLoss(loss=loss, hits={key: _share(hit) for key, hit in hits.items()})

    def noun_loss(self, indices: Sequence[int], heads: PointingHeads, rng: random.Random) -> StageLoss:
        """The last token of a name says where it is, one layer before the language model's end."""
        rows, places, x_N, y_N = [], [], [], []
        for place, index in enumerate(indices):
            screen, row = self.screens[index], LessonRow()
            geometry = self._writer.geometry(screen.screenshot)
            row.read(self._writer.picture(self.pixels.num_image_tokens(index)))
            for element in _shuffled(pointable(screen.elements), rng):
                answer = self._writer.answer(element, geometry)
                row.read(answer.token_ids[: answer.num_name_tokens])
                places.append((place, len(row.token_ids) - 1))
                row.read(self._writer.line_end)
                x_N.append(heads.x_class_of[answer.x_token])
                y_N.append(heads.y_class_of[answer.y_token])
            rows.append(row)
        hidden_BTD = self._hidden(rows, indices, self._remembered(indices), before_last_layer=True)
        rows_N, columns_N = torch.tensor(places).T
        x_logits, y_logits = heads.point_logits(hidden_BTD[rows_N, columns_N])
        x_targets, y_targets = (torch.tensor(part, device=x_logits.device) for part in (x_N, y_N))
        loss = functional.cross_entropy(x_logits, x_targets) + functional.cross_entropy(y_logits, y_targets)
        x_hit, y_hit = x_logits.argmax(-1) == x_targets, y_logits.argmax(-1) == y_targets
        return StageLoss(
            loss=loss, hits={"x": _share(x_hit), "y": _share(y_hit), "both": _share(x_hit & y_hit)}
        )

    def lookup_loss(self, indices: Sequence[int], rng: random.Random, bare_share: float) -> StageLoss:
        """Answers over remembered features: some without the turns around them, which are shorter."""
        rows = [
            self._bare_row(index, rng) if rng.random() < bare_share else self._conversation(index, rng)
            for index in indices
        ]
        return self._written(rows, indices, self._remembered(indices))

    def answer_loss(self, indices: Sequence[int], rng: random.Random) -> StageLoss:
        """Answers in the agent's prompt format, the vision tower learning too."""
        rows = [self._with_button(self._conversation(index, rng), rng) for index in indices]
        return self._written(rows, indices, self.pixels.features(indices))

    def _bare_row(self, index: int, rng: random.Random) -> LessonRow:
        screen, row = self.screens[index], LessonRow()
        geometry = self._writer.geometry(screen.screenshot)
        row.read(self._writer.picture(self.pixels.num_image_tokens(index)))
        for element in _shuffled(pointable(screen.elements), rng):
            answer = self._writer.answer(element, geometry)
            row.read(answer.token_ids[: answer.num_name_tokens])
            row.write(answer.token_ids[answer.num_name_tokens :])
            row.read(self._writer.line_end)
        return row

    def _conversation(self, index: int, rng: random.Random) -> LessonRow:
        screen, row = self.screens[index], LessonRow()
        geometry = self._writer.geometry(screen.screenshot)
        asked = _shuffled(pointable(screen.elements), rng)[: self._config.questions_per_screen]
        for number, element in enumerate(asked):
            goal = self._writer.goal(element)
            if number == 0:
                num_image_tokens = self.pixels.num_image_tokens(index)
                row.read(self._writer.opening(goal, screen.screenshot, num_image_tokens))
            else:
                row.read(self._writer.follow_up(goal))
            row.write(self._writer.response(element, geometry))
        return row

    def _with_button(self, row: LessonRow, rng: random.Random) -> LessonRow:
        """The same conversation, and one more turn that presses a system button, if any is to be taught."""
        if self._config.buttons:
            button = rng.choice(self._config.buttons)
            row.read(self._writer.follow_up(self._config.button_goal.format(name=button.value)))
            row.write(self._writer.press(button))
        return row

    def _written(
        self, rows: Sequence[LessonRow], indices: Sequence[int], features: Sequence[ImageFeatures]
    ) -> StageLoss:
        batch = pad_rows(self._model, rows, [self.pixels.grids[index] for index in indices])
        hidden_BTD = self._hidden(rows, indices, features)
        targets_BT = batch.labels_BT[:, 1:]
        supervised_BT = targets_BT != IGNORED
        logits_NV = self._model.network.lm_head(hidden_BTD[:, :-1][supervised_BT]).float()
        targets_N = targets_BT[supervised_BT]
        loss = functional.cross_entropy(logits_NV, targets_N)
        return StageLoss(loss=loss, hits={"token": _share(logits_NV.argmax(-1) == targets_N)})

    def _hidden(
        self,
        rows: Sequence[LessonRow],
        indices: Sequence[int],
        features: Sequence[ImageFeatures],
        *,
        before_last_layer: bool = False,
    ) -> torch.Tensor:
        """Hidden states of the language model, shape (B, T, D)."""
        model = self._model
        batch = pad_rows(model, rows, [self.pixels.grids[index] for index in indices])
        keys = [str(place) for place in range(len(rows))]
        inputs = model.embed(
            batch.token_ids_BT, [(key,) for key in keys], dict(zip(keys, features, strict=True))
        )
        if not before_last_layer:
            return model.run_decoder(inputs, positions_3BT=batch.positions_3BT, attention_mask=None)
        output = model.network.model.language_model(
            **inputs,
            position_ids=batch.positions_3BT,
            attention_mask=None,
            use_cache=False,
            output_hidden_states=True,
        )
        return output.hidden_states[-2]

    def _remembered(self, indices: Sequence[int]) -> list[ImageFeatures]:
        assert self._features is not None, "remember_features comes first"
        return [self._features[index] for index in indices]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellLabels:
    """For each screen, one label per cell, row by row.

    Attributes:
        names: 0 for no element, else 1 + the index of its name.
        x: class of the column of the element's centre; meaningless where the name is 0.
        y: class of its row.
        name_weights: what an error costs by class of name. Half of all cells show nothing or one of a few
            icons; a name counts for more the rarer it is, in the square root.
    """

    names: tuple[torch.Tensor, ...]
    x: tuple[torch.Tensor, ...]
    y: tuple[torch.Tensor, ...]
    name_weights: torch.Tensor

    @classmethod
    def of(
        cls,
        pool: ScreenPool,
        names: Sequence[str],
        heads: PointingHeads,
        *,
        merge_size: int,
        min_cover: float,
    ) -> CellLabels:
        """Label every screen of a pool; a name that is not in `names` counts as nothing."""
        name_class = {name: 1 + index for index, name in enumerate(names)}
        found: tuple[list[torch.Tensor], ...] = ([], [], [])
        for screen, (_, height, width) in zip(pool.screens, pool.pixels.grids, strict=True):
            owners = cell_owners(
                screen.elements,
                width_px=screen.screenshot.width_px,
                height_px=screen.screenshot.height_px,
                rows=height // merge_size,
                columns=width // merge_size,
                min_cover=min_cover,
            )
            labels = [(0, 0, 0)]
            for element in screen.elements:
                x, y = element.box.center
                x = min(max(x, 0), len(heads.x_class) - 1)
                y = min(max(y, 0), len(heads.y_class) - 1)
                labels.append((name_class.get(element.name, 0), heads.x_class[x], heads.y_class[y]))
            table = torch.tensor(labels)[torch.from_numpy(owners.reshape(-1) - NOBODY)]
            for part, column in zip(found, table.T, strict=True):
                part.append(column)
        counts = torch.cat(found[0]).bincount(minlength=1 + len(names)).clamp(min=1)
        return cls(
            names=tuple(found[0]),
            x=tuple(found[1]),
            y=tuple(found[2]),
            name_weights=counts.float().rsqrt() * counts.float().mean().sqrt(),
        )


def _shuffled(items: Sequence[UiElement], rng: random.Random) -> list[UiElement]:
    return rng.sample(list(items), len(items))


def _share(hits: torch.Tensor) -> float:
    return float(hits.float().mean()) if hits.numel() else 0.0
