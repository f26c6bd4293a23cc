from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from gui_agent.errors import ConfigError
from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_loading import (
    LoraSettings,
    load_adapter,
    load_model,
    load_processor,
    save_adapter,
)
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_policy import SampleRequest, TransformersPolicy
from gui_agent.policy import (
    AgentRole,
    Completion,
    ImageBudget,
    ImagePart,
    Message,
    Role,
    SampleKey,
    SamplingParams,
    TextPart,
)
from trainers.forward import PlainTokenRow, token_logprobs

SHOT = Screenshot.from_image(Image.new("RGB", (112, 224), "orange"))
PROMPT = (Message(role=Role.USER, parts=(ImagePart(screenshot=SHOT), TextPart(text="tap"))),)


def _sample(policy: TransformersPolicy, role: AgentRole = AgentRole.ACTOR) -> Completion:
    request = SampleRequest(
        prompt=PROMPT,
        n=1,
        params=SamplingParams(max_new_tokens=8),
        key=SampleKey(seed=0, update=0, episode="e", step=0, role=role),
    )
    return policy.sample_batch([request])[0][0]


def _logprobs(model: VisionLanguageModel, completion: Completion) -> torch.Tensor:
    row = PlainTokenRow(
        prompt_token_ids=completion.prompt_token_ids,
        image_grids=completion.image_grids,
        image_sha256s=(SHOT.sha256,),
        token_ids=completion.token_ids,
    )
    return token_logprobs(model, [row], {SHOT.sha256: SHOT}).logprobs_BT[0]


def _train_adapter(model: VisionLanguageModel, name: str, seed: int) -> None:
    model.use_adapter(name)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter_name, parameter in model.network.named_parameters():
            if f"lora_B.{name}." in parameter_name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)


def test_a_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such folder; give .* or build a tiny model"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no such folder"):
        load_model("./runs/nowhere")
    with pytest.raises(ConfigError, match=r"no config\.json"):
        load_processor(tmp_path)


def test_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(ConfigError, match=r"'gpt2'; supported are qwen2_5_vl, qwen3_vl"):
        load_model(tmp_path)


def test_pickled_weights_are_never_read(tiny_model_dir_qwen3: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir_qwen3, folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="safetensors"):
        load_model(folder)


@pytest.mark.parametrize("layout", ["one_file", "file_per_part"])
def test_stock_checkpoints_load_without_torchvision(
    tiny_model_dir: Path, tmp_path: Path, layout: str
) -> None:
    folder = tmp_path / "stock"
    shutil.copytree(tiny_model_dir, folder)
    family = "Qwen3VL" if "qwen3" in tiny_model_dir.name else "Qwen2_5_VL"
    config = json.loads((folder / "processor_config.json").read_text())
    config["processor_class"] = f"{family}Processor"
    if layout == "one_file":
        config["video_processor"] = {"video_processor_type": "Qwen3VLVideoProcessor", "patch_size": 14}
        (folder / "processor_config.json").write_text(json.dumps(config))
    else:  # as the published Qwen2.5-VL checkpoints are
        (folder / "processor_config.json").unlink()
        image = config["image_processor"] | {"processor_class": config["processor_class"]}
        size = image.pop("size")
        image |= {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
        (folder / "preprocessor_config.json").write_text(json.dumps(image))
        template = (folder / "chat_template.jinja").read_text()
        (folder / "chat_template.jinja").unlink()
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))

    plain, stock = (TransformersPolicy(load_model(path)) for path in (tiny_model_dir, folder))

    assert stock.image_budget == plain.image_budget
    assert _sample(stock) == _sample(plain)


def test_unknown_dtype_is_refused(tiny_model_dir_qwen3: Path) -> None:
    with pytest.raises(ConfigError, match="int8"):
        load_model(tiny_model_dir_qwen3, dtype="int8")


def test_bfloat16_keeps_log_probabilities_in_float32(tiny_model_dir: Path) -> None:
    model = load_model(tiny_model_dir, dtype="bfloat16")
    completion = _sample(TransformersPolicy(model))
    logprobs = _logprobs(model, completion)
    assert model.network.dtype == torch.bfloat16
    assert logprobs.dtype == torch.float32
    assert torch.allclose(logprobs, torch.tensor(completion.logprobs), atol=0.1)


def test_image_budget_is_honoured(tiny_model_dir: Path) -> None:
    budget = ImageBudget(factor=28, min_pixels=4 * 784, max_pixels=8 * 784)
    policy = TransformersPolicy(load_model(tiny_model_dir, image_max_pixels=budget.max_pixels))
    completion = _sample(policy)
    assert policy.image_budget == budget
    assert completion.prompt_token_ids.count(policy.model.image_token_id) == 8


def test_adapters_touch_the_language_model_only(tiny_model_dir: Path) -> None:
    model = load_model(tiny_model_dir, lora=LoraSettings(rank=2), vision_frozen=False)
    trainable = [name for name, parameter in model.network.named_parameters() if parameter.requires_grad]
    assert trainable
    assert all("lora_" in name and "language_model" in name for name in trainable)
    assert model.vision_frozen


def test_a_fresh_adapter_changes_nothing_and_a_trained_one_does(tiny_model_dir: Path) -> None:
    plain, adapted = load_model(tiny_model_dir), load_model(tiny_model_dir, lora=LoraSettings(rank=2))
    completion = _sample(TransformersPolicy(plain))
    assert _sample(TransformersPolicy(adapted)).token_ids == completion.token_ids
    before = _logprobs(adapted, completion)
    assert torch.allclose(before, torch.tensor(completion.logprobs), atol=1e-5)
    _train_adapter(adapted, "default", seed=0)
    assert (_logprobs(adapted, completion) - before).abs().max() > 1e-3


def test_adapters_learn(tiny_model_dir: Path) -> None:
    model = load_model(tiny_model_dir, lora=LoraSettings(rank=4))
    completion = _sample(TransformersPolicy(model))
    parameters = [p for p in model.network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    before = _logprobs(model, completion).sum().item()
    for _ in range(5):
        optimizer.zero_grad()
        (-_logprobs(model, completion).sum()).backward()
        optimizer.step()
    assert _logprobs(model, completion).sum().item() > before + 1


@pytest.mark.parametrize("name", ["default", "planner"])
def test_a_saved_adapter_loads_into_plain_and_adapted_models(
    tiny_model_dir: Path, tmp_path: Path, name: str
) -> None:
    model = load_model(tiny_model_dir, lora=LoraSettings(rank=2), adapters=(name,))
    _train_adapter(model, name, seed=1)
    completion = _sample(TransformersPolicy(model))
    folder = save_adapter(model, tmp_path / "saved", adapter=name)

    plain = load_model(tiny_model_dir)
    load_adapter(plain, folder, adapter=name)
    replaced = load_model(tiny_model_dir, lora=LoraSettings(rank=2), adapters=(name,))
    load_adapter(replaced, folder, adapter=name)

    for loaded in (plain, replaced):
        assert torch.allclose(_logprobs(loaded, completion), torch.tensor(completion.logprobs), atol=1e-5)
        assert [n for n, p in loaded.network.named_parameters() if p.requires_grad and "lora" in n]
    with pytest.raises(ConfigError, match=r"adapter_config\.json"):
        load_adapter(plain, tmp_path)
    with pytest.raises(ConfigError, match="no adapter 'other'"):
        save_adapter(plain, tmp_path, adapter="other")


def test_roles_speak_through_their_own_adapters_in_one_batch(tiny_model_dir: Path) -> None:
    model = load_model(tiny_model_dir, lora=LoraSettings(rank=2), adapters=("actor", "planner"))
    _train_adapter(model, "actor", seed=1)
    _train_adapter(model, "planner", seed=2)
    policy = TransformersPolicy(model, adapter_of_role={"actor": "actor", "planner": "planner"})
    requests = [
        SampleRequest(
            prompt=PROMPT,
            n=1,
            params=SamplingParams(max_new_tokens=6),
            key=SampleKey(seed=0, update=0, episode="e", step=0, role=role),
        )
        for role in (AgentRole.PLANNER, AgentRole.ACTOR, AgentRole.PLANNER)
    ]
    (planner,), (actor,), (planner_again,) = policy.sample_batch(requests)
    assert planner.token_ids == planner_again.token_ids
    for adapter, completion in (("planner", planner), ("actor", actor)):
        model.use_adapter(adapter)
        assert torch.allclose(_logprobs(model, completion), torch.tensor(completion.logprobs), atol=1e-5)
    with pytest.raises(ConfigError, match="attached are actor, planner"):
        model.use_adapter("critic")


def test_the_faster_patch_embedding_changes_neither_features_nor_names(tiny_model_dir: Path) -> None:
    model = load_model(tiny_model_dir)
    plain = AutoModelForImageTextToText.from_pretrained(tiny_model_dir)
    image = model.images.encode(SHOT)
    expected = plain.model.visual(image.patches_PD, grid_thw=torch.tensor([image.grid]))
    features = model.encode_images([SHOT], reuse=False)[SHOT.sha256]
    assert torch.allclose(features.embeddings_ND, expected.pooler_output, atol=1e-5)
    assert list(model.network.state_dict()) == list(plain.state_dict())
