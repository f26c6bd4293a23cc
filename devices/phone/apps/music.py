"""Music: a list of songs and the one that plays; a simple phone has the player alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devices.phone.apps.app import App
from devices.phone.state import AppData, Page, PhoneState, push
from devices.phone.view import Button, Effect, Hero, Row, Text, Tone, View


@dataclass(frozen=True, slots=True, kw_only=True)
class MusicData:
    """The songs, which of them is chosen, whether it plays, and which are liked."""

    songs: tuple[str, ...] = ("rain", "moon", "sun")
    song: int = 0
    playing: bool = False
    liked: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The chosen song."""
        return self.songs[self.song]


MUSIC: Final = AppData("music", MusicData)


def _play(state: PhoneState) -> PhoneState:
    return MUSIC.change(state, playing=not MUSIC.get(state).playing)


def _next(state: PhoneState) -> PhoneState:
    data = MUSIC.get(state)
    return MUSIC.change(state, song=(data.song + 1) % len(data.songs))


def _like(state: PhoneState) -> PhoneState:
    data = MUSIC.get(state)
    rest = tuple(title for title in data.liked if title != data.title)
    liked = rest if data.title in data.liked else tuple(sorted((*rest, data.title)))
    return MUSIC.change(state, liked=liked)


def _start(index: int) -> Effect:
    return lambda state: push(MUSIC.change(state, song=index, playing=True), Page(app="music", name="player"))


def _player(state: PhoneState) -> View:
    data = MUSIC.get(state)
    play = (
        Button(name="stop", icon="stop", tone=Tone.PRIMARY, tap=_play)
        if data.playing
        else Button(name="play", icon="play", tone=Tone.PRIMARY, tap=_play)
    )
    nodes = (Hero(name="music", icon="music"), Text(text=data.title, large=True))
    following = Button(name="next", icon="next", tap=_next)
    if state.simple:
        return View(title="music", nodes=nodes, footer=(play, following))
    like = Row(name="like", icon="star", switch=data.title in data.liked, tap=_like)
    return View(title="player", nodes=(*nodes, like), footer=(play, following))


def _view(state: PhoneState, page: Page) -> View:
    if state.simple or page.name == "player":
        return _player(state)
    songs = MUSIC.get(state).songs
    rows = tuple(Row(name=title, icon="music", tap=_start(index)) for index, title in enumerate(songs))
    return View(title="music", nodes=rows)


APP: Final = App(name="music", icon="music", color="purple", data=MusicData, view=_view)
