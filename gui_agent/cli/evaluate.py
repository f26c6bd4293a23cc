"""`gui-agent eval run`: live success on held-out instances, and replay of recorded trajectories."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from devices.farm.status import STATUS_FILE
from devices.registry import resolve_suite
from eval.live import LiveScore, evaluation_tasks, live_score
from eval.oracles import Oracle, agent_with_oracle
from eval.responses import count_responses
from gui_agent import __version__
from gui_agent.agent_spec import AgentFor, AgentKind
from gui_agent.cli.agents import AgentOptions, agents_for, lock_step_devices, open_policy
from gui_agent.cli.collect import progress_bar
from gui_agent.cli.config import plain
from gui_agent.cli.devices import answer_at_once, check_devices, open_devices
from gui_agent.cli.evaluate_replay import Play, ReplayEvaluation, effect_of_subgoals
from gui_agent.cli.folders import make_folder
from gui_agent.cli.horizon_report import has_horizon, print_horizon, write_horizon_page
from gui_agent.cli.oracle_report import print_errors, print_oracles
from gui_agent.cli.signals import run_holding_devices
from gui_agent.cli.stopwatch import Stopwatch
from gui_agent.device import DeviceFactory, Task, TaskSource
from gui_agent.errors import ConfigError, DataError
from gui_agent.matching import get_matcher
from gui_agent.policy import Policy
from trainers.rewards import SAMPLING_LIMIT
from trajectories.collect import EpisodeLabels, collect_episodes, group_jobs
from trajectories.damage import OnDamage
from trajectories.records import EpisodeRecord, Trajectory
from trajectories.store import TrajectoryStore
from trajectories.subgoals import SubgoalSource, with_subgoals

_CONCURRENCY = 64
_MADE_BY = "eval run"
Episodes = Callable[[Sequence[Task], DeviceFactory, str], AsyncIterator[EpisodeRecord]]
"""Runs the agent on tasks, and hands out each episode in its turn; see `Play`."""


@dataclass(frozen=True, kw_only=True)
class EvalRun:
    """Score a model: live on held-out instances of a suite, by replay of recorded trajectories, or both.

    Live success is judged by each task's own check on instances that training never draws. Replay gives
    SOP (progress before the first mismatch with the model's own history) and single-step metrics with
    the expert's history. The report names everything the figures depend on: suite, instances, matcher,
    prompt format, resolution and code version. At temperature 0 a second run gives the same figures.

    How long an agent stays right is asked for with --horizon (accuracy by depth, and the number of steps
    it gets through) and --history-error-rate (accuracy when its history says that it has erred). The replay
    of a hierarchical agent tells for each error whether it is the planner's or the actor's; --oracle scores
    each of the two with a perfect partner.

    Examples:
        gui-agent eval run --recipe quickstart --agent.model runs/quickstart/semi_online/model
        gui-agent eval run --suite miniwob/quickstart --devices browser:2 --agent.model runs/web/model
        gui-agent eval run --data runs/android_control --agent.endpoint http://127.0.0.1:8000/v1 \\
            --agent.model UI-S1-7B --matcher distance_only --output-dir runs/eval
        gui-agent eval run --data runs/held_out --agent.model runs/quickstart/semi_online/model \\
            --horizon --history-error-rate 0 0.25 0.5
        gui-agent eval run --suite phone/long --data runs/held_out --agent hierarchical \\
            --agent.model runs/joint/model --oracle planner actor --output-dir runs/blame

    Attributes:
        agent: the model to score.
        output_dir: where eval.json and the evaluated episodes go.
        suite: tasks to run live; empty skips live evaluation.
        devices: where to run them, such as phone:4, browser:2, android:all, adb-phone:4, avd:NAME:4
            (unverified: not tried with a real emulator), or any of these on a Ray cluster: ray+phone:4. By
            default phone:64, or browser:2 for web pages. See docs/devices.md.
        episodes_per_template: held-out instances of every template.
        first_instance: number of the first of them; a recipe that was tuned on the instances from 0 on is
            judged fairly on others.
        training_data: store of the training trajectories, or several; instances and recordings that begin
            in the same state with the same goal as one of them are left out and counted.
        data: store of trajectories to replay; empty skips replay.
        max_trajectories: replay only the first so many; 0 replays all.
        matcher: rules that decide whether two actions are the same deed.
        horizon: in replay, measure step and prefix accuracy by depth, with the expert's history and with the
            agent's own, and the horizon; also writes horizon.html.
        history_error_rate: in replay, measure step accuracy while each remembered step is wrong with this
            probability, from 0 to 1; several are measured one after the other.
        oracle: score the agent again with an oracle in the place of its planner (execution alone: subgoals
            of the expert) or of its actor (planning alone: subgoals taken at their word); both are scored one
            after the other.
        subgoals: in replay, where the subgoals of recorded steps come from, for a hierarchical agent's
            history and an oracle planner.
        seed: of sampling noise, of the intervals of replay and of wrong histories.
    """

    agent: AgentOptions = field(default_factory=AgentOptions)
    output_dir: Path = Path("runs/eval")
    suite: str = ""
    devices: str = ""
    episodes_per_template: int = 20
    first_instance: int = 0
    training_data: Path | tuple[Path, ...] | None = None
    data: Path | None = None
    max_trajectories: int = 0
    matcher: str = "ui_s1"
    horizon: bool = False
    history_error_rate: tuple[float, ...] = ()
    oracle: tuple[Oracle, ...] = ()
    subgoals: SubgoalSource = SubgoalSource.DATA_ELSE_TEMPLATE
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.suite and self.data is None:
            raise ConfigError("nothing to score: give --suite for live tasks, --data for replay, or both")
        if self.data is None and (self.horizon or self.history_error_rate):
            raise ConfigError("horizon and history_error_rate are measured by replay: give --data as well")
        for rate in self.history_error_rate:
            if not 0 <= rate <= 1:
                raise ConfigError(f"history_error_rate is {rate}; expected a probability from 0 to 1")
        if Oracle.ACTOR in self.oracle and self.agent.kind is AgentKind.FLAT:
            raise ConfigError(
                "oracle actor leaves the planner alone, and a flat agent has none; say --agent hierarchical, "
                "or take oracle planner, which gives subgoals to a flat model"
            )
        if self.episodes_per_template < 1:
            raise ConfigError(f"episodes_per_template is {self.episodes_per_template}; expected 1 or more")
        for name in ("first_instance", "max_trajectories", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0 or more")

    def run(self) -> int:
        """Evaluate, print a table and write eval.json."""
        report = run_holding_devices(replace(self, agent=self.agent.placed()).evaluate())
        _print(report, self.output_dir)
        return 0

    def dry_run(self) -> int:
        """Resolve everything that can be resolved without a model."""
        self.agent.require_model()
        get_matcher(self.matcher)
        if self.suite:
            suite = resolve_suite(self.suite)
            check_devices(self.devices, suite)
            print(f"would run {len(self._tasks(suite))} held-out instances of {self.suite}")
        if self.data is not None:
            print(f"would replay {len(TrajectoryStore.open(self.data))} trajectories of {self.data}")
        return 0

    async def evaluate(self) -> dict[str, Any]:
        """All figures as JSON-ready values; they are also in `output_dir`/eval.json."""
        watch = Stopwatch()
        report: dict[str, Any] = {"code_version": __version__, "config": plain(self)}
        self._check_inputs()
        in_step = answer_at_once(self.devices, self.suite)
        async with open_policy(self.agent, lock_step=in_step) as policy:
            report["image_budget"] = asdict(policy.image_budget)
            # First, because devices without experts or recordings without labels refuse an oracle.
            oracles = {
                oracle.value: await self._sections(
                    policy, agent_with_oracle(oracle, self.agent.spec, policy), oracle=oracle
                )
                for oracle in dict.fromkeys(self.oracle)
            }
            report |= await self._sections(policy, agents_for(policy, self.agent))
            if oracles:
                report["oracles"] = oracles
                self._compare(report)
        report |= {"cpu_s": round(watch.cpu_s, 2), "wall_s": round(watch.wall_s, 2)}
        if has_horizon(report):
            page = write_horizon_page(self.output_dir / "horizon.html", report, model=self.agent.model)
            report["horizon_page"] = str(page)
        (self.output_dir / "eval.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        return report

    def _compare(self, report: dict[str, Any]) -> None:
        """Say what the expert's subgoals changed, where the agent has its own."""
        given = report["oracles"].get(Oracle.PLANNER.value, {}).get("replay")
        if given and self.agent.kind is AgentKind.HIERARCHICAL:
            given["effect_of_subgoals"] = effect_of_subgoals(report["replay"], given, seed=self.seed)

    def _check_inputs(self) -> None:
        """Names and folders, before anything expensive is done."""
        get_matcher(self.matcher)
        if self.suite:
            resolve_suite(self.suite)
        for store in (self.data, *self._training_stores):
            if store is not None:
                TrajectoryStore.open(store)
        make_folder(self.output_dir, "output_dir")
        for folder in ("episodes", *(f"episodes_oracle_{oracle.value}" for oracle in self.oracle)):
            _refuse_foreign(self.output_dir / folder)
            _refuse_foreign(_unfinished(self.output_dir / folder))

    def _tasks(self, suite: TaskSource) -> list[Task]:
        return evaluation_tasks(suite, self.episodes_per_template, first=self.first_instance)

    @property
    def _training_stores(self) -> tuple[Path, ...]:
        if self.training_data is None:
            return ()
        return self.training_data if isinstance(self.training_data, tuple) else (self.training_data,)

    async def _sections(
        self, policy: Policy, agent_for: AgentFor, *, oracle: Oracle | None = None
    ) -> dict[str, Any]:
        """Live success and replay of one agent, whatever of them was asked for."""
        sections = {}
        episodes = partial(self._episodes, policy, agent_for)

        async def play(tasks: Sequence[Task], factory: DeviceFactory, what: str) -> list[EpisodeRecord]:
            return [record async for record in episodes(tasks, factory, what)]

        if self.suite:
            folder = f"episodes_oracle_{oracle.value}" if oracle else "episodes"
            sections["live"] = await self._live(episodes, self.output_dir / folder)
        if self.data is not None:
            sections["replay"] = await self._replay(play, self.data, oracle)
        return sections

    async def _live(self, episodes: Episodes, folder: Path) -> dict[str, Any]:
        suite = resolve_suite(self.suite)
        tasks = self._tasks(suite)
        status = self.output_dir / STATUS_FILE
        records: list[EpisodeRecord] = []
        unfinished = _unfinished(folder)
        try:
            async with open_devices(self.devices, suite, status_path=status) as factory:
                async for record in episodes(tasks, factory, "live"):
                    records.append(record)
        except Exception as error:
            if records:
                _keep(unfinished, records)
                error.add_note(f"{len(records)} of {len(tasks)} episodes had ended; they are in {unfinished}")
            raise
        unseen = self._unseen(record.trajectory for record in records)
        _keep(folder, records)
        if (unfinished / "meta.json").exists():  # of an earlier try: a store of ours, as was checked
            shutil.rmtree(unfinished)
        score = live_score(unseen)
        return {
            "suite": self.suite,
            "first_seed": tasks[0].seed,
            "instances": len(tasks),
            "seen_in_training": len(records) - len(unseen),
            "resolution": _resolution(unseen),
            **_live_json(score),
            "responses": asdict(count_responses(record.trajectory for record in records)),
        }

    def _unseen(self, trajectories: Iterable[Trajectory]) -> list[Trajectory]:
        """Those that begin otherwise than all trajectories trained on."""
        stores = [TrajectoryStore.open(path) for path in self._training_stores]
        known = _starts(trajectory for store in stores for trajectory in store)
        return [trajectory for trajectory in trajectories if not _starts([trajectory]) & known]

    async def _replay(self, play: Play, data: Path, oracle: Oracle | None) -> dict[str, Any]:
        store = TrajectoryStore.open(data)
        recorded = list(store)[: self.max_trajectories or None]
        trajectories = self._unseen(recorded)
        if recorded and not trajectories:
            raise DataError(
                f"all {len(recorded)} trajectories of {data} begin like one of training_data, so nothing is "
                "held out; give other recordings, or leave training_data out"
            )
        if oracle or self.agent.kind is AgentKind.HIERARCHICAL:
            trajectories = [with_subgoals(trajectory, self.subgoals) for trajectory in trajectories]
        evaluation = ReplayEvaluation(
            trajectories=trajectories,
            screenshots=store.screenshots,
            matcher=get_matcher(self.matcher),
            seed=self.seed,
            play=play,
            planner_format=self.agent.spec.get_planner_format(),
            horizon=self.horizon,
            history_error_rates=self.history_error_rate,
            oracle=oracle,
        )
        seen = len(recorded) - len(trajectories)
        return {"data": str(data), "seen_in_training": seen, **await evaluation.figures()}

    async def _episodes(
        self,
        policy: Policy,
        agent_for: AgentFor,
        tasks: Sequence[Task],
        factory: DeviceFactory,
        what: str,
    ) -> AsyncIterator[EpisodeRecord]:
        with progress_bar() as progress:
            bar = progress.add_task(what, total=len(tasks))
            running = collect_episodes(
                group_jobs(tasks, seed=self.seed, prefix=f"{what}-"),
                lock_step_devices(factory, policy),
                agent_for,
                concurrency=max(1, min(factory.capacity, _CONCURRENCY)),
                ordered=True,
                labels=EpisodeLabels(
                    suite=self.suite,
                    split="eval",
                    policy_name=self.agent.model,
                    source={SAMPLING_LIMIT: self.agent.max_completion_length},
                ),
            )
            async for record in running:
                progress.advance(bar)
                yield record


def _starts(trajectories: Iterable[Trajectory]) -> set[tuple[str, str | None]]:
    """What an instance is to an agent: the goal, and the state in which it begins."""
    return {
        (trajectory.goal, trajectory.steps[0].state_key_before or trajectory.steps[0].screenshot_sha256)
        for trajectory in trajectories
        if trajectory.steps
    }


def _refuse_foreign(path: Path) -> None:
    """Episodes of an earlier evaluation are replaced, but nobody else's."""
    if (path / "meta.json").exists():
        made_by = TrajectoryStore.open(path, on_damage=OnDamage.SKIP).meta.get("source", {}).get("made_by")
        if made_by != _MADE_BY:
            raise ConfigError(
                f"{path} holds trajectories that no evaluation wrote and that this one would replace; choose "
                "another output_dir"
            )


def _unfinished(episodes: Path) -> Path:
    """Where the episodes of an evaluation that failed on the way are kept: they are no result."""
    return episodes.with_name(f"{episodes.name}_unfinished")


def _keep(path: Path, records: Sequence[EpisodeRecord]) -> None:
    """Store the episodes; those of an earlier evaluation into the same folder are replaced."""
    store = TrajectoryStore.open_or_create(path, source={"made_by": _MADE_BY})
    store.truncate(0)
    store.append(records)


def _resolution(trajectories: Sequence[Trajectory]) -> str:
    sizes = {f"{step.width_px}x{step.height_px}" for trajectory in trajectories for step in trajectory.steps}
    return ", ".join(sorted(sizes))


def _live_json(score: LiveScore) -> dict[str, Any]:
    data = asdict(score)
    interval = data.pop("success")
    if interval is None:
        return {"success": None, "success_low": None, "success_high": None, **data}
    bounds = {"success_low": interval["low"], "success_high": interval["high"]}
    return {"success": interval["value"], **bounds, **data}


def _print(report: dict[str, Any], output_dir: Path) -> None:
    console = Console()
    if live := report.get("live"):
        table = Table("template", "success", "progress", "episodes", "unscored", "steps", title=live["suite"])
        for row in live["templates"]:
            figures = [_percent(row["success"]), _percent(row["progress"]), str(row["scored"])]
            steps = "–" if row["mean_steps"] is None else f"{row['mean_steps']:.1f}"
            table.add_row(row["template"], *figures, str(row["unscored"]), steps)
        console.print(table)
        bounds = f"{_percent(live['success_low'])} to {_percent(live['success_high'])}"
        console.print(
            f"success {_percent(live['success'])} (95 % interval {bounds}) of {live['scored']} episodes, "
            f"{live['unscored']} unscored, {live['claimed_but_failed']} claimed success and failed",
            soft_wrap=True,
        )
        _print_responses(console, live["responses"])
    if replay := report.get("replay"):
        words = f"replay of {replay['trajectories']} trajectories, matcher {replay['matcher']}"
        table = Table("metric", "value", "95 % interval", "of", title=words)
        for name, value in (*replay["sop"].items(), *replay["steps"].items()):
            if isinstance(value, dict) and "low" in value:
                bounds = f"{_percent(value['low'])} to {_percent(value['high'])}"
                table.add_row(name, _percent(value["value"]), bounds, str(value["count"]))
        console.print(table)
        if replay["refused"]:
            console.print(f"{len(replay['refused'])} trajectories could not be replayed; see eval.json")
        _print_responses(console, replay["responses"])
        print_errors(console, replay)
        print_horizon(console, replay)
    print_oracles(console, report)
    if page := report.get("horizon_page"):
        console.print(f"curves in {page}", markup=False, soft_wrap=True)
    times = f"{report['cpu_s']:.1f} CPU-s, {report['wall_s']:.1f} s"
    console.print(f"{times}; figures in {output_dir / 'eval.json'}", markup=False, soft_wrap=True)


def _print_responses(console: Console, counts: dict[str, Any]) -> None:
    if counts["unparsed"] or counts["cut_off"]:
        console.print(
            f"{counts['unparsed']} of {counts['decisions']} responses could not be read as an action, "
            f"{counts['cut_off']} were cut off at max_completion_length; the first: {counts['first_reason']}",
            markup=False,
            soft_wrap=True,
        )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
