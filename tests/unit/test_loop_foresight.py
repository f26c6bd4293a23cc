"""Joint training of planner and actor on a tiny random model, from recordings and live."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from gui_agent.actions import Action, Click, Finish
from gui_agent.agent import CandidateKind
from gui_agent.agent_spec import AgentKind
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import ConfigError
from gui_agent.observation import Screenshot
from gui_agent.policy import AgentRole
from trainers.algorithms import configured_algorithm, min_group_std
from trainers.annotate import step_credits
from trainers.choices import OnExhausted
from trainers.learner import Learner
from trainers.metrics import read_metrics
from trainers.online_config import OnlineConfig
from trainers.requirements import check_algorithm
from trainers.rows import Row
from trainers.semi_online import train_semi_online
from trainers.semi_online_config import SemiOnlineConfig
from trainers.sft import train_sft
from trainers.sft_config import SFTConfig
from trainers.tiny_model import TinyModelConfig, build_tiny_model
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore

TINY = TinyModelConfig(
    hidden_size=32, num_layers=2, num_heads=2, num_key_value_heads=1, mlp_size=64, vision_hidden_size=16,
    vision_depth=1, vision_heads=1, vision_mlp_size=32, bpe_vocab_size=300, number_tokens=60,
    macro_tokens=("click 14 14", "finish success"),
)  # fmt: skip
NUM_STEPS = 2
G = 4


def picture(number: int) -> Screenshot:
    image = Image.new("RGB", (56, 56), ("red", "green", "blue")[number % 3])
    ImageDraw.Draw(image).rectangle((number * 4, 8, number * 4 + 8, 16), fill="white")
    return Screenshot.from_image(image)


def recording(number: int) -> EpisodeRecord:
    shots = [picture(number), picture(number + 1)]
    actions: list[Action] = [Click(x=14, y=14), Finish()]
    steps = tuple(
        Step(
            index=i, screenshot_sha256=shot.sha256, width_px=56, height_px=56, requested=None,
            executed=action, expected=ExpertAction(action=action, subgoal=("tap it", "finish")[i]),
        )
        for i, (shot, action) in enumerate(zip(shots, actions, strict=True))
    )  # fmt: skip
    trajectory = Trajectory(
        episode_id=f"expert-{number}", task_id=f"task-{number}", template="tap", suite="tiny",
        goal=f"tap {number}", steps=steps, stop=StopReason.FINISHED, split="train",
        outcome=Outcome(verdict=Verdict.SUCCESS),
    )  # fmt: skip
    return EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot for shot in shots})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "experts"
    TrajectoryStore.create(path).append(recording(number) for number in range(3))
    return path


@pytest.fixture(scope="module")
def model_dir(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has seen a little of both roles, so that its answers differ in worth."""
    words = ["tap it 0 1 2", "finish", "plan"]
    random_model = build_tiny_model(TINY, words, tmp_path_factory.mktemp("tiny"), seed=0)
    config = SFTConfig(
        model=str(random_model), data=data, output_dir=tmp_path_factory.mktemp("sft") / "run", device="cpu",
        agent=AgentKind.HIERARCHICAL, format="compact", thoughts=False, learning_rate=5e-3, max_steps=26,
        num_train_epochs=100, rows_per_step=12, save_steps=0, logging_steps=100, lora_rank=0,
    )  # fmt: skip
    return train_sft(config).model_dir


def settings(model_dir: Path, data: Path, output_dir: Path, **changes: object) -> SemiOnlineConfig:
    values: dict[str, object] = {
        "model": str(model_dir), "data": data, "output_dir": output_dir, "format": "compact", "device": "cpu",
        "agent": AgentKind.HIERARCHICAL, "algorithm": "foresight", "lora_rank": 2, "lora_alpha": 4,
        "num_generations": G, "groups_per_update": 2, "max_updates": 2, "num_mini_batches": 1,
        "max_completion_length": 4, "learning_rate": 1e-2, "filter_std": 0.0, "patch_budget": -1,
        "on_exhausted": OnExhausted.TRAIN_ON_REST, "max_num_gen_batches": 1, "save_steps": 1, "beta": 0.0,
        "save_total_limit": 0,
    }  # fmt: skip
    return SemiOnlineConfig(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch) -> list[Counter[AgentRole]]:
    """Rows of each role, update by update, as the learner is given them."""
    seen: list[Counter[AgentRole]] = []
    update = Learner.update

    def counted(self: Learner, rows: list[Row], *rest: object) -> object:
        seen.append(Counter(row.role for row in rows))
        return update(self, rows, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "update", counted)
    return seen


def adapters(folder: Path) -> dict[str, bytes]:
    return {role: (folder / role / "adapter_model.safetensors").read_bytes() for role in ("planner", "actor")}


@pytest.mark.parametrize("probes", [1, 2])
async def test_an_update_samples_states_times_2g_plus_gk(
    model_dir: Path, data: Path, tmp_path: Path, probes: int
) -> None:
    algorithm = f"foresight:probes={probes}"
    config = settings(model_dir, data, tmp_path / "run", algorithm=algorithm, max_updates=1)
    result = await train_semi_online(config)
    (line,) = read_metrics(result.metrics_path)
    trunks = list(TrajectoryStore.open(config.output_dir / "trajectories"))
    assert len(trunks) == line["semi_online/episodes"] == 2  # one trunk per task
    steps = [step for trunk in trunks for step in trunk.steps]
    assert len(steps) == 2 * NUM_STEPS
    readable = [
        [each.subgoal is not None for each in step.candidates if each.kind is CandidateKind.SUBGOAL]
        for step in steps
    ]
    # A subgoal that cannot be read is tried by nobody.
    expected = sum(G + probes * sum(found) + G * found[0] for found in readable)
    assert line["completions/sampled"] == sum(step.num_samples for step in steps) == expected
    assert expected == len(steps) * (2 * G + G * probes) or not all(map(all, readable))
    credits = step_credits(trunks, config)
    for trunk in trunks:
        found = credits[trunk.episode_id]
        assert [each.reward for each in found] == [each.return_ for each in found]
    learnt_from = [each for found in credits.values() for each in found if each.advantage is not None]
    assert learnt_from
    assert line["rows"] > 0
    assert line["grad_norm"] > 0
    assert {"reward/planner_format", "reward/planner_execution"} <= set(line)
    assert line["sampling/sampling_logp_difference/max"] < 1e-4


@pytest.mark.parametrize(
    ("schedule", "roles"),
    [
        ("alternating", [AgentRole.PLANNER, AgentRole.ACTOR]),
        ("staged:actor_updates=1", [AgentRole.ACTOR, AgentRole.PLANNER]),
        ("planner_only", [AgentRole.PLANNER, AgentRole.PLANNER]),
    ],
)
async def test_who_rests_is_sampled_once_and_not_trained(
    model_dir: Path,
    data: Path,
    tmp_path: Path,
    learnt: list[Counter[AgentRole]],
    schedule: str,
    roles: list[AgentRole],
) -> None:
    config = settings(model_dir, data, tmp_path / "run", schedule=schedule)
    await train_semi_online(config)
    assert [set(counts) for counts in learnt] == [{role} for role in roles]
    for trunk in TrajectoryStore.open(config.output_dir / "trajectories"):
        resting = {AgentRole.PLANNER: CandidateKind.ACTION, AgentRole.ACTOR: CandidateKind.SUBGOAL}
        kind = resting[roles[trunk.update]]
        assert all(sum(each.kind is kind for each in step.candidates) <= 1 for step in trunk.steps)
    first = adapters(config.output_dir / "checkpoint-1" / "model")
    second = adapters(config.output_dir / "checkpoint-2" / "model")
    changed = {role for role in first if first[role] != second[role]}
    assert changed == {roles[1].value}


async def test_a_resumed_run_goes_on_with_whose_turn_it_is(
    model_dir: Path, data: Path, tmp_path: Path
) -> None:
    whole = settings(model_dir, data, tmp_path / "whole", schedule="alternating", max_updates=3)
    await train_semi_online(whole)
    parts = dataclasses.replace(whole, output_dir=tmp_path / "parts", max_updates=1)
    await train_semi_online(parts)
    await train_semi_online(dataclasses.replace(parts, max_updates=3, resume_from_checkpoint=True))
    assert adapters(tmp_path / "whole" / "checkpoint-3" / "model") == adapters(
        tmp_path / "parts" / "checkpoint-3" / "model"
    )


async def test_single_steps_are_states_of_their_own(model_dir: Path, data: Path, tmp_path: Path) -> None:
    config = settings(model_dir, data, tmp_path / "run", single_step=True, max_updates=1)
    (line,) = read_metrics((await train_semi_online(config)).metrics_path)
    assert line["offline/steps_mean"] == 1
    assert line["rows"] > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"agent": AgentKind.FLAT}, "say --agent hierarchical"),
        ({"algorithm": "foresight:lookahead=2"}, "train online"),
        ({"algorithm": "foresight:judge=progress,lambda_judge=0.1"}, "train online"),
        ({"algorithm": "foresight:prober=2"}, "did you mean 'probes'"),
        ({"replay_successes": True}, "plays one of each"),
        ({"solved_reward": 0.0}, "plays one of each"),
        ({"num_generations": 1}, "num_generations is 1"),
        ({"schedule": "planner_only", "lora_rank": 0}, "share all weights"),
    ],
)
async def test_what_foresight_cannot_work_with_is_refused(
    model_dir: Path, data: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        await train_semi_online(settings(model_dir, data, tmp_path / "run", **changes))


async def test_roles_that_share_all_weights_cannot_rest(model_dir: Path, data: Path, tmp_path: Path) -> None:
    config = settings(
        model_dir, data, tmp_path / "run", schedule="staged:actor_updates=1", lora_rank=0, max_updates=0
    )
    with pytest.warns(UserWarning, match="share all weights .* so that whoever rests changes too"):
        await train_semi_online(config)


def test_one_right_subgoal_of_many_is_enough_to_learn_from() -> None:
    assert min_group_std(settings(Path("m"), Path("d"), Path("o"), filter_std=None)) == 0
    assert min_group_std(SemiOnlineConfig(algorithm="gigpo")) == 0.3
    assert min_group_std(SemiOnlineConfig(algorithm="foresight:probes=2", filter_std=0.1)) == 0.1
    assert min_group_std(OnlineConfig()) == 0


def test_an_experts_action_is_not_compared_with_where_none_is_known() -> None:
    config = OnlineConfig(
        model="m", agent=AgentKind.HIERARCHICAL, algorithm="foresight:execution=graded", lora_rank=2
    )
    with pytest.raises(ConfigError, match="execution=graded compares actions with an expert's"):
        check_algorithm(config, configured_algorithm(config), online=True)


def test_a_reward_that_foresight_does_not_pay_is_warned_of() -> None:
    config = settings(Path("m"), Path("d"), Path("o"), reward="process:format=1")
    with pytest.warns(UserWarning, match="reward=process:format=1 has no effect on 'foresight'"):
        check_algorithm(config, configured_algorithm(config), online=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"agent": AgentKind.FLAT, "schedule": "alternating"}, "a flat agent has one role"),
        ({"schedule": "alternating", "freeze_actor": True}, "one of them is frozen"),
        ({"schedule": "planner_only", "freeze_planner": True}, "nothing would be trained"),
        ({"schedule": "sometimes"}, "unknown schedule"),
    ],
)
def test_schedules_that_contradict_other_settings_are_refused(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(Path("m"), Path("d"), Path("o"), **changes)
