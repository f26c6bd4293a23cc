"""The AndroidWorld adapter where no AndroidWorld is: a package of the test stands in for it.

The stand-in has the names that the adapter uses and tasks that misbehave in every way. What the real one does
is tested with a checkout, see tests/e2e/test_androidworld_checkout.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devices.android import AdbServer, AndroidDevice, AndroidFactory, AndroidSettings
from devices.android.factory import make_ready
from devices.androidworld.catalogue import Catalogue
from devices.androidworld.installation import Installation, find_installation
from devices.androidworld.session import SessionLimits
from devices.androidworld.suite import AndroidWorldSuite, Sessions, select
from devices.androidworld.transfer import TransferRefusedError, pull, push
from devices.phone.adb.android import Android
from devices.phone.adb.daemon import AdbDaemon
from devices.phone.adb.faults import Fault
from devices.phone.device import PhoneDevice
from devices.phone.suites import phone_suite
from devices.registry import resolve_suite
from gui_agent.actions import Action, Answer, Finish, Wait
from gui_agent.agent import Decision, EpisodeContext
from gui_agent.cli.main import ExitCode, main
from gui_agent.device import ActionResult, Verdict
from gui_agent.errors import ConfigError, DependencyError, DeviceError, DeviceTimeoutError
from gui_agent.observation import Observation
from trajectories.episode import run_episode

FAST = AndroidSettings(timeout_s=3.0, settle_timeout_s=0.0, prepare=False)
REGISTRY = """
import os, random, time
from android_env.components.errors import AdbControllerError
from android_world.env.adb_utils import adb


class Task:
    app_names, complexity, start_on_home_screen = ("settings",), 1.25, True

    def __init__(self, params):
        self.params = params

    goal = property(lambda self: f"{type(self).__name__} {self.params['number']}")
    set_device_time = classmethod(lambda cls, env: None)

    @classmethod
    def generate_random_params(cls):
        return {"number": random.randrange(10**6)}

    def initialize_task(self, env):
        print("what is printed is no message")

    def is_successful(self, env):
        return 0.0

    def tear_down(self, env):
        adb(env, "svc bluetooth disable")


class WifiOn(Task):
    def initialize_task(self, env):
        adb(env, "svc wifi disable")
        adb(env, "svc bluetooth enable")

    def is_successful(self, env):
        return float(adb(env, "settings get global wifi_on").strip() == b"1")


class Half(Task):
    app_names = ("settings", "nameless")

    def is_successful(self, env):
        return 0.5


class Says(Task):
    def is_successful(self, env):
        return float(env.interaction_cache == self.params["said"])

    @classmethod
    def generate_random_params(cls):
        return {"number": 0, "said": "forty two"}


class CheckRaises(Task):
    def is_successful(self, env):
        raise KeyError("nothing there")


class SetUpRaises(Task):
    def initialize_task(self, env):
        adb(env, "exit 9")


class Untidy(Task):
    def tear_down(self, env):
        raise RuntimeError("not now")


class Survives(Task):
    def is_successful(self, env):
        for _ in range(3):
            try:
                adb(env, "echo hello")
            except:
                pass
        return 0.0


class Disturbs(Task):
    # It counts its checks, and opens an app for each.
    def is_successful(self, env):
        adb(env, "settings put global checks $(settings get global checks)1")
        adb(env, "am start -a android.settings.SETTINGS")
        return 1.0


class Sleeps(Task):
    def is_successful(self, env):
        time.sleep(60)


class Dies(Task):
    def is_successful(self, env):
        os.write(2, b"out of memory")
        os._exit(3)


class NoApp(Task):
    app_names = ("recorder", "camera")


class Drifts(Task):
    goal = property(lambda self: str(time.monotonic_ns()))


KINDS = [WifiOn, Untidy, Half, Says, CheckRaises, SetUpRaises, Survives, Disturbs]
KINDS += [Sleeps, Dies, NoApp, Drifts]


def get_families():
    return ["android_world", "talking"]


class TaskRegistry:
    def get_registry(self, family):
        return {k.__name__: k for k in KINDS if family == "android_world" or k is Says}
"""
FILES = {
    "android_env/components/errors.py": "class AdbControllerError(Exception): pass",
    "android_env/components/adb_call_parser.py": """
class AdbCallParser:
    def __init__(self, controller):
        self.parse = lambda call: controller.execute_command(call, timeout=None)
""",
    "android_world/task_evals/information_retrieval/proto/state_pb2.py": "",
    "android_world/task_evals/information_retrieval/proto/task_pb2.py": "",
    "android_world/env/adb_utils.py": """
PACKAGES = {"settings": "com.android.settings/.Settings", "recorder": "org.recorder/.Main",
            "camera": "com.android.camera2/.Camera"}
get_adb_activity = PACKAGES.get
extract_package_name = lambda activity: activity.split("/")[0]
adb = lambda env, line: env.controller.env.execute_adb_call(["shell", line])
""",
    "android_world/env/interface.py": """
class AsyncAndroidEnv:
    interaction_cache = ""
    def __init__(self, controller):
        self.controller = controller
""",
    "android_world/env/android_world_controller.py": """
import enum
class A11yMethod(enum.Enum):
    NONE = 0
    A11Y_FORWARDER_APP = 1
class AndroidWorldController:
    def __init__(self, env, a11y_method):
        self.env = env
""",
    "android_world/env/setup_device/setup.py": """
class Recorder:
    apk_names = ("recorder.apk",)
get_app_mapping = {"recorder": Recorder}.get
""",
    "android_world/registry.py": REGISTRY,
}


def write_package(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for parent in path.relative_to(folder).parents[:-1]:
            (folder / parent / "__init__.py").touch()
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("stand_in"), FILES)


@pytest.fixture(scope="module")
def suite(checkout: Path) -> Iterator[AndroidWorldSuite]:
    installation = Installation(python=Path(sys.executable), checkout=checkout)
    catalogue, sessions = Catalogue(installation), Sessions(installation, SessionLimits(score_s=5.0))
    yield select("", catalogue, sessions)
    catalogue.close()
    sessions.close()


@contextlib.asynccontextmanager
async def phone_with(server: AdbServer) -> AsyncIterator[tuple[Android, AndroidFactory]]:
    quickstart = phone_suite("quickstart")
    phone = PhoneDevice(quickstart.display, popup_rate=0.0)
    await phone.reset(quickstart.task(quickstart.templates[0], 0))
    daemon = AdbDaemon(Android(phone, serial="TEST0"))
    await daemon.start()
    await asyncio.to_thread(server.connect, daemon.address)
    try:
        yield daemon.android, AndroidFactory([daemon.address], server=server, settings=FAST)
    finally:
        await asyncio.to_thread(server.disconnect, daemon.address)
        await daemon.close()


@pytest.fixture
async def phone(adb_server: AdbServer) -> AsyncIterator[tuple[Android, AndroidFactory]]:
    async with phone_with(adb_server) as served:
        yield served


async def outcome_of(suite: AndroidWorldSuite, name: str, factory: AndroidFactory) -> object:
    async with factory.lease() as device:
        await device.reset(suite.task(name, 0))
        return await device.check()


# What there is


def test_families_apps_names_and_patterns_choose_tasks(suite: AndroidWorldSuite) -> None:
    def chosen(names: str) -> tuple[str, ...]:
        return tuple(select(names, suite.catalogue, suite.sessions).templates)

    assert len(suite.templates) == 12
    assert chosen("talking") == ("Says",)
    assert chosen("camera") == ("NoApp",)
    assert chosen("Half, *Raises") == ("Half", "CheckRaises", "SetUpRaises")
    assert select("talking", suite.catalogue, suite.sessions).suite == "android_world/talking"
    with pytest.raises(ConfigError, match=r"no family, app or task 'WifiOf'; did you mean 'WifiOn'"):
        chosen("WifiOf")
    with pytest.raises(ConfigError, match="has no task 'Half'"):
        select("talking", suite.catalogue, suite.sessions).task("Half", 0)


def test_equal_seeds_give_equal_tasks_in_every_process(suite: AndroidWorldSuite) -> None:
    other = Catalogue(suite.catalogue.installation)
    seeds = (0, 1, 1_000_000, 1_000_001)
    goals = [suite.task("WifiOn", seed).goal for seed in seeds]
    assert [other.describe("WifiOn", seed).goal for seed in seeds] == goals
    other.close()
    assert len(set(goals)) == len(seeds)
    task = suite.task("WifiOn", 1)
    assert (task.task_id, task.template, task.seed) == ("android_world/WifiOn/1", "WifiOn", 1)
    assert task.max_steps == 12  # ten for each unit of complexity, as AndroidWorld's runner does
    assert task == suite.task("WifiOn", 1)


# What may go wrong with it


def test_without_androidworld_one_is_told_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GUI_AGENT_ANDROID_WORLD", raising=False)
    monkeypatch.delenv("GUI_AGENT_ANDROID_WORLD_PYTHON", raising=False)
    with pytest.raises(DependencyError, match=r"git clone \S+android_world.*docs/androidworld.md"):
        resolve_suite("android_world")
    code = main(["eval", "run", "--suite", "android_world/settings", "--model", "nowhere", "--dry-run"])
    assert code == ExitCode.DEPENDENCY
    assert "GUI_AGENT_ANDROID_WORLD is not set" in capsys.readouterr().err


def test_what_is_named_must_be_there(tmp_path: Path, checkout: Path) -> None:
    with pytest.raises(DependencyError, match=r"holds no AndroidWorld \(there is no android_world/registry"):
        find_installation({"GUI_AGENT_ANDROID_WORLD": str(tmp_path)})
    named = {"GUI_AGENT_ANDROID_WORLD": str(checkout)}
    with pytest.raises(DependencyError, match="is no program"):
        find_installation({**named, "GUI_AGENT_ANDROID_WORLD_PYTHON": str(tmp_path / "python")})
    assert find_installation(named) == Installation(python=Path(sys.executable), checkout=checkout)
    file = tmp_path / "python"
    file.write_text("this is no program")
    file.chmod(0o755)
    with pytest.raises(DependencyError, match=r"does not start \(Exec format error\)"):
        _ = Catalogue(Installation(python=file, checkout=checkout)).entries


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("android_world/env/interface.py", "import dm_enf", r"needs the module 'dm_enf'.*-r requirements"),
        ("android_world/registry.py", "", r"not the AndroidWorld that this adapter knows.*commit \w{40}"),
        ("android_world/registry.py", "import os; os._exit(1)", "ended; its last words"),
        ("android_world/registry.py", "raise SystemExit(3)", "not the AndroidWorld that this adapter knows"),
    ],
)
def test_another_version_is_refused(tmp_path: Path, file: str, text: str, message: str) -> None:
    broken = write_package(tmp_path, {**FILES, file: text})
    with pytest.raises(DependencyError, match=message):
        _ = Catalogue(Installation(python=Path(sys.executable), checkout=broken)).entries


def test_a_python_without_the_package_is_told(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="has no package android_world"):
        _ = Catalogue(Installation(python=Path(sys.executable))).entries


# On a phone


async def test_their_code_sets_up_checks_and_tidies_up(
    suite: AndroidWorldSuite, phone: tuple[Android, AndroidFactory]
) -> None:
    android, factory = phone
    android.put_setting("global", "wifi_on", "1")
    async with factory.lease() as device:
        await device.reset(suite.task("WifiOn", 7))
        assert android.setting("global", "wifi_on") == "0"
        outcome = await device.check()
        assert (outcome.verdict, outcome.progress) == (Verdict.FAILURE, 0.0)
        android.put_setting("global", "wifi_on", "1")
        outcome = await device.check()
        assert (outcome.verdict, outcome.progress) == (Verdict.SUCCESS, 1.0)
        assert android.setting("global", "bluetooth_on") == "1"
    assert android.setting("global", "bluetooth_on") == "0"  # tear_down did that


async def test_a_score_between_is_a_failure_with_progress(
    suite: AndroidWorldSuite, phone: tuple[Android, AndroidFactory]
) -> None:
    async with phone[1].lease() as device:
        await device.reset(suite.task("Half", 0))
        outcome = await device.check()
    assert (outcome.verdict, outcome.progress) == (Verdict.FAILURE, 0.5)


async def test_what_the_agent_answers_reaches_the_check(
    suite: AndroidWorldSuite, phone: tuple[Android, AndroidFactory]
) -> None:
    async with phone[1].lease() as device:
        await device.reset(suite.task("Says", 0))
        assert (await device.check()).verdict is Verdict.FAILURE
        await device.execute(Answer(text="forty two"))
        assert (await device.check()).verdict is Verdict.SUCCESS
        await device.reset(suite.task("Says", 0))
        assert (await device.check()).verdict is Verdict.FAILURE


class Waiter:
    """An agent that waits twice."""

    def start(self, context: EpisodeContext) -> None:
        self.left: list[Action] = [Finish(), Wait(duration_s=0.0), Wait(duration_s=0.0)]

    async def decide(self, observation: Observation) -> Decision:
        return Decision(action=self.left.pop())

    async def record(self, result: ActionResult) -> None:
        pass


async def test_an_episode_is_judged_once_after_the_last_look(
    suite: AndroidWorldSuite, phone: tuple[Android, AndroidFactory]
) -> None:
    android, factory = phone
    context = EpisodeContext(goal="", episode_id="one")
    async with factory.lease() as device:
        record = await run_episode(device, Waiter(), suite.task("Disturbs", 0), context=context)
        assert (await device.observe()).foreground_app == "com.android.settings"
    assert android.setting("global", "checks") == "null1"
    assert record.trajectory.outcome.verdict is Verdict.SUCCESS
    assert [step.progress for step in record.trajectory.steps] == [None, None, 1.0]
    assert len({step.screenshot_sha256 for step in record.trajectory.steps}) == 1
    assert record.trajectory.final_screenshot_sha256 == record.trajectory.steps[0].screenshot_sha256


async def test_a_check_that_raises_is_unscored(
    suite: AndroidWorldSuite, phone: tuple[Android, AndroidFactory]
) -> None:
    async with phone[1].lease() as device:
        await device.reset(suite.task("CheckRaises", 0))
        outcome = await device.check()
    assert outcome.verdict is Verdict.UNSCORED
    assert "KeyError: 'nothing there' (registry.py:" in outcome.detail


async def test_a_set_up_that_raises_is_the_worlds_fault(
    suite: AndroidWorldSuite, phone: tuple[Android, AndroidFactory]
) -> None:
    with pytest.raises(
        DeviceError, match=r"cannot set android_world/SetUpRaises/0 up: AdbControllerError.* 9"
    ):
        await outcome_of(suite, "SetUpRaises", phone[1])
    async with phone[1].lease() as device:  # and not of the next task, though the last cannot be tidied up
        for name in ("Untidy", "Half"):
            await device.reset(suite.task(name, 0))
        assert (await device.check()).progress == 0.5


async def test_an_app_that_is_missing_is_named(
    suite: AndroidWorldSuite, phone: tuple[Android, AndroidFactory]
) -> None:
    with pytest.raises(ConfigError) as refused:
        await outcome_of(suite, "NoApp", phone[1])
    assert "'recorder' (org.recorder), which is not installed: `python run.py --perf" in str(refused.value)
    assert "downloads recorder.apk" in str(refused.value)
    assert "'camera' (com.android.camera2), which is not installed: it comes with" in str(refused.value)


async def test_a_fault_is_never_a_failed_check(
    suite: AndroidWorldSuite, phone: tuple[Android, AndroidFactory]
) -> None:
    """The task swallows every exception and calls it zero; the fault is raised all the same."""
    android, factory = phone
    async with factory.lease() as device:
        await device.reset(suite.task("Survives", 0))
        assert (await device.check()).verdict is Verdict.FAILURE
        device.settings = replace(device.settings, timeout_s=0.2)
        for fault, kind in ((Fault.HANG, DeviceTimeoutError), (Fault.DROP, DeviceError)):
            android.faults.once(fault)
            with pytest.raises(kind, match="echo hello"):
                await device.check()
            await make_ready(device.connection, was_seen=True)
        assert (await device.check()).verdict is Verdict.FAILURE


async def test_code_that_hangs_or_dies_is_ended_and_started_again(
    suite: AndroidWorldSuite, phone: tuple[Android, AndroidFactory]
) -> None:
    _, factory = phone
    async with factory.lease() as device:
        await device.reset(suite.task("Sleeps", 0))
        suite.sessions.of(device)._limits = SessionLimits(score_s=0.5)
        with pytest.raises(DeviceTimeoutError, match=r"did not score its task within 0.5 s"):
            await device.check()
        with pytest.raises(
            DeviceError, match="not set up for AndroidWorld's Sleeps with seed 0, but for nothing"
        ):
            await device.check()
        suite.sessions.of(device)._limits = SessionLimits()
        await device.reset(suite.task("Dies", 0))
        with pytest.raises(
            DeviceError, match=r"ended in the middle of a task; its last words.*\s.*out of memory"
        ):
            await device.check()
        await device.reset(suite.task("Half", 0))
        assert (await device.check()).progress == 0.5


async def test_a_check_that_is_cancelled_leaves_no_answer_for_the_next(
    suite: AndroidWorldSuite, phone: tuple[Android, AndroidFactory]
) -> None:
    async with phone[1].lease() as device:
        await device.reset(suite.task("Sleeps", 0))
        checking = asyncio.create_task(device.check())
        done, _ = await asyncio.wait([checking], timeout=0.1)
        assert not done
        checking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await checking
        await device.reset(suite.task("Half", 0))
        assert (await device.check()).progress == 0.5


async def test_a_task_that_is_not_drawn_alike_is_refused(
    suite: AndroidWorldSuite, phone: tuple[Android, AndroidFactory]
) -> None:
    with pytest.raises(ValueError, match="does not draw this task alike from one seed"):
        await outcome_of(suite, "Drifts", phone[1])


async def test_files_go_there_and_back(phone: tuple[Android, AndroidFactory]) -> None:
    content = bytes(range(256)) * 1000
    async with phone[1].lease() as device:
        assert isinstance(device, AndroidDevice)
        await push(device.connection, content, "/sdcard/a file")
        assert await pull(device.connection, "/sdcard/a file") == content
        await push(device.connection, b"", "/sdcard/empty")
        assert await pull(device.connection, "/sdcard/empty") == b""
        with pytest.raises(TransferRefusedError, match="No such file"):
            await pull(device.connection, "/sdcard/none")
