"""How large screenshots reach a model: chosen once, kept by what is trained, told where it changes."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path

import pytest
from PIL import Image

from gui_agent.actions import Click
from gui_agent.agent_spec import AgentKind
from gui_agent.cli.agents import AgentOptions, open_policy
from gui_agent.cli.main import main
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import ConfigError
from gui_agent.formats.registry import get_format
from gui_agent.model_settings import ModelSettings
from gui_agent.observation import Screenshot
from gui_agent.policies.by_role import PolicyByRole
from gui_agent.policies.checkpoint_folder import stated_image_budget
from gui_agent.policies.transformers_loading import LoraSettings, load_model, load_processor
from gui_agent.policies.transformers_roles import ROLE_ADAPTERS
from gui_agent.policy import ImageBudget
from trainers.learner import Learner
from trainers.learner_model import load_learner_model
from trainers.rl_config import RLConfig
from trainers.sft import expert_rows, train_sft
from trainers.sft_config import SFTConfig
from trainers.without_effect import settings_without_effect
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.replay import ReplaySource
from trajectories.store import TrajectoryStore

LIMIT = 16 * 28**2
OTHER = 25 * 28**2
SCREEN = Screenshot.from_image(Image.new("RGB", (200, 400), (10, 200, 100)))


@pytest.fixture(scope="module")
def trained(tiny_model_dir_qwen3: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    model = load_model(tiny_model_dir_qwen3, image_max_pixels=LIMIT)
    Learner(model, SFTConfig(model="m", device="cpu", format="compact")).export(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "experts"
    step = Step(
        index=0, screenshot_sha256=SCREEN.sha256, width_px=200, height_px=400, requested=None,
        executed=Click(x=100, y=300), expected=ExpertAction(action=Click(x=100, y=300)),
    )  # fmt: skip
    trajectory = Trajectory(
        episode_id="expert", task_id="task", template="tap", suite="tiny", goal="tap", split="train",
        steps=(step,), stop=StopReason.FINISHED, outcome=Outcome(verdict=Verdict.SUCCESS),
    )  # fmt: skip
    record = EpisodeRecord(trajectory=trajectory, screenshots={SCREEN.sha256: SCREEN})
    TrajectoryStore.create(path).append(record)
    return path


def test_expert_rows_point_into_the_picture_of_the_limit(
    tiny_model_dir_qwen2_5: Path, data: Path, tmp_path: Path
) -> None:
    config = SFTConfig(
        model=str(tiny_model_dir_qwen2_5), data=data, output_dir=tmp_path, format="compact", device="cpu",
        image_max_pixels=LIMIT, max_steps=1,
    )  # fmt: skip
    model = load_learner_model(config)
    store = TrajectoryStore.open(data)
    tasks = ReplaySource(store, store.screenshots).tasks
    prompt_format = get_format(config.format, image_budget=model.images.budget)
    (row,) = expert_rows(tasks, model, prompt_format, thoughts=False).rows
    assert row.image_grids == ((1, 10, 4),)  # 200x400 in 16 tokens of 28x28: 56x140
    assert row.prompt_token_ids.count(model.image_token_id) == 10
    assert model.prompts.decode(row.token_ids) == "click 28 105"
    said = ModelSettings.read(train_sft(config).model_dir)
    assert said is not None
    assert (said.format, said.image_max_pixels) == ("compact", LIMIT)


def test_a_dry_run_says_what_a_screenshot_costs(
    trained: Path, tiny_model_dir_qwen3: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for model, chosen, number in ((tiny_model_dir_qwen3, 0, 98), (trained, 0, 10), (trained, OTHER, 21)):
        command = f"train sft --model {model} --data {data} --image-max-pixels {chosen} --dry-run"
        assert main(command.split()) == 0
        assert f"; a screenshot of 200x400 is {number} tokens" in capsys.readouterr().out
    assert main([*command.split()[:-2], "1280", "--dry-run"]) == 2
    assert "1,280 tokens are 1003520" in capsys.readouterr().err


def test_what_files_state_is_what_a_processor_does(
    trained: Path, tiny_model_dir: Path, tmp_path: Path
) -> None:
    for folder in (trained, tiny_model_dir):
        assert stated_image_budget(folder) == load_model(folder).images.budget
    older = {"patch_size": 14, "merge_size": 2, "min_pixels": 3136, "max_pixels": 12_845_056}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(older))
    assert stated_image_budget(tmp_path) == ImageBudget()
    assert stated_image_budget("owner/name") is None


def test_a_trained_model_keeps_its_limit_wherever_it_is_loaded(trained: Path) -> None:
    said = ModelSettings.read(trained)
    assert said is not None
    assert said.image_max_pixels == LIMIT
    stated = [json.loads(path.read_text()) for path in trained.glob("*processor_config.json")]
    sizes = [file.get("image_processor", file)["size"]["longest_edge"] for file in stated]
    assert sizes == [LIMIT] * 2  # of both files, of which other software reads one
    with warnings.catch_warnings(action="error", category=UserWarning):
        model = load_model(trained)
    assert model.images.budget.max_pixels == LIMIT
    alone = load_processor(trained).image_processor(images=[SCREEN.image()], return_tensors="pt")
    assert tuple(alone["image_grid_thw"][0].tolist()) == model.images.encode(SCREEN).grid


def test_another_limit_is_used_and_told(trained: Path) -> None:
    with pytest.warns(UserWarning, match=f"at most {LIMIT} pixels and is shown up to {OTHER}"):
        model = load_model(trained, image_max_pixels=OTHER)
    assert model.images.budget.max_pixels == OTHER


def test_adapters_of_roles_keep_theirs_not_that_of_their_base(trained: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="is shown up to"):
        model = load_model(trained, lora=LoraSettings(rank=2), adapters=ROLE_ADAPTERS, image_max_pixels=OTHER)
    Learner(model, SFTConfig(agent=AgentKind.HIERARCHICAL, lora_rank=2, device="cpu")).export(tmp_path)
    with warnings.catch_warnings(action="error", category=UserWarning):
        assert load_model(tmp_path).images.budget.max_pixels == OTHER
    with pytest.warns(UserWarning, match=f"at most {OTHER} pixels and is shown up to {LIMIT}"):
        assert load_model(tmp_path, image_max_pixels=LIMIT).images.budget.max_pixels == LIMIT


async def test_planner_and_actor_have_limits_of_their_own(
    trained: Path, tiny_model_dir_qwen2_5: Path
) -> None:
    options = AgentOptions(
        kind=AgentKind.HIERARCHICAL,
        model=str(tiny_model_dir_qwen2_5),
        image_max_pixels=OTHER,
        planner=str(trained),
        format="compact",
        device="cpu",
    )
    for chosen, expected in ((0, LIMIT), (LIMIT, LIMIT)):
        async with open_policy(dataclasses.replace(options, planner_image_max_pixels=chosen)) as policy:
            assert isinstance(policy, PolicyByRole)
            assert policy.image_budget.max_pixels == policy.actor.image_budget.max_pixels == OTHER
            assert policy.planner.image_budget.max_pixels == expected


def test_impossible_limits_are_refused(tiny_model_dir_qwen3: Path) -> None:
    for make in (SFTConfig, AgentOptions):
        with pytest.raises(ConfigError, match="image_max_pixels is -1"):
            make(image_max_pixels=-1)
    with pytest.raises(ConfigError, match="smallest picture of this model has 3136 pixels"):
        load_model(tiny_model_dir_qwen3, image_max_pixels=3135)
    with pytest.raises(ConfigError, match=r"is \d+ tokens, but a prompt of this model has \d+ at most"):
        load_model(tiny_model_dir_qwen3, image_max_pixels=12_845_056)
    with pytest.raises(ConfigError, match="no other model plans"):
        AgentOptions(kind=AgentKind.HIERARCHICAL, planner_image_max_pixels=LIMIT)
    chosen = settings_without_effect(RLConfig(partner_image_max_pixels=LIMIT))
    assert any("partner_image_max_pixels" in words for words in chosen)


def test_no_limit_leaves_a_budget_as_it_is() -> None:
    assert ImageBudget().limited(0) == ImageBudget()
