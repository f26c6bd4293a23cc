"""`gui-agent algorithms`: the list and the options of one."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from gui_agent.cli.main import main
from trainers.algorithms import ALGORITHMS


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(["algorithms", *arguments, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_the_list_says_of_each_algorithm_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys)
    assert list(found) == list(ALGORITHMS)
    for facts in found.values():
        assert isinstance(facts, dict)
        assert re.fullmatch(r"\d{4}\.\d{5}", facts["paper"]["arxiv"])
        assert facts["compares"]
        assert facts["use"]
    assert main(["algorithms"]) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in ALGORITHMS)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_every_option_is_documented(capsys: pytest.CaptureFixture[str], name: str) -> None:
    options = listed(capsys, name)["options"]
    assert isinstance(options, list)
    known = [field.name for field in dataclasses.fields(ALGORITHMS[name].options)]  # type: ignore[arg-type]
    assert [each["name"] for each in options] == known
    assert all(each["help"] and each["value"] == each["default"] for each in options)


def test_options_after_the_name_are_shown_as_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    options = listed(capsys, "srgpo:cluster_size=4,within=group")["options"]
    assert isinstance(options, list)
    values = {each["name"]: each["value"] for each in options}
    assert (values["cluster_size"], values["within"], values["step_weight"]) == (4, "group", 0.5)
    assert main(["algorithms", "srgpo:cluster_size=4"]) == 0
    assert "4 (default: 16)" in capsys.readouterr().out


def test_a_wrong_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["algorithms", "gipo"]) == 2
    assert "did you mean 'gigpo'" in capsys.readouterr().err


def test_other_spellings_mean_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, "uis1") == listed(capsys, "ui_s1")
    assert listed(capsys, "reinforce++") == listed(capsys, "reinforce_pp")
