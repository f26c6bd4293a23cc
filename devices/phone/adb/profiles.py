"""How long a phone takes for things; a benchmark on a phone without delays would flatter its driver."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Final

from gui_agent.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayProfile:
    """Times of one kind of phone in milliseconds.

    Attributes:
        name: how it is asked for.
        shell_ms: start of any shell command line.
        input_ms: `input`, beside the gesture's own time.
        gesture: take the time that a swipe is told to take.
        frame_ms: `screencap` without compression, and the frame buffer.
        png_ms: `screencap -p`.
        dump_ms: `uiautomator dump`.
        start_ms: `am start`, `monkey`.
        spread: standard deviation of the logarithm of each delay.
        bytes_per_s: of the link; None for no limit.

    The figures of `phone` and `old_phone` are orders of magnitude from public reports of `screencap` and
    `uiautomator` on phones (0.1 s for a raw frame, 0.5 s as PNG, 1 to 2 s on older ones), not
    measurements of one device.
    """

    name: str
    shell_ms: float = 0.0
    input_ms: float = 0.0
    gesture: bool = False
    frame_ms: float = 0.0
    png_ms: float = 0.0
    dump_ms: float = 0.0
    start_ms: float = 0.0
    spread: float = 0.0
    bytes_per_s: float | None = None


PROFILES: Final[dict[str, DelayProfile]] = {
    one.name: one
    for one in (
        DelayProfile(name="fast"),
        DelayProfile(
            name="phone", shell_ms=15, input_ms=60, gesture=True, frame_ms=120, png_ms=490, dump_ms=900,
            start_ms=350, spread=0.25, bytes_per_s=35e6,
        ),
        DelayProfile(
            name="old_phone", shell_ms=40, input_ms=450, gesture=True, frame_ms=400, png_ms=1500,
            dump_ms=2200, start_ms=1200, spread=0.5, bytes_per_s=20e6,
        ),
    )
}  # fmt: skip


def delay_profile(name: str) -> DelayProfile:
    """A profile by name.

    Raises:
        ConfigError: there is none of that name.
    """
    found = PROFILES.get(name)
    if found is None:
        close = difflib.get_close_matches(name, PROFILES, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"no delay profile {name!r}; {hint}there are {', '.join(PROFILES)}")
    return found
