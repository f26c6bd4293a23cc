"""How recorded states are named, so that estimators can tell which are the same."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image, ImageDraw

from gui_agent.actions import Click, ParseError
from gui_agent.agent import RoleCompletion
from gui_agent.device import Outcome, StopReason, Verdict
from gui_agent.errors import ConfigError, DataError
from gui_agent.observation import Screenshot
from gui_agent.policy import AgentRole, Completion, FinishReason
from trainers.advantages import AnchorOptions, GigpoOptions
from trainers.algorithms import get_algorithm
from trainers.perceptual import perceptual_hash
from trainers.state_names import StateNamer, action_key
from trajectories.records import EpisodeRecord, Step, Trajectory


def screen(button_x: int = 20, clock_x: int = 0) -> Image.Image:
    image = Image.new("RGB", (112, 224), (240, 240, 240))
    draw = ImageDraw.Draw(image)
    draw.rectangle((clock_x, 2, clock_x + 20, 8), fill="black")
    draw.rectangle((button_x, 100, button_x + 30, 130), fill=(20, 60, 160))
    return image


def compressed(image: Image.Image, quality: int = 80) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def widget(name: str, left: int = 0) -> dict[str, Any]:
    return {"name": name, "role": "button", "box": [left, 0, left + 10, 10], "clickable": True}


def episode(images: list[Image.Image], **facts: Any) -> EpisodeRecord:
    """An episode over some screens, the last of which is only looked at."""
    shots = [Screenshot.from_image(image) for image in images]
    elements = facts.get("elements", [None] * len(shots))
    steps = tuple(
        Step(
            index=i, screenshot_sha256=shot.sha256, width_px=112, height_px=224, requested=Click(x=i, y=0),
            executed=None, state_key_before=f"key {i}", state_key_after=f"key {i + 1}", elements=elements[i],
        )
        for i, shot in enumerate(shots[:-1])
    )  # fmt: skip
    trajectory = Trajectory(
        episode_id="e", task_id="t", template="t", suite="s", goal="g", steps=steps, stop=StopReason.FINISHED,
        outcome=Outcome(verdict=Verdict.SUCCESS), final_screenshot_sha256=shots[-1].sha256,
    )  # fmt: skip
    return EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot for shot in shots})


def names(record: EpisodeRecord, **options: Any) -> tuple[list[str | None], list[str | None]]:
    found = StateNamer(AnchorOptions(**options)).names(record)
    return list(found.before), list(found.after)


def test_the_look_of_a_screen_survives_compression_and_scaling() -> None:
    plain = perceptual_hash(screen())
    assert perceptual_hash(compressed(screen())) == plain
    scaled = perceptual_hash(screen().resize((448, 896), Image.Resampling.NEAREST))
    assert (int(scaled, 16) ^ int(plain, 16)).bit_count() <= 8
    assert perceptual_hash(screen(button_x=40)) != plain
    assert len(perceptual_hash(screen(), cells=8)) == 2 * 8 * 8 // 4


def test_a_status_bar_can_be_ignored() -> None:
    early, late = screen(clock_x=0), screen(clock_x=60)
    assert perceptual_hash(early) != perceptual_hash(late)
    assert perceptual_hash(early, ignored_top_px=12) == perceptual_hash(late, ignored_top_px=12)
    record = episode([early, late, early])
    for anchor in ("screenshot", "perceptual"):
        before, _ = names(record, **get_options(f"gigpo:anchor={anchor}"))
        assert before[0] != before[1]
        before, after = names(record, **get_options(f"gigpo:anchor={anchor},ignored_top_px=12"))
        assert before[0] == before[1] == after[1]


def get_options(text: str) -> dict[str, Any]:
    options = get_algorithm(text).options
    assert isinstance(options, GigpoOptions)
    return {name: getattr(options, name) for name in ("anchor", "ignored_top_px")}


def test_a_step_leads_to_where_the_next_begins() -> None:
    record = episode([screen(10), screen(20), screen(30)])
    assert names(record) == (["key 0", "key 1"], ["key 1", "key 2"])
    shots = list(record.screenshots)
    assert names(record, **get_options("gigpo:anchor=screenshot")) == (shots[:2], shots[1:])
    unseen = replace(record, trajectory=replace(record.trajectory, final_screenshot_sha256=None))
    assert names(unseen, **get_options("gigpo:anchor=screenshot"))[1] == [shots[1], None]
    nothing = replace(record, trajectory=replace(record.trajectory, steps=()))
    assert names(nothing, **get_options("gigpo:anchor=screenshot")) == ([], [])


def test_widgets_name_states_with_or_without_their_places() -> None:
    elements = [(widget("Wi-Fi"),), (widget("Wi-Fi", left=50),), (widget("Sound"),), None]
    record = episode([screen(i) for i in range(5)], elements=elements)
    tree, after = names(record, **get_options("gigpo:anchor=ui_tree"))
    assert len(set(tree)) == 4
    assert (tree[3], after) == (None, [tree[1], tree[2], None, None])
    text, _ = names(record, **get_options("gigpo:anchor=ui_text"))
    assert text == ["button Wi-Fi", "button Wi-Fi", "button Sound", None]


class Counting(Mapping[str, Screenshot]):
    """Pictures that count how often they are asked for."""

    def __init__(self, pictures: Mapping[str, Screenshot]) -> None:
        self._pictures = pictures
        self.asked = 0

    def __getitem__(self, name: str) -> Screenshot:
        self.asked += 1
        return self._pictures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pictures)

    def __len__(self) -> int:
        return len(self._pictures)


def test_every_picture_is_looked_at_once() -> None:
    record = episode([screen(10), screen(20), screen(10), screen(20)])
    pictures = Counting(record.screenshots)
    namer = StateNamer(AnchorOptions(**get_options("gigpo:anchor=perceptual")))
    for _ in range(3):
        namer.names(replace(record, screenshots=pictures))
    assert pictures.asked == 2


def test_what_cannot_be_named_is_told() -> None:
    record = episode([screen(), screen()])
    with pytest.raises(DataError, match=r"trajectory 'e': screenshot .* is not at hand"):
        names(replace(record, screenshots={}), **get_options("gigpo:anchor=perceptual"))
    with pytest.raises(ConfigError, match="only 224 pixels high"):
        names(record, **get_options("gigpo:anchor=perceptual,ignored_top_px=224"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gigpo:similarity=0.9", "add anchor=ui_text"),
        ("gigpo:anchor=ui_text,similarity=1.0", "threshold in"),
        ("salt:tolerance_bits=2", "add anchor=perceptual"),
        ("salt:anchor=perceptual,tolerance_bits=-1", "0 or more"),
        ("gigpo:anchor=ui_tree,ignored_top_px=3", "anchor=screenshot or anchor=perceptual"),
        ("gigpo:hash_cells=8", "add anchor=perceptual"),
        ("gigpo:anchor=pixels", "known are state_key, screenshot"),
    ],
)
def test_options_without_effect_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        get_algorithm(text)


def test_a_decision_is_the_request_of_an_actor_and_the_subgoal_of_a_planner() -> None:
    completion = Completion(
        prompt_token_ids=(1,), image_grids=(), token_ids=(2,), logprobs=(-0.1,), text="as sampled",
        finish_reason=FinishReason.STOP, policy_version=0,
    )  # fmt: skip
    actor = RoleCompletion(role=AgentRole.ACTOR, completion=completion, image_sha256s=())
    planner = replace(actor, role=AgentRole.PLANNER)
    step = Step(
        index=0, screenshot_sha256=None, width_px=1, height_px=1, requested=Click(x=1, y=2), executed=None,
        subgoal="open settings",
    )  # fmt: skip
    assert action_key(step, actor) == action_key(replace(step, thought="because"), actor)
    assert action_key(step, actor) != action_key(replace(step, requested=Click(x=1, y=3)), actor)
    unparsed = replace(step, requested=ParseError(reason="no action", text="hm"))
    assert action_key(unparsed, actor) != action_key(step, actor)
    assert action_key(step, planner) == "open settings"
    assert action_key(replace(step, subgoal=None), planner) == "as sampled"
