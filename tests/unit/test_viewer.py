"""Pages: what they contain, and that nothing in an episode is read as markup."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gui_agent.actions import Action, Click, Finish, ParseError, Swipe, TypeText
from gui_agent.agent import RoleCompletion
from gui_agent.device import ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import DataError
from gui_agent.matching import MatchResult
from gui_agent.observation import Box, Screenshot
from gui_agent.policy import AgentRole, Completion, FinishReason
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore
from trajectories.viewer import (
    Chart,
    Comparison,
    ComparisonRow,
    Rate,
    RunReport,
    Series,
    StepAnnotation,
    Table,
    write_report,
    write_viewer,
)
from trajectories.viewer.charts import draw_chart, ticks

EVIL = "</script><script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">'\"&"


def picture(width: int, height: int) -> Screenshot:
    return Screenshot.from_image(Image.new("RGB", (width, height), (30, 120, 200)))


def record(
    name: str = "e1",
    *,
    text: str = "Turn it on",
    shot: Screenshot | None = None,
    verdict: Verdict = Verdict.SUCCESS,
    requests: tuple[Action | ParseError, ...] = (Click(x=10, y=20), Finish()),
) -> EpisodeRecord:
    shot = shot or picture(100, 200)
    completion = Completion(
        prompt_token_ids=(1, 2),
        image_grids=(),
        token_ids=(3, 4),
        logprobs=(-0.5, -1.5),
        text=f"raw {text}",
        finish_reason=FinishReason.STOP,
        policy_version=7,
    )
    expert = ExpertAction(
        action=Click(x=50, y=60), boxes=(Box(left=40, top=50, right=60, bottom=70),), thought=text
    )
    steps = tuple(
        Step(
            index=index,
            screenshot_sha256=shot.sha256,
            width_px=shot.width_px,
            height_px=shot.height_px,
            requested=request,
            executed=expert.action
            if index == 0
            else request
            if not isinstance(request, ParseError)
            else None,
            source=ActionSource.PATCH if index == 0 else ActionSource.POLICY,
            error=text if index == 0 else None,
            expected=expert,
            match=MatchResult(type_match=True, exact_match=False, reason=text),
            thought=text,
            subgoal=text,
            foreground_app=text,
            completions=(RoleCompletion(role=AgentRole.ACTOR, completion=completion, image_sha256s=()),),
            raw_action=text,
        )
        for index, request in enumerate(requests)
    )
    trajectory = Trajectory(
        episode_id=name,
        task_id=text,
        template=text,
        suite=text,
        goal=text,
        steps=steps,
        stop=StopReason.FINISHED,
        outcome=Outcome(verdict=verdict, detail=text),
        group_id=text,
        policy=text,
    )
    return EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot})


class Tags(HTMLParser):
    """All tags of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="episode-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found.group(1))
    return data


NOTES = {
    "e1": [
        StepAnnotation(
            reward=0.5, parts={"format": 0.1, "type": 0.4}, return_=1.0, advantages={"step": -1.25}
        ),
        StepAnnotation(reward=float("nan")),
    ]
}


def test_a_page_holds_every_figure_and_loads_nothing(tmp_path: Path) -> None:
    page = write_viewer([record()], tmp_path / "deep" / "page.html", annotations=NOTES).read_text()
    (episode,) = data_of(page)["episodes"]
    first, second = episode["steps"]
    assert first["note"] == {
        "reward": 0.5,
        "parts": {"format": 0.1, "type": 0.4},
        "return": 1.0,
        "advantages": {"step": -1.25},
    }
    assert list(first["note"]["parts"]) == ["format", "type"]
    assert second["note"]["reward"] is None
    assert (first["requested"]["points"], first["executed"]["points"]) == ([[10, 20]], [[50, 60]])
    assert first["expected"]["boxes"] == [[40, 50, 60, 70]]
    assert (first["source"], first["same"], second["same"]) == ("patch", False, True)
    assert first["completions"][0]["mean_logprob"] == -1.0
    for tag, attributes in Tags(page).tags:
        assert tag not in ("link", "iframe", "object"), tag
        assert not {"src", "href"} & set(attributes), (tag, attributes)
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page


def test_nothing_in_an_episode_is_markup(tmp_path: Path) -> None:
    evil = record(text=EVIL, requests=(ParseError(reason=EVIL, text=EVIL), TypeText(text=EVIL)))
    page = write_viewer([evil], tmp_path / "page.html", title=EVIL, subtitle=EVIL).read_text()
    tags = [tag for tag, _ in Tags(page).tags]
    assert tags.count("script") == 2
    assert "img" not in tags
    assert data_of(page)["episodes"][0]["goal"] == EVIL
    assert "innerHTML" not in page
    report = RunReport(
        title=EVIL,
        summary=EVIL,
        comparisons=[Comparison(title=EVIL, rows=[ComparisonRow(task=EVIL, before=None, after=None)])],
        charts=[Chart(title=EVIL, x_label=EVIL, y_label=EVIL, series=[Series(name=EVIL, xs=[0], ys=[1])])],
        tables=[Table(title=EVIL, columns=[EVIL], rows=[[EVIL]])],
        settings={EVIL: EVIL},
        environment={EVIL: EVIL},
        episodes=[evil],
    )
    tags = [tag for tag, _ in Tags(write_report(tmp_path / "report.html", report).read_text()).tags]
    assert tags.count("script") == 2
    assert "img" not in tags


def test_large_pictures_are_scaled_and_missing_ones_are_said_to_be(tmp_path: Path) -> None:
    large = picture(1080, 2400)
    store = TrajectoryStore.create(tmp_path / "s")
    store.append([record("e1"), record("e2", shot=large)])
    page = write_viewer(store, tmp_path / "page.html", max_side_px=300).read_text()
    images = data_of(page)["images"]
    assert images[large.sha256].startswith("data:image/webp;base64,")
    assert images[picture(100, 200).sha256].startswith("data:image/png;base64,")
    file = store.screenshots.file(large.sha256)
    assert file is not None
    file.write_bytes(b"damaged")
    images = data_of(write_viewer(store, tmp_path / "page.html").read_text())["images"]
    assert images[large.sha256] == ""


def test_the_limit_counts_episodes_and_no_episode_is_no_error(tmp_path: Path) -> None:
    page = write_viewer([record(f"e{n}") for n in range(5)], tmp_path / "page.html", limit=2).read_text()
    assert [episode["id"] for episode in data_of(page)["episodes"]] == ["e0", "e1"]
    empty = write_viewer([], tmp_path / "empty.html").read_text()
    assert "no episodes" in empty
    assert "<script" not in empty


def test_a_report_shows_change_intervals_and_what_was_not_scored(tmp_path: Path) -> None:
    rows = [
        ComparisonRow(
            task="open app",
            before=Rate(value=0.25, low=0.1, high=0.4, count=40),
            after=Rate(value=0.875, count=40),
        ),
        ComparisonRow(task="reply", before=None, after=Rate(value=0.5)),
    ]
    chart = Chart(
        title="Success",
        x_label="update",
        y_label="rate",
        series=[
            Series(name="one", xs=[0, 1, 2], ys=[0, 0.5, 1], low=[0, 0.4, 0.9], high=[0.1, 0.6, 1]),
            Series(name="two", xs=[0, 1, 2], ys=[0, math.nan, 1]),
        ],
    )
    report = RunReport(
        title="Run",
        comparisons=[Comparison(title="Held out", rows=rows)],
        charts=[chart],
        tables=[Table(title="Times", columns=["part", "s"], rows=[["sampling", 1.23456], ["none", None]])],
        settings={"learning_rate": 1e-4},
    )
    page = write_report(tmp_path / "report.html", report).read_text()
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    for words in (
        "25 % [10, 40]",
        "87.5 %",
        "+62.5",
        "40 / 40",
        "reply – 50 %",
        "1.235",
        "learning_rate 0.0001",
    ):
        assert words in text, words
    assert 'aria-label="Success: rate over update"' in page
    assert page.count('<path class="line"') == 2
    assert page.count('<path class="band"') == 1
    assert "Episodes" not in text


def test_a_gap_interrupts_a_curve_and_round_numbers_mark_the_axes() -> None:
    gap = Series(name="gap", xs=[0, 1, 2, 3], ys=[1, 2, math.nan, 4])
    drawing = draw_chart(Chart(title="t", x_label="x", y_label="y", series=[gap]))
    assert drawing.curves[0].line.count("M") == 2
    assert [tick.label for tick in drawing.y_ticks] == ["1", "2", "3", "4"]
    assert all(drawing.top <= tick.at <= drawing.bottom for tick in drawing.y_ticks)
    assert ticks(0.0, 1.0) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(-3e-4, 5e-4) == pytest.approx([-2e-4, 0, 2e-4, 4e-4])
    flat = draw_chart(Chart(title="t", x_label="x", y_label="y", series=[Series(name="a", xs=[5], ys=[0])]))
    assert flat.curves[0].points[0].label == "a: 5, 0"


def test_curves_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(DataError, match="equally many"):
        Series(name="a", xs=[0, 1], ys=[0])
    nothing = Chart(title="t", x_label="x", y_label="y", series=[Series(name="a", xs=[0], ys=[math.nan])])
    with pytest.raises(DataError, match="no finite point"):
        draw_chart(nothing)


@pytest.mark.browser
async def test_the_page_works_in_a_browser(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.async_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on the path")
    swipe = Swipe(x=10, y=150, to_x=10, to_y=20)
    records = [
        record("first", text="Mute it", requests=(Click(x=10, y=20), swipe, Finish())),
        record("second", text=EVIL, verdict=Verdict.FAILURE),
    ]
    final = replace(records[0].trajectory, final_screenshot_sha256=next(iter(records[0].screenshots)))
    records[0] = replace(records[0], trajectory=final)
    page_file = write_viewer(
        records, tmp_path / "page.html", annotations={"first": NOTES["e1"]}, title="Look"
    )
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text))
        await page.goto(page_file.as_uri())
        assert await page.inner_text(".head h2") == "Mute it"
        assert "patched" in await page.inner_text(".stephead")
        assert await page.locator(".shot rect.dashed").count() == 1
        await page.keyboard.press("ArrowRight")
        assert await page.inner_text(".stephead b") == "step 2 of 3"
        assert await page.locator(".shot path.mark.done").count() == 1
        await page.keyboard.press("o")
        assert await page.locator(".overlay").count() == 0
        await page.keyboard.press("End")
        assert await page.inner_text(".stephead b") == "after the last step"
        await page.keyboard.press("j")
        assert await page.inner_text(".head h2") == EVIL
        await page.select_option("select[aria-label=outcome]", "success")
        assert await page.locator(".list li").count() == 1
        assert await page.title() == "Look"
        assert problems == []
        await browser.close()
