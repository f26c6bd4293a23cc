"""What a farm promises: devices are lent once, brought back when they fail, and given up with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from devices.farm import DeviceFarm, FarmOptions, FaultKind, Identity, Unit, read_status
from devices.farm.clock import Clock
from devices.farm.in_process import FactorySource
from devices.farm.member import Member, MemberState
from devices.farm.status import status_beside, write_status
from devices.phone.device import PhoneDevice, PhoneFactory
from devices.registry import resolve_devices, resolve_suite
from gui_agent.actions import Click
from gui_agent.device import Demonstrator, Device, Restorable, StopReason, Task, Verdict
from gui_agent.errors import ConfigError, DataError, DeviceError, DeviceTimeoutError, NoDeviceError
from gui_agent.observation import Observation
from trajectories.collect import CollectStats, collect_episodes, demonstrator_for, group_jobs

pytestmark = [
    pytest.mark.filterwarnings("ignore:a device was given up"),
    pytest.mark.filterwarnings("ignore:no device answers"),
]
SUITE = resolve_suite("phone/quickstart")
QUICK = FarmOptions(
    observe_timeout_s=0.05, probe_timeout_s=0.2, backoff_first_s=0.01, backoff_max_s=0.02, rescan_s=0.02
)


def task(seed: int = 0) -> Task:
    return SUITE.task("set_switch", seed)


class FaultyPhone(PhoneDevice):
    """A phone in this process that does what its unit says at the next look."""

    unit: FaultyUnit

    async def observe(self) -> Observation:
        if self.unit.looks:
            await self.unit.looks.pop(0)()
        if self.unit.is_gone:
            raise DeviceError(f"phone {self.unit.name}: gone")
        return await super().observe()


@dataclass
class FaultyUnit:
    """A phone that can vanish, hang, and be somebody else; `events` says what a farm did to it."""

    name: str
    says: str = ""
    is_gone: bool = False
    cannot: tuple[str, ...] = ()
    looks: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    num_lent: int = 0

    async def probe(self) -> Identity:
        if self.is_gone:
            raise DeviceError(f"phone {self.name}: no answer")
        return Identity(device=self.says or self.name, boot="1")

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Device]:
        assert self.num_lent == 0, f"{self.name} was lent twice"
        self.num_lent += 1
        phone = FaultyPhone()
        phone.unit = self
        try:
            yield phone
        finally:
            self.num_lent -= 1

    async def reconnect(self) -> None:
        await self._remedy("reconnect")

    async def restart(self) -> bool:
        await self._remedy("restart")
        return True

    async def _remedy(self, remedy: str) -> None:
        self.events.append(remedy)
        if remedy in self.cannot:
            raise DeviceError(f"phone {self.name}: {remedy} failed")
        self.is_gone = False

    async def close(self) -> None:
        self.events.append("close")


@dataclass
class FaultySource:
    units: Sequence[FaultyUnit]
    spare: list[FaultyUnit] = field(default_factory=list)
    found: list[FaultyUnit] = field(default_factory=list)
    name: str = "faulty"

    async def start(self) -> Sequence[Unit]:
        return self.units

    async def scan(self) -> Sequence[Unit]:
        found, self.found = self.found, []
        return found

    async def replace(self, unit: Unit) -> Unit | None:
        return self.spare.pop() if self.spare else None

    async def close(self) -> None:
        return None


class HandTurnedClock:
    """Time that passes only while somebody sleeps, and is written down."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        if seconds >= 1000:  # looking for more devices, which these tests do without
            await asyncio.Event().wait()
        self.slept.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)

    @property
    def clock(self) -> Clock:
        return Clock(now_s=lambda: self.now_s, sleep=self.sleep)


async def hang() -> None:
    await asyncio.Event().wait()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (what is waited for tells nobody)
            await asyncio.sleep(0.005)


async def look(farm: DeviceFarm) -> None:
    async with farm.lease() as device:
        await device.reset(task())
        await device.observe()


def member(farm: DeviceFarm, name: str) -> Member:
    return next(one for one in farm.members if one.name == name)


@asynccontextmanager
async def farm_of(*units: FaultyUnit, options: FarmOptions = QUICK) -> AsyncIterator[DeviceFarm]:
    async with DeviceFarm([FaultySource(units)], options=options) as farm:
        yield farm


async def test_a_guarded_device_is_what_its_device_is() -> None:
    async with farm_of(FaultyUnit("a")) as farm, farm.lease() as device:
        assert isinstance(device, Restorable)
        assert isinstance(device, Demonstrator)
        await device.reset(task())
        saved, before = await device.snapshot(), await device.observe()
        expert = await device.next_expert_action()
        assert expert is not None
        await device.execute(expert.action)
        await device.restore(saved)
        assert (await device.observe()).screenshot == before.screenshot
        await device.close()
        with pytest.raises(DeviceError, match="the lease is over"):
            await device.observe()

    class Blind:
        """A device that neither demonstrates nor restores."""

        action_space = frozenset({Click})

    from devices.farm.guard import guard
    from devices.farm.statistics import DeviceStatistics

    blind = guard(
        Blind(),  # type: ignore[arg-type]
        name="blind",
        options=QUICK,
        statistics=DeviceStatistics(),
        clock=Clock(),
    )
    assert not isinstance(blind, Restorable)
    assert not isinstance(blind, Demonstrator)


async def test_a_hanging_call_becomes_a_timeout_and_the_device_comes_back() -> None:
    unit = FaultyUnit("a", looks=[hang])
    async with farm_of(unit) as farm:
        with pytest.raises(DeviceTimeoutError, match=r"device a: observe did not end within 0\.05 s"):
            await look(farm)
        await look(farm)
        counted = member(farm, "a").statistics
        assert counted.faults == {FaultKind.TIMEOUT: 1}
        assert (counted.leases, counted.episodes) == (2, 2)
        assert counted.calls["observe"].count == 1
        assert unit.events == [], "it answered the probe, so nothing was done to it"


async def test_faults_swallowed_by_the_borrower_count_too() -> None:
    unit = FaultyUnit("a", looks=[hang])
    async with farm_of(unit) as farm:
        async with farm.lease() as device:
            await device.reset(task())
            with pytest.raises(DeviceTimeoutError):
                await device.observe()
        assert member(farm, "a").statistics.faults[FaultKind.TIMEOUT] == 1


async def test_two_leases_never_share_a_device_whatever_happens() -> None:
    """FaultyUnit.lease asserts it; half of all looks hang or find the phone gone."""
    units = [FaultyUnit(f"phone-{number}") for number in range(3)]

    async def vanish(unit: FaultyUnit) -> None:
        unit.is_gone = True

    async def fine() -> None:
        return None

    for number, unit in enumerate(units):
        unit.looks = [hang, fine, lambda unit=unit: vanish(unit), fine, fine] * 4  # type: ignore[misc]
        unit.looks = unit.looks[number:]
    stats = CollectStats()
    async with farm_of(*units, options=FarmOptions(observe_timeout_s=0.05, backoff_first_s=0.01)) as farm:
        jobs = group_jobs([task(seed) for seed in range(12)])
        running = collect_episodes(
            jobs, farm, demonstrator_for, concurrency=8, max_attempts=25, stats=stats, ordered=True
        )
        records = [record async for record in running]
    assert [record.trajectory.episode_id for record in records] == [job.context.episode_id for job in jobs]
    assert stats.lost == 0
    assert stats.faults > 5
    assert all(record.trajectory.outcome.verdict is Verdict.SUCCESS for record in records)
    assert [unit.num_lent for unit in units] == [0, 0, 0]


async def test_a_vanished_device_is_reconnected_then_restarted() -> None:
    easy, hard = FaultyUnit("easy"), FaultyUnit("hard", cannot=("reconnect",))
    async with farm_of(easy, hard) as farm:
        easy.is_gone = hard.is_gone = True
        async with AsyncExitStack() as leases:  # both fail their probes, and both come back
            for _ in range(2):
                await leases.enter_async_context(farm.lease())
        assert easy.events == ["reconnect"]
        assert hard.events == ["reconnect", "restart"]
        assert member(farm, "hard").statistics.to_json()["restarts"] == 1
        assert member(farm, "hard").statistics.faults == {FaultKind.SILENT: 1}


async def test_quarantines_grow_and_end_in_a_replacement() -> None:
    turned = HandTurnedClock()
    broken = FaultyUnit("broken", cannot=("reconnect", "restart"))
    fresh = FaultyUnit("fresh")
    options = FarmOptions(
        free_faults=1, backoff_first_s=1, backoff_factor=3, backoff_max_s=20, max_failures=5, rescan_s=1000
    )
    source = FaultySource([broken], spare=[fresh])
    async with DeviceFarm([source], options=options, clock=turned.clock) as farm:
        broken.is_gone = True
        async with farm.lease() as device:
            await device.reset(task())
        assert turned.slept == [1, 3, 9, 20]
        assert member(farm, "broken").state is MemberState.LOST
        assert member(farm, "broken").statistics.quarantined_s == 33
        assert member(farm, "fresh").statistics.leases == 1
        assert broken.events[-1] == "close"
        assert farm.capacity == 1
        told = [event.what for event in farm.events if event.device == "broken"]
        assert told[0] == "fault"
        assert told[-2:] == ["lost", "replaced"]


async def test_an_episode_without_a_fault_ends_the_count_of_failures() -> None:
    unit = FaultyUnit("a")
    async with farm_of(unit) as farm:
        for _ in range(QUICK.max_failures):  # more faults than are forgiven in a row
            unit.looks = [hang]
            with pytest.raises(DeviceTimeoutError):
                await look(farm)
            await look(farm)
        assert member(farm, "a").failures == 0
        assert member(farm, "a").statistics.quarantined_s == 0


async def test_a_lease_waits_while_a_device_may_come_back_and_fails_when_none_will() -> None:
    unit = FaultyUnit("a", cannot=("reconnect", "restart"))
    options = FarmOptions(backoff_first_s=0.02, backoff_max_s=0.02, max_failures=6)
    async with farm_of(unit, options=options) as farm:
        unit.is_gone = True
        waiting = asyncio.ensure_future(farm.lease().__aenter__())
        await until(lambda: member(farm, "a").state is MemberState.QUARANTINED)
        assert farm.capacity == 1, "it may come back"
        assert farm.num_healthy == 0
        assert not waiting.done()
        unit.cannot, unit.is_gone = (), False
        device = await waiting
        await device.close()
    unit = FaultyUnit("a", cannot=("reconnect", "restart"))
    async with farm_of(unit, options=options) as farm:
        unit.is_gone = True
        with (
            pytest.warns(UserWarning, match="no device answers; 1 may come back and are waited for: phone a"),
            pytest.warns(UserWarning, match="a device was given up: phone a"),
            pytest.raises(NoDeviceError, match=r"no device is left.*6 failures in a row.*a: phone a: re"),
        ):
            async with farm.lease():
                pass
        assert farm.capacity == 0
        jobs = group_jobs([task()])
        with pytest.raises((NoDeviceError, ConfigError), match="no device"):
            [record async for record in collect_episodes(jobs, farm, demonstrator_for)]


async def test_collecting_ends_when_the_last_device_is_given_up() -> None:
    unit = FaultyUnit("a", cannot=("reconnect", "restart"))

    async def vanish() -> None:
        unit.is_gone = True

    unit.looks = [vanish]
    options = FarmOptions(backoff_first_s=0.01, max_failures=3)
    async with farm_of(unit, options=options) as farm:
        jobs = group_jobs([task(seed) for seed in range(3)])
        with pytest.raises(NoDeviceError, match="no device is left"):
            [record async for record in collect_episodes(jobs, farm, demonstrator_for, concurrency=3)]


async def test_one_device_under_two_names_is_lent_once_and_by_either_name() -> None:
    first = FaultyUnit("emulator-5554", says="X", cannot=("reconnect", "restart"))
    second = FaultyUnit("127.0.0.1:5555", says="X")
    other = FaultyUnit("other")
    options = FarmOptions(backoff_first_s=0.01, max_failures=1)
    async with farm_of(first, second, other, options=options) as farm:
        assert farm.capacity == 2
        assert member(farm, "127.0.0.1:5555").state is MemberState.DUPLICATE
        assert "same device as emulator-5554" in member(farm, "127.0.0.1:5555").reason
        first.is_gone = True
        async with farm.lease() as one, farm.lease() as two:
            assert one is not two
        assert farm.capacity == 2
        assert member(farm, "emulator-5554").state is MemberState.LOST
        assert member(farm, "127.0.0.1:5555").statistics.leases == 1


async def test_another_device_under_the_same_name_is_not_lent() -> None:
    unit = FaultyUnit("10.0.0.7:5555")
    options = FarmOptions(backoff_first_s=0.01, max_failures=2)
    async with farm_of(unit, options=options) as farm:
        async with farm.lease():
            pass
        unit.says = "somebody else"
        with pytest.raises(NoDeviceError, match="says it is 'somebody else', but was"):
            async with farm.lease():
                pass
        assert member(farm, unit.name).statistics.faults == {FaultKind.WRONG_DEVICE: 1}


async def test_a_lease_waits_while_a_replacement_is_made() -> None:
    broken = FaultyUnit("broken", cannot=("reconnect", "restart"))
    made = asyncio.Event()

    class SlowSource(FaultySource):
        async def replace(self, unit: Unit) -> Unit | None:
            await made.wait()
            return FaultyUnit("fresh")

    options = FarmOptions(backoff_first_s=0.01, max_failures=1)
    async with DeviceFarm([SlowSource([broken])], options=options) as farm:
        broken.is_gone = True
        waiting = [asyncio.ensure_future(farm.lease().__aenter__()) for _ in range(2)]
        await until(lambda: "close" in broken.events)
        assert farm.capacity == 1, "there may be another one"
        made.set()
        await (await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED))[0].pop()
        assert farm.capacity == 1
        assert member(farm, "fresh").statistics.leases == 1


async def test_a_mistake_in_a_source_ends_the_run_instead_of_leaving_it_waiting() -> None:
    class Mistaken(FaultyUnit):
        async def reconnect(self) -> None:
            raise ZeroDivisionError("a mistake")

    unit = Mistaken("a")
    async with farm_of(unit) as farm:
        unit.is_gone = True
        for _ in range(2):
            with pytest.raises(NoDeviceError, match="the farm failed: ZeroDivisionError: a mistake"):
                async with farm.lease():
                    pass


async def test_devices_that_are_plugged_in_join() -> None:
    source = FaultySource([FaultyUnit("a")])
    async with DeviceFarm([source], options=QUICK) as farm, farm.lease():
        source.found = [FaultyUnit("b"), FaultyUnit("c", says="a")]
        async with farm.lease():
            assert farm.capacity == 2
            await until(lambda: member(farm, "c").state is MemberState.DUPLICATE)


async def test_a_cancelled_wait_loses_no_device() -> None:
    async with farm_of(FaultyUnit("a")) as farm:
        async with farm.lease():
            waiting = [asyncio.ensure_future(farm.lease().__aenter__()) for _ in range(2)]
            await asyncio.sleep(0)
            waiting[0].cancel()
        device = await waiting[1]
        await device.reset(task())
        assert waiting[0].cancelled()
        # Cancelled in the moment in which its turn came.
    async with farm_of(FaultyUnit("a")) as farm:
        lease = farm.lease()
        await lease.__aenter__()
        waiter = asyncio.ensure_future(farm.lease().__aenter__())
        await asyncio.sleep(0)
        await lease.__aexit__(None, None, None)
        waiter.cancel()
        async with farm.lease() as device:
            await device.reset(task())


async def test_closing_ends_what_waits_and_what_is_being_brought_back() -> None:
    unit = FaultyUnit("a", cannot=("reconnect", "restart"))
    farm = DeviceFarm([FaultySource([unit])], options=FarmOptions(backoff_first_s=100, free_faults=0))
    before = asyncio.all_tasks()
    await farm.start()
    unit.is_gone = True
    waiting = asyncio.ensure_future(farm.lease().__aenter__())
    await until(lambda: member(farm, "a").state is MemberState.QUARANTINED)
    await farm.close()
    await farm.close()
    with pytest.raises(NoDeviceError, match="closed"):
        await waiting
    assert asyncio.all_tasks() == before
    with pytest.raises(ConfigError, match="not running"):
        async with farm.lease():
            pass


async def test_the_status_file_says_how_the_devices_are(tmp_path: Path) -> None:
    unit = FaultyUnit("a", looks=[hang])
    path = tmp_path / "farm.json"
    options = FarmOptions(observe_timeout_s=0.05, status_interval_s=0.01)
    async with DeviceFarm([FaultySource([unit])], options=options, status_path=path) as farm:
        with pytest.raises(DeviceTimeoutError):
            await look(farm)
        await until(lambda: bool(read_status(tmp_path).events))
        async with farm.lease():
            await until(lambda: read_status(tmp_path).devices[0]["state"] == "leased")
            status = read_status(path)
            assert status.is_running
            assert (status.capacity, status.num_healthy) == (1, 1)
            device_json = status.devices[0]
            assert device_json["faults"] == {"timeout": 1}
            assert device_json["calls"]["reset"]["count"] == 1
            assert status.events[0]["what"] == "fault"
    assert not read_status(path).is_running


async def test_a_farm_of_phones_in_process_changes_no_result() -> None:
    """The same episodes, bit for bit, as from the factory itself; several share a device."""

    async def collected(farm: bool) -> list[tuple[object, ...]]:
        factory = resolve_devices("phone:3", SUITE)
        jobs = group_jobs([SUITE.task(template, 1) for template in SUITE.templates], num_generations=2)
        async with AsyncExitStack() as stack:
            if farm:
                factory = await stack.enter_async_context(DeviceFarm([FactorySource("phone", factory)]))
            running = collect_episodes(jobs, factory, demonstrator_for, concurrency=8)
            found = [record.trajectory async for record in running]
        return [
            (
                (one.episode_id, one.stop, one.outcome, one.final_screenshot_sha256),
                *((step.executed, step.screenshot_sha256, step.progress) for step in one.steps),
            )
            for one in found
        ]

    assert await collected(farm=True) == await collected(farm=False), "in the same order, too"


async def test_a_free_device_in_process_is_lent_without_giving_way() -> None:
    """Lock-step batches would otherwise be cut differently."""
    async with DeviceFarm([FactorySource("phone", PhoneFactory(num_devices=2))]) as farm:
        lease = farm.lease()
        steps = lease.__aenter__()
        with pytest.raises(StopIteration):
            steps.send(None)
        await lease.__aexit__(None, None, None)


async def test_a_fault_masks_its_episode_and_never_scores_it() -> None:
    unit = FaultyUnit("a", looks=[hang] * 2)
    async with farm_of(unit) as farm:
        jobs = group_jobs([task()])
        records = [record async for record in collect_episodes(jobs, farm, demonstrator_for, max_attempts=2)]
    assert records[0].trajectory.stop is StopReason.DEVICE_FAULT
    assert records[0].trajectory.outcome.verdict is Verdict.UNSCORED


def test_nothing_unfinished_is_left_beside_a_status(tmp_path: Path) -> None:
    status = DeviceFarm([FaultySource([])]).status()
    write_status(tmp_path / "farm.json", status)
    write_status(status_beside(tmp_path / "store"), status)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["farm.json", "store.farm.json"]
    assert read_status(tmp_path) == read_status(tmp_path / "store") == status
    (tmp_path / "farm.json").write_text("{")
    with pytest.raises(DataError, match="is no status of a farm"):
        read_status(tmp_path)
    with pytest.raises(ConfigError, match="give the output folder of a run"):
        read_status(tmp_path / "elsewhere")


def test_options_and_sources_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="probe_timeout_s is 0"):
        FarmOptions(probe_timeout_s=0)
    with pytest.raises(ConfigError, match=r"backoff_factor=0\.5"):
        FarmOptions(backoff_factor=0.5)
    with pytest.raises(ConfigError, match="without a source"):
        DeviceFarm([])


def test_quarantines_never_overflow() -> None:
    options = FarmOptions(free_faults=0, backoff_first_s=1, backoff_max_s=60)
    assert [options.quarantine_s(failures) for failures in (0, 1, 2, 7, 10_000)] == [0, 1, 2, 60, 60]
