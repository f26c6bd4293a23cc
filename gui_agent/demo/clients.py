"""The tabs that look on, and the one that decides.

Each tab has a short queue of events and one place for a frame: a newer frame takes the place of one that was
not sent yet, and no third is under way before the page has said that it has drawn the first. A tab that does
not take its events is sent away; it may come back and is told everything anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import count
from typing import Final

from gui_agent.demo.commands import Claim, Command, Release, Seen
from gui_agent.demo.events import ControlEvent, Event
from gui_agent.demo.frames import MAX_UNSEEN, Frame, encode_frame, is_large
from gui_agent.demo.protocol import ProtocolError, event_to_json
from gui_agent.demo.screen import ScreenFeed
from gui_agent.demo.session import DemoSession

_MOST_EVENTS: Final = 1000


class TooSlowError(Exception):
    """A tab has not taken its events."""


class Client:
    """One tab.

    Attributes:
        number: of this tab, from 1.
    """

    def __init__(self, number: int, encode: Callable[[Frame], bytes], story: Sequence[Event] = ()) -> None:
        """What has happened so far, however long it is, is under way."""
        self.number = number
        self._encode = encode
        self._events = deque(map(event_to_json, story))
        self._most_events = len(self._events) + _MOST_EVENTS
        self._unseen: deque[int] = deque()
        self._sent = 0
        self._wake = asyncio.Event()

    def put(self, event: Event) -> None:
        """Something to be sent; a tab that takes nothing is not kept more and more for."""
        if len(self._events) <= self._most_events:
            self._events.append(event_to_json(event))
        self._wake.set()

    def seen(self, number: int) -> None:
        """The page has drawn that frame, and with it all before."""
        while self._unseen and self._unseen[0] <= number:
            self._unseen.popleft()
        self._wake.set()

    def poke(self) -> None:
        """There is a newer frame."""
        self._wake.set()

    async def messages(self, feed: ScreenFeed) -> AsyncIterator[str | bytes]:
        """What is to be sent, events before frames, for ever.

        Raises:
            TooSlowError: the page takes nothing.
        """
        while True:
            if len(self._events) > self._most_events:
                raise TooSlowError
            if self._events:
                yield self._events.popleft()
            elif (frame := self._next_frame(feed)) is not None:
                self._sent = frame.number
                self._unseen.append(frame.number)
                if is_large(frame):
                    yield await asyncio.to_thread(self._encode, frame)
                else:
                    yield self._encode(frame)
            else:
                self._wake.clear()
                await self._wake.wait()

    def _next_frame(self, feed: ScreenFeed) -> Frame | None:
        newest = feed.newest
        if newest is None or newest.number <= self._sent or len(self._unseen) >= MAX_UNSEEN:
            return None
        return newest


class Clients:
    """All tabs of a session; at most one of them decides.

    Attributes:
        controller: number of the tab that decides, or None.
    """

    def __init__(self, session: DemoSession) -> None:
        """Hear the session; nobody is there yet, so that nobody can be asked."""
        self.session = session
        self.controller: int | None = None
        self._clients: dict[int, Client] = {}
        self._numbers = count(1)
        self._encoded: tuple[int, bytes] = (0, b"")
        session.desk.attended = False
        session.listen(self._spread)
        self._feeding = asyncio.ensure_future(self._feed())

    def join(self) -> Client:
        """A tab more: it is told how things are, and decides if it is the only one."""
        number = next(self._numbers)
        client = Client(number, self._encode, [self.session.hello(number), *self.session.story()])
        self._clients[client.number] = client
        if len(self._clients) == 1 and self.controller is None:
            self.controller = client.number
        self._tell_control()
        return client

    def leave(self, client: Client) -> None:
        """A tab less; if it was the one that decides, nobody does until one claims."""
        self._clients.pop(client.number, None)
        if self.controller == client.number:
            self.controller = None
        self._tell_control()

    async def handle(self, client: Client, command: Command) -> None:
        """Do what a tab asks for, if it may.

        Raises:
            ProtocolError: it may not, or it cannot be done now.
        """
        match command:
            case Seen(frame=number):
                client.seen(number)
            case Claim(force=force):
                if self.controller not in (None, client.number) and not force:
                    raise ProtocolError(
                        "another tab is in control; claim with force to take over", code="not_controller"
                    )
                self.controller = client.number
                self._tell_control()
            case Release():
                if self.controller == client.number:
                    self.controller = None
                    self._tell_control()
            case _:
                if self.controller != client.number:
                    raise ProtocolError("this tab only watches; claim control first", code="not_controller")
                await self.session.handle(command)

    async def close(self) -> None:
        """Hear no more."""
        self._feeding.cancel()
        await asyncio.gather(self._feeding, return_exceptions=True)

    def _spread(self, event: Event) -> None:
        for client in self._clients.values():
            client.put(event)

    def _tell_control(self) -> None:
        desk = self.session.desk
        desk.attended = self.controller is not None
        desk.touch()
        for client in self._clients.values():
            client.put(
                ControlEvent(
                    controller=self.controller,
                    you=client.number == self.controller,
                    watchers=len(self._clients) - (self.controller is not None),
                )
            )

    def _encode(self, frame: Frame) -> bytes:
        number, message = self._encoded
        if number != frame.number:
            message = encode_frame(frame)
            self._encoded = (frame.number, message)
        return message

    async def _feed(self) -> None:
        number = 0
        while True:
            number = (await self.session.feed.newer_than(number)).number
            for client in self._clients.values():
                client.poke()
