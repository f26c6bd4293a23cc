"""Questions and answers about labelled screens, as tokens.

An *opening* is the prompt of a first question, as the agent's own prompt format writes it; a
*follow-up* asks again about the same picture; an *answer* names the target and points at it. A
*sequence* joins them, with the tokens to learn marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch

from gui_agent.actions import Button, Click, SystemButton
from gui_agent.coordinates import ScreenGeometry
from gui_agent.errors import ConfigError
from gui_agent.formats.base import PromptFormat
from gui_agent.observation import Screenshot, UiElement
from gui_agent.policies.transformers_encoding import mrope_positions
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policy import Message, Role

IGNORED: Final = -100


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTokens:
    """An answer that points at an element.

    Attributes:
        token_ids: without the end of the turn.
        num_name_tokens: how many of them, from the first, spell the name.
        x_token: the token that is the horizontal coordinate.
        y_token: the token that is the vertical coordinate.
    """

    token_ids: tuple[int, ...]
    num_name_tokens: int
    x_token: int
    y_token: int


@dataclass(slots=True)
class LessonRow:
    """Tokens of one row, and which of them are to be learnt."""

    token_ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def read(self, token_ids: Sequence[int]) -> None:
        """Append what the model is given."""
        self.token_ids.extend(token_ids)
        self.labels.extend([IGNORED] * len(token_ids))

    def write(self, token_ids: Sequence[int]) -> None:
        """Append what the model is to write."""
        self.token_ids.extend(token_ids)
        self.labels.extend(token_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBatch:
    """Rows padded on the right to one length T."""

    token_ids_BT: torch.Tensor
    labels_BT: torch.Tensor
    positions_3BT: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opening:
    before_image: tuple[int, ...]
    after_image: tuple[int, ...]


class TurnWriter:
    """Writes questions and answers of one prompt format in the tokens of one model."""

    def __init__(
        self, model: VisionLanguageModel, prompt_format: PromptFormat, goal: str, example: Screenshot
    ) -> None:
        """Write goals as `goal` with `{name}` filled in; `example` stands for a screen that is not given."""
        self._model = model
        self._format = prompt_format
        self._goal = goal
        self._example = example
        self._openings: dict[tuple[str, int, int], _Opening] = {}
        self._follow_ups: dict[str, tuple[int, ...]] = {}
        self._answers: dict[tuple[str, int, int, ScreenGeometry], AnswerTokens] = {}
        self.line_end = self._tokens("\n")

    def goal(self, element: UiElement) -> str:
        """The goal of touching an element."""
        return self._goal.format(name=element.name)

    def geometry(self, screenshot: Screenshot) -> ScreenGeometry:
        """Sizes of a screen as shown and as the model sees it."""
        return ScreenGeometry.of(screenshot.width_px, screenshot.height_px, self._model.images.budget)

    def opening(self, goal: str, screenshot: Screenshot, num_image_tokens: int) -> list[int]:
        """Everything up to the first answer; a format may state the size of the screen in it."""
        parts = self._opening(goal, screenshot)
        image = [self._model.image_token_id] * num_image_tokens
        return [*parts.before_image, *image, *parts.after_image]

    def picture(self, num_image_tokens: int) -> list[int]:
        """The opening as far as the end of the picture."""
        parts = self._opening("", self._example)
        return [*parts.before_image, *[self._model.image_token_id] * num_image_tokens, parts.after_image[0]]

    def follow_up(self, goal: str) -> tuple[int, ...]:
        """A further question about the same picture, from the end of the last answer on."""
        if goal not in self._follow_ups:
            text = self._format.prompt(goal, (), self._example)[-1].text
            said = (Message.of_text(Role.USER, "a"), Message.of_text(Role.ASSISTANT, "b"))
            known = len(self._model.prompts.encode(said[:1]).token_ids)
            known += len(self._model.prompts.encode_completion("b"))
            whole = self._model.prompts.encode((*said, Message.of_text(Role.USER, text)))
            self._follow_ups[goal] = whole.token_ids[known:]
        return self._follow_ups[goal]

    def answer(self, element: UiElement, geometry: ScreenGeometry) -> AnswerTokens:
        """Name the element and click its centre.

        Raises:
            ConfigError: the format does not begin with the name, or a coordinate is not one token.
        """
        x, y = element.box.center
        key = (element.name, x, y, geometry)
        if key not in self._answers:
            self._answers[key] = self._answer(element.name, x, y, geometry)
        return self._answers[key]

    def response(self, element: UiElement, geometry: ScreenGeometry) -> tuple[int, ...]:
        """The whole answer with its end of turn, in any prompt format."""
        x, y = element.box.center
        text = self._format.render(Click(x=x, y=y), element.name, geometry)
        return self._model.prompts.encode_completion(text)

    def press(self, button: Button) -> tuple[int, ...]:
        """The whole response that presses a system button and says which."""
        text = self._format.render(SystemButton(button=button), button.value, self.geometry(self._example))
        return self._model.prompts.encode_completion(text)

    def name_tokens(self, name: str) -> tuple[int, ...]:
        """A name as it stands at the beginning of an answer."""
        return self._tokens(name)

    def coordinate_tokens(self, geometry: ScreenGeometry) -> CoordinateTokens:
        """The tokens for every column and row of pixels of a screen."""
        first = [self._answer("", x, 0, geometry).x_token for x in range(geometry.width_px)]
        second = [self._answer("", 0, y, geometry).y_token for y in range(geometry.height_px)]
        return CoordinateTokens(x_tokens=tuple(first), y_tokens=tuple(second))

    def _tokens(self, text: str) -> tuple[int, ...]:
        return self._model.prompts.encode_completion(text)[:-1] if text else ()

    def _answer(self, name: str, x: int, y: int, geometry: ScreenGeometry) -> AnswerTokens:
        text = self._format.render(Click(x=x, y=y), name or None, geometry)
        tokens = self._tokens(text)
        name_tokens = self._tokens(name)
        command = tokens[len(name_tokens) :]
        numbers = [token for token in command if self._model.prompts.decode((token,)).strip().isdigit()]
        if len(numbers) != 2 or tokens[: len(name_tokens)] != name_tokens:
            raise ConfigError(
                "dense grounding needs answers that begin with the name and hold one token per coordinate, "
                f"but format {self._format.name!r} writes {text!r}, read as {len(tokens)} tokens; "
                "use the compact format and a tiny model with its vocabulary, or set dense to none"
            )
        return AnswerTokens(
            token_ids=tokens, num_name_tokens=len(name_tokens), x_token=numbers[0], y_token=numbers[1]
        )

    def _opening(self, goal: str, screenshot: Screenshot) -> _Opening:
        key = (goal, screenshot.width_px, screenshot.height_px)
        if key not in self._openings:
            whole = self._model.prompts.encode(self._format.prompt(goal, (), screenshot)).token_ids
            image = [i for i, token in enumerate(whole) if token == self._model.image_token_id]
            if not image:
                raise ConfigError(f"prompt format {self._format.name!r} puts no picture into its prompt")
            self._openings[key] = _Opening(before_image=whole[: image[0]], after_image=whole[image[-1] + 1 :])
        return self._openings[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinateTokens:
    """Which token is written for each column and for each row of pixels."""

    x_tokens: tuple[int, ...]
    y_tokens: tuple[int, ...]


def pad_rows(
    model: VisionLanguageModel, rows: Sequence[LessonRow], grids: Sequence[tuple[int, int, int]]
) -> TokenBatch:
    """Rows of one picture each, side by side.

    Args:
        model: for its padding token and positions.
        rows: B rows.
        grids: the grid of each row's picture, in patches.
    """
    length = max(len(row.token_ids) for row in rows)
    token_ids_BT = torch.full((len(rows), length), model.pad_token_id, dtype=torch.long)
    labels_BT = torch.full((len(rows), length), IGNORED, dtype=torch.long)
    positions_3BT = np.zeros((3, len(rows), length), dtype=np.int64)
    for index, (row, grid) in enumerate(zip(rows, grids, strict=True)):
        count = len(row.token_ids)
        token_ids_BT[index, :count] = torch.tensor(row.token_ids)
        labels_BT[index, :count] = torch.tensor(row.labels)
        positions_3BT[:, index, :count] = mrope_positions(
            tuple(row.token_ids), (grid,), image_token_id=model.image_token_id, merge_size=model.merge_size
        )
    return TokenBatch(
        token_ids_BT=token_ids_BT.to(model.device),
        labels_BT=labels_BT.to(model.device),
        positions_3BT=torch.from_numpy(positions_3BT).to(model.device),
    )
