"""Settings of grounding: teaching a model where things are on a screen. Imports without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gui_agent.actions import Button
from gui_agent.errors import ConfigError
from gui_agent.policy import check_image_max_pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseStages:
    """Steps and screens per step of the dense supervision that a model from random weights needs.

    Answers alone teach such a model nothing within minutes: to point, it has to read the words on the
    screen, match the target's name with one of them, and say where it was, and a wrong answer tells it
    not which of the three failed. So each is taught by itself, and the answers come last.

    Attributes:
        vision_steps: the vision tower learns what each cell of a screen shows, and where its centre is.
        noun_steps: the language model learns to find on the screen what a name refers to.
        lookup_steps: the language model learns to write the point, many names to a screen.
        vision_screens: screens per step of the vision stage.
        noun_screens: screens per step of the noun stage.
        lookup_screens: screens per step of the lookup stage.
        lookup_share: of the lookup stage's screens, the share asked about in bare answers, without the
            turns of a conversation; these are shorter.
        min_cover: share of a cell that an element has to cover to be what the cell shows.
        answer_rate_share: of the learning rate, the share that is left for the answer stage, in which all
            weights move and much could be forgotten.
    """

    vision_steps: int = 500
    noun_steps: int = 180
    lookup_steps: int = 120
    vision_screens: int = 16
    noun_screens: int = 24
    lookup_screens: int = 16
    lookup_share: float = 0.6
    min_cover: float = 0.12
    answer_rate_share: float = 0.25

    def __post_init__(self) -> None:
        for name in ("vision_steps", "noun_steps", "lookup_steps"):
            if getattr(self, name) < 0:
                raise ConfigError(f"grounding: {name} is {getattr(self, name)}; expected 0 or more")
        for name in ("vision_screens", "noun_screens", "lookup_screens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"grounding: {name} is {getattr(self, name)}; expected at least 1")
        for name in ("lookup_share", "min_cover", "answer_rate_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"grounding: {name} is {getattr(self, name)}; expected 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingConfig:
    """How to teach a model where things are.

    Attributes:
        model: checkpoint folder or hub name to start from.
        output_dir: where metrics are written, and the trained model under `model/`.
        dense: the stages for a model from random weights; None goes straight to answers, which is right
            for every pretrained model.
        answer_steps: steps of supervised answers in the agent's own prompt format, all weights trained.
        answer_screens: screens per step of the answer stage.
        questions_per_screen: most names asked about on one screen.
        goal: what the model is asked, with `{name}` for the name of the target.
        buttons: system buttons that the model is taught to press, once in every conversation of the answer
            stage: what points at nothing on the screen is not learnt from pointing, and what a warm start
            never tries, reinforcement learning cannot reward.
        button_goal: what it is asked then.
        learning_rate: peak rate of AdamW in every stage; 1e-5 is usual for pretrained models.
        weight_decay: of matrices; vectors have none.
        warmup_steps: steps over which each stage's rate rises.
        max_grad_norm: gradients are clipped to this norm.
        image_max_pixels: pixels of the largest screenshot that the model is shown, after resizing; 0 shows it
            what it was trained with. A screen of 1080x2400 is 3,354 tokens of Qwen2.5-VL at its own bound,
            1,272 at 1003520.
        dtype: of the weights; auto is bfloat16 on CUDA devices that compute in it, else float32.
        device: where to train, such as cpu or cuda:0; empty takes a GPU if there is one.
        seed: decides the order of screens and questions.
        log_every: steps between two lines of metrics.
        num_eval_questions: questions about held-out screens that the trained model is tested with.
    """

    model: str
    output_dir: Path
    dense: DenseStages | None = field(default_factory=DenseStages)
    answer_steps: int = 30
    answer_screens: int = 16
    questions_per_screen: int = 4
    goal: str = "tap {name}"
    buttons: tuple[Button, ...] = ()
    button_goal: str = "press {name}"
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup_steps: int = 40
    max_grad_norm: float = 1.0
    image_max_pixels: int = 0
    dtype: str = "float32"
    device: str = ""
    seed: int = 0
    log_every: int = 25
    num_eval_questions: int = 200

    def __post_init__(self) -> None:
        for name in ("answer_screens", "questions_per_screen", "warmup_steps", "log_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"grounding: {name} is {getattr(self, name)}; expected at least 1")
        if self.answer_steps < 0 or self.num_eval_questions < 0:
            raise ConfigError("grounding: answer_steps and num_eval_questions must not be negative")
        if self.learning_rate <= 0:
            raise ConfigError(f"grounding: learning_rate is {self.learning_rate}; expected more than 0")
        check_image_max_pixels(self.image_max_pixels)
        for option in ("goal", "button_goal"):
            if "{name}" not in getattr(self, option):
                raise ConfigError(
                    f"grounding: {option} is {getattr(self, option)!r}; it must contain {{name}}"
                )
