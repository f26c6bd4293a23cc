"""`gui-agent train …`: what the training commands need is wired together here."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devices.farm.opening import is_used_by_one, share_of
from devices.farm.status import STATUS_FILE
from devices.registry import draw_labelled_screens, resolve_suite
from eval.live import LiveScore, evaluation_tasks, live_score, training_tasks
from gui_agent.agent_spec import AgentSpec
from gui_agent.cli.agents import lock_step_devices
from gui_agent.cli.devices import answer_at_once, check_devices, default_devices, open_devices
from gui_agent.cli.folders import make_folder
from gui_agent.cli.model_defaults import Trained, warn_of_other_ways
from gui_agent.cli.signals import run_holding_devices
from gui_agent.coordinates import ScreenGeometry
from gui_agent.device import Task, TaskSource
from gui_agent.errors import ConfigError
from gui_agent.formats.compact import CompactFormat, compact_vocabulary
from gui_agent.formats.registry import get_format
from gui_agent.matching import get_matcher
from gui_agent.observation import LabelledScreen
from gui_agent.policies.checkpoint_folder import stated_image_budget
from gui_agent.policies.opening import PolicySource
from gui_agent.policy import SamplingParams
from trainers.algorithms import configured_algorithm
from trainers.grounding.config import GroundingConfig
from trainers.online_config import OnlineConfig
from trainers.recordings import read_recordings
from trainers.requirements import check_algorithm, check_recorded_states
from trainers.rewards.requirements import check_reward
from trainers.rl_config import RLConfig
from trainers.semi_online_config import SemiOnlineConfig
from trainers.sft_config import SFTConfig
from trainers.without_effect import warn_without_effect
from trajectories.collect import collect_episodes, group_jobs
from trajectories.records import Trajectory
from trajectories.replay_task import ReplayTask

if TYPE_CHECKING:  # these import torch, which --help does without
    from gui_agent.policies.transformers_policy import TransformersPolicy
    from trainers.loop import TrainResult

_HELD_OUT_SCREENS_SEED = 1_000_000
_BPE_VOCAB_SIZE = 1024
_CORPUS_TASKS = 500


@dataclass(frozen=True, kw_only=True)
class Grounding(GroundingConfig):
    """Teach a model where things are, from screens with labelled boxes.

    A pretrained model is given with --model. Without one a tiny model is built first, with a tokenizer
    for the words of the suite, and goes through dense stages that make a model of random weights see
    within minutes. Boxes are labels of recorded screens; they are never part of a prompt.

    Examples:
        gui-agent train grounding --recipe quickstart --seed 1 --output-dir runs/grounding
        gui-agent train grounding --suite phone/quickstart --output-dir runs/grounding
        gui-agent train grounding --model Qwen/Qwen2.5-VL-3B-Instruct --dense none --suite phone/phone \\
            --format ui_s1 --learning-rate 1e-5 --dtype bfloat16 --device cuda:0 --output-dir runs/3b

    Attributes:
        suite: whose screens to learn from.
        format: prompt format of questions and answers.
        num_screens: labelled screens to draw for training.
        num_held_out: labelled screens to test on.
        family: architecture of the tiny model built when no model is given: qwen3_vl or qwen2_5_vl.
    """

    model: str = ""
    suite: str = "phone/quickstart"
    format: str = "compact:snap_px=8"
    num_screens: int = 2000
    num_held_out: int = 300
    family: str = "qwen3_vl"

    def __post_init__(self) -> None:
        GroundingConfig.__post_init__(self)
        if self.num_screens < 1:
            raise ConfigError(f"num_screens is {self.num_screens}; expected 1 or more")
        if self.num_held_out < 0:
            raise ConfigError(f"num_held_out is {self.num_held_out}; expected 0 (no test) or more")

    def run(self) -> int:
        """Draw screens, build the tiny model if there is none, train, test and save."""
        from trainers.grounding.training import train_grounding

        get_format(self.format)  # a wrong name is told before a screen is drawn
        make_folder(self.output_dir, "output_dir")
        suite = resolve_suite(self.suite)
        screens = asyncio.run(draw_labelled_screens(suite, self.num_screens, self.seed))
        held_out = asyncio.run(
            draw_labelled_screens(suite, self.num_held_out, _HELD_OUT_SCREENS_SEED + self.seed)
        )
        model = self.model or str(self._build(suite, screens))
        config = replace(self, model=model)
        report = train_grounding(config, screens, held_out, self.format)
        summary = asdict(report) | {"model_dir": str(report.model_dir)}
        (self.output_dir / "grounding.json").write_text(
            json.dumps(summary, indent=1) + "\n", encoding="utf-8"
        )
        accuracy = "not tested" if report.accuracy is None else f"{report.accuracy:.1%} of held-out questions"
        print(f"pointing: {accuracy}; {report.cpu_s:.0f} CPU-s; model in {report.model_dir}")
        return 0

    def dry_run(self) -> int:
        """Check what can be checked without drawing a screen."""
        get_format(self.format)
        suite = resolve_suite(self.suite)
        start = self.model or f"a new tiny {self.family} model"
        print(f"would train {start} on {self.num_screens} screens of {suite.suite} into {self.output_dir}")
        return 0

    def _build(self, suite: TaskSource, screens: Sequence[LabelledScreen]) -> Path:
        from trainers.tiny_model import TinyModelConfig, build_tiny_model

        prompt_format = get_format(self.format)
        if not isinstance(prompt_format, CompactFormat):
            raise ConfigError(
                f"a tiny model speaks the compact format, not {self.format!r}; give --format compact, "
                "or --model with a pretrained checkpoint"
            )
        config = TinyModelConfig(family=self.family, number_tokens=0, bpe_vocab_size=_BPE_VOCAB_SIZE)  # type: ignore[arg-type]
        sizes = {(each.screenshot.width_px, each.screenshot.height_px) for each in screens}
        budget = config.image_budget.limited(self.image_max_pixels)
        seen = [ScreenGeometry.of(width, height, budget) for width, height in sizes]
        largest = max(max(each.resized_width_px, each.resized_height_px) for each in seen)
        words = compact_vocabulary(max_coordinate=largest - 1, snap_px=prompt_format.options.snap_px)
        config = replace(config, macro_tokens=tuple(words))
        return build_tiny_model(config, self._corpus(suite, screens), self.output_dir / "initial", self.seed)

    def _corpus(self, suite: TaskSource, screens: Sequence[LabelledScreen]) -> Iterable[str]:
        """The words that a model of this suite reads and writes, with every name and goal."""
        names = {element.name for screen in screens for element in screen.elements}
        # The thoughts of experts whose target is no element.
        names |= {"done", "home", "back", "close"}
        goals = {task.goal for task in training_tasks(suite, _CORPUS_TASKS, seed=0)}
        goals |= {screen.goal for screen in screens}
        goals |= {self.goal.format(name=name) for name in names}
        goals |= {self.button_goal.format(name=button.value) for button in self.buttons}
        frame = ["user\n", "assistant\n", "system\n"]
        # Every word often enough to become one token, however rare its instances are.
        return [text for text in sorted(names | goals | set(frame)) for _ in range(30)]


@dataclass(frozen=True, kw_only=True)
class Sft(SFTConfig):
    """Imitate recorded expert trajectories: the supervised warm start before reinforcement learning.

    Prompts are built by the same format, with the same history, as when the agent acts. The finished
    model is an ordinary checkpoint folder below the output folder.

    Examples:
        gui-agent train sft --recipe quickstart --model runs/grounding/model --data runs/demonstrations
        gui-agent train sft --model Qwen/Qwen2.5-VL-7B-Instruct --data runs/android_control --lora-rank 32 \\
            --bf16 --gradient-checkpointing --image-max-pixels 1003520 --output-dir runs/sft
    """

    def run(self) -> int:
        """Train and say where the model is."""
        from trainers.sft import train_sft

        _check_folders(self, self.data)
        return _finish(train_sft(self), self.output_dir)

    def dry_run(self) -> int:
        """Check names and folders."""
        return _preview(self, self.data)


@dataclass(frozen=True, kw_only=True)
class SemiOnline(SemiOnlineConfig):
    """Reinforcement learning on recorded trajectories that are replayed as if live (UI-S1).

    The policy answers with its own history; where it departs from the expert, the expert's action is
    patched in while the budget lasts. With --single-step every step is sampled alone with the expert's
    history, which is what UI-S1 calls offline RL. A recipe of a whole chain needs no --model and no --data:
    the stages before run first, unless they have, and a report comes after, as with `gui-agent pipeline`.

    Examples:
        gui-agent train semi-online --recipe hierarchical_quickstart
        gui-agent train semi-online --recipe quickstart --model runs/sft/model --data runs/demonstrations
        gui-agent train semi-online --model runs/sft/model --data runs/demonstrations --algorithm gigpo \\
            --patch-budget -1 --learning-rate 1e-4 --output-dir runs/gigpo
        gui-agent train semi-online --agent hierarchical --algorithm foresight:probes=2 --lora-rank 32 \\
            --schedule alternating:planner=1,actor=1 --model runs/sft/model --data runs/demonstrations
        gui-agent train semi-online --recipe quickstart --model runs/sft/model --data runs/demonstrations \\
            --resume-from-checkpoint true

    Attributes:
        eval_suite: every `eval_steps` updates, live success on held-out instances of this suite joins the
            metrics; empty measures nothing.
        eval_episodes_per_template: instances of every template for that.
    """

    eval_suite: str = ""
    eval_episodes_per_template: int = 5

    def run(self) -> int:
        """Train and say where the model is."""
        from trainers.semi_online import train_semi_online

        _check_folders(self, self.data)
        hook = LiveHook.of(self, self.eval_suite, self.eval_episodes_per_template)
        result = asyncio.run(train_semi_online(self, evaluator_for=hook))
        return _finish(result, self.output_dir)

    def dry_run(self) -> int:
        """Check names and folders."""
        get_matcher(self.matcher)
        algorithm = configured_algorithm(self)
        check_algorithm(self, algorithm, online=False)
        check_reward(self.reward, online=False)
        LiveHook.of(self, self.eval_suite, self.eval_episodes_per_template)
        if algorithm.needs_elements and self.data != Path():
            from trainers.semi_online import replay_tasks

            check_recorded_states(algorithm, replay_tasks(self))
        return _preview(self, self.data)


@dataclass(frozen=True, kw_only=True)
class LiveHook:
    """Measures live success of a policy while it is being trained."""

    suite: str
    episodes_per_template: int
    agent: AgentSpec
    seed: int

    @classmethod
    def of(cls, config: RLConfig, suite: str, episodes_per_template: int) -> LiveHook | None:
        """The hook that a training asks for; None where it asks for none.

        Raises:
            ConfigError: it asks for one without saying of what, or of what is not there.
        """
        if not config.eval_steps:
            if suite:
                words = "has no effect without eval_steps, the updates between two evaluations"
                warnings.warn(f"eval_suite={suite} {words}", stacklevel=2)
            return None
        if not suite:
            raise ConfigError(
                f"eval_steps is {config.eval_steps}, but eval_suite is empty: there is nothing to measure; "
                "give --eval-suite, such as phone/quickstart, or set eval_steps to 0"
            )
        resolve_suite(suite)  # a wrong name is told before the first evaluation is due
        return cls(
            suite=suite,
            episodes_per_template=episodes_per_template,
            agent=replace(
                config.agent_spec,
                params=SamplingParams(temperature=0.0, max_new_tokens=config.max_completion_length),
            ),
            seed=config.seed,
        )

    def __call__(self, policy: TransformersPolicy) -> Callable[[int], Awaitable[dict[str, Any]]]:
        """The function that the training loop calls with its number of updates; every process calls it.

        Raises:
            ConfigError: several processes would evaluate on the same phones.
        """
        from trainers.processes import this_process

        devices, number = default_devices(self.suite), this_process().num_processes
        if number > 1 and is_used_by_one(devices):
            raise ConfigError(
                f"eval_suite={self.suite} runs on {devices}, which {number} processes would use at once; set "
                "eval_steps to 0 and score checkpoints with gui-agent eval run, or train with one process"
            )

        async def evaluate(update: int) -> dict[str, Any]:
            score = await self._score(policy)
            value = None if score.success is None else score.success.value
            return {"live_success": value, "live_unscored": score.unscored}

        return evaluate

    async def _score(self, policy: TransformersPolicy) -> LiveScore:
        suite = resolve_suite(self.suite)
        tasks = evaluation_tasks(suite, self.episodes_per_template)
        async with open_devices("", suite) as factory:
            records = collect_episodes(
                group_jobs(tasks, seed=self.seed, prefix="eval-"),
                lock_step_devices(factory, policy),
                self.agent.agent_for(policy),
                concurrency=factory.capacity,
                ordered=True,
                track_progress=False,
                observe_end=False,
            )
            return live_score([record.trajectory async for record in records])


def _finish(result: TrainResult, output_dir: Path) -> int:
    from trainers.processes import this_process

    if not this_process().is_main_process:
        return 0
    skipped = result.recordings_skipped
    left_out = f"{skipped} damaged recordings or files were left out; " if skipped else ""
    print(
        f"{result.updates} updates, {result.optimizer_steps} optimiser steps ({result.cause.value}), "
        f"{result.cpu_s:.0f} CPU-s; {left_out}model in {output_dir / 'model'}"
    )
    return 0


def _check_start(config: SFTConfig | RLConfig) -> None:
    """The models that a training begins with, as far as can be told before they are loaded."""
    if not config.model:
        raise ConfigError("no model: give --model with a checkpoint folder or a name on the hub")
    model = PolicySource(model=config.model)
    model.check()
    if isinstance(config, SFTConfig):  # it may teach what the model does not know
        return
    actor, planner = (
        PolicySource.named(partner) if partner else model for partner in (config.actor, config.planner)
    )
    for partner in (actor, planner):
        partner.check()
    warn_of_other_ways(
        config.agent_spec, actor=Trained.before_opening(actor), planner=Trained.before_opening(planner)
    )


def _check_folders(config: SFTConfig | SemiOnlineConfig, data: Path) -> None:
    _require_data(data)
    _check_start(config)
    make_folder(config.output_dir, "output_dir")


def _require_data(data: Path) -> None:
    if data == Path():
        raise ConfigError(
            "no data: give --data with a trajectory store, such as gui-agent collect writes; gui-agent "
            "pipeline makes its own"
        )


def _preview(config: SFTConfig | SemiOnlineConfig, data: Path) -> int:
    config.agent_spec.check()
    _require_data(data)
    _check_start(config)
    warn_without_effect(config)
    recordings = read_recordings(config)
    for trajectory in recordings.trajectories:  # what cannot be replayed is told here
        ReplayTask.from_trajectory(trajectory, recordings.screenshots)
    number = len(recordings.trajectories)
    tokens = _tokens_of_screens(config, recordings.trajectories)
    print(f"would train {config.model} on {number} trajectories of {data} into {config.output_dir}{tokens}")
    return 0


def _tokens_of_screens(config: SFTConfig | SemiOnlineConfig, trajectories: Sequence[Trajectory]) -> str:
    """What the commonest screen costs, where the model is a folder and says how pictures reach it.

    Raises:
        ConfigError: `image_max_pixels` is below the smallest picture of the model, or too low for a screen.
    """
    steps = (step for trajectory in trajectories for step in trajectory.steps)
    sizes = Counter((step.width_px, step.height_px) for step in steps if step.width_px and step.height_px)
    budget = stated_image_budget(config.model)
    if budget is None or not sizes:
        return ""
    budget = budget.limited(config.image_max_pixels)
    seen = {size: ScreenGeometry.of(*size, budget).num_tokens(budget.factor) for size in sizes}
    (width_px, height_px), _ = sizes.most_common(1)[0]
    return f"; a screenshot of {width_px}x{height_px} is {seen[width_px, height_px]:,} tokens"


@dataclass(frozen=True, kw_only=True)
class Online(OnlineConfig):
    """Reinforcement learning on live phones and browsers, judged by each task's own check.

    Every task is one group of sibling episodes. A device that breaks is never the agent's fault: its
    episode runs again on another device, or its group is dropped, as --fault-strategy says. Devices form a
    farm, which brings those back that fail; `gui-agent farm status OUTPUT_DIR` shows it. On phones behind
    adb no episode waits for another, whatever --deterministic says.

    Examples:
        gui-agent train online --suite phone/quickstart --model runs/sft/model --max-updates 20 \\
            --format compact:snap_px=8 --learning-rate 3e-4 --output-dir runs/online
        gui-agent train online --suite miniwob/quickstart --devices browser:4 --model runs/web/model \\
            --algorithm salt:history=1 --output-dir runs/web-online
        gui-agent train online --suite phone/quickstart --devices adb-phone:4 --model runs/sft/model \\
            --algorithm gigpo --output-dir runs/adb
        gui-agent train online --suite phone/long --agent hierarchical --algorithm foresight:lookahead=2 \\
            --lora-rank 32 --model runs/sft/model --output-dir runs/joint
        gui-agent train online --suite phone/quickstart --model runs/sft/model --algorithm gigpo \\
            --reward process:outcome=1,progress=0.5,no_op=-0.1,repeated_action=-0.1 --output-dir runs/process

    Attributes:
        devices: where episodes run, such as phone:16, browser:4, android:all, adb-phone:4, avd:NAME:4
            (unverified: not tried with a real emulator), or any of these on a Ray cluster: ray+phone:4. By
            default phone:64, or browser:2 for web pages. Of several processes each opens as many; phones that
            are named (android:SERIAL,SERIAL) are dealt out among them. See docs/devices.md.
        eval_suite: every `eval_steps` updates, live success on held-out instances of this suite joins the
            metrics; empty measures nothing.
        eval_episodes_per_template: instances of every template for that.
    """

    devices: str = ""
    eval_suite: str = ""
    eval_episodes_per_template: int = 5

    def run(self) -> int:
        """Train and say where the model is."""
        return _finish(run_holding_devices(self._run()), self.output_dir)

    def dry_run(self) -> int:
        """Check names."""
        self.agent_spec.check()
        check_algorithm(self, configured_algorithm(self), online=True)
        check_reward(self.reward, online=True)
        suite = resolve_suite(self.suite)
        check_devices(self.devices, suite)
        _check_start(self)
        LiveHook.of(self, self.eval_suite, self.eval_episodes_per_template)
        warn_without_effect(self)
        tasks = self._tasks(suite)
        print(f"would train {self.model} on {len(tasks)} instances of {self.suite} into {self.output_dir}")
        return 0

    def _tasks(self, suite: TaskSource) -> list[Task]:
        return training_tasks(suite, self.task_seeds * len(suite.templates), seed=self.seed)

    async def _run(self) -> TrainResult:
        from trainers.online import train_online
        from trainers.processes import build_accelerator, this_process

        _check_start(self)
        build_accelerator(self)  # before devices are opened: it knows how many processes there are
        process = this_process()
        make_folder(self.output_dir, "output_dir")
        suite = resolve_suite(self.suite)
        hook = LiveHook.of(self, self.eval_suite, self.eval_episodes_per_template)
        in_step = self.deterministic and answer_at_once(self.devices, self.suite)
        config = replace(self, deterministic=in_step)
        devices = share_of(
            self.devices or default_devices(self.suite),
            rank=process.process_index,
            num_processes=process.num_processes,
        )
        status = self.output_dir / STATUS_FILE if process.is_main_process else None
        async with open_devices(devices, suite, status_path=status) as factory:
            return await train_online(config, tasks=self._tasks(suite), devices=factory, evaluator_for=hook)
