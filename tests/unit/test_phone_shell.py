"""The phone's own shell: what lines print and return, without adb in between."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import pytest

from devices.phone.adb.android import Android
from devices.phone.adb.filesystem import FileSystem
from devices.phone.adb.shell.interpreter import Shell, Streams
from devices.phone.adb.shell.io import Buffer, Bytes
from devices.phone.adb.shell.table import COMMANDS
from devices.phone.device import PhoneDevice
from devices.phone.suites import phone_suite


@dataclass(frozen=True, slots=True)
class Result:
    out: str
    err: str
    code: int


@pytest.fixture
def android() -> Android:
    phone = PhoneDevice()
    suite = phone_suite("quickstart")
    phone.put(suite.task(suite.templates[0], 0).plan.start)
    return Android(phone, serial="VP0001")


def run(android: Android, line: str, stdin: bytes = b"") -> Result:
    out, err = Buffer(), Buffer()
    streams = Streams(stdin=Bytes(stdin), stdout=out, stderr=err)
    code = asyncio.run(Shell(android, COMMANDS).run(line, streams))
    return Result(bytes(out.data).decode(), bytes(err.data).decode(), code)


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("echo a  b 'c  d' \"e  f\" g\\ h", "a b c  d e  f g h\n"),
        ("echo $'a\\tb\\'c'", "a\tb'c\n"),
        ("X=1; echo $X ${X}2 ${Y:-none} \"$X\" '$X' \\$X", "1 12 none 1 $X $X\n"),
        ("X=1 sh -c 'echo in $X'; echo out $X", "in 1\nout\n"),
        ('echo $(echo a; echo b) "$(echo c; echo d)" `echo e`', "a b c\nd e\n"),
        ("true && echo yes || echo no; false && echo yes || echo no", "yes\nno\n"),
        ("! false; echo $?; (exit 3); echo $?; sh -c 'exit 4' ; echo $?", "0\n3\n4\n"),
        ("echo one; # echo two\necho three", "one\nthree\n"),
        ("echo a#b 'c#d'", "a#b c#d\n"),
        ("for x in 1 '2 3'; do echo [$x]; done", "[1]\n[2 3]\n"),
        ("if [ -d /sdcard ] && ! test -e /no; then echo d; elif true; then echo e; else echo f; fi", "d\n"),
        ("i=x; while [ $i != xxx ]; do i=x$i; done; echo $i", "xxx\n"),
        ("{ echo a; echo b; } | { cat; echo c; }", "a\nb\nc\n"),
        ("echo x >/sdcard/f; echo y >>/sdcard/f; cat </sdcard/f | wc -l", "2\n"),
        (
            "ls /nothing 2>&1; ls /nothing 2>/dev/null; echo $?",
            "ls: /nothing: No such file or directory\n1\n",
        ),
        ("echo hidden >/dev/null 2>&1; nosuch 2>/dev/null; echo $?", "127\n"),
        ("cd /sdcard; pwd; touch a.txt b.txt 'c d.txt'; ls *.txt; echo *.none '*'", None),
        ("printf '%s-%s\\n' a b; printf '%d%%' 5", "a-b\n5%"),
        ("echo 'b a b' | tr ' ' '\\n' | sort | uniq | head -1", "a\n"),
        ("echo 'key: value' | cut -d: -f2; echo abc | sed 's/b/X/'", " value\naXc\n"),
        ("echo abc | grep -q b && echo has; echo abc | grep -c z", "has\n0\n"),
        ("printf 'ab\\ncd\\n' | grep 'a\\|d' | wc -l; printf 'ab\\n' | grep -E 'a|z'", "2\nab\n"),
        ("echo -n hi | base64; echo aGk= | base64 -d; echo; echo hi | md5sum -b | wc -c", "aGk=\nhi\n33\n"),
        ("mkdir -p /sdcard/p/q; echo 1 >/sdcard/p/q/f; cp -r /sdcard/p /sdcard/r; cat /sdcard/r/q/f", "1\n"),
        ("mv /sdcard/Download /sdcard/D; ls -d /sdcard/D /sdcard/Download 2>/dev/null", "/sdcard/D\n"),
        ("find /sdcard -type d -name 'D*' | sort | head -2", None),
        ("set -- ; exec echo last; echo never", "last\n"),
        ("exit 5; echo never", ""),
        (
            "sh -c 'echo $1-$2' name a b; echo 'echo script $1' >/sdcard/s; sh /sdcard/s arg",
            "a-b\nscript arg\n",
        ),
        ("which input; command true; type nosuch >/dev/null; echo $?", "/system/bin/input\n1\n"),
        ("timeout 0.01 sleep 5; echo $?", "124\n"),
        ("echo two | xargs echo one; seq 2 3 | tail -n 1", "one two\n3\n"),
        (
            "toybox echo x; cmd package list packages com.android.settings",
            "x\npackage:com.android.settings\n",
        ),
    ],
)
def test_what_lines_print(android: Android, line: str, printed: str | None) -> None:
    result = run(android, line)
    assert result.err == ""
    if printed is None:
        assert result.out
    else:
        assert result.out == printed


@pytest.mark.parametrize(
    ("line", "message", "code"),
    [
        ("nosuch", "/system/bin/sh: nosuch: inaccessible or not found\n", 127),
        ("/system/bin/nosuch x", "/system/bin/sh: /system/bin/nosuch: not found\n", 127),
        ("/sdcard", "/system/bin/sh: /sdcard: can't execute: Is a directory\n", 126),
        ("echo 'open", "/system/bin/sh: no closing quote\n", 1),
        ("echo a; )", "/system/bin/sh: syntax error: unexpected ')'\n", 1),
        ("if true", "/system/bin/sh: syntax error: unexpected 'EOF'\n", 1),
        ("cat /none", "cat: /none: No such file or directory\n", 1),
        ("cat < /sdcard/none", "/system/bin/sh: can't open /sdcard/none: No such file or directory\n", 1),
        ("cat < /none", "/system/bin/sh: can't open /none: No such file or directory\n", 1),
        ("echo > /none/file", "/system/bin/sh: can't open /none/file: No such file or directory\n", 1),
        ("rm /sdcard", "rm: /sdcard: is directory\n", 1),
        ("mkdir /sdcard", "mkdir: /sdcard: File exists\n", 1),
        ("cd /none", "/system/bin/sh: cd: /none: No such file or directory\n", 2),
        ("$((1+1))", "/system/bin/sh: syntax error: arithmetic is not supported\n", 1),
        ("uiautomator", "Usage: uiautomator", 1),
        ("input tap 1", "Error: Invalid arguments for command: tap", 255),
        ("input tap a b", "Error: Invalid arguments for command: tap", 255),
        ("input fly", "Error: Unknown command: fly", 255),
        (
            "input text 你",
            "\nException occurred while executing 'text':\njava.lang.NullPointerException",
            255,
        ),
        ("settings get nowhere x", "Invalid command or namespace", 255),
        ("am start -n", "\nException occurred while executing 'start'", 255),
        ("pm install /sdcard/none.apk", "Error: Unable to open file", 1),
        ("wm size 5x5", "Error: a phone display of 5x5", 255),
        ("screencap -d 12 -p", "Display Id '12' is not valid.", 1),
        ("date nonsense", "date: bad date 'nonsense'\n", 1),
    ],
)
def test_what_fails_says_so_as_android_does(android: Android, line: str, message: str, code: int) -> None:
    result = run(android, line)
    assert result.err.startswith(message)
    assert result.code == code


_ANDROID_ENV: Final = """
am force-stop com.android.settings
am stack list | grep -E visible=true
am task lock 14
am broadcast -a com.example.SET_GRPC --ei port 8554 --es host 10.0.2.2
am start -S -W -n com.android.settings/com.android.settings.Settings
am start -W -a android.intent.action.SENDTO -d sms:123
am stack remove 14
input keyevent KEYCODE_ENDCALL
input keycombination 113 29 && input keyevent 67
input text a%sb
input draganddrop 10 100 90 100 4000
settings list secure | grep theme_customization_overlay_packages
settings list global
settings put system show_touches 1
settings reset secure trusted_defaults
settings delete global no_proxy
settings put secure enabled_accessibility_services a/b:c/d
pm list packages
pm list features
pm clear -f com.android.settings
pm clear com.android.providers.contacts
pm grant com.example.notes android.permission.READ_CONTACTS
appops set com.example.notes android:system_alert_window allow
dumpsys input | grep -E 'SurfaceOrientation|InputDeviceOrientation'
dumpsys input | grep PhysicalWidth
dumpsys input | grep logicalFrame
dumpsys window | grep mCurrentRotation
dumpsys telephony.registry | grep mCallState=0
dumpsys activity recents
service check activity | grep found
service call alarm 3 s16 UTC
logcat -b all -c
logcat -v epoch -d *:S
svc wifi enable
svc bluetooth disable
su 0 iptables -w -A OUTPUT -j DROP
monkey -p com.android.settings -candroid.intent.category.LAUNCHER 1
monkey -p com.android.settings 1
getprop ro.build.version.sdk
content query --uri content://sms/inbox
content delete --uri content://call_log/calls
content delete --uri content://media/external/downloads
wm size 120x240 && wm size reset
whoami
uiautomator dump /sdcard/window_dump.xml && cat /sdcard/window_dump.xml
date +%s
su 0 date 101515302023.00
mkdir -p /sdcard/a/b; ls -ll -au /sdcard/a; ls -1 /sdcard
cd /sdcard/Music && find . -mindepth 1 -type f -delete
cp -a /sdcard/Music /sdcard/c; chmod 777 -R /sdcard/c; chmod -R 777 /sdcard/c
echo text > /sdcard/f; chcon u:object_r:x:s0 /sdcard/f; restorecon -RD /sdcard
rm -r /sdcard/Music; rm -rf /sdcard/nothing
ime list -s -a | grep LatinIME
cmd input_method list | wc -l
cmd uimode night yes
"""
"""Lines that AndroidEnv and AndroidWorld send, one each."""


@pytest.mark.parametrize("line", _ANDROID_ENV.strip().splitlines())
def test_lines_of_android_env_and_android_world_succeed(android: Android, line: str) -> None:
    result = run(android, line)
    assert (result.code, result.err) == (0, "")


def test_a_script_that_calls_itself_ends(android: Android) -> None:
    result = run(android, "echo 'sh /sdcard/s' > /sdcard/s; sh /sdcard/s")
    assert "too many nested shells" in result.err


def test_deeply_nested_text_is_refused(android: Android) -> None:
    assert "nested too deeply" in run(android, "(" * 5000 + "true" + ")" * 5000).err
    assert "nested too deeply" in run(android, "echo " + "$(" * 5000 + ")" * 5000).err


def test_a_second_tap_in_the_same_line_makes_a_double_tap(android: Android) -> None:
    """One gesture, as `DoubleClick` is in process; in two lines they are two taps."""
    run(android, "input tap 60 200; input tap 60 200")
    assert android.state.num_steps == 1
    run(android, "input tap 60 200")
    run(android, "input tap 60 200")
    assert android.state.num_steps == 3
    run(android, "input tap 60 200; echo; input tap 60 200")
    assert android.state.num_steps == 5


def test_a_press_is_long_by_its_time_and_a_swipe_by_its_way(android: Android) -> None:
    start = android.state
    run(android, "input swipe 50 100 50 100 100")
    short = android.state
    android.change(start)
    run(android, "input tap 50 100")
    assert android.state == short
    run(android, "input motionevent DOWN 50 100; input motionevent UP 50 100")
    assert android.state.num_steps == short.num_steps + 1


def test_what_is_written_beyond_the_capacity_is_refused() -> None:
    files = FileSystem(lambda: 0.0, capacity_bytes=10)
    files.write("/sdcard/a", b"12345678")
    with pytest.raises(OSError, match="No space left"):
        files.write("/sdcard/b", b"123")
    files.remove("/sdcard/a")
    files.write("/sdcard/b", b"1234567890")
    assert files.read("/storage/emulated/0/b") == b"1234567890"


def test_paths_cannot_leave_the_phone(android: Android) -> None:
    assert run(android, "cat ../../../../etc/passwd").err == (
        "cat: ../../../../etc/passwd: No such file or directory\n"
    )
    assert android.files.resolve("/../../sdcard/../sdcard/x") == "/storage/emulated/0/x"
