"""The pages of the viewer.

    /episodes?run=0&template=…&sort=-reward   a list, filtered, in order, by pages
    /episode/0/ID?step=3                      an episode, at a step
    /group/0/ID                               the siblings of one task
    /compare?left=0/ID&right=1/ID             two episodes beside each other
    /tasks                                    every task with its success in each run
    /curves                                   metrics of the training
    /screens/0/HASH                           a picture

Pages are drawn here; two scripts draw actions on screenshots and listen to keys. Everything is escaped, and
nothing is written. Who may come in is decided before, by `gui_agent.web.access`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from operator import attrgetter
from typing import Any, Final
from urllib.parse import quote, urlencode

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from gui_agent.errors import DataError
from gui_agent.viewer.curves import draw_curves, read_lines
from gui_agent.viewer.listing import LONGEST_TEXT, PAGE_SIZE, SORTS, ListQuery, QueryError
from gui_agent.viewer.quiet import Counted, Requests
from gui_agent.viewer.runs import RunSource, ViewedRun
from gui_agent.viewer.screens import screen_response
from gui_agent.viewer.tasks import task_rows
from trajectories.records import Trajectory
from trajectories.viewer.index import EpisodeEntry, Listing
from trajectories.viewer.page import SCRIPTS, STYLE
from trajectories.viewer.payload import episode_data
from trajectories.viewer.shown import shortened

_ASSETS: Final = {
    STYLE: ("trajectories.viewer", "text/css"),
    **dict.fromkeys(SCRIPTS, ("trajectories.viewer", "text/javascript")),
    "viewer.css": ("gui_agent.viewer", "text/css"),
    "lists.js": ("gui_agent.viewer", "text/javascript"),
}
_LARGEST_GROUP: Final = 64


def create_viewer(sources: Sequence[RunSource]) -> Starlette:
    """The application that shows one or more runs; open to everybody, so put a guard before it.

    Raises:
        DataError: a store cannot be opened.
    """
    viewer = Viewer([ViewedRun(source=source, number=number) for number, source in enumerate(sources)])
    requests = Requests()
    for run in viewer.runs:
        if run.credits is not None:
            run.credits.start(requests)
    return Starlette(
        routes=[
            Route("/", viewer.home),
            Route("/episodes", viewer.episodes),
            Route("/episode/{run:int}/{episode_id:path}", viewer.episode),
            Route("/group/{run:int}/{group_id:path}", viewer.group),
            Route("/compare", viewer.compare),
            Route("/tasks", viewer.tasks),
            Route("/curves", viewer.curves),
            Route("/screens/{run:int}/{sha256}", viewer.screen),
            Route("/static/{name}", viewer.asset),
        ],
        middleware=[Middleware(Counted, requests=requests)],
        exception_handlers={HTTPException: viewer.refuse},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An episode that an address names."""

    run: ViewedRun
    entry: EpisodeEntry
    listing: Listing


class Viewer:
    """Draws the pages; Starlette calls these in threads, one for each request."""

    def __init__(self, runs: Sequence[ViewedRun]) -> None:
        """Show these runs."""
        self.runs = runs
        self._templates = Environment(
            loader=ChoiceLoader(
                [PackageLoader("gui_agent.viewer", ""), PackageLoader("trajectories.viewer", "")]
            ),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.policies["json.dumps_kwargs"] = {"sort_keys": False}
        self._templates.globals |= {
            "asset": asset_address,
            "episode_scripts": SCRIPTS,
            "episode_address": episode_address,
            "group_address": group_address,
            "spoken": lambda text: str(text).replace("_", " "),
            "number": _number,
            "shortened": shortened,
        }

    def home(self, request: Request) -> Response:
        """The list of the first run."""
        return RedirectResponse("/episodes", status_code=303)

    def episodes(self, request: Request) -> Response:
        """The list."""
        query = _query(request)
        run = self._run(query.run)
        listing = run.listing()
        totals = {} if run.credits is None else run.credits.totals
        chosen = query.choose(listing.entries, totals)
        pages = max(1, -(-len(chosen) // PAGE_SIZE))
        page = min(query.page, pages)
        shown = chosen[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        scored = sum(entry.verdict != "unscored" for entry in chosen)
        return self._page(
            "list.html.jinja",
            run,
            "Episodes",
            query=query,
            listing=listing,
            facets=_facets(listing),
            shown=shown,
            context=_context(query),
            num_chosen=len(chosen),
            num_scored=scored,
            num_solved=sum(entry.verdict == "success" for entry in chosen),
            page=page,
            pages=pages,
            sorts=SORTS,
        )

    def episode(self, request: Request) -> Response:
        """One episode, with its neighbours in the list it was opened from."""
        found = self._found(request.path_params["run"], request.path_params["episode_id"])
        query = _query(request, run=found.run.number)
        run = found.run
        chosen = query.choose(found.listing.entries, {} if run.credits is None else run.credits.totals)
        ids = [entry.episode_id for entry in chosen]
        at = ids.index(found.entry.episode_id) if found.entry.episode_id in ids else None
        context = _context(query)

        def neighbour(place: int) -> str | None:
            return episode_address(run, ids[place], context) if 0 <= place < len(ids) else None

        return self._page(
            "episode.html.jinja",
            run,
            found.entry.goal,
            data=self._data("episode", [found]),
            entry=found.entry,
            place=None if at is None else at + 1,
            num_chosen=len(ids),
            up=query.address(page=1 if at is None else at // PAGE_SIZE + 1),
            previous=None if at is None else neighbour(at - 1),
            following=None if at is None else neighbour(at + 1),
            siblings=len(found.listing.of_group(found.entry.group_id)) if found.entry.group_id else 0,
        )

    def group(self, request: Request) -> Response:
        """The siblings of one task beside each other, at the same step."""
        run = self._run(request.path_params["run"])
        listing = run.listing()
        name = request.path_params["group_id"]
        siblings = listing.of_group(name)
        if not name or not siblings:
            raise HTTPException(404, f"{run.name} has no group {name!r}")
        shown = [Found(run=run, entry=entry, listing=listing) for entry in siblings[:_LARGEST_GROUP]]
        return self._page(
            "group.html.jinja",
            run,
            f"Group {name}",
            data=self._data("group", shown),
            entry=siblings[0],
            num_siblings=len(siblings),
            num_shown=len(shown),
            num_solved=sum(entry.verdict == "success" for entry in siblings),
        )

    def compare(self, request: Request) -> Response:
        """Two episodes beside each other: named ones, or the last of a task in each run."""
        params = request.query_params
        if task := params.get("task"):
            pair = self._pair_of(task)
            sides = {side: f"{each.run.number}/{each.entry.episode_id}" for side, each in pair.items()}
            return RedirectResponse(f"/compare?{urlencode(sides)}", status_code=303)
        named = [self._named(params.get(side, ""), side) for side in ("left", "right")]
        sides_of = [self._others(number, named) for number in (0, 1)]
        return self._page(
            "compare.html.jinja",
            named[0].run,
            "Compare",
            data=self._data("compare", named),
            named=named,
            sides=sides_of,
            same_task=named[0].entry.task_id == named[1].entry.task_id,
        )

    def tasks(self, request: Request) -> Response:
        """Every task with its success in each run."""
        query = _query(request)
        run = self._run(query.run)
        listings = [each.listing() for each in self.runs]
        rows = task_rows(listings, template=query.template, words=query.q)
        pages = max(1, -(-len(rows) // PAGE_SIZE))
        page = min(query.page, pages)
        return self._page(
            "tasks.html.jinja",
            run,
            "Tasks",
            query=query,
            templates=_templates(listings),
            rows=rows[(page - 1) * PAGE_SIZE : page * PAGE_SIZE],
            num_rows=len(rows),
            page=page,
            pages=pages,
        )

    def curves(self, request: Request) -> Response:
        """Metrics of the trainings."""
        found = {run.name: read_lines(run.metrics) for run in self.runs if run.metrics is not None}
        if not found:
            raise HTTPException(404, "no metrics.jsonl lies beside the store: this is no run of a training")
        return self._page("curves.html.jinja", self.runs[0], "Curves", drawings=draw_curves(found))

    def screen(self, request: Request) -> Response:
        """A picture."""
        run = self._run(request.path_params["run"])
        return screen_response(request, run.store.screenshots, request.path_params["sha256"])

    def asset(self, request: Request) -> Response:
        """A style sheet or a script."""
        name = request.path_params["name"]
        if name not in _ASSETS:
            raise HTTPException(404, "there is no such file")
        headers = {"cache-control": "private, max-age=31536000, immutable"}
        return Response(_asset(name), media_type=_ASSETS[name][1], headers=headers)

    def refuse(self, request: Request, error: Exception) -> Response:
        """What cannot be shown, in words."""
        assert isinstance(error, HTTPException)
        return PlainTextResponse(error.detail, status_code=error.status_code)

    def _run(self, number: int) -> ViewedRun:
        if not 0 <= number < len(self.runs):
            raise HTTPException(404, f"there is no run {number}; there are {len(self.runs)}, from 0")
        return self.runs[number]

    def _found(self, number: int, episode_id: str) -> Found:
        run = self._run(number)
        listing = run.listing()
        entry = listing.by_id.get(episode_id)
        if entry is None:
            raise HTTPException(404, f"{run.name} has no episode {episode_id!r}")
        return Found(run=run, entry=entry, listing=listing)

    def _named(self, name: str, side: str) -> Found:
        number, slash, episode_id = name.partition("/")
        if not slash or not (number.isascii() and number.isdecimal() and len(number) < 4):
            raise HTTPException(400, f"{side} is {name!r}; expected RUN/EPISODE, such as 0/train-e00")
        return self._found(int(number), episode_id)

    def _pair_of(self, task_id: str) -> dict[str, Found]:
        """The newest episode of a task in the first and in the last run; in one run, its first and last."""
        found = []
        for run in self.runs:
            listing = run.listing()
            of_task = [entry for entry in listing.entries if entry.task_id == task_id]
            chosen = of_task[-1:] if len(self.runs) > 1 else [*of_task[:1], *of_task[-1:]]
            found += [Found(run=run, entry=entry, listing=listing) for entry in chosen]
        if len(found) < 2:
            raise HTTPException(404, f"task {task_id!r} has no two episodes to compare")
        return {"left": found[0], "right": found[-1]}

    def _others(self, side: int, named: Sequence[Found]) -> dict[str, Any]:
        """The episodes of the same task that may take the place of one side."""
        here = named[side]
        of_task = [each for each in here.listing.entries if each.task_id == here.entry.task_id]
        ids = [each.episode_id for each in of_task]
        at = ids.index(here.entry.episode_id)

        def address(place: int) -> str | None:
            if not 0 <= place < len(ids):
                return None
            sides = [f"{each.run.number}/{each.entry.episode_id}" for each in named]
            sides[side] = f"{here.run.number}/{ids[place]}"
            return f"/compare?{urlencode({'left': sides[0], 'right': sides[1]})}"

        return {"place": at + 1, "count": len(ids), "previous": address(at - 1), "following": address(at + 1)}

    def _data(self, view: str, found: Sequence[Found]) -> dict[str, Any]:
        """What the script draws."""
        episodes, images = [], {}
        for each in found:
            trajectory = self._trajectory(each)
            notes = () if each.run.credits is None else each.run.credits.of_episode(each.entry)
            total = sum(note.reward or 0.0 for note in notes) if notes else None
            address = episode_address(each.run, each.entry.episode_id)
            episodes.append({**episode_data(trajectory, notes), "href": address, "total": total})
            for sha256 in trajectory.screenshot_sha256s:
                there = sha256 in each.run.store.screenshots
                images[sha256] = f"/screens/{each.run.number}/{sha256}" if there else ""
        return {"view": view, "episodes": episodes, "images": images}

    def _trajectory(self, found: Found) -> Trajectory:
        try:
            return found.run.store.trajectory(found.entry.episode_id)
        except DataError as error:
            raise HTTPException(500, str(error)) from error

    def _page(self, template: str, run: ViewedRun, title: str, **values: Any) -> Response:
        page = self._templates.get_template(template).render(
            title=title,
            run=run,
            runs=self.runs,
            has_curves=any(each.metrics is not None for each in self.runs),
            **values,
        )
        return HTMLResponse(page)


def episode_address(run: ViewedRun, episode_id: str, context: str = "") -> str:
    """Where an episode is shown; `context` is the list that it is opened from."""
    # Slashes too: a browser would take the dots of "../x" for a way up.
    return f"/episode/{run.number}/{quote(episode_id, safe='')}" + (f"?{context}" if context else "")


def group_address(run: ViewedRun, group_id: str) -> str:
    """Where a group is shown."""
    return f"/group/{run.number}/{quote(group_id, safe='')}"


@lru_cache
def asset_address(name: str) -> str:
    """Where a style sheet or script is, with a name that changes when it does."""
    return f"/static/{name}?v={hashlib.sha256(_asset(name)).hexdigest()[:12]}"


@lru_cache
def _asset(name: str) -> bytes:
    return files(_ASSETS[name][0]).joinpath(name).read_bytes()


def _query(request: Request, **fixed: int) -> ListQuery:
    try:
        return ListQuery.parse({**request.query_params, **{name: str(each) for name, each in fixed.items()}})
    except QueryError as error:
        raise HTTPException(400, str(error)) from error


def _context(query: ListQuery) -> str:
    """The list as it goes with the address of an episode, which says the run itself."""
    return query.address("", run=0, page=1).removeprefix("?")


def _facets(listing: Listing) -> dict[str, list[tuple[str, int]]]:
    """Values to filter by, with counts; what has one value only is no filter."""
    names = ("template", "verdict", "stop", "kind", "policy", "split")
    found = {name: listing.facet(attrgetter(name)) for name in names}
    return {
        name: [(value, count) for value, count in values if len(value) <= LONGEST_TEXT]
        for name, values in found.items()
        if len(values) > 1
    }


def _templates(listings: Sequence[Listing]) -> list[str]:
    names = {entry.template for listing in listings for entry in listing.entries}
    return sorted(name for name in names if len(name) <= LONGEST_TEXT)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}".replace("-", "−")
