"""Where AndroidWorld lies, and the Python that runs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from gui_agent.errors import DependencyError

CHECKOUT_VARIABLE: Final = "GUI_AGENT_ANDROID_WORLD"
PYTHON_VARIABLE: Final = "GUI_AGENT_ANDROID_WORLD_PYTHON"
TRIED_COMMIT: Final = "d9c569f764b3a5629321858de03ff653d0f24056"
"""The commit of google-research/android_world that the adapter was written against."""
REQUIREMENTS: Final = "requirements/androidworld.txt"
"""What AndroidWorld's tasks import, which is less than what its runner and its agents do."""
_HOW_TO_GET_IT: Final = (
    "AndroidWorld is no part of this project. Get it with `git clone "
    "https://github.com/google-research/android_world`, give it a Python of its own with `make "
    f"androidworld-env`, and set {CHECKOUT_VARIABLE} to the folder of the clone and "
    f"{PYTHON_VARIABLE} to that Python; docs/androidworld.md says more"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """One AndroidWorld.

    Attributes:
        python: the interpreter that has what AndroidWorld imports.
        checkout: the folder of an unmodified checkout; None where `python` has the package.
    """

    python: Path
    checkout: Path | None = None

    @property
    def shown(self) -> str:
        """For messages: where it is."""
        return f"the checkout {self.checkout}" if self.checkout else f"the package in {self.python}"


def find_installation(environ: Mapping[str, str] | None = None) -> Installation:
    """The AndroidWorld that the environment names, or that this Python has as a package.

    GUI_AGENT_ANDROID_WORLD is the folder of a checkout, GUI_AGENT_ANDROID_WORLD_PYTHON an interpreter. With
    a checkout alone, its `.venv` is used if it has one, else this Python; with an interpreter alone, the
    package that it has.

    Raises:
        DependencyError: there is none, or what is named is not there; the message says how to get it.
    """
    environ = os.environ if environ is None else environ
    python = _python(environ.get(PYTHON_VARIABLE, ""))
    if named := environ.get(CHECKOUT_VARIABLE, ""):
        checkout = Path(named).expanduser().resolve()
        if not (checkout / "android_world" / "registry.py").is_file():
            raise DependencyError(
                f"{CHECKOUT_VARIABLE}={named}: this folder holds no AndroidWorld (there is no "
                f"android_world/registry.py in it). {_HOW_TO_GET_IT}"
            )
        own = checkout / ".venv" / "bin" / "python"
        return Installation(
            python=python or (own if own.exists() else Path(sys.executable)), checkout=checkout
        )
    if python is not None:
        return Installation(python=python)
    if find_spec("android_world") is None:
        raise DependencyError(f"there is no AndroidWorld: {CHECKOUT_VARIABLE} is not set. {_HOW_TO_GET_IT}")
    return Installation(python=Path(sys.executable))


def _python(named: str) -> Path | None:
    if not named:
        return None
    python = Path(named).expanduser().absolute()  # not resolved: a link tells a virtual environment apart
    if not os.access(python, os.X_OK) or python.is_dir():
        raise DependencyError(
            f"{PYTHON_VARIABLE}={named} is no program; give the path of an interpreter, for instance "
            "android_world/.venv/bin/python"
        )
    return python


def explain_broken(installation: Installation, error: str, at: str, module: str) -> str:
    """Why AndroidWorld cannot be imported, and what helps.

    Args:
        installation: what was tried.
        error: the exception, in words.
        at: where it was raised.
        module: the module that was not found, "" for another error.
    """
    if module.partition(".")[0] == "android_world" and not installation.checkout:
        return f"{installation.python} has no package android_world. {_HOW_TO_GET_IT}"
    if module and module.partition(".")[0] != "android_world":
        return (
            f"{installation.shown} needs the module {module!r}, which {installation.python} does not have; "
            f"install AndroidWorld's requirements for it (`{installation.python} -m pip install -r "
            f"{REQUIREMENTS}`)"
        )
    return (
        f"{installation.shown} is not the AndroidWorld that this adapter knows: {error} ({at}); check out "
        f"the commit {TRIED_COMMIT}, with which it was tried"
    )
