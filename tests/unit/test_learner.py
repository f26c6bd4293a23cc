"""The learner: equal to the sampler, indifferent to packing, careful with gradients."""

from __future__ import annotations

import dataclasses
import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from gui_agent.agent_spec import AgentKind
from gui_agent.errors import ConfigError, DataError
from gui_agent.model_settings import ModelSettings
from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_policy import SampleRequest, TransformersPolicy
from gui_agent.policy import AgentRole, ImagePart, Message, Role, SampleKey, SamplingParams, TextPart
from trainers.batching import TokenBudget, micro_batches, plan_mini_batches, plan_steps
from trainers.choices import OldLogprobs, SchedulerType
from trainers.learner import Learner
from trainers.learner_model import load_learner_model
from trainers.optimizer import WeightOptimizer, learning_rate_at
from trainers.processes import build_accelerator
from trainers.rl_config import RLConfig
from trainers.rows import Row
from trainers.tiny_model import TinyModelConfig, build_tiny_model

TINY = TinyModelConfig(
    hidden_size=32, num_layers=2, num_heads=2, num_key_value_heads=1, mlp_size=64, vision_hidden_size=16,
    vision_depth=1, vision_heads=1, vision_mlp_size=32, bpe_vocab_size=300, number_tokens=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(TINY, ["tap the red button"], tmp_path_factory.mktemp("tiny"), seed=0)


def screenshot(color: str) -> Screenshot:
    return Screenshot.from_image(Image.new("RGB", (56, 56), color))


SCREENSHOTS = {shot.sha256: shot for shot in map(screenshot, ("red", "green", "blue"))}


def settings(model_dir: Path, **changes: object) -> RLConfig:
    values: dict[str, object] = {
        "model": str(model_dir), "device": "cpu", "learning_rate": 1e-3, "num_mini_batches": 2,
        "max_tokens_per_batch": 256, "beta": 0.0,
    }  # fmt: skip
    return RLConfig(**(values | changes))  # type: ignore[arg-type]


def sampled_rows(policy: TransformersPolicy, *, n: int = 3) -> list[Row]:
    rows = []
    for step, shot in enumerate(SCREENSHOTS.values()):
        text = TextPart(text="tap the red button" * (step + 1))
        prompt = (Message(role=Role.USER, parts=(text, ImagePart(screenshot=shot))),)
        request = SampleRequest(
            prompt=prompt,
            n=n,
            params=SamplingParams(max_new_tokens=6),
            key=SampleKey(seed=0, update=0, episode="a", step=step),
        )
        for i, completion in enumerate(policy.sample_batch([request])[0]):
            rows.append(
                Row(
                    prompt_token_ids=completion.prompt_token_ids,
                    image_grids=completion.image_grids,
                    image_sha256s=(shot.sha256,),
                    token_ids=completion.token_ids,
                    old_logprobs=completion.logprobs,
                    advantage=(-1.0) ** i * (1 + i + step),
                    policy_version=completion.policy_version,
                    group_id="g",
                    episode_id=f"e{i}",
                    step=step,
                )
            )
    return rows


@pytest.fixture(scope="module")
def rows(model_dir: Path) -> Iterator[list[Row]]:
    policy = TransformersPolicy(load_learner_model(settings(model_dir)))
    yield sampled_rows(policy)
    policy.close()


def weights(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in learner.model.network.named_parameters()}


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def learner_of(config: RLConfig) -> Learner:
    return Learner(load_learner_model(config), config)


def test_a_learning_rate_of_zero_changes_nothing_and_agrees_with_the_sampler(
    model_dir: Path, rows: list[Row]
) -> None:
    learner = learner_of(settings(model_dir, learning_rate=0.0, weight_decay=0.0, num_mini_batches=1))
    before = weights(learner)
    for update in range(3):
        current = [dataclasses.replace(row, policy_version=update) for row in rows]
        metrics = learner.update(current, SCREENSHOTS)
        assert metrics["sampling/sampling_logp_difference/max"] < 1e-5
        assert metrics["importance_ratio/mean"] == pytest.approx(1.0, abs=1e-5)
    assert distance(before, weights(learner)) == 0


def test_an_update_raises_what_was_good_and_lowers_what_was_bad(model_dir: Path, rows: list[Row]) -> None:
    learner = learner_of(settings(model_dir, num_mini_batches=1))
    first = learner.update(rows, SCREENSHOTS)
    assert learner.version == 1
    assert first["grad_norm"] > 0
    again = learner.update(
        [dataclasses.replace(row, policy_version=1) for row in rows], SCREENSHOTS
    )  # old log-probabilities are still those of version 0
    assert again["loss"] < first["loss"]


def test_order_and_packing_do_not_change_the_loss(model_dir: Path, rows: list[Row]) -> None:
    results = []
    for budget, seed, share in ((1, 0, False), (100_000, 1, False), (200, 2, False), (100_000, 3, True)):
        shuffled = list(rows)
        random.Random(seed).shuffle(shuffled)
        learner = learner_of(
            settings(model_dir, num_mini_batches=1, max_tokens_per_batch=budget, share_prefixes=share)
        )
        results.append((learner.update(shuffled, SCREENSHOTS), weights(learner)))
    (reference, reference_weights), *others = results
    for metrics, changed in others:
        for name in ("loss", "grad_norm", "entropy"):
            assert metrics[name] == pytest.approx(reference[name], rel=1e-5, abs=1e-6), name
        assert distance(reference_weights, changed) < 1e-4  # one AdamW step is at most the learning rate


def test_the_loss_is_the_mean_over_all_tokens(model_dir: Path, rows: list[Row]) -> None:
    learner = learner_of(settings(model_dir, num_mini_batches=1))
    metrics = learner.update(rows, SCREENSHOTS)
    tokens = sum(len(row.token_ids) for row in rows)
    expected = -sum(row.advantage * len(row.token_ids) for row in rows) / tokens
    assert metrics["loss"] == pytest.approx(expected, abs=1e-4)  # every ratio is 1 before the first step


@pytest.mark.parametrize("freeze_vision", [True, False])
def test_the_sampler_sees_every_update_also_of_the_tower(model_dir: Path, freeze_vision: bool) -> None:
    config = settings(model_dir, freeze_vision=freeze_vision, beta=0.1, num_mini_batches=1)
    learner = learner_of(config)
    policy = TransformersPolicy(learner.model)
    tower = "model.visual.merger.linear_fc1.weight"
    before = learner.model.network.get_parameter(tower).detach().clone()
    kl = []
    for _ in range(3):
        metrics = learner.update(sampled_rows(policy), SCREENSHOTS)
        policy.bump_version()
        kl.append(metrics["kl"])
        assert metrics["sampling/sampling_logp_difference/max"] < 1e-5
    assert kl[0] == pytest.approx(0, abs=1e-6)
    assert kl[2] > kl[0], "the reference must stay what it was"
    assert torch.equal(before, learner.model.network.get_parameter(tower)) == freeze_vision
    policy.close()


def test_a_gradient_that_is_not_finite_is_skipped_and_counted(model_dir: Path, rows: list[Row]) -> None:
    learner = learner_of(settings(model_dir, num_mini_batches=1))
    before = weights(learner)
    broken = [dataclasses.replace(rows[0], advantage=float("inf")), *rows[1:]]
    metrics = learner.update(broken, SCREENSHOTS)
    assert metrics["skipped_steps"] == 1
    assert distance(before, weights(learner)) == 0


def test_the_kl_to_the_starting_weights_grows_from_zero(model_dir: Path, rows: list[Row]) -> None:
    for lora_rank in (0, 4):
        config = settings(model_dir, beta=0.1, num_mini_batches=1, lora_rank=lora_rank, learning_rate=1e-2)
        learner = learner_of(config)
        assert learner.update(rows, SCREENSHOTS)["kl"] == pytest.approx(0, abs=1e-6)
        assert learner.update(rows, SCREENSHOTS)["kl"] > 1e-5


def test_fresh_adapters_are_a_function_of_the_seed(model_dir: Path) -> None:
    one, same, other = (
        weights(learner_of(settings(model_dir, lora_rank=4, seed=seed))) for seed in (3, 3, 4)
    )
    assert distance(one, same) == 0
    assert distance(one, other) > 0


def test_stale_rows_get_old_log_probabilities_of_the_trainer(model_dir: Path, rows: list[Row]) -> None:
    wrong = [
        dataclasses.replace(row, old_logprobs=tuple(value - 1 for value in row.old_logprobs)) for row in rows
    ]
    ratios = {}
    for mode in OldLogprobs:
        learner = learner_of(settings(model_dir, num_mini_batches=1, old_logprobs=mode))
        learner.version = 3
        ratios[mode] = learner.update(wrong, SCREENSHOTS)["importance_ratio/mean"]
    assert ratios[OldLogprobs.SAMPLER] == pytest.approx(2.71828, rel=1e-3)
    assert ratios[OldLogprobs.STALE] == pytest.approx(1, abs=1e-5)
    assert ratios[OldLogprobs.RECOMPUTE] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("mode", OldLogprobs)
def test_the_ratio_of_replayed_rows_is_that_to_their_sampler(
    model_dir: Path, rows: list[Row], mode: OldLogprobs
) -> None:
    """Present weights below the line would make it 1, as if the samples were the present policy's."""
    learner = learner_of(settings(model_dir, num_mini_batches=1, old_logprobs=mode))
    learner.version = 3
    found = learner.update(replayed(rows), SCREENSHOTS)["importance_ratio/mean"]
    assert found == pytest.approx(math.exp(-1), rel=1e-3)


def replayed(rows: list[Row]) -> list[Row]:
    """Rows whose sampler thought e times more of each token."""
    return [
        dataclasses.replace(row, old_logprobs=tuple(value + 1 for value in row.old_logprobs), replayed=True)
        for row in rows
    ]


def test_replayed_and_stale_rows_may_share_a_forward_pass(model_dir: Path, rows: list[Row]) -> None:
    learner = learner_of(settings(model_dir, num_mini_batches=1, old_logprobs=OldLogprobs.STALE))
    learner.version = 3
    pairs = enumerate(zip(replayed(rows), rows, strict=True))
    mixed = [stale if number % 2 else again for number, (again, stale) in pairs]
    tokens = [0, 0]
    for row in mixed:
        tokens[row.replayed] += len(row.token_ids)
    wanted = (tokens[0] + tokens[1] * math.exp(-1)) / sum(tokens)
    assert learner.update(mixed, SCREENSHOTS)["importance_ratio/mean"] == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_saved_and_loaded_learners_go_on_alike(
    model_dir: Path, rows: list[Row], tmp_path: Path, lora_rank: int
) -> None:
    config = settings(model_dir, beta=0.01, lora_rank=lora_rank)
    one, other = learner_of(config), learner_of(config)
    one.update(rows, SCREENSHOTS)
    one.save(tmp_path)
    other.load(tmp_path, version=one.version)
    later = [dataclasses.replace(row, policy_version=1) for row in rows]
    assert one.update(later, SCREENSHOTS) == other.update(later, SCREENSHOTS)
    assert distance(weights(one), weights(other)) == 0


def test_weights_in_bfloat16_keep_float32_masters(model_dir: Path, rows: list[Row], tmp_path: Path) -> None:
    config = settings(model_dir, bf16=True, learning_rate=1e-6, num_mini_batches=1)
    learner = learner_of(config)
    learner.update(rows, SCREENSHOTS)
    learner.save(tmp_path)
    again = learner_of(config)
    again.load(tmp_path, version=1)
    masters = again.optimizer._masters
    moved = [name for name, weight in again.model.network.named_parameters() if name in masters
             and not torch.equal(masters[name], weight.float())]  # fmt: skip
    assert moved


@pytest.mark.parametrize("changes", [{"lora_rank": 2}, {"beta": 0.1}])
def test_a_training_does_not_go_on_from_a_base_that_changed_in_its_place(
    model_dir: Path, rows: list[Row], tmp_path: Path, changes: dict[str, object]
) -> None:
    shutil.copytree(model_dir, tmp_path / "base")
    config = settings(tmp_path / "base", **changes)
    learner = learner_of(config)
    folder = tmp_path / "saved"
    folder.mkdir()
    learner.save(folder)
    learner_of(config).load(folder, version=0)
    weights = tmp_path / "base" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    learner.update(rows, SCREENSHOTS)
    learner.save(folder)  # what counts is what was loaded
    with pytest.raises(DataError, match=r"began from other weights .*model.safetensors has changed"):
        learner_of(config).load(folder, version=1)


def test_gradients_of_many_forward_passes_are_added_up_in_float32() -> None:
    """In bfloat16 1 + 1/512 is 1, so that all passes but the first would be lost."""
    config = RLConfig(device="cpu", max_grad_norm=0.0)
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
    optimizer = WeightOptimizer([("weight", weight)], config, build_accelerator(config))
    for part in [1.0, *[1 / 512] * 512]:
        (weight.float() * part).sum().backward()
        optimizer.add_gradients()
    assert optimizer.step().grad_norm == pytest.approx(2.0)
    weight.sum().backward()  # the next step begins from nothing
    optimizer.add_gradients()
    assert optimizer.step().grad_norm == pytest.approx(1.0)


def test_roles_with_adapters_of_their_own_leave_each_other_alone(
    model_dir: Path, rows: list[Row], tmp_path: Path
) -> None:
    config = settings(model_dir, agent=AgentKind.HIERARCHICAL, lora_rank=2, num_mini_batches=1, beta=0.1)
    adapters = {AgentRole.PLANNER: "planner", AgentRole.ACTOR: "actor"}
    learner = Learner(
        load_learner_model(config, adapters=("planner", "actor")), config, adapter_of_role=adapters
    )
    assert learner.optimizer.num_weights > 0

    def changed(current: list[Row]) -> set[str]:
        before = weights(learner)
        learner.update(current, SCREENSHOTS)
        after = weights(learner)
        moved = [name for name in before if not torch.equal(before[name], after[name])]
        return {adapter for adapter in adapters.values() for name in moved if f".{adapter}." in name}

    planner = [dataclasses.replace(row, role=AgentRole.PLANNER) for row in rows]
    assert changed(planner) == {"planner"}
    assert changed(rows) == {"actor"}
    assert changed([*planner, *rows]) == {"planner", "actor"}
    learner.save(tmp_path / "checkpoint")
    again = Learner(
        load_learner_model(config, adapters=("planner", "actor")), config, adapter_of_role=adapters
    )
    again.load(tmp_path / "checkpoint", version=3)
    assert distance(weights(learner), weights(again)) == 0
    learner.export(tmp_path / "model")
    assert (tmp_path / "model" / "planner" / "adapter_model.safetensors").is_file()
    taught = ModelSettings.read(tmp_path / "model")
    assert taught is not None
    assert taught.format == config.format
    assert taught.max_completion_length == config.max_completion_length
    assert (taught.agent, taught.planner_format) == (
        AgentKind.HIERARCHICAL,
        config.agent_spec.planner_dialect,
    )
    assert ModelSettings.read(tmp_path / "checkpoint" / "model") == taught


def test_rows_without_log_probabilities_are_refused(model_dir: Path, rows: list[Row]) -> None:
    with pytest.raises(DataError, match="no log-probabilities"):
        learner_of(settings(model_dir)).update([dataclasses.replace(rows[0], old_logprobs=())], SCREENSHOTS)


def test_every_row_is_in_exactly_one_mini_batch_and_budget_holds(rows: list[Row]) -> None:
    for count in (1, 2, 4, 50):
        plan = plan_mini_batches(rows, num_mini_batches=count, budget=TokenBudget(max_tokens=150), seed=3)
        assert len(plan) == min(count, len(rows))
        planned = [row for batch in plan for micro in batch.micro_batches for row in micro]
        assert sorted(planned, key=id) == sorted(rows, key=id)
        for batch in plan:
            assert batch.num_tokens == sum(len(r.token_ids) for m in batch.micro_batches for r in m)
            for micro in batch.micro_batches:
                assert len(micro) == 1 or len(micro) * max(row.num_tokens for row in micro) <= 150


def test_a_plan_depends_on_the_rows_and_the_seed_alone(rows: list[Row]) -> None:
    reversed_rows = list(reversed(rows))
    plan = plan_mini_batches(rows, num_mini_batches=2, budget=TokenBudget(max_tokens=150), seed=3)
    assert plan == plan_mini_batches(
        reversed_rows, num_mini_batches=2, budget=TokenBudget(max_tokens=150), seed=3
    )


def test_processes_share_a_mini_batch_without_overlap(rows: list[Row]) -> None:
    (batch,) = plan_steps(rows, rows_per_step=100, budget=TokenBudget(max_tokens=80), seed=0)
    shares = [batch.share(rank, 3) for rank in range(3)]
    together = [micro for share in shares for micro in share]
    assert sorted(together, key=id) == sorted(batch.micro_batches, key=id)


def test_samples_of_one_prompt_take_its_tokens_once(rows: list[Row]) -> None:
    siblings = [row for row in rows if row.step == 0]
    together = TokenBudget(max_tokens=1000, share_prefixes=True)
    prompt = len(siblings[0].prompt_token_ids)
    assert together.cost(siblings) == prompt + sum(len(row.token_ids) for row in siblings)
    tight = TokenBudget(max_tokens=prompt + 7, share_prefixes=True)
    assert [len(micro) for micro in micro_batches(siblings, tight)] == [1, 1, 1]


def test_siblings_at_one_screen_fall_into_one_micro_batch(rows: list[Row]) -> None:
    shuffled = list(rows)
    random.Random(0).shuffle(shuffled)
    cost = 3 * max(row.num_tokens for row in rows)
    for micro in micro_batches(shuffled, TokenBudget(max_tokens=cost)):
        assert len({row.image_sha256s for row in micro}) == 1


def test_schedules() -> None:
    base = RLConfig(learning_rate=1.0, warmup_steps=2, max_steps=6)
    linear = dataclasses.replace(base, lr_scheduler_type=SchedulerType.LINEAR)
    cosine = dataclasses.replace(base, lr_scheduler_type=SchedulerType.COSINE)
    assert [learning_rate_at(step, base) for step in range(4)] == [0.5, 1, 1, 1]
    assert [learning_rate_at(step, linear) for step in range(7)] == [0.5, 1, 1, 0.75, 0.5, 0.25, 0]
    assert learning_rate_at(4, cosine) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"num_generations": 0}, "siblings"),
        ({"lr_scheduler_type": SchedulerType.LINEAR}, "max_steps"),
        ({"report_to": ("nowhere",)}, "report_to"),
        ({"temperature": 0.0}, "temperature"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"adam_beta2": 1.0}, "adam_beta2"),
        ({"adam_epsilon": 0.0}, "adam_epsilon"),
        ({"lora_alpha": 0}, "lora_alpha"),
        ({"lora_rank": 4, "freeze_vision": False}, "freeze_vision"),
        ({"save_total_limit": -1}, "save_total_limit"),
    ],
)
def test_impossible_settings_say_what_to_do(changes: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        RLConfig(**changes)  # type: ignore[arg-type]
