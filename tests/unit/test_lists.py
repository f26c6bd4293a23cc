"""`gui-agent suites` and `gui-agent formats`: what there is to choose from."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from devices.browser.miniwob import suite as miniwob
from devices.listing import LISTED_SUITES
from devices.phone import suites as phone
from devices.registry import SUITES, resolve_suite
from gui_agent.cli.main import main
from gui_agent.errors import DependencyError
from gui_agent.formats.registry import FORMATS, PLANNER_FORMATS


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_suite_is_listed_with_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "suites")
    own = [f"phone/{name}" for name in phone.suite_names()] + list(miniwob.suite_names())
    assert [name for name in own if name not in found] == []
    assert {name.partition("/")[0] for name in found} == set(SUITES)
    for name in own:
        assert found[name]["templates"] == len(resolve_suite(name).templates) > 1
    assert found["phone/quickstart"]["devices"] == "phone:64"
    assert all(facts["needs"] and facts["summary"] for facts in found.values())
    assert main(["suites"]) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in found)


def test_a_listed_name_is_asked_for_as_it_stands() -> None:
    for suite in LISTED_SUITES:
        if not suite.is_family and suite.name != "android_world":  # which needs a checkout
            assert resolve_suite(suite.name).suite == suite.name


def test_a_suite_is_shown_with_its_templates(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, "suites", "phone/long")
    assert shown["templates"] == list(phone.phone_suite("long").templates)
    assert main(["suites", "miniwob/click-test"]) == 0
    assert "templates  1\n    click-test" in capsys.readouterr().out
    assert main(["suites", "phone/quikstart"]) == 2
    assert "did you mean 'quickstart'" in capsys.readouterr().err


def test_a_suite_that_is_not_installed_is_listed_uncounted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise DependencyError("the MiniWoB++ pages are missing")

    monkeypatch.setattr(miniwob, "html_folder", missing)
    found = told(capsys, "suites")
    assert (found["miniwob/all"]["templates"], found["phone/phone"]["templates"]) == (None, 43)


def test_formats_are_listed_with_options_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "formats")
    assert (list(found["format"]), list(found["planner-format"])) == (list(FORMATS), list(PLANNER_FORMATS))
    assert found["format"]["compact"]["options"]["snap_px"] == 1
    assert "image_budget" not in found["format"]["mobile_use"]["options"]  # the model's, nobody's choice
    assert list(told(capsys, "formats", "--planner")) == ["planner-format"]
    assert main(["formats"]) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in [*FORMATS, *PLANNER_FORMATS])


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, entry.options) for name, entry in FORMATS.items()]
    + [(name, entry.options) for name, entry in PLANNER_FORMATS.items()],
)
def test_every_option_of_a_format_is_documented(
    capsys: pytest.CaptureFixture[str], name: str, options: Any
) -> None:
    is_planner = any(entry.options is options for entry in PLANNER_FORMATS.values())
    shown = told(capsys, "formats", name, *(["--planner"] if is_planner else []))
    known = [field.name for field in dataclasses.fields(options) if field.name != "image_budget"]
    assert [each["name"] for each in shown["options"]] == known
    assert all(each["help"] and each["value"] == each["default"] for each in shown["options"])
    assert shown["flag"] == ("--planner-format" if is_planner else "--format")


def test_a_format_is_shown_as_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["formats", "compact:snap_px=8"]) == 0
    said = capsys.readouterr().out
    assert "8 (default: 1)" in said
    assert "settings click 28 60" in said  # an example of a response
    assert "formats compact --planner" in said
    assert told(capsys, "formats", "hi_agent")["flag"] == "--planner-format"
    assert main(["formats", "ui_s2"]) == 2
    assert "did you mean 'ui_s1'" in capsys.readouterr().err
    assert main(["formats", "hi_agent:snap_px=8"]) == 2
    assert "snap_px" in capsys.readouterr().err


def test_the_parts_of_process_are_described_without_weights(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, "rewards", "process")
    assert (shown["needs"], shown["pays_steps"]) == (None, None)
    assert set(shown["parts"]) == set(told(capsys, "rewards")["parts"])
    assert [each["name"] for each in shown["options"]] == [
        "matcher",
        "over_long_share",
        "max_completion_length",
    ]
    assert main(["rewards", "process"]) == 0
    said = capsys.readouterr().out
    assert "by its parts" in said
    assert "repeated_action" in said
    assert main(["rewards", "process:outcome=0"]) == 2  # which is a reward that never pays
