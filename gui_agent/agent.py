"""Agents: what turns an observation into an action and remembers what really happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from gui_agent.actions import Action, ParseError
from gui_agent.coordinates import ScreenGeometry
from gui_agent.device import ActionResult, ActionSource, ExpertAction
from gui_agent.formats.base import PromptFormat, Turn
from gui_agent.observation import Observation
from gui_agent.policy import AgentRole, Completion, Policy, Prompt, SampleKey, SamplingParams
