"""Self-contained HTML pages: episodes step by step, and reports of runs."""

from trajectories.viewer.candidates import CandidateAnnotation
from trajectories.viewer.charts import Chart, Series
from trajectories.viewer.page import write_viewer
from trajectories.viewer.payload import Annotations, StepAnnotation
from trajectories.viewer.report import Comparison, ComparisonRow, Rate, RunReport, Table, write_report

__all__ = [
    "Annotations",
    "CandidateAnnotation",
    "Chart",
    "Comparison",
    "ComparisonRow",
    "Rate",
    "RunReport",
    "Series",
    "StepAnnotation",
    "Table",
    "write_report",
    "write_viewer",
]
