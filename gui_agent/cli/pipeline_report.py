"""The report of a pipeline: curves, success per task, and episodes step by step, in one HTML file."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import yaml

from gui_agent import __version__
from gui_agent.agent_spec import AgentKind
from gui_agent.cli.chain import Chain, Scores
from gui_agent.cli.config import load_command
from gui_agent.cli.recipes import find_recipe
from gui_agent.policy import AgentRole
from gui_agent.viewer.credits import annotation_of
from trainers.annotate import step_credits
from trainers.rl_config import RLConfig
from trajectories.records import EpisodeRecord
from trajectories.store import TrajectoryStore
from trajectories.viewer import (
    Chart,
    Comparison,
    ComparisonRow,
    Rate,
    RunReport,
    Series,
    Table,
    write_report,
)
from trajectories.viewer.index import StoreIndex

_TRAINED_EPISODES: Final = 16
_LIVE_EPISODES: Final = 16


def write_pipeline_report(
    chain: Chain,
    figures: dict[str, Any],
    *,
    training: Mapping[str, Any],
    before: Scores,
    after: Scores,
    beside: Scores | None,
) -> Path:
    """Write `report.html` below the chain's root and return its path."""
    config = load_command(
        "train semi-online",
        recipe=chain.recipe,
        overrides={"model": "warm_start", "output_dir": "semi_online", **training},
        asks_models=False,
    )
    assert isinstance(config, RLConfig)
    store = TrajectoryStore.open(chain.folder("semi_online") / "trajectories")
    trained = list(_first_and_last(store))
    episodes = trained + list(_live_episodes(chain))
    credits = step_credits([record.trajectory for record in trained], config, screenshots=store.screenshots)
    report = RunReport(
        title=f"{chain.recipe}, seed {chain.seed}",
        summary=_summary(figures, config),
        comparisons=[_comparison(before, after)],
        charts=_charts(chain),
        tables=[_scores_table(before, after, beside), _cost_table(figures)],
        settings=dict(_settings(_chosen(chain.recipe, training))),
        environment={
            "gui-agent": __version__,
            "Python": platform.python_version(),
            "system": platform.platform(),
        },
        episodes=episodes,
        num_episodes=len(episodes),
        annotations={name: [annotation_of(step) for step in steps] for name, steps in credits.items()},
    )
    return write_report(chain.root / "report.html", report)


def _first_and_last(store: TrajectoryStore) -> Iterator[EpisodeRecord]:
    """Whole groups of the first and of the last update, so that what was compared stands together."""
    groups: dict[str, list[str]] = {}
    for entry in StoreIndex(store.path).refresh().entries:
        groups.setdefault(entry.group_id or entry.episode_id, []).append(entry.episode_id)
    ordered = list(groups.values())
    first = _enough(ordered)
    last = _enough(ordered[len(first) :][::-1])[::-1]
    for name in (name for group in (*first, *last) for name in group):
        yield store.record(name)


def _enough(groups: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The first groups until half of what is shown is there."""
    chosen: list[Sequence[str]] = []
    for group in groups:
        if sum(map(len, chosen)) >= _TRAINED_EPISODES // 2:
            break
        chosen.append(group)
    return chosen


def _live_episodes(chain: Chain) -> Iterator[EpisodeRecord]:
    """Held-out episodes of the trained model."""
    store = TrajectoryStore.open(chain.folder("semi_online_eval") / "episodes")
    live = (name for name in store.episode_ids if name.startswith("live-"))
    for name in islice(live, _LIVE_EPISODES):
        yield store.record(name)


def _summary(figures: dict[str, Any], config: RLConfig) -> str:
    words = (
        f"Live success on held-out task instances went from {_share(figures['live_success_before'])} after "
        f"the supervised warm start to {_share(figures['live_success_after'])} after semi-online "
        "reinforcement learning on the same demonstrations; the SOP score from "
        f"{figures['sop_before']:.3f} to {figures['sop_after']:.3f}."
    )
    if figures["live_success_supervised"] is not None:
        words += (
            " More supervised training for the same CPU time reached "
            f"{_share(figures['live_success_supervised'])}."
        )
    if config.agent is AgentKind.HIERARCHICAL:
        words += (
            " A planner writes a subgoal for every step, an actor carries it out; each episode below shows "
            "the subgoals beside its screenshots."
        )
    return words


def _chosen(recipe: str, training: Mapping[str, Any]) -> dict[str, Any]:
    """What the recipe says, with what went before it."""
    sections: dict[str, Any] = yaml.safe_load(find_recipe(recipe).read_text(encoding="utf-8"))
    sections["train semi-online"] = {**(sections.get("train semi-online") or {}), **training}
    return sections


def _settings(sections: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The settings of a recipe, one to a line."""
    for name, value in sections.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{before}{name} · ")
        else:
            yield f"{before}{name}", value


def _share(value: float | None) -> str:
    return "an unscored share" if value is None else f"{value:.1%}"


def _comparison(before: Scores, after: Scores) -> Comparison:
    earlier = {row["template"]: row for row in before.live["templates"]}
    rows = [
        ComparisonRow(
            task=row["template"],
            before=_template_rate(earlier.get(row["template"])),
            after=_template_rate(row),
        )
        for row in after.live["templates"]
    ]
    rows.append(
        ComparisonRow(task="all", before=_total_rate(before.live), after=_total_rate(after.live), total=True)
    )
    return Comparison(
        title="Live success on held-out instances",
        rows=rows,
        before_name="warm start",
        after_name="semi-online RL",
        note=f"{after.live['suite']}, greedy, judged by each task's own check; whiskers are 95 % intervals.",
    )


def _template_rate(row: dict[str, Any] | None) -> Rate | None:
    if row is None or row["success"] is None:
        return None
    return Rate(value=row["success"], count=row["scored"])


def _total_rate(live: dict[str, Any]) -> Rate | None:
    if live["success"] is None:
        return None
    return Rate(
        value=live["success"], low=live["success_low"], high=live["success_high"], count=live["scored"]
    )


def _charts(chain: Chain) -> list[Chart]:
    lines = _metrics(chain.folder("semi_online") / "metrics.jsonl")
    roles = [role.value for role in (AgentRole.PLANNER, AgentRole.ACTOR)]
    lines = [line | {role: _role_reward(line, role) for role in roles} for line in lines]
    curves = [
        ("Reward of a step", "mean reward", [("reward", "reward")]),
        ("Reward of each role", "mean reward", [(role, role) for role in roles]),
        ("Progress in replay", "share", [("semi_online/pg", "PG"), ("semi_online/tsr", "TSR")]),
        ("Live success during training", "share", [("eval/live_success", "held-out instances")]),
    ]
    charts = []
    for title, y_label, names in curves:
        series = [_series(lines, key, name) for key, name in names]
        drawn = [one for one in series if one.xs]
        if drawn:
            top = max(1.0, *(y for one in drawn for y in one.ys))  # the rewards of two roles are added up
            charts.append(
                Chart(title=title, x_label="update", y_label=y_label, series=drawn, y_range=(0.0, top))
            )
    grounding = _metrics(chain.folder("grounding") / "metrics.jsonl")
    if found := _stages(grounding):
        charts.append(
            Chart(
                title="Grounding",
                x_label="CPU-s of the stage",
                y_label="held-out hits",
                series=found,
                y_range=(0.0, 1.0),
            )
        )
    return charts


def _role_reward(line: dict[str, Any], role: str) -> float | None:
    """What its candidates earned on average; None where it did not learn, or no roles are told apart."""
    parts = [value for key, value in line.items() if key.startswith(f"reward/{role}_") and value is not None]
    return sum(parts) if parts else None


def _series(lines: Sequence[dict[str, Any]], key: str, name: str) -> Series:
    points = [(line["update"], line[key]) for line in lines if line.get(key) is not None]
    return Series(name=name, xs=[x for x, _ in points], ys=[y for _, y in points])


def _stages(lines: Sequence[dict[str, Any]]) -> list[Series]:
    """One curve for each stage of grounding: the share of held-out labels that it gets right."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    for line in lines:
        hits = [value for key, value in line.items() if key.startswith("held_out/") and value is not None]
        if hits and "stage" in line:
            xs, ys = series.setdefault(line["stage"], ([], []))
            xs.append(line["time/cpu_s"])
            ys.append(sum(hits) / len(hits))
    return [Series(name=name, xs=xs, ys=ys) for name, (xs, ys) in series.items()]


def _metrics(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _scores_table(before: Scores, after: Scores, beside: Scores | None) -> Table:
    models = [("warm start", before), ("semi-online RL", after)]
    if beside is not None:
        models.append(("supervised, same CPU time", beside))
    rows = []
    for name, scores in models:
        sop, steps = scores.replay["sop"], scores.replay["steps"]
        figures = [
            sop["pg"],
            sop["tsr"],
            sop["score"],
            steps["type_match"],
            steps["grounding"],
            steps["success"],
        ]
        rows.append([name, scores.success, *(None if each is None else each["value"] for each in figures)])
    return Table(
        title="Held-out scores",
        columns=["model", "live success", "PG", "TSR", "SOP", "type", "grounding", "step success"],
        rows=rows,
        note=f"Replay of held-out demonstrations; matcher {after.replay['matcher']}.",
    )


def _cost_table(figures: dict[str, Any]) -> Table:
    rows = [[name, spent["cpu_s"], spent["wall_s"]] for name, spent in figures["stages"].items()]
    rows.append(["all", figures["cpu_s"], figures["wall_s"]])
    return Table(title="Cost", columns=["stage", "CPU-s", "seconds"], rows=rows)
