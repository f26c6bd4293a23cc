"""Music: plays, or does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devices.phone.apps.app import App
from devices.phone.state import AppData, Page, PhoneState
from devices.phone.view import Button, Hero, Text, Tone, View


@dataclass(frozen=True, slots=True, kw_only=True)
class MusicData:
    """The songs, which of them is chosen, and whether it plays."""

    songs: tuple[str, ...] = ("rain", "moon", "sun")
    song: int = 0
    playing: bool = False


MUSIC: Final = AppData("music", MusicData)


def _play(state: PhoneState) -> PhoneState:
    return MUSIC.change(state, playing=not MUSIC.get(state).playing)


def _next(state: PhoneState) -> PhoneState:
    data = MUSIC.get(state)
    return MUSIC.change(state, song=(data.song + 1) % len(data.songs))


def _view(state: PhoneState, page: Page) -> View:
    data = MUSIC.get(state)
    play = (
        Button(name="stop", icon="stop", tone=Tone.PRIMARY, tap=_play)
        if data.playing
        else Button(name="play", icon="play", tone=Tone.PRIMARY, tap=_play)
    )
    nodes = (Hero(name="music", icon="music"), Text(text=data.songs[data.song], large=True))
    return View(title="music", nodes=nodes, footer=(play, Button(name="next", icon="next", tap=_next)))


APP: Final = App(name="music", icon="music", color="purple", data=MusicData, view=_view)
