"""What goes over the wire between the HTTP policy and a server, in the words of OpenAI's chat completions.

Beyond the common fields:

- `return_token_ids`, `prompt_token_ids`, `token_ids`: as vLLM names them, the exact tokens.
- `sample_seeds`: one seed of sampling noise for each of the `n` samples (our server only). Without it,
  sample 0 draws from `seed` and sample i from a hash of (`seed`, i).
- `image_grids`, `policy_version`: in answers of our server.
- `token_id:123` stands for the text of a token in log-probabilities, as with vLLM's
  `return_tokens_as_token_ids`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from gui_agent.coordinates import ScreenGeometry
from gui_agent.observation import Screenshot
from gui_agent.policy import ImageBudget, ImagePart, Message, Part, Prompt, Role, SampleKey, TextPart

SEED_BITS: Final = 63


class Dialect(StrEnum):
    """What a server understands beyond the common fields."""

    AUTO = "auto"
    """Whatever the server says it is when its models are listed."""
    GUI_AGENT = "gui-agent"
    """`gui-agent serve`: everything above; equal keys give the tokens that the local policy gives."""
    VLLM = "vllm"
    """vLLM: token ids, `top_k` and the bounds of picture sizes; its own use of seeds."""
    OPENAI = "openai"
    """Any other: text only, so that it can be evaluated but not trained on."""


class RequestError(ValueError):
    """A request that cannot be answered as it stands; `param` names the field."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        """Say what is wrong with which field."""
        super().__init__(message)
        self.param = param


def messages_of(prompt: Prompt, image_budget: ImageBudget | None = None) -> list[dict[str, Any]]:
    """A prompt as chat messages, its pictures as data URIs.

    Args:
        prompt: the prompt.
        image_budget: send pictures at the size that this gives them, which a server of the same factor and
            no lower bound leaves as it is; None sends them as they were taken.

    Raises:
        ImageDecodeError: a picture that is to be resized is damaged.
    """
    return [
        {"role": message.role.value, "content": [_content_of(part, image_budget) for part in message.parts]}
        for message in prompt
    ]


def _content_of(part: Part, image_budget: ImageBudget | None) -> dict[str, Any]:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            sent = _resized(part.screenshot, image_budget) if image_budget else part.screenshot
            encoded = base64.b64encode(sent.data).decode("ascii")
            url = f"data:{sent.media_type};base64,{encoded}"
            return {"type": "image_url", "image_url": {"url": url}}


def _resized(screenshot: Screenshot, image_budget: ImageBudget) -> Screenshot:
    """With the very pixels that a local model of this budget is shown: Pillow's bicubic filter, lossless."""
    geometry = ScreenGeometry.of(screenshot.width_px, screenshot.height_px, image_budget)
    size = geometry.resized_width_px, geometry.resized_height_px
    return Screenshot.from_image(screenshot.image().resize(size))


def prompt_of(messages: Any) -> Prompt:
    """The prompt that chat messages stand for.

    Raises:
        RequestError: a message is malformed, or names a picture that is not a data URI.
        ImageDecodeError: a picture is damaged.
    """
    if not isinstance(messages, list) or not messages:
        raise RequestError("messages must be a list with at least one message", param="messages")
    return tuple(_message_of(message, f"messages[{i}]") for i, message in enumerate(messages))


def _message_of(message: Any, where: str) -> Message:
    if not isinstance(message, dict):
        raise RequestError(f"{where} must be an object with role and content", param=where)
    try:
        role = Role(str(message.get("role")))
    except ValueError:
        known = ", ".join(role.value for role in Role)
        raise RequestError(f"{where}.role is {message.get('role')!r}; known: {known}", param=where) from None
    content = message.get("content")
    if isinstance(content, str):
        return Message.of_text(role, content)
    if not isinstance(content, list):
        raise RequestError(f"{where}.content must be text or a list of parts", param=where)
    return Message(
        role=role, parts=tuple(_part_of(part, f"{where}.content[{i}]") for i, part in enumerate(content))
    )


def _part_of(part: Any, where: str) -> Part:
    match part:
        case {"type": "text", "text": str(text)}:
            return TextPart(text=text)
        case {"type": "image_url", "image_url": {"url": str(url)} | str(url)}:
            return ImagePart(screenshot=_screenshot_of(url, where))
    raise RequestError(
        f'{where} must be {{"type": "text", "text": ...}} or '
        '{"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}}',
        param=where,
    )


def _screenshot_of(url: str, where: str) -> Screenshot:
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:image/") or not head.endswith(";base64"):
        # Nothing is ever fetched on behalf of a request.
        raise RequestError(f"{where}: a picture must be a data URI in base64, got {url[:60]!r}", param=where)
    try:
        decoded = base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise RequestError(f"{where}: the picture's base64 is damaged ({error})", param=where) from error
    return Screenshot.from_bytes(decoded, origin=where)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SeededKey(SampleKey):
    """A key whose noise was chosen by the one who asked."""

    sample_seeds: tuple[int, ...]

    def noise_seed(self, sample: int) -> int:
        """The seed that came with the request for this sample."""
        return self.sample_seeds[sample]


def derived_seeds(seed: int, n: int) -> tuple[int, ...]:
    """Seeds of `n` samples of a request that names one: the first is `seed` itself, modulo 2**63."""
    first = seed % 2**SEED_BITS
    return (first, *(_derive(first, i) for i in range(1, n)))


def _derive(seed: int, sample: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{sample}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def logprob_contents(token_ids: Sequence[int], logprobs: Sequence[float]) -> list[dict[str, Any]]:
    """Log-probabilities in the form of chat completions, tokens named by their ids."""
    return [
        {"token": f"token_id:{token_id}", "logprob": logprob, "bytes": None, "top_logprobs": []}
        for token_id, logprob in zip(token_ids, logprobs, strict=True)
    ]
