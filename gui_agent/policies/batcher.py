"""Gathers requests of many coroutines into few calls of a model.

A deterministic batcher waits until every participant (a running episode) waits for an answer, then
serves all requests in the order of their keys: what is computed together depends on nothing but the
episodes. An eager batcher serves whatever waits when the model is free, so that a slow device holds up
nobody; but where others are expected to ask so soon that waiting for them pays, it waits, half the time of a
call at most (see `gui_agent.policies.patience`). It waits for nobody where all have asked, where nobody takes
part, or for a device that is late.

A participant says when it comes and goes. A guest, an episode behind a served model, is known by the name in
its requests: eager batchers expect it as they do a participant, until it is late; no batch of a deterministic
one waits for it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from gui_agent.errors import ConfigError
from gui_agent.policies.patience import best_wait_s, expected_in_s


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

_NUM_PAUSES: Final = 32
_PATIENCE: Final = 0.5
"""In calls of the model: an eager batch waits no longer, whoever is expected."""
_SHORTEST_S: Final = 0.001
"""Who is expected sooner is given that long."""
_NUM_GUESTS: Final = 256
"""More are not expected: those who asked longest ago are forgotten."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Participant:
    """A running episode.

    Attributes:
        since_s: when it began, or got its last answer, by the clock of the event loop.
        num_waiting: how many of its requests wait for an answer.
        has_asked: it has asked before.
    """

    since_s: float
    num_waiting: int = 0
    has_asked: bool = False


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
        self._guests: OrderedDict[str, _Participant] = OrderedDict()
        self._current: ContextVar[_Participant | None] = ContextVar("current_participant", default=None)
        self._listeners: list[Callable[[], None]] = []
        self._pauses_s: deque[float] = deque(maxlen=_NUM_PAUSES)

    @asynccontextmanager
    async def participant(self) -> AsyncIterator[None]:
        """While this is open, lock-step batches wait for a request of the one who opened it.

        Open it around an episode, in the task that runs it; tasks started inside belong to it.
        """
        participant = _Participant(since_s=_now_s())
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

    def expected_s(self) -> list[float]:
        """Seconds until those are expected to ask who take part, guests too, do not wait and are not late."""
        now_s, pauses_s = _now_s(), sorted(self._pauses_s)
        absent = (one for one in (*self._participants, *self._guests.values()) if one.num_waiting == 0)
        found = (expected_in_s(pauses_s, now_s - one.since_s) for one in absent)
        return [expected for expected in found if expected is not None]

    @contextmanager
    def waiting(self, guest: str = "") -> Iterator[None]:
        """While this is open, the current participant, else the guest of that name, waits for an answer."""
        participant = self._current.get() or self._guest(guest)
        if participant.has_asked and participant.num_waiting == 0:
            self._pauses_s.append(_now_s() - participant.since_s)
        participant.has_asked = True
        participant.num_waiting += 1
        self._notify()
        try:
            yield
        finally:
            participant.num_waiting -= 1
            participant.since_s = _now_s()

    def _guest(self, name: str) -> _Participant:
        guest = self._guests.pop(name, None) or _Participant(since_s=_now_s())
        if name:
            self._guests[name] = guest
        if len(self._guests) > _NUM_GUESTS:
            self._guests.popitem(last=False)
        return guest

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
            deterministic: flush in lock-step instead of when the model is free and nobody else is expected
                soon.
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
        self._changed = asyncio.Event()
        self._call_s = 0.0
        self.num_batches = 0
        self.num_requests = 0

    async def submit(self, request: RequestT, *, guest: str = "") -> ResultT:
        """Wait for a turn and return the answer; errors of the model are raised here.

        Args:
            request: of the current participant, if there is one.
            guest: who asks else; empty is somebody of whom no further request is expected.
        """
        waiting: _Waiting[RequestT, ResultT] = _Waiting(
            request=request, answer=asyncio.get_running_loop().create_future()
        )
        self._waiting.append(waiting)
        try:
            with self.lock_step.waiting(guest):
                return await waiting.answer
        finally:
            if waiting in self._waiting:  # cancelled before it was served
                self._waiting.remove(waiting)

    def _wake(self) -> None:
        self._changed.set()
        if self._waiting and (self._worker is None or self._worker.done()):
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while True:
            await _let_others_speak()
            if not self._deterministic:
                await self._gather()
            if not self._waiting or not self._may_flush():
                return
            batches = self._take()
            for batch in batches:
                await self._answer(batch)

    def _may_flush(self) -> bool:
        return not self._deterministic or self.lock_step.all_wait()

    async def _gather(self) -> None:
        """Wait for those who are expected soon."""
        last_s = _now_s() + _PATIENCE * self._call_s
        while (wait_s := self._wait_s(last_s - _now_s())) > 0:
            self._changed = asyncio.Event()  # a new one, since a policy may outlive an event loop
            with suppress(TimeoutError):
                async with asyncio.timeout(max(wait_s, _SHORTEST_S)):
                    await self._changed.wait()
            await _let_others_speak()

    def _wait_s(self, limit_s: float) -> float:
        num_rows = sum(waiting.request.num_rows for waiting in self._waiting)
        if not 0 < num_rows < self._max_rows:
            return 0.0
        expected_s = self.lock_step.expected_s()
        return best_wait_s(len(self._waiting), expected_s, call_s=self._call_s, limit_s=limit_s)

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
        began_s = _now_s()
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
        self._call_s = _now_s() - began_s
        self.num_batches += 1
        self.num_requests += len(batch)
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(result)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


async def _let_others_speak() -> None:
    """A participant may send several requests at once: let tasks that are ready speak first."""
    for _ in range(3):
        await asyncio.sleep(0)


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
