"""`gui-agent farm status`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from devices.farm.in_process import FactorySource
from devices.farm.pool import DeviceFarm
from devices.phone.device import PhoneFactory
from devices.phone.suites import phone_suite
from gui_agent.cli.farm import status_table
from gui_agent.cli.main import main

SUITE = phone_suite("quickstart")


async def status_of_a_run(path: Path) -> DeviceFarm:
    source = FactorySource("phone", PhoneFactory(num_devices=2))
    farm = DeviceFarm([source], status_path=path / "farm.json")
    async with farm, farm.lease() as device:
        await device.reset(SUITE.task("set_switch", 0))
        await device.observe()
    return farm


async def test_the_table_names_devices_states_and_times(tmp_path: Path) -> None:
    farm = await status_of_a_run(tmp_path)
    farm.events.add("phone-1", "fault", "timeout: observe did not end")
    console = Console(width=140, file=io.StringIO())
    console.print(status_table(farm.status()))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "phone-1" in shown
    assert "phone-2" in shown
    assert "0 of 2 devices" not in shown
    assert "fault timeout: observe did not end" in shown


async def test_json_is_one_object_with_all_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await status_of_a_run(tmp_path)
    assert main(["farm", "status", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert not found["is_running"]
    assert [device["leases"] for device in found["devices"]] == [1, 0]
    assert found["devices"][0]["calls"]["observe"]["count"] == 1
    assert main(["farm", "status", str(tmp_path)]) == 0
    table = capsys.readouterr().out
    assert "ended" in table
    assert "…" not in table


def test_a_folder_without_a_farm_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["farm", "status", str(tmp_path)]) == 2
    assert "give the output folder of a run that uses devices" in capsys.readouterr().err
