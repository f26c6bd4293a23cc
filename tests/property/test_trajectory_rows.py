"""A trajectory survives the way to rows, through Parquet, and back."""

from __future__ import annotations

import io

import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings

from gui_agent.actions import ACTION_TYPES, Action, ParseError, Scroll
from gui_agent.agent import Candidate, CandidateKind, RoleCompletion
from gui_agent.device import ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.matching import MatchResult
from gui_agent.observation import Box
from gui_agent.policy import AgentRole, Completion, FinishReason
from trajectories.records import Step, StepTimings, Trajectory
from trajectories.rows import (
    COMPLETIONS,
    EPISODES,
    STEPS,
    TrajectoryRows,
    rows_to_trajectory,
    trajectory_to_rows,
)

TEXT = st.text(max_size=12)
WHOLE = st.integers(-(2**31), 2**31 - 1)
SHARE = st.floats(0, 1)
SECONDS = st.floats(0, 1e6)
HASH = st.text("0123456789abcdef", min_size=64, max_size=64)


def optional(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | strategy


ACTIONS: st.SearchStrategy[Action] = st.one_of(
    *[st.builds(kind) for kind in ACTION_TYPES if kind is not Scroll],
    st.builds(Scroll, x=st.none(), y=st.none()),
    st.builds(Scroll, x=WHOLE, y=WHOLE),
).filter(lambda action: getattr(action, "duration_s", 0.0) == getattr(action, "duration_s", 0.0))
BOXES = st.builds(Box, left=WHOLE, top=WHOLE, right=WHOLE, bottom=WHOLE)
EXPERTS = st.builds(
    ExpertAction,
    action=ACTIONS,
    boxes=st.lists(BOXES, max_size=3).map(tuple),
    thought=optional(TEXT),
)
MATCHES = st.tuples(st.booleans(), st.booleans(), TEXT).map(
    lambda drawn: MatchResult(type_match=drawn[0] or drawn[1], exact_match=drawn[1], reason=drawn[2])
)


@st.composite
def role_completions(draw: st.DrawFn) -> RoleCompletion:
    tokens = draw(st.lists(st.tuples(st.integers(0, 2**31 - 1), st.floats(-100, 0)), max_size=4))
    completion = Completion(
        prompt_token_ids=tuple(draw(st.lists(st.integers(0, 2**31 - 1), max_size=5))),
        image_grids=tuple(draw(st.lists(st.tuples(*[st.integers(1, 200)] * 3), max_size=2))),
        token_ids=tuple(token for token, _ in tokens),
        logprobs=tuple(logprob for _, logprob in tokens),
        text=draw(TEXT),
        finish_reason=draw(st.sampled_from(FinishReason)),
        policy_version=draw(st.integers(0, 2**40)),
    )
    hashes = tuple(draw(st.lists(HASH, max_size=2)))
    return RoleCompletion(role=draw(st.sampled_from(AgentRole)), completion=completion, image_sha256s=hashes)


ELEMENTS = st.lists(
    st.fixed_dictionaries({"name": TEXT, "role": TEXT, "box": st.lists(WHOLE, min_size=4, max_size=4)}),
    max_size=2,
).map(tuple)


CANDIDATES = st.builds(
    Candidate,
    kind=st.sampled_from(CandidateKind),
    completion=role_completions(),
    branch=st.integers(0, 2**31 - 1),
    sample=st.integers(0, 2**31 - 1),
    subgoal=optional(TEXT),
    action=st.none() | ACTIONS | st.builds(ParseError, reason=TEXT, text=TEXT),
    format_ok=st.booleans(),
    measured=st.dictionaries(TEXT, st.floats(-100, 100), max_size=2),
)


def steps(index: int) -> st.SearchStrategy[Step]:
    return st.builds(
        Step,
        index=st.just(index),
        screenshot_sha256=optional(HASH),
        width_px=optional(st.integers(1, 10_000)),
        height_px=optional(st.integers(1, 10_000)),
        requested=st.none() | ACTIONS | st.builds(ParseError, reason=TEXT, text=TEXT),
        executed=st.none() | ACTIONS,
        source=st.sampled_from(ActionSource),
        error=optional(TEXT),
        expected=optional(EXPERTS),
        match=optional(MATCHES),
        thought=optional(TEXT),
        subgoal=optional(TEXT),
        format_ok=st.booleans(),
        completions=st.lists(role_completions(), max_size=2).map(tuple),
        candidates=st.lists(CANDIDATES, max_size=2).map(tuple),
        progress=optional(SHARE),
        state_key_before=optional(TEXT),
        state_key_after=optional(TEXT),
        foreground_app=optional(TEXT),
        elements=optional(ELEMENTS),
        raw_action=optional(TEXT),
        timings=st.builds(StepTimings, observe_s=SECONDS, decide_s=SECONDS, execute_s=SECONDS),
    )


TRAJECTORIES = st.builds(
    Trajectory,
    episode_id=TEXT,
    task_id=TEXT,
    template=TEXT,
    suite=TEXT,
    goal=TEXT,
    steps=st.integers(0, 3).flatmap(lambda n: st.tuples(*[steps(index) for index in range(n)])),
    stop=st.sampled_from(StopReason),
    outcome=st.builds(Outcome, verdict=st.sampled_from(Verdict), progress=optional(SHARE), detail=TEXT),
    group_id=TEXT,
    seed=st.integers(-(2**63), 2**63 - 1),
    update=st.integers(0, 2**40),
    policy=TEXT,
    split=TEXT,
    device=TEXT,
    source=st.dictionaries(TEXT, st.none() | TEXT | st.integers() | st.lists(TEXT, max_size=2), max_size=3),
    fault=optional(TEXT),
    wall_s=SECONDS,
    final_screenshot_sha256=optional(HASH),
    schema_version=st.sampled_from([1, 2]),
)


def through_parquet(rows: list[dict[str, object]], schema: object) -> list[dict[str, object]]:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
    restored: list[dict[str, object]] = pq.read_table(buffer).to_pylist()
    return restored


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trajectory=TRAJECTORIES)
def test_rows_restore_an_equal_trajectory(trajectory: Trajectory) -> None:
    rows = trajectory_to_rows(trajectory)
    stored = TrajectoryRows(
        episode=through_parquet([rows.episode], EPISODES)[0],
        steps=through_parquet(list(rows.steps), STEPS),
        completions=through_parquet(list(rows.completions), COMPLETIONS),
    )
    assert rows_to_trajectory(stored) == trajectory
