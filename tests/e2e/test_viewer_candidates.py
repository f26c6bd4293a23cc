"""Several samples at one state: what a page shows of them, served and in one file, and how it is read."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from PIL import Image

from gui_agent.actions import Action, Click, ParseError
from gui_agent.agent import Candidate, CandidateKind, RoleCompletion
from gui_agent.cli.main import main
from gui_agent.cli.view import run_source
from gui_agent.device import ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.observation import Box, Screenshot
from gui_agent.policy import AgentRole, Completion, FinishReason
from gui_agent.viewer.app import create_viewer
from gui_agent.web.access import Access, Guard
from trainers.annotate import step_credits
from trainers.semi_online_config import SemiOnlineConfig
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore
from trajectories.viewer import CandidateAnnotation, StepAnnotation
from trajectories.viewer.candidates import IN_A_FILE, SERVED, CandidateLimits, candidates_data
from trajectories.viewer.payload import page_data

HIT, MISS = Click(x=50, y=60), Click(x=5, y=6)
EXPERT = ExpertAction(action=HIT, boxes=(Box(left=40, top=50, right=60, bottom=70),), subgoal="tap a")


def candidate(
    kind: CandidateKind,
    branch: int,
    sample: int = 0,
    *,
    subgoal: str | None = "tap a",
    action: Action | ParseError | None = None,
    text: str = "",
    **measured: float,
) -> Candidate:
    completion = Completion(
        prompt_token_ids=(1,),
        image_grids=(),
        token_ids=(2,),
        logprobs=(-0.5,),
        text=text or (subgoal if kind is CandidateKind.SUBGOAL and subgoal else "words"),
        finish_reason=FinishReason.STOP,
        policy_version=0,
    )
    role = AgentRole.PLANNER if kind is CandidateKind.SUBGOAL else AgentRole.ACTOR
    return Candidate(
        kind=kind,
        completion=RoleCompletion(role=role, completion=completion, image_sha256s=()),
        branch=branch,
        sample=sample,
        subgoal=subgoal,
        action=action,
        format_ok=subgoal is not None,
        measured=measured,
    )


SUBGOALS = [
    candidate(CandidateKind.SUBGOAL, 0),
    candidate(CandidateKind.SUBGOAL, 1),
    candidate(CandidateKind.SUBGOAL, 2, subgoal="tap b"),
    candidate(CandidateKind.SUBGOAL, 3, subgoal=None, text="I do not know"),
]
PROBES = [
    candidate(CandidateKind.PROBE, 0, action=HIT),
    candidate(CandidateKind.PROBE, 1, action=MISS),
    candidate(CandidateKind.PROBE, 2, subgoal="tap b", action=HIT),
]
ACTIONS = [
    candidate(CandidateKind.ACTION, 0, 0, action=MISS),
    candidate(CandidateKind.ACTION, 0, 1, action=HIT),
    candidate(CandidateKind.ACTION, 0, 2, action=HIT),
    candidate(CandidateKind.ACTION, 0, 3, action=ParseError(reason="no command", text="hm")),
]


def trunk(name: str = "trunk", *, steps: int = 1) -> Trajectory:
    return Trajectory(
        episode_id=name,
        task_id="t",
        template="t",
        suite="s",
        goal="g",
        group_id=name,
        stop=StopReason.FINISHED,
        outcome=Outcome(verdict=Verdict.SUCCESS),
        steps=tuple(
            Step(
                index=index,
                screenshot_sha256=None,
                width_px=100,
                height_px=200,
                requested=MISS,
                executed=MISS,
                expected=EXPERT,
                subgoal="tap a",
                candidates=(*SUBGOALS, *PROBES, *ACTIONS),
            )
            for index in range(steps)
        ),
    )


def shown(limits: CandidateLimits = SERVED) -> dict[str, Any]:
    """As a page of the training shows it."""
    config = SemiOnlineConfig(data=Path("x"), algorithm="foresight", num_generations=4, filter_std=0.0)
    (credit,) = step_credits([trunk()], config)["trunk"]
    notes = [
        CandidateAnnotation(reward=each.reward, parts=each.parts, advantage=each.advantage)
        for each in credit.candidates
    ]
    data = candidates_data(trunk().steps[0].candidates, notes, limits=limits)
    assert data is not None
    return data


def test_subgoals_have_the_rewards_and_advantages_of_the_training() -> None:
    planner = shown()["planner"]
    rows = [(row["subgoal"], row["count"], row["executed"], row["reward"]) for row in planner["rows"]]
    # 0.1 for the form; 0.9 of what the probes achieved, shared by equal words: one of two, and one of one.
    assert rows == [("tap a", 2, True, 0.55), ("tap b", 1, False, 1.0), (None, 1, False, 0.0)]
    assert planner["rows"][0]["parts"] == {"format": 0.1, "execution": 0.45}
    assert planner["rows"][2]["response"] == "I do not know"
    mean, deviation = 0.525, pytest.approx(0.4093, abs=1e-4)
    assert planner["mean"] == mean
    assert (1.0 - mean) / planner["rows"][1]["advantage"] == deviation
    assert sum(row["advantage"] * row["count"] for row in planner["rows"]) == pytest.approx(0.0, abs=1e-3)


def test_probes_stand_below_their_subgoal_and_actions_by_themselves() -> None:
    data = shown()
    probes = [
        [(probe["action"]["points"], probe["count"], probe["reward"]) for probe in row["probes"]["rows"]]
        for row in data["planner"]["rows"]
    ]
    assert probes == [[([[50, 60]], 1, 1.0), ([[5, 6]], 1, 0.0)], [([[50, 60]], 1, 1.0)], []]
    actions = [(row["action"]["kind"], row["count"], row["executed"]) for row in data["actor"]["rows"]]
    assert actions == [("click", 1, True), ("click", 2, False), ("parse_error", 1, False)]
    assert data["actor"]["rows"][1]["reward"] == 1.0
    assert (data["num_samples"], data["num_probes"]) == (11, 3)


def test_what_was_measured_is_shown_where_nothing_else_is_known() -> None:
    data = candidates_data(
        [
            candidate(CandidateKind.SUBGOAL, 0, judge=0.5),
            candidate(CandidateKind.PROBE, 0, action=HIT, gain=0.25),
            candidate(CandidateKind.ACTION, 1, action=MISS, rejected=1.0),
        ],
        limits=SERVED,
    )
    assert data is not None
    (row,) = data["planner"]["rows"]
    assert (row["measured"], row["reward"], data["planner"]["mean"]) == ({"judge": 0.5}, None, None)
    assert row["probes"]["rows"][0]["measured"] == {"gain": 0.25}
    (proposal,) = data["actor"]["rows"]
    assert (proposal["measured"], proposal["executed"]) == ({"rejected": 1.0}, False)


def test_a_file_says_what_it_leaves_out() -> None:
    few = shown(CandidateLimits(rows=1, text_chars=4))
    assert few["planner"]["omitted"] == 2
    assert few["actor"]["rows"][0]["response"] == "word… (1 more characters)"
    records = [EpisodeRecord(trajectory=trunk(f"e{number}", steps=3)) for number in range(2)]
    whole = page_data(records, None, max_side_px=100)
    assert whole["steps_cut"] == 0
    size = len(json.dumps(whole["episodes"][0]["steps"][0]["candidates"], ensure_ascii=False).encode())
    cut = page_data(records, None, max_side_px=100, candidates_bytes=4 * size)
    assert cut["steps_cut"] == 2
    assert [step["candidates"] for step in cut["episodes"][1]["steps"][1:]] == [{"num_samples": 11}] * 2
    assert IN_A_FILE.rows < SERVED.rows


def test_texts_of_any_length_make_a_page_of_bounded_size() -> None:
    long = EpisodeRecord(trajectory=replace(trunk(), goal="x" * 5_000_000))
    data = page_data([long], {"trunk": [StepAnnotation(reward=1.0)]}, max_side_px=100)
    assert len(json.dumps(data)) < 100_000
    assert data["episodes"][0]["goal"].endswith("(4,980,000 more characters)")


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a foresight training, with an episode that a person corrected beside its trunk."""
    folder = tmp_path_factory.mktemp("training")
    picture = Screenshot.from_image(Image.new("RGB", (100, 200), (240, 240, 250)))
    plain = trunk(steps=2)
    seen = replace(
        plain, steps=tuple(replace(step, screenshot_sha256=picture.sha256) for step in plain.steps)
    )
    refused = [candidate(CandidateKind.ACTION, branch, action=MISS, rejected=1.0) for branch in (1, 2)]
    by_person = replace(seen.steps[0], executed=HIT, source=ActionSource.HUMAN, candidates=tuple(refused))
    corrected = replace(seen, episode_id="corrected", group_id="", update=1, steps=(by_person,))
    store = TrajectoryStore.create(folder / "trajectories")
    pictures = {picture.sha256: picture}
    store.append([EpisodeRecord(trajectory=each, screenshots=pictures) for each in (seen, corrected)])
    settings = {
        "data": "x",
        "output_dir": "x",
        "num_generations": 4,
        "algorithm": "foresight",
        "agent": "hierarchical",
    }
    (folder / "checkpoint-1").mkdir()
    (folder / "checkpoint-1" / "config.json").write_text(json.dumps({**settings, "filter_std": 0.0}))
    return folder


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    from devices.browser.chromium import find_chromium

    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(find_chromium()), args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        problems: list[str] = []
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.on("console", lambda message: problems.append(message.text))
        yield opened
        browser.close()
    assert problems == []


def read_a_trunk(page: Any) -> None:
    """What a reader finds at the first step of the trunk, with keys alone."""
    assert page.locator(".switches button[aria-pressed=true]").inner_text() == "probes"
    legend = page.locator(".legend.marks li").all_inner_texts()
    assert [re.sub(r"\s+", " ", words) for words in legend] == [
        "A tap a ×2 executed",
        "B tap b",
        "C no subgoal (nowhere)",
    ]
    # The probes of A hit two places, that of B one of the same: its letter stands beside, with a line.
    assert sorted(page.locator(".overlay .letter").all_text_contents()) == ["A", "A", "B"]
    rows = [re.sub(r"\s+", " ", words) for words in page.locator("ol.candidates li").all_inner_texts()]
    assert rows[0].startswith("A tap a ×2 executed 0.55 ")
    assert rows[0].endswith("format 0.1 · execution 0.45 probed: click (50, 60) → 1 · click (5, 6) → 0")
    assert rows[1].startswith("B tap b 1 1.")
    assert rows[2].startswith("C no subgoal format 0 −1.")
    assert rows[3].startswith("1 click (5, 6) executed 0.5 ")
    strip = page.locator(".timeline tr.numbers th").all_inner_texts()
    planner = ["planner reward", "· format", "· execution", "· mean of its group", "planner advantage"]
    assert strip[:5] == planner
    assert strip[5:] == ["actor reward", "· format", "· type", "· exact", *planner[3:4], "actor advantage"]

    page.keyboard.press("c")
    assert sorted(page.locator(".overlay .letter").all_text_contents()) == ["1", "2"]
    page.keyboard.press("c")
    assert page.locator(".overlay .letter").count() == 0
    page.keyboard.press("c")
    page.focus("[data-focus=probes1]")
    page.keyboard.press("Enter")
    assert page.locator(".overlay .letter").all_text_contents() == ["B"]
    assert page.evaluate("document.activeElement.dataset.focus") == "probes1"
    assert page.get_attribute("[data-focus=probes1]", "aria-pressed") == "true"
    page.keyboard.press("ArrowRight")
    assert page.inner_text(".stephead b") == "step 2 of 2"
    assert page.locator(".overlay .letter").count() == 3
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1280, "height": 900})


def read_a_correction(page: Any) -> None:
    """A person's step beside what the agent had proposed."""
    assert page.locator(".switches button[aria-pressed=true]").inner_text() == "executed"
    assert page.locator(".shot .mark.human").count() == 1
    assert page.locator(".shot .mark.wrong").count() == 1
    assert page.locator(".actions dt").all_inner_texts()[:2] == ["proposed", "instead"]
    assert "human" in page.inner_text(".stephead")
    assert "1 by a person" in page.inner_text(".head")
    assert page.inner_text(".groups h3") == "actor: 2 proposals"
    assert "×2 rejected" in re.sub(r"\s+", " ", page.inner_text("ol.candidates"))


@pytest.mark.browser
def test_groups_on_a_served_page(page: Any, training: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        access = Access(port=listener.getsockname()[1])
        app = Guard(create_viewer([run_source(training)]), access=access)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        base = f"http://127.0.0.1:{access.port}"
        try:
            page.goto(f"{base}/episode/0/trunk?token={access.token}")
            read_a_trunk(page)
            page.goto(f"{base}/episodes?acted=human")
            assert page.inner_text("#tally").startswith("1 of 2 episodes")
            page.click(".episodes .goal a")
            page.wait_for_selector(".stephead")
            read_a_correction(page)
        finally:
            server.should_exit = True
            thread.join()


@pytest.mark.browser
def test_groups_in_one_file(page: Any, training: Path, tmp_path: Path) -> None:
    assert main(["view", str(training), "--output", str(tmp_path / "page.html")]) == 0
    page.goto((tmp_path / "page.html").as_uri())
    read_a_trunk(page)
    page.select_option("select[aria-label=acted]", "human")
    assert page.locator(".list li").count() == 1
    read_a_correction(page)
