"""The words that a new tokenizer is made for."""

from __future__ import annotations

from PIL import Image

from devices.browser.miniwob import miniwob_suite
from gui_agent.cli.train import _corpus
from gui_agent.observation import LabelledScreen, Screenshot
from trainers.tiny_model import TinyModelConfig, build_tokenizer


def test_goals_that_only_a_started_page_tells_are_made_of_whole_words() -> None:
    suite = miniwob_suite("miniwob/click-dialog")
    assert suite.task("click-dialog", 0).goal == ""
    picture = Screenshot.from_image(Image.new("RGB", (160, 210)))
    screen = LabelledScreen(screenshot=picture, elements=(), goal="Close the dialog box")
    tokenizer = build_tokenizer(TinyModelConfig(bpe_vocab_size=400), _corpus(suite, [screen]))
    tokens = [tokenizer.decode([token]) for token in tokenizer("Close the dialog box").input_ids]
    assert tokens == ["Close", " the", " dialog", " box"]
