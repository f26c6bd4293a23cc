from __future__ import annotations

import pytest

from devices.phone.device import PhoneDevice
from devices.phone.suites import phone_suite
from gui_agent.actions import Finish
from gui_agent.device import StopReason, Verdict

SUITES = ("quickstart", "long", "phone")
CASES = [(name, template) for name in SUITES for template in phone_suite(name).templates]


@pytest.mark.parametrize(("suite_name", "template"), CASES)
async def test_expert_succeeds_within_the_limit_and_progress_rises(suite_name: str, template: str) -> None:
    suite = phone_suite(suite_name)
    device = PhoneDevice(suite.display, popup_rate=0.0)
    for seed in range(3 if suite_name == "phone" else 12):
        task = suite.task(template, seed)
        await device.reset(task)
        progress = []
        for _step in range(task.max_steps + 1):
            outcome = await device.check()
            assert outcome.progress is not None
            progress.append(outcome.progress)
            expert = await device.next_expert_action()
            assert expert is not None
            result = await device.execute(expert.action)
            assert result.error is None
            if result.stop:
                break
        assert result.stop is StopReason.FINISHED, task.task_id
        assert len(progress) <= task.max_steps
        assert (await device.check()).verdict is Verdict.SUCCESS, task.task_id
        assert progress == sorted(progress)
        assert progress[0] < 1 == progress[-1]
        assert await device.next_expert_action() is None


@pytest.mark.parametrize(("suite_name", "template"), CASES)
async def test_doing_nothing_and_finishing_at_once_fail(suite_name: str, template: str) -> None:
    suite = phone_suite(suite_name)
    device = PhoneDevice(suite.display)
    for seed in range(4 if suite_name == "phone" else 20):
        await device.reset(suite.task(template, seed))
        assert (await device.check()).verdict is Verdict.FAILURE
        result = await device.execute(Finish())
        assert result.stop is StopReason.FINISHED
        assert (await device.check()).verdict is Verdict.FAILURE
