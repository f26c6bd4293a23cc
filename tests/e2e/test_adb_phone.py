"""Virtual phones behind the real adb server, driven by the real adbutils and the real adb program.

Everything that a client does with a phone from start to end, and where it is checked:

    devices -l, get_features, get_state     test_adb_lists_each_phone…, test_features_and_state
    getprop, prop.name, prop.model,         test_what_clients_ask_about_the_device
    battery, wlan_ip, service check
    shell2 v1 and v2, exit codes, stdin     test_shell_keeps_output_error_and_exit_code_apart
    prompts, streams, many at once          test_somebody_types…, test_a_streaming_command…, test_many_shells…
    window_size, wm size, override, reset   test_size_can_be_overridden_and_reset
    rotation, taps and bounds then          test_on_its_side_pictures_taps_and_bounds_agree
    is_screen_on, switch_screen off and on  test_a_sleeping_screen_is_black_and_takes_no_taps
    screenshot, screencap, framebuffer      test_every_way_to_capture_gives_the_same_pixels
    app_start (monkey), app_current,        test_a_note_is_written_by_taps_keys_and_text
    dump_hierarchy, click, keyboard shown,
    send_keys, a key of the keyboard, DEL,
    BACK hides it, save, other alphabets
    broadcast keyboard                      test_any_text_goes_through_the_broadcast_keyboard
    swipe, drag                             test_lists_scroll_and_rows_are_held
    app_start (am), app_stop, list_packages,test_apps_start_stop_and_are_listed
    app_info, HOME, unknown apps
    switch_wifi on and off, a switch's tick,test_switches_and_settings_are_the_same_thing
    airplane mode, brightness, settings
    push, pull, read_bytes, exists, stat    test_files_go_both_ways
    install (adb and adbutils), uninstall   test_an_apk_is_installed_and_removed
    forward_port, reverse                   test_forward_and_reverse_carry_bytes
    date, reboot, boot id                   test_the_clock_of_the_phone…, test_a_reboot_breaks_the_link…
    faults                                  test_faults_of_pictures_and_dumps and those after it
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import adbutils
import pytest
from PIL import Image

from devices.phone.adb.control import PhoneControl, find_control
from devices.phone.adb.farm import FarmSettings, PhoneFarm
from devices.phone.adb.faults import Fault
from devices.phone.adb.own_server import answers
from devices.phone.adb.packages import ADB_KEYBOARD, LATIN_KEYBOARD
from devices.phone.adb.served import served_phones
from devices.phone.device import PhoneDevice
from devices.phone.goal import PhoneGoal
from devices.phone.suites import phone_suite
from gui_agent.actions import (
    Action,
    Answer,
    Button,
    Click,
    Direction,
    DoubleClick,
    LongPress,
    OpenApp,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
)
from gui_agent.device import Verdict
from gui_agent.errors import ConfigError, DataError

T = TypeVar("T")
ADB = adbutils.adb_path()


@dataclass(frozen=True, slots=True)
class Served:
    """A farm that runs in a thread of its own, so that clients may block."""

    farm: PhoneFarm
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def device(self, number: int = 0) -> Any:
        client = adbutils.AdbClient(host="127.0.0.1", port=self.farm.server.port)
        return client.device(self.farm.phones[number].serial)

    def control(self, number: int = 0) -> PhoneControl:
        return self.farm.control(self.farm.phones[number].serial)

    def adb(self, *words: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        command = [ADB, "-P", str(self.farm.server.port), "-s", self.farm.phones[0].serial, *words]
        return subprocess.run(command, input=data, capture_output=True, timeout=20, check=False)

    def begin(self, task_id: str, number: int = 0) -> None:
        suite, template, seed = task_id.split("/")[1:]
        self.run(self.control(number).reset(phone_suite(suite).task(template, int(seed))))


def _start(settings: FarmSettings) -> Iterator[Served]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    served = Served(PhoneFarm(settings), loop)
    try:
        served.run(served.farm.start())
        yield served
    finally:
        served.run(served.farm.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    yield from _start(FarmSettings(num_phones=2, suite="phone", display=phone_suite("phone").display))


@pytest.fixture
def phone(served: Served) -> Iterator[Any]:
    """The first phone, fresh, without faults afterwards."""
    served.begin("phone/phone/create_note/1")
    yield served.device()
    served.run(served.control().clear())


def eventually(condition: Callable[[], bool], what: str, deadline_s: float = 10.0) -> None:
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, f"{what}: not within {deadline_s:g} s"
        time.sleep(0.02)


def nodes(phone: Any) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(phone.dump_hierarchy().encode()).iter("node"))


def center(node: ElementTree.Element) -> tuple[int, int]:
    left, top, right, bottom = map(int, re.findall(r"-?\d+", node.attrib["bounds"]))
    return (left + right) // 2, (top + bottom) // 2


def tap_on(phone: Any, text: str) -> None:
    phone.click(*center(next(n for n in nodes(phone) if text in (n.get("text"), n.get("content-desc")))))


# What adb lists


def test_adb_lists_each_phone_once_and_says_what_it_is(served: Served) -> None:
    listed = served.adb("devices", "-l").stdout.decode()
    for one in served.farm.phones:
        assert listed.count(one.serial) == 1
    assert listed.count("model:Virtual_Phone") == len(served.farm.phones)
    assert len({served.device(number).getprop("ro.serialno") for number in (0, 1)}) == 2


def test_features_and_state(phone: Any) -> None:
    assert {"shell_v2", "cmd", "stat_v2", "ls_v2", "sendrecv_v2"} <= set(phone.get_features().split(","))
    assert phone.get_state() == "device"


# Shells


def test_shell_keeps_output_error_and_exit_code_apart(phone: Any, served: Served) -> None:
    result = phone.shell2("echo out; echo err >&2; exit 4", v2=True)
    assert (result.stdout, result.stderr, result.returncode) == ("out\n", "err\n", 4)
    assert phone.shell2("ls /nothing", v2=False).returncode == 1
    assert served.adb("shell", "exit 7").returncode == 7
    assert served.adb("shell", "cat | tr a-z A-Z", data=b"piped").stdout == b"PIPED"
    assert served.adb("exec-out", "echo one; nothere; echo $?").stdout.endswith(b"127\n")


def test_unknown_commands_fail_as_on_android(phone: Any) -> None:
    result = phone.shell2("frobnicate --now", v2=True)
    assert result.stderr == "/system/bin/sh: frobnicate: inaccessible or not found\n"
    assert result.returncode == 127


def test_somebody_types_at_a_prompt(served: Served, phone: Any) -> None:
    typed = b"cd /sdcardX\x7f\rX=5\recho $X '\r echo bad\x03pwd\rfalse\rexit\r"
    done = served.adb("shell", "-tt", data=typed)
    shown = done.stdout.decode()
    assert "vphone:/storage/emulated/0 # pwd\r\n/storage/emulated/0\r\n" in shown
    assert "no closing quote" in shown
    assert done.returncode == 1
    assert served.adb("shell", "-T", data=b"echo from a script; exit 6").returncode == 6


def test_many_shells_at_once(served: Served, phone: Any) -> None:
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        answers[number] = served.device(number % 2).shell(f"echo {number}; sleep 0.1; echo done")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == {number: f"{number}\ndone" for number in range(8)}


def test_a_streaming_command_ends_when_the_host_hangs_up(phone: Any, served: Served) -> None:
    stream = phone.shell("logcat -v time", stream=True)
    assert b"beginning" in stream.conn.recv(100)
    stream.close()
    assert phone.shell("echo alive") == "alive"


# Nothing reaches the host


def test_the_shell_touches_nothing_of_the_host(served: Served, phone: Any, tmp_path: Path) -> None:
    target = tmp_path / "touched"
    target.parent.joinpath("kept").write_text("host")
    before_s = time.time()
    phone.shell(f"touch {target}; mkdir -p {tmp_path}; echo x > {target}; rm -rf {tmp_path}/kept")
    phone.shell("su 0 date 010100001999.00; kill -9 1; rm -r /sdcard/*; rm -rf /*; ls / > /x")
    phone.shell(f"sh -c 'echo y > {target}'; $(echo touch {target}); eval 'rm {tmp_path}/kept'; ../../bin/ls")
    assert not target.exists()
    assert (tmp_path / "kept").read_text() == "host"
    assert abs(time.time() - before_s) < 60
    assert os.getpid()
    assert "root:" not in phone.shell("cat /etc/passwd /proc/self/environ 2>&1")
    assert phone.shell("ls /sdcard") == "ls: /sdcard: No such file or directory"
    served.run(served.control().wipe())
    assert "Download" in phone.shell("ls /sdcard").split()


def test_host_files_and_ports_are_not_to_be_had_over_adb_either(served: Served, phone: Any) -> None:
    assert not phone.sync.exists(__file__)
    with pytest.raises(adbutils.AdbError):
        phone.sync.read_bytes("/etc/passwd")
    control_port = served.farm.phones[0].control_port
    local_port = phone.forward_port(control_port)
    with socket.create_connection(("127.0.0.1", local_port), timeout=10) as connection:
        assert connection.recv(10) == b""
    phone.forward_remove_all()
    assert "refused" in phone.shell(f"echo x | nc localhost {control_port}")


def test_the_clock_of_the_phone_is_its_own(phone: Any) -> None:
    assert phone.shell("su 0 date 101515302023.00") == "Sun Oct 15 15:30:00 UTC 2023"
    assert phone.shell("date +%Y-%m-%d") == "2023-10-15"
    assert time.gmtime().tm_year > 2023
    assert phone.shell(f"date @{int(time.time())} > /dev/null; echo $?") == "0"


def test_whoever_does_not_speak_adb_is_cut_off(served: Served, phone: Any) -> None:
    port = served.farm.daemons[phone.serial].port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(10) == b""
    assert phone.shell("echo on") == "on"


def test_a_wrong_token_opens_nothing(served: Served) -> None:
    stranger = PhoneControl(replace(served.farm.phones[0], token="guess"))
    with pytest.raises(ConfigError, match="wrong token"):
        served.run(stranger.state())


# Screen


def test_every_way_to_capture_gives_the_same_pixels(served: Served, phone: Any) -> None:
    png = served.adb("exec-out", "screencap", "-p").stdout
    assert phone.shell("screencap -p", encoding=None) == png
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    raw = served.adb("exec-out", "screencap").stdout
    width_px, height_px, form, _ = struct.unpack("<4I", raw[:16])
    assert (width_px, height_px, form) == (*picture.size, 1)
    assert Image.frombytes("RGBA", picture.size, raw[16:]).convert("RGB").tobytes() == picture.tobytes()
    assert phone.screenshot(error_ok=False).convert("RGB").tobytes() == picture.tobytes()
    assert phone.framebuffer().convert("RGB").tobytes() == picture.tobytes()
    assert served.adb("exec-out", "screencap | gzip -1 | gunzip").stdout == raw
    phone.shell("screencap -p /sdcard/shot.png")
    assert phone.sync.read_bytes("/sdcard/shot.png") == png


def test_size_can_be_overridden_and_reset(phone: Any) -> None:
    assert phone.shell("wm size") == "Physical size: 412x915"
    assert tuple(phone.window_size()) == (412, 915)
    phone.shell("wm size 480x960")
    assert phone.shell("wm size").splitlines() == ["Physical size: 412x915", "Override size: 480x960"]
    assert phone.screenshot(error_ok=False).size == (480, 960)
    assert phone.shell2("wm size 10x10", v2=True).returncode == 255
    phone.shell("wm size reset; wm density reset")
    assert phone.shell("wm size; wm density") == "Physical size: 412x915\nPhysical density: 160"


def test_a_sleeping_screen_is_black_and_takes_no_taps(served: Served, phone: Any) -> None:
    phone.switch_screen(False)
    assert not phone.is_screen_on()
    assert phone.screenshot(error_ok=False).convert("L").getextrema() == (0, 0)
    phone.app_start("com.android.settings")
    phone.switch_screen(True)
    assert phone.is_screen_on()
    assert phone.screenshot(error_ok=False).convert("L").getextrema()[1] > 0


def test_on_its_side_pictures_taps_and_bounds_agree(served: Served, phone: Any) -> None:
    phone.keyevent("HOME")
    served.run(served.control().hold(Fault.ROTATION))
    assert phone.screenshot(error_ok=False).size == (915, 412)
    assert phone.rotation() == 1
    assert tuple(phone.window_size()) == (915, 412)
    tap_on(phone, "settings")
    assert phone.app_current().package == "com.android.settings"
    phone.shell("settings put system accelerometer_rotation 0; settings put system user_rotation 0")
    assert phone.screenshot(error_ok=False).size == (412, 915)
    assert phone.rotation() == 0
    phone.shell("settings put system accelerometer_rotation 1")


# Gestures, text and apps


def test_a_note_is_written_by_taps_keys_and_text(served: Served, phone: Any) -> None:
    phone.app_start("com.example.notes")
    current = phone.app_current()
    assert (current.package, current.activity) == ("com.example.notes", "com.example.notes.MainActivity")
    tap_on(phone, "new note")
    field = next(n for n in nodes(phone) if n.get("class") == "android.widget.EditText")
    phone.click(*center(field))
    assert "mInputShown=true" in phone.shell("dumpsys input_method")
    phone.send_keys("Buy%smilk & eggs; $HOME 'x'")
    phone.keyevent("DEL")
    tap_on(phone, "h")
    edited = next(n for n in nodes(phone) if n.get("class") == "android.widget.EditText")
    assert edited.get("text") == "Buy milk & eggs; $HOME 'xh"
    assert "NullPointerException" in phone.send_keys("你好")
    phone.keyevent("BACK")
    assert "mInputShown=false" in phone.shell("dumpsys input_method")
    assert phone.app_current().package == "com.example.notes"
    tap_on(phone, "save")
    shown = [n.get("text") for n in nodes(phone)]
    assert "new note" in shown + [n.get("content-desc") for n in nodes(phone)], "the list is back"
    assert "Buy milk & eggs; $HOME 'xh" in shown
    phone.shell("input keycombination 113 29 && input keyevent 67")


def test_any_text_goes_through_the_broadcast_keyboard(phone: Any) -> None:
    phone.app_start("com.example.notes")
    tap_on(phone, "new note")
    field = next(n for n in nodes(phone) if n.get("class") == "android.widget.EditText")
    phone.click(*center(field))
    send = "am broadcast -a ADB_INPUT_B64 --es msg 5L2g5aW9IPCfmYIgJXM="
    phone.shell(send)  # not heard: another keyboard is in use
    assert phone.shell("ime list -s") == LATIN_KEYBOARD
    assert ADB_KEYBOARD in phone.shell("ime list -s -a").splitlines()
    assert "cannot be selected" in phone.shell(f"ime set {ADB_KEYBOARD}")
    assert "now enabled" in phone.shell(f"ime enable {ADB_KEYBOARD}")
    assert "selected for user #0" in phone.shell(f"ime set {ADB_KEYBOARD}")
    assert phone.shell("settings get secure default_input_method") == ADB_KEYBOARD
    assert "Broadcast completed: result=0" in phone.shell(send)
    assert "你好 🙂 %s" in [n.get("text") for n in nodes(phone)]
    phone.shell("am broadcast -a ADB_CLEAR_TEXT")
    assert "你好 🙂 %s" not in [n.get("text") for n in nodes(phone)]
    phone.shell("ime reset")
    assert phone.shell("settings get secure default_input_method") == LATIN_KEYBOARD


def test_lists_scroll_and_rows_are_held(served: Served, phone: Any) -> None:
    phone.app_start("com.android.settings")
    tap_on(phone, "language")
    first = [n.get("text") for n in nodes(phone)]
    phone.swipe(200, 800, 200, 200, 0.1)
    assert [n.get("text") for n in nodes(phone)] != first
    phone.drag(200, 200, 200, 800, 0.1)
    assert [n.get("text") for n in nodes(phone)] == first


def test_apps_start_stop_and_are_listed(phone: Any) -> None:
    phone.app_start("com.android.settings", ".Settings")
    assert phone.app_current().package == "com.android.settings"
    phone.app_stop("com.android.settings")
    assert phone.app_current().package == "com.android.launcher3"
    assert {"com.android.settings", "com.example.notes"} <= set(phone.list_packages())
    info = phone.app_info("com.example.notes")
    assert (info.version_name, info.package_name) == ("1.2", "com.example.notes")
    assert phone.app_info("com.nowhere") is None
    failed = phone.shell2("am start -n com.nowhere/.Main", v2=True)
    assert failed.returncode == 1
    assert "Activity class {com.nowhere/com.nowhere.Main} does not exist." in failed.stderr
    assert "monkey aborted" in phone.shell("monkey -p com.nowhere 1")
    phone.shell("am start -W -a android.settings.SETTINGS")
    assert "mResumedActivity: ActivityRecord" in phone.shell("dumpsys activity activities")
    assert "visible=true topActivity=ComponentInfo{com.android.settings" in phone.shell("am stack list")


def test_switches_and_settings_are_the_same_thing(phone: Any) -> None:
    phone.switch_wifi(True)
    assert phone.shell("settings get global wifi_on") == "1"
    phone.shell("am start -a android.settings.WIFI_SETTINGS")
    row = next(n for n in nodes(phone) if n.get("text") == "wifi")
    assert row.get("checked") == "true"
    phone.click(*center(row))
    assert phone.shell("settings get global wifi_on") == "0"
    phone.switch_wifi(True)
    phone.switch_wifi(False)
    row = next(n for n in nodes(phone) if n.get("text") == "wifi")
    assert row.get("checked") == "false"
    phone.switch_airplane(True)
    assert phone.shell("cmd connectivity airplane-mode") == "enabled"
    phone.brightness_value = 77
    assert phone.brightness_value == 77
    phone.shell("am start -a android.settings.DISPLAY_SETTINGS")
    for name in ("brightness, medium", "high"):
        phone.click(*center(next(n for n in nodes(phone) if n.get("text") == name)))
    assert phone.brightness_value == 255
    assert phone.shell("settings get secure nonsense") == "null"


def test_what_clients_ask_about_the_device(phone: Any) -> None:
    assert (phone.prop.model, phone.prop.name) == ("Virtual Phone", "vphone")
    assert phone.getprop("sys.boot_completed") == "1"
    assert 0 <= phone.battery().level <= 100
    assert phone.wlan_ip() == "192.168.1.23"
    assert "mCurrentFocus=Window{" in phone.shell("dumpsys window | grep mCurrentFocus")
    assert phone.shell("service check activity") == "Service activity: found"
    assert phone.shell("whoami") == "root"
    assert phone.shell("content query --uri content://sms/sent") == "No result found."


# Files and installation


def test_files_go_both_ways(served: Served, phone: Any, tmp_path: Path) -> None:
    data = os.urandom(3_000_001)
    (tmp_path / "blob").write_bytes(data)
    assert served.adb("push", str(tmp_path / "blob"), "/sdcard/Download/").returncode == 0
    assert served.adb("pull", "/sdcard/Download/blob", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back").read_bytes() == data
    assert b"blob" in served.adb("ls", "/sdcard/Download").stdout
    assert served.adb("pull", "/sdcard/none", str(tmp_path / "no")).returncode != 0
    phone.sync.push(b"hello" * 1000, "/sdcard/new/x.txt")
    assert phone.sync.read_bytes("/sdcard/new/x.txt") == b"hello" * 1000
    assert phone.sync.stat("/sdcard/new/x.txt").size == 5000
    assert [one.path for one in phone.sync.list("/storage/emulated/0/new")] == ["x.txt"]
    assert phone.shell("md5sum -b /sdcard/new/x.txt | wc -c") == "33"
    assert re.fullmatch(
        r"total \d+\n-rw\S+ 1 root root 5000 [\d-]{10} [\d:]{8}\.0{9} \+0000 x\.txt",
        phone.shell("ls -ll /sdcard/new"),
    )
    found = phone.shell("find /sdcard/new -mindepth 1 -name y -o -type f -o -type d")
    assert found == "/sdcard/new/x.txt"
    assert phone.shell("find /sdcard/new -type f -o -type d").split() == ["/sdcard/new", "/sdcard/new/x.txt"]
    phone.rmtree("/sdcard/new")
    assert not phone.sync.exists("/sdcard/new/x.txt")


def test_an_apk_is_installed_and_removed(served: Served, phone: Any, tmp_path: Path) -> None:
    apk = tmp_path / "app.apk"
    with zipfile.ZipFile(apk, "w") as archive:
        archive.writestr("AndroidManifest.xml", '<manifest package="org.example.added"/>')
    assert b"Success" in served.adb("install", "-r", str(apk)).stdout
    assert "org.example.added" in phone.list_packages(["-3"])
    assert phone.uninstall("org.example.added").strip() == "Success"
    phone.install(str(apk), silent=True, nolaunch=True)
    assert "org.example.added" in phone.list_packages()
    apk.write_bytes(b"no zip")
    assert b"INSTALL_PARSE_FAILED" in served.adb("install", str(apk)).stderr
    phone.uninstall("org.example.added")


def test_forward_and_reverse_carry_bytes(phone: Any) -> None:
    with socket.create_connection(("127.0.0.1", phone.forward_port(7)), timeout=10) as connection:
        connection.sendall(b"echo this")
        assert connection.recv(100) == b"echo this"
    phone.forward_remove_all()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        phone.reverse("tcp:7001", f"tcp:{port}")
        assert [(one.remote, one.local) for one in phone.reverse_list()] == [("tcp:7001", f"tcp:{port}")]

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(connection.recv(100).upper())

        thread = threading.Thread(target=answer)
        thread.start()
        assert phone.shell("echo shout | nc localhost 7001") == "SHOUT"
        thread.join(10)
        phone.reverse_remove_all()
        assert phone.reverse_list() == []


# Tasks


def _over_adb(phone: Any, served: Served, action: Action) -> None:
    """An action as the commands that a driver sends."""
    packages = served.farm.phones[1].app_packages
    match action:
        case Click(x=x, y=y):
            phone.shell(f"input tap {x} {y}")
        case DoubleClick(x=x, y=y):
            phone.shell(f"input tap {x} {y} && input tap {x} {y}")
        case LongPress(x=x, y=y):
            phone.shell(f"input swipe {x} {y} {x} {y} 1000")
        case Swipe(x=x, y=y, to_x=to_x, to_y=to_y):
            phone.shell(f"input swipe {x} {y} {to_x} {to_y} 300")
        case Scroll():
            path = served.run(served.control(1).scroll_path(action))
            assert path is not None
            _over_adb(phone, served, path)
        case TypeText(text=text):
            phone.send_keys(text)
        case SystemButton(button=button):
            phone.shell(f"input keyevent {'BACK' if button is Button.BACK else 'HOME'}")
        case OpenApp(name=name):
            phone.shell(f"monkey -p {packages[name]} 1")
        case _:
            served.run(served.control(1).note(action))


_DETOUR: tuple[Action, ...] = (
    Wait(),
    OpenApp(name="settings"),
    Scroll(direction=Direction.DOWN),
    Swipe(x=200, y=300, to_x=210, to_y=700),
    DoubleClick(x=200, y=400),
    Scroll(direction=Direction.LEFT),
    LongPress(x=200, y=300),
    Answer(text="none"),
    TypeText(text="nowhere to go"),
    SystemButton(button=Button.BACK),
)


@pytest.mark.parametrize("template", ["send_message", "set_language", "tell_number"])
def test_the_expert_succeeds_over_adb_with_the_same_screens_as_in_process(
    served: Served, template: str
) -> None:
    source = phone_suite("phone")
    task = source.task(template, 4)
    twin, phone, control = PhoneDevice(source.display), served.device(1), served.control(1)
    served.run(control.reset(task))
    asyncio.run(twin.reset(task))
    for action in _DETOUR:
        _both(served, phone, twin, action)
    for _ in range(task.max_steps):
        expert = served.run(control.next_expert_action())
        assert expert == asyncio.run(twin.next_expert_action())
        if expert is None:
            break
        _both(served, phone, twin, expert.action)
    assert served.run(control.check()) == asyncio.run(twin.check())
    assert served.run(control.check()).verdict is Verdict.SUCCESS


def _both(served: Served, phone: Any, twin: PhoneDevice, action: Action) -> None:
    """Perform an action on both phones, which then show the same."""
    asyncio.run(twin.execute(action))
    _over_adb(phone, served, action)
    _same_screen(phone, twin)


def test_a_goal_in_words_begins_as_in_process_and_is_unscored(served: Served) -> None:
    goal = PhoneGoal(goal="call anna", world="phone", seed=3)
    twin = PhoneDevice(phone_suite("phone").display)
    served.run(served.control(1).reset(goal))
    asyncio.run(twin.reset(goal))
    _same_screen(served.device(1), twin)
    assert served.run(served.control(1).check()).verdict is Verdict.UNSCORED
    assert served.run(served.control(1).next_expert_action()) is None


def _same_screen(phone: Any, twin: PhoneDevice) -> None:
    seen = asyncio.run(twin.observe())
    assert phone.shell("screencap -p", encoding=None) == seen.screenshot.data


def test_a_snapshot_brings_apps_settings_and_files_back(served: Served, phone: Any) -> None:
    control = served.control()
    phone.shell("echo kept > /sdcard/kept; settings put global device_name Mine")
    before, saved = phone.shell("screencap -p", encoding=None), served.run(control.snapshot())
    phone.app_start("com.android.settings")
    phone.shell(
        "rm /sdcard/kept; echo new > /sdcard/new; settings put global device_name Other; wm size 480x960"
    )
    served.run(control.restore(saved))
    assert phone.shell("screencap -p", encoding=None) == before
    assert phone.shell("cat /sdcard/kept; settings get global device_name; ls /sdcard/new") == (
        "kept\nMine\nls: /sdcard/new: No such file or directory"
    )
    assert served.run(control.snapshot()) == saved
    with pytest.raises(DataError, match="not a snapshot"):
        served.run(control.restore("{}"))
    with pytest.raises(ConfigError, match="not a phone task"):
        served.run(control._ask("reset", task_id="android/x"))


# Faults


def test_faults_of_pictures_and_dumps(served: Served, phone: Any) -> None:
    control = served.control()
    whole = phone.shell("screencap -p", encoding=None)
    served.run(control.once(Fault.BLACK_FRAME))
    assert phone.screenshot(error_ok=False).convert("L").getextrema() == (0, 0)
    served.run(control.once(Fault.MULTI_DISPLAY))
    warned = phone.shell("screencap -p", encoding=None)
    assert warned.startswith(b"[Warning] Multiple displays")
    assert warned.endswith(whole)
    display = re.search(r"Display (\d+)", phone.shell("dumpsys SurfaceFlinger --display-id"))
    assert display is not None
    served.run(control.once(Fault.MULTI_DISPLAY))
    assert phone.shell(f"screencap -p -d {display[1]}", encoding=None) == whole
    phone.shell("uiautomator dump /sdcard/ui.xml")
    served.run(control.once(Fault.IDLE_STATE))
    assert phone.shell("uiautomator dump /sdcard/ui.xml; echo $?") == "ERROR: could not get idle state.\n0"
    assert phone.sync.exists("/sdcard/ui.xml")  # the stale file that clients must not read
    served.run(control.once(Fault.INPUT_DENIED))
    assert "INJECT_EVENTS" in phone.shell("input tap 5 5")


def test_a_window_that_forbids_captures_is_black_until_it_is_left(served: Served, phone: Any) -> None:
    phone.app_start("com.example.notes")
    served.run(served.control().once(Fault.SECURE))
    assert phone.screenshot(error_ok=False).convert("L").getextrema() == (0, 0)
    assert re.search(r"fl=.* SECURE", phone.shell("dumpsys window"))
    assert any(n.get("content-desc") == "new note" or n.get("text") == "new note" for n in nodes(phone))
    phone.keyevent("HOME")
    assert phone.screenshot(error_ok=False).convert("L").getextrema()[1] > 0
    assert " SECURE" not in phone.shell("dumpsys window")


def test_a_dialog_of_an_app_that_does_not_respond(served: Served, phone: Any) -> None:
    phone.app_start("com.example.notes")
    served.run(served.control().once(Fault.ANR))
    assert "Application Not Responding: com.example.notes" in phone.shell("dumpsys window windows")
    tap_on(phone, "close")
    assert phone.app_current().package == "com.example.notes"
    phone.shell("settings put global hide_error_dialogs 1")
    served.run(served.control().once(Fault.ANR))
    assert "Not Responding" not in phone.shell("dumpsys window windows")
    phone.shell("settings delete global hide_error_dialogs")


def test_the_link_drops_in_the_middle_of_a_picture_and_comes_back(served: Served, phone: Any) -> None:
    whole = phone.shell("screencap -p", encoding=None)
    served.run(served.control().once(Fault.DROP))
    part = served.adb("exec-out", "screencap", "-p").stdout
    assert len(part) < len(whole)
    assert whole.startswith(part)
    eventually(lambda: _state(served) == "device", "connected again")
    assert phone.shell("screencap -p", encoding=None) == whole


def test_a_phone_that_hangs_still_calls_itself_a_device(served: Served, phone: Any) -> None:
    served.run(served.control().hold(Fault.HANG))
    assert phone.get_state() == "device"
    with socket.create_connection(("127.0.0.1", served.farm.server.port), timeout=0.5) as connection:
        for request in (f"host:transport:{phone.serial}", "shell:echo x"):
            connection.sendall(f"{len(request):04x}{request}".encode())
            if request.startswith("host"):
                assert connection.recv(4) == b"OKAY"
        with pytest.raises(TimeoutError):
            connection.recv(4)
    served.run(served.control().clear())
    assert phone.shell("echo back") == "back"


def _state(served: Served) -> str:
    return served.farm.server.state_of(served.farm.phones[0].serial)


def test_unauthorized_and_offline_are_what_adb_says_then(served: Served, phone: Any) -> None:
    control = served.control()
    served.run(control.hold(Fault.UNAUTHORIZED))
    eventually(lambda: _state(served) == "unauthorized", "unauthorized")
    served.run(control.clear())
    eventually(lambda: _state(served) == "device", "allowed again")
    served.run(control.hold(Fault.OFFLINE))
    eventually(lambda: _state(served) != "device", "offline")
    served.run(control.clear())
    eventually(lambda: _state(served) == "device", "back")
    assert phone.shell("echo back") == "back"
    counts = served.run(control.fault_counts())
    assert counts[Fault.HANG] >= 1


def test_a_reboot_breaks_the_link_and_changes_the_boot_id(served: Served, phone: Any) -> None:
    boot_id = phone.shell("cat /proc/sys/kernel/random/boot_id")
    served.adb("reboot")
    eventually(lambda: _state(served) == "device", "started again")
    assert phone.shell("cat /proc/sys/kernel/random/boot_id") != boot_id
    assert phone.app_current().package == "com.android.launcher3"


def test_a_phone_and_the_adb_server_die_and_are_replaced(served: Served, phone: Any) -> None:
    farm, serial = served.farm, served.farm.phones[1].serial
    served.device(1).shell("touch /sdcard/old")
    served.run(farm.stop_phone(serial))
    eventually(lambda: farm.server.state_of(serial) != "device", "gone")
    served.run(farm.restart_phone(serial))
    assert served.device(1).shell("ls /sdcard/old 2>/dev/null; getprop ro.serialno") == "VP0002"
    served.adb("kill-server")
    eventually(lambda: not answers(farm.server.port), "the server ended")
    served.run(farm.reconnect())
    assert [served.device(number).shell("echo back") for number in (0, 1)] == ["back", "back"]


@pytest.mark.parametrize("emulator_names", [False, True])
def test_a_farm_joins_an_adb_server_that_exists_and_leaves_it(served: Served, emulator_names: bool) -> None:
    port = served.farm.server.port
    guest = PhoneFarm(FarmSettings(adb_server_port=port, emulator_names=emulator_names))
    served.run(guest.start())
    try:
        serial = guest.phones[0].serial
        assert serial.startswith("emulator-") is emulator_names
        assert adbutils.AdbClient(port=port).device(serial).shell("wm size") == "Physical size: 112x224"
    finally:
        served.run(guest.close())
    eventually(lambda: served.farm.server.state_of(serial) != "device", "forgotten")
    assert served.device().shell("echo here") == "here"


def test_equal_seeds_meet_equal_faults(served: Served, phone: Any) -> None:
    control, seen = served.control(), []
    for _ in range(2):
        served.run(control.inject(0.3, [Fault.INPUT_DENIED], seed=11))
        seen.append(["INJECT_EVENTS" in phone.shell("input keyevent 0") for _ in range(20)])
        served.run(control.clear())
    assert seen[0] == seen[1]
    assert 0 < sum(seen[0]) < 20


# The command


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (util-linux)")
def test_killing_phone_serve_ends_its_adb_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    command = [sys.executable, "-m", "gui_agent.cli.main", "phone", "serve", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    port = json.loads(process.stdout.readline())["adb_server_port"]
    assert answers(port)
    (listed,) = served_phones(port)
    assert find_control(listed.serial, adb_server_port=port) is not None
    process.kill()
    process.wait()
    process.stdout.close()
    eventually(lambda: not answers(port), "the adb server ended")
    assert find_control(listed.serial, adb_server_port=port) is None  # the list is stale and not believed


def test_phone_serve_ends_cleanly_and_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gui_agent.cli.main", "phone", "serve", "-n", "2", "--json"]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    try:
        report = json.loads(process.stdout.readline())
        port, phones = report["adb_server_port"], report["phones"]
        listed = list(tmp_path.glob("gui-agent/phones-*.json"))
        assert [path.stat().st_mode & 0o777 for path in listed] == [0o600]
        client = adbutils.AdbClient(port=port)
        assert {one.serial for one in client.list()} == {one["serial"] for one in phones}
        assert client.device(phones[1]["serial"]).shell("getprop ro.serialno") == "VP0002"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert not list(tmp_path.glob("gui-agent/phones-*.json"))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    assert served_phones(port) == ()
