"""The store: appending, reading back, and what happens to damaged files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gui_agent.actions import Click, Finish
from gui_agent.agent import RoleCompletion
from gui_agent.device import Outcome, StopReason, Verdict
from gui_agent.errors import DataError, SchemaVersionError
from gui_agent.observation import Screenshot
from gui_agent.policy import AgentRole, Completion, FinishReason
from trajectories.check import check_store
from trajectories.damage import OnDamage
from trajectories.records import SCHEMA_VERSION, EpisodeRecord, Step, Trajectory
from trajectories.rows import ADDED_COLUMNS
from trajectories.store import TrajectoryStore


def picture(shade: int) -> Screenshot:
    return Screenshot.from_image(Image.new("RGB", (20, 40), (shade, 0, 0)))


def episode(number: int, *, num_steps: int = 2) -> EpisodeRecord:
    pictures = [picture(shade) for shade in range(num_steps)]
    completion = Completion(
        prompt_token_ids=(1, 2, 3),
        image_grids=((1, 2, 4),),
        token_ids=(5, 6),
        logprobs=(-0.1, -2.5),
        text="tap",
        finish_reason=FinishReason.STOP,
        policy_version=1,
    )
    steps = tuple(
        Step(
            index=index,
            screenshot_sha256=shot.sha256,
            width_px=20,
            height_px=40,
            requested=Click(x=1, y=2) if index + 1 < num_steps else Finish(),
            executed=Click(x=1, y=2) if index + 1 < num_steps else Finish(),
            completions=(
                RoleCompletion(role=AgentRole.ACTOR, completion=completion, image_sha256s=(shot.sha256,)),
            ),
        )
        for index, shot in enumerate(pictures)
    )
    trajectory = Trajectory(
        episode_id=f"e{number}",
        task_id="t",
        template="toggle",
        suite="phone",
        goal="Turn it on",
        steps=steps,
        stop=StopReason.FINISHED,
        outcome=Outcome(verdict=Verdict.SUCCESS, progress=1.0),
    )
    return EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot for shot in pictures})


def filled(path: Path, *batches: int) -> TrajectoryStore:
    """A store with one shard per batch of so many episodes."""
    store = TrajectoryStore.create(path)
    number = 0
    for size in batches:
        store.append([episode(number + offset) for offset in range(size)])
        number += size
    return store


def test_what_is_appended_is_read_back_in_order(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "s", source={"licence": "CC0"})
    store.append(episode(0))
    store.append([episode(1), episode(2)])
    again = TrajectoryStore.open(tmp_path / "s")
    assert list(again) == [episode(number).trajectory for number in range(3)]
    assert len(again) == 3
    assert again.trajectory("e1") == episode(1).trajectory
    assert again.meta["source"] == {"licence": "CC0"}
    assert again.record("e2").screenshots[picture(1).sha256] == picture(1)
    assert len(again.screenshots) == 2  # three episodes share them


def test_a_store_is_readable_without_our_classes(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    steps = pq.read_table(tmp_path / "steps-00000000.parquet").to_pylist()
    assert json.loads(steps[0]["executed"]) == {"type": "click", "x": 1, "y": 2}
    completions = pq.read_table(tmp_path / "completions-00000000.parquet")
    assert completions["token_ids"][0].as_py() == [5, 6]
    assert completions["logprobs"][0].as_py() == [-0.1, -2.5]
    sha256 = steps[0]["screenshot_sha256"]
    with Image.open(tmp_path / "screenshots" / sha256[:2] / f"{sha256}.png") as image:
        assert image.size == (20, 40)


def test_another_reader_sees_appends_after_refresh(tmp_path: Path) -> None:
    writer = filled(tmp_path, 1)
    reader = TrajectoryStore.open(tmp_path)
    writer.append(episode(1))
    assert len(reader) == 1
    reader.refresh()
    assert reader.episode_ids == ["e0", "e1"]


def test_two_writers_do_not_overwrite_each_other(tmp_path: Path) -> None:
    one = filled(tmp_path, 1)
    other = TrajectoryStore.open(tmp_path)
    one.append(episode(1))
    other.append(episode(2))
    one.append(episode(3))
    assert TrajectoryStore.open(tmp_path).episode_ids == ["e0", "e1", "e2", "e3"]
    with pytest.raises(DataError, match="already has an episode 'e1'"):
        other.append(episode(1))


@pytest.mark.parametrize("num_episodes", range(6))
def test_truncation_keeps_the_first_episodes_and_appending_goes_on(tmp_path: Path, num_episodes: int) -> None:
    store = filled(tmp_path, 2, 1, 2)
    assert store.truncate(num_episodes) == 5 - num_episodes
    store.append(episode(4) if num_episodes < 5 else episode(5))
    again = TrajectoryStore.open(tmp_path)
    expected = [f"e{number}" for number in range(num_episodes)] + ["e4" if num_episodes < 5 else "e5"]
    assert again.episode_ids == expected
    assert [trajectory.episode_id for trajectory in again] == expected
    assert check_store(again).ok


def test_truncation_cuts_off_what_another_process_appended(tmp_path: Path) -> None:
    store = filled(tmp_path, 2)
    TrajectoryStore.open(tmp_path).append(episode(2))
    assert store.truncate(1) == 2
    assert TrajectoryStore.open(tmp_path).episode_ids == ["e0"]


def test_a_store_that_lost_episodes_cannot_be_cut_to_the_mark(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds 2 episodes and cannot be cut to 3"):
        filled(tmp_path, 2).truncate(3)


def test_a_picture_is_never_left_out_silently(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path)
    bare = EpisodeRecord(trajectory=episode(0).trajectory)
    with pytest.raises(DataError, match="neither in its record nor in the store"):
        store.append(bare)
    assert len(TrajectoryStore.open(tmp_path)) == 0
    store.append(episode(1))
    store.append(bare)  # its pictures are known now
    assert len(store) == 2


def test_a_value_without_a_place_leaves_no_trace(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    good = episode(1)
    bad = EpisodeRecord(
        trajectory=Trajectory(
            episode_id="e2",
            task_id="t",
            template="t",
            suite="s",
            goal="half a letter \ud800",
            steps=(),
            stop=StopReason.USER,
            outcome=Outcome(verdict=Verdict.UNSCORED),
        )
    )
    with pytest.raises(DataError, match="no place in the tables"):
        store.append([good, bad])
    assert TrajectoryStore.open(tmp_path).episode_ids == ["e0"]
    store.append(good)
    assert len(store) == 2


@pytest.mark.parametrize("kind", ["episodes", "steps", "completions"])
def test_a_truncated_shard_names_itself_and_costs_nothing_else(tmp_path: Path, kind: str) -> None:
    filled(tmp_path, 2, 1, 2)
    shard = tmp_path / f"{kind}-00000001.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(DataError, match=rf"{kind}-00000001\.parquet: the shard is .*--on-damage skip"):
        list(TrajectoryStore.open(tmp_path))
    lenient = TrajectoryStore.open(tmp_path, on_damage=OnDamage.SKIP)
    assert [trajectory.episode_id for trajectory in lenient] == ["e0", "e1", "e3", "e4"]
    assert len(lenient.damage) == 1
    lenient.append(episode(9))
    assert [trajectory.episode_id for trajectory in lenient][-1] == "e9"
    check = check_store(lenient)
    assert (check.ok, check.num_episodes) == (False, 5)
    assert check.findings[0].where == shard.name
    assert (f"{len(lenient) - 5} episodes are lost with it" in check.findings[0].message) == (
        kind != "episodes"
    )


def test_a_cell_that_cannot_be_read_names_file_row_and_column(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    file = tmp_path / "steps-00000000.parquet"
    rows = pq.read_table(file).to_pylist()
    rows[2]["executed"] = '{"type": "teleport"}'
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(file)), file)
    message = r"episodes-00000000\.parquet, row 1: episode 'e1', step 0: column 'executed'.*teleport"
    with pytest.raises(DataError, match=message):
        list(TrajectoryStore.open(tmp_path))
    lenient = TrajectoryStore.open(tmp_path, on_damage=OnDamage.SKIP)
    assert [trajectory.episode_id for trajectory in lenient] == ["e0"]
    assert (lenient.damage[0].row, lenient.damage[0].episode_id) == (1, "e1")


@pytest.mark.parametrize(
    ("kind", "column", "value"),
    [
        ("episodes", "goal", None),
        ("episodes", "schema_version", None),
        ("episodes", "source", "[]"),
        ("steps", "requested", "3"),
        ("steps", "elements", '["button"]'),
        ("steps", "format_ok", None),
        ("completions", "token_ids", None),
    ],
)
def test_a_cell_of_another_kind_costs_its_episode_alone(
    tmp_path: Path, kind: str, column: str, value: str | None
) -> None:
    filled(tmp_path, 2)
    file = tmp_path / f"{kind}-00000000.parquet"
    table = pq.read_table(file)
    rows = table.to_pylist()
    rows[-1][column] = value
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)
    with pytest.raises(DataError, match=f"episode 'e1'.*column '{column}'"):
        list(TrajectoryStore.open(tmp_path))
    assert [each.episode_id for each in TrajectoryStore.open(tmp_path, on_damage=OnDamage.SKIP)] == ["e0"]


@pytest.mark.parametrize("kind", ["episodes", "steps", "completions"])
def test_no_changed_byte_of_the_data_goes_unnoticed(tmp_path: Path, kind: str) -> None:
    filled(tmp_path / "s", 1)
    expected = list(TrajectoryStore.open(tmp_path / "s"))
    file = tmp_path / "s" / f"{kind}-00000000.parquet"
    whole = file.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    for at in range(4, len(whole) - footer, 37):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
        try:
            found = list(TrajectoryStore.open(tmp_path / "s"))
        except DataError:
            continue
        assert found == expected, at  # a byte that means nothing


@pytest.mark.parametrize(("kind", "column"), [("steps", "subgoal"), ("completions", "branch")])
def test_a_column_that_is_missing_is_noticed(tmp_path: Path, kind: str, column: str) -> None:
    filled(tmp_path, 1)
    file = tmp_path / f"{kind}-00000000.parquet"
    pq.write_table(pq.read_table(file).drop_columns([column]), file)
    with pytest.raises(DataError, match=f"the columns {column} are missing"):
        list(TrajectoryStore.open(tmp_path))


def test_missing_steps_are_noticed(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    file = tmp_path / "steps-00000000.parquet"
    pq.write_table(pq.read_table(file).slice(0, 3), file)
    with pytest.raises(DataError, match="'e1' has 1 of its 2 steps"):
        list(TrajectoryStore.open(tmp_path))


def test_missing_and_damaged_screenshots_name_their_file(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    missing, damaged = store.screenshots.file(picture(0).sha256), store.screenshots.file(picture(1).sha256)
    assert missing is not None
    assert damaged is not None
    missing.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-4])
    with pytest.raises(DataError, match=f"{missing.stem}.*missing; restore"):
        store.screenshot(missing.stem)
    with pytest.raises(DataError, match="damaged: restore"):
        store.screenshot(damaged.stem)
    assert len(list(store)) == 1  # the words of the episode are still there
    with pytest.raises(DataError, match=f"episode 'e0': .*{missing.stem}.*missing"):
        list(store.records())
    lenient = TrajectoryStore.open(tmp_path, on_damage=OnDamage.SKIP)
    assert list(lenient.records()) == []
    assert [damage.episode_id for damage in lenient.damage] == ["e0"]
    messages = " ".join(finding.message for finding in check_store(store).findings)
    assert missing.stem in messages
    assert damaged.stem in messages


def test_a_newer_schema_is_refused_with_the_remedy(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    file = tmp_path / "episodes-00000000.parquet"
    rows = pq.read_table(file).to_pylist()
    rows[0]["schema_version"] = SCHEMA_VERSION + 1
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(file)), file)
    with pytest.raises(SchemaVersionError, match=r"episodes-00000000\.parquet .* upgrade"):
        TrajectoryStore.open(tmp_path)
    meta = json.loads((tmp_path / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps({**meta, "schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(SchemaVersionError, match=r"meta\.json"):
        TrajectoryStore.open(tmp_path, on_damage=OnDamage.SKIP)


def test_a_store_of_the_schema_before_candidates_is_read_and_appended_to(tmp_path: Path) -> None:
    first = list(filled(tmp_path, 1))
    file = tmp_path / "completions-00000000.parquet"
    pq.write_table(pq.read_table(file).drop_columns(sorted(ADDED_COLUMNS)), file)
    file = tmp_path / "episodes-00000000.parquet"
    rows = [{**row, "schema_version": 1} for row in pq.read_table(file).to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(file)), file)
    meta = json.loads((tmp_path / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps({**meta, "schema_version": 1}))
    store = TrajectoryStore.open(tmp_path)
    assert [replace(each, schema_version=SCHEMA_VERSION) for each in store] == first
    store.append(episode(1))
    assert [each.schema_version for each in TrajectoryStore.open(tmp_path)] == [1, SCHEMA_VERSION]


def test_a_store_whose_making_was_killed_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "meta.json.tmp").write_text('{"form')
    TrajectoryStore.open_or_create(tmp_path).append(episode(0))
    assert len(TrajectoryStore.open_or_create(tmp_path)) == 1


def test_half_a_picture_is_removed_once_by_whoever_appends(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    torn = tmp_path / "screenshots" / "ab" / "abcd.png.tmp"
    torn.parent.mkdir(exist_ok=True)
    torn.touch()
    store.append(episode(1))
    assert torn.exists()  # looking for it at every append would list all pictures each time
    TrajectoryStore.open(tmp_path).append(episode(2))
    assert not torn.exists()


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no meta\.json"):
        TrajectoryStore.open(tmp_path)
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(DataError, match="is no trajectory store"):
        TrajectoryStore.open(tmp_path)
    with pytest.raises(DataError, match="not empty"):
        TrajectoryStore.create(tmp_path)
    with pytest.raises(DataError, match="no readable episode 'x'"):
        filled(tmp_path / "s", 1).trajectory("x")
