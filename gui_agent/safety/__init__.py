"""What an agent may not do unasked, or at all, on a device where something real can be hit.

`SafeDevice` wraps a device and holds every action to the rules of a `Judge`; `Confirm` is whom it asks.
The decision is made from the action and what it hits, as the device itself tells it (`Scene`): never from
what a model says about it, from the goal, or from other words on the screen. `Secrets` are typed but never
written down. See docs/safety.md for what this holds and what it does not.
"""

from gui_agent.safety.bounds import Bounds, site_of, sites_of
from gui_agent.safety.device import SafeDevice, SafetyEvent
from gui_agent.safety.judging import Judge
from gui_agent.safety.rules import Rule, Rules, default_rules, load_rules
from gui_agent.safety.scene import Inspectable, Scene, Target
from gui_agent.safety.secrets import Secret, Secrets, secret_from_environment
from gui_agent.safety.verdict import (
    Confirm,
    Consent,
    Decision,
    Question,
    SafetyVerdict,
    always_stop,
    always_yes,
)

__all__ = [
    "Bounds",
    "Confirm",
    "Consent",
    "Decision",
    "Inspectable",
    "Judge",
    "Question",
    "Rule",
    "Rules",
    "SafeDevice",
    "SafetyEvent",
    "SafetyVerdict",
    "Scene",
    "Secret",
    "Secrets",
    "Target",
    "always_stop",
    "always_yes",
    "default_rules",
    "load_rules",
    "secret_from_environment",
    "site_of",
    "sites_of",
]
