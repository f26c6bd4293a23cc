"""From a `Prompt` to the exact token ids a Qwen-VL model reads, and their M-RoPE positions.

The chat template is the checkpoint's own. What is added here is speed and safety: text is tokenised
once per message and remembered (special tokens are boundaries which the tokenizer never merges
across, so the pieces join to the same ids), placeholders are expanded to one token per image feature
and counted, and text that spells a structural token is taken apart so that no goal, screen text or
earlier answer can fake a picture or a turn.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gui_agent.errors import ConfigError, ImageTokenError
from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_images import ImageEncoder
from gui_agent.policy import ImagePart, Prompt, TextPart

END_OF_TURN: Final = "<|im_end|>"
IMAGE_PLACEHOLDER: Final = "<|image_pad|>"
_STRUCTURAL_TOKENS: Final = (
    "<|endoftext|>",
    "<|im_start|>",
    END_OF_TURN,
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    IMAGE_PLACEHOLDER,
    "<|video_pad|>",
)
_STRUCTURAL: Final = re.compile("|".join(re.escape(token) for token in _STRUCTURAL_TOKENS))
_BEFORE_MESSAGE: Final = re.compile(r"(?=<\|im_start\|>)")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPrompt:
    """A prompt as the model reads it.

    Attributes:
        token_ids: placeholders expanded, generation prompt included, no padding.
        screenshots: the pictures in the order in which they are read.
        image_grids: for each picture (time, height, width) in patches.
    """

    token_ids: tuple[int, ...]
    screenshots: tuple[Screenshot, ...]
    image_grids: tuple[tuple[int, int, int], ...]

    @property
    def image_sha256s(self) -> tuple[str, ...]:
        """Names of the pictures in the order in which they are read."""
        return tuple(screenshot.sha256 for screenshot in self.screenshots)


class PromptEncoder:
    """Encodes prompts with a checkpoint's processor.

    Attributes:
        num_images: pictures put into prompts so far, repeats included.
        seen_images: sha256 of the distinct ones among them.
        num_escaped: structural tokens found spelled out in text, and taken apart.
    """

    def __init__(self, processor: Any, images: ImageEncoder, *, cache_size: int = 16384) -> None:
        """Encode with `processor`; remember the tokens of up to `cache_size` pieces of text."""
        self._processor = processor
        self._tokenizer = processor.tokenizer
        self._images = images
        self._cache_size = cache_size
        self._pieces: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self.image_token_id = int(self._tokenizer.convert_tokens_to_ids(IMAGE_PLACEHOLDER))
        self.end_token_id = _end_of_turn_id(self._tokenizer)
        self.num_images = 0
        self.seen_images: set[str] = set()
        self.num_escaped = 0

    def encode(self, prompt: Prompt) -> EncodedPrompt:
        """The tokens of a prompt, ready for the model's answer.

        Raises:
            ImageTokenError: the chat template left out or added a picture.
            ImageDecodeError: a screenshot is damaged.
        """
        screenshots = tuple(
            part.screenshot for message in prompt for part in message.parts if isinstance(part, ImagePart)
        )
        images = [self._images.encode(screenshot) for screenshot in screenshots]
        token_ids: list[int] = []
        expected = iter(images)
        num_placeholders = 0
        for token in self._tokenise(self._render(prompt)):
            if token != self.image_token_id:
                token_ids.append(token)
                continue
            num_placeholders += 1
            if (image := next(expected, None)) is not None:
                token_ids.extend([token] * image.num_tokens)
        if num_placeholders != len(images):
            raise ImageTokenError(
                f"the prompt has {len(images)} pictures but its chat template wrote {num_placeholders} "
                f"placeholders; use the chat template of a Qwen-VL checkpoint"
            )
        self.num_images += len(images)
        self.seen_images.update(image.sha256 for image in images)
        return EncodedPrompt(
            token_ids=tuple(token_ids),
            screenshots=screenshots,
            image_grids=tuple(image.grid for image in images),
        )

    def encode_completion(self, text: str) -> tuple[int, ...]:
        """The tokens of an answer written by somebody else, end of turn included (for imitation)."""
        return (*self._tokenise(self._escape(text)), self.end_token_id)

    def decode(self, token_ids: tuple[int, ...]) -> str:
        """The text of sampled tokens, without special tokens."""
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=True))

    def _render(self, prompt: Prompt) -> str:
        conversation = [
            {
                "role": message.role.value,
                "content": [
                    {"type": "text", "text": self._escape(part.text)}
                    if isinstance(part, TextPart)
                    else {"type": "image"}
                    for part in message.parts
                ],
            }
            for message in prompt
        ]
        return str(
            self._processor.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        )

    def _escape(self, text: str) -> str:
        if "<|" not in text:
            return text
        escaped, count = _STRUCTURAL.subn(lambda token: "< " + token.group()[1:], text)
        self.num_escaped += count
        return escaped

    def _tokenise(self, text: str) -> list[int]:
        token_ids: list[int] = []
        for piece in _BEFORE_MESSAGE.split(text):
            if piece:
                token_ids.extend(self._tokenise_piece(piece))
        return token_ids

    def _tokenise_piece(self, piece: str) -> tuple[int, ...]:
        known = self._pieces.get(piece)
        if known is None:
            known = tuple(self._tokenizer.encode(piece, add_special_tokens=False))
            self._pieces[piece] = known
            if len(self._pieces) > self._cache_size:
                self._pieces.popitem(last=False)
        else:
            self._pieces.move_to_end(piece)
        return known


def _end_of_turn_id(tokenizer: Any) -> int:
    end = tokenizer.get_vocab().get(END_OF_TURN, tokenizer.eos_token_id)
    if end is None:
        raise ConfigError(f"the tokenizer has neither {END_OF_TURN} nor an eos token; completions cannot end")
    return int(end)


def image_runs(token_ids: npt.NDArray[np.int64], image_token_id: int) -> npt.NDArray[np.int64]:
    """Start and end of each run of placeholders, shape (number of runs, 2)."""
    is_image = (token_ids == image_token_id).astype(np.int8)
    return np.flatnonzero(np.diff(is_image, prepend=np.int8(0), append=np.int8(0))).reshape(-1, 2)


def mrope_positions(
    token_ids: tuple[int, ...],
    image_grids: tuple[tuple[int, int, int], ...],
    *,
    image_token_id: int,
    merge_size: int = 2,
) -> npt.NDArray[np.int64]:
    """Temporal, vertical and horizontal position of each token, shape (3, T).

    Text counts up on all three axes. A picture spreads over a grid that starts where the text stopped,
    and the text after it goes on behind the longer side of the grid.

    Raises:
        ImageTokenError: a run of placeholders is not as long as its picture has features.

    Source: Qwen2-VL, arXiv:2409.12191, section 2.1 (M-RoPE).
    """
    ids = np.asarray(token_ids, dtype=np.int64)
    runs = image_runs(ids, image_token_id)
    if len(runs) != len(image_grids):
        raise ImageTokenError(
            f"{len(runs)} runs of image placeholders in the prompt, but {len(image_grids)} pictures; "
            "the row was truncated or its pictures were lost, drop it"
        )
    positions = np.empty((3, len(ids)), dtype=np.int64)
    cursor, next_position = 0, 0
    for (start, end), (time, height, width) in zip(runs, image_grids, strict=True):
        rows, columns = height // merge_size, width // merge_size
        if end - start != time * rows * columns:
            raise ImageTokenError(
                f"{end - start} image placeholders at token {start}, but its picture has "
                f"{time * rows * columns} features; the row was truncated inside a picture, drop it"
            )
        positions[:, cursor:start] = np.arange(next_position, next_position + start - cursor)
        next_position += int(start) - cursor
        positions[:, start:end] = np.indices((time, rows, columns)).reshape(3, -1) + next_position
        next_position += max(rows, columns)
        cursor = int(end)
    positions[:, cursor:] = np.arange(next_position, next_position + len(ids) - cursor)
    return positions
