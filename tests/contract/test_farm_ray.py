"""Farms over a real Ray cluster of two nodes on this computer: `make test-ray`."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import psutil
import pytest

from devices.farm import DeviceFarm, FarmOptions
from devices.farm.deadline import within
from devices.farm.opening import farm_for
from devices.farm.ray_source import RaySource
from devices.registry import resolve_devices, resolve_suite
from gui_agent.device import Verdict
from gui_agent.errors import ConfigError, DeviceError, DeviceTimeoutError
from trajectories.collect import collect_episodes, demonstrator_for, group_jobs
from trajectories.records import Trajectory

pytestmark = [
    pytest.mark.ray,
    pytest.mark.usefixtures("ray_cluster"),
    pytest.mark.filterwarnings("ignore:no device answers"),
]
SUITE = resolve_suite("phone/quickstart")
TASKS = [SUITE.task("set_switch", seed) for seed in range(4)]
OPTIONS = FarmOptions(backoff_first_s=0.1, backoff_max_s=1, probe_timeout_s=30)


def actor_processes() -> list[int]:
    """Workers of Ray that have a farm's devices; Ray names them after the class."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] and process.info["cmdline"][0].startswith("ray::Node"):
            found.append(process.pid)
    return found


async def none_is_left() -> None:
    async with asyncio.timeout(60):
        while actor_processes():  # noqa: ASYNC110 (processes tell nobody that they end)
            await asyncio.sleep(0.05)


async def test_devices_of_all_nodes_are_lent_and_no_actor_is_left() -> None:
    here = resolve_devices("phone:1", SUITE)
    async with farm_for("ray+phone:2", SUITE) as farm:
        assert farm.capacity == 4
        assert len(actor_processes()) == 2
        async with (
            farm.lease() as one,
            farm.lease() as two,
            farm.lease(),
            farm.lease(),
            here.lease() as phone,
        ):
            for device in (one, two, phone):
                await device.reset(TASKS[1])
            seen = [await device.observe() for device in (one, two, phone)]
            assert seen[0] == seen[1] == seen[2], "not a byte of a picture is lost"
    await none_is_left()


async def test_an_actor_that_is_killed_costs_attempts_and_no_episode() -> None:
    jobs = group_jobs(TASKS, num_generations=3)
    found: list[Trajectory] = []
    async with farm_for("ray+phone:1", SUITE, options=OPTIONS) as farm:
        async for record in collect_episodes(jobs, farm, demonstrator_for, concurrency=2, max_attempts=4):
            if not found:
                os.kill(actor_processes()[0], signal.SIGKILL)
            found.append(record.trajectory)
        assert farm.capacity == 2
        async with farm.lease(), farm.lease():
            assert len(actor_processes()) == 2, "the one that was killed has been started anew"
        assert sum(member.statistics.faults.total() for member in farm.members) >= 1
    assert sorted(one.episode_id for one in found) == [job.context.episode_id for job in jobs]
    assert all(one.succeeded for one in found)
    await none_is_left()


async def test_phones_behind_adb_are_reached_through_ray() -> None:
    async with farm_for("ray+adb-phone:1", SUITE, options=OPTIONS) as farm, farm.lease() as device:
        await device.reset(TASKS[0])
        agent = demonstrator_for(device)
        for _ in range(8):
            decision = await agent.decide(await device.observe())
            if (await device.execute(decision.action)).stop is not None:
                break
        assert (await device.check()).verdict is Verdict.SUCCESS
        servers = [
            child for pid in actor_processes() for child in psutil.Process(pid).children(recursive=True)
        ]
    assert len(servers) >= 2, "an adb server for each actor"
    await none_is_left()
    assert not [one for one in servers if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


async def test_a_call_that_overruns_is_ended_there_too(ray_cluster: Any) -> None:
    options = FarmOptions(observe_timeout_s=0.001, backoff_first_s=0.1)
    source = RaySource("adb-phone:1", "phone/quickstart")
    async with DeviceFarm([source], options=options) as farm:
        async with farm.lease() as device:
            await device.reset(TASKS[0])
            with pytest.raises(DeviceTimeoutError, match=r"observe did not end within 0\.001 s"):
                await device.observe()
        for _ in range(2):  # the phone that was waited for answers again
            async with farm.lease() as device:
                await within(60, device.reset(TASKS[1]), "reset")


async def test_devices_that_cannot_be_opened_say_where_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"no world 'tablet'; there are ray\+android"):
        farm_for("ray+tablet:1", SUITE)
    with (
        pytest.warns(UserWarning, match="has no device"),
        pytest.raises(DeviceError, match="emulator was not found"),
    ):
        await farm_for("ray+avd:Nothing:1", SUITE).start()
    await none_is_left()
