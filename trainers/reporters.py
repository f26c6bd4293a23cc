"""Where metrics go besides metrics.jsonl: TensorBoard, trackio, Weights & Biases.

Packages are imported when a reporter is made. Keys for services come from the environment alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

from gui_agent.errors import DependencyError


class Reporter(Protocol):
    """Shows metrics to people while training goes on."""

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Show the metrics of one update."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


class TensorBoardReporter:
    """Writes event files to `output_dir/tensorboard`."""

    def __init__(self, output_dir: Path, config: Mapping[str, Any]) -> None:
        module = _require("torch.utils.tensorboard", extra="tensorboard")
        self._writer = module.SummaryWriter(str(output_dir / "tensorboard"))
        self._writer.add_text("config", "\n".join(f"    {key}: {value}" for key, value in config.items()))

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Add one point to each curve."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush the event file."""
        self._writer.close()


class RunReporter:
    """Logs to a service that speaks like Weights & Biases: `init`, `log`, `finish`."""

    def __init__(self, module: Any, output_dir: Path, config: Mapping[str, Any]) -> None:
        self._module = module
        module.init(project="gui-agent", name=output_dir.name, config=dict(config))

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Log one point of each curve."""
        self._module.log(dict(metrics), step=step)

    def close(self) -> None:
        """Finish the run."""
        self._module.finish()


def _trackio(output_dir: Path, config: Mapping[str, Any]) -> Reporter:
    return RunReporter(_require("trackio", extra="trackio"), output_dir, config)


def _wandb(output_dir: Path, config: Mapping[str, Any]) -> Reporter:
    return RunReporter(_require("wandb", extra="wandb"), output_dir, config)


REPORTERS: Final[dict[str, Callable[[Path, Mapping[str, Any]], Reporter]]] = {
    "tensorboard": TensorBoardReporter,
    "trackio": _trackio,
    "wandb": _wandb,
}


def build_reporters(names: Iterable[str], output_dir: Path, config: Mapping[str, Any]) -> list[Reporter]:
    """The reporters of `report_to`, which the configuration has checked.

    Raises:
        DependencyError: a package is not installed; the message names the extra that brings it.
    """
    return [REPORTERS[name](output_dir, config) for name in names]


def _require(module: str, *, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise DependencyError(
            f"report_to includes {extra!r}, but its package is not installed ({error}); "
            f'install it with: pip install "gui-agent[{extra}]"'
        ) from error
