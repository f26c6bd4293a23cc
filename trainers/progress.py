"""What people see while training goes on: a live panel on a terminal, one line per N updates elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from trainers.metrics import TIME_PREFIX

_LINE: Final = {
    "reward": "reward",
    "semi_online/tsr": "tsr",
    "offline/tsr": "tsr",
    "online/success": "success",
    "loss": "loss",
    "grad_norm": "grad_norm",
    "rows": "rows",
    "completions/sampled": "sampled",
    "sampling/sampling_logp_difference/max": "logp_difference",
    "eval/live_success": "live_success",
}
"""Metrics of a line, and what they are called there."""
_MAIN: Final = (
    "reward",
    "reward_std",
    "frac_reward_zero_std",
    "rows",
    "completions/sampled",
    "loss",
    "kl",
    "entropy",
    "grad_norm",
    "learning_rate",
    "clip_ratio/region_mean",
    "sampling/sampling_logp_difference/mean",
    "sampling/sampling_logp_difference/max",
    "images_encoded",
    "images_unique",
    "images_dropped",
)


class ProgressView:
    """Shows the metrics of each update; use it as a context manager."""

    def __init__(self, *, title: str, logging_steps: int = 1, stream: TextIO | None = None) -> None:
        """Write to `stream`, stdout if None."""
        self._title = title
        self._every = logging_steps
        self._stream = stream or sys.stdout
        self._live: Live | None = None
        if self._stream.isatty():
            self._live = Live(console=Console(file=self._stream), auto_refresh=False)

    def __enter__(self) -> ProgressView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, metrics: Mapping[str, Any]) -> None:
        """Show one line of metrics; fields that a training has not are left out."""
        if self._live is not None:
            self._live.update(self._table(metrics), refresh=True)
        elif metrics["update"] % self._every == 0:
            self._stream.write(self._line(metrics) + "\n")
            self._stream.flush()

    def _line(self, metrics: Mapping[str, Any]) -> str:
        fields = [f"{label} {_text(metrics[name])}" for name, label in _LINE.items() if name in metrics]
        return f"{self._title} {metrics['update']}: " + ", ".join([*fields, _times(metrics)])

    def _table(self, metrics: Mapping[str, Any]) -> Table:
        table = Table(title=f"{self._title}, update {metrics['update']}", show_header=False, min_width=60)
        rest = [name for name in metrics if "/" in name and name.split("/")[0] in ("reward", "rapo", "eval")]
        kinds = [n for n in metrics if n.startswith(("semi_online/", "offline/", "online/", "env/"))]
        for name in (*_MAIN, *rest, *kinds):
            if name in metrics:
                table.add_row(name, _text(metrics[name]))
        table.add_row("time", _times(metrics))
        return table


def _times(metrics: Mapping[str, Any]) -> str:
    """The split of one update between sampling, devices and training."""
    names = ("generate", "env", "old_logp", "train")
    parts = [f"{name} {metrics[TIME_PREFIX + name]:.1f}s" for name in names if TIME_PREFIX + name in metrics]
    return " ".join(parts)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
