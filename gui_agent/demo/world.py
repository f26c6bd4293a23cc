"""Where a demo takes place and who acts there: what a session needs to know of the rest of the program."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from gui_agent.agent import Agent
from gui_agent.demo.asking import ListenedPolicy
from gui_agent.device import Device, Task
from gui_agent.safety.budget import Budget
from gui_agent.safety.judging import Judge
from gui_agent.safety.options import ConfirmMode
from gui_agent.safety.secrets import Secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What to do in one episode.

    Attributes:
        task: a goal in words, or a task of a suite.
        suite: its name.
        is_checked: a check says after each step how far it is.
    """

    task: Task
    suite: str
    is_checked: bool = False


@dataclass(frozen=True, kw_only=True)
class World:
    """A device and an agent.

    Attributes:
        device: in words, for people and records.
        agent: the same of who acts.
        open_device: borrows the device; asked again to reconnect after a fault.
        home: what the device is shown with before the first episode.
        errand: the errand of a goal in words or a task SUITE:TEMPLATE:SEED; ConfigError if it is none here.
        agent_for: makes the agent of one episode.
        words: types of `Action` that this agent can say, and so be told of; None is all.
        policy: the model that this agent asks, if it can be listened to.
        meter: counts what this model reads and writes.
        task: what a run without a goal does.
        examples: goals to try.
        policy_name: stored with every episode.
        source: stored with every episode.
    """

    device: str
    agent: str
    open_device: Callable[[], AbstractAsyncContextManager[Device]]
    home: Task
    errand: Callable[[str, str], Errand]
    agent_for: Callable[[Device], Agent]
    words: frozenset[type] | None = None
    policy: ListenedPolicy | None = None
    meter: Budget = field(default_factory=Budget)
    task: str = ""
    examples: tuple[str, ...] = ()
    policy_name: str = ""
    source: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """How a session behaves.

    Attributes:
        max_steps: steps of an episode at most, undone ones counted; 0 takes what the task allows.
        time_limit_s: seconds of the agent and the device together, waiting for a person left out; 0 is none.
        judge: safety rules.
        confirm: what becomes of an action that needs a yes: asked in the page (ASK), held back (DENY) or done
            (ALLOW).
        secrets: texts that are typed but never written down.
        preview_s: an action is shown so long before it is performed.
        poll_interval_s: the device is looked at so often while nothing else uses it; 0 never.
        loop_limit: ask a person, or stop where nobody is there, when the agent asks for the same in the same
            state so many times; 0 never.
        seed: draws a virtual phone, and the noise of a sampling model.
    """

    max_steps: int = 0
    time_limit_s: float = 0.0
    confirm: ConfirmMode = ConfirmMode.ASK
    judge: Judge = field(default_factory=Judge)
    secrets: Secrets = field(default_factory=Secrets)
    preview_s: float = 0.5
    poll_interval_s: float = 0.5
    loop_limit: int = 3
    seed: int = 0
