"""What RAPO remembers and what it makes of failed groups, on groups made by hand."""

from __future__ import annotations

import dataclasses
import json

import pytest

from gui_agent.actions import Wait
from gui_agent.agent import RoleCompletion
from gui_agent.device import Outcome, StopReason, Verdict
from gui_agent.errors import ConfigError
from gui_agent.policy import AgentRole, Completion, FinishReason
from trainers.credit import EstimatorCredit
from trainers.online_config import OnlineConfig
from trainers.rapo import Rapo
from trainers.sources import Group, whole_groups
from trajectories.records import EpisodeRecord, Step, Trajectory

CONFIG = OnlineConfig(algorithm="grpo", num_generations=4, filter_std=-1)


def episode(name: str, *, won: bool, task: str, group: str, update: int) -> EpisodeRecord:
    completion = Completion(
        prompt_token_ids=(1, 2),
        image_grids=(),
        token_ids=(update, 3),
        logprobs=(-0.5, -0.25 * (1 + update)),
        text="wait",
        finish_reason=FinishReason.STOP,
        policy_version=update,
    )
    step = Step(
        index=0,
        screenshot_sha256="a" * 64,
        width_px=10,
        height_px=10,
        requested=Wait(),
        executed=Wait(),
        completions=(RoleCompletion(role=AgentRole.ACTOR, completion=completion, image_sha256s=()),),
    )
    return EpisodeRecord(
        trajectory=Trajectory(
            episode_id=name,
            task_id=task,
            template="t",
            suite="s",
            goal="g",
            steps=(step,),
            stop=StopReason.FINISHED,
            outcome=Outcome(verdict=Verdict.SUCCESS if won else Verdict.FAILURE),
            group_id=group,
            update=update,
        )
    )


class Run:
    """Groups of one training, as the loop would score, store and take them."""

    def __init__(self, rapo: Rapo, config: OnlineConfig = CONFIG) -> None:
        self.rapo = rapo
        self.credit = EstimatorCredit(config, by_outcome=True)
        self.stored: dict[str, EpisodeRecord] = {}

    def group(self, task: str, wins: str, *, update: int = 0) -> Group:
        """A group of siblings, "+" for one that won, and what is to be learnt from."""
        name = f"u{update}-{task}"
        records = [
            episode(f"{name}-e{place}", won=won == "+", task=task, group=name, update=update)
            for place, won in enumerate(wins)
        ]
        self.stored |= {record.trajectory.episode_id: record for record in records}
        scored = self.credit.score(whole_groups(records)[0])
        return self.rapo.take(scored.group, scored.solved, self.stored.__getitem__)


def names(group: Group) -> list[str]:
    return [record.trajectory.episode_id for record in group.records]


def test_nothing_is_remembered_where_nothing_asks_for_it() -> None:
    assert Rapo.of(CONFIG) is None
    assert Rapo.of(dataclasses.replace(CONFIG, scale_informative=True)) is None
    assert Rapo.of(dataclasses.replace(CONFIG, max_solve_rate=0.9)) is not None
    assert Rapo.of(dataclasses.replace(CONFIG, replay_successes=True)) is not None


def test_a_task_is_pruned_by_the_solve_rate_of_its_latest_group() -> None:
    run = Run(Rapo(max_solve_rate=0.75))
    run.group("easy", "+++-")
    run.group("hard", "++--")
    assert run.rapo.pruned == {"easy"}
    run.group("hard", "++++", update=1)
    run.group("easy", "+---", update=1)  # it was under way when its first group came back
    assert run.rapo.pruned == {"hard"}


def test_without_a_limit_nothing_is_pruned() -> None:
    run = Run(Rapo(replay_successes=True))
    run.group("easy", "++++")
    assert run.rapo.pruned == frozenset()


def test_one_sibling_of_a_failed_group_makes_room_for_the_latest_success() -> None:
    run = Run(Rapo(replay_successes=True))
    run.group("a", "++--")
    run.group("a", "+---", update=1)
    failed = run.group("a", "----", update=2)
    assert failed.replayed is not None
    assert names(failed)[failed.replayed] == f"u2-a-e{failed.replayed:d}-replays-u1-a-e0"
    others = [name for place, name in enumerate(names(failed)) if place != failed.replayed]
    assert others == [f"u2-a-e{place}" for place in range(4) if place != failed.replayed]
    member = failed.records[failed.replayed].trajectory
    assert (member.group_id, member.update, member.succeeded) == ("u2-a", 1, True)


def test_only_a_failed_group_of_a_task_solved_before_is_changed() -> None:
    run = Run(Rapo(replay_successes=True))
    for wins, task in (("----", "a"), ("+---", "a"), ("----", "b")):
        assert run.group(task, wins).replayed is None
    # A success that was replayed is no new one.
    assert run.group("a", "----", update=1).replayed is not None
    assert run.rapo.state["successes"] == {"a": "u0-a-e0"}
    assert run.rapo.state["solve_rates"] == {"a": 0.0, "b": 0.0}


def test_pruning_alone_replays_nothing() -> None:
    run = Run(Rapo(max_solve_rate=1.0))
    run.group("a", "+---")
    assert run.group("a", "----", update=1).replayed is None


def test_the_place_is_random_but_repeats_with_seed_and_group() -> None:
    def places(seed: int) -> list[int | None]:
        run = Run(Rapo(replay_successes=True, seed=seed))
        run.group("a", "+---")
        return [run.group("a", "----", update=update).replayed for update in range(1, 20)]

    assert places(0) == places(0)
    assert places(0) != places(1)
    assert set(places(0)) == {0, 1, 2, 3}


@pytest.mark.parametrize("stop_after", range(6))
def test_a_memory_that_was_saved_goes_on_as_if_it_never_stopped(stop_after: int) -> None:
    plan = [("a", "++--"), ("b", "----"), ("a", "----"), ("b", "---+"), ("b", "----"), ("a", "++++")]
    settings = {"max_solve_rate": 0.5, "replay_successes": True, "seed": 3}
    whole = Run(Rapo(**settings))  # type: ignore[arg-type]
    wanted = [names(whole.group(task, wins, update=n)) for n, (task, wins) in enumerate(plan)]
    killed = Run(Rapo(**settings))  # type: ignore[arg-type]
    found = [names(killed.group(*each, update=n)) for n, each in enumerate(plan[:stop_after])]
    resumed = Run(Rapo(**settings))  # type: ignore[arg-type]
    resumed.rapo.restore(json.loads(json.dumps(killed.rapo.state)))
    resumed.stored = killed.stored
    found += [
        names(resumed.group(*each, update=n)) for n, each in enumerate(plan[stop_after:], start=stop_after)
    ]
    assert found == wanted
    assert resumed.rapo.pruned == whole.rapo.pruned


def test_replayed_rows_keep_the_words_and_the_version_of_their_sampler() -> None:
    run = Run(Rapo(replay_successes=True))
    run.group("a", "-+--")
    failed = run.credit.score(run.group("a", "----", update=5))
    assert failed.solve_rate == 0.25
    rows = run.credit.rows([failed], update=5)
    (replayed,) = [row for row in rows if row.replayed]
    assert (replayed.policy_version, replayed.token_ids, replayed.old_logprobs) == (0, (0, 3), (-0.5, -0.25))
    assert replayed.group_id == "u5-a"
    assert replayed.advantage > 0
    assert all(row.advantage < 0 and row.policy_version == 5 for row in rows if not row.replayed)


def test_solved_may_mean_a_reward_above_a_threshold() -> None:
    run = Run(Rapo(max_solve_rate=1.0), dataclasses.replace(CONFIG, solved_reward=-0.5))
    run.group("a", "----")
    assert run.rapo.pruned == {"a"}


def test_scaling_makes_up_for_flat_groups_and_leaves_an_informative_batch_alone() -> None:
    run = Run(Rapo())
    scaling = EstimatorCredit(dataclasses.replace(CONFIG, scale_informative=True), by_outcome=True)
    mixed, flat = (run.credit.score(run.group(task, wins)) for task, wins in (("a", "+--+"), ("b", "----")))

    def advantages(credit: EstimatorCredit, *groups: object) -> list[float]:
        return [row.advantage for row in credit.rows(groups, update=0)]  # type: ignore[arg-type]

    assert advantages(scaling, mixed) == advantages(run.credit, mixed)
    assert advantages(scaling, flat) == [0.0] * 4
    assert advantages(scaling, mixed, flat)[:4] == [2 * value for value in advantages(run.credit, mixed)]


@pytest.mark.parametrize(
    ("wins", "kept"), [("----", False), ("+---", False), ("++--", True), ("+++-", False), ("++++", False)]
)
def test_groups_may_be_filtered_by_bounds_of_their_solve_rate(wins: str, kept: bool) -> None:
    run = Run(Rapo(), dataclasses.replace(CONFIG, filter_solve_rate=(0.25, 0.75)))
    assert run.credit.keep(run.credit.score(run.group("a", wins))) is kept


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_solve_rate", 0.0),
        ("max_solve_rate", 1.5),
        ("filter_solve_rate", (0.5, 0.5)),
        ("filter_solve_rate", (0.0, 1.1)),
    ],
)
def test_impossible_settings_are_refused_by_name(setting: str, value: object) -> None:
    with pytest.raises(ConfigError, match=setting):
        dataclasses.replace(CONFIG, **{setting: value})  # type: ignore[arg-type]
