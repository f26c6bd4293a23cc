"""The training loops on a tiny model and a tiny store of recordings."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from gui_agent.actions import Action, Click, Finish
from gui_agent.agent import PatchThought
from gui_agent.agent_spec import AgentKind
from gui_agent.cli.main import ExitCode, exit_code_of
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import ConfigError, DeviceError, ImageDecodeError, PolicyError, TrainingError
from gui_agent.formats.registry import get_format
from gui_agent.observation import Screenshot
from trainers.checkpoint import load_state
from trainers.choices import OnExhausted
from trainers.credit import EstimatorCredit
from trainers.learner import Learner
from trainers.loop import Evaluator, StopCause, TimedPolicy, TrainResult
from trainers.metrics import Metrics, MetricsLog, read_metrics, without_times
from trainers.optimizer import WeightOptimizer
from trainers.run_folder import RunFolder
from trainers.semi_online import replay_tasks, train_semi_online
from trainers.semi_online_config import SemiOnlineConfig
from trainers.sft import expert_rows, train_sft
from trainers.sft_config import SFTConfig
from trainers.tiny_model import TinyModelConfig, build_tiny_model
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore
from trajectories.subgoals import SubgoalSource

TINY = TinyModelConfig(
    hidden_size=32, num_layers=2, num_heads=2, num_key_value_heads=1, mlp_size=64, vision_hidden_size=16,
    vision_depth=1, vision_heads=1, vision_mlp_size=32, bpe_vocab_size=300, number_tokens=60,
    macro_tokens=("click", "finish success"),
)  # fmt: skip


def picture(number: int) -> Screenshot:
    image = Image.new("RGB", (56, 56), ("red", "green", "blue")[number % 3])
    ImageDraw.Draw(image).rectangle((number * 4, 8, number * 4 + 8, 16), fill="white")
    return Screenshot.from_image(image)


def recording(number: int) -> EpisodeRecord:
    shots = [picture(number), picture(number + 1)]
    actions: list[Action] = [Click(x=14 + 14 * (number % 3), y=14), Finish()]
    steps = tuple(
        Step(
            index=i, screenshot_sha256=shot.sha256, width_px=56, height_px=56, requested=None,
            executed=action, expected=ExpertAction(action=action),
        )
        for i, (shot, action) in enumerate(zip(shots, actions, strict=True))
    )  # fmt: skip
    trajectory = Trajectory(
        episode_id=f"expert-{number}", task_id=f"task-{number}", template="tap", suite="tiny",
        goal=f"tap {number}", steps=steps, stop=StopReason.FINISHED, split="train",
        outcome=Outcome(verdict=Verdict.SUCCESS),
    )  # fmt: skip
    return EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot for shot in shots})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "experts"
    TrajectoryStore.create(path).append(recording(number) for number in range(4))
    return path


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(TINY, ["tap 0 1 2 3", "click 14 28 42"], tmp_path_factory.mktemp("tiny"), seed=0)


def sft_config(model: Path, data: Path, output_dir: Path) -> SFTConfig:
    return SFTConfig(
        model=str(model), data=data, output_dir=output_dir, format="compact", device="cpu", thoughts=False,
        learning_rate=5e-3, max_steps=30, rows_per_step=8, save_steps=0, freeze_vision=True, logging_steps=10,
    )  # fmt: skip


@pytest.fixture(scope="module")
def imitated(random_model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return train_sft(sft_config(random_model, data, tmp_path_factory.mktemp("sft") / "run"))


def rl_config(model: Path, data: Path, output_dir: Path) -> SemiOnlineConfig:
    return SemiOnlineConfig(
        model=str(model), data=data, output_dir=output_dir, format="compact", device="cpu", num_generations=4,
        groups_per_update=2, max_updates=3, num_mini_batches=2, max_completion_length=8, learning_rate=1e-3,
        filter_std=0.0, on_exhausted=OnExhausted.TRAIN_ON_REST, max_num_gen_batches=2, save_steps=2,
    )  # fmt: skip


def test_imitation_learns_the_words_of_the_expert(imitated: TrainResult) -> None:
    losses = [line["loss"] for line in read_metrics(imitated.metrics_path)]
    assert imitated.cause is StopCause.MAX_STEPS
    assert len(losses) == imitated.updates == 30
    assert losses[-1] < 0.5 * losses[0]


def test_expert_rows_are_the_prompts_that_the_agent_sees(imitated: TrainResult, data: Path) -> None:
    from trainers.learner_model import load_learner_model

    config = SemiOnlineConfig(data=data, model=str(imitated.model_dir), device="cpu")
    model = load_learner_model(config)
    tasks = replay_tasks(config)
    compact = get_format("compact")
    expert = expert_rows(tasks, model, compact, thoughts=True)
    assert len(expert.rows) == sum(len(task.frames) for task in tasks)
    assert all(row.token_ids[-1] == model.end_token_id for row in expert.rows)
    assert {name for row in expert.rows for name in row.image_sha256s} == set(expert.screenshots)
    first = expert.rows[0]
    assert model.prompts.decode(first.token_ids).startswith("click")


async def test_semi_online_training_runs_and_leaves_everything_behind(
    imitated: TrainResult, data: Path, tmp_path: Path
) -> None:
    config = rl_config(imitated.model_dir, data, tmp_path / "run")
    result = await train_semi_online(config)
    lines = read_metrics(result.metrics_path)
    assert [line["update"] for line in lines] == [1, 2, 3]
    assert result.cause is StopCause.MAX_UPDATES
    store = TrajectoryStore.open(config.output_dir / "trajectories")
    assert len(store) == sum(line["semi_online/episodes"] for line in lines)
    assert all(step.completions for trajectory in store for step in trajectory.steps)
    assert any(line["rows"] > 0 for line in lines)
    for line in lines:
        parts = [line[f"groups/{part}"] for part in ("kept", "filtered", "surplus")]
        assert sum(parts) == line["groups/sampled"]
        assert min(parts) >= 0
        assert line["images_dropped"] == 0
        if line["rows"]:
            assert line["sampling/sampling_logp_difference/max"] < 1e-4
            assert 0 <= line["semi_online/pg"] <= 1
    assert result.checkpoint.name == "checkpoint-3"
    assert (result.model_dir / "model.safetensors").is_file()


async def test_single_steps_give_offline_training(imitated: TrainResult, data: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(
        rl_config(imitated.model_dir, data, tmp_path / "run"),
        single_step=True, algorithm="ui_s1_offline", max_updates=1,
    )  # fmt: skip
    result = await train_semi_online(config)
    (line,) = read_metrics(result.metrics_path)
    assert line["offline/steps_mean"] == 1


@pytest.mark.parametrize(
    "algorithm",
    [
        "grpo:mode=mean_norm",
        "rloo",
        "reinforce_pp",
        "srgpo:cluster_size=4,within=group",
        "gigpo:anchor=perceptual,tolerance_bits=2",
        "salt:history=1",
    ],
)
async def test_algorithms_are_one_setting(
    imitated: TrainResult, data: Path, tmp_path: Path, algorithm: str
) -> None:
    config = dataclasses.replace(
        rl_config(imitated.model_dir, data, tmp_path / "run"), algorithm=algorithm, max_updates=1
    )
    result = await train_semi_online(config)
    (line,) = read_metrics(result.metrics_path)
    assert line["rows"] > 0
    assert line["grad_norm"] > 0


async def test_a_batch_baseline_needs_no_siblings(imitated: TrainResult, data: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(
        rl_config(imitated.model_dir, data, tmp_path / "run"),
        algorithm="reinforce_pp", num_generations=1, groups_per_update=4, max_updates=1, filter_std=-1,
    )  # fmt: skip
    (line,) = read_metrics((await train_semi_online(config)).metrics_path)
    assert line["groups/kept"] == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_generations": 1}, "ui_s1 compares an episode with its siblings"),
        ({"num_generations": 1, "algorithm": "reinforce_pp"}, "set filter_std to -1"),
        ({"algorithm": "srgpo", "reward": "task"}, "pays only the outcome"),
        ({"algorithm": "salt", "single_step": True}, "needs the state that follows"),
        ({"algorithm": "gigpo:anchor=ui_tree"}, "8 of 8 recorded steps have no widgets"),
        ({"algorithm": "gigpo:anchor=perceptual,ignored_top_px=56"}, "only 56 pixels high"),
    ],
)
async def test_an_algorithm_without_what_it_needs_is_refused_before_a_model_is_loaded(
    data: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    config = dataclasses.replace(rl_config(tmp_path / "no model", data, tmp_path / "run"), **changes)
    with pytest.raises(ConfigError, match=message):
        await train_semi_online(config)


async def test_too_few_groups_are_an_error_by_default(
    imitated: TrainResult, data: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        rl_config(imitated.model_dir, data, tmp_path / "run"), on_exhausted=OnExhausted.RAISE, filter_std=9.0
    )
    with pytest.raises(TrainingError, match="on_exhausted=train_on_rest") as told:
        await train_semi_online(config)
    assert exit_code_of(told.value) is ExitCode.FAILED
    assert told.value.__notes__ == ["no update had ended, so that nothing is lost; begin anew"]
    assert not list(config.output_dir.glob("checkpoint-*"))
    narrow = dataclasses.replace(
        config, output_dir=tmp_path / "narrow", filter_std=-1, filter_solve_rate=(0.9, 0.95)
    )
    with pytest.raises(TrainingError, match=r"widen filter_solve_rate \(now 0.9 to 0.95\)"):
        await train_semi_online(narrow)
    # What was sampled is in the store nevertheless.
    assert len(TrajectoryStore.open(config.output_dir / "trajectories")) == 16
    other_words = dataclasses.replace(config, output_dir=tmp_path / "words", format="mobile_use")
    unread = r"(\d+) of \1 responses could not be read .* check that format is"
    with pytest.raises(TrainingError, match=unread):
        await train_semi_online(other_words)


async def test_updates_before_too_few_groups_are_saved_and_the_run_goes_on_from_them(
    imitated: TrainResult, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = dataclasses.replace(
        rl_config(imitated.model_dir, data, tmp_path / "whole"), max_updates=4, save_steps=0,
        on_exhausted=OnExhausted.RAISE, filter_std=-1, max_num_gen_batches=1,
    )  # fmt: skip
    config = dataclasses.replace(whole, output_dir=tmp_path / "run")
    keep = EstimatorCredit.keep
    with monkeypatch.context() as patch:
        patch.setattr(
            EstimatorCredit, "keep", lambda self, one: one.group.group_id < "u00003" and keep(self, one)
        )
        with pytest.raises(TrainingError, match=r"update 3: 0 of 2 groups") as told:
            await train_semi_online(config)
    saved = config.output_dir / "checkpoint-3"
    (note,) = told.value.__notes__
    assert note == f"{saved} holds all 3 updates that had ended; go on with resume_from_checkpoint=true"
    assert [path.name for path in config.output_dir.glob("checkpoint-*")] == ["checkpoint-3"]
    resumed = await train_semi_online(dataclasses.replace(config, resume_from_checkpoint=True))
    once = await train_semi_online(dataclasses.replace(whole, save_steps=3))  # a checkpoint at the same place
    assert resumed.updates == once.updates == 4
    lines = [[without_times(line) for line in read_metrics(each.metrics_path)] for each in (resumed, once)]
    assert lines[0] == lines[1]
    weights = [(each.checkpoint / "model/model.safetensors").read_bytes() for each in (resumed, once)]
    assert weights[0] == weights[1]
    stores = [TrajectoryStore.open(each.output_dir / "trajectories") for each in (config, whole)]
    assert stores[0].episode_ids == stores[1].episode_ids


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ConfigError("no such suite"), TrainingError),
        (KeyError("a bug"), KeyError),
        (DeviceError("gone"), DeviceError),
    ],
)
async def test_an_evaluation_that_fails_takes_no_update_with_it(
    imitated: TrainResult, data: Path, tmp_path: Path, error: Exception, raised: type[Exception]
) -> None:
    config = dataclasses.replace(
        rl_config(imitated.model_dir, data, tmp_path / "run"), eval_steps=1, save_steps=0, filter_std=-1
    )

    def evaluator_for(policy: TimedPolicy) -> Evaluator:
        async def evaluate(update: int) -> dict[str, float]:
            if update == 2:
                raise error
            return {"success": 1.0}

        return evaluate

    with pytest.raises(raised) as told:
        await train_semi_online(config, evaluator_for=evaluator_for)
    assert "holds all 2 updates that had ended" in told.value.__notes__[-1]
    assert load_state(config.output_dir / "checkpoint-2").update == 2
    first, second = read_metrics(config.output_dir / "metrics.jsonl")
    assert (first["eval/success"], second["update"], "eval/success" in second) == (1.0, 2, False)


async def test_a_training_that_is_interrupted_keeps_what_had_ended(
    imitated: TrainResult, data: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        rl_config(imitated.model_dir, data, tmp_path / "run"), eval_steps=1, save_steps=0, filter_std=-1
    )

    def evaluator_for(policy: TimedPolicy) -> Evaluator:
        async def evaluate(update: int) -> dict[str, float]:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()  # as Ctrl-C does
            await asyncio.sleep(0)
            return {}

        return evaluate

    with (
        pytest.raises(asyncio.CancelledError),
        pytest.warns(UserWarning, match="checkpoint-1 holds all 1 updates"),
    ):
        await train_semi_online(config, evaluator_for=evaluator_for)


def test_an_error_while_weights_change_says_what_is_lost(
    random_model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(sft_config(random_model, data, tmp_path / "run"), save_steps=2)
    publish = WeightOptimizer._publish

    def broken(self: WeightOptimizer) -> None:
        publish(self)
        if self.num_steps == 4:
            raise RuntimeError("out of memory")

    monkeypatch.setattr(WeightOptimizer, "_publish", broken)
    with pytest.raises(RuntimeError, match="out of memory") as told:
        train_sft(config)
    (note,) = told.value.__notes__
    assert "broke off while weights were changing; go on from" in note
    assert "checkpoint-2 with resume_from_checkpoint=true; updates after it, of 3 that had ended" in note
    assert not (config.output_dir / "checkpoint-3").exists()


def test_an_error_between_steps_of_imitation_loses_none(
    random_model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(sft_config(random_model, data, tmp_path / "run"), save_steps=2)
    fit = Learner.fit

    def broken(self: Learner, *arguments: Any) -> Metrics:
        if self.optimizer.num_steps == 3:
            raise ImageDecodeError("a picture is broken")
        return fit(self, *arguments)

    monkeypatch.setattr(Learner, "fit", broken)
    with pytest.raises(ImageDecodeError) as told:
        train_sft(config)
    assert "checkpoint-3 holds all 3 updates that had ended" in told.value.__notes__[0]
    assert load_state(config.output_dir / "checkpoint-3").optimizer_steps == 3


def breaks(patch: pytest.MonkeyPatch, owner: type, name: str, *, at_call: int = 1) -> None:
    """Let a run break in its second update, at that call of a method there."""
    ended, calls = 0, 0
    stands_at, method = RunFolder.stands_at, getattr(owner, name)

    def counted(self: RunFolder, *arguments: Any, **options: Any) -> None:
        nonlocal ended
        stands_at(self, *arguments, **options)
        ended += 1  # the first call is that before the first update

    def broken(self: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += ended == 2
        found = method(self, *arguments, **options)
        if calls == at_call:
            raise RuntimeError("out of memory")
        return found

    patch.setattr(RunFolder, "stands_at", counted)
    patch.setattr(owner, name, broken)


@pytest.fixture(scope="module")
def unbroken(imitated: TrainResult, data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """Adapters, whose reference is the base in their place; a checkpoint after each update."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    config = dataclasses.replace(
        rl_config(imitated.model_dir, data, folder), lora_rank=4, max_updates=7, save_steps=1, filter_std=-1,
        learning_rate=1e-2,
    )  # fmt: skip
    return asyncio.run(train_semi_online(config))


def left_behind(result: TrainResult) -> tuple[bytes, list[dict[str, Any]], list[str]]:
    weights = (result.checkpoint / "model/adapter_model.safetensors").read_bytes()
    moments = (result.checkpoint / "optimizer.safetensors").read_bytes()
    lines = [without_times(line) for line in read_metrics(result.metrics_path)]
    store = TrajectoryStore.open(result.metrics_path.parent / "trajectories")
    return weights + moments, lines, list(store.episode_ids)


async def test_a_run_that_breaks_wherever_weights_stand_still_goes_on_as_if_it_had_not(
    unbroken: TrainResult, imitated: TrainResult, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(
        rl_config(imitated.model_dir, data, tmp_path / "run"), lora_rank=4, max_updates=7, save_steps=0,
        filter_std=-1, learning_rate=1e-2, resume_from_checkpoint=True,
    )  # fmt: skip
    places: list[tuple[type, str]] = [
        (TimedPolicy, "sample_batch"),
        (TrajectoryStore, "append"),
        (EstimatorCredit, "rows"),
        (Learner, "_old_logprobs"),
        (Learner, "_logprobs"),  # of the reference, while the adapters are out of the way
        (Learner, "_compare"),  # gradients are there
    ]
    for ended, (owner, name) in enumerate(places, start=1):
        with monkeypatch.context() as patch:
            breaks(patch, owner, name)
            with pytest.raises((RuntimeError, PolicyError), match="out of memory") as told:
                await train_semi_online(config)
        assert f"checkpoint-{ended} holds all {ended} updates" in told.value.__notes__[0]
    assert left_behind(await train_semi_online(config)) == left_behind(unbroken)


@pytest.mark.parametrize(
    ("owner", "name", "at_call"),
    [
        (WeightOptimizer, "_publish", 1),
        (WeightOptimizer, "add_gradients", 2),  # in the second of two mini-batches
        (Learner, "update", 1),
        (MetricsLog, "append", 1),
    ],
)
async def test_weights_of_an_update_that_did_not_end_are_never_saved(
    imitated: TrainResult, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    owner: type, name: str, at_call: int,
) -> None:  # fmt: skip
    config = dataclasses.replace(
        rl_config(imitated.model_dir, data, tmp_path / "run"), lora_rank=4, max_updates=3, save_steps=0,
        filter_std=-1, learning_rate=1e-2, resume_from_checkpoint=True,
    )  # fmt: skip
    with monkeypatch.context() as patch:
        breaks(patch, owner, name, at_call=at_call)
        with pytest.raises(RuntimeError, match="out of memory") as told:
            await train_semi_online(config)
    assert "weights were changing; there is no checkpoint" in told.value.__notes__[0]
    assert not list(config.output_dir.glob("*checkpoint*"))


async def test_a_finished_folder_is_not_overwritten(
    imitated: TrainResult, data: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(rl_config(imitated.model_dir, data, tmp_path / "run"), max_updates=1)
    await train_semi_online(config)
    with pytest.raises(ConfigError, match="resume_from_checkpoint"):
        await train_semi_online(config)


async def test_rows_that_are_too_long_are_left_out_whole_and_counted(
    imitated: TrainResult, data: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        rl_config(imitated.model_dir, data, tmp_path / "run"), max_updates=1, max_prompt_length=5
    )
    result = await train_semi_online(config)
    (line,) = read_metrics(result.metrics_path)
    assert line["rows"] == 0
    assert line["rows_dropped"] > 0


async def test_the_evaluation_hook_joins_the_metrics(
    imitated: TrainResult, data: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        rl_config(imitated.model_dir, data, tmp_path / "run"), eval_steps=2, max_updates=2
    )

    hour = 3600.0

    def evaluator_for(policy: TimedPolicy) -> Evaluator:
        async def evaluate(update: int) -> dict[str, float]:
            policy._stopwatch.add("generate", hour)  # as if it had sampled that long
            return {"success": update / 2}

        return evaluate

    result = await train_semi_online(config, evaluator_for=evaluator_for)
    first, second = read_metrics(result.metrics_path)
    assert 0 <= second["time/generate"] < hour
    assert "eval/success" not in first
    assert second["eval/success"] == 1.0


async def test_a_cpu_budget_ends_a_training(imitated: TrainResult, data: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(rl_config(imitated.model_dir, data, tmp_path / "run"), max_cpu_s=1e-3)
    assert (await train_semi_online(config)).cause is StopCause.MAX_CPU_S


async def test_a_budget_of_rows_ends_a_training_also_when_it_was_resumed(
    imitated: TrainResult, data: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(rl_config(imitated.model_dir, data, tmp_path / "run"), max_updates=1)
    first = await train_semi_online(config)
    rows = [metrics["rows"] for metrics in read_metrics(first.metrics_path)]
    assert load_state(first.checkpoint).rows_trained == sum(rows) > 0
    again = dataclasses.replace(
        config, max_updates=-1, num_train_epochs=1000, max_rows=sum(rows) + 1, resume_from_checkpoint=True
    )
    second = await train_semi_online(again)
    rows = [metrics["rows"] for metrics in read_metrics(second.metrics_path)]
    assert second.cause is StopCause.MAX_ROWS
    assert sum(rows[:-1]) < again.max_rows <= sum(rows)


async def test_recorded_thoughts_are_asked_for_only_where_there_are_some(
    imitated: TrainResult, data: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        rl_config(imitated.model_dir, data, tmp_path / "run"), patch_thought=PatchThought.OFF_POLICY
    )
    with pytest.raises(ConfigError, match=r"8 of 8 recorded steps .* have no thought"):
        await train_semi_online(config)
    unpatched = dataclasses.replace(config, patch_budget=0, max_updates=1)
    with pytest.warns(UserWarning, match="patch_thought=off_policy has no effect with patch_budget=0"):
        assert (await train_semi_online(unpatched)).updates == 1


async def test_subgoals_for_patches_are_asked_for_only_where_there_are_patches(
    random_model: Path, data: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        rl_config(random_model, data, tmp_path / "run"), agent=AgentKind.HIERARCHICAL, max_updates=1,
        subgoals=SubgoalSource.DATA,
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"patch_subgoal is from_data, but 8 of 8 recorded steps"):
        await train_semi_online(config)
    unpatched = dataclasses.replace(config, patch_budget=0)
    with pytest.warns(UserWarning, match="subgoals=data has no effect with patch_budget=0"):
        assert (await train_semi_online(unpatched)).updates == 1


def test_recordings_that_failed_are_not_replayed_and_that_is_said(tmp_path: Path) -> None:
    good, bad, endless = recording(0), recording(1), recording(2)
    failed = dataclasses.replace(bad.trajectory, outcome=Outcome(verdict=Verdict.FAILURE))
    unnoticed = dataclasses.replace(endless.trajectory, stop=StopReason.STEP_LIMIT)
    store = TrajectoryStore.create(tmp_path / "experts")
    store.append(
        [
            good,
            dataclasses.replace(bad, trajectory=failed),
            dataclasses.replace(endless, trajectory=unnoticed),
        ]
    )
    with pytest.warns(UserWarning, match="2 of 3 trajectories did not succeed"):
        tasks = replay_tasks(SemiOnlineConfig(data=tmp_path / "experts"))
    assert [task.goal for task in tasks] == [good.trajectory.goal]


def test_an_unknown_split_names_those_there_are(data: Path) -> None:
    with pytest.raises(ConfigError, match="'train'"):
        replay_tasks(SemiOnlineConfig(data=data, split="test"))
