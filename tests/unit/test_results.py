"""Result rows survive a crash, replace their own kind and reject what they are not."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from eval.results import ResultRow, append_result, read_results, results_table
from gui_agent.errors import DataError

ROW = ResultRow(
    suite="phone/quickstart",
    method="semi_online",
    seed=0,
    success=0.75,
    success_low=0.7,
    success_high=0.8,
    device_steps=0,
    cpu_s=290.0,
    command="gui-agent bench grid.yaml",
)


def test_rows_are_appended_and_replaced_by_key(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    append_result(path, ROW)
    append_result(path, replace(ROW, seed=1, success=0.5))
    append_result(path, replace(ROW, success=0.8))
    assert [(row.seed, row.success) for row in read_results(path)] == [(0, 0.8), (1, 0.5)]
    assert set(json.loads(path.read_text())[0]) >= {"suite", "method", "seed", "success", "command", "cpu_s"}


def test_rows_that_are_appended_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: append_result(path, replace(ROW, seed=seed)), range(24)))
    assert [row.seed for row in read_results(path)] == list(range(24))


def test_a_missing_file_has_no_rows(tmp_path: Path) -> None:
    assert read_results(tmp_path / "none.json") == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not JSON"),
        ("{}", "must hold a JSON list"),
        ('[{"suite": "a", "colour": 1}]', "row 0.*colour"),
        ('[{"suite": "a"}]', "row 0.*method"),
    ],
)
def test_a_damaged_file_is_refused_with_its_place(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(DataError, match=complaint):
        append_result(path, ROW)
    assert path.read_text() == content


def test_the_table_shows_mean_and_range_over_seeds() -> None:
    table = results_table(
        [ROW, replace(ROW, seed=1, success=0.25), replace(ROW, method="warm_start", success=0.1)]
    )
    lines = table.splitlines()
    assert lines[0] == "### phone/quickstart"
    assert [line.split("|")[1].strip() for line in lines[4:]] == ["warm_start", "semi_online"]
    assert "50.0%" in lines[5]
    assert "25%–75%" in lines[5]


def test_grids_have_tables_and_rows_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    for grid in ("quickstart", "adb_online"):
        append_result(path, replace(ROW, grid=grid))
    rows = read_results(path)
    assert len(rows) == 2
    headings = [line for line in results_table(rows).splitlines() if line.startswith("#")]
    assert headings == [
        "### phone/quickstart, grid `adb_online`",
        "### phone/quickstart, grid `quickstart`",
    ]


def test_columns_of_some_comparisons_are_shown_where_they_are_known() -> None:
    known = replace(ROW, suite="long", planner_errors=0.25, actor_errors=0.125, trained_rows=20_000)
    table = results_table([ROW, known, replace(known, method="flat", planner_errors=None, actor_errors=None)])
    long, short = table.split("\n\n### ")[0], table.split("### phone/quickstart")[1]
    assert "planner's errors" not in short
    assert "unread errors" not in long
    header, joint, flat = (
        [cell.strip() for cell in long.splitlines()[line].split("|")] for line in (2, 4, 5)
    )
    shown = dict(zip(header, joint, strict=True))
    assert (shown["planner's errors"], shown["trained rows"]) == ("25.0%", "20,000")
    assert dict(zip(header, flat, strict=True))["planner's errors"] == "–"
