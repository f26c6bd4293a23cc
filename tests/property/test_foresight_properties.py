"""What holds for the groups, rewards and advantages of foresight, whatever was sampled."""

from __future__ import annotations

import dataclasses
import statistics
import warnings
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gui_agent.actions import Action, Click, Finish, ParseError, Swipe
from gui_agent.agent import Candidate, CandidateKind, RoleCompletion
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import ConfigError, DataError
from gui_agent.foresight import GAIN, JUDGE
from gui_agent.matching import get_matcher
from gui_agent.policy import AgentRole, Completion, FinishReason
from trainers.advantages.foresight import Execution, ForesightOptions, JudgeName
from trainers.foresight import ForesightCredit, ForesightReward, StateGroup
from trainers.normalisation import NormMode
from trainers.rows import Row
from trainers.schedule import get_schedule
from trainers.sources import Group
from trajectories.records import EpisodeRecord, Step, Trajectory

MATCHER = get_matcher("ui_s1")
RIGHT = Swipe(x=50, y=80, to_x=50, to_y=20)
ACTIONS: list[Action | ParseError] = [
    RIGHT,
    Swipe(x=50, y=20, to_x=50, to_y=80),
    Click(x=1, y=1),
    Finish(),
    ParseError(reason="no command", text="?"),
]
JUDGED = ForesightOptions(lambda_judge=0.5, judge=JudgeName.PROGRESS)


def completion(role: AgentRole, number: int) -> RoleCompletion:
    return RoleCompletion(
        role=role,
        completion=Completion(
            prompt_token_ids=(1,), image_grids=(), token_ids=(number,), logprobs=(-1.0,), text="",
            finish_reason=FinishReason.STOP, policy_version=0,
        ),
        image_sha256s=(),
    )  # fmt: skip


def acted(kind: CandidateKind, branch: int, sample: int, action: Action | ParseError) -> Candidate:
    return Candidate(
        kind=kind, completion=completion(AgentRole.ACTOR, sample), branch=branch, sample=sample,
        subgoal=f"subgoal {branch}", action=action, format_ok=not isinstance(action, ParseError),
        measured={GAIN: 0.25 * ACTIONS.index(action)},
    )  # fmt: skip


def planned(branch: int, *, readable: bool = True, measured: dict[str, float] | None = None) -> Candidate:
    return Candidate(
        kind=CandidateKind.SUBGOAL, completion=completion(AgentRole.PLANNER, branch), branch=branch,
        subgoal=f"subgoal {branch}" if readable else None, format_ok=readable, measured=measured or {},
    )  # fmt: skip


@st.composite
def states(draw: st.DrawFn, index: int = 0) -> Step:
    num_subgoals, num_probes = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    actions = st.sampled_from(ACTIONS)
    subgoals = [planned(branch, readable=draw(st.booleans())) for branch in range(num_subgoals)]
    probes = [
        acted(CandidateKind.PROBE, each.branch, sample, draw(actions))
        for each in subgoals
        if each.subgoal is not None
        for sample in range(num_probes)
    ]
    num_actions = draw(st.integers(1, 4)) if subgoals[0].subgoal is not None else 0
    tried = [acted(CandidateKind.ACTION, 0, sample, draw(actions)) for sample in range(num_actions)]
    return step(index, (*subgoals, *probes, *tried))


def step(index: int, candidates: tuple[Candidate, ...], *, width_px: int | None = 100) -> Step:
    return Step(
        index=index, screenshot_sha256=None, width_px=width_px, height_px=100, requested=None, executed=None,
        expected=ExpertAction(action=RIGHT), candidates=candidates,
    )  # fmt: skip


def trunk(steps: list[Step], number: int = 0, update: int = 0) -> Trajectory:
    return Trajectory(
        episode_id=f"e{number}", task_id="t", template="t", suite="s", goal="g", steps=tuple(steps),
        stop=StopReason.EXPERT_END, outcome=Outcome(verdict=Verdict.FAILURE), update=update,
    )  # fmt: skip


def group_of(trajectory: Trajectory) -> Group:
    return Group(group_id=trajectory.episode_id, records=(EpisodeRecord(trajectory=trajectory),))


@st.composite
def trunks(draw: st.DrawFn) -> list[Trajectory]:
    return [
        trunk([draw(states(index)) for index in range(draw(st.integers(1, 3)))], number)
        for number in range(draw(st.integers(1, 3)))
    ]


def rows_of(
    trajectories: list[Trajectory],
    schedule: str = "simultaneous",
    mode: NormMode = NormMode.MEAN_STD_NORM,
    filter_std: float = 0.0,
) -> list[Row]:
    reward = ForesightReward(options=ForesightOptions(mode=mode), matcher=MATCHER)
    credit = ForesightCredit(reward, get_schedule(schedule).roles, filter_std=filter_std)
    scored = [credit.score(group_of(trajectory)) for trajectory in trajectories]
    return credit.rows([each for each in scored if credit.keep(each)], update=0)


@settings(max_examples=60, deadline=None)
@given(trajectories=trunks(), mode=st.sampled_from(list(NormMode)))
def test_advantages_are_rewards_compared_within_one_state_role_and_subgoal(
    trajectories: list[Trajectory], mode: NormMode
) -> None:
    rows = rows_of(trajectories, mode=mode)
    clusters: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        clusters[row.group_id].append(row)
    reward = ForesightReward(options=ForesightOptions(), matcher=MATCHER)
    groups = {str(g.key): g for trajectory in trajectories for g in reward.groups(trajectory)}
    assert clusters.keys() == {key for key, group in groups.items() if not group.is_flat}
    for key, members in clusters.items():
        assert len({(row.episode_id, row.step, row.role) for row in members}) == 1
        values = [each.value for each in groups[key].rewards]
        spread = statistics.stdev(values) + 1e-6 if mode is NormMode.MEAN_STD_NORM else 1.0
        expected = [(value - statistics.fmean(values)) / spread for value in values]
        assert [row.advantage for row in members] == pytest.approx(expected, abs=1e-9)
        assert sum(row.advantage for row in members) == pytest.approx(0, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(trajectories=trunks())
def test_probes_are_never_trained_on_and_idle_roles_are_not_either(trajectories: list[Trajectory]) -> None:
    both = rows_of(trajectories)
    count = sum(
        candidate.kind is not CandidateKind.PROBE
        for trajectory in trajectories
        for each in trajectory.steps
        for candidate in each.candidates
    )
    assert len(both) <= count
    everything = rows_of(trajectories, filter_std=-1)
    assert [row for row in everything if row.advantage] == [row for row in both if row.advantage]
    lone = sum(
        [each.kind for each in state.candidates].count(kind) == 1
        for trajectory in trajectories
        for state in trajectory.steps
        for kind in (CandidateKind.SUBGOAL, CandidateKind.ACTION)
    )
    assert len(everything) == count - lone
    for schedule, role in (("planner_only", AgentRole.PLANNER), ("actor_only", AgentRole.ACTOR)):
        alone = rows_of(trajectories, schedule)
        assert alone == [row for row in both if row.role is role]


@settings(max_examples=40, deadline=None)
@given(state=states())
def test_a_reward_is_the_sum_of_its_parts_and_lies_in_the_unit_interval(state: Step) -> None:
    for execution in Execution:
        reward = ForesightReward(options=ForesightOptions(execution=execution), matcher=MATCHER)
        for group in reward.at(trunk([state]), state):
            for value in group.rewards:
                assert value.value == pytest.approx(sum(value.parts.values()))
                assert -1e-9 <= value.value <= 1 + 1e-9


def groups_at(state: Step, options: ForesightOptions, *, live: bool = False) -> list[StateGroup]:
    return ForesightReward(options=options, matcher=None if live else MATCHER).at(trunk([state]), state)


def test_a_subgoal_is_worth_its_form_and_the_mean_of_its_probes() -> None:
    wrong_way, elsewhere = ACTIONS[1], ACTIONS[2]
    state = step(
        0,
        (
            planned(0), planned(1), planned(2, readable=False),
            acted(CandidateKind.PROBE, 0, 0, RIGHT), acted(CandidateKind.PROBE, 0, 1, wrong_way),
            acted(CandidateKind.PROBE, 1, 0, elsewhere), acted(CandidateKind.PROBE, 1, 1, wrong_way),
            acted(CandidateKind.ACTION, 0, 0, RIGHT), acted(CandidateKind.ACTION, 0, 1, wrong_way),
        ),
    )  # fmt: skip
    planner, actor = groups_at(state, ForesightOptions())
    assert [each.value for each in planner.rewards] == pytest.approx([0.1 + 0.9 * 0.5, 0.1, 0.0])
    assert [each.value for each in actor.rewards] == pytest.approx([1.0, 0.5])
    assert actor.key.subgoal == "subgoal 0"
    # CES's rule, but a swipe the wrong way has only the type right.
    planner, _ = groups_at(state, ForesightOptions(execution=Execution.GRADED))
    assert [each.value for each in planner.rewards] == pytest.approx([0.1 + 0.9 * 0.6, 0.1 + 0.9 * 0.1, 0.0])
    # Live, what counts is the progress that was measured.
    planner, actor = groups_at(state, ForesightOptions(), live=True)
    assert [each.value for each in planner.rewards] == pytest.approx(
        [0.1 + 0.9 * 0.125, 0.1 + 0.9 * 0.375, 0]
    )
    assert [each.value for each in actor.rewards] == pytest.approx([0.1, 0.1 + 0.9 * 0.25])


def test_subgoals_in_equal_words_share_their_probes() -> None:
    same = dataclasses.replace(planned(1), subgoal="subgoal 0")
    lucky = acted(CandidateKind.PROBE, 0, 0, RIGHT)
    unlucky = dataclasses.replace(acted(CandidateKind.PROBE, 1, 0, ACTIONS[2]), subgoal="subgoal 0")
    state = step(0, (planned(0), same, planned(2), lucky, unlucky, acted(CandidateKind.PROBE, 2, 0, RIGHT)))
    (group,) = groups_at(state, ForesightOptions())
    assert [each.value for each in group.rewards] == pytest.approx([0.55, 0.55, 1.0])
    (group,) = groups_at(state, ForesightOptions(share_probes=False))
    assert [each.value for each in group.rewards] == pytest.approx([1.0, 0.1, 1.0])


def test_subgoals_in_equal_words_share_what_a_judge_says_of_their_probes() -> None:
    probes = tuple(
        dataclasses.replace(acted(CandidateKind.PROBE, branch, 0, RIGHT), subgoal="subgoal 0")
        for branch in range(2)
    )
    same = dataclasses.replace(planned(1, measured={JUDGE: 0.0}), subgoal="subgoal 0")
    state = step(0, (planned(0, measured={JUDGE: 1.0}), same, *probes))
    (group,) = groups_at(state, JUDGED)
    assert [each.value for each in group.rewards] == pytest.approx([1.25, 1.25])
    (group,) = groups_at(state, dataclasses.replace(JUDGED, share_probes=False))
    assert [each.value for each in group.rewards] == pytest.approx([1.5, 1.0])


def test_who_was_not_judged_is_not_judged_bad() -> None:
    probes = tuple(acted(CandidateKind.PROBE, branch, 0, RIGHT) for branch in range(2))
    judged = step(0, (planned(0, measured={JUDGE: 1.0}), planned(1, measured={JUDGE: 0.0}), *probes))
    (group,) = groups_at(judged, JUDGED)
    assert [each.value for each in group.rewards] == pytest.approx([1.5, 1.0])
    silent = step(0, (planned(0, measured={JUDGE: 1.0}), planned(1), *probes))
    (group,) = groups_at(silent, JUDGED)
    assert [each.value for each in group.rewards] == pytest.approx([1.0, 1.0])
    # There is nothing to judge where there is no subgoal.
    unreadable = step(0, (planned(0, measured={JUDGE: 1.0}), planned(1, readable=False), probes[0]))
    (group,) = groups_at(unreadable, JUDGED)
    assert [each.value for each in group.rewards] == pytest.approx([1.5, 0.0])


def test_a_judge_that_never_tells_is_told_of() -> None:
    probes = (acted(CandidateKind.PROBE, 0, 0, RIGHT), acted(CandidateKind.PROBE, 1, 0, ACTIONS[2]))
    for silent, said in ((True, {}), (False, {JUDGE: 1.0})):
        subgoals = (planned(0, measured=said), planned(1, measured=said))
        reward = ForesightReward(options=JUDGED, matcher=MATCHER)
        credit = ForesightCredit(reward, get_schedule("simultaneous").roles, filter_std=0.0)
        scored = [credit.score(group_of(trunk([step(0, (*subgoals, *probes))])))]
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert len(credit.rows(scored, update=3)) == 2
        assert [f"{each.message}"[:28] for each in told] == ["update 3: the judge could no"] * silent


def test_a_trunk_without_spread_for_those_who_learn_is_left_out() -> None:
    probes = (acted(CandidateKind.PROBE, 0, 0, RIGHT), acted(CandidateKind.PROBE, 1, 0, ACTIONS[2]))
    trajectory = trunk([step(0, (planned(0), planned(1), *probes))])
    reward = ForesightReward(options=ForesightOptions(), matcher=MATCHER)
    for schedule, threshold, kept in [
        ("simultaneous", 0.3, True), ("simultaneous", 0.5, False), ("actor_only", 0.0, False),
        ("actor_only", -1, True), ("staged:actor_updates=1", 0.0, False),
    ]:  # fmt: skip
        credit = ForesightCredit(reward, get_schedule(schedule).roles, filter_std=threshold)
        scored = credit.score(group_of(trajectory))
        assert credit.keep(scored) is kept
        assert scored.rewards[0][0].parts == pytest.approx({"planner_format": 0.1, "planner_execution": 0.45})
    later = dataclasses.replace(trajectory, update=1)
    assert ForesightCredit(reward, get_schedule("staged:actor_updates=1").roles, filter_std=0.0).score(
        group_of(later)
    ).spread == pytest.approx(0.45)


def test_what_cannot_be_rewarded_is_refused() -> None:
    bare = step(0, ())
    with pytest.raises(DataError, match="no candidates"):
        groups_at(bare, ForesightOptions())
    lost = step(0, (planned(0), planned(1), acted(CandidateKind.PROBE, 0, 0, RIGHT)), width_px=None)
    with pytest.raises(DataError, match="no expert action is recorded"):
        groups_at(lost, ForesightOptions())
    untried = dataclasses.replace(lost.candidates[2], measured={})
    with pytest.raises(DataError, match="was not tried"):
        groups_at(step(0, (*lost.candidates[:2], untried)), ForesightOptions(), live=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probes": 0}, "probes is 0; expected 1 or more"),
        ({"lambda_format": -1.0}, "lambda_format"),
        ({"lambda_judge": 0.1}, "one has no effect without the other"),
        ({"judge": JudgeName.PROGRESS}, "one has no effect without the other"),
        ({"judge": JudgeName.VLM, "lambda_judge": 0.1}, "needs the address of its server"),
        ({"judge_endpoint": "http://127.0.0.1:8000/v1"}, "needs the address of its server"),
        ({"lookahead": -1}, "lookahead"),
        ({"discount": 2.0}, "discount"),
        ({"discount": 0.5}, "no later step to discount"),
        ({"judge_model": "qwen", "judge": JudgeName.PROGRESS, "lambda_judge": 0.1}, "model of the judge vlm"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ForesightOptions(**options)  # type: ignore[arg-type]
