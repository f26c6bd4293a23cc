"""Gathers requests of many coroutines into few calls of a model.

A deterministic batcher waits until every participant (a running episode) waits for an answer, then
serves all requests in the order of their keys: what is computed together depends on nothing but the
episodes. An eager batcher serves whatever waits as soon as the model is free, so that a slow device
holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from gui_agent.errors import ConfigError


class KeyedRequest(Protocol):
    """A request with a size and a place in the order of service."""

    @property
    def num_rows(self) -> int:
        """Rows of a batch that it takes."""
        ...

    @property
    def order(self) -> object:
        """Requests are served in ascending order of this, which must be comparable."""
        ...


RequestT = TypeVar("RequestT", bound=KeyedRequest)
ResultT = TypeVar("ResultT")


@dataclass(slots=True, kw_only=True, eq=False)
class _Participant:
    """A running episode; how many of its requests wait for an answer."""

    num_waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Waiting(Generic[RequestT, ResultT]):
    request: RequestT
    answer: asyncio.Future[ResultT]


class LockStep:
    """The running episodes that deterministic batchers wait for.

    Batchers of several policies (a planner's and an actor's) share one: an episode that waits for any of
    them waits, and when all do, every one of them serves what it has.
    """

    def __init__(self) -> None:
        """Start without participants."""
        self._participants: set[_Participant] = set()
        self._current: ContextVar[_Participant | None] = ContextVar("current_participant", default=None)
        self._listeners: list[Callable[[], None]] = []

    @asynccontextmanager
    async def participant(self) -> AsyncIterator[None]:
        """While this is open, lock-step batches wait for a request of the one who opened it.

        Open it around an episode, in the task that runs it; tasks started inside belong to it.
        """
        participant = _Participant()
        self._participants.add(participant)
        token = self._current.set(participant)
        try:
            yield
        finally:
            self._current.reset(token)
            self._participants.discard(participant)
            self._notify()

    def all_wait(self) -> bool:
        """Whether every participant waits for an answer; true if there is none."""
        return all(participant.num_waiting > 0 for participant in self._participants)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While this is open, the current participant waits for one more answer."""
        participant = self._current.get() or _Participant()
        participant.num_waiting += 1
        self._notify()
        try:
            yield
        finally:
            participant.num_waiting -= 1

    def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever `all_wait` may have become true."""
        self._listeners.append(wake)

    def _notify(self) -> None:
        for wake in self._listeners:
            wake()


class Batcher(Generic[RequestT, ResultT]):
    """Serves requests in batches, one batch at a time.

    Attributes:
        num_batches: calls of the model so far.
        num_requests: requests served so far.
    """

    def __init__(
        self,
        serve: Callable[[Sequence[RequestT]], Awaitable[Sequence[ResultT]]],
        *,
        deterministic: bool,
        max_rows: int,
        lock_step: LockStep | None = None,
    ) -> None:
        """Serve with `serve`, which answers requests in order.

        Args:
            serve: computes one batch.
            deterministic: flush in lock-step instead of whenever the model is free.
            max_rows: bound on the rows of a batch; a single larger request still goes alone.
            lock_step: share it between the batchers that the same episodes ask.

        Raises:
            ConfigError: `max_rows` is not positive.
        """
        if max_rows < 1:
            raise ConfigError(f"max_rows is {max_rows}; a batch needs at least 1 row")
        self._serve = serve
        self._deterministic = deterministic
        self._max_rows = max_rows
        self.lock_step = lock_step or LockStep()
        self.lock_step.listen(self._wake)
        self._waiting: list[_Waiting[RequestT, ResultT]] = []
        self._worker: asyncio.Task[None] | None = None
        self.num_batches = 0
        self.num_requests = 0

    async def submit(self, request: RequestT) -> ResultT:
        """Wait for a turn and return the answer; errors of the model are raised here."""
        waiting: _Waiting[RequestT, ResultT] = _Waiting(
            request=request, answer=asyncio.get_running_loop().create_future()
        )
        self._waiting.append(waiting)
        try:
            with self.lock_step.waiting():
                return await waiting.answer
        finally:
            if waiting in self._waiting:  # cancelled before it was served
                self._waiting.remove(waiting)

    def _wake(self) -> None:
        if self._waiting and (self._worker is None or self._worker.done()):
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while True:
            # A participant may send several requests at once: let tasks that are ready speak first.
            for _ in range(3):
                await asyncio.sleep(0)
            if not self._waiting or not self._may_flush():
                return
            batches = self._take()
            for batch in batches:
                await self._answer(batch)

    def _may_flush(self) -> bool:
        return not self._deterministic or self.lock_step.all_wait()

    def _take(self) -> list[list[_Waiting[RequestT, ResultT]]]:
        """The next batches: all that waits in lock-step, else one batch of those who came first."""
        if not self._deterministic:
            batch = _split(self._waiting, self._max_rows)[0]
            self._waiting = self._waiting[len(batch) :]
            return [batch]
        ordered = sorted(self._waiting, key=lambda waiting: waiting.request.order)  # type: ignore[arg-type, return-value]
        self._waiting = []
        return _split(ordered, self._max_rows)

    async def _answer(self, batch: list[_Waiting[RequestT, ResultT]]) -> None:
        batch = [waiting for waiting in batch if not waiting.answer.done()]
        if not batch:
            return
        try:
            results = await self._serve([waiting.request for waiting in batch])
        except BaseException as error:  # passed on to those who asked, whatever it is
            for waiting in batch:
                if not waiting.answer.done():
                    if isinstance(error, Exception):
                        waiting.answer.set_exception(error)
                    else:
                        waiting.answer.cancel()
            if not isinstance(error, Exception):
                raise
            return
        self.num_batches += 1
        self.num_requests += len(batch)
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(result)


def _split(
    waiting: Sequence[_Waiting[RequestT, ResultT]], max_rows: int
) -> list[list[_Waiting[RequestT, ResultT]]]:
    batches: list[list[_Waiting[RequestT, ResultT]]] = []
    room = 0
    for item in waiting:
        if not batches or item.request.num_rows > room:
            batches.append([])
            room = max_rows
        batches[-1].append(item)
        room -= item.request.num_rows
    return batches
