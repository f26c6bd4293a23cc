"""Grounding from labelled screens, at a size at which it takes seconds."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw

from gui_agent.actions import Button, Click
from gui_agent.errors import ConfigError, DataError, TrainingError
from gui_agent.formats.compact import compact_vocabulary
from gui_agent.formats.registry import get_format
from gui_agent.observation import Box, LabelledScreen, Screenshot, UiElement
from gui_agent.policies.transformers_loading import load_model
from trainers.grounding.config import DenseStages, GroundingConfig
from trainers.grounding.pixels import ScreenPixels
from trainers.grounding.stages import ScreenPool
from trainers.grounding.text import IGNORED, LessonRow, TurnWriter, pad_rows
from trainers.grounding.training import pointing_accuracy, train_grounding
from trainers.metrics import read_metrics
from trainers.tiny_model import Family, TinyModelConfig, build_tiny_model

COLOURS = {"red": (220, 40, 40), "green": (40, 170, 70), "blue": (50, 90, 220)}
FORMAT_NAME = "compact:snap_px=8,require_thought=true"
FORMAT = get_format(FORMAT_NAME)


def screen(rng: random.Random, *, size: tuple[int, int] = (56, 112)) -> LabelledScreen:
    """Coloured rows of 28 pixels in random order."""
    picture = Image.new("RGB", size, (240, 240, 240))
    names = rng.sample(sorted(COLOURS), 2)
    elements = []
    for name, row in zip(names, rng.sample(range(size[1] // 28), 2), strict=True):
        box = Box(left=0, top=28 * row, right=size[0], bottom=28 * row + 28)
        ImageDraw.Draw(picture).rectangle((0, box.top, size[0], box.bottom - 1), fill=COLOURS[name])
        elements.append(UiElement(name=name, role="button", box=box))
    return LabelledScreen(screenshot=Screenshot.from_image(picture), elements=tuple(elements))


def screens(count: int, seed: int) -> list[LabelledScreen]:
    rng = random.Random(seed)
    return [screen(rng) for _ in range(count)]


def tiny(folder: Path, family: Family = "qwen3_vl") -> Path:
    config = TinyModelConfig(
        family=family,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        num_key_value_heads=1,
        mlp_size=64,
        vision_hidden_size=32,
        vision_depth=1,
        vision_heads=2,
        vision_mlp_size=64,
        bpe_vocab_size=300,
        number_tokens=0,
        macro_tokens=tuple(compact_vocabulary(max_coordinate=111, snap_px=8)),
    )
    words = [f"tap {name}\n{name} {name}" for name in COLOURS]
    return build_tiny_model(config, words * 20, folder, seed=0)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("tiny"))


def short(model: Path, output_dir: Path, **settings: Any) -> GroundingConfig:
    dense = DenseStages(vision_steps=12, noun_steps=6, lookup_steps=6, vision_screens=4, noun_screens=4)
    values: dict[str, Any] = {
        "answer_steps": 6,
        "answer_screens": 4,
        "warmup_steps": 2,
        "log_every": 3,
        "dense": dense,
    }
    return GroundingConfig(
        model=str(model), output_dir=output_dir, num_eval_questions=4, **{**values, **settings}
    )


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl"])
def test_every_stage_lowers_its_loss_and_the_result_loads(
    tmp_path: Path, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    config = short(tiny(tmp_path / "tiny", family), tmp_path / "run")

    report = train_grounding(config, screens(12, 0), screens(4, 1), FORMAT_NAME)

    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    told = capsys.readouterr().out.splitlines()
    assert len(told) == len(lines) - 1
    assert told[0].startswith("grounding, vision 3 of 12: loss ")
    for stage in ("vision", "noun", "lookup", "answer"):
        losses = [line["loss"] for line in lines if line["stage"] == stage]
        assert losses[-1] < losses[0], stage
    assert lines[-1]["pointing_accuracy"] == report.accuracy
    again = pointing_accuracy(
        load_model(report.model_dir), screens(4, 1), FORMAT, num_questions=4, seed=config.seed
    )
    assert again == report.accuracy


def test_equal_seeds_give_equal_weights(checkpoint: Path, tmp_path: Path) -> None:
    weights = []
    for name in ("first", "second"):
        config = short(checkpoint, tmp_path / name)
        report = train_grounding(config, screens(8, 0), (), FORMAT_NAME, show_progress=False)
        weights.append((report.model_dir / "model.safetensors").read_bytes())
        assert report.accuracy is None

    assert weights[0] == weights[1]


def test_answers_alone_need_no_dense_supervision(checkpoint: Path, tmp_path: Path) -> None:
    config = short(checkpoint, tmp_path, dense=None)
    mixed = [*screens(4, 0), screen(random.Random(2), size=(84, 112))]

    train_grounding(config, mixed, (), FORMAT_NAME, show_progress=False)

    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert {line["stage"] for line in lines} == {"answer", "end"}


def test_stored_pixels_are_what_the_image_encoder_makes(checkpoint: Path) -> None:
    model = load_model(checkpoint)
    shown = [one.screenshot for one in screens(3, 5)]

    pixels = ScreenPixels(model, shown)

    expected = torch.cat([model.images.encode(screenshot).patches_PD for screenshot in shown])
    torch.testing.assert_close(pixels.patches([0, 1, 2]), expected, atol=1e-6, rtol=0)
    features = model.encode_images(shown, reuse=False)
    for screenshot, ours in zip(shown, pixels.all_features(chunk=2), strict=True):
        torch.testing.assert_close(ours.embeddings_ND, features[screenshot.sha256].embeddings_ND)
        torch.testing.assert_close(ours.deepstack_ND, features[screenshot.sha256].deepstack_ND)


def test_a_first_question_is_the_prompt_that_the_agent_sends(checkpoint: Path) -> None:
    model = load_model(checkpoint)
    shown = screens(1, 3)[0]
    writer = TurnWriter(model, FORMAT, "tap {name}", shown.screenshot)
    element = shown.elements[0]
    prompt = model.prompts.encode(FORMAT.prompt(f"tap {element.name}", (), shown.screenshot))

    assert tuple(writer.opening(f"tap {element.name}", shown.screenshot, 8)) == prompt.token_ids

    answer = writer.answer(element, writer.geometry(shown.screenshot))
    text = model.prompts.decode(answer.token_ids)
    action = FORMAT.parse(text, writer.geometry(shown.screenshot)).action
    assert text.startswith(element.name)
    assert isinstance(action, Click)
    assert element.box.contains(action.x, action.y)


def test_a_format_that_states_the_size_of_the_screen_states_that_of_each_screen(checkpoint: Path) -> None:
    model = load_model(checkpoint)
    states_size = get_format("mobile_use", image_budget=model.images.budget)
    first, other = screen(random.Random(0)), screen(random.Random(1), size=(84, 112))
    writer = TurnWriter(model, states_size, "tap {name}", first.screenshot)
    for shown in (first, other):
        prompt = model.prompts.encode(states_size.prompt("tap red", (), shown.screenshot))
        num_image_tokens = prompt.token_ids.count(model.image_token_id)
        opening = writer.opening("tap red", shown.screenshot, num_image_tokens)
        assert tuple(opening) == prompt.token_ids


def test_a_follow_up_continues_the_conversation_as_the_chat_template_writes_it(checkpoint: Path) -> None:
    model = load_model(checkpoint)
    shown = screens(1, 3)[0]
    writer = TurnWriter(model, FORMAT, "tap {name}", shown.screenshot)

    text = model.tokenizer.decode(writer.follow_up("tap red"))

    assert text == "\n<|im_start|>user\ntap red\n<|im_end|>\n<|im_start|>assistant\n"


def test_pressing_a_button_is_one_more_turn_of_the_conversation(checkpoint: Path) -> None:
    model = load_model(checkpoint)
    shown = screens(2, 0)
    rng = random.Random(0)

    def conversation(**settings: Any) -> LessonRow:
        config = short(checkpoint, Path("unused"), questions_per_screen=1, **settings)
        writer = TurnWriter(model, FORMAT, config.goal, shown[0].screenshot)
        pool = ScreenPool(model, shown, writer, config)
        return pool._with_button(pool._conversation(0, random.Random(0)), rng)

    plain, taught = conversation(), conversation(buttons=(Button.BACK,))

    assert taught.token_ids[: len(plain.token_ids)] == plain.token_ids
    added = model.prompts.decode(tuple(taught.token_ids[len(plain.token_ids) :]))
    learnt = [label for label in taught.labels[len(plain.labels) :] if label != IGNORED]
    assert "press back" in added
    assert model.prompts.decode(tuple(learnt)) == "back button back"


def test_only_what_the_model_writes_is_learnt(checkpoint: Path) -> None:
    model = load_model(checkpoint)
    row = LessonRow()
    row.read([5, *[model.image_token_id] * 8, 6])
    row.write([7, 8])

    batch = pad_rows(
        model, [row, LessonRow(token_ids=row.token_ids[:-1], labels=row.labels[:-1])], [(1, 8, 4)] * 2
    )

    assert batch.labels_BT[:, :10].eq(IGNORED).all()
    assert batch.labels_BT[:, 10:].tolist() == [[7, 8], [7, IGNORED]]
    assert batch.token_ids_BT[1, -1] == model.pad_token_id


def test_screens_without_anything_to_point_at_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    bare = [LabelledScreen(screenshot=screens(1, 0)[0].screenshot, elements=())]

    with pytest.raises(DataError, match="clickable element with a name"):
        train_grounding(short(checkpoint, tmp_path), bare, (), FORMAT_NAME, show_progress=False)
    with pytest.raises(DataError, match="no labelled screens"):
        train_grounding(short(checkpoint, tmp_path), (), (), FORMAT_NAME, show_progress=False)


def test_dense_stages_refuse_screens_of_several_sizes(checkpoint: Path, tmp_path: Path) -> None:
    mixed = [screen(random.Random(0)), screen(random.Random(1), size=(84, 112))]

    with pytest.raises(ConfigError, match="one size"):
        train_grounding(short(checkpoint, tmp_path), mixed, (), FORMAT_NAME, show_progress=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"goal": "tap it"}, "name"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"log_every": 0}, "log_every"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        short(Path("model"), Path("run"), **settings)


def test_a_gradient_that_is_not_finite_ends_a_training_before_it_spoils_the_weights(tmp_path: Path) -> None:
    config = short(tiny(tmp_path / "tiny"), tmp_path / "run", learning_rate=1e38, dense=None)
    with pytest.raises(TrainingError, match=r"stage 'answer', step 2 of .*not finite .*learning_rate"):
        train_grounding(config, screens(8, 0), [], "compact", show_progress=False)
    assert not (tmp_path / "run" / "model").exists()
