"""One HTML file that shows episodes step by step, with nothing to load from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from trajectories.records import EpisodeRecord
from trajectories.screenshots import write_file
from trajectories.store import TrajectoryStore
from trajectories.viewer.payload import Annotations, page_data

MAX_SIDE_PX: Final = 1000
STYLE: Final = "page.css"
SCRIPTS: Final = ("marks.js", "candidates.js", "episodes.js")
"""Files of this package that draw episodes, in the order in which a page needs them."""


def write_viewer(
    episodes: TrajectoryStore | Iterable[EpisodeRecord],
    out_path: str | Path,
    *,
    limit: int | None = 200,
    annotations: Annotations | None = None,
    title: str = "Trajectories",
    subtitle: str = "",
    max_side_px: int = MAX_SIDE_PX,
) -> Path:
    """Write a self-contained page.

    Args:
        episodes: a store, or records.
        out_path: the file to write; its folder is made.
        limit: show the first so many episodes; all if None.
        annotations: rewards, returns and advantages by episode id, one entry per step.
        title, subtitle: at the top of the page.
        max_side_px: screenshots are scaled down to this for the page.

    Returns:
        The path of the file.
    """
    records = list(islice(records_of(episodes), limit))
    data = page_data(records, annotations, max_side_px=max_side_px)
    return write_page("viewer.html.jinja", out_path, title=title, subtitle=subtitle, data=data)


def records_of(episodes: TrajectoryStore | Iterable[EpisodeRecord]) -> Iterator[EpisodeRecord]:
    """Records of a store, their pictures read when they are looked at; or the records given."""
    if isinstance(episodes, TrajectoryStore):
        for trajectory in episodes:
            yield EpisodeRecord(trajectory=trajectory, screenshots=episodes.screenshots)
    else:
        yield from episodes


def write_page(template: str, out_path: str | Path, **values: Any) -> Path:
    """Fill in a template of this package, with every value escaped, and write it in one go."""
    environment = Environment(
        loader=PackageLoader("trajectories.viewer", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    parts = files("trajectories.viewer")
    style, *scripts = (Markup(parts.joinpath(name).read_text("utf-8")) for name in (STYLE, *SCRIPTS))
    text = environment.get_template(template).render(style=style, scripts=scripts, **values)
    out_path = Path(out_path)
    out_path.parent.mkdir(parents=True, exist_ok=True)
    write_file(out_path, text.encode())
    return out_path
