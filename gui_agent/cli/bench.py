"""`gui-agent bench`: methods against each other, on the same demonstrations, warm starts and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
_WARM_START = "warm_start"
_STAGES = ("demonstrations", "held_out", _BASE, _WARM_START)


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

    def method(self, name: str) -> Method:
        """The method of that name, which `read_grid` made sure of."""
        return next(method for method in self.methods if method.name == name)

    def before(self, method: Method) -> Method | None:
        """The method whose model another one starts from; None for the base that all methods share."""
        if method.after:
            return None if method.after == _BASE else self.method(method.after)
        return Method(name=_WARM_START) if method.command else None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Run every method of a grid file with every seed, and append each result as it finishes.

    Demonstrations, grounding and warm start are shared by the methods of a seed and kept, so that only
    the methods themselves cost. A method is a training command with settings; without one it is the warm
    start itself. It may start from the model of another (after), or from the grounded base (after:
    grounding), spend as many CPU seconds as another (same_cpu_as), or train on as many rows (same_rows_as).
    A bench that was interrupted goes on where it stopped. The rows go to --results as JSON, and a table of
    all rows beside it, where --table says.

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
        for seed in self.seeds or grid.seeds:
            chain = Chain(grid.recipe, root=self.root / Path(grid.recipe).stem / f"seed-{seed}", seed=seed)
            for method in self._chosen(grid):
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
        rows = read_results(self.results)
        known = {(row.method, row.seed) for row in rows if row.grid == self.grid.stem}
        for seed in self.seeds or grid.seeds:
            for method in self._chosen(grid):
                state = "has a row already" if (method.name, seed) in known else "to do"
                print(f"{method.name}, seed {seed}: {state}")
        return 0

    def _grid(self) -> Grid:
        grid = read_grid(self.grid)
        names = [method.name for method in grid.methods]
        for name in self.only:
            if name not in names:
                raise ConfigError(f"{self.grid} has no method {name!r}; {did_you_mean(name, names)}")
        # All, because methods build on each other; now, not when the turn of one comes after hours.
        for method in grid.methods:
            planned_commands(
                grid.recipe,
                method.command or "train sft",
                method.settings,
                evaluation={**grid.evaluation, **method.evaluation},
            )
        return grid

    def _chosen(self, grid: Grid) -> Sequence[Method]:
        return [method for method in grid.methods if not self.only or method.name in self.only]

    def _row(self, chain: Chain, grid: Grid, method: Method) -> ResultRow:
        trained = _trained(chain, grid, method)
        scores = chain.evaluate(trained, {**grid.evaluation, **method.evaluation})
        if scores.success is None:
            raise GuiAgentError(
                f"{method.name}, seed {chain.seed}: no episode could be scored; see {trained.folder}"
            )
        return ResultRow(
            suite=scores.live["suite"],
            grid=self.grid.stem,
            method=method.name,
            seed=chain.seed,
            success=round(scores.success, 4),
            success_low=round(scores.live["success_low"], 4),
            success_high=round(scores.live["success_high"], 4),
            device_steps=_device_steps(chain, grid, method),
            cpu_s=trained.cpu_s,
            command=f"gui-agent bench {self.grid} --only {method.name} --seeds {chain.seed}",
            sop_score=round(scores.sop, 4),
            episodes=scores.live["scored"],
            trained_rows=_trained_rows(chain, grid, method),
            **_error_split(scores.replay),
        )

    def _write_table(self) -> None:
        if self.table:
            replace_table(Path(self.table), results_table(read_results(self.results)))


def read_grid(path: Path) -> Grid:
    """Read a grid file.

    Raises:
        ConfigError: it is missing or says something that no grid says.
    """
    try:
        data = parse_yaml(path.read_text(encoding="utf-8"))
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
    if command and name in _STAGES:
        raise ConfigError(
            f"{path}: {name} is the name of a stage that all methods share; give this training another one"
        )
    idle = [key for key in ("settings", "after", "same_cpu_as", "same_rows_as") if said.get(key)]
    if idle and not command:
        raise ConfigError(
            f"{path}: {name} has no command and stands for the warm start itself, so that {', '.join(idle)} "
            f"would have no effect; add a command ({', '.join(_METHOD_COMMANDS)}), or leave them out"
        )
    return Method(name=name, **said)


def replace_table(path: Path, table: str) -> None:
    """Put a table between the markers of a Markdown file, which is made if it is missing.

    Raises:
        ConfigError: the file has no markers.
    """
    begin, end = "<!-- results: begin -->", "<!-- results: end -->"
    text = path.read_text(encoding="utf-8") if path.exists() else f"# Results\n\n{begin}\n{end}\n"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ConfigError(
            f"{path} has no {begin} … {end}; add them where the table belongs, or give --table ''"
        )
    path.write_text(f"{head}{begin}\n{table}{end}{tail}", encoding="utf-8")


def _trained(chain: Chain, grid: Grid, method: Method) -> Stage:
    """The stage that trains the model of a method, after those that it builds on."""
    if not method.command:
        return chain.warm_start
    settings = dict(method.settings)
    if method.same_cpu_as:
        settings["max_cpu_s"] = _trained(chain, grid, grid.method(method.same_cpu_as)).cpu_s
    if method.same_rows_as:
        other = _trained(chain, grid, grid.method(method.same_rows_as))
        rows = _rows_of(other)
        if rows is None:  # 0 would be no limit
            raise ConfigError(
                f"{method.name} is to train on as many rows as {method.same_rows_as}, but the checkpoint in "
                f"{other.folder} counts none; move that folder away, so that the training is done again"
            )
        settings["max_rows"] = rows
    start = None
    if method.after:
        before = grid.before(method)
        start = chain.grounding if before is None else _trained(chain, grid, before)
    return chain.method(method.name, method.command, settings, start=start)


def _trained_rows(chain: Chain, grid: Grid, method: Method) -> int | None:
    """Rows that the model of a method was trained on since it was the base; None if a stage counted none."""
    rows, before = _rows_of(_trained(chain, grid, method)), grid.before(method)
    if rows is None or before is None:
        return rows
    earlier = _trained_rows(chain, grid, before)
    return None if earlier is None else rows + earlier


def _rows_of(trained: Stage) -> int | None:
    """Rows that a training trained on, as its last checkpoint counted them; None if it counted none."""
    checkpoints = Checkpoints(trained.folder).complete()
    return (load_state(checkpoints[-1]).rows_trained or None) if checkpoints else None


def _device_steps(chain: Chain, grid: Grid, method: Method) -> int:
    """Live steps of the training of a method, and of those whose model it started from."""
    before = grid.before(method)
    steps = 0 if before is None else _device_steps(chain, grid, before)
    if method.command == "train online":
        store = TrajectoryStore.open(_trained(chain, grid, method).folder / "trajectories")
        steps += sum(len(trajectory.steps) for trajectory in store)
    return steps


def _error_split(replay: Mapping[str, Any]) -> dict[str, float]:
    """Shares of steps that planner and actor got wrong after expert history; none for a flat agent."""
    errors = replay.get("errors")
    if not errors:
        return {}
    split = errors["expert_history"]
    return {f"{name}_errors": round(split[name]["value"], 4) for name in ("planner", "actor", "unread")}
