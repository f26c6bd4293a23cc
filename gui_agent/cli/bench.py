"""`gui-agent bench`: methods against each other, on the same demonstrations, warm starts and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from eval.results import ResultRow, append_result, read_results, results_table
from gui_agent.cli.chain import Chain, planned_commands
from gui_agent.cli.config import option
from gui_agent.cli.experiment import Stage
from gui_agent.cli.recipes import parse_yaml
from gui_agent.cli.schema import did_you_mean
from gui_agent.errors import ConfigError, GuiAgentError
from trainers.checkpoint import Checkpoints, load_state
from trajectories.store import TrajectoryStore

_METHOD_COMMANDS = ("train sft", "train semi-online", "train online")
_BASE = "grounding"


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to go on from the warm start.

    Attributes:
        name: as it stands in the results.
        command: that trains; empty scores the warm start itself.
        settings: go before the recipe's.
        after: name of an earlier method from whose model this one starts, or "grounding"; the warm start if
            empty.
        same_cpu_as: name of an earlier method whose CPU seconds this one may spend.
        same_rows_as: name of an earlier method; this one trains on as many rows.
        evaluation: settings of its `eval run`, before the grid's.
    """

    name: str
    command: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    after: str = ""
    same_cpu_as: str = ""
    same_rows_as: str = ""
    evaluation: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What a grid file says.

    Attributes:
        recipe: of the chain that all methods share.
        seeds: of the runs.
        methods: what is compared.
        evaluation: settings of `eval run`, before the recipe's.
    """

    recipe: str
    seeds: Sequence[int]
    methods: Sequence[Method]
    evaluation: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Run every method of a grid file with every seed, and append each result as it finishes.

    Demonstrations, grounding and warm start are shared by the methods of a seed and kept, so that only
    the methods themselves cost. A bench that was interrupted goes on where it stopped. The rows go to
    --results as JSON, and a table of all rows beside it, where --table says.

    Examples:
        gui-agent bench recipes/grids/quickstart.yaml
        gui-agent bench recipes/grids/quickstart.yaml --only semi_online --seeds 0 1 --results mine.json
        gui-agent bench recipes/grids/quickstart.yaml --dry-run

    Attributes:
        grid: YAML file with `recipe`, `seeds`, `methods` and perhaps `evaluation`, settings of `eval run`.
        only: names of the methods to run; all by default.
        seeds: instead of the grid's.
        root: folder for the stages; one folder for each recipe and seed.
        results: JSON file to append rows to.
        table: Markdown file whose part between the results markers is replaced; empty writes none.
    """

    grid: Path = option(positional=True)
    only: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    root: Path = Path("runs/bench")
    results: Path = Path("docs/results.json")
    table: str = "docs/results.md"

    def run(self) -> int:
        """Run what is missing."""
        grid = self._grid()
        for seed in grid.seeds:
            chain = Chain(grid.recipe, root=self.root / Path(grid.recipe).stem / f"seed-{seed}", seed=seed)
            for method in grid.methods:
                print(f"{method.name}, seed {seed}", flush=True)
                row = self._row(chain, grid, method)
                append_result(self.results, row)
                self._write_table()
                print(
                    f"  success {row.success:.1%} ({row.success_low:.1%} to {row.success_high:.1%})",
                    flush=True,
                )
        return 0

    def dry_run(self) -> int:
        """Say which rows would be made."""
        grid = self._grid()
        known = {(row.method, row.seed) for row in read_results(self.results)}
        for seed in grid.seeds:
            for method in grid.methods:
                state = "has a row already" if (method.name, seed) in known else "to do"
                print(f"{method.name}, seed {seed}: {state}")
        return 0

    def _grid(self) -> Grid:
        grid = read_grid(self.grid)
        names = [method.name for method in grid.methods]
        for name in self.only:
            if name not in names:
                raise ConfigError(f"{self.grid} has no method {name!r}; {did_you_mean(name, names)}")
        methods = [method for method in grid.methods if not self.only or method.name in self.only]
        for method in methods:  # now, not when its turn comes after hours
            planned_commands(
                grid.recipe,
                method.command or "train sft",
                method.settings,
                evaluation={**grid.evaluation, **method.evaluation},
            )
        return replace(grid, seeds=self.seeds or grid.seeds, methods=methods)

    def _row(self, chain: Chain, grid: Grid, method: Method) -> ResultRow:
        methods = {each.name: each for each in read_grid(self.grid).methods}
        trained = self._trained(chain, method, methods)
        scores = chain.evaluate(trained, {**grid.evaluation, **method.evaluation})
        if scores.success is None:
            raise GuiAgentError(
                f"{method.name}, seed {chain.seed}: no episode could be scored; see {trained.folder}"
            )
        return ResultRow(
            suite=scores.live["suite"],
            method=method.name,
            seed=chain.seed,
            success=round(scores.success, 4),
            success_low=round(scores.live["success_low"], 4),
            success_high=round(scores.live["success_high"], 4),
            device_steps=_device_steps(trained) if method.command == "train online" else 0,
            cpu_s=trained.cpu_s,
            command=f"gui-agent bench {self.grid} --only {method.name} --seeds {chain.seed}",
            sop_score=round(scores.sop, 4),
            episodes=scores.live["scored"],
            trained_rows=self._rows(chain, method, methods),
            **_error_split(scores.replay),
        )

    def _trained(self, chain: Chain, method: Method, methods: Mapping[str, Method]) -> Stage:
        if not method.command:
            return chain.warm_start
        settings = dict(method.settings)
        if method.same_cpu_as:
            settings["max_cpu_s"] = self._trained(chain, methods[method.same_cpu_as], methods).cpu_s
        if method.same_rows_as:
            settings["max_rows"] = _rows_of(self._trained(chain, methods[method.same_rows_as], methods))
        start = None
        if method.after:
            earlier = method.after
            start = chain.grounding if earlier == _BASE else self._trained(chain, methods[earlier], methods)
        return chain.method(method.name, method.command, settings, start=start)

    def _rows(self, chain: Chain, method: Method, methods: Mapping[str, Method]) -> int:
        """Rows that the model of a method was trained on, since it was the grounded base."""
        own = _rows_of(self._trained(chain, method, methods))
        if not method.command or method.after == _BASE:
            return own
        before = methods[method.after] if method.after else Method(name="warm_start")
        return own + self._rows(chain, before, methods)

    def _write_table(self) -> None:
        if self.table:
            replace_table(Path(self.table), results_table(read_results(self.results)))


def read_grid(path: Path) -> Grid:
    """Read a grid file.

    Raises:
        ConfigError: it is missing or says something that no grid says.
    """
    try:
        data = parse_yaml(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: no grid can be read here ({error})") from error
    known = {"recipe", "seeds", "methods", "evaluation"}
    if not isinstance(data, dict) or set(data) - known or "methods" not in data:
        raise ConfigError(f"{path}: a grid has the keys recipe, seeds, methods and evaluation")
    if not isinstance(data.get("recipe"), str):
        raise ConfigError(f"{path}: recipe is {data.get('recipe')!r}; expected a name such as quickstart")
    seeds = data.get("seeds", [0])
    if not isinstance(seeds, list) or not seeds or any(type(seed) is not int or seed < 0 for seed in seeds):
        raise ConfigError(f"{path}: seeds is {seeds!r}; expected a list of numbers such as [0, 1, 2]")
    if not isinstance(data["methods"], dict) or not data["methods"]:
        raise ConfigError(f"{path}: methods is {data['methods']!r}; expected names, each with its settings")
    methods = [_method(path, str(name), said or {}) for name, said in data["methods"].items()]
    for position, method in enumerate(methods):
        before = methods[:position]
        earlier = {
            "same_cpu_as": [each.name for each in before if each.command],
            "same_rows_as": [each.name for each in before],
            "after": [_BASE, *(each.name for each in before)],
        }
        for key, names in earlier.items():
            name = getattr(method, key)
            if name and name not in names:
                raise ConfigError(
                    f"{path}: {method.name}: {key} names {name!r}; expected a training that stands before "
                    f"it: {', '.join(names) or 'there is none'}"
                )
    evaluation = data.get("evaluation", {})
    if not isinstance(evaluation, dict):
        raise ConfigError(f"{path}: evaluation is {evaluation!r}; expected settings of eval run, with values")
    return Grid(recipe=data["recipe"], seeds=tuple(seeds), methods=methods, evaluation=evaluation)


def _method(path: Path, name: str, said: Mapping[str, Any]) -> Method:
    known = ("command", "settings", "after", "same_cpu_as", "same_rows_as", "evaluation")
    if not isinstance(said, Mapping):
        raise ConfigError(f"{path}: {name} is {said!r}; expected the keys {', '.join(known)}")
    for key in ("settings", "evaluation"):
        if not isinstance(said.get(key, {}), Mapping):
            raise ConfigError(f"{path}: {name}: {key} is {said[key]!r}; expected names with values")
    if not name or name in (".", "..") or "/" in name:
        raise ConfigError(f"{path}: {name!r} is no name for a method: its folder is called so")
    for key in said:
        if key not in known:
            raise ConfigError(f"{path}: {name}: unknown key {key!r}; {did_you_mean(key, known)}")
    command = said.get("command", "")
    if command and command not in _METHOD_COMMANDS:
        raise ConfigError(
            f"{path}: {name}: {command!r} is no training; {did_you_mean(command, _METHOD_COMMANDS)}"
        )
    return Method(name=name, **said)


def replace_table(path: Path, table: str) -> None:
    """Put a table between the markers of a Markdown file, which is made if it is missing.

    Raises:
        ConfigError: the file has no markers.
    """
    begin, end = "<!-- results: begin -->", "<!-- results: end -->"
    text = path.read_text() if path.exists() else f"# Results\n\n{begin}\n{end}\n"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ConfigError(
            f"{path} has no {begin} … {end}; add them where the table belongs, or give --table ''"
        )
    path.write_text(f"{head}{begin}\n{table}{end}{tail}")


def _device_steps(trained: Stage) -> int:
    store = TrajectoryStore.open(trained.folder / "trajectories")
    return sum(len(trajectory.steps) for trajectory in store)


def _rows_of(trained: Stage) -> int:
    """Rows that a training trained on, as its last checkpoint counted them."""
    rows = load_state(Checkpoints(trained.folder).complete()[-1]).rows_trained
    if not rows:
        raise ConfigError(
            f"{trained.folder}: its checkpoint does not say how many rows it was trained on; move the folder "
            "away, so that the training is done again"
        )
    return rows


def _error_split(replay: Mapping[str, Any]) -> dict[str, float]:
    """Shares of steps that planner and actor got wrong after expert history; none for a flat agent."""
    errors = replay.get("errors")
    if not errors:
        return {}
    split = errors["expert_history"]
    return {f"{name}_errors": round(split[name]["value"], 4) for name in ("planner", "actor", "unread")}
