"""A store becomes JSON lines and pictures, and those the same store, in every field that they carry."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings
from PIL import Image

from gui_agent.actions import ACTION_TYPES, Action, LongPress, ParseError, Scroll, Wait
from gui_agent.device import ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.observation import Box, Screenshot
from trajectories.check import check_store
from trajectories.convert_jsonl import JsonlOptions, convert_jsonl_file
from trajectories.damage import OnDamage
from trajectories.export_jsonl import FILE, carried, export_jsonl
from trajectories.records import EpisodeRecord, Step, StepTimings, Trajectory
from trajectories.store import TrajectoryStore

SHOTS = [
    Screenshot.from_image(Image.new("RGB", size, colour))
    for size, colour in (((30, 40), "red"), ((7, 5), "blue"), ((64, 1), "white"))
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAME = TEXT.filter(bool)
OPTIONAL_TEXT = st.none() | TEXT
SHARE = st.floats(0, 1)
EDGE = st.integers(-50, 3000)


def actions(width_px: int, height_px: int) -> st.SearchStrategy[Action]:
    x, y = st.integers(0, width_px - 1), st.integers(0, height_px - 1)
    points: dict[str, Any] = {"x": x, "y": y, "to_x": x, "to_y": y}
    seconds = st.floats(0, 100)
    return st.one_of(
        st.builds(Scroll, x=st.none(), y=st.none()),
        *[
            st.builds(
                kind,
                **{each.name: points[each.name] for each in dataclasses.fields(kind) if each.name in points},
                **({"duration_s": seconds} if kind in (LongPress, Wait) else {}),
                **{
                    each.name: TEXT
                    for each in dataclasses.fields(kind)
                    if each.name in ("text", "key", "name")
                },
            )
            for kind in ACTION_TYPES
        ],
    )


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    left, right = sorted((draw(EDGE), draw(EDGE)))
    top, bottom = sorted((draw(EDGE), draw(EDGE)))
    return Box(left=left, top=top, right=right, bottom=bottom)


@st.composite
def elements(draw: st.DrawFn) -> dict[str, Any]:
    box = draw(boxes())
    element = {"name": draw(TEXT), "role": draw(TEXT), "box": [box.left, box.top, box.right, box.bottom]}
    return {**element, **draw(st.sampled_from([{}, {"clickable": False}, {"package": "org.example"}]))}


@st.composite
def steps(draw: st.DrawFn, index: int) -> Step:
    shot = draw(st.none() | st.sampled_from(SHOTS))
    size = draw(st.sampled_from([None, (30, 40)])) if shot is None else (shot.width_px, shot.height_px)
    within = actions(*(size or (3000, 3000)))
    anywhere = actions(5000, 5000)
    executed = draw(st.none() | within)
    thought = draw(OPTIONAL_TEXT)
    targets = draw(st.lists(boxes(), max_size=2).map(tuple))
    same = None if executed is None else ExpertAction(action=executed, boxes=targets, thought=thought)
    other = st.builds(
        ExpertAction, action=within, boxes=st.just(targets), thought=OPTIONAL_TEXT, subgoal=OPTIONAL_TEXT
    )
    request = st.none() | anywhere | st.builds(ParseError, reason=TEXT, text=TEXT)
    return Step(
        index=index,
        screenshot_sha256=None if shot is None else shot.sha256,
        width_px=None if size is None else size[0],
        height_px=None if size is None else size[1],
        requested=draw(st.just(executed) | request),
        executed=executed,
        source=draw(st.sampled_from(ActionSource)),
        error=draw(TEXT if executed is None else OPTIONAL_TEXT),
        expected=draw(st.just(same) | st.none() | other),
        thought=thought,
        subgoal=draw(OPTIONAL_TEXT),
        progress=draw(st.none() | SHARE),
        state_key_before=draw(OPTIONAL_TEXT),
        state_key_after=draw(OPTIONAL_TEXT),
        foreground_app=draw(OPTIONAL_TEXT),
        elements=draw(st.none() | st.lists(elements(), max_size=2).map(tuple)),
        raw_action=draw(OPTIONAL_TEXT),
        timings=StepTimings(decide_s=1.5),
        format_ok=False,
    )


@st.composite
def trajectories(draw: st.DrawFn, name: str) -> Trajectory:
    num_steps = draw(st.integers(0, 3))
    return Trajectory(
        episode_id=name,
        task_id=draw(st.just(name) | TEXT),
        template=draw(TEXT),
        suite=draw(TEXT),
        goal=draw(TEXT),
        steps=tuple(draw(steps(index)) for index in range(num_steps)),
        stop=draw(st.sampled_from(StopReason)),
        outcome=Outcome(
            verdict=draw(st.sampled_from(Verdict)), progress=draw(st.none() | SHARE), detail=draw(TEXT)
        ),
        group_id=draw(TEXT),
        seed=draw(st.integers(-(2**63), 2**63 - 1)),
        update=7,
        policy=draw(TEXT),
        split=draw(TEXT),
        device=draw(TEXT),
        source=draw(
            st.dictionaries(TEXT, st.none() | TEXT | st.lists(st.integers(), max_size=2), max_size=2)
        ),
        fault=draw(OPTIONAL_TEXT if num_steps else TEXT),
        wall_s=2.5,
        final_screenshot_sha256=draw(st.none() | st.sampled_from([shot.sha256 for shot in SHOTS])),
    )


EPISODES = st.lists(NAME, min_size=1, max_size=2, unique=True).flatmap(
    lambda names: st.tuples(*[trajectories(name) for name in names])
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(episodes=EPISODES)
def test_a_store_comes_back_equal(episodes: tuple[Trajectory, ...]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = {shot.sha256: shot for shot in SHOTS}
        store = TrajectoryStore.create(folder / "store")
        store.append([EpisodeRecord(trajectory=episode, screenshots=pictures) for episode in episodes])
        export_jsonl(store, folder / "out")
        report = convert_jsonl_file(
            folder / "out" / FILE, folder / "back", JsonlOptions(on_damage=OnDamage.RAISE)
        )
        back = TrajectoryStore.open(folder / "back")
        assert list(back) == [carried(episode) for episode in episodes]
        assert report.num_episodes == len(episodes)
        assert check_store(back).ok
        shown = {sha256 for episode in back for sha256 in episode.screenshot_sha256s}
        assert set(back.screenshots) == shown
