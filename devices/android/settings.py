"""How a phone is driven."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from devices.android.capture import CaptureMode


@dataclass(frozen=True, slots=True, kw_only=True)
class AndroidSettings:
    """How a phone is driven.

    Attributes:
        timeout_s: deadline of one command.
        capture: how pictures travel.
        display_id: which of several displays is captured, as `dumpsys SurfaceFlinger --display-id` numbers
            them.
        settle_timeout_s: after an action, look until two pictures are equal, or so long; 0 looks once.
        settle_interval_s: pause between two such looks.
        observe_elements: read the widgets at every look; slow on real phones (one second and more).
        prepare: keep the screen on and animations off while a factory has the phone.
        wake_after_s: after so long without a command, check that the screen is still on.
        apps: names of apps with their packages, beside those that are found by themselves.
    """

    timeout_s: float = 10.0
    capture: CaptureMode = CaptureMode.AUTO
    display_id: str = ""
    settle_timeout_s: float = 3.0
    settle_interval_s: float = 0.1
    observe_elements: bool = False
    prepare: bool = True
    wake_after_s: float = 20.0
    apps: Mapping[str, str] = field(default_factory=dict)
