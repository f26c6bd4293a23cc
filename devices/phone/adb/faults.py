"""What can go wrong with a phone, switched on and off while it runs.

A fault is `hold`ed until it is cleared, comes `once`, or comes by chance: before each call that the adb
server makes, one fault of the given kinds is drawn at the given rate, from a seed. A fault that concerns
captures waits for the next capture, and one that concerns UI dumps for the next dump.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping
from enum import StrEnum

from gui_agent.errors import ConfigError


class Fault(StrEnum):
    """A way to fail."""

    UNAUTHORIZED = "unauthorized"
    """The link breaks, and the phone does not trust the adb server any more."""
    OFFLINE = "offline"
    """The link breaks, and the phone answers nobody."""
    HANG = "hang"
    """A service is asked for and never answers."""
    DROP = "drop"
    """The link breaks in the middle of an answer."""
    SLOW_LINK = "slow_link"
    """An answer trickles."""
    BLACK_FRAME = "black_frame"
    """A complete screenshot without anything on it."""
    SECURE = "secure"
    """The app in front forbids captures (FLAG_SECURE): its screen is black until it is left."""
    MULTI_DISPLAY = "multi_display"
    """screencap warns about several displays before the picture."""
    IDLE_STATE = "idle_state"
    """uiautomator gives up waiting for an idle screen and leaves the old file in place."""
    NULL_ROOT = "null_root"
    """uiautomator finds no window."""
    ANR = "anr"
    """A dialog says that the app in front does not respond."""
    ROTATION = "rotation"
    """The phone is turned to its side."""
    SCREEN_OFF = "screen_off"
    """The screen goes dark by itself."""
    INPUT_DENIED = "input_denied"
    """`input` may not inject events, as on some makers' phones until a setting is changed."""


class FaultInjector:
    """Decides when faults happen.

    Attributes:
        drop_after_bytes: how much of an answer still arrives before a `DROP`.
        slow_bytes_per_s: speed of a `SLOW_LINK`.
        hang_s: after so long without an answer a `HANG` ends with a refusal.
        outage_s: how long a drawn `OFFLINE` or `UNAUTHORIZED` lasts.
        counts: how often each fault has happened.
    """

    def __init__(self) -> None:
        """No faults."""
        self.drop_after_bytes = 2000
        self.slow_bytes_per_s = 20_000.0
        self.hang_s = 60.0
        self.outage_s = 1.0
        self.counts: Counter[Fault] = Counter()
        self._held: set[Fault] = set()
        self._waiting: Counter[Fault] = Counter()
        self._rate = 0.0
        self._kinds: tuple[Fault, ...] = ()
        self._random = random.Random(0)

    def hold(self, *faults: Fault) -> None:
        """Let faults happen at every occasion until they are cleared."""
        self._held.update(faults)

    def once(self, fault: Fault) -> None:
        """Let a fault happen at the next occasion."""
        self._waiting[fault] += 1

    def at_rate(self, rate: float, kinds: Collection[Fault] = tuple(Fault), *, seed: int = 0) -> None:
        """Let faults happen by chance.

        Args:
            rate: chance of a fault before each call, in [0, 1]; 0 switches it off.
            kinds: which faults, all equally likely.
            seed: equal seeds and equal calls meet equal faults.

        Raises:
            ConfigError: the rate is no probability, or there are no kinds to draw from.
        """
        if not 0 <= rate <= 1:
            raise ConfigError(f"a fault rate of {rate}; expected a number from 0 to 1")
        if rate and not kinds:
            raise ConfigError("a fault rate without kinds of faults; name at least one")
        self._rate = rate
        self._kinds = tuple(sorted(kinds))
        self._random = random.Random(seed)

    def clear(self) -> None:
        """Nothing is held, waits or is drawn any more."""
        self._held.clear()
        self._waiting.clear()
        self._rate = 0.0

    def draw(self) -> None:
        """A call begins: perhaps one more fault waits."""
        if self._rate and self._random.random() < self._rate:
            self._waiting[self._random.choice(self._kinds)] = 1  # one that waits already is not doubled

    def is_held(self, fault: Fault) -> bool:
        """Whether a fault lasts until it is cleared."""
        return fault in self._held

    def take(self, fault: Fault) -> bool:
        """Here the fault could happen: does it?"""
        if fault not in self._held:
            if not self._waiting[fault]:
                return False
            self._waiting[fault] -= 1
        self.counts[fault] += 1
        return True

    def counted(self) -> Mapping[str, int]:
        """How often each fault has happened, by name."""
        return {str(fault): number for fault, number in sorted(self.counts.items())}


def fault_named(name: str) -> Fault:
    """A fault by name.

    Raises:
        ConfigError: there is none.
    """
    if name not in set(Fault):
        raise ConfigError(f"no fault {name!r}; there are {', '.join(Fault)}")
    return Fault(name)
