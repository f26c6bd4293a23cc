"""The safety settings of a command: from words of a command line to a judge, secrets and a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gui_agent.errors import ConfigError
from gui_agent.safety.bounds import Bounds, is_address, site_of, sites_of
from gui_agent.safety.budget import Budget
from gui_agent.safety.judging import MAX_GOAL_CHARACTERS, Judge
from gui_agent.safety.rules import default_rules, load_rules
from gui_agent.safety.secrets import Secrets, secret_from_environment
from gui_agent.safety.verdict import Decision

AppPackages = Callable[[str], Sequence[str]]
"""From the name of an app to the packages that go by it."""


class ConfirmMode(StrEnum):
    """What becomes of an action that needs a yes."""

    AUTO = "auto"
    """Ask where something real can be hit; allow it in worlds that are made up."""
    ASK = "ask"
    """Ask whoever watches, in the terminal or in the page of a demo; where nobody does, the run stops."""
    DENY = "deny"
    """The run stops."""
    ALLOW = "allow"
    """It is done; the deny list still holds."""


@dataclass(frozen=True, kw_only=True)
class SafetyOptions:
    """What an agent may not do unasked, where it may go, and what must not be written down.

    Attributes:
        safety: YAML file of rules instead of those of the package; see docs/safety.md.
        confirm: what becomes of an action that needs a yes: ask (in the terminal, or in the page of a demo),
            deny, allow; auto asks on phones and web pages and allows on virtual phones and pages of a suite.
        allow_apps: packages (com.example.*) or names of apps; the agent may be in no others.
        allow_sites: hosts such as example.org, with those below them; the agent may be on no others. By
            default leaving the site of the start page needs a yes.
        deny: names of rules (purchase, deletion, …) or phrases of your own: never done.
        also_confirm: the same, to be asked about.
        secret: NAME=VARIABLE or NAME=VARIABLE@WHERE: the goal and the agent say {NAME}, the value of that
            environment variable is typed, at that app or site only, and never stored.
        token_budget: tokens that models may read and write in the episode; 0 is no limit.
        cost_limit: the same in money; 0 is no limit.
        price_input: of a million tokens read.
        price_output: of a million tokens written.
    """

    safety: Path | None = None
    confirm: ConfirmMode = ConfirmMode.AUTO
    allow_apps: tuple[str, ...] = ()
    allow_sites: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    also_confirm: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    token_budget: int = 0
    cost_limit: float = 0.0
    price_input: float = 0.0
    price_output: float = 0.0

    def judge(self, *, start_url: str = "", packages_of: AppPackages | None = None) -> Judge:
        """Rules and bounds.

        Args:
            start_url: where a web page begins; "" for a phone.
            packages_of: the packages that the name of an app may mean on a phone.

        Raises:
            ConfigError: the file, a rule or a site is wrong.
        """
        rules = load_rules(self.safety) if self.safety is not None else default_rules()
        rules = rules.with_decision(self.also_confirm, Decision.CONFIRM).with_decision(
            self.deny, Decision.DENY
        )
        apps = tuple(one.strip() for one in self.allow_apps)
        if packages_of is not None:
            apps += tuple(package for app in apps if "." not in app for package in packages_of(app))
        sites, decision = sites_of(self.allow_sites), Decision.DENY
        if start_url and not sites:
            sites = (site_of(start_url),)
            decision = Decision.DENY if apps else Decision.CONFIRM
        return Judge(rules=rules, bounds=Bounds(apps=apps, sites=sites, decision=decision))

    def secrets(self, *, start_url: str = "", environ: Mapping[str, str] | None = None) -> Secrets:
        """The secrets; on a web page one without a place is for the site of the start page.

        Raises:
            ConfigError: one is wrong, or its variable is not set.
        """
        scope = Bounds(sites=(site_of(start_url),)) if is_address(start_url) else None
        return Secrets([secret_from_environment(one, environ=environ, scope=scope) for one in self.secret])

    def budget(self) -> Budget:
        """What an episode may take; nothing is spent yet.

        Raises:
            ConfigError: a limit or a price is impossible, or a limit of the cost has no price.
        """
        return Budget(
            max_tokens=self.token_budget,
            max_cost=self.cost_limit,
            price_input=self.price_input,
            price_output=self.price_output,
        )

    def confirm_where(self, *, is_real: bool) -> ConfirmMode:
        """What becomes of an action that needs a yes: `confirm`, with AUTO decided.

        Args:
            is_real: whether something can be hit there that matters.
        """
        if self.confirm is not ConfirmMode.AUTO:
            return self.confirm
        return ConfirmMode.ASK if is_real else ConfirmMode.ALLOW


def check_goal(goal: str, secrets: Secrets) -> None:
    """Refuse a goal that is too long, or that holds a secret in clear.

    Raises:
        ConfigError: it is; the message does not quote the secret.
    """
    if len(goal) > MAX_GOAL_CHARACTERS:
        raise ConfigError(
            f"the goal has {len(goal)} characters; at most {MAX_GOAL_CHARACTERS} are taken: say what to do, "
            "and let the agent read the rest on the screen"
        )
    if secrets.shows(goal):
        names = ", ".join(f"{{{name}}}" for name in secrets.names)
        raise ConfigError(f"the goal holds the value of a secret; write its name in braces instead: {names}")
