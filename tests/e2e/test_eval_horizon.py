"""Long-horizon figures through the command line, with a model of random weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gui_agent.actions import Action
from gui_agent.agent import DemonstratorAgent
from gui_agent.cli.evaluate_replay import ReplayEvaluation
from gui_agent.cli.main import main
from gui_agent.device import Demonstrator, Device, DeviceFactory, Task
from gui_agent.errors import DataError
from gui_agent.formats.registry import get_planner_format
from gui_agent.matching import get_matcher
from gui_agent.observation import Screenshot
from trainers.tiny_model import TinyModelConfig, build_tiny_model
from trajectories.collect import collect_episodes, group_jobs
from trajectories.records import EpisodeRecord, Trajectory
from trajectories.store import TrajectoryStore

TINY = TinyModelConfig(
    hidden_size=32, num_layers=2, num_heads=2, num_key_value_heads=1, mlp_size=64, vision_hidden_size=16,
    vision_depth=1, vision_heads=1, vision_mlp_size=32, bpe_vocab_size=300, number_tokens=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long") / "demonstrations"
    assert main(["collect", "--suite", "phone/long", "--episodes", "4", "--output", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(TINY, ["turn on wifi then call anna"], tmp_path_factory.mktemp("tiny"), seed=0)


def evaluated(folder: Path, data: Path, model: Path, *flags: str) -> dict[str, Any]:
    arguments = ["--data", str(data), "--output-dir", str(folder), "--agent.model", str(model), *flags]
    compact = ["--agent.format", "compact", "--max-completion-length", "4"]
    assert main(["eval", "run", *arguments, *compact]) == 0
    report: dict[str, Any] = json.loads((folder / "eval.json").read_text())
    return report


def test_a_second_run_gives_the_same_figures_and_the_report_names_its_settings(
    tmp_path: Path, data: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--horizon", "--history-error-rate", "0", "0.5")
    first = evaluated(tmp_path / "first", data, model, *flags)
    said = capsys.readouterr().out
    second = evaluated(tmp_path / "second", data, model, *flags)
    plain = evaluated(tmp_path / "plain", data, model)
    replays = [{**report["replay"], "page": ""} for report in (first, second)]
    assert replays[0] == replays[1]
    assert first["config"]["history_error_rate"] == [0.0, 0.5]
    for name in ("sop", "steps"):
        assert plain["replay"][name] == first["replay"][name], "more figures do not change the others"
    assert not {"horizon", "history_errors", "page"} & set(plain["replay"])
    assert "accuracy by depth, own history" in said
    page = (tmp_path / "first" / "horizon.html").read_text()
    assert "Prefix accuracy" in page
    assert "Horizon by depth, own history" in page
    assert "<svg" in page


class RememberingExpert(DemonstratorAgent):
    """Does what the recording says, whatever it is told of earlier steps."""

    def remember(
        self, screenshot: Screenshot, action: Action, thought: str | None, subgoal: str | None = None
    ) -> None:
        """An expert looks at the state alone."""


async def replay_by_experts(tasks: Sequence[Task], factory: DeviceFactory, what: str) -> list[EpisodeRecord]:
    def agent_for(device: Device) -> RememberingExpert:
        assert isinstance(device, Demonstrator)
        return RememberingExpert(device)

    jobs = group_jobs(tasks, prefix=what)
    return [record async for record in collect_episodes(jobs, factory, agent_for, ordered=True)]


def evaluation(trajectories: list[Trajectory], store: TrajectoryStore) -> ReplayEvaluation:
    return ReplayEvaluation(
        trajectories=trajectories,
        screenshots=store.screenshots,
        matcher=get_matcher("ui_s1"),
        seed=0,
        play=replay_by_experts,
        planner_format=get_planner_format("compact"),
        horizon=True,
        history_error_rates=(1.0,),
    )


async def test_the_expert_is_right_at_every_depth_and_has_no_horizon(data: Path) -> None:
    store = TrajectoryStore.open(data)
    found = await evaluation(list(store), store).figures()
    for metrics in found["horizon"].values():
        assert {depth["prefix"]["value"] for depth in metrics["depths"]} == {1.0}
        assert [horizon["steps"] for horizon in metrics["horizons"]] == [None, None, None]
    assert found["history_errors"][0]["change"]["value"] == 0
    assert found["history_errors"][0]["wrong_share"] > 0.9
    json.dumps(found, allow_nan=False)


async def test_errors_in_the_history_need_a_history(data: Path) -> None:
    store = TrajectoryStore.open(data)
    first_steps = [replace(trajectory, steps=trajectory.steps[:1]) for trajectory in store]
    with pytest.raises(DataError, match="no step here has a history"):
        await evaluation(first_steps, store).figures()


def test_oracles_score_each_half_of_a_hierarchical_agent(
    tmp_path: Path, data: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--agent", "hierarchical", "--oracle", "planner", "actor", "--suite", "phone/quickstart")
    report = evaluated(
        tmp_path, data, model, *flags, "--episodes-per-template", "1", "--horizon", "--max-trajectories", "2"
    )
    said = capsys.readouterr().out
    given, taken = (report["oracles"][half] for half in ("planner", "actor"))
    assert given["replay"]["errors"]["expert_history"]["planner"]["value"] == 0
    assert taken["replay"]["errors"]["expert_history"]["actor"]["value"] == 0
    effect = given["replay"]["effect_of_subgoals"]
    assert sum(effect[part]["value"] for part in ("right", "planner", "actor", "lost")) == pytest.approx(1)
    assert given["live"]["instances"] == report["live"]["instances"] == 10
    for folder in ("episodes", "episodes_oracle_planner", "episodes_oracle_actor"):
        assert len(TrajectoryStore.open(tmp_path / folder)) == 10
    live = TrajectoryStore.open(tmp_path / "episodes_oracle_planner")
    subgoals = {step.subgoal for episode in live for step in episode.steps}
    assert subgoals >= {"tap settings", "tap chats"}
    assert "execution alone" in said
    assert "whose errors" in said
    assert "oracle actor" in (tmp_path / "horizon.html").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--suite", "phone/long", "--oracle", "actor"), "a flat agent has none"),
        (("--suite", "phone/long", "--oracle", "plan"), "did you mean"),
        (("--suite", "phone/long", "--horizon"), "are measured by replay"),
        (("--data", "somewhere", "--history-error-rate", "0.5", "2"), "history_error_rate is 2"),
    ],
)
def test_impossible_settings_are_refused(
    flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "run", "--agent.model", "m", *flags]) == 2
    assert message in capsys.readouterr().err
