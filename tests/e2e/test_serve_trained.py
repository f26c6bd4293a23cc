"""A server tells how its model was trained to be asked, and clients that ask otherwise are warned."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from gui_agent.agent_spec import AgentKind
from gui_agent.cli.agents import AgentOptions, open_policy
from gui_agent.errors import ConfigError
from gui_agent.model_settings import ModelSettings
from gui_agent.policies.openai_http import Endpoint, OpenAIPolicy
from gui_agent.policies.server import create_app
from gui_agent.policy import Completion, ImageBudget, Prompt

Served = Callable[[Starlette], AbstractAsyncContextManager[str]]

TRAINED = ModelSettings(
    agent=AgentKind.HIERARCHICAL, format="compact:snap_px=8", planner_format="compact", actor_history=-1
)


class Unasked:
    """Nobody asks it: what its server says of it is the question."""

    version = 0
    image_budget = ImageBudget()

    async def sample(self, prompt: Prompt, **given: Any) -> Sequence[Completion]:
        raise AssertionError("nobody asks")


async def test_who_asks_otherwise_than_a_served_model_was_trained_is_warned(served: Served) -> None:
    app = create_app(Unasked(), models=("planner", "actor"), trained=TRAINED)
    async with served(app) as address:
        asked = AgentOptions(
            kind=AgentKind.HIERARCHICAL, endpoint=address, model="actor", planner=f"{address}#planner",
            format=TRAINED.format,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            async with open_policy(asked):
                pass
        with pytest.warns(UserWarning, match=rf"actor of {address} was trained in .* asked in 'ui_s1'"):
            async with open_policy(replace(asked, format="ui_s1", planner_format="compact")):
                pass
        with pytest.warns(UserWarning, match=rf"planner of {address} was trained in the planner format"):
            async with open_policy(replace(asked, planner_format="hi_agent")):
                pass
        with pytest.warns(UserWarning, match="as a hierarchical agent and is asked as a flat one"):
            async with open_policy(replace(asked, kind=AgentKind.FLAT, planner="")):
                pass


async def test_what_no_model_can_have_been_trained_as_is_refused() -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": [{"id": "m", "trained_as": {"format": 3}}]})

    endpoint = Endpoint(base_url="http://server/v1", model="m", require_tokens=False)
    with pytest.raises(ConfigError, match="http://server/v1/models: format is 3; expected the name"):
        await OpenAIPolicy.connect(endpoint, transport=httpx.MockTransport(handler))
