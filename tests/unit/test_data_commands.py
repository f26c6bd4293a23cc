"""`gui-agent data subgoals` and `data preferences` on stores that are damaged, or in a run's folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from gui_agent.actions import Click, ParseError
from gui_agent.agent import Candidate, CandidateKind, RoleCompletion
from gui_agent.cli.main import main
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.observation import Screenshot
from gui_agent.policy import AgentRole, Completion, FinishReason
from trajectories.preferences import REJECTED
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.shards import read_shard
from trajectories.store import TrajectoryStore

PROPOSED = Completion(
    text="click 1 1", token_ids=(), logprobs=(), finish_reason=FinishReason.STOP, policy_version=0,
    prompt_token_ids=(), image_grids=(),
)  # fmt: skip
REFUSED = Candidate(
    kind=CandidateKind.ACTION,
    completion=RoleCompletion(role=AgentRole.ACTOR, completion=PROPOSED, image_sha256s=()),
    branch=1,
    action=ParseError(reason="rejected", text="click 1 1"),
    measured={REJECTED: 1.0},
)


def episode(number: int) -> EpisodeRecord:
    shot = Screenshot.from_image(Image.new("RGB", (112, 112), (40 * number, 0, 0)))
    click = Click(x=56, y=56)
    step = Step(
        index=0, screenshot_sha256=shot.sha256, width_px=112, height_px=112, requested=click, executed=click,
        expected=ExpertAction(action=click, thought="Wi-Fi"), candidates=(REFUSED,),
    )  # fmt: skip
    trajectory = Trajectory(
        episode_id=f"e{number}", task_id="t", template="t", suite="s", goal="g", steps=(step,),
        stop=StopReason.FINISHED, outcome=Outcome(verdict=Verdict.SUCCESS),
    )  # fmt: skip
    return EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot})


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A folder as a training leaves it, with three episodes in two shards."""
    store = TrajectoryStore.create(tmp_path / "run" / "trajectories")
    store.append([episode(0), episode(1)])
    store.append(episode(2))
    return tmp_path / "run"


def test_subgoals_go_on_where_they_were_broken_off(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"data subgoals {run_folder} --output {tmp_path / 'named'}".split()
    assert main(line) == 0
    assert "3 of 3 steps of 3 trajectories have a subgoal" in capsys.readouterr().out
    named = TrajectoryStore.open(tmp_path / "named")
    assert [each.steps[0].subgoal for each in named] == ["tap Wi-Fi"] * 3
    named.truncate(1)  # as a kill would leave it
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "2 of 2 steps of 2 trajectories have a subgoal" in said
    assert "1 trajectories are there already and were left as they are" in said
    assert TrajectoryStore.open(tmp_path / "named").episode_ids == ["e0", "e1", "e2"]


def test_subgoals_are_not_written_into_the_store_that_is_read(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(f"data subgoals {run_folder} --output {run_folder / 'trajectories'}".split()) == 2
    assert "output is the store that is read" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["subgoals", "preferences"])
def test_what_is_damaged_is_named_or_left_out(
    command: str, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = TrajectoryStore.open(run_folder / "trajectories")
    missing = store.screenshots.file(store.trajectory("e1").screenshot_sha256s[0])
    assert missing is not None
    missing.unlink()
    line = f"data {command} {run_folder} --output {tmp_path / 'out'}".split()
    assert main(line) == 3
    assert "episode 'e1': " in capsys.readouterr().err
    assert main([*line, "--on-damage", "skip"]) == 0
    said = capsys.readouterr().out
    assert f"left out: {store.path}, episode 'e1': {missing.with_suffix('')}" in said
    if command == "subgoals":
        assert TrajectoryStore.open(tmp_path / "out").episode_ids == ["e0", "e2"]
    else:
        assert "2 preferences, 2 pictures" in said


def test_records_read_every_shard_once(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = TrajectoryStore.open(run_folder / "trajectories")
    read: list[str] = []

    def counted(file: Path, columns: list[str] | None = None) -> object:
        read.append(file.name)
        return read_shard(file, columns)

    monkeypatch.setattr("trajectories.store.read_shard", counted)
    assert [len(record.screenshots) for record in store.records()] == [1, 1, 1]
    assert len(read) == len(set(read)) == 6
    assert [row["num_steps"] for row in store.episode_rows("num_steps")] == [1, 1, 1]
    assert len(read) == 8
