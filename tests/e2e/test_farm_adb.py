"""Farms of virtual phones behind a real adb server that is killed, phones that die, faults at random."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from devices.android.server import AdbServer, find_adb
from devices.android.settings import AndroidSettings
from devices.farm import DeviceFarm, FarmOptions, FaultKind
from devices.farm.android import AndroidSource
from devices.farm.in_process import FactorySource
from devices.farm.member import MemberState
from devices.farm.phones import AdbPhoneSource
from devices.phone.adb.faults import Fault
from devices.phone.adb.own_server import answers, tell
from devices.phone.device import PhoneFactory
from devices.phone.suites import phone_suite
from gui_agent.cli.main import main
from gui_agent.device import Device, Verdict
from gui_agent.errors import DependencyError, DeviceTimeoutError
from trainers.choices import OnExhausted
from trainers.metrics import read_metrics, without_times
from trainers.online import train_online
from trainers.online_config import OnlineConfig
from trainers.tiny_model import TinyModelConfig, build_tiny_model
from trajectories.collect import CollectStats, collect_episodes, demonstrator_for, group_jobs
from trajectories.store import TrajectoryStore

ROOT = Path(__file__).parents[2]
SUITE = phone_suite("quickstart")
TASKS = [SUITE.task("set_switch", seed) for seed in range(2)]
DRIVER = AndroidSettings(timeout_s=1.5)
OPTIONS = FarmOptions(
    observe_timeout_s=8, execute_timeout_s=8, reconnect_timeout_s=15, backoff_first_s=0.1, backoff_max_s=1,
    max_failures=40,
)  # fmt: skip


def open_things() -> tuple[set[int], int]:
    """Processes below this one, and its sockets."""
    me = psutil.Process()
    return {child.pid for child in me.children(recursive=True)}, len(me.net_connections(kind="all"))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110 (what is waited for tells nobody)
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def _needs_adb() -> None:
    try:
        find_adb()
    except DependencyError as error:
        pytest.skip(str(error))


@asynccontextmanager
async def phones(number: int) -> AsyncIterator[tuple[AdbPhoneSource, DeviceFarm]]:
    """A farm whose end leaves no process, no server and no socket behind."""
    before = open_things()
    source = AdbPhoneSource(number, settings=DRIVER, probe_timeout_s=1)
    async with DeviceFarm([source], options=OPTIONS) as farm:
        port = source.phones.server.port
        yield source, farm

    async def is_gone() -> bool:
        return not answers(port)

    await until(is_gone)
    children, sockets = open_things()
    assert children <= before[0]
    assert sockets <= before[1]


def kill_adb_server(source: AdbPhoneSource) -> None:
    """With SIGKILL, whoever started it."""
    port = source.phones.server.port
    (pid,) = {
        one.pid
        for one in psutil.net_connections(kind="tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port
    }
    assert pid not in (None, os.getpid())
    os.kill(pid, signal.SIGKILL)


def recoveries(farm: DeviceFarm) -> int:
    return sum(member.statistics.reconnects + member.statistics.restarts for member in farm.members)


async def demonstrate(device: Device) -> Verdict:
    await device.reset(SUITE.task("set_switch", 1))
    agent = demonstrator_for(device)
    for _ in range(8):
        decision = await agent.decide(await device.observe())
        if (await device.execute(decision.action)).stop is not None:
            break
    return (await device.check()).verdict


async def test_a_killed_adb_server_and_a_dead_phone_cost_attempts_and_nothing_else() -> None:
    stats = CollectStats()
    async with phones(2) as (source, farm):
        serial = source.phones.phones[0].serial

        async def is_recovered() -> bool:
            states = {member.state for member in farm.members}
            return recoveries(farm) >= 1 and states <= {MemberState.READY, MemberState.LEASED}

        jobs = group_jobs([SUITE.task("set_switch", seed) for seed in range(6)])
        running = collect_episodes(jobs, farm, demonstrator_for, concurrency=2, max_attempts=8, stats=stats)
        found = []
        async for record in running:
            found.append(record.trajectory)
            if len(found) == 1:
                kill_adb_server(source)
            if len(found) == 3:
                await until(is_recovered)  # one restart would serve both, if it were still under way
                await source.phones.stop_phone(serial)
        # Whatever was idle when it happened is found out by the probe before its next lease.
        async with farm.lease() as one, farm.lease() as two:
            assert list(await asyncio.gather(demonstrate(one), demonstrate(two))) == [Verdict.SUCCESS] * 2
        counted = recoveries(farm)
    assert sorted(one.episode_id for one in found) == [job.context.episode_id for job in jobs]
    assert all(one.succeeded for one in found)
    assert counted >= 2
    assert farm.members[0].statistics.restarts >= 1


async def test_a_hanging_phone_is_noticed_by_its_echo_not_by_its_state() -> None:
    async with phones(1) as (source, farm):
        control = source.control(source.phones.phones[0].serial)
        await control.once(Fault.HANG)
        async with farm.lease() as device:
            assert await demonstrate(device) is Verdict.SUCCESS
        assert farm.members[0].statistics.faults == {FaultKind.SILENT: 1}
        async with farm.lease() as device:
            await device.reset(SUITE.task("set_switch", 1))
            await control.once(Fault.HANG)
            with pytest.raises(DeviceTimeoutError):
                await device.observe()
        assert farm.members[0].statistics.faults == {FaultKind.SILENT: 1, FaultKind.TIMEOUT: 1}


async def test_one_phone_under_two_serials_is_lent_once() -> None:
    async with phones(2) as (source, _):
        server: AdbServer = source.phones.server
        first, second = source.phones.phones
        port = source.phones.daemons[first.serial].port
        again = f"emulator-{port - 1}"
        await asyncio.to_thread(tell, server.port, f"host:emulator:{port}")

        async def is_listed() -> bool:
            return await asyncio.to_thread(server.state_of, again) == "device"

        await until(is_listed)
        serials = [first.serial, again, second.serial]
        twice = AndroidSource(serials, server=server, channel_of=lambda _: source.control(first.serial))
        async with DeviceFarm([twice], options=OPTIONS) as farm:
            assert farm.capacity == 2
            states = {member.name: member.state for member in farm.members}
            assert states[again] is MemberState.DUPLICATE
            assert [member.identity.device for member in farm.members if member.identity] == [
                "VP0001",
                "VP0001",
                "VP0002",
            ]


async def test_a_phone_that_was_given_up_joins_again_only_after_it_was_away() -> None:
    async with phones(2) as (source, _):
        served = source.phones
        first, second = (phone.serial for phone in served.phones)
        android = AndroidSource([first], server=served.server, channel_of=source.control, joins=True)
        (unit,) = await android.start()
        assert [one.name for one in await android.scan()] == [second], "it was plugged in later"
        assert not await android.scan()
        await android.replace(unit)
        assert not await android.scan(), "it is listed as ready, as a phone that hangs is"
        await served.stop_phone(first)

        async def is_away() -> bool:
            return await asyncio.to_thread(served.server.state_of, first) != "device"

        await until(is_away)
        assert not await android.scan()
        await served.restart_phone(first)
        assert [one.name for one in await android.scan()] == [first]


def test_a_small_soak_loses_doubles_and_leaks_nothing() -> None:
    arguments = ["--episodes", "8", "--phones", "2", "--rate", "0.1", "--attempts", "12", "--json"]
    command = [sys.executable, "-m", "benchmarks.farm_soak", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["episodes"] == figures["scored"] + figures["masked"] == 8
    assert (figures["lost"], figures["duplicated"]) == (0, 0)
    assert (figures["leaked_processes"], figures["leaked_sockets"]) == (0, 0)
    assert sum(figures["faults"].values()) > 5


def test_commands_run_on_phones_over_adb_and_their_farm_is_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "demos"
    arguments = ["--suite", "phone/quickstart", "--devices", "adb-phone:2", "--episodes", "3"]
    assert main(["collect", *arguments, "--output", str(output)]) == 0
    assert len(TrajectoryStore.open(output)) == 3
    capsys.readouterr()
    assert main(["farm", "status", str(output), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert not status["is_running"]
    assert [device["id"] for device in status["devices"]] == ["VP0001", "VP0002"]
    assert sum(device["episodes"] for device in status["devices"]) == 3


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = TinyModelConfig(
        hidden_size=32, num_layers=2, num_heads=2, num_key_value_heads=1, mlp_size=64, vision_hidden_size=16,
        vision_depth=1, vision_heads=1, vision_mlp_size=32, bpe_vocab_size=300, number_tokens=0,
    )  # fmt: skip
    return build_tiny_model(tiny, ["set the switch"], tmp_path_factory.mktemp("tiny"), seed=0)


def tiny_training(model_dir: Path, output_dir: Path) -> OnlineConfig:
    return OnlineConfig(
        model=str(model_dir), output_dir=output_dir, suite=SUITE.suite, format="compact", device="cpu",
        num_generations=2, groups_per_update=2, max_updates=3, max_completion_length=4, learning_rate=1e-3,
        on_exhausted=OnExhausted.TRAIN_ON_REST, beta=0.0, max_num_gen_batches=1, filter_std=-1,
        max_fault_retries=6, algorithm="grpo",
    )  # fmt: skip


async def test_training_in_process_is_the_same_with_and_without_a_farm(
    model_dir: Path, tmp_path: Path
) -> None:
    """Three phones for four episodes: one waits for a device, and lock-step batches are cut alike."""
    alone = await train_online(
        replace(tiny_training(model_dir, tmp_path / "alone"), max_updates=2),
        tasks=TASKS,
        devices=PhoneFactory(num_devices=3),
    )
    async with DeviceFarm([FactorySource("phone", PhoneFactory(num_devices=3))]) as farm:
        config = replace(tiny_training(model_dir, tmp_path / "farm"), max_updates=2)
        with_farm = await train_online(config, tasks=TASKS, devices=farm)
    lines = [list(map(without_times, read_metrics(one.metrics_path))) for one in (alone, with_farm)]
    assert lines[0] == lines[1]
    weights = [(one.model_dir / "model.safetensors").read_bytes() for one in (alone, with_farm)]
    assert weights[0] == weights[1]


async def test_online_training_goes_on_when_the_adb_server_and_phones_are_killed(
    model_dir: Path, tmp_path: Path
) -> None:
    config = replace(tiny_training(model_dir, tmp_path / "run"), deterministic=False)
    kills: list[str] = []

    async def kill(source: AdbPhoneSource, farm: DeviceFarm) -> None:
        """While episodes run: first the adb server, then a phone."""

        async def has_begun(episodes: int) -> bool:
            return sum(member.statistics.episodes for member in farm.members) >= episodes

        await until(partial(has_begun, 2))
        kill_adb_server(source)
        kills.append("adb server")
        await until(partial(has_begun, 6))
        await source.phones.stop_phone(source.phones.phones[1].serial)
        kills.append("phone")

    async with phones(2) as (source, farm):
        killing = asyncio.ensure_future(kill(source, farm))
        result = await train_online(config, tasks=TASKS, devices=farm)
        await killing
    assert kills == ["adb server", "phone"]
    lines = read_metrics(result.metrics_path)
    assert len(lines) == result.updates == 3
    assert sum(line["env/faults"] for line in lines) >= 1
    stored = list(TrajectoryStore.open(config.output_dir / "trajectories"))
    assert len({one.episode_id for one in stored}) == len(stored) == 3 * 4, "none is lost, none stored twice"
    assert all(one.outcome.verdict is Verdict.UNSCORED for one in stored if one.fault)
