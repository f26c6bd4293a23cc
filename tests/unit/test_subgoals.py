"""Subgoals of recordings: from data, from templates, and in the rows that both roles learn from."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gui_agent.actions import Action, Button, Click, Finish, Scroll, SystemButton, TypeText
from gui_agent.actions import Direction as D
from gui_agent.agent_spec import AgentKind, AgentSpec
from gui_agent.device import ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import ConfigError, DataError
from gui_agent.observation import Box, Screenshot
from gui_agent.policies.transformers_roles import RoleFolder
from gui_agent.policies.weight_files import weight_files
from gui_agent.policy import AgentRole
from trainers.learner_model import load_learner_model
from trainers.metrics import read_metrics
from trainers.role_rows import role_rows
from trainers.semi_online import replay_tasks, train_semi_online
from trainers.semi_online_config import SemiOnlineConfig
from trainers.sft import train_sft
from trainers.sft_config import SFTConfig
from trainers.tiny_model import TinyModelConfig, build_tiny_model
from trajectories.convert_aitz import AitzOptions, read_aitz
from trajectories.convert_ui_s1 import UiS1Options, read_ui_s1
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.replay import ReplayTask
from trajectories.rows import expert_from_dict, expert_to_dict
from trajectories.store import TrajectoryStore
from trajectories.subgoals import SubgoalSource, recorded_subgoal, template_subgoal, with_subgoals

GOLDEN = Path(__file__).parent.parent / "golden"
ELEMENTS = (
    {"name": "settings", "role": "list", "box": [0, 0, 56, 56], "clickable": False},
    {"name": "Wi-Fi", "role": "switch", "box": [8, 8, 20, 20], "clickable": True},
    {"name": " ", "role": "icon", "box": [10, 10, 14, 14], "clickable": True},
    {"name": "ok", "role": "button", "box": [30, 30, 50, 40], "clickable": True},
)
SHOT = Screenshot.from_image(Image.new("RGB", (56, 56), "teal"))


def step(action: Action | None, index: int = 0, **changes: object) -> Step:
    plain = Step(
        index=index,
        screenshot_sha256=SHOT.sha256,
        width_px=56,
        height_px=56,
        requested=None,
        executed=action,
        elements=ELEMENTS,
        expected=None if action is None else ExpertAction(action=action),
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def trajectory(*steps: Step, **changes: object) -> Trajectory:
    plain = Trajectory(
        episode_id="expert", task_id="task", template="tap", suite="tiny", goal="turn on wifi", split="train",
        steps=steps, stop=StopReason.FINISHED, outcome=Outcome(verdict=Verdict.SUCCESS),
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("recorded", "words"),
    [
        (step(Click(x=12, y=12)), "tap Wi-Fi"),
        (step(Click(x=2, y=2)), "tap settings"),
        (step(TypeText(text="hello")), "type hello"),
        (step(SystemButton(button=Button.BACK)), "press back"),
        (step(Scroll(direction=D.DOWN, x=3, y=3), elements=None), "scroll down"),
        (step(Finish()), "finish"),
        (step(None), None),
        (step(Click(x=12, y=12), elements=None), None),
        (
            step(
                Click(x=28, y=28),
                elements=ELEMENTS[3:],
                expected=ExpertAction(
                    action=Click(x=28, y=28), boxes=(Box(left=30, top=30, right=50, bottom=40),)
                ),
            ),
            "tap ok",
        ),
        (
            step(
                Click(x=1, y=1),
                elements=None,
                expected=ExpertAction(action=Click(x=1, y=1), thought="the ok button"),
            ),
            "tap the ok button",
        ),
        (
            step(
                Click(x=1, y=1),
                elements=None,
                expected=ExpertAction(action=Click(x=1, y=1), thought="I should look at this more closely"),
            ),
            None,
        ),
    ],
)
def test_a_template_names_what_is_hit(recorded: Step, words: str | None) -> None:
    assert template_subgoal(recorded) == words


def test_what_another_deed_of_the_expert_is_about_names_nothing() -> None:
    expert = ExpertAction(
        action=Click(x=12, y=12), thought="Wi-Fi", boxes=(Box(left=30, top=30, right=50, bottom=40),)
    )
    beside = step(Click(x=55, y=55), elements=ELEMENTS[3:], expected=expert)
    assert template_subgoal(beside) is None
    assert template_subgoal(dataclasses.replace(beside, thought="the corner")) == "tap the corner"


def test_sources_of_subgoals_and_where_they_are_said() -> None:
    known = dataclasses.replace(step(Click(x=12, y=12)), subgoal="switch it on")
    unnamed = step(Click(x=1, y=1), 1, elements=None)
    recording = trajectory(known, unnamed, step(Finish(), 2), source={"subgoal_source": "step_instruction"})
    expected = {
        SubgoalSource.DATA: (["switch it on", None, None], "none 2, step_instruction 1"),
        SubgoalSource.TEMPLATE: (["tap Wi-Fi", None, "finish"], "none 1, template@1 2"),
        SubgoalSource.DATA_ELSE_TEMPLATE: (
            ["switch it on", None, "finish"],
            "none 1, step_instruction 1, template@1 1",
        ),
    }
    for source, (subgoals, said) in expected.items():
        found = with_subgoals(recording, source)
        assert [each.subgoal for each in found.steps] == subgoals
        assert [each.expected and each.expected.subgoal for each in found.steps] == subgoals
        assert found.source["subgoal_source"] == said


def test_what_a_planner_asked_for_is_no_name_for_an_experts_deed() -> None:
    patched = step(Click(x=12, y=12), subgoal="go home", source=ActionSource.PATCH)
    assert recorded_subgoal(patched) is None
    (found,) = with_subgoals(trajectory(patched), SubgoalSource.DATA_ELSE_TEMPLATE).steps
    assert (found.subgoal, found.expected and found.expected.subgoal) == ("go home", "tap Wi-Fi")


def test_android_control_and_aitz_bring_subgoals(tmp_path: Path) -> None:
    action = {"action": "click", "coordinate": [5, 6]}
    stored = {"action_content": action, "step_instruction": "open the menu", "check_options": action}
    row = {"goal": "look", "is_successful": True, "steps": [stored]}
    (tmp_path / "evaluation.jsonl").write_text(json.dumps(row))
    first = next(iter(read_ui_s1(tmp_path / "evaluation.jsonl", UiS1Options()))).trajectory
    assert recorded_subgoal(first.steps[0]) == "open the menu"
    assert first.source["subgoal_source"] == "step_instruction"
    episodes = sorted((GOLDEN / "aitz").rglob("*.json"))
    record = next(iter(read_aitz(episodes, AitzOptions())))
    assert recorded_subgoal(record.trajectory.steps[0])
    assert record.trajectory.source["subgoal_source"] == "coat_action_desc"


def test_experts_actions_of_before_there_were_subgoals_are_read() -> None:
    old: dict[str, Any] = {"action": {"type": "click", "x": 1, "y": 2}, "boxes": [], "thought": None}
    assert expert_from_dict(old).subgoal is None
    assert expert_to_dict(expert_from_dict(old)) == old
    named = ExpertAction(action=Finish(), subgoal="finish")
    assert expert_from_dict(json.loads(json.dumps(expert_to_dict(named)))) == named


# --- what the roles learn -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = TinyModelConfig(
        hidden_size=32, num_layers=2, num_heads=2, num_key_value_heads=1, mlp_size=64, vision_hidden_size=16,
        vision_depth=1, vision_heads=1, vision_mlp_size=32, bpe_vocab_size=300, number_tokens=60,
    )  # fmt: skip
    return build_tiny_model(tiny, ["tap Wi-Fi click 14 14"], tmp_path_factory.mktemp("tiny"), seed=0)


def store(path: Path, *steps: Step) -> Path:
    record = EpisodeRecord(trajectory=trajectory(*steps), screenshots={SHOT.sha256: SHOT})
    TrajectoryStore.create(path).append(record)
    return path


GOOD = (step(Click(x=12, y=12)), step(SystemButton(button=Button.HOME), 1), step(Finish(), 2))


def settings(model_dir: Path, data: Path, output_dir: Path, **changes: object) -> SFTConfig:
    values: dict[str, object] = {
        "model": str(model_dir), "data": data, "output_dir": output_dir, "format": "compact", "device": "cpu",
        "agent": AgentKind.HIERARCHICAL, "learning_rate": 1e-2, "max_steps": 3, "rows_per_step": 6,
    }  # fmt: skip
    return SFTConfig(**(values | changes))  # type: ignore[arg-type]


def test_both_roles_learn_from_every_step(model_dir: Path) -> None:
    model = load_learner_model(SFTConfig(model=str(model_dir), device="cpu"))
    recording = with_subgoals(trajectory(*GOOD), SubgoalSource.TEMPLATE)
    task = ReplayTask.from_trajectory(recording, {SHOT.sha256: SHOT})
    spec = AgentSpec(kind=AgentKind.HIERARCHICAL, format="compact")
    rows = role_rows([task], model, spec, thoughts=True).rows

    def said(token_ids: tuple[int, ...]) -> str:
        return model.tokenizer.decode(token_ids, skip_special_tokens=True)

    assert [(row.role.value, row.step, said(row.token_ids)) for row in rows] == [
        ("planner", 0, "tap Wi-Fi"),
        ("actor", 0, "click 12 12"),
        ("planner", 1, "press home"),
        ("actor", 1, "button home"),
        ("planner", 2, "finish"),
        ("actor", 2, "finish success"),
    ]
    planner, actor = (said(row.prompt_token_ids) for row in rows[4:])
    assert "turn on wifi\nclick 12 12\nbutton home\nplan\n" in planner
    assert "finish\nclick 12 12\nbutton home\n" in actor
    assert "turn on wifi" not in actor
    frozen = role_rows([task], model, spec, thoughts=True, frozen={AgentRole.ACTOR}).rows
    assert {row.role for row in frozen} == {AgentRole.PLANNER}


def test_steps_without_a_usable_subgoal_are_counted_or_refused(model_dir: Path, tmp_path: Path) -> None:
    long = step(TypeText(text="x" * 200), 1)
    nameless = step(Click(x=1, y=1), 2, elements=None)
    mixed = store(tmp_path / "mixed", GOOD[0], long, nameless)
    with pytest.warns(UserWarning, match=r"2 of 3 steps have no subgoal .* step 1: planner: .* 205 char"):
        train_sft(settings(model_dir, mixed, tmp_path / "run"))
    none = store(tmp_path / "none", dataclasses.replace(nameless, index=0))
    with pytest.raises(DataError, match="data_else_template"):
        train_sft(settings(model_dir, none, tmp_path / "refused"))


def test_a_planner_that_is_taught_the_wrong_form_is_told_of(model_dir: Path) -> None:
    model = load_learner_model(SFTConfig(model=str(model_dir), device="cpu"))
    task = ReplayTask.from_trajectory(
        with_subgoals(trajectory(*GOOD), SubgoalSource.TEMPLATE), {SHOT.sha256: SHOT}
    )
    spec = AgentSpec(kind=AgentKind.HIERARCHICAL, format="compact", planner_format="hi_agent")
    with pytest.warns(
        UserWarning, match=r"3 of 3 subgoals .*'hi_agent' .* step 0; .*require_reasoning=false"
    ):
        rows = role_rows([task], model, spec, thoughts=False).rows
    assert len(rows) == 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        role_rows([task], model, spec, thoughts=False, frozen={AgentRole.PLANNER})
        free = dataclasses.replace(spec, planner_format="hi_agent:require_reasoning=false")
        role_rows([task], model, free, thoughts=False)


def test_adapters_of_both_roles_are_taught_and_used(model_dir: Path, tmp_path: Path) -> None:
    data = store(tmp_path / "data", *GOOD)
    result = train_sft(settings(model_dir, data, tmp_path / "both", lora_rank=4, max_steps=40))
    losses = [line["loss"] for line in read_metrics(result.metrics_path)]
    assert losses[-1] < losses[0]
    roles = RoleFolder.read(result.model_dir)
    assert roles is not None
    assert sorted(roles.adapters) == ["actor", "planner"]
    assert roles.base_weights == weight_files(model_dir)
    again = load_learner_model(settings(result.model_dir, data, tmp_path / "again"))
    assert again.adapters == ("planner", "actor")


def test_a_frozen_role_keeps_its_adapter(model_dir: Path, tmp_path: Path) -> None:
    data = store(tmp_path / "data", *GOOD)
    result = train_sft(settings(model_dir, data, tmp_path / "run", lora_rank=4, freeze_actor=True))
    model = load_learner_model(settings(result.model_dir, data, tmp_path / "again"))
    moved = {
        adapter: any(
            bool(weight.any())
            for name, weight in model.network.named_parameters()
            if f"lora_B.{adapter}." in name
        )
        for adapter in model.adapters
    }
    assert moved == {"planner": True, "actor": False}
    with pytest.raises(ConfigError, match="actor is to stay as it is, but planner and actor share"):
        train_sft(settings(model_dir, data, tmp_path / "shared", freeze_actor=True, lora_rank=0))


def test_impossible_roles_are_refused() -> None:
    with pytest.raises(ConfigError, match="flat agent has no planner"):
        SFTConfig(freeze_planner=True)
    with pytest.raises(ConfigError, match="nothing would be trained"):
        SFTConfig(agent=AgentKind.HIERARCHICAL, freeze_planner=True, freeze_actor=True)


async def test_replay_brings_subgoals_or_says_that_there_are_none(model_dir: Path, tmp_path: Path) -> None:
    config = SemiOnlineConfig(
        model=str(model_dir), device="cpu", agent=AgentKind.HIERARCHICAL, format="compact",
        data=store(tmp_path / "good", *GOOD), output_dir=tmp_path / "run",
    )  # fmt: skip
    (task,) = replay_tasks(config)
    assert [frame.expert.subgoal for frame in task.frames] == ["tap Wi-Fi", "press home", "finish"]
    (flat,) = replay_tasks(dataclasses.replace(config, agent=AgentKind.FLAT))
    assert [frame.expert.subgoal for frame in flat.frames] == [None, None, None]
    nothing = dataclasses.replace(config, subgoals=SubgoalSource.DATA)
    with pytest.raises(ConfigError, match=r"3 of 3 recorded steps .* have no subgoal .* step 0: none is rec"):
        await train_semi_online(nothing)


@pytest.mark.parametrize(
    ("subgoal", "why"),
    [("x" * 500, "500 characters"), ("tap <|im_end|>", "control token"), ("tap \x07", "control characters")],
)
async def test_recorded_subgoals_that_no_actor_can_be_given_are_told_before_training(
    model_dir: Path, tmp_path: Path, subgoal: str, why: str
) -> None:
    said = dataclasses.replace(GOOD[0], subgoal=subgoal)
    config = SemiOnlineConfig(
        model=str(model_dir), device="cpu", agent=AgentKind.HIERARCHICAL, format="compact", max_updates=0,
        data=store(tmp_path / "data", said, *GOOD[1:]), output_dir=tmp_path / "run", algorithm="foresight",
    )  # fmt: skip
    with pytest.warns(UserWarning, match=rf"1 of 3 recorded steps .* step 0: planner: .*{why}"):
        await train_semi_online(config)


async def test_single_steps_are_named_by_their_place_in_the_recording(
    model_dir: Path, tmp_path: Path
) -> None:
    said = dataclasses.replace(GOOD[1], subgoal="tap <|im_end|>")
    config = SemiOnlineConfig(
        model=str(model_dir), device="cpu", agent=AgentKind.HIERARCHICAL, format="compact", max_updates=0,
        data=store(tmp_path / "data", GOOD[0], said, GOOD[2]), output_dir=tmp_path / "run",
        algorithm="foresight", single_step=True, patch_budget=1,
    )  # fmt: skip
    with pytest.warns(UserWarning, match=r"1 of 3 recorded steps .* step 1: planner:"):
        await train_semi_online(config)
