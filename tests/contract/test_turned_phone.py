"""A phone over adb that is turned to its side: experts and the driver speak of the display as it is held."""

from __future__ import annotations

import random

import pytest

from devices.android import AdbServer, AndroidFactory
from devices.phone.adb.farm import FarmSettings, PhoneFarm
from devices.phone.adb.faults import Fault
from devices.phone.suites import phone_suite
from gui_agent.actions import action_points
from gui_agent.device import Demonstrator, Verdict


@pytest.mark.parametrize("name", ["quickstart", "phone"])
async def test_experts_succeed_on_a_turned_phone(name: str, adb_server: AdbServer) -> None:
    suite = phone_suite(name)
    settings = FarmSettings(suite=name, display=suite.display, adb_server_port=adb_server.port)
    async with PhoneFarm(settings) as farm:
        control = farm.control(farm.phones[0].serial)
        factory = AndroidFactory([control.phone.serial], server=adb_server, channel_of=farm.control)
        async with factory.lease() as device:
            for template in random.Random(name).sample(list(suite.templates), 4):
                task = suite.task(template, 7)
                await device.reset(task)
                await control.hold(Fault.ROTATION)
                assert isinstance(device, Demonstrator)
                for _ in range(task.max_steps):
                    shot = (await device.observe()).screenshot
                    assert shot.width_px > shot.height_px, "it is held sideways"
                    expert = await device.next_expert_action()
                    assert expert is not None
                    for x, y in action_points(expert.action):
                        assert 0 <= x < shot.width_px
                        assert 0 <= y < shot.height_px
                    for box in expert.boxes[:1]:
                        assert box.contains(*action_points(expert.action)[0])
                    result = await device.execute(expert.action)
                    assert result.error is None
                    if result.stop is not None:
                        break
                assert (await device.check()).verdict is Verdict.SUCCESS, template
                await control.clear()
