"""The words and numbers that a new tokenizer is made for."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from devices.browser.miniwob import miniwob_suite
from gui_agent.actions import Button
from gui_agent.cli.train import Grounding
from gui_agent.formats.registry import get_format
from gui_agent.observation import Box, LabelledScreen, Screenshot, UiElement
from gui_agent.policies.transformers_loading import load_model
from trainers.grounding.text import TurnWriter
from trainers.tiny_model import TinyModelConfig, build_tokenizer


def test_goals_that_only_a_started_page_tells_are_made_of_whole_words() -> None:
    suite = miniwob_suite("miniwob/click-dialog")
    assert suite.task("click-dialog", 0).goal == ""
    picture = Screenshot.from_image(Image.new("RGB", (160, 210)))
    screen = LabelledScreen(screenshot=picture, elements=(), goal="Close the dialog box")
    settings = Grounding(output_dir=Path("unused"), buttons=(Button.HOME,), button_goal="hold {name}")
    tokenizer = build_tokenizer(TinyModelConfig(bpe_vocab_size=400), settings._corpus(suite, [screen]))
    tokens = [tokenizer.decode([token]) for token in tokenizer("Close the dialog box").input_ids]
    assert tokens == ["Close", " the", " dialog", " box"]
    assert [tokenizer.decode([token]) for token in tokenizer("hold home").input_ids] == ["hold", " home"]


def test_a_new_model_has_a_token_for_every_coordinate_of_the_resized_picture(tmp_path: Path) -> None:
    suite = miniwob_suite("miniwob/click-tab")
    picture = Screenshot.from_image(Image.new("RGB", (160, 210)))  # 168 x 224 to the model
    low = UiElement(name="Tab #1", role="tab", box=Box(left=0, top=195, right=20, bottom=209))
    screen = LabelledScreen(screenshot=picture, elements=(low,))
    settings = Grounding(output_dir=tmp_path, format="compact:snap_px=8")
    model = load_model(
        str(settings._build(suite, [screen])), dtype="float32", device="cpu", vision_frozen=False
    )
    writer = TurnWriter(model, get_format(settings.format), "tap {name}", picture)
    answer = writer.answer(low, writer.geometry(picture))
    assert model.prompts.decode(answer.token_ids) == "Tab #1 click 12 212"
    assert model.prompts.decode((answer.x_token,)) == " 12"
    assert model.prompts.decode((answer.y_token,)) == " 212"
