"""Actions per second of 1, 2, 4 and 8 phones: over adb, and the same phones in this process.

    python -m benchmarks.farm_actions [--phones 1 2 4 8] [--actions 200] [--profile phone] [--ray] [--json]

Every phone of a farm does the same taps and presses of HOME, one after another, with a look before each; the
phones act side by side, in one process with one adb server. Sides and numbers of phones take turns, and the
best of all rounds counts.

    in_process   `phone:N`: no adb
    adb          `adb-phone:N`: virtual phones behind a real adb server, through the whole driver
    ray          `ray+phone:N`, with --ray: in one Ray actor on this computer

Printed are actions per second, how many times those of one phone that is, and CPU seconds of this process per
action (adb's own and Ray's processes not included). With `--profile phone` the phones behind adb take as long
as phones do (see devices/phone/adb/profiles.py), so that the figures show what waits for what.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from dataclasses import asdict, dataclass
from itertools import cycle

from devices.farm import DeviceFarm, DeviceSource
from devices.farm.in_process import FactorySource
from devices.farm.phones import AdbPhoneSource
from devices.phone.device import PhoneFactory
from devices.phone.suites import phone_suite
from gui_agent.actions import Action, Button, Click, SystemButton
from gui_agent.device import Device

SUITE = phone_suite("quickstart")
ACTIONS: tuple[Action, ...] = (
    Click(x=30, y=60),
    Click(x=60, y=120),
    SystemButton(button=Button.HOME),
    Click(x=90, y=60),
    Click(x=30, y=120),
    SystemButton(button=Button.HOME),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    side: str
    phones: int
    actions_per_s: float
    cpu_ms_per_action: float


def source(side: str, phones: int, profile: str) -> DeviceSource:
    match side:
        case "in_process":
            return FactorySource("phone", PhoneFactory(num_devices=phones))
        case "adb":
            return AdbPhoneSource(phones, profile=profile)
        case _:
            from devices.farm.ray_source import RaySource

            return RaySource(f"phone:{phones}", SUITE.suite)


async def act(device: Device, num_actions: int) -> None:
    for _, action in zip(range(num_actions), cycle(ACTIONS), strict=False):
        await device.observe()
        result = await device.execute(action)
        assert result.error is None, result.error


async def measure(side: str, phones: int, *, num_actions: int, profile: str) -> Result:
    async with DeviceFarm([source(side, phones, profile)]) as farm:
        leases = [farm.lease() for _ in range(phones)]
        devices = [await lease.__aenter__() for lease in leases]
        await asyncio.gather(*(device.reset(SUITE.task("set_switch", 0)) for device in devices))
        await asyncio.gather(*(act(device, len(ACTIONS)) for device in devices))  # ways to capture are tried
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        await asyncio.gather(*(act(device, num_actions) for device in devices))
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        for lease in leases:
            await lease.__aexit__(None, None, None)
    total = phones * num_actions
    return Result(
        side=side,
        phones=phones,
        actions_per_s=round(total / wall_s, 1),
        cpu_ms_per_action=round(1000 * cpu_s / total, 2),
    )


def run(arguments: argparse.Namespace) -> list[Result]:
    sides = ["in_process", "adb", *(["ray"] if arguments.ray else [])]
    best: dict[tuple[str, int], Result] = {}
    for _ in range(arguments.rounds):
        for phones in arguments.phones:
            for side in sides:
                work = measure(side, phones, num_actions=arguments.actions, profile=arguments.profile)
                found = asyncio.run(work)
                before = best.get((side, phones))
                if before is None or found.actions_per_s > before.actions_per_s:
                    best[side, phones] = found
    return [best[side, phones] for side in sides for phones in arguments.phones]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--phones", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--actions", type=int, default=200, help="of each phone")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--profile", default="fast", help="delays of the phones behind adb: fast, phone, old_phone"
    )
    parser.add_argument("--ray", action="store_true", help="also in a Ray actor; needs the extra `ray`")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = run(arguments)
    if arguments.json:
        load = round(os.getloadavg()[0], 1)
        print(json.dumps({"profile": arguments.profile, "load": load, "results": [*map(asdict, results)]}))
        return
    for one in results:
        alone = next(other for other in results if other.side == one.side)
        ratio = one.actions_per_s / alone.actions_per_s
        print(
            f"{one.side:10}  {one.phones:2} phones  {one.actions_per_s:8.1f} actions/s  {ratio:5.2f} times  "
            f"{one.cpu_ms_per_action:6.2f} CPU ms"
        )


if __name__ == "__main__":
    main()
