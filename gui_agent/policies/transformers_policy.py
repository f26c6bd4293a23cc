"""The local policy: a Qwen-VL model in this process, asked by many coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeVar

from gui_agent.errors import GuiAgentError, PolicyError
from gui_agent.policies.batcher import Batcher, LockStep
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_sampling import SampledTokens, SamplingRow, sample_rows
from gui_agent.policy import Completion, ImageBudget, Prompt, SampleKey, SamplingParams

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRequest:
    """One call of `Policy.sample`."""

    prompt: Prompt
    n: int
    params: SamplingParams
    key: SampleKey

    @property
    def num_rows(self) -> int:
        """Rows of a batch that it takes."""
        return self.n

    @property
    def order(self) -> SampleKey:
        """Requests are served by key."""
        return self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyCounters:
    """What a policy has done so far.

    Attributes:
        images_prompted: pictures in all prompts, repeats included.
        images_unique: distinct pictures among them.
        images_decoded: screenshots decoded and cut into patches.
        images_encoded: passes of one picture through the vision tower, training included.
        images_dropped: pictures lost on the way; always 0, a loss raises `ImageTokenError`.
        structural_tokens_escaped: special tokens spelled out in text and taken apart.
        num_batches: calls of the decode loop.
        num_completions: completions returned.
    """

    images_prompted: int
    images_unique: int
    images_decoded: int
    images_encoded: int
    images_dropped: int
    structural_tokens_escaped: int
    num_batches: int
    num_completions: int


class TransformersPolicy:
    """Samples from a model that a learner in this process may share and update.

    All work on the model runs in one thread; a learner uses the same one by `run`, so that an update
    never meets a forward pass.
    """

    def __init__(
        self,
        model: VisionLanguageModel,
        *,
        deterministic: bool = True,
        max_batch_rows: int = 256,
        version: int = 0,
        adapter_of_role: Mapping[str, str] | None = None,
        lock_step: LockStep | None = None,
    ) -> None:
        """Sample from `model`.

        Args:
            model: from `load_model`.
            deterministic: batch in lock-step, see `Batcher`.
            max_batch_rows: bound on rows computed at once.
            version: updates made so far, when a run is resumed.
            adapter_of_role: name of the adapter that speaks for a role of `SampleKey`; roles without
                one use whatever is active.
            lock_step: shared between the policies that the same episodes ask.
        """
        self.model = model
        self._version = version
        self._adapter_of_role = dict(adapter_of_role or {})
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="torch")
        self._batcher = Batcher[SampleRequest, Sequence[Completion]](
            self._serve, deterministic=deterministic, max_rows=max_batch_rows, lock_step=lock_step
        )
        self._num_completions = 0

    @property
    def version(self) -> int:
        """Number of weight updates so far."""
        return self._version

    @property
    def image_budget(self) -> ImageBudget:
        """How screenshots are resized."""
        return self.model.images.budget

    @property
    def counters(self) -> PolicyCounters:
        """What was done so far."""
        return PolicyCounters(
            images_prompted=self.model.prompts.num_images,
            images_unique=len(self.model.prompts.seen_images),
            images_decoded=self.model.images.num_decoded,
            images_encoded=self.model.num_images_encoded,
            images_dropped=0,
            structural_tokens_escaped=self.model.prompts.num_escaped,
            num_batches=self._batcher.num_batches,
            num_completions=self._num_completions,
        )

    def bump_version(self) -> int:
        """Say that the weights were updated, and return the new version."""
        self._version += 1
        self.model.weights_changed()
        return self._version

    def participant(self) -> AbstractAsyncContextManager[None]:
        """Open around an episode, so that deterministic batches wait for it; see `LockStep`."""
        return self._batcher.lock_step.participant()

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        """Draw `n` continuations of one prompt; sample i depends on `key.noise_seed(i)` only.

        Raises:
            PolicyError: the model failed; `ImageTokenError` if a picture would have been lost.
        """
        if n < 1:
            raise ValueError(f"n is {n}; ask for at least 1 sample")
        request = SampleRequest(prompt=prompt, n=n, params=params, key=key)
        return await self._batcher.submit(request, guest=key.episode)

    async def run(self, work: Callable[[], ResultT]) -> ResultT:
        """Run a function in the thread of the model, such as an update of its weights."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """End the thread; the policy cannot be used afterwards."""
        self._thread.shutdown(wait=True)

    async def _serve(self, requests: Sequence[SampleRequest]) -> Sequence[Sequence[Completion]]:
        return await self.run(lambda: self.sample_batch(requests))

    def sample_batch(self, requests: Sequence[SampleRequest]) -> list[tuple[Completion, ...]]:
        """Answer several requests in the calling thread, in order.

        Raises:
            PolicyError: the model failed.
        """
        try:
            answers: dict[int, tuple[Completion, ...]] = {}
            for adapter, indices in self._by_adapter(requests).items():
                if adapter is not None:
                    self.model.use_adapter(adapter)
                completions = self._complete([requests[i] for i in indices])
                answers.update(zip(indices, completions, strict=True))
        except RuntimeError as error:
            if isinstance(error, GuiAgentError):
                raise
            raise PolicyError(f"sampling {len(requests)} requests failed: {error}") from error
        return [answers[i] for i in range(len(requests))]

    def _by_adapter(self, requests: Sequence[SampleRequest]) -> dict[str | None, list[int]]:
        groups: dict[str | None, list[int]] = {}
        for i, request in enumerate(requests):
            groups.setdefault(self._adapter_of_role.get(request.key.role), []).append(i)
        return groups

    def _complete(self, requests: Sequence[SampleRequest]) -> list[tuple[Completion, ...]]:
        rows = [
            SamplingRow(prompt=prompt, params=request.params, noise_seed=request.key.noise_seed(sample))
            for request in requests
            for prompt in [self.model.prompts.encode(request.prompt)]
            for sample in range(request.n)
        ]
        sampled = iter(zip(rows, sample_rows(self.model, rows), strict=True))
        return [tuple(self._completion(*next(sampled)) for _ in range(request.n)) for request in requests]

    def _completion(self, row: SamplingRow, sampled: SampledTokens) -> Completion:
        self._num_completions += 1
        token_ids = tuple(sampled.token_ids)
        return Completion(
            prompt_token_ids=row.prompt.token_ids,
            image_grids=row.prompt.image_grids,
            token_ids=token_ids,
            logprobs=tuple(sampled.logprobs),
            text=self.model.prompts.decode(token_ids),
            finish_reason=sampled.finish_reason,
            policy_version=self._version,
        )
