"""How many tasks of a suite a model does through the engine of the demo, nobody watching.

    python -m benchmarks.demo_tasks --suite phone/quickstart --seed 1000020 [--model FOLDER --format FORMAT]

One instance of every template; without --model, the model that `gui-agent demo` takes by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from devices.registry import resolve_suite
from gui_agent.cli.config import load_command
from gui_agent.cli.demo import Demo
from gui_agent.demo.commands import Run
from gui_agent.demo.events import EpisodeEvent


async def measure(
    suite: str, templates: Sequence[str], seed: int, agent: Mapping[str, object], store: Path
) -> list[EpisodeEvent]:
    settings = {"task": f"{suite}:{templates[0]}:{seed}", "store": str(store), "preview_s": 0.0, **agent}
    demo = load_command("demo", overrides=settings)
    assert isinstance(demo, Demo)
    async with demo.opened() as session:
        session.desk.attended = False
        for template in templates:
            began_s = time.perf_counter()
            await session.handle(Run(task=f"{suite}:{template}:{seed}"))
            await session.ended()
            ended = session.archive.episodes[-1]
            print(
                f"{template:16} {ended.goal:32} {ended.verdict:8} {ended.stop:10} {ended.steps} steps, "
                f"{time.perf_counter() - began_s:.1f} s",
                flush=True,
            )
        return session.archive.episodes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="phone/quickstart")
    parser.add_argument("--templates", nargs="*", help="all by default")
    parser.add_argument("--seed", type=int, default=1_000_020)
    parser.add_argument("--model")
    parser.add_argument("--format", help="that of the model's training by default")
    parser.add_argument("--max-completion-length", type=int)
    given = parser.parse_args()
    names = ("model", "format", "max_completion_length")
    agent = {f"agent.{name}": value for name in names if (value := getattr(given, name)) is not None}
    templates = given.templates or resolve_suite(given.suite).templates
    with tempfile.TemporaryDirectory() as folder:
        episodes = asyncio.run(measure(given.suite, templates, given.seed, agent, Path(folder)))
    done = sum(event.verdict == "success" and event.stop == "finished" for event in episodes)
    print(f"{done} of {len(episodes)} tasks done")


if __name__ == "__main__":
    main()
