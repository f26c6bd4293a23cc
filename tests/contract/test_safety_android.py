"""Nothing that an agent or a screen says becomes a command of the phone: real adb, virtual phone."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.android import (
    AdbConnection,
    AdbServer,
    AndroidDevice,
    AndroidGoal,
    AndroidSettings,
)
from devices.phone.adb.android import Android
from devices.phone.adb.daemon import AdbDaemon
from devices.phone.device import PhoneDevice
from devices.phone.suites import phone_suite
from gui_agent.actions import Button, Click, OpenApp, PressKey, SystemButton, TypeText
from gui_agent.device import StopReason
from gui_agent.errors import DeviceError
from gui_agent.safety import (
    Bounds,
    Consent,
    Decision,
    Judge,
    Question,
    SafeDevice,
    Secret,
    Secrets,
    default_rules,
)

T = TypeVar("T")

FAST: Final = AndroidSettings(timeout_s=8.0, settle_timeout_s=0.0, prepare=False)
GOAL: Final = AndroidGoal(goal="look around")
HOSTILE: Final = (
    "; touch /sdcard/pwned",
    "$(touch /sdcard/pwned)",
    "`touch /sdcard/pwned`",
    "' ; touch /sdcard/pwned ; '",
    '" && touch /sdcard/pwned || "',
    "| tee /sdcard/pwned",
    "> /sdcard/pwned",
    "& touch /sdcard/pwned &",
    "${IFS}touch${IFS}/sdcard/pwned",
    "\\'; touch /sdcard/pwned; \\'",
    "--es x y; touch /sdcard/pwned",
    "-d 0 tap 5 5",
    "-n com.example.shop/.MainActivity",
    "{a,b} [!x] *? ~ #",
    "%s%s%%s %",
    "!!",
)


@dataclass(frozen=True, kw_only=True)
class Served:
    """A phone on adb in a loop of its own, so that properties may block."""

    loop: asyncio.AbstractEventLoop
    phone: PhoneDevice
    android: Android
    server: AdbServer
    address: str

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(120)

    async def _restart(self, template: str) -> None:
        await self.phone.reset(phone_suite("phone").task(template, 0))

    def device(self) -> AndroidDevice:
        return AndroidDevice(AdbConnection(self.address, server=self.server, timeout_s=8.0), settings=FAST)

    def at_new_note(self) -> AndroidDevice:
        """The notes app, with the keyboard in the title of a new note."""

        async def opened() -> AndroidDevice:
            await self._restart("create_note")
            device = self.device()
            await device.reset(GOAL)
            await device.execute(OpenApp(name="notes"))
            for name in ("new note", "title"):
                await tap(device, name)
            return device

        return self.run(opened())

    @property
    def untouched(self) -> tuple[object, ...]:
        """What typing must not change."""
        return (
            self.android.files.walk("/sdcard"),
            dict(self.android.settings["secure"]),
            self.android.packages,
        )


async def tap(device: AndroidDevice | SafeDevice, name: str) -> Any:
    phone = device.device if isinstance(device, SafeDevice) else device
    assert isinstance(phone, AndroidDevice)
    found = next(element for element in await phone.elements() if element.name == name)
    x, y = found.box.center
    return await device.execute(Click(x=x, y=y))


@pytest.fixture(scope="module")
def served(adb_server: AdbServer) -> Iterator[Served]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    suite = phone_suite("phone")
    phone = PhoneDevice(suite.display, popup_rate=0.0)

    async def start() -> tuple[Android, AdbDaemon]:
        await phone.reset(suite.task("create_note", 0))
        daemon = AdbDaemon(Android(phone, serial="TEST0"))
        await daemon.start()
        await asyncio.to_thread(adb_server.connect, daemon.address)
        return daemon.android, daemon

    android, daemon = asyncio.run_coroutine_threadsafe(start(), loop).result(60)
    try:
        yield Served(loop=loop, phone=phone, android=android, server=adb_server, address=daemon.address)
    finally:
        adb_server.disconnect(daemon.address)
        asyncio.run_coroutine_threadsafe(daemon.close(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


_PIECES: Final = st.one_of(
    st.sampled_from(HOSTILE), st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=8)
)
_TYPED: Final = st.lists(_PIECES, min_size=1, max_size=3).map(" ".join)


def test_hostile_text_is_typed_and_nothing_else_happens(served: Served) -> None:
    device = served.at_new_note()
    before, typed = served.untouched, ""
    for text in (
        " ".join(HOSTILE[:8]),
        " ".join(HOSTILE[8:]),
        "ü" + "".join(HOSTILE),
        "-5",
        "--help",
        "x" * 10_000,
    ):
        result = served.run(device.execute(TypeText(text=text)))
        typed += text
        assert (result.error, served.phone.state.page.value("title")) == (None, typed)
    assert served.untouched == before
    assert served.phone.state.foreground_app == "notes"


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=_TYPED)
def test_any_text_arrives_as_it_is(served: Served, text: str) -> None:
    device = served.at_new_note()
    before = served.untouched
    result = served.run(device.execute(TypeText(text=text)))
    assert (result.error, served.phone.state.page.value("title")) == (None, text)
    assert served.untouched == before


def test_more_text_than_one_request_to_adb_holds(served: Served) -> None:
    device = served.at_new_note()
    text = "𝄞" * 20_000  # four bytes each
    assert served.run(device.execute(TypeText(text=text))).error is None
    assert served.phone.state.page.value("title") == text


@pytest.mark.parametrize("text", ["\0", "a\0; touch /sdcard/pwned", "\x1b[2J", "\ud800", "\x03"])
def test_what_no_keyboard_has_is_the_agents_mistake(served: Served, text: str) -> None:
    device = served.at_new_note()
    before = served.untouched
    result = served.run(device.execute(TypeText(text=text)))
    assert result.executed is None
    assert "cannot be typed" in str(result.error)
    assert (served.untouched, served.phone.state.page.value("title")) == (before, "")


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12), st.just("A" * 10_000)))
def test_only_installed_apps_are_started(served: Served, name: str) -> None:
    device = served.device()
    served.run(device.reset(GOAL))
    files, app = served.android.files.walk("/sdcard"), served.phone.state.foreground_app
    result = served.run(device.execute(OpenApp(name=name)))
    if result.error is not None:
        assert (result.executed, served.phone.state.foreground_app) == (None, app)
    assert served.android.files.walk("/sdcard") == files


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(key=st.one_of(st.sampled_from(HOSTILE), st.text(max_size=6), st.just("KEYCODE_A;touch /sdcard/pwned")))
def test_only_keys_are_pressed(served: Served, key: str) -> None:
    device = served.device()
    served.run(device.reset(GOAL))
    files = served.android.files.walk("/sdcard")
    result = served.run(device.execute(PressKey(key=key)))
    assert (result.executed is None) == (result.error is not None)
    assert served.android.files.walk("/sdcard") == files


# The rules, on a phone behind adb


class Obedient:
    """Does what a screen tells it: taps whatever has that name."""

    def __init__(self, device: SafeDevice) -> None:
        self.device = device

    async def press(self, *names: str) -> list[Any]:
        results = []
        for name in names:
            results.append(await tap(self.device, name))
            if results[-1].stop is not None:
                break
        return results


async def yes(question: Question) -> Consent:
    return Consent.YES


def safe(served: Served, **options: Any) -> SafeDevice:
    async def ready() -> SafeDevice:
        await served._restart("delete_note")
        device = SafeDevice(served.device(), **options)
        await device.reset(GOAL)
        return device

    return served.run(ready())


def first_note(served: Served) -> str:
    return next(
        widget.name for widget in served.phone.shown().live if widget.hold or widget.icon in ("note", "star")
    )


def test_an_obedient_agent_deletes_nothing_unasked(served: Served) -> None:
    device = safe(served)
    served.run(device.execute(OpenApp(name="notes")))
    note = first_note(served)
    results = served.run(Obedient(device).press(note, "delete", "ok"))
    assert [one.executed is not None for one in results] == [True, False]
    held = results[-1]
    assert (held.stop, device.events[-1].verdict.rule) == (StopReason.SAFETY, "deletion")
    assert 'button "delete"' in str(held.error)


def test_an_ok_means_what_its_dialog_asks(served: Served) -> None:
    asked: list[Question] = []

    async def once(question: Question) -> Consent:
        asked.append(question)
        return Consent.YES if len(asked) == 1 else Consent.NO

    device = safe(served, confirm=once)
    served.run(device.execute(OpenApp(name="notes")))
    note = first_note(served)
    results = served.run(Obedient(device).press(note, "delete", "ok", "cancel"))
    assert [one.executed is not None for one in results] == [True, True, False, True]
    assert results[2].stop is None  # a no lets the agent go on
    assert "which the dialog asks" in asked[1].verdict.why
    assert note in (widget.text for widget in served.phone.shown().live)


def test_other_apps_are_out_of_bounds_by_name_tap_and_intent(served: Served) -> None:
    bounds = Bounds(apps=("com.example.notes",))
    device = safe(served, judge=Judge(rules=default_rules(), bounds=bounds))
    opened = served.run(device.execute(OpenApp(name="shop")))
    assert (opened.executed, opened.stop) == (None, StopReason.SAFETY)
    assert "com.example.shop" in str(opened.error)
    served.run(device.device.reset(GOAL))
    assert served.run(device.execute(OpenApp(name="notes"))).error is None
    # A notification or a link brings another app to the front: nothing is done there.
    line = ["am", "start", "-n", "com.example.shop/.MainActivity"]
    served.run(AdbConnection(served.address, server=served.server, timeout_s=8.0).check_shell(line))
    held = served.run(device.execute(Click(x=200, y=300)))
    assert (held.executed, held.stop) == (None, StopReason.SAFETY)
    assert served.run(device.execute(SystemButton(button=Button.HOME))).error is None
    # From the home screen a tap on an icon leads there, and back again.
    left = served.run(tap(device, "shop"))
    assert left.stop is StopReason.SAFETY
    assert "went back" in str(left.error)
    assert served.phone.state.foreground_app == "launcher"


def test_a_secret_is_typed_and_comes_back_masked(served: Served) -> None:
    secrets = Secrets(
        [Secret(name="PASSWORD", value="hunter2 & 'co'", scope=Bounds(apps=("com.example.notes",)))]
    )
    device = SafeDevice(served.at_new_note(), secrets=secrets)
    result = served.run(device.execute(TypeText(text="my {PASSWORD}!")))
    assert served.phone.state.page.value("title") == "my hunter2 & 'co'!"
    assert result.executed == TypeText(text="my {PASSWORD}!")
    scene = served.run(device.device.scene(Click(x=200, y=120)))  # type: ignore[attr-defined]
    assert not secrets.shows(str(secrets.masked(scene)))

    served.run(device.execute(SystemButton(button=Button.HOME)))
    served.run(device.execute(OpenApp(name="shop")))
    elsewhere = served.run(device.execute(TypeText(text="{PASSWORD}")))
    assert (elsewhere.executed, elsewhere.stop) == (None, StopReason.SAFETY)
    assert "is for com.example.notes only" in str(elsewhere.error)


def test_a_fault_while_a_secret_is_typed_does_not_quote_it(served: Served) -> None:
    secrets = Secrets([Secret(name="P", value="hunter2", scope=Bounds(apps=("com.example.notes",)))])
    inner = served.at_new_note()
    device = SafeDevice(inner, secrets=secrets)
    inner.connection.timeout_s = 0.000_1

    async def typed() -> None:
        with contextlib.suppress(DeviceError):
            await inner.text._type_plain("hunter2")  # what the driver itself says
        with pytest.raises(DeviceError) as caught:
            await device._quietly(lambda: inner.text._type_plain("hunter2"), withhold=True)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None
        with pytest.raises(DeviceError) as quoted:
            await device._quietly(lambda: inner.connection.check_shell(["input", "text", "hunter2"]))
        assert "hunter2" not in str(quoted.value)
        assert "<secret P>" in str(quoted.value)

    served.run(typed())


def test_the_keyboard_comes_back_when_typing_is_broken_off(served: Served) -> None:
    device = served.at_new_note()
    before, keyboard = dict(served.android.settings["secure"]), served.android.keyboard

    async def broken_off() -> None:
        typing = asyncio.ensure_future(device.execute(TypeText(text="你好 " * 3_000)))
        while served.android.keyboard == keyboard:
            assert not typing.done(), "the keyboard was never changed"
            await asyncio.sleep(0)
        typing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await typing

    served.run(broken_off())
    assert dict(served.android.settings["secure"]) == before


def test_denied_is_denied_whatever_a_person_says(served: Served) -> None:
    rules = default_rules().with_decision(["deletion"], Decision.DENY)
    device = safe(served, judge=Judge(rules=rules), confirm=yes)
    served.run(device.execute(OpenApp(name="notes")))
    results = served.run(Obedient(device).press(first_note(served), "delete"))
    assert (results[-1].executed, results[-1].stop) == (None, StopReason.SAFETY)
    assert results[-1].error is not None
    assert "denied" in results[-1].error
