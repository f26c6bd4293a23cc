"""Whatever is typed at the phone's shell or sent down its link, the phone goes on."""

from __future__ import annotations

import asyncio
import io
import shlex
import struct
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from devices.phone.adb.android import Android
from devices.phone.adb.apk import read_apk
from devices.phone.adb.faults import Fault, FaultInjector
from devices.phone.adb.profiles import PROFILES
from devices.phone.adb.protocol import Command, ProtocolError, decode_header, encode_header
from devices.phone.adb.screen import capture, letterbox
from devices.phone.adb.shell.interpreter import Shell, Streams
from devices.phone.adb.shell.io import Buffer, Bytes
from devices.phone.adb.shell.table import COMMANDS
from devices.phone.device import PhoneDevice
from devices.phone.suites import phone_suite
from gui_agent.errors import DataError

_ENDLESS: Final = {"sleep", "logcat", "timeout", "nc", "netcat"}
_SYNTAX: Final = (
    "; & | && || ( ) { } < > >> 2>&1 ! if then else fi for do done in 'a b' \"$X\" $X $? $( ) ` \\ * ? ["
)
_ARGUMENTS: Final = (
    "/sdcard /data/* -r -p -l -f -n -c x=1 a=b 0 -1 1e9 nan tap swipe text keyevent dump start list get put "
    "packages global secure wifi enable com.example.notes/.MainActivity --es msg size density 你好 ' \""
)
_COMMANDS: Final = sorted(set(COMMANDS) - {"sleep", "logcat", "timeout", "nc", "netcat"})
_WORD: Final = st.one_of(
    st.sampled_from(_COMMANDS), st.sampled_from(_ARGUMENTS.split()), st.sampled_from(_SYNTAX.split())
)
_LINE: Final = st.tuples(st.sampled_from(_COMMANDS), st.lists(_WORD, max_size=8)).map(
    lambda words: " ".join([words[0], *words[1]])
)


def new_android() -> Android:
    suite = phone_suite("quickstart")
    phone = PhoneDevice()
    phone.put(suite.task(suite.templates[0], 0).plan.start)
    return Android(phone, serial="VP0001", profile=PROFILES["fast"])


async def run(android: Android, line: str) -> tuple[bytes, int]:
    out = Buffer()
    streams = Streams(stdin=Bytes(b"in\n"), stdout=out, stderr=out)
    async with asyncio.timeout(10):
        code = await Shell(android, COMMANDS).run(line, streams)
        return bytes(out.data), code


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_LINE)
def test_any_line_ends_with_an_exit_code(line: str) -> None:
    android = new_android()
    _, code = asyncio.run(run(android, line))
    assert 0 <= code <= 255
    assert android.phone.shown().widgets  # and the phone still shows something


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_any_characters_end_with_an_exit_code(text: str) -> None:
    asyncio.run(run(new_android(), text))


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=30))
def test_quoted_text_arrives_as_it_is(text: str) -> None:
    async def echoed() -> bytes:
        out = Buffer()
        streams = Streams(stdin=Bytes(), stdout=out, stderr=out)
        await Shell(new_android(), COMMANDS).run(f"printf %s {shlex.quote(text)}; echo", streams)
        return bytes(out.data)

    assert asyncio.run(echoed()).decode() == f"{text}\n"


@given(st.sampled_from(Command), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=99))
def test_headers_round_trip(command: Command, arg0: int, arg1: int, data: bytes) -> None:
    header = decode_header(encode_header(command, arg0, arg1, data, sums=True))
    assert (header.command, header.arg0, header.arg1) == (command, arg0, arg1)
    assert (header.num_bytes, header.data_sum) == (len(data), sum(data))


@given(st.binary(min_size=24, max_size=24))
def test_other_bytes_are_no_header(raw: bytes) -> None:
    command, *_, magic = struct.unpack("<6I", raw)
    if magic != command ^ 0xFFFFFFFF:
        with pytest.raises(ProtocolError):
            decode_header(raw)


@given(st.integers(0, 2**32), st.floats(0, 1), st.integers(0, 60))
def test_drawn_faults_depend_on_seed_and_calls_alone(seed: int, rate: float, num_calls: int) -> None:
    def drawn() -> list[set[Fault]]:
        faults = FaultInjector()
        faults.at_rate(rate, seed=seed)
        found = []
        for _ in range(num_calls):
            faults.draw()
            found.append({fault for fault in Fault if faults.take(fault)})
        return found

    assert drawn() == drawn()
    assert all(len(one) <= 1 for one in drawn())


@given(st.integers(0, 223), st.integers(0, 111))
def test_points_of_a_turned_phone_go_back_and_forth(x: int, y: int) -> None:
    android = new_android()
    android.sensor_rotation = 1
    box = letterbox(android)
    point = box.to_apps(x, y)
    if point is not None:
        back = box.to_display(*point)
        assert abs(back[0] - x) <= 1
        assert abs(back[1] - y) <= 1


@settings(max_examples=50)
@given(st.binary(max_size=300))
def test_bytes_that_are_no_apk_are_refused(data: bytes) -> None:
    with pytest.raises(DataError):
        read_apk(data)


def test_a_black_frame_is_a_whole_picture() -> None:
    android = new_android()
    android.awake = False
    picture = Image.open(io.BytesIO(asyncio.run(capture(android)).data))
    assert picture.size == (112, 224)
