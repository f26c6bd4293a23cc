"""Planner and actor as two adapters on one base: the same numbers as two models, each by itself."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from gui_agent.agent_spec import AgentKind
from gui_agent.errors import ConfigError
from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_loading import LoraSettings, load_adapter, load_model, save_adapter
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_policy import SampleRequest, TransformersPolicy
from gui_agent.policies.transformers_roles import (
    ROLE_ADAPTERS,
    RoleFolder,
    adapter_of_role,
    write_roles_file,
)
from gui_agent.policies.weight_files import weight_files
from gui_agent.policy import (
    AgentRole,
    ImagePart,
    Message,
    Prompt,
    Role,
    SampleKey,
    SamplingParams,
    TextPart,
)
from trainers.batching import TokenBudget, plan_steps
from trainers.forward import token_logprobs
from trainers.learner import Learner
from trainers.learner_model import load_learner_model
from trainers.rl_config import RLConfig
from trainers.rows import Row
from trainers.tiny_model import TinyModelConfig, build_tiny_model

TINY = TinyModelConfig(
    hidden_size=32, num_layers=2, num_heads=2, num_key_value_heads=1, mlp_size=64, vision_hidden_size=16,
    vision_depth=1, vision_heads=1, vision_mlp_size=32, bpe_vocab_size=300, number_tokens=0,
)  # fmt: skip
ROLES = (AgentRole.PLANNER, AgentRole.ACTOR)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "base"
    return build_tiny_model(TINY, ["tap the red button"], folder, seed=0)


def disturb(model: VisionLanguageModel, adapter: str, seed: int) -> None:
    """Weights that say something, as after training."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.network.named_parameters():
        if f".{adapter}." in name:
            with torch.no_grad():
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.2)


@pytest.fixture(scope="module")
def both(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A role folder whose adapters differ."""
    model = load_model(base, lora=LoraSettings(rank=2), adapters=ROLE_ADAPTERS)
    folder = tmp_path_factory.mktemp("roles") / "both"
    for seed, adapter in enumerate(ROLE_ADAPTERS):
        disturb(model, adapter, seed)
        save_adapter(model, folder, adapter=adapter)
    write_roles_file(folder, str(base), ROLE_ADAPTERS)
    return folder


def test_loading_adapters_warns_of_nothing(base: Path, both: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model(base, lora=LoraSettings(rank=2), adapters=ROLE_ADAPTERS, gradient_checkpointing=True)
        load_model(both)


def single(base: Path, both: Path, role: AgentRole) -> VisionLanguageModel:
    """A model of its own for one role."""
    model = load_model(base)
    load_adapter(model, both / role.value)
    return model


SHOTS = [Screenshot.from_image(Image.new("RGB", (56, 56), color)) for color in ("red", "green")]


def prompt(number: int) -> Prompt:
    """The same for both roles, so that keys and values of one would be found by the other."""
    text = TextPart(text="tap the red button" * (1 + number))
    return (Message(role=Role.USER, parts=(ImagePart(screenshot=SHOTS[number % 2]), text)),)


def requests(*roles: AgentRole) -> list[SampleRequest]:
    return [
        SampleRequest(
            prompt=prompt(number),
            n=2,
            params=SamplingParams(max_new_tokens=5),
            key=SampleKey(seed=0, update=0, episode=f"e{number}", step=0, role=role.value),
        )
        for number in range(3)
        for role in roles
    ]


def sampled_rows(policy: TransformersPolicy, asked: list[SampleRequest]) -> list[Row]:
    return [
        Row(
            role=AgentRole(request.key.role),
            prompt_token_ids=completion.prompt_token_ids,
            image_grids=completion.image_grids,
            image_sha256s=tuple(
                part.screenshot.sha256 for part in request.prompt[0].parts if isinstance(part, ImagePart)
            ),
            token_ids=completion.token_ids,
            old_logprobs=completion.logprobs,
            advantage=1.0 if sample else -0.5,
            group_id="g",
            episode_id=request.key.episode,
        )
        for request, completions in zip(asked, policy.sample_batch(asked), strict=True)
        for sample, completion in enumerate(completions)
    ]


def roles_policy(model: VisionLanguageModel) -> TransformersPolicy:
    roles = {role.value: adapter for role, adapter in adapter_of_role(model.adapters).items()}
    return TransformersPolicy(model, adapter_of_role=roles)


def test_a_mixed_batch_samples_what_two_models_sample(base: Path, both: Path) -> None:
    policy = roles_policy(load_model(both))
    mixed = sampled_rows(policy, requests(*ROLES))
    assert policy.counters.images_encoded == len(SHOTS)  # once for both roles
    policy.close()
    for role in ROLES:
        alone = TransformersPolicy(single(base, both, role))
        rows = sampled_rows(alone, requests(role))
        alone.close()
        found = [row for row in mixed if row.role is role]
        assert [row.token_ids for row in found] == [row.token_ids for row in rows]
        for one, other in zip(found, rows, strict=True):
            assert one.old_logprobs == pytest.approx(other.old_logprobs, abs=1e-5)
    planner, actor = ([row.token_ids for row in mixed if row.role is role] for role in ROLES)
    assert planner != actor


def test_training_reads_what_two_models_read(base: Path, both: Path) -> None:
    model = load_model(both)
    policy = roles_policy(model)
    rows = sampled_rows(policy, requests(*ROLES))
    policy.close()
    config = RLConfig(
        model=str(both), device="cpu", agent=AgentKind.HIERARCHICAL, learning_rate=0.0, beta=0.0,
        num_mini_batches=1,
    )  # fmt: skip
    learner = Learner(model, config, adapter_of_role=adapter_of_role(model.adapters))
    metrics = learner.update(rows, {shot.sha256: shot for shot in SHOTS})
    assert metrics["sampling/sampling_logp_difference/max"] < 1e-5
    alone = {role: single(base, both, role) for role in ROLES}
    (batch,) = plan_steps(rows, rows_per_step=100, budget=TokenBudget(max_tokens=150), seed=0)
    assert len(batch.micro_batches) > 2
    screenshots = {shot.sha256: shot for shot in SHOTS}
    for micro in batch.micro_batches:
        assert len({row.role for row in micro}) == 1
        with torch.no_grad():
            shared = learner._logprobs(micro, screenshots)
            own = token_logprobs(alone[micro[0].role], micro, screenshots)
        difference = (shared.logprobs_BT - own.logprobs_BT)[shared.mask_BT].abs().max()
        assert float(difference) < 1e-5


def test_a_role_folder_survives_a_move_with_its_base(base: Path, both: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "x" / "base")
    shutil.copytree(both, tmp_path / "x" / "y" / "both")
    data = {"base_model": "../../base", "adapters": list(ROLE_ADAPTERS)}
    (tmp_path / "x" / "y" / "both" / "roles.json").write_text(json.dumps(data))
    moved = RoleFolder.read(tmp_path / "x" / "y" / "both")
    assert moved is not None
    assert Path(moved.base_model).resolve() == (tmp_path / "x" / "base").resolve()
    assert load_model(tmp_path / "x" / "y" / "both").adapters == ROLE_ADAPTERS
    assert RoleFolder.read(base) is None
    (tmp_path / "x" / "y" / "both" / "roles.json").write_text("{}")
    with pytest.raises(ConfigError, match="base_model"):
        load_model(tmp_path / "x" / "y" / "both")
    own = tmp_path / "x" / "y" / "both" / "roles.json"
    own.write_text(json.dumps({"base_model": ".", "adapters": list(ROLE_ADAPTERS)}))
    with pytest.raises(ConfigError, match="names its own folder as the base"):
        load_model(own.parent)
    other = {"base_model": "../../base", "base_type": "qwen9_vl", "adapters": list(ROLE_ADAPTERS)}
    own.write_text(json.dumps(other))
    with pytest.raises(ConfigError, match=r"base of type qwen9_vl, and .*base is of type qwen"):
        load_model(own.parent)
    for names in (["planner"], "planner"):
        lone = json.dumps({"base_model": "../../base", "adapters": names})
        (tmp_path / "x" / "y" / "both" / "roles.json").write_text(lone)
        with pytest.raises(ConfigError, match=r'names the adapters .*planner.* "adapters": .*"actor"'):
            load_model(tmp_path / "x" / "y" / "both")


def test_trained_role_adapters_are_learnt_on_and_are_their_own_reference(both: Path) -> None:
    config = RLConfig(
        model=str(both), device="cpu", agent=AgentKind.HIERARCHICAL, learning_rate=1e-2, beta=0.1,
        num_mini_batches=1,
    )  # fmt: skip
    model = load_learner_model(config)
    policy = roles_policy(model)
    rows = sampled_rows(policy, requests(*ROLES))
    policy.close()
    learner = Learner(model, config, adapter_of_role=adapter_of_role(model.adapters))
    screenshots = {shot.sha256: shot for shot in SHOTS}
    first = learner.update(rows, screenshots)
    assert first["kl"] == pytest.approx(0, abs=1e-9)  # of the adapters as loaded, not of the bare base
    second = learner.update([dataclasses.replace(row, policy_version=1) for row in rows], screenshots)
    assert second["kl"] > 1e-6


def test_adapters_that_exist_keep_their_rank(both: Path) -> None:
    config = RLConfig(model=str(both), device="cpu", agent=AgentKind.HIERARCHICAL, lora_rank=4)
    for lora_rank in (4, 0):
        message = rf"lora_rank is {lora_rank}, but the adapter 'planner' .* has rank 2; leave lora_rank out"
        with pytest.raises(ConfigError, match=message):
            load_learner_model(dataclasses.replace(config, lora_rank=lora_rank))
    unchosen = load_learner_model(dataclasses.replace(config, lora_rank=None))
    assert {unchosen.peft_model.peft_config[name].r for name in ROLE_ADAPTERS} == {2}
    with pytest.raises(ConfigError, match="--agent hierarchical"):
        load_learner_model(RLConfig(model=str(both), device="cpu"))


def test_planner_and_actor_get_adapters_unless_all_weights_are_asked_for(base: Path) -> None:
    config = RLConfig(model=str(base), device="cpu", agent=AgentKind.HIERARCHICAL)
    assert load_learner_model(config).adapters == ROLE_ADAPTERS
    for other in ({"agent": AgentKind.FLAT}, {"lora_rank": 0}, {"planner": "served", "algorithm": "gigpo"}):
        assert load_learner_model(dataclasses.replace(config, **other)).adapters == ()
    with pytest.raises(ConfigError, match="set lora_rank=0 to train all weights"):
        dataclasses.replace(config, freeze_vision=False)


def test_an_adapter_of_another_model_is_refused(base: Path, both: Path, tmp_path: Path) -> None:
    wider = dataclasses.replace(TINY, hidden_size=48, num_heads=3, num_key_value_heads=3)
    deeper = dataclasses.replace(TINY, num_layers=3)
    shallower = dataclasses.replace(TINY, num_layers=1)
    for number, other in enumerate((wider, deeper, shallower)):
        model = load_model(build_tiny_model(other, ["tap the red button"], tmp_path / str(number), seed=0))
        with pytest.raises(
            ConfigError, match=r"planner: this adapter does not fit the base .*adapter_config"
        ):
            load_adapter(model, both / "planner", adapter="planner")
    damaged = tmp_path / "damaged"
    shutil.copytree(both / "planner", damaged)
    file = damaged / "adapter_model.safetensors"
    weights = load_file(str(file))
    save_file({f"{name}.more": weight for name, weight in weights.items()}, str(file))
    with pytest.raises(ConfigError, match="have no place in the base"):
        load_adapter(load_model(base), damaged)
    file.write_bytes(b"no weights")
    with pytest.raises(ConfigError, match="does not fit"):
        load_adapter(load_model(base), damaged)


def test_a_base_that_was_trained_again_in_its_place_is_refused(
    base: Path, both: Path, tmp_path: Path
) -> None:
    """The files have the same names, sizes and tensors; only the values are others."""
    shutil.copytree(base, tmp_path / "base")
    shutil.copytree(both, tmp_path / "both")
    files = weight_files(tmp_path / "base")
    write_roles_file(tmp_path / "both", str(tmp_path / "base"), ROLE_ADAPTERS, base_weights=files)
    assert load_model(tmp_path / "both").adapters == ROLE_ADAPTERS
    weights = tmp_path / "base" / "model.safetensors"
    before, stat = weights.read_bytes(), weights.stat()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with pytest.raises(ConfigError, match=r"roles.json: .*base holds other weights .*model.safetensors has"):
        load_model(tmp_path / "both")
    weights.write_bytes(before)  # put back, at another time
    assert load_model(tmp_path / "both").adapters == ROLE_ADAPTERS
    weights.write_bytes(before[:-1])
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ConfigError, match="has changed"):
        load_model(tmp_path / "both")
    weights.rename(tmp_path / "base" / "model-00001-of-00001.safetensors")
    with pytest.raises(ConfigError, match=r"model-00001-of-00001.safetensors is new"):
        load_model(tmp_path / "both")


def test_a_copy_of_base_and_roles_is_not_refused(base: Path, both: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "old" / "base")
    shutil.copytree(both, tmp_path / "old" / "both")
    old = tmp_path / "old" / "base"
    write_roles_file(tmp_path / "old" / "both", str(old), ROLE_ADAPTERS, base_weights=weight_files(old))
    shutil.copytree(tmp_path / "old", tmp_path / "new", copy_function=shutil.copyfile)  # times are new
    shutil.rmtree(tmp_path / "old")
    assert load_model(tmp_path / "new" / "both").adapters == ROLE_ADAPTERS
