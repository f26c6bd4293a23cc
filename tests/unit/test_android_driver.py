"""The Android driver without a phone: what the bytes and words of phones mean."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from devices.android import AndroidDevice, AndroidGoal, AndroidSettings, capture, touch
from devices.android.apps import resolve_app
from devices.android.capture import CaptureMode, Capturer
from devices.android.connection import AdbConnection, ShellResult
from devices.android.keys import key_command
from devices.android.screen import Screen
from devices.android.text_input import TextInput, plain_parts
from devices.android.ui_tree import read_ui_tree
from gui_agent.actions import Button, Click, Direction, Swipe, SystemButton
from gui_agent.errors import CaptureError, DeviceError

SIZE = (6, 5)
WARNING = b"[Warning] Multiple displays were found, but no display id was specified!\nSee dumpsys\n"


class Scripted(AdbConnection):
    """A phone that answers from a table: by what a line begins with, the latest entry first."""

    def __init__(self, answers: dict[str, Any]) -> None:
        super().__init__("SCRIPTED")
        self.answers = answers
        self.lines: list[str] = []

    async def shell(
        self, command: str | Sequence[str], *, timeout_s: float | None = None, stdin: bytes = b""
    ) -> ShellResult:
        line = command if isinstance(command, str) else " ".join(command)
        self.lines.append(line)
        found = next((answer for start, answer in self.answers.items() if line.startswith(start)), "")
        if isinstance(found, ShellResult):
            return found
        return ShellResult(stdout=str(found).encode(), stderr=b"", exit_code=0)

    async def exec_out(self, command: str | Sequence[str], **unused: Any) -> memoryview:
        found = self.answers["-p" if "-p" in command else "raw"]
        if isinstance(found, list):  # one after the other; the last one stays
            found = found.pop(0) if len(found) > 1 else found[0]
        return memoryview(bytearray(found))


def picture() -> Image.Image:
    pixels = np.arange(SIZE[0] * SIZE[1] * 3, dtype=np.uint8).reshape(SIZE[1], SIZE[0], 3) + 1
    return Image.fromarray(pixels)


def png(mode: str = "RGBA") -> bytes:
    buffer = io.BytesIO()
    picture().convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (40, 80)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


BLACK, RED, GREEN = plain((0, 0, 0)), plain((255, 0, 0)), plain((0, 255, 0))
TREE = (
    "<?xml version='1.0'?><hierarchy><node text='Pay' class='android.widget.Button' clickable='true' "
    "bounds='[10,20][30,60]'/></hierarchy>"
)


async def on_phone(answers: dict[str, Any], **settings: Any) -> tuple[AndroidDevice, Scripted]:
    """A device on a scripted phone, at the start of a task."""
    phone = Scripted({"wm size": "Physical size: 40x80\nPhysical density: 160\n", **answers})
    chosen = AndroidSettings(capture=CaptureMode.PNG, settle_interval_s=0.0, **settings)
    device = AndroidDevice(phone, settings=chosen)
    await device.reset(AndroidGoal(goal="look around"))
    return device, phone


def raw(number: int, order: str, *, colour_space: bool = True) -> bytes:
    words = (*SIZE, number, 1) if colour_space else (*SIZE, number)
    rows = picture().convert("RGBA" if len(order) == 4 else "RGB")
    data = rows.tobytes("raw", order)
    return struct.pack(f"<{len(words)}I", *words) + data


@pytest.mark.parametrize(
    "data",
    [
        raw(1, "RGBA"),
        raw(1, "RGBA", colour_space=False),
        raw(2, "RGBA"),
        raw(3, "RGB"),
        raw(5, "BGRA"),
        WARNING + raw(1, "RGBA"),
    ],
)
async def test_raw_frames_of_all_kinds_show_the_same(data: bytes) -> None:
    frame = await Capturer(Scripted({"raw": data}), mode=CaptureMode.RAW).frame()
    assert np.array_equal(frame.pixels, np.asarray(picture()))
    assert (frame.width_px, frame.height_px) == SIZE


@pytest.mark.parametrize("data", [png(), png("RGB"), WARNING + png(), png() + b"\n"])
async def test_png_frames_of_all_kinds_show_the_same(data: bytes) -> None:
    frame = await Capturer(Scripted({"-p": data}), mode=CaptureMode.PNG).frame()
    assert np.array_equal(frame.pixels, np.asarray(picture()))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "0 bytes"),
        (b"screencap: failed to take a screenshot\n", "failed to take"),
        (raw(1, "RGBA")[:-1], "rows"),
        (raw(1, "RGBA")[:20], "of 5 rows"),
        (raw(1, "RGBA") + b"12345", "rows"),
        (struct.pack("<4I", 6, 5, 99, 1) + bytes(120), "no raw picture"),
    ],
)
async def test_a_raw_frame_that_is_not_whole_is_no_picture(data: bytes, said: str) -> None:
    with pytest.raises(CaptureError, match=said) as error:
        await Capturer(Scripted({"raw": data}), mode=CaptureMode.RAW).frame()
    assert "SCRIPTED" in str(error.value)
    assert "`screencap`" in str(error.value)
    assert "3 tries" in str(error.value)


@given(cut=st.integers(1, len(png()) - 1))
def test_a_png_cut_anywhere_is_no_picture(cut: int) -> None:
    with pytest.raises(capture._IncompleteError):
        capture._png_frame(memoryview(png()[:-cut]))


@given(at=st.integers(30, len(png()) - 1), bit=st.integers(0, 7))
def test_a_png_with_a_wrong_bit_is_no_picture(at: int, bit: int) -> None:
    damaged = bytearray(png())
    damaged[at] ^= 1 << bit
    with pytest.raises(capture._IncompleteError):
        capture._png_frame(memoryview(damaged))


async def test_both_ways_are_tried_and_one_that_fails_is_left() -> None:
    capturer = Capturer(Scripted({"raw": b"not supported", "-p": png()}))
    assert np.array_equal((await capturer.frame()).pixels, np.asarray(picture()))
    assert capturer.mode is CaptureMode.PNG
    with pytest.raises(CaptureError):
        await Capturer(Scripted({"raw": b"", "-p": b""})).frame()


async def test_frames_compare_below_the_status_bar() -> None:
    other = picture()
    other.putpixel((0, 0), (255, 255, 255))
    buffer = io.BytesIO()
    other.save(buffer, "PNG")
    first = await Capturer(Scripted({"-p": png()}), mode=CaptureMode.PNG).frame()
    second = await Capturer(Scripted({"-p": buffer.getvalue()}), mode=CaptureMode.PNG).frame()
    assert first.key(1) == second.key(1)
    assert first.same_below(second, 1)
    assert first.key(0) != second.key(0)
    assert not first.same_below(second, 0)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Enter", ["keyevent", "KEYCODE_ENTER"]),
        ("volume_up", ["keyevent", "KEYCODE_VOLUME_UP"]),
        ("KEYCODE_CAMERA", ["keyevent", "KEYCODE_CAMERA"]),
        ("Page Down", ["keyevent", "KEYCODE_PAGE_DOWN"]),
        ("backspace", ["keyevent", "KEYCODE_DEL"]),
        ("a", ["keyevent", "KEYCODE_A"]),
        ("ctrl+a", ["keycombination", "KEYCODE_CTRL_LEFT", "KEYCODE_A"]),
        ("+", ["keyevent", "KEYCODE_PLUS"]),
        ("ctrl++", ["keycombination", "KEYCODE_CTRL_LEFT", "KEYCODE_PLUS"]),
        ("a+b", None),
        ("no such key", None),
        ("ä", None),
        ("", None),
        ("; reboot", None),
    ],
)
def test_names_of_keys(name: str, arguments: list[str] | None) -> None:
    assert key_command(name) == arguments


def android_text(arguments: Sequence[str]) -> str:
    """What `input text` of Android makes of each argument: "%s" is a blank."""
    return "".join(argument.replace("%s", " ") for argument in arguments)


@given(st.text(alphabet="%s aB1'\"$", max_size=30))
def test_plain_text_arrives_as_it_is_also_with_percent_s(text: str) -> None:
    assert android_text(plain_parts(text)) == text


def test_long_text_is_sent_in_pieces() -> None:
    parts = plain_parts("%s" * 450 + "x" * 1000)
    assert android_text(parts) == "%s" * 450 + "x" * 1000
    assert max(map(len, parts)) <= 1200


INSTALLED = (
    "com.android.settings",
    "com.spotify.music",
    "com.spotify.music.widget",
    "org.example.mail",
    "net.other.mail",
    "com.google.android.calculator",
)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("settings", "com.android.settings"),
        ("Settings ", "com.android.settings"),
        ("Spotify", "com.spotify.music"),
        ("com.spotify.music.widget", "com.spotify.music.widget"),
        ("Calculator", "com.google.android.calculator"),
        ("My Mail", "org.example.mail"),
    ],
)
def test_apps_by_name(name: str, package: str) -> None:
    found = resolve_app(name, INSTALLED, {"mymail": "org.example.mail", "gone": "org.gone"})
    assert (found.package, found.error) == (package, "")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mail", "several apps go by 'mail': net.other.mail, org.example.mail"),
        ("setings", "no app 'setings' is installed; is it one of settings"),
        ("org.not.there", "no app 'org.not.there' is installed"),
        ("gone", "org.gone, which is not installed"),
        ("  ", "empty"),
    ],
)
def test_apps_that_are_none(name: str, said: str) -> None:
    found = resolve_app(name, INSTALLED, {"gone": "org.gone"})
    assert found.package == ""
    assert said in found.error


@given(
    direction=st.sampled_from(Direction),
    x=st.integers(0, 1079),
    y=st.integers(0, 2399),
)
def test_scrolls_stay_inside_and_go_against_the_content(direction: Direction, x: int, y: int) -> None:
    from_x, from_y, to_x, to_y = touch.scroll_path(direction, x, y, 1080, 2400)
    for px, size in ((from_x, 1080), (to_x, 1080), (from_y, 2400), (to_y, 2400)):
        assert 0 <= px < size
    moves = {
        Direction.DOWN: (0, -1200),
        Direction.UP: (0, 1200),
        Direction.RIGHT: (-540, 0),
        Direction.LEFT: (540, 0),
    }
    assert (to_x - from_x, to_y - from_y) == moves[direction]


@pytest.mark.parametrize(
    ("dump", "package"),
    [
        ("  mCurrentFocus=Window{7f2a1c u0 com.android.settings/.Settings}", "com.android.settings"),
        ("  mFocusedApp=ActivityRecord{5d1e2b0 u0 com.example.notes/.Main t14}", "com.example.notes"),
        ("  mCurrentFocus=null\n  mFocusedApp=ActivityRecord{5d u0 org.x/.Y t1}", "org.x"),
        ("  mCurrentFocus=null", None),
    ],
)  # fmt: skip
async def test_the_app_in_front(dump: str, package: str | None) -> None:
    assert await Screen(Scripted({"dumpsys window": dump})).foreground() == package


async def test_the_app_in_front_of_newer_phones() -> None:
    dump = "  topResumedActivity=ActivityRecord{aa u0 com.a.b/.C t9}"
    assert await Screen(Scripted({"dumpsys activity": dump})).foreground() == "com.a.b"


@pytest.mark.parametrize(
    ("flags", "secure"),
    [
        ("fl=LAYOUT_IN_SCREEN SECURE HARDWARE_ACCELERATED", True),
        ("fl=#81812100", True),
        ("fl=#81810100", False),
        ("fl=LAYOUT_IN_SCREEN HARDWARE_ACCELERATED", False),
    ],
)
async def test_windows_that_forbid_captures(flags: str, secure: bool) -> None:
    dump = (
        "WINDOW MANAGER WINDOWS\n  Window #0 Window{aa u0 StatusBar}:\n    mAttrs={fl=SECURE}\n"
        f"  Window #1 Window{{bb u0 com.bank/.Main}}:\n    mAttrs={{(0,0)(fillxfill) {flags}\n"
        "  mCurrentFocus=Window{bb u0 com.bank/.Main}\n"
    )
    assert await Screen(Scripted({"dumpsys window": dump})).is_secure() is secure


async def test_an_override_wins_and_the_status_bar_is_measured() -> None:
    answer = (
        "Physical size: 1080x2400\nOverride size: 720x1600\nPhysical density: 480\nOverride density: 320\n"
        "  mCurrentRotation=ROTATION_90\n"
        "  InsetsSource id=1 type=statusBars frame=[0,0][1600,64] visible=true\n"
    )
    info = await Screen(Scripted({"wm size": answer})).info()
    assert (info.width_px, info.height_px, info.physical) == (720, 1600, "1080x2400")
    assert (info.overridden, info.density_dpi, info.rotation, info.status_bar_px) == (True, 320, 90, 64)


async def test_a_phone_that_stays_locked_is_a_fault_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("devices.android.screen._WAKE_DEADLINE_S", 0.2)
    phone = Scripted({"dumpsys power": "mWakefulness=Awake", "dumpsys window": "mDreamingLockscreen=true"})
    with pytest.raises(DeviceError, match="unlock the phone by hand"):
        await Screen(phone).wake()
    assert "wm dismiss-keyguard" in phone.lines


async def test_complaints_with_exit_code_zero_are_heard() -> None:
    refused = ShellResult(
        stdout=b"",
        stderr=b"java.lang.SecurityException: Injecting to another application requires INJECT_EVENTS",
        exit_code=0,
    )
    with pytest.raises(DeviceError, match="Security settings"):
        await touch.send_input(Scripted({"input": refused}), ("tap", "1", "2"))
    odd = ShellResult(stdout=b"Error: Invalid arguments for command: tap\n", stderr=b"", exit_code=0)
    with pytest.raises(DeviceError, match="Invalid arguments"):
        await touch.send_input(Scripted({"input": odd}), ("tap", "1", "2"))


async def test_a_dump_that_failed_gives_no_tree_and_says_why() -> None:
    failed = ShellResult(stdout=b"", stderr=b"ERROR: could not get idle state.\n", exit_code=1)
    phone = Scripted({"rm -f": failed})
    tree = await read_ui_tree(phone)
    assert not tree.known
    assert "idle state" in tree.missing
    assert "--compressed" in phone.lines[1]
    bomb = "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]><hierarchy></hierarchy>"
    assert "entities" in (await read_ui_tree(Scripted({"rm -f": bomb}))).missing


async def test_a_keyboard_that_did_not_hear_is_a_fault_and_the_old_one_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("devices.android.text_input._SWITCH_DEADLINE_S", 0.2)
    shown = (
        "<?xml version='1.0'?><hierarchy><node class='android.widget.EditText' focused='true'/></hierarchy>"
    )
    phone = Scripted(
        {
            "dumpsys input_method": "mInputShown=true",
            "ime list": "com.github.uiautomator/.AdbKeyboard\ncom.latin/.IME\n",
            "settings get secure default_input_method": "com.github.uiautomator/.AdbKeyboard",
            "rm -f": shown,
            "am broadcast": "Broadcasting: Intent\nBroadcast completed: result=0\n",
        }
    )
    with pytest.raises(DeviceError, match="did not hear"):
        await TextInput(phone).type_text("ä")
    phone.answers["settings get secure default_input_method"] = "com.latin/.IME"
    phone.lines.clear()
    with pytest.raises(DeviceError, match="not selected"):
        await TextInput(phone).type_text("ä")
    assert phone.lines[-1] == "ime set com.latin/.IME"


async def test_text_that_no_phone_can_type_is_the_agents_mistake() -> None:
    phone = Scripted({"dumpsys input_method": "mInputShown=true", "ime list": "com.latin/.IME\n"})
    assert "cannot be typed" in str(await TextInput(phone).type_text("a\x07"))
    refused = await TextInput(phone).type_text("你好")
    assert refused is not None
    for word in ("SCRIPTED", "'你好'", "ime list", "install a keyboard"):
        assert word in refused


async def test_a_secure_window_is_shown_black_flagged_and_with_its_widgets() -> None:
    name = "Window{bb u0 com.bank/.Main}"
    window = f"  Window #1 {name}:\n    fl=SECURE\n  mCurrentFocus={name}\n"
    device, _ = await on_phone({"-p": BLACK, "dumpsys window": window, "rm -f": TREE})
    seen = await device.observe()
    assert seen.secure
    assert seen.elements is not None
    assert [(element.name, element.role) for element in seen.elements] == [("Pay", "button")]
    assert seen.foreground_app == "com.bank"


async def test_black_pixels_under_widgets_are_no_picture_but_an_empty_black_screen_is() -> None:
    device, _ = await on_phone({"-p": BLACK, "rm -f": TREE})
    with pytest.raises(CaptureError, match="'Pay'"):
        await device.observe()
    device, _ = await on_phone({"-p": BLACK, "rm -f": TREE.replace("text='Pay'", "text=''")})
    seen = await device.observe()
    assert not seen.secure
    assert seen.screenshot.image().getbbox() is None
    device, _ = await on_phone({"-p": [BLACK, BLACK, RED]})
    assert (await device.observe()).screenshot.image().getbbox() is not None


async def test_the_look_after_an_action_waits_until_the_screen_rests() -> None:
    device, phone = await on_phone({"-p": [RED]})
    await device.observe()
    await device.execute(SystemButton(button=Button.BACK))
    phone.answers["-p"] = [RED, GREEN, RED, GREEN, GREEN, BLACK]
    seen = await device.observe()
    assert seen.screenshot.image().getpixel((5, 50)) == (0, 255, 0)
    assert phone.answers["-p"] == [BLACK]


async def test_a_screen_that_never_rests_is_shown_when_the_time_is_up() -> None:
    device, phone = await on_phone({"-p": [RED]}, settle_timeout_s=0.05)
    await device.execute(SystemButton(button=Button.BACK))
    phone.answers["-p"] = [RED, GREEN] * 5000
    assert (await device.observe()).screenshot.width_px == 40
    assert len(phone.answers["-p"]) > 2


@pytest.mark.parametrize(
    ("wm", "shown", "tap"),
    [
        ("Physical size: 80x160", (40, 80), "input tap 21 41"),
        ("Physical size: 80x160\nOverride size: 40x80", (40, 80), "input tap 10 20"),
        ("Physical size: 80x160", (80, 40), "input tap 21 41"),
        ("Physical size: 40x80", (80, 40), "input tap 10 20"),
    ],
)
async def test_taps_go_to_the_space_of_the_phones_input(wm: str, shown: tuple[int, int], tap: str) -> None:
    device, phone = await on_phone({"wm size": wm, "-p": plain((9, 9, 9), shown)})
    await device.observe()
    await device.execute(Click(x=10, y=20))
    assert phone.lines[-1] == tap
    outside = await device.execute(Swipe(x=1, y=1, to_x=shown[0], to_y=1))
    assert "outside" in str(outside.error)
    assert phone.lines[-1] == tap


async def test_a_screen_that_sleeps_while_the_model_thinks_is_woken_first() -> None:
    device, phone = await on_phone({"-p": RED}, wake_after_s=0.0)
    phone.answers["dumpsys power"] = "mWakefulness=Asleep"
    phone.lines.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("devices.android.screen._WAKE_DEADLINE_S", 0.05)
        with pytest.raises(DeviceError, match="the screen stays off"):
            await device.execute(Click(x=1, y=1))
    assert "input keyevent KEYCODE_WAKEUP" in phone.lines
    assert not any(line.startswith("input tap") for line in phone.lines)
