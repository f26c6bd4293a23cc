"""How fast the virtual phone is, on one core, beside simpler ways to do the same.

    python benchmarks/phone.py [--seconds 3]

Four tables, each in steps per second of processor time:

    state alone      `perform`: layout, hit test, new state
    observed steps   the same, drawn, encoded as PNG and hashed: with the masks of words and icons kept
                     (the default), with every mask drawn anew (baseline), and with whole screens
                     kept as well (what a factory's devices do)
    device           `PhoneDevice.execute` and `observe`, state key and labels included
    labelled screens `labelled_screens`
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import platform
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from PIL import __version__ as pillow_version

from devices.phone import drawing, icons
from devices.phone.device import PhoneDevice, ScreenCache
from devices.phone.display import FULL_HD_DISPLAY, PHONE_DISPLAY, QUICKSTART_DISPLAY, PhoneDisplay
from devices.phone.labelled import labelled_screens
from devices.phone.state import PhoneState, state_key
from devices.phone.suites import PhoneSuite, phone_suite
from devices.phone.transition import layout_of, perform
from gui_agent.actions import Action, Button, Click, SystemButton
from gui_agent.observation import Screenshot

MASKS = (drawing.text_mask, drawing.fitted_text, icons.icon_mask, icons.rounded_mask)


def gestures(display: PhoneDisplay, count: int) -> list[Action]:
    rng = random.Random(0)
    return [
        Click(x=rng.randrange(display.width_px), y=rng.randrange(display.height_px))
        if rng.random() < 0.85
        else SystemButton(button=Button.BACK)
        for _ in range(count)
    ]


def states(suite: PhoneSuite, display: PhoneDisplay, count: int) -> list[PhoneState]:
    """Phones met in random gestures, from many tasks."""
    found: list[PhoneState] = []
    actions = gestures(display, count)
    for seed in itertools.count():
        state = suite.builds[suite.templates[seed % len(suite.templates)]](random.Random(seed)).start
        for action in actions[len(found) : len(found) + 10]:
            state = perform(state, action, display).state
            found.append(state)
        if len(found) >= count:
            return found
    raise AssertionError("count() has no end")


def rate(step: Callable[[int], object], seconds: float) -> float:
    """Calls per second of processor time, the first tenth left out."""
    for index in range(20):
        step(index)
    start, count = time.process_time(), 0
    while (spent := time.process_time() - start) < seconds:
        for _ in range(10):
            step(count)
            count += 1
    return count / spent


def transitions_per_s(suite: PhoneSuite, display: PhoneDisplay, seconds: float) -> float:
    actions = gestures(display, 1000)
    starts = states(suite, display, 200)
    current = starts[0]

    def step(index: int) -> None:
        nonlocal current
        if index % 10 == 0:
            current = starts[index // 10 % len(starts)]
        current = perform(current, actions[index % len(actions)], display).state

    return rate(step, seconds)


def observed_per_s(suite: PhoneSuite, display: PhoneDisplay, seconds: float, *, keep_masks: bool) -> float:
    phones, actions = states(suite, display, 500), gestures(display, 1000)

    def step(index: int) -> str:
        if not keep_masks:
            for mask in MASKS:
                mask.cache_clear()
        before = phones[index % len(phones)]
        state = perform(before, actions[index % len(actions)], display).state
        screenshot = Screenshot.from_image(drawing.draw(layout_of(state, display), state, display))
        return screenshot.sha256

    return rate(step, seconds)


def cached_screens_per_s(suite: PhoneSuite, display: PhoneDisplay, seconds: float) -> float:
    """Eight episodes from each start, as in a group of siblings: many screens come again."""
    phones, actions = states(suite, display, 20), gestures(display, 160)
    screens = ScreenCache()

    def step(index: int) -> str:
        before = phones[index % len(phones)]
        state = replace(perform(before, actions[index % len(actions)], display).state, num_steps=0)
        return screens.screenshot(state, layout_of(state, display), display, state_key(state)).sha256

    return rate(step, seconds)


def device_steps_per_s(suite: PhoneSuite, display: PhoneDisplay, seconds: float) -> float:
    actions = gestures(display, 1000)

    async def run() -> float:
        device = PhoneDevice(display, screens=ScreenCache(0))
        start, count = time.process_time(), 0
        while (spent := time.process_time() - start) < seconds:
            await device.reset(suite.task(suite.templates[count // 10 % len(suite.templates)], count))
            for index in range(10):
                await device.execute(actions[(count + index) % len(actions)])
                observation = await device.observe()
                assert observation.screenshot.sha256
            count += 10
        return count / spent

    return asyncio.run(run())


def labelled_per_s(suite: PhoneSuite, display: PhoneDisplay, seconds: float) -> float:
    screens: Iterator[object] = labelled_screens(suite, 10**9, 0, display=display)
    return rate(lambda _: next(screens), seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="processor time for each figure")
    seconds = parser.parse_args().seconds
    print(f"Python {platform.python_version()}, Pillow {pillow_version}, {platform.machine()}, one core")
    columns = ("state alone", "observed", "all redrawn", "screens kept", "device", "labelled")
    print(f"{'steps per second':<26}" + "".join(f"{column:>14}" for column in columns))
    for name, display in (
        ("quickstart", QUICKSTART_DISPLAY),
        ("phone", PHONE_DISPLAY),
        ("phone", FULL_HD_DISPLAY),
    ):
        suite = phone_suite(name)
        figures = (
            transitions_per_s(suite, display, seconds),
            observed_per_s(suite, display, seconds, keep_masks=True),
            observed_per_s(suite, display, seconds, keep_masks=False),
            cached_screens_per_s(suite, display, seconds),
            device_steps_per_s(suite, display, seconds),
            labelled_per_s(suite, display, seconds),
        )
        label = f"{name} {display.width_px}x{display.height_px}"
        print(f"{label:<26}" + "".join(f"{figure:>14,.0f}" for figure in figures), flush=True)


if __name__ == "__main__":
    main()
