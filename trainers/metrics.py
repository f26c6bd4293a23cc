"""metrics.jsonl: one line per update, always written, whatever else is reported to.

Names are TRL's where it has one (`reward`, `entropy`, `grad_norm`, `clip_ratio/region_mean`,
`sampling/sampling_logp_difference/mean`). Everything measured in seconds stands under `time/`; two
deterministic runs agree in all other fields.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from gui_agent.errors import DataError

Metrics = dict[str, float]
TIME_PREFIX: Final = "time/"


class MetricsLog:
    """Appends lines to metrics.jsonl; a resumed run cuts off what its checkpoint does not know."""

    def __init__(self, path: Path) -> None:
        """Open, or create, the file at `path`."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")

    @property
    def length_bytes(self) -> int:
        """Size of the file, all lines written so far included."""
        return self._file.tell()

    def append(self, metrics: Mapping[str, Any]) -> None:
        """Write one line; a number that is not finite becomes null, because JSON has no other word."""
        line = json.dumps({name: _finite(value) for name, value in metrics.items()}, allow_nan=False)
        self._file.write(line.encode() + b"\n")
        self._file.flush()

    def truncate(self, length_bytes: int) -> None:
        """Cut the file back to a length that `length_bytes` reported earlier.

        Raises:
            DataError: the file is shorter than that.
        """
        actual = self.path.stat().st_size
        if actual < length_bytes:
            raise DataError(
                f"{self.path} has {actual} bytes, but the checkpoint was written when it had {length_bytes}; "
                "restore the file, or train in a new output_dir"
            )
        self._file.truncate(length_bytes)
        self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Close the file; calling it twice is fine."""
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All lines of a metrics.jsonl, oldest first."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def without_times(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The fields in which two deterministic runs agree."""
    return {name: value for name, value in metrics.items() if not name.startswith(TIME_PREFIX)}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Stopwatch:
    """Adds up wall-clock seconds by name, and the CPU seconds of this process since it was made."""

    def __init__(self) -> None:
        # A process may run several trainings, one after the other: each counts its own seconds.
        self._cpu_s_at_start = time.process_time()
        self._cpu_s_before = 0.0
        self._seconds: Metrics = {}

    @property
    def cpu_s(self) -> float:
        """CPU seconds of this training so far, the runs before a resume included."""
        return self._cpu_s_before + time.process_time() - self._cpu_s_at_start

    def resume(self, cpu_s_before: float) -> None:
        """Count on from what earlier runs of the same training used."""
        self._cpu_s_before = cpu_s_before

    def seconds(self, name: str) -> float:
        """Seconds counted under a name since the last `take`."""
        return self._seconds.get(name, 0.0)

    def add(self, name: str, seconds: float) -> None:
        """Count seconds that were measured elsewhere."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Count the time spent inside."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)

    def take(self) -> Metrics:
        """The times since the last call, ready for a line of metrics."""
        taken = {f"{TIME_PREFIX}{name}": round(seconds, 4) for name, seconds in self._seconds.items()}
        self._seconds.clear()
        return {**taken, f"{TIME_PREFIX}cpu_s": round(self.cpu_s, 3)}
