"""Devices on other computers: what travels, what is lost with a process, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from devices.farm import DeviceFarm, FarmOptions
from devices.farm.node import Node
from devices.farm.ray_source import check_address, device_hosts
from devices.farm.wire import WIRE_VERSION, pack, pack_error, unpack, unpack_error
from devices.phone.goal import PhoneGoal
from devices.registry import resolve_devices, resolve_suite
from gui_agent.actions import (
    Button,
    Click,
    Direction,
    Finish,
    FinishStatus,
    LongPress,
    ParseError,
    Scroll,
    SystemButton,
    TypeText,
)
from gui_agent.agent import Agent
from gui_agent.device import (
    ActionResult,
    ActionSource,
    Demonstrator,
    Device,
    ExpertAction,
    Outcome,
    Restorable,
    StopReason,
    Verdict,
)
from gui_agent.errors import (
    CaptureError,
    ConfigError,
    DataError,
    DeviceError,
    DeviceTimeoutError,
    GuiAgentError,
    NoDeviceError,
)
from gui_agent.matching import MatchResult
from gui_agent.observation import Box
from trajectories.collect import CollectStats, collect_episodes, demonstrator_for, group_jobs

pytestmark = pytest.mark.filterwarnings("ignore:no device answers")
SUITE = resolve_suite("phone/quickstart")
QUICK = FarmOptions(backoff_first_s=0.01, backoff_max_s=0.02, max_failures=3)
Make = Callable[..., Any]


def is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(type(key) is str and is_plain(item) for key, item in value.items())
    return value is None or type(value) in (bool, int, float, str, bytes)


@pytest.mark.parametrize(
    "value",
    [
        Click(x=1, y=2),
        LongPress(x=1, y=2, duration_s=0.5),
        Scroll(direction=Direction.DOWN),
        TypeText(text="你好 🙂 %s\n'"),
        SystemButton(button=Button.BACK),
        Finish(status=FinishStatus.FAILURE),
        ParseError(reason="no command", text="tap tap"),
        Outcome(verdict=Verdict.UNSCORED, detail="nobody can tell"),
        ActionResult(
            executed=None,
            error="outside",
            source=ActionSource.PATCH,
            expected=ExpertAction(action=Click(x=3, y=4), boxes=(Box(left=1, top=2, right=3, bottom=4),)),
            match=MatchResult(type_match=True, exact_match=False, reason="too far"),
            stop=StopReason.PATCH_BUDGET_SPENT,
        ),
    ],
)
def test_values_travel_as_plain_data_and_come_back_equal(value: object) -> None:
    travelling = pack(value)
    assert is_plain(travelling)
    back = unpack(json.loads(json.dumps(travelling)))
    assert (back, type(back)) == (value, type(value))


@pytest.mark.parametrize(
    "data",
    [
        {"record": "Popen", "fields": {}},
        {"record": "Click", "fields": {"x": 1}},
        {"record": "Click", "fields": None},
        {"choice": "Direction", "value": "sideways"},
        {},
    ],
)
def test_data_that_names_anything_else_is_refused(data: object) -> None:
    with pytest.raises(DataError, match="another computer"):
        unpack(data)


def test_other_values_do_not_travel() -> None:
    with pytest.raises(DataError, match="Future does not travel"):
        pack(asyncio.Future(loop=asyncio.new_event_loop()))


@pytest.mark.parametrize("kind", [CaptureError, DeviceTimeoutError, NoDeviceError, ConfigError, DeviceError])
def test_errors_keep_their_kind_and_say_where(kind: type[GuiAgentError]) -> None:
    class _Special(kind):  # type: ignore[misc, valid-type]
        pass

    error = unpack_error(pack_error(_Special("no picture")), node="lab-2")
    assert type(error) is kind
    assert str(error) == "lab-2: no picture"


async def test_what_is_lent_elsewhere_sees_does_and_can_what_it_does_here(loopback: Make) -> None:
    nodes = loopback("phone:1", "phone/quickstart")
    task = SUITE.task("set_switch", 5)
    here = resolve_devices("phone:1", SUITE)
    async with DeviceFarm([nodes.source]) as farm, farm.lease() as there, here.lease() as phone:
        assert type(there).__name__ == type(phone).__name__
        assert isinstance(there, Restorable)
        assert isinstance(there, Demonstrator)
        assert isinstance(phone, Demonstrator)
        assert there.action_space == phone.action_space
        for device in (there, phone):
            await device.reset(task)
        for action in (
            Click(x=5000, y=1),
            ParseError(reason="?", text="tap"),
            Scroll(direction=Direction.DOWN),
        ):
            assert await there.execute(action) == await phone.execute(action)
        while (expert := await phone.next_expert_action()) is not None:
            assert await there.next_expert_action() == expert
            assert await there.observe() == await phone.observe(), "the same bytes of the same picture"
            done = await phone.execute(expert.action)
            assert await there.execute(expert.action) == done
            if done.stop is not None:
                break
        assert await there.check() == await phone.check()
        assert (await there.check()).verdict is Verdict.SUCCESS
    assert all(is_plain(arguments) and is_plain(answer) for _, arguments, answer in nodes.asked)


async def test_capacities_add_up_and_names_say_where(loopback: Make) -> None:
    nodes = loopback("phone:2", "phone/quickstart", num_nodes=2)
    async with DeviceFarm([nodes.source]) as farm:
        assert [one.name for one in farm.members] == [
            "lab-1/phone-1", "lab-1/phone-2", "lab-2/phone-1", "lab-2/phone-2",
        ]  # fmt: skip
        assert farm.capacity == farm.num_healthy == 4
    assert [request for request, _, _ in nodes.asked].count("close") == 2


async def test_a_process_that_dies_costs_an_attempt_and_is_started_again(loopback: Make) -> None:
    nodes = loopback("phone:2", "phone/quickstart", num_nodes=2)
    stats, begun = CollectStats(), 0

    def agent_for(device: Device) -> Agent:
        nonlocal begun
        begun += 1
        if begun == 3:
            nodes.cut()
        return demonstrator_for(device)

    jobs = group_jobs([SUITE.task("set_switch", seed) for seed in range(4)], num_generations=2)
    async with DeviceFarm([nodes.source], options=QUICK) as farm:
        running = collect_episodes(
            jobs, farm, agent_for, concurrency=4, max_attempts=4, ordered=True, stats=stats
        )
        found = [record.trajectory async for record in running]
        assert farm.capacity == 4
        assert sum(member.statistics.faults.total() for member in farm.members) >= 1
    assert len(nodes.started) == 4
    assert stats.retries >= 1
    assert stats.lost == 0
    assert [one.episode_id for one in found] == [job.context.episode_id for job in jobs]
    assert all(one.succeeded for one in found)


async def until_one_is_left(farm: DeviceFarm) -> None:
    """Episodes go on meanwhile, on the other device."""
    async with asyncio.timeout(60):
        while farm.capacity > 1:
            async with farm.lease() as device:
                await device.reset(SUITE.task("set_switch", 0))
            await asyncio.sleep(0.01)


async def test_a_process_that_cannot_be_started_again_leaves_the_others(loopback: Make) -> None:
    nodes = loopback("phone:1", "phone/quickstart", num_nodes=2)
    async with DeviceFarm([nodes.source], options=QUICK) as farm:
        first = nodes.source.nodes[0]
        nodes.cut()

        async def gone() -> Any:
            raise DeviceError("lab-1 has left the cluster")

        first._connect = gone
        with pytest.warns(UserWarning, match="given up.*lab-1 has left"):
            await until_one_is_left(farm)
        async with farm.lease() as device:
            await device.reset(SUITE.task("set_switch", 0))
        assert [member.can_be_lent for member in farm.members] == [False, True]


async def test_a_request_that_was_cut_off_leaves_no_device_lent() -> None:
    node = Node()
    await node.ask("start", WIRE_VERSION, "phone:1", "phone/quickstart")
    first = (await node.ask("open", 0))["value"]
    second = (await node.ask("open", 0))["value"]  # nobody heard of the first
    assert "lease is over" in (await node.ask("call", 0, first["number"], "observe"))["message"]
    assert await node.ask("give_back", 0, first["number"]) == {"value": None}
    task = SUITE.task("set_switch", 0)
    named = {"template": task.template, "seed": task.seed, "task_id": task.task_id}
    assert await node.ask("reset", 0, second["number"], named) == {"value": None}
    assert "value" in await node.ask("call", 0, second["number"], "observe")
    await node.ask("close")


@pytest.mark.parametrize(
    ("version", "devices", "suite", "message"),
    [
        (WIRE_VERSION + 1, "phone:1", "phone/quickstart", "install the same gui-agent"),
        (WIRE_VERSION, "tablet:1", "phone/quickstart", "no world 'tablet'"),
        (WIRE_VERSION, "phone:1", "phone/nothing", "nothing"),
    ],
)
async def test_nodes_that_cannot_be_say_why(version: int, devices: str, suite: str, message: str) -> None:
    answer = await Node().ask("start", version, devices, suite)
    assert answer["error"] == "ConfigError"
    assert message in answer["message"]


async def test_what_cannot_be_set_elsewhere_is_refused(loopback: Make) -> None:
    async with DeviceFarm([loopback("phone:1", "phone/quickstart").source]) as farm, farm.lease() as device:
        task = SUITE.task("set_switch", 1)

        class Renamed:
            template, seed, goal, max_steps = task.template, task.seed, task.goal, task.max_steps
            task_id = "phone/quickstart/set_switch/999"

        with pytest.raises(ConfigError, match="is none of suite 'phone/quickstart'"):
            await device.reset(Renamed())
        with pytest.raises(ConfigError, match="goal"):
            await device.reset(PhoneGoal(goal="find my keys"))
        await device.reset(task)
        assert (await device.execute(TypeText(text="x"))).error


async def test_computers_without_devices_are_left_out_but_one_must_have_some(
    loopback: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_ADDRESS", "192.0.2.1.invalid")
    nothing = loopback("android:all", "phone/quickstart")
    with (
        pytest.warns(UserWarning, match="lab-1 has no device"),
        pytest.raises(DeviceError, match="no computer has a device: lab-1"),
    ):
        await DeviceFarm([nothing.source]).start()
    some = loopback("phone:1", "phone/quickstart")
    some.source.nodes.extend(nothing.source.nodes)
    with pytest.warns(UserWarning, match="lab-1 has no device"):
        async with DeviceFarm([some.source]) as farm:
            assert farm.capacity == 1


def ray_node(
    name: str, *, alive: bool = True, resources: dict[str, float] | None = None, port: int = 1
) -> Any:
    return {
        "NodeID": f"{name}{port}", "Alive": alive, "Resources": {"CPU": 1.0, **(resources or {})},
        "NodeManagerHostname": name, "NodeManagerAddress": "10.0.0.1", "NodeManagerPort": port,
    }  # fmt: skip


def test_computers_that_declare_devices_are_chosen_before_others() -> None:
    plain = [ray_node("lab"), ray_node("gone", alive=False), ray_node("lab", port=2), ray_node("desk")]
    assert [host.name for host in device_hosts(plain)] == ["desk", "lab", "lab#2"]
    declared = [*plain, ray_node("rack", resources={"devices": 1.0})]
    assert [(host.name, host.declares) for host in device_hosts(declared)] == [("rack", True)]


async def test_addresses_at_which_no_cluster_is() -> None:
    with socket.socket() as bound:  # nobody listens
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigError, match="no Ray cluster answers there"):
            await check_address(f"127.0.0.1:{bound.getsockname()[1]}")
    with pytest.raises(ConfigError, match="Ray Client"):
        await check_address("ray://lab:10001")
    for address in ("", "auto", "local"):
        await check_address(address)
