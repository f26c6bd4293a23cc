"""`agent` means the same everywhere: a section of evaluation, one setting of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gui_agent.agent_spec import AgentKind
from gui_agent.cli.agents import AgentOptions
from gui_agent.cli.config import load_command
from gui_agent.cli.serve import Serve
from gui_agent.errors import ConfigError
from gui_agent.policies.opening import PolicySource
from gui_agent.policies.transformers_roles import write_roles_file


def loaded(command: str, recipe: Path, **overrides: object) -> Any:
    return load_command(command, recipe=str(recipe), overrides=overrides)


def test_one_line_of_a_recipe_makes_every_agent_hierarchical(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("defaults: {agent: hierarchical}\neval run: {suite: phone/phone}\ntrain sft: {}\n")
    assert loaded("eval run", recipe).agent.kind is AgentKind.HIERARCHICAL
    assert loaded("train sft", recipe).agent is AgentKind.HIERARCHICAL
    recipe.write_text("defaults: {agent: hierarchy}\neval run: {suite: phone/phone}\n")
    with pytest.raises(ConfigError, match="did you mean 'hierarchical'"):
        loaded("eval run", recipe)


def test_a_section_and_its_short_form_can_be_mixed(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("eval run: {suite: phone/phone, agent: {temperature: 0.5}}\n")
    overrides: dict[str, object] = {"agent.kind": "hierarchical"}
    agent = loaded("eval run", recipe, **overrides).agent
    assert (agent.kind, agent.temperature) == (AgentKind.HIERARCHICAL, 0.5)


def test_a_planner_of_its_own_is_a_folder_or_an_endpoint() -> None:
    options = AgentOptions(kind=AgentKind.HIERARCHICAL, model="actor", planner="folder/planner")
    assert options.planner_source == PolicySource(model="folder/planner")
    served = AgentOptions(kind=AgentKind.HIERARCHICAL, model="a", planner="http://127.0.0.1:8000/v1#big")
    assert served.planner_source == PolicySource(model="big", endpoint="http://127.0.0.1:8000/v1")
    assert AgentOptions().planner_source is None


def test_a_folder_of_roles_is_served_under_their_names(tmp_path: Path) -> None:
    write_roles_file(tmp_path, "base", ("planner", "actor"))
    assert Serve(model=tmp_path).served_names() == ("planner", "actor")
