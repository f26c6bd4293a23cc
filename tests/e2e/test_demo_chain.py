"""From a goal over a person's corrections to the viewer and to a trained model, through the real commands."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gui_agent.actions import Click
from gui_agent.cli.main import main
from gui_agent.device import ActionSource, StopReason, Verdict
from trajectories.store import TrajectoryStore

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=document.title='owned'>"
"""A name that a folder may have."""


@contextmanager
def command(*words: str | Path) -> Iterator[str]:
    """A command that serves a page, in a process of its own; gives the address, ends it as Ctrl-C does."""
    line = [sys.executable, "-m", "gui_agent.cli.main", *map(str, words)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http\S+", process.stdout.readline())
            assert found is not None
            yield found.group()
            process.send_signal(signal.SIGINT)
            assert process.wait(60) in (0, 130)
        finally:
            process.kill()


def test_from_a_task_over_a_correction_to_the_viewer_and_to_training(
    tmp_path: Path, open_page: Callable[..., Any], tiny_model_dir_qwen3: Path
) -> None:
    store = tmp_path / EVIL
    with command("demo", "--task", "phone/quickstart:set_alarm:5", "--expert", "--store", store) as address:
        page = open_page(address)
        page.check("#approve-each")
        page.click("#run")
        page.wait_for_selector("#approve:visible")
        assert page.locator("#marks .mark.proposed").count() == 1  # drawn before it is done
        page.click("#approve")
        expect(page.locator("#steps li")).to_have_count(1)
        page.wait_for_selector("#approve:visible")
        page.keyboard.press("Escape")
        page.wait_for_selector("#end:visible")
        assert "stopped by you" in page.inner_text("#end")
        page.click("#end [data-verdict=success]")
        page.wait_for_selector("#end [data-verdict=success][aria-pressed=true]")

        page.click("#run")
        page.wait_for_selector("#approve:visible")
        page.locator("#screen").click(position={"x": 5, "y": 5})
        page.fill("#edit-why", "nothing is there")
        page.click("#edit-send")
        expect(page.locator("#steps li")).to_have_count(1)
        assert "review" in page.inner_text("#times")
        page.uncheck("#approve-each")  # the rest goes by itself
        expect(page.locator("#end")).to_contain_text("finished")
        expect(page.locator("#end .badge")).to_have_text("success")
        assert "preview" in page.inner_text("#times")
        with page.expect_download() as download:
            page.click("#end >> text=Export")
            page.click("#exports a")
        with zipfile.ZipFile(download.value.path()) as exported:
            assert any(name.endswith(".parquet") for name in exported.namelist())
        with page.expect_popup() as opened:
            page.click("#end >> text=Open in viewer")
        viewer = opened.value
        viewer.wait_for_selector(".stephead")
        assert "human" in viewer.inner_text(".stephead")
        viewer.goto(viewer.url.partition("/episode")[0] + "/episodes")
        assert EVIL in viewer.inner_text("header, nav, body")
        page.context.close()

    stopped, finished = TrajectoryStore.open(store)
    assert (stopped.stop, stopped.outcome.verdict) == (StopReason.USER, Verdict.SUCCESS)
    assert "a person says" in stopped.outcome.detail
    assert (finished.stop, finished.outcome.verdict) == (StopReason.FINISHED, Verdict.SUCCESS)
    first, *others = finished.steps
    assert first.source is ActionSource.HUMAN
    assert {step.source for step in others} == {ActionSource.POLICY}
    assert isinstance(first.executed, Click)
    assert first.requested is not None
    assert first.requested != first.executed
    assert first.expected is not None
    assert first.expected.thought == "nothing is there"

    with command("view", store, "--serve") as address:
        page = open_page(address, ready=".episodes")
        page.click(f"a[href*='{finished.episode_id}']")
        page.wait_for_selector(".stephead")
        assert "human" in page.inner_text(".stephead")
        page.context.close()

    words = ["train", "sft", "--model", tiny_model_dir_qwen3, "--data", store, "--max-steps", 1]
    words += ["--format", "compact:snap_px=8", "--no-thoughts", "--output-dir", tmp_path / "sft"]
    assert main(list(map(str, words))) == 0
    assert (tmp_path / "sft" / "model" / "config.json").is_file()
