"""The served viewer in a real browser: lists, steps, siblings, comparisons, curves; and who is kept out."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from PIL import Image

from gui_agent.actions import Click, Finish
from gui_agent.agent import RoleCompletion
from gui_agent.cli.main import main
from gui_agent.cli.view import run_source, training_settings
from gui_agent.device import ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import ConfigError
from gui_agent.matching import MatchResult
from gui_agent.observation import Box, Screenshot
from gui_agent.policy import AgentRole, Completion, FinishReason
from gui_agent.viewer.app import create_viewer
from gui_agent.viewer.listing import ListQuery, QueryError
from gui_agent.web.access import Access, Guard
from gui_agent.web.serving import ServingOptions
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore
from trajectories.viewer.index import StoreIndex

EVIL = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">'\"&"
PICTURE = Screenshot.from_image(Image.new("RGB", (300, 600), (30, 120, 200)))
SMALL = Screenshot.from_image(Image.new("RGB", (90, 150), (20, 90, 30)))
SIBLINGS = 4


def completion(role: AgentRole) -> RoleCompletion:
    return RoleCompletion(
        role=role,
        completion=Completion(
            prompt_token_ids=(1, 2),
            image_grids=(),
            token_ids=(3, 4),
            logprobs=(-0.5, -1.5),
            text="tap",
            finish_reason=FinishReason.STOP,
            policy_version=7,
        ),
        image_sha256s=(),
    )


def episode(group: int, sibling: int, *, goal: str, update: int, planned: bool = False) -> EpisodeRecord:
    """Three steps as a replay has them; the expert takes over at the second of every odd sibling."""
    patched = bool(sibling % 2)
    expert = ExpertAction(
        action=Click(x=50, y=60), boxes=(Box(left=40, top=50, right=60, bottom=70),), thought="there"
    )
    roles = (AgentRole.PLANNER, AgentRole.ACTOR) if planned else (AgentRole.ACTOR,)
    steps = []
    for index in range(3):
        wrong = patched and index == 1
        asked = Click(x=5, y=6) if wrong else expert.action if index < 2 else Finish()
        steps.append(
            Step(
                index=index,
                screenshot_sha256=PICTURE.sha256,
                width_px=PICTURE.width_px,
                height_px=PICTURE.height_px,
                requested=asked,
                executed=expert.action if index < 2 else asked,
                source=ActionSource.PATCH if wrong else ActionSource.POLICY,
                expected=expert if index < 2 else ExpertAction(action=Finish()),
                match=MatchResult(
                    type_match=True, exact_match=not wrong, reason="off target" if wrong else ""
                ),
                thought=goal,
                completions=tuple(completion(role) for role in roles),
            )
        )
    trajectory = Trajectory(
        episode_id=f"u{update:05d}-g{group:04d}-e{sibling:02d}",
        task_id=f"task/{group}",
        template=("alarm", "contact")[group % 2],
        suite="suite",
        goal=goal,
        steps=tuple(steps),
        stop=StopReason.PATCH_BUDGET_SPENT if patched else StopReason.FINISHED,
        outcome=Outcome(verdict=Verdict.FAILURE if patched else Verdict.SUCCESS, progress=0.5),
        group_id=f"u{update:05d}-g{group:04d}",
        update=update,
        policy="tiny",
        split="train",
        final_screenshot_sha256=SMALL.sha256,
    )
    pictures = {PICTURE.sha256: PICTURE, SMALL.sha256: SMALL}
    return EpisodeRecord(trajectory=trajectory, screenshots=pictures)


def make_run(folder: Path, *, groups: int, trained: bool = True) -> Path:
    """The folder of a training: two updates, siblings in groups, metrics, settings in a checkpoint."""
    store = TrajectoryStore.create(folder / "trajectories")
    for update in range(2):
        store.append(
            episode(
                group,
                sibling,
                goal=EVIL if group == 1 else f"set alarm {group}",
                update=update,
                planned=update == 1,
            )
            for group in range(groups)
            for sibling in range(SIBLINGS)
        )
    if trained:
        lines = [{"update": n + 1, "reward": 0.5 + n / 4, "loss": None if n else 0.1} for n in range(3)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"upd')
        settings = {
            "data": "x",
            "output_dir": "x",
            "num_generations": SIBLINGS,
            "algorithm": "grpo",
            "filter_std": 0.0,
            "old": 1,
        }
        (folder / "checkpoint-2").mkdir()
        (folder / "checkpoint-2" / "config.json").write_text(json.dumps(settings))
    return folder


@dataclass(frozen=True)
class Served:
    base: str
    access: Access

    @property
    def entrance(self) -> str:
        return f"{self.base}/?token={self.access.token}"


def serve(*folders: Path, password: str | None = None) -> Iterator[Served]:
    listener = socket.create_server(("127.0.0.1", 0))
    access = Access(port=listener.getsockname()[1], password=password)
    app = Guard(create_viewer([run_source(folder) for folder in folders]), access=access)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield Served(f"http://127.0.0.1:{access.port}", access)
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("runs")
    return make_run(root / "before", groups=8), make_run(root / "after", groups=3, trained=False)


@pytest.fixture(scope="module")
def served(runs: tuple[Path, Path]) -> Iterator[Served]:
    yield from serve(*runs)


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.base, follow_redirects=True) as found:
        assert found.get(served.entrance).status_code == 200
        yield found


def _lost(request: Any) -> list[str]:
    """What a reader would miss; a picture that is no longer wanted, because the page was left, is not."""
    return [] if request.failure == "net::ERR_ABORTED" else [f"{request.url}: {request.failure}"]


@pytest.fixture
def page(chromium: Any, served: Served) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text))
    opened.on("requestfailed", lambda request: problems.extend(_lost(request)))
    opened.goto(served.entrance)
    yield opened
    assert opened.title() != "owned"
    context.close()
    assert problems == []


def rows(page: Any) -> Any:
    return page.locator(".episodes tbody tr")


def step_shown(page: Any) -> str:
    return str(page.inner_text(".stephead b"))


@pytest.mark.browser
def test_a_list_is_filtered_and_an_episode_read_with_keys(page: Any, served: Served) -> None:
    assert "token" not in page.url
    assert page.inner_text("#tally").startswith("64 of 64 episodes · 32 of 64 scored succeed")
    assert rows(page).count() == 50
    page.keyboard.press("n")
    page.wait_for_url("**page=2")
    assert rows(page).count() == 14
    page.select_option("select[name=verdict]", "failure")  # sends the form at once
    page.wait_for_url("**verdict=failure**")
    page.select_option("select[name=template]", "alarm")
    page.wait_for_url("**template=alarm**")
    assert page.inner_text("#tally").startswith("16 of 64")

    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector(".stephead")
    assert "/episode/0/u00000-g0000-e03?" in page.url
    assert step_shown(page) == "step 1 of 3"
    page.keyboard.press("ArrowRight")
    assert step_shown(page) == "step 2 of 3"
    assert "patched" in page.inner_text(".stephead")
    assert page.locator(".shot rect.dashed").count() == 1
    assert page.url.endswith("step=2")
    page.keyboard.press("End")
    assert step_shown(page) == "after the last step"

    page.keyboard.press("j")  # the next one of the same list
    page.wait_for_url("**/u00000-g0002-e01?**")
    assert "3 of 16" in page.inner_text(".pages")
    page.keyboard.press("k")
    page.wait_for_url("**/u00000-g0000-e03?**")
    page.keyboard.press("u")
    page.wait_for_selector(".episodes")
    assert page.inner_text("#tally").startswith("16 of 64")


@pytest.mark.browser
def test_a_step_has_an_address_and_shows_what_training_made_of_it(page: Any, served: Served) -> None:
    page.goto(f"{served.base}/episode/0/u00000-g0000-e01?step=2")
    assert step_shown(page) == "step 2 of 3"
    strip = {
        row.locator("th").inner_text(): row.locator("td").all_inner_texts()
        for row in page.locator(".timeline tr.numbers").all()
    }
    assert set(strip) == {"reward", "· format", "· type", "· exact", "return", "advantage"}
    # ui_s1: 0.1 format, 0.4 type and 0.5 exact; grpo has one advantage for a whole episode.
    assert strip["reward"] == ["1", "0.5", "1"]
    assert strip["· exact"] == ["0.5", "0", "0.5"]
    assert all(value.startswith("−") for value in strip["advantage"])
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    page.goto(f"{served.base}/episode/0/u00000-g0000-e01?step=999")
    assert step_shown(page) == "after the last step"


@pytest.mark.browser
def test_siblings_are_shown_with_their_steps_in_columns(page: Any, served: Served) -> None:
    page.goto(f"{served.base}/episodes?q=alarm+4&update_from=1")
    page.keyboard.press("j")
    page.keyboard.press("g")
    page.wait_for_selector(".lane")
    assert page.locator(".lane").count() == SIBLINGS
    assert "2 of 4 siblings succeed" in page.inner_text(".facts >> nth=0")
    page.keyboard.press("j")
    page.keyboard.press("ArrowRight")
    assert page.locator(".lane.chosen .badge").all_inner_texts()[-1] == "1 patched"
    assert page.locator(".thumb.on").count() == SIBLINGS
    page.keyboard.press("Enter")
    page.wait_for_selector(".stephead")
    assert "u00001-g0004-e01?step=2" in page.url


@pytest.mark.browser
def test_two_runs_beside_each_other(page: Any, served: Served) -> None:
    page.goto(f"{served.base}/tasks?q=alarm+2")
    assert page.locator(".episodes th.num").count() == 3
    page.click("text=compare")
    page.wait_for_selector(".lane >> nth=1")
    assert "left=0%2Fu00001-g0002-e03&right=1%2Fu00001-g0002-e03" in page.url
    page.keyboard.press("ArrowRight")
    assert page.locator(".stephead b").all_inner_texts() == ["step 2 of 3"] * 2
    page.locator(".heads a", has_text="previous").first.click()
    page.wait_for_url("**left=0%2Fu00001-g0002-e02&**")

    page.goto(f"{served.base}/episodes")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.click("#compare")
    page.wait_for_selector(".lane >> nth=1")
    assert "right=0%2Fu00000-g0000-e01" in page.url


@pytest.mark.browser
def test_pages_fit_a_phone_and_nothing_is_read_as_markup(page: Any, served: Served) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    paths = ("/episodes?q=owned", "/episode/0/u00000-g0001-e00", "/group/0/u00000-g0001", "/tasks", "/curves")
    for path in (*paths, "/compare?task=task/1"):
        page.goto(served.base + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert page.title() != "owned"
    page.goto(served.base + "/episode/0/u00000-g0001-e00")
    assert page.inner_text(".head h2") == EVIL
    page.goto(served.base + "/curves")
    assert page.locator("svg.chart").count() == 1  # the loss has one value


@pytest.mark.browser
def test_another_site_gets_nothing(chromium: Any, served: Served) -> None:
    """A page from elsewhere, in a browser that holds the cookie, can neither read, embed nor frame."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(served.entrance)
    elsewhere = served.base.replace("127.0.0.1", "localhost")  # another host, and so another site
    page.goto(elsewhere)
    assert "holds the token" in page.inner_text("body")
    found = page.evaluate(
        """async (base) => {
          const asked = fetch(base + "/episodes", { credentials: "include" });
          const read = await asked.then(() => "read", () => "no");
          const image = await new Promise((done) => {
            const picture = new Image();
            picture.onload = () => done("shown");
            picture.onerror = () => done("no");
            picture.src = base + "/screens/0/SHA";
          });
          return [read, image];
        }""".replace("SHA", PICTURE.sha256),
        served.base,
    )
    assert found == ["no", "no"]
    context.close()


def test_without_the_token_nothing_is_served(served: Served) -> None:
    paths = ["/", "/episodes", f"/screens/0/{PICTURE.sha256}", "/static/page.css", "/nothing"]
    for path in paths:
        answer = httpx.get(served.base + path)
        assert (answer.status_code, "token of this run" in answer.text) == (403, True)
    for wrong in ("x", "", "é", served.access.token + "x"):
        assert httpx.get(served.base, params={"token": wrong}).status_code == 403
        cookies = {served.access.cookie: wrong.encode("ascii", "replace").decode()}
        assert httpx.get(served.base + "/episodes", cookies=cookies).status_code == 403
    assert served.access.token not in repr(served.access)


def test_a_token_does_not_open_the_ways_of_other_sites(client: httpx.Client, served: Served) -> None:
    assert client.get("/episodes", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/episodes", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/episodes", headers=link).status_code == 200
    assert client.post("/episodes", headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post("/episodes").status_code == 405
    assert client.get("/episodes?q=" + "x" * 9000).status_code == 414
    headers = client.get("/episodes").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert (headers["x-frame-options"], headers["cache-control"]) == ("DENY", "no-store")
    # The token leaves the address, and the way on stays on this computer.
    onward = httpx.get(f"{served.base}//evil.example/x?q=1&token={served.access.token}")
    assert (onward.status_code, onward.headers["location"]) == (303, "/evil.example/x?q=1")
    assert "HttpOnly" in onward.headers["set-cookie"]


def test_pictures_are_found_by_hash_and_kept_by_the_browser(client: httpx.Client) -> None:
    answer = client.get(f"/screens/0/{PICTURE.sha256}")
    assert (answer.content, answer.headers["content-type"]) == (PICTURE.data, "image/png")
    assert "immutable" in answer.headers["cache-control"]
    tag = {"if-none-match": answer.headers["etag"]}
    assert client.get(f"/screens/0/{PICTURE.sha256}", headers=tag).status_code == 304
    small = client.get(f"/screens/0/{PICTURE.sha256}?side=256")
    assert Screenshot.from_bytes(small.content).height_px == 256
    for name in ("..%2f..%2fmeta.json", "%2e%2e/meta.json", PICTURE.sha256.upper(), "0" * 64, "x"):
        assert client.get(f"/screens/0/{name}").status_code == 404
    assert client.get(f"/screens/0/{PICTURE.sha256}?side=99999").status_code == 400
    for path in ("/static/app.py", "/static/..%2fapp.py", "/static/../app.py"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/episodes?page=-1", 400, "page is '-1'"),
        ("/episodes?reward_from=nan", 400, "reward_from is 'nan'"),
        ("/episodes?sort=x", 400, "sort is 'x'; expected one of number"),
        ("/episodes?run=9", 404, "no run 9"),
        ("/episode/0/absent", 404, "no episode 'absent'"),
        ("/group/0/absent", 404, "no group 'absent'"),
        ("/compare", 400, "left is ''; expected RUN/EPISODE"),
        ("/compare?task=absent", 404, "no two episodes"),
    ],
)
def test_addresses_that_name_nothing(client: httpx.Client, path: str, status: int, message: str) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert message in answer.text


def test_a_list_in_any_order(runs: tuple[Path, Path]) -> None:
    entries = StoreIndex(runs[0] / "trajectories").refresh().entries
    totals = {entry.episode_id: float(entry.number) for entry in entries[:4]}

    def chosen(**params: str) -> list[int]:
        return [entry.number for entry in ListQuery.parse(params).choose(entries, totals)]

    assert chosen(reward_from="1", reward_to="2") == [1, 2]
    assert chosen(sort="-reward")[:5] == [3, 2, 1, 0, 4]  # unknown rewards come last, both ways
    assert chosen(sort="reward")[:4] == [0, 1, 2, 3]
    assert chosen(task="task/3", update_to="0", acted="patched") == [13, 15]
    assert chosen(kind="hierarchical") == chosen(update_from="1") == list(range(32, 64))
    assert chosen(acted="human") == []
    assert chosen(q="ALARM g0004 e02") == [18, 50]
    query = ListQuery.parse({"template": "alarm", "page": "3", "sort": "-steps"})
    assert query.address(page=1) == "/episodes?template=alarm&sort=-steps"
    with pytest.raises(QueryError, match="501 characters"):
        ListQuery.parse({"q": "x" * 501})


def test_what_is_appended_or_cut_is_seen(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", groups=2)
    store = TrajectoryStore.open(run / "trajectories")
    for served in serve(run):
        with httpx.Client(base_url=served.base, follow_redirects=True) as client:
            assert "16 of 16" in client.get(served.entrance).text
            store.append(episode(9, 0, goal="late", update=2))
            assert client.get("/episode/0/u00002-g0009-e00").status_code == 200
            assert "17 of 17" in client.get("/episodes").text
            store.truncate(10)
            assert "10 of 10" in client.get("/episodes").text
            damaged = min((run / "trajectories").glob("steps-*"))
            damaged.write_bytes(damaged.read_bytes()[:100])
            assert client.get("/episode/0/u00000-g0000-e00").status_code == 500
    assert any("steps-" in words for words in StoreIndex(run / "trajectories").refresh().damage)


def test_rewards_come_from_the_newest_checkpoint_or_by_name(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", groups=1)
    assert "grpo with reward ui_s1" in run_source(run).about_rewards
    assert run_source(run, reward="task").about_rewards == "rewards are task"
    (run / "checkpoint-10").mkdir()
    impossible = {"data": "x", "output_dir": "x", "num_generations": -1}
    (run / "checkpoint-10" / "config.json").write_text(json.dumps(impossible))
    assert training_settings(run) == impossible
    source = run_source(run)
    assert source.scorer is None
    assert "cannot be computed: num_generations" in source.about_rewards


def test_with_a_password_others_sign_in(runs: tuple[Path, Path]) -> None:
    for served in serve(runs[1], password="open sesame 123"):
        with httpx.Client(base_url=served.base, headers={"host": "box.example"}) as client:
            assert client.get("/episodes").status_code == 401
            wrong = client.post("/sign-in", data={"password": "open sesame"})
            assert (wrong.status_code, "not the password" in wrong.text) == (403, True)
            assert client.post("/sign-in", data={"password": "x" * 9999}).status_code == 403
            right = {"password": "open sesame 123"}
            stranger = {"origin": "http://evil.example"}
            assert client.post("/sign-in", data=right, headers=stranger).status_code == 403
            signed_in = client.post("/sign-in", data=right)
            assert signed_in.status_code == 303
            cookie = {"cookie": signed_in.headers["set-cookie"].partition(";")[0]}
            assert client.get("/episodes", headers=cookie).status_code == 200


def test_other_computers_come_only_by_consent_and_with_a_password(
    monkeypatch: pytest.MonkeyPatch, runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["view", str(runs[0]), "--serve", "--host", "0.0.0.0"]
    assert main(words) == 2
    assert "can be reached from other computers" in capsys.readouterr().err
    assert main([*words, "--allow-remote"]) == 2
    assert "allow_remote needs a password" in capsys.readouterr().err
    monkeypatch.setenv("VIEW_PASSWORD", "short")
    options = ServingOptions(host="0.0.0.0", allow_remote=True, password_env="VIEW_PASSWORD")
    with pytest.raises(ConfigError, match="holds 5 characters"):
        options.password()
    assert main(["view", str(runs[0]), "--serve", "--output", "x.html"]) == 2
    assert main(["view", str(runs[0]), "--compare", str(runs[1])]) == 2
    assert main(["view", str(runs[0]), "--serve", "--compare", str(runs[0])]) == 2
    assert "shown already" in capsys.readouterr().err


def test_the_address_is_printed_once(runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command itself, but for the waiting: it prints an address that opens the list."""
    printed: list[str] = []

    async def answer(self: uvicorn.Server, sockets: list[socket.socket]) -> None:
        printed.append(str(sockets[0].getsockname()))

    monkeypatch.setattr(uvicorn.Server, "serve", answer)
    output: list[str] = []
    monkeypatch.setattr("builtins.print", lambda *words, **_: output.append(" ".join(map(str, words))))
    codes: list[int] = []
    # In a thread of its own: the browser of other tests keeps an event loop in this one.
    thread = threading.Thread(target=lambda: codes.append(main(["view", str(runs[0]), "--serve"])))
    thread.start()
    thread.join()
    assert codes == [0]
    assert len(printed) == 1
    assert re.search(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}$", output[0])
