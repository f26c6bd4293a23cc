"""`gui-agent phone serve`: virtual phones behind the real adb server."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import asdict, dataclass
from typing import Final, Literal

from devices.android.server import find_adb
from devices.phone.adb.farm import FarmSettings, PhoneFarm
from devices.phone.adb.faults import fault_named
from devices.phone.adb.served import publish, withdraw
from devices.phone.display import FULL_HD_DISPLAY, PHONE_DISPLAY, QUICKSTART_DISPLAY, PhoneDisplay
from devices.phone.suites import phone_suite
from gui_agent.cli.config import option
from gui_agent.cli.signals import calls_at_ctrl_c
from gui_agent.errors import ConfigError

_DISPLAYS: Final = {
    "quickstart": QUICKSTART_DISPLAY,
    "phone": PHONE_DISPLAY,
    "full-hd": FULL_HD_DISPLAY,
}
_SIZE: Final = re.compile(r"(\d+)x(\d+)(?:@(\d+(?:\.\d+)?))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneServe:
    """Serve virtual phones that the real adb server lists as devices.

    The phones run in this process until it is interrupted; adb, adbutils and everything built on them
    drive them like phones on the network. What a shell command does, it does to the phone: no command of
    it runs on this computer. Tasks are set and judged over a second channel, which needs a token.

    Attributes:
        phones: how many.
        display: screen of each: quickstart (112x224), phone (412x915), full-hd (1080x2400), or
            WIDTHxHEIGHT@DENSITY; the suite's own when empty.
        profile: how long commands take.
        suite: what is on the phones until a task is set.
        popup_rate: chance of a pop-up after a gesture; the tasks' own when none.
        adb_port: port of the adb server that lists the phones; 0 starts one of its own, which ends with
            this command.
        emulator_names: list the phones as emulator-PORT instead of 127.0.0.1:PORT.
        fault_rate: chance of a fault before each command.
        faults: kinds of faults to draw from; all of them when empty.
        fault_seed: decides when which fault comes.
        json: print one JSON object with serials, ports and tokens instead of lines.

    Examples:
        gui-agent phone serve -n 4
        gui-agent phone serve -n 2 --display full-hd --profile old_phone --adb-port 5037
        gui-agent phone serve -n 8 --fault-rate 0.05 --faults hang drop black_frame --json
    """

    phones: int = option(1, letter="n")
    display: str = ""
    profile: Literal["fast", "phone", "old_phone"] = "fast"
    suite: str = "quickstart"
    popup_rate: float | None = None
    adb_port: int = 0
    emulator_names: bool = False
    fault_rate: float = 0.0
    faults: tuple[str, ...] = ()
    fault_seed: int = 0
    json: bool = False

    def __post_init__(self) -> None:
        if self.phones < 1:
            raise ConfigError(f"phones is {self.phones}; expected 1 or more")
        if not 0 <= self.fault_rate <= 1:
            raise ConfigError(f"fault_rate is {self.fault_rate}; expected a number from 0 to 1")
        for name in self.faults:
            fault_named(name)
        self.settings()

    def settings(self) -> FarmSettings:
        """What the farm is told.

        Raises:
            ConfigError: the display, the suite or a number is impossible.
        """
        return FarmSettings(
            num_phones=self.phones,
            display=self._display(),
            profile=self.profile,
            suite=self.suite.removeprefix("phone/"),
            popup_rate=self.popup_rate,
            adb_server_port=self.adb_port,
            emulator_names=self.emulator_names,
        )

    def _display(self) -> PhoneDisplay:
        if not self.display:
            return phone_suite(self.suite.removeprefix("phone/")).display
        if self.display in _DISPLAYS:
            return _DISPLAYS[self.display]
        match = _SIZE.fullmatch(self.display)
        if match is None:
            raise ConfigError(
                f"display {self.display!r} is none; expected {', '.join(_DISPLAYS)}, or a size such as "
                "720x1280 or 1080x2400@2.625"
            )
        return PhoneDisplay(width_px=int(match[1]), height_px=int(match[2]), density=float(match[3] or 1))

    def run(self) -> int:
        """Serve until interrupted."""
        asyncio.run(self._serve())
        return 0

    async def _serve(self) -> None:
        stopped = asyncio.Event()
        with calls_at_ctrl_c(stopped.set):
            await self._serve_until(stopped)

    async def _serve_until(self, stopped: asyncio.Event) -> None:
        async with PhoneFarm(self.settings()) as farm:
            if self.fault_rate:
                kinds = [fault_named(name) for name in self.faults] or None
                for number, daemon in enumerate(farm.daemons.values()):
                    seed = self.fault_seed * 1_000_003 + number
                    daemon.android.faults.at_rate(self.fault_rate, *([kinds] if kinds else []), seed=seed)
            publish(farm.phones)
            try:
                print(self._report(farm), flush=True)
                await stopped.wait()
            finally:
                withdraw(farm.server.port)

    def _report(self, farm: PhoneFarm) -> str:
        port = farm.server.port
        if self.json:
            phones = [asdict(phone) for phone in farm.phones]
            return json.dumps({"adb": str(find_adb()), "adb_server_port": port, "phones": phones})
        lines = [f"{len(farm.phones)} virtual phones on the adb server at port {port}:"]
        lines += [f"  {phone.serial:20} {phone.width_px}x{phone.height_px}" for phone in farm.phones]
        return "\n".join(
            [
                *lines,
                "in another terminal:",
                f"  export ANDROID_ADB_SERVER_PORT={port}",
                f"  {find_adb()} devices",
                f"  gui-agent devices doctor {farm.phones[0].serial}",
                "  gui-agent collect --suite phone/quickstart --devices android:all --output runs/phones",
                "Ctrl-C ends them.",
            ]
        )
