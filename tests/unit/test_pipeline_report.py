"""The report of a hierarchical pipeline: subgoals, groups of samples and curves of both roles."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from gui_agent.actions import Click
from gui_agent.agent import Candidate, CandidateKind, RoleCompletion
from gui_agent.cli.chain import Chain, Scores
from gui_agent.cli.experiment import Stage
from gui_agent.cli.pipeline_report import write_pipeline_report
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.policy import AgentRole, Completion, FinishReason
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore

HIT, MISS = Click(x=50, y=60), Click(x=5, y=6)


def candidate(kind: CandidateKind, branch: int, sample: int, subgoal: str, action: Click | None) -> Candidate:
    completion = Completion(
        prompt_token_ids=(1,),
        image_grids=(),
        token_ids=(2,),
        logprobs=(-0.5,),
        text=subgoal,
        finish_reason=FinishReason.STOP,
        policy_version=0,
    )
    role = AgentRole.ACTOR if action else AgentRole.PLANNER
    sampled = RoleCompletion(role=role, completion=completion, image_sha256s=())
    return Candidate(
        kind=kind, completion=sampled, branch=branch, sample=sample, subgoal=subgoal, action=action
    )


def trunk(number: int, update: int) -> EpisodeRecord:
    """One state with two subgoals, of which the second leads to what the expert did."""
    subgoals = (f"tap wrong {number}", f"tap right {number}")
    candidates = [
        *(candidate(CandidateKind.SUBGOAL, at, 0, words, None) for at, words in enumerate(subgoals)),
        candidate(CandidateKind.PROBE, 0, 0, subgoals[0], MISS),
        candidate(CandidateKind.PROBE, 1, 0, subgoals[1], HIT),
        *(candidate(CandidateKind.ACTION, 0, at, subgoals[0], MISS) for at in range(2)),
    ]
    step = Step(
        index=0,
        screenshot_sha256=None,
        width_px=100,
        height_px=200,
        requested=MISS,
        executed=HIT,
        expected=ExpertAction(action=HIT, subgoal="tap the right one"),
        subgoal=subgoals[0],
        candidates=tuple(candidates),
    )
    trajectory = Trajectory(
        episode_id=f"live-{number:03d}",
        task_id=f"t{number}",
        template="t",
        suite="s",
        goal="g",
        steps=(step,),
        stop=StopReason.EXPERT_END,
        outcome=Outcome(verdict=Verdict.FAILURE),
        group_id=f"g{number}",
        update=update,
    )
    return EpisodeRecord(trajectory=trajectory)


def test_a_report_shows_what_planner_and_actor_were_compared_by(tmp_path: Path) -> None:
    chain = Chain("hierarchical_quickstart", root=tmp_path, seed=0)
    trained = TrajectoryStore.create(chain.folder("semi_online") / "trajectories")
    trained.append(trunk(number, update=number // 12) for number in range(24))
    evaluated = TrajectoryStore.create(chain.folder("semi_online_eval") / "episodes")
    evaluated.append([trunk(99, update=0)])
    line = {"update": 1, "reward": 1.4, "reward/planner_format": 0.1, "reward/planner_execution": 0.5}
    metrics = chain.folder("semi_online") / "metrics.jsonl"
    metrics.write_text(json.dumps({**line, "reward/actor_format": 0.1, "reward/actor_exact": 0.7}) + "\n")
    share = {"value": 0.5}
    stage = Stage(name="e", folder=tmp_path, fingerprint="", cpu_s=1.0, wall_s=1.0, reused=False)
    live: dict[str, Any] = {"suite": "phone/long", "success": None, "templates": []}
    replay = {"sop": dict.fromkeys(("pg", "tsr", "score"), share), "matcher": "ui_s1"}
    replay["steps"] = dict.fromkeys(("type_match", "grounding", "success"), share)
    scores = Scores(stage=stage, live=live, replay=replay)
    figures: dict[str, Any] = {
        "live_success_before": None,
        "live_success_after": None,
        "live_success_supervised": None,
        "sop_before": 0.1,
        "sop_after": 0.2,
        "stages": {},
        "cpu_s": 1.0,
        "wall_s": 1.0,
    }
    page = write_pipeline_report(
        chain, figures, training={}, before=scores, after=scores, beside=None
    ).read_text("utf-8")

    found = re.search(r'<script type="application/json" id="episode-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    episodes = json.loads(found.group(1))["episodes"]
    # Whole groups, which are single trunks here, of the beginning and of the end, and the evaluation's.
    numbers = [*range(8), *range(16, 24), 99]
    assert [each["id"] for each in episodes] == [f"live-{number:03d}" for number in numbers]
    (step,) = episodes[0]["steps"]
    assert (step["subgoal"], step["expected"]["subgoal"]) == ("tap wrong 0", "tap the right one")
    rows = [(row["subgoal"], row["reward"]) for row in step["candidates"]["planner"]["rows"]]
    assert rows == [("tap wrong 0", 0.1), ("tap right 0", 1.0)]
    assert step["note"]["advantages"]["planner"] < 0
    assert 'aria-label="Reward of each role: mean reward over update"' in page
    assert "planner: 1, 0.6" in page
    assert "<dt>train semi-online · lora_rank</dt>" in page
    assert "A planner writes a subgoal for every step" in page
