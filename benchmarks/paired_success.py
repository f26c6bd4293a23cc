"""What a training changed, instance by instance: evaluations before and after it on the same instances.

    python -m benchmarks.paired_success --before EVAL ... --after EVAL ... [--json]

EVAL is the output folder of `gui-agent eval run`. The first before belongs to the first after, and so on:
one pair for each seed, say. Printed are each pair and all together: success with Wilson's 95 % interval,
instances gained and lost, the p-value of McNemar's exact test, and the change with a bootstrap interval over
instances. All stored episodes count; where an evaluation left some out, because a training had drawn
instances that begin like theirs, this says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from eval.intervals import Interval
from eval.paired import PairedChange, PairedEpisodes, paired_change
from trajectories.records import Trajectory
from trajectories.store import TrajectoryStore


def main() -> None:
    """Read, compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, nargs="+", required=True)
    parser.add_argument("--after", type=Path, nargs="+", required=True)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for folder in (*options.before, *options.after):
        if seen := json.loads((folder / "eval.json").read_text(encoding="utf-8"))["live"]["seen_in_training"]:
            print(f"{folder}: counts {seen} instances that a training has seen", file=sys.stderr)
    if len(options.before) != len(options.after):
        parser.error(f"{len(options.before)} evaluations before, {len(options.after)} after; give as many")
    pairs = [
        PairedEpisodes(before=_episodes(before), after=_episodes(after))
        for before, after in zip(options.before, options.after, strict=True)
    ]
    found = {str(folder): paired_change([pair]) for folder, pair in zip(options.after, pairs, strict=True)}
    found["all"] = paired_change(pairs)
    if options.json:
        print(json.dumps({name: asdict(change) for name, change in found.items()}, indent=1))
        return
    for name, change in found.items():
        print(f"{name}: {_line(change)}")


def _episodes(folder: Path) -> list[Trajectory]:
    return list(TrajectoryStore.open(folder / "episodes"))


def _line(change: PairedChange) -> str:
    return (
        f"{_share(change.before)} -> {_share(change.after)}, gained {change.gained}, lost {change.lost}, "
        f"p {change.p_value:.2g}, change {100 * change.change.value:+.1f} points "
        f"({100 * change.change.low:+.1f} to {100 * change.change.high:+.1f}), {change.unpaired} unpaired"
    )


def _share(interval: Interval) -> str:
    return f"{interval.value:.1%} ({interval.low:.1%} to {interval.high:.1%})"


if __name__ == "__main__":
    main()
