"""What people rejected becomes pairs for preference training, each under the prompt that the agent saw."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from gui_agent.actions import Click, Drag
from gui_agent.agent import Candidate, CandidateKind, RoleCompletion
from gui_agent.cli.main import main
from gui_agent.device import ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import DataError
from gui_agent.formats.registry import get_format
from gui_agent.observation import Screenshot
from gui_agent.policy import AgentRole, Completion, FinishReason, ImageBudget, ImagePart, TextPart
from trajectories.preferences import REJECTED, preferences
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore

FORMAT = get_format("compact")
SHOTS = [Screenshot.from_image(Image.new("RGB", (112, 112), colour)) for colour in ("teal", "navy")]


def rejected(text: str, *, subgoal: str | None = None, measured: str = REJECTED) -> Candidate:
    completion = Completion(
        text=text, token_ids=(), logprobs=(), finish_reason=FinishReason.STOP, policy_version=0,
        prompt_token_ids=(), image_grids=(),
    )  # fmt: skip
    spoken = RoleCompletion(role=AgentRole.ACTOR, completion=completion, image_sha256s=())
    return Candidate(
        kind=CandidateKind.ACTION,
        completion=spoken,
        branch=1,
        subgoal=subgoal,
        action=Drag(x=1, y=1, to_x=9, to_y=9),
        measured={measured: 1.0},
    )


def episode(*candidates: Candidate, subgoal: str | None = None) -> EpisodeRecord:
    """A person acts at the first step, the agent, after two refused proposals, at the second."""
    steps = tuple(
        Step(
            index=index, screenshot_sha256=SHOTS[index].sha256, width_px=112, height_px=112,
            requested=Click(x=9, y=9), executed=Click(x=28 + index, y=56),
            source=ActionSource.HUMAN if index == 0 else ActionSource.POLICY,
            expected=ExpertAction(action=Click(x=28, y=56), thought="there") if index == 0 else None,
            thought="mine", subgoal=subgoal, candidates=candidates if index else (),
        )
        for index in range(2)
    )  # fmt: skip
    trajectory = Trajectory(
        episode_id="demo", task_id="task", template="goal", suite="demo", goal="tap it", split="train",
        steps=steps, stop=StopReason.FINISHED, outcome=Outcome(verdict=Verdict.UNSCORED),
    )  # fmt: skip
    return EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot for shot in SHOTS})


def test_each_rejected_proposal_is_a_pair_under_the_prompt_of_its_step() -> None:
    record = episode(rejected("click 1 1"), rejected("click 2 2"), rejected("click 3 3", measured="undone"))
    first, second = preferences(record, FORMAT, ImageBudget())
    assert (first.rejected, second.rejected, first.step) == ("click 1 1", "click 2 2", 1)
    assert first.chosen == second.chosen == "mine click 29 56"
    words = [part.text for message in first.prompt for part in message.parts if isinstance(part, TextPart)]
    assert any("there click 28 56" in text for text in words)  # the history holds what the person did
    shown = [
        part.screenshot for message in first.prompt for part in message.parts if isinstance(part, ImagePart)
    ]
    assert shown[-1] == SHOTS[1]


def test_without_words_of_its_own_the_proposed_action_is_written_in_the_format() -> None:
    silent = rejected("")
    (pair,) = preferences(episode(silent), FORMAT, ImageBudget())
    assert pair.rejected == "drag 1 1 9 9"
    assert list(preferences(episode(silent), get_format("mobile_use"), ImageBudget())) == []


def test_a_proposal_under_another_subgoal_answers_another_prompt() -> None:
    record = episode(
        rejected("click 1 1", subgoal="tap a"), rejected("click 2 2", subgoal="tap b"), subgoal="tap b"
    )
    (pair,) = preferences(record, FORMAT, ImageBudget())
    assert pair.rejected == "click 2 2"
    texts = [part.text for part in pair.prompt[-1].parts if isinstance(part, TextPart)]
    assert any("tap b" in text for text in texts)


def test_a_missing_picture_is_named() -> None:
    record = replace(episode(rejected("click 1 1")), screenshots={SHOTS[0].sha256: SHOTS[0]})
    with pytest.raises(DataError, match="'demo', step 1: its screenshot is missing"):
        list(preferences(record, FORMAT, ImageBudget()))


def test_the_command_writes_pairs_and_pictures_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TrajectoryStore.create(tmp_path / "demo").append(episode(rejected("click 1 1"), rejected("click 2 2")))
    arguments = ["data", "preferences", str(tmp_path / "demo"), "--output", str(tmp_path / "out")]
    arguments += ["--format", "compact"]
    assert main([*arguments, "--dry-run"]) == 0
    assert not (tmp_path / "out").exists()
    assert main(arguments) == 0
    assert "2 preferences" in capsys.readouterr().out
    first, second = map(json.loads, (tmp_path / "out" / "preferences.jsonl").read_text().splitlines())
    assert first["prompt"] == second["prompt"]
    assert first["chosen"] == [
        {"role": "assistant", "content": [{"type": "text", "text": "mine click 29 56"}]}
    ]
    assert second["rejected"][0]["content"][0]["text"] == "click 2 2"
    places = [part for message in first["prompt"] for part in message["content"] if part["type"] == "image"]
    assert len(places) == len(first["images"]) > 0
    assert Screenshot.from_bytes((tmp_path / "out" / first["images"][-1]).read_bytes()) == SHOTS[1]
    assert main(arguments) == 2  # not overwritten
    assert "preferences.jsonl exists" in capsys.readouterr().err


def test_a_store_without_any_is_refused_with_what_makes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TrajectoryStore.create(tmp_path / "demo").append(episode())
    assert main(["data", "preferences", str(tmp_path / "demo"), "--output", str(tmp_path / "out")]) != 0
    assert "no step holds a proposal that somebody rejected" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
