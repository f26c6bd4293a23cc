"""Runs AndroidWorld's own code in AndroidWorld's own Python; `devices.androidworld.process` starts it.

It is run as a file and imports nothing of this project: the Python that it runs in has AndroidWorld and what
that needs, often in versions that nothing else here could use. It talks over one socket, a line of JSON each
way. The project's side asks ("draw", "set_up", "score", "tear_down"); while a task is at work on its phone,
this side asks back for what only the other side can do: a call of adb, the UI tree, a picture.

AndroidWorld's classes are used as they are. Two things are put under them: adb calls go over the socket
instead of to a program, and the accessibility forest is built from `uiautomator dump` instead of being sent
by an app that would have to be installed on the phone.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import importlib
import importlib.util
import inspect
import io
import json
import random
import re
import socket
import sys
import tempfile
import traceback
import types
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

_PROTOS: Final = "android_world.task_evals.information_retrieval.proto"
_PROTO_NAMES: Final = ("state", "task")
_EVALUATION_SEED_START: Final = 1_000_000
_THEIR_SEED: Final = 30
"""The random seed that AndroidWorld's own runner uses unless it is given another one."""
_STEPS_FOR_EACH_COMPLEXITY: Final = 10
_BOUNDS: Final = re.compile(r"\[(-?\d+),(-?\d+)\]\[(-?\d+),(-?\d+)\]")


class PhoneFaultError(BaseException):
    """The phone failed: nothing that is written here or there to survive an `Exception` may go on."""


class Link:
    """The socket: one JSON object a line."""

    def __init__(self, descriptor: int) -> None:
        """A socket that is open already."""
        self._socket = socket.socket(fileno=descriptor)
        self._reader = self._socket.makefile("rb")

    def receive(self) -> dict[str, Any] | None:
        """The next message; None when the other side is gone."""
        line = self._reader.readline()
        message: dict[str, Any] | None = json.loads(line) if line.endswith(b"\n") else None
        return message

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message."""
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def ask(self, **request: Any) -> dict[str, Any]:
        """What the phone answers.

        Raises:
            PhoneFaultError: it does not.
        """
        self.send({"phone": request})
        answer = self.receive()
        if answer is None or "fault" in answer:
            raise PhoneFaultError("the phone failed" if answer else "the other side is gone")
        return answer


class AdbController:
    """Stands where AndroidEnv starts the program `adb` (`android_env.components.adb_controller`)."""

    def __init__(self, link: Link) -> None:
        """Commands go over the link."""
        self._link = link
        self._error = importlib.import_module("android_env.components.errors").AdbControllerError

    def execute_command(
        self, args: list[str], timeout: float | None = None, device_specific: bool = True
    ) -> bytes:
        """The output of `adb ARGS`; a command that fails raises what AndroidEnv raises then."""
        answer = self._link.ask(adb=[str(word) for word in args], timeout_s=timeout)
        output = base64.b64decode(answer["output"])
        if answer["code"]:
            words = " ".join(map(str, args))
            raise self._error(
                f"Error executing adb command: [adb {words}]: exit code {answer['code']}: "
                f"{output.decode(errors='replace').strip()[:400]}"
            )
        return output


class Phone:
    """What AndroidWorld's controller calls its `env` (the methods of `android_env.env_interface`)."""

    raw_action = raw_observation = None

    def __init__(self, link: Link) -> None:
        """The phone at the other end of the link."""
        self._link = link
        parser = importlib.import_module("android_env.components.adb_call_parser")
        self._parser = parser.AdbCallParser(AdbController(link))

    def execute_adb_call(self, call: Any) -> Any:
        """AndroidEnv turns the request into a command, and its output into a response."""
        return self._parser.parse(call)

    def step(self, action: Any = None) -> Any:
        """Look; actions come from elsewhere."""
        dm_env = importlib.import_module("dm_env")
        return dm_env.transition(reward=0.0, observation={"pixels": self._pixels()})

    def reset(self) -> Any:
        """Look."""
        return self.step()

    def close(self) -> None:
        """The phone is not ours."""

    def action_spec(self) -> dict[str, Any]:
        """None: nobody acts through this."""
        return {}

    observation_spec = stats = action_spec

    def task_extras(self, latest_only: bool = True) -> dict[str, Any]:
        """There are none."""
        return {}

    def forest(self) -> Any:
        """The accessibility forest of the screen, one window of it.

        Raises:
            RuntimeError: the screen never rests, or hides its tree.
        """
        answer = self._link.ask(ui_tree=True)
        if not answer["xml"]:
            raise RuntimeError(f"Could not get a11y tree: {answer['missing']}")
        return forest_of(answer["xml"])

    def _pixels(self) -> Any:
        image = importlib.import_module("PIL.Image")
        numpy = importlib.import_module("numpy")
        png = base64.b64decode(self._link.ask(screenshot=True)["png"])
        return numpy.asarray(image.open(io.BytesIO(png)).convert("RGB"))


def forest_of(xml: str) -> Any:
    """An `AndroidAccessibilityForest` with the nodes of a `uiautomator dump`, depth first."""
    forests = importlib.import_module("android_env.proto.a11y.android_accessibility_forest_pb2")
    forest = forests.AndroidAccessibilityForest()
    nodes = forest.windows.add().tree.nodes
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise RuntimeError(
            "Could not get a11y tree: the dump declares entities, which uiautomator never does"
        )

    def add(element: ElementTree.Element, depth: int) -> int:
        said = element.attrib
        kind = said.get("class", "")
        node = nodes.add(
            unique_id=len(nodes),
            depth=depth,
            class_name=kind,
            package_name=said.get("package", ""),
            text=said.get("text", ""),
            content_description=said.get("content-desc", ""),
            hint_text=said.get("hint", ""),
            view_id_resource_name=said.get("resource-id", ""),
            is_editable=kind.endswith(("EditText", "AutoCompleteTextView")),
            is_visible_to_user=True,  # uiautomator leaves out what cannot be seen
            **{
                f"is_{name.replace('-', '_')}": said.get(name) == "true"
                for name in (
                    "checkable", "checked", "clickable", "enabled", "focusable", "focused", "long-clickable",
                    "password", "scrollable", "selected",
                )
            },
        )  # fmt: skip
        if bounds := _BOUNDS.fullmatch(said.get("bounds", "")):
            box = node.bounds_in_screen
            box.left, box.top, box.right, box.bottom = map(int, bounds.groups())
        number: int = node.unique_id
        nodes[number].child_ids.extend([add(child, depth + 1) for child in element.findall("node")])
        return number

    for element in ElementTree.fromstring(xml.encode()).findall("node"):
        add(element, 0)
    return forest


def instance_seed(template: str, seed: int) -> int:
    """The number that an instance is drawn from, by the rule of AndroidWorld's `suite_utils.create_suite`.

    The n-th instance for evaluation is the n-th one that their runner draws when nobody gives it a seed, so
    that results can be set beside theirs. Instances for training are others.
    """
    number = seed - _EVALUATION_SEED_START
    text = f"{_THEIR_SEED}_{template}_{number}" if number >= 0 else f"training_{template}_{seed}"
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % 2**32


class Worker:
    """AndroidWorld's tasks, and the one that is being worked on.

    Args:
        link: the other side.
    """

    def __init__(self, link: Link) -> None:
        """Imports AndroidWorld."""
        _make_protos()
        registry = importlib.import_module("android_world.registry")
        self._adb = importlib.import_module("android_world.env.adb_utils")
        self._setup = importlib.import_module("android_world.env.setup_device.setup")
        self._classes: dict[str, Any] = {}
        self._families: dict[str, list[str]] = {}
        registered = registry.TaskRegistry()
        for family in registry.get_families():
            for name, kind in registered.get_registry(family).items():
                self._classes[name] = kind
                self._families.setdefault(name, []).append(family)
        self._env = self._new_env(Phone(link))
        self._task: Any = None

    @staticmethod
    def _new_env(phone: Phone) -> Any:
        interface = importlib.import_module("android_world.env.interface")
        controllers = importlib.import_module("android_world.env.android_world_controller")
        method = controllers.A11yMethod
        controller = controllers.AndroidWorldController(phone, a11y_method=method.NONE)
        # From here on it reads forests as from the app that sends them; where they come from is ours.
        controller._a11y_method = method.A11Y_FORWARDER_APP
        controller.get_a11y_forest = phone.forest
        return interface.AsyncAndroidEnv(controller)

    def tasks(self) -> list[dict[str, Any]]:
        """All tasks, each with what its first instance needs."""
        return [
            {"name": name, "families": families, **self._described(self._drawn(name, 0))}
            for name, families in self._families.items()
        ]

    def draw(self, template: str, seed: int) -> dict[str, Any]:
        """An instance."""
        return self._described(self._drawn(template, seed))

    def set_up(self, template: str, seed: int) -> dict[str, Any]:
        """Bring the phone to the start of an instance."""
        try:
            self.tear_down()
        except Exception:  # what was not tidied up is no reason to leave the next task out
            traceback.print_exc()
        task = self._drawn(template, seed)
        task.initialize_task(self._env)
        self._task = task
        return self._described(task)

    def score(self, answer: str) -> dict[str, Any]:
        """How much of the task is done, from 0 to 1; `answer` is what the agent said last."""
        self._env.interaction_cache = answer
        return {"score": float(self._task.is_successful(self._env))}

    def tear_down(self) -> dict[str, Any]:
        """Leave the phone as the task wants it left."""
        task, self._task = self._task, None
        if task is not None:
            task.tear_down(self._env)
        return {}

    def _drawn(self, template: str, seed: int) -> Any:
        kind = self._classes[template]
        number = instance_seed(template, seed)
        kind.set_device_time(self._env)
        random.seed(number)
        # AndroidWorld draws a few contents, such as frames of videos, from numpy, and leaves that unseeded.
        importlib.import_module("numpy").random.seed(number)
        with _clock_of_the_phone(kind, number):
            params = kind.generate_random_params()
        params["seed"] = number
        return kind(params)

    def _described(self, task: Any) -> dict[str, Any]:
        try:
            goal = task.goal
        except ValueError:  # pages of MiniWoB know theirs only once they are shown
            goal = ""
        return {
            "goal": goal,
            "steps": max(1, int(_STEPS_FOR_EACH_COMPLEXITY * task.complexity)),
            "apps": [self._app(name) for name in task.app_names if name],
            "home": bool(task.start_on_home_screen),
        }

    def _app(self, name: str) -> dict[str, Any]:
        activity = self._adb.get_adb_activity(name)
        setup = self._setup.get_app_mapping(name)
        return {
            "name": name,
            "package": self._adb.extract_package_name(activity) if activity else "",
            "apks": list(setup.apk_names) if setup else [],
        }


@contextlib.contextmanager
def _clock_of_the_phone(kind: Any, number: int) -> Iterator[None]:
    """A task that names a thing by the time of day shall name it alike whenever it is drawn.

    So it sees some second of the day that the phone will be set to; which one depends on the seed.
    """
    module = sys.modules[kind.__module__]
    asks = "datetime.datetime.now(" in _source(kind.generate_random_params)
    if not asks or getattr(module, "datetime", None) is not datetime:
        yield
        return
    day = importlib.import_module("android_world.env.device_constants").DT.replace(tzinfo=None)
    moment = datetime.datetime.combine(day, datetime.time()) + datetime.timedelta(seconds=number % 86_400)

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return moment.replace(tzinfo=tz)

    module.__dict__["datetime"] = types.SimpleNamespace(**{**vars(datetime), "datetime": Clock})
    try:
        yield
    finally:
        module.__dict__["datetime"] = datetime


def _source(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # an installation without its source
        return ""


def _make_protos() -> None:
    """Two modules are made by a compiler when AndroidWorld is installed; a checkout does not have them.

    They are made in a folder of our own then, so that the checkout stays as it is.
    """
    package = importlib.import_module(_PROTOS)
    if all(importlib.util.find_spec(f"{_PROTOS}.{name}_pb2") for name in _PROTO_NAMES):
        return
    protoc = importlib.import_module("grpc_tools.protoc")
    place = Path(*_PROTOS.split("."))
    source = Path(package.__path__[0]).parents[len(place.parts) - 1]
    made = Path(tempfile.mkdtemp(prefix="protos-"))
    files = [str(place / f"{name}.proto") for name in _PROTO_NAMES]
    if protoc.main(["protoc", f"--proto_path={source}", f"--python_out={made}", *files]) != 0:
        raise ImportError(f"protoc does not compile {', '.join(files)} of {source}")
    package.__path__.append(str(made / place))
    importlib.invalidate_caches()


def _failure(error: Exception) -> dict[str, str]:
    """What went wrong, and the last line of AndroidWorld where it did."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if "android_world" in frame.filename] or frames
    at = f"{Path(theirs[-1].filename).name}:{theirs[-1].lineno}" if theirs else ""
    return {"error": f"{type(error).__name__}: {error}", "at": at}


def _start(link: Link) -> Worker | None:
    """The worker, or None where AndroidWorld cannot be imported; the other side is told either way."""
    try:
        worker = Worker(link)
    except (Exception, SystemExit) as error:  # whatever a foreign package does when it is imported
        module = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
        failure = _failure(error) if isinstance(error, Exception) else {"error": repr(error), "at": ""}
        link.send({"broken": {**failure, "module": module, "python": sys.executable}})
        return None
    link.send({"done": {"python": sys.executable}})
    return worker


def main() -> None:
    """Answer until the other side hangs up."""
    link = Link(int(sys.argv[1]))
    worker = _start(link)
    while worker is not None and (request := link.receive()) is not None:
        operation: Callable[..., Any] = getattr(worker, request.pop("do"))
        try:
            link.send({"done": operation(**request)})
        except PhoneFaultError:
            link.send({"failed": {"error": "the phone failed", "at": ""}})
        except Exception as error:  # a task may fail in any way; the other side says what that means
            traceback.print_exc()
            link.send({"failed": _failure(error)})


if __name__ == "__main__":
    main()
