"""Every algorithm against a file of reference vectors.

The file is `reference_vectors.json` beside this test, or the one that the environment variable
REFERENCE_VECTORS names. Its `meta` says where the numbers come from. Everything here is driven by the
file's inputs, so that another file of the same form (other cases, other numbers) is checked as well; a
family without cases, or one that this test does not know, fails.

`reference` values come from released code in float32; `paper`, `intended` and `cut_exclusive` values
were computed independently in float64.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from statistics import pstdev
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from eval.sop import SopTask, r_squared, sop_metrics
from gui_agent.actions import (
    Action,
    Answer,
    Button,
    Click,
    Direction,
    Finish,
    FinishStatus,
    LongPress,
    OpenApp,
    ParseError,
    PressKey,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
    finger_direction,
)
from gui_agent.agent import EpisodeContext, FlatAgent, PatchThought
from gui_agent.coordinates import CoordinateSpace, ScreenGeometry, from_screen, smart_resize
from gui_agent.device import ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.formats.base import keep_last_images
from gui_agent.formats.ui_s1 import UiS1Format
from gui_agent.matching import MATCHERS, enlarge
from gui_agent.observation import Box, Screenshot
from gui_agent.policy import (
    Completion,
    FinishReason,
    ImageBudget,
    ImagePart,
    Message,
    Prompt,
    Role,
    SampleKey,
    SamplingParams,
    TextPart,
)
from trainers.advantages import (
    DrawWithin,
    EpisodeReturn,
    EpisodeTerm,
    EstimatorRow,
    GigpoAdvantage,
    GrpoAdvantage,
    SrgpoAdvantage,
    Statistics,
    TextSimilarity,
    UiS1Advantage,
)
from trainers.choices import Compat
from trainers.clusters import cluster_codes
from trainers.credit import EstimatorCredit, ScoredGroup
from trainers.losses import Aggregation, KlEstimator, aggregate, kl_estimate, policy_loss
from trainers.normalisation import NormMode
from trainers.returns import discounted_returns
from trainers.rewards import (
    Annotation,
    UiS1Reward,
    ui_s1_release_step_reward,
    verifiable_process_reward,
)
from trainers.semi_online_config import SemiOnlineConfig
from trainers.sources import Group
from trajectories.episode import run_episode
from trajectories.records import Step, Trajectory
from trajectories.replay import ReplayDevice, ReplayTask

DEFAULT_FILE = Path(__file__).with_name("reference_vectors.json")
VECTORS = json.loads(Path(os.environ.get("REFERENCE_VECTORS", DEFAULT_FILE)).read_text())
FAMILIES: dict[str, Any] = VECTORS["families"]
REFERENCE_ATOL = 1e-4
EXACT_ATOL = 2e-6
RNG = np.random.default_rng(0)


def assert_close(actual: Any, expected: Any, atol: float) -> None:
    np.testing.assert_allclose(np.asarray(actual, dtype=float), expected, rtol=0, atol=atol)


def is_noise(case: dict[str, Any]) -> bool:
    """The reference is rounding noise there; ours is exactly 0."""
    return str(case.get("name", "")).startswith("zero_variance")


# -- returns and advantages ------------------------------------------------------------------------


def _rows(
    groups: list[str], episodes: list[str], rewards: list[float], **columns: list[Any]
) -> list[EstimatorRow]:
    """Estimator rows from columns; time is the order of a rollout's rows if no `step` is given."""
    seen: dict[tuple[str, str], int] = {}
    rows = []
    for index, key in enumerate(zip(groups, episodes, strict=True)):
        seen[key] = seen.get(key, -1) + 1
        extra = {name: values[index] for name, values in columns.items()}
        rows.append(
            EstimatorRow(
                group_id=key[0], episode_id=key[1], reward=rewards[index], **{"step": seen[key], **extra}
            )
        )
    return rows


def _tokens(advantages: np.ndarray[Any, Any], mask: list[list[int]]) -> np.ndarray[Any, Any]:
    rows: np.ndarray[Any, Any] = advantages[:, None] * np.asarray(mask)
    return rows


def check_returns(case: dict[str, Any]) -> None:
    given = case["input"]
    steps = list(range(len(given["step_reward"])))
    for cut_includes_mismatch, key, atol in (
        (True, "paper_eq9_output", EXACT_ATOL),
        (False, "cut_exclusive_output", EXACT_ATOL),
        (False, "reference_output", REFERENCE_ATOL),
    ):
        returns = discounted_returns(
            given["step_reward"],
            given["matched"],
            given["traj_id"],
            steps,
            gamma=given["gamma"],
            cut_includes_mismatch=cut_includes_mismatch,
        )
        assert_close(returns, case[key], atol)


def check_ui_s1_advantage(case: dict[str, Any]) -> None:
    given = case["input"]
    rows = _rows(
        given["prompt_uid"],
        given["traj_id"],
        given["step_reward"],
        step=given["step_id"],
        matched=given["matched"],
    )
    mode = NormMode(given["mode"])
    weights = {"gamma": given["gamma"], "step_weight": given["step_w"], "episode_weight": given["episode_w"]}
    for name, paper in case["paper"].items():
        if name == "eq9_return":
            continue
        estimator = UiS1Advantage(
            episode_return=EpisodeReturn(name),
            episode_term=EpisodeTerm(mode=mode, eps=given["eps"]),
            **weights,
        )
        terms = estimator.terms(rows, RNG)
        assert_close(terms.step_value, case["paper"]["eq9_return"], EXACT_ATOL)
        assert_close(terms.episode, paper["episode_adv"], EXACT_ATOL)
        assert_close(terms.step, paper["step_adv"], EXACT_ATOL)
        assert_close(terms.combined, paper["combined"], EXACT_ATOL)
        assert estimator(rows, RNG) == terms.combined.tolist()
    reference = case["reference"]
    for statistics, key in (
        (Statistics.ROWS, "episode_adv_code"),
        (Statistics.EPISODES, "episode_adv_code_first_row_per_traj"),
    ):
        release = UiS1Advantage(
            episode_return=EpisodeReturn.ROW,
            episode_term=EpisodeTerm(mode=mode, eps=given["eps"], statistics=statistics, raw_singletons=True),
            cut_includes_mismatch=False,
            **weights,
        )
        terms = release.terms(rows, RNG)
        assert_close(terms.step_value, reference["step_return"], REFERENCE_ATOL)
        if is_noise(case):
            continue
        assert_close(terms.step, reference["step_adv"], REFERENCE_ATOL)
        assert_close(terms.episode, reference[key], REFERENCE_ATOL)
        if statistics is Statistics.ROWS:
            assert_close(terms.combined, reference["combined"], REFERENCE_ATOL)
            tokens = _tokens(terms.combined, given["response_mask"])
            assert_close(tokens, reference["combined_token_matrix"], REFERENCE_ATOL)


def _state_key(observation: Any) -> str:
    return observation if isinstance(observation, str) else json.dumps(observation, sort_keys=True)


def check_gigpo(case: dict[str, Any]) -> None:
    given, reference = case["input"], case["reference"]
    rows = _rows(
        given["group_uid"],
        given["traj_id"],
        given["step_reward"],
        episode_reward=given["episode_reward"],
        state_key=[_state_key(observation) for observation in given["anchor_obs"]],
    )
    for statistics, key in (
        (Statistics.ROWS, "episode_adv_cross_steps"),
        (Statistics.EPISODES, "episode_adv_cross_trajs"),
    ):
        estimator = GigpoAdvantage(
            gamma=given["gamma"],
            step_weight=given["step_w"],
            same=TextSimilarity(given["similarity_thresh"]) if given["enable_similarity"] else None,
            episode_term=EpisodeTerm(
                mode=NormMode(given["mode"]), eps=given["eps"], statistics=statistics, raw_singletons=True
            ),
        )
        terms = estimator.terms(rows, RNG)
        assert terms.step_clusters.tolist() == reference["group_labels"]
        assert_close(terms.step_value, reference["step_return"], REFERENCE_ATOL)
        if is_noise(case):
            continue
        assert_close(terms.step, reference["step_adv"], REFERENCE_ATOL)
        assert_close(terms.episode, reference[key], REFERENCE_ATOL)
        if statistics is Statistics.ROWS:
            assert_close(terms.combined, reference["combined"], REFERENCE_ATOL)
            tokens = _tokens(terms.combined, given["response_mask"])
            assert_close(tokens, reference["combined_token_matrix"], REFERENCE_ATOL)


def check_gigpo_similarity(case: dict[str, Any]) -> None:
    def are_similar(threshold: float) -> bool:
        return TextSimilarity(threshold)(case["a"], case["b"])

    assert are_similar(0.95) == case["similar_095"]
    assert are_similar(0.9) == case["similar_09"]
    if 0.01 < case["ratio"] < 1 - 1e-6:
        assert are_similar(case["ratio"] - 1e-6)
        assert not are_similar(case["ratio"] + 1e-6)


def check_srgpo(case: dict[str, Any]) -> None:
    given = case["input"]
    within = DrawWithin.GROUP if given["sample_within_task"] else DrawWithin.BATCH
    within = DrawWithin.EPISODE if given["sample_within_traj"] else within
    rows = _rows(
        given["task_uid"], given["traj_id"], given["step_reward"], episode_reward=given["episode_score"]
    )
    # The release draws for one pool after another in the order of their names, we in that of appearance.
    pools = {DrawWithin.GROUP: given["task_uid"], DrawWithin.EPISODE: given["traj_id"]}.get(within)
    order = sorted(range(len(rows)), key=lambda row: pools[row]) if pools else range(len(rows))
    estimator = SrgpoAdvantage(
        cluster_size=given["step_group_size"],
        step_weight=given["step_w"],
        within=within,
        episode_term=EpisodeTerm(
            mode=NormMode(given["mode"]), eps=given["eps"], statistics=Statistics.ROWS, raw_singletons=True
        ),
    )
    terms = estimator.terms([rows[row] for row in order], np.random.RandomState(given["numpy_legacy_seed"]))
    place = np.argsort(order)
    if not is_noise(case):
        assert_close(terms.episode[place], case["reference"]["episode_adv_cross_steps"], REFERENCE_ATOL)
    intended = case.get("intended") or case["reference"]
    assert cluster_codes(terms.step_clusters[place]).tolist() == intended["group_labels"]
    if is_noise(case):
        return
    assert_close(terms.step[place], intended["step_adv"], REFERENCE_ATOL)
    assert_close(terms.combined[place], intended["combined"], REFERENCE_ATOL)


def check_srgpo_process_reward(case: dict[str, Any]) -> None:
    assert verifiable_process_reward(**case["input"]) == case["output"]


def check_grpo(case: dict[str, Any]) -> None:
    given, expected = case["input"], case["output"]
    if "score" in given:
        episodes = [str(index) for index in range(len(given["score"]))]
        rows = _rows(given["uid"], episodes, given["score"], episode_reward=given["score"])
        mode = NormMode.MEAN_STD_NORM if given["norm_by_std"] else NormMode.MEAN_NORM
        estimator = GrpoAdvantage(episode_term=EpisodeTerm(mode=mode, raw_singletons=True))
        advantages = np.array(estimator(rows, RNG))
        assert_close(_tokens(advantages, given["response_mask"]), expected, REFERENCE_ATOL)
        return
    rewards = given["episode_reward"]
    rows = _rows(given["uid"], given["traj_id"], rewards, episode_reward=rewards)
    for statistics, key in ((Statistics.ROWS, "cross_steps"), (Statistics.EPISODES, "cross_trajs")):
        estimator = GrpoAdvantage(episode_term=EpisodeTerm(statistics=statistics, raw_singletons=True))
        assert_close(estimator(rows, RNG), expected[key], REFERENCE_ATOL)


def check_dapo_filter(case: dict[str, Any]) -> None:
    """The other metric leaves out rollouts that ended before the last step, and is not offered."""
    if case["metric"] != "seq_future_reward":
        return
    credit = EstimatorCredit(SemiOnlineConfig(filter_std=case["std_threshold"]))
    values = list(zip(*case["input"].values(), strict=True))
    for group_id, deviation in zip(case["std_keys"], case["std"], strict=True):
        first = [value for uid, step, value in values if (uid, step) == (group_id, 0)]
        spread = pstdev(first)
        assert_close(spread, deviation, REFERENCE_ATOL)
        group = Group(group_id=group_id, records=())
        # A lone rollout, which the release keeps, teaches nothing here; filter_std=-1 keeps it.
        kept = group_id in case["kept"] and len(first) > 1
        assert credit.keep(ScoredGroup(group=group, rewards=(), spread=spread)) is kept


# -- losses ----------------------------------------------------------------------------------------


def check_policy_loss(family: dict[str, Any]) -> None:
    given = {
        key: torch.tensor(value, dtype=torch.float64)
        for key, value in family["input"].items()
        if isinstance(value, list)
    }
    logprobs, mask = given["log_prob"], given["response_mask"]
    for case in family["cases"]:
        result = policy_loss(
            logprobs,
            given["old_log_prob"],
            given["advantages"],
            mask,
            clip_low=family["input"]["clip_low"],
            clip_high=family["input"]["clip_high"],
            dual_clip=family["input"]["dual_clip_c"],
            how=Aggregation(case["agg"]),
        )
        assert_close(result.loss, case["loss"], REFERENCE_ATOL)
        assert_close(result.clip_fraction, case["clipfrac"], REFERENCE_ATOL)
        assert_close(result.dual_clip_fraction, case["clipfrac_lower"], REFERENCE_ATOL)
        assert_close(result.approx_kl, case["approx_kl"], REFERENCE_ATOL)
    names = {"low_var_kl": "k3", "mse": "k2"}
    for name, expected in family["kl"].items():
        estimate = kl_estimate(logprobs, given["ref_log_prob"], KlEstimator(names.get(name, name)))
        assert_close(estimate, expected, REFERENCE_ATOL)
    mean = aggregate(kl_estimate(logprobs, given["ref_log_prob"]), mask, Aggregation.TOKEN_MEAN)
    assert_close(mean, family["kl_loss_token_mean_low_var"], REFERENCE_ATOL)


# -- actions, matching, rewards --------------------------------------------------------------------


def _point(values: list[float], scale: tuple[float, float] = (1.0, 1.0)) -> tuple[int, int]:
    return int(values[0] * scale[0] + 1e-9), int(values[1] * scale[1] + 1e-9)


def _swipe(data: dict[str, Any], scale: tuple[float, float], size: tuple[int, int]) -> Swipe:
    if "direction" in data:
        x, y = size[0] // 2, size[1] // 2
        dx, dy = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}[data["direction"]]
        return Swipe(x=x, y=y, to_x=x + dx * size[0] // 4, to_y=y + dy * size[1] // 4)
    (x, y), (to_x, to_y) = _point(data["coordinate"], scale), _point(data["coordinate2"], scale)
    return Swipe(x=x, y=y, to_x=to_x, to_y=to_y)


def _action(data: dict[str, Any], size: tuple[int, int], scale: tuple[float, float] = (1.0, 1.0)) -> Action:
    """The file's flat dialect as one of our actions, points multiplied by `scale`."""
    match data["action"]:
        case "click":
            x, y = _point(data["coordinate"], scale)
            return Click(x=x, y=y)
        case "long_press":
            x, y = _point(data["coordinate"], scale)
            return LongPress(x=x, y=y)
        case "swipe":
            return _swipe(data, scale, size)
        case "type":
            return TypeText(text=data["text"])
        case "answer":
            return Answer(text=data["text"])
        case "key":
            return PressKey(key=data["text"])
        case "open":
            return OpenApp(name=data["text"])
        case "wait":
            return Wait()
        case "system_button":
            return SystemButton(button=Button(data["button"].lower().strip()))
        case "terminate":
            return Finish(status=FinishStatus(data.get("status", "success")))
        case unknown:
            raise AssertionError(f"the file has an action {unknown!r} that this test does not know")


def _expert(data: dict[str, Any], size: tuple[int, int]) -> ExpertAction:
    boxes = data.get("candidate_bbox") or data.get("bbox") or []
    if boxes and not isinstance(boxes[0], list):
        boxes = [boxes]
    return ExpertAction(
        action=_action(data, size),
        boxes=tuple(
            Box(left=round(left), top=round(top), right=round(right), bottom=round(bottom))
            for left, top, right, bottom in boxes
        ),
    )


def _one_step(requested: Action | ParseError, expert: ExpertAction, format_ok: bool, size: Any) -> Trajectory:
    matcher = MATCHERS["ui_s1_release"]
    step = Step(
        index=0,
        screenshot_sha256=None,
        width_px=size[0],
        height_px=size[1],
        requested=requested,
        executed=None,
        expected=expert,
        match=matcher.match(requested, expert, *size),
        format_ok=format_ok,
    )
    return Trajectory(
        episode_id="e",
        task_id="t",
        template="t",
        suite="s",
        goal="g",
        steps=(step,),
        stop=StopReason.EXPERT_END,
        outcome=Outcome(verdict=Verdict.FAILURE),
    )


def check_step_reward(case: dict[str, Any]) -> None:
    given, reference = case["input"], case["reference"]
    size = given["width"], given["height"]
    geometry = ScreenGeometry(
        width_px=size[0],
        height_px=size[1],
        resized_width_px=given["resized_width"],
        resized_height_px=given["resized_height"],
    )
    parsed = UiS1Format().parse(given["response"], geometry)
    trajectory = _one_step(parsed.action, _expert(given["expert_action"], size), parsed.format_ok, size)
    match = trajectory.steps[0].match
    assert match is not None
    assert parsed.format_ok == bool(reference["format"])
    assert (match.type_match, match.exact_match) == (reference["type_match"], reference["exact_match"])
    (paper,) = UiS1Reward()(trajectory)
    assert_close(paper.value, case["paper_score"], EXACT_ATOL)
    (release,) = UiS1Reward(compat=Compat.RELEASE)(trajectory)
    assert_close(release.value, reference["score"], EXACT_ATOL)
    assert_close(sum(release.parts.values()), release.value, EXACT_ATOL)


def check_annotation(case: dict[str, Any]) -> None:
    reward = ui_s1_release_step_reward(
        format_ok=True,
        judged=True,
        type_match=case.get("type_match", True),
        exact_match=case["exact_match"],
        annotation=Annotation(case["annotation"]),
    )
    assert_close(reward.value, case["score"], EXACT_ATOL)


def check_sop_matcher(case: dict[str, Any], family: dict[str, Any]) -> None:
    size = family["width"], family["height"]
    scale = size[0] / family["resized_width"], size[1] / family["resized_height"]
    expert = _expert(case["gt"], size)
    result = MATCHERS["sop_release"].match(_action(case["pred"], size, scale), expert, *size)
    if isinstance(case["output"], str):  # the release raises; a matcher of ours says that it has no rule
        assert not result.type_match
        assert "no rule" in result.reason
        return
    assert [result.type_match, result.exact_match] == case["output"]


def check_predict_direction(case: dict[str, Any]) -> None:
    assert finger_direction(tuple(case["start"]), tuple(case["end"])) is Direction(case["output"])


def check_enlarge_bbox(case: dict[str, Any]) -> None:
    assert_close(enlarge(tuple(case["box"]), case["scale"]), case["output"], EXACT_ATOL)


# -- pictures and prompts --------------------------------------------------------------------------


def _limited(height: int, width: int, longest: int) -> tuple[int, int]:
    """The file's builders shrink a picture whose long side exceeds a limit before they resize it."""
    shrink = max(1.0, max(height, width) / longest)
    return int(height / shrink), int(width / shrink)


def check_smart_resize(case: dict[str, Any]) -> None:
    height, width = case["height"], case["width"]
    resized = smart_resize(
        *_limited(height, width, 50_000), factor=28, min_pixels=784, max_pixels=12800 * 784
    )
    tokens = resized[0] * resized[1] // 784 + 2
    assert [*resized, tokens] == list(case["output"])
    small = _limited(height, width, 8192)
    evaluation = smart_resize(*small, factor=28, min_pixels=3136, max_pixels=12800 * 784)
    assert list(evaluation) == list(case["eval_variant"])


def check_resize_coordinate(case: dict[str, Any]) -> None:
    (width, height), (resized_width, resized_height) = case["src"], case["dst"]
    geometry = ScreenGeometry(
        width_px=width,
        height_px=height,
        resized_width_px=resized_width,
        resized_height_px=resized_height,
    )
    written = from_screen(tuple(case["point"]), CoordinateSpace.RESIZED_PIXELS, geometry)
    assert list(written) == case["output"]


def _blank(number: int, size: tuple[int, int] = (28, 28)) -> Screenshot:
    buffer = io.BytesIO()
    Image.new("RGB", size, (number % 256, number // 256, 0)).save(buffer, "PNG", compress_level=1)
    return Screenshot.from_bytes(buffer.getvalue())


def check_history_slimming(family: dict[str, Any]) -> None:
    pictures: dict[str, Screenshot] = {}

    def part(item: dict[str, str]) -> TextPart | ImagePart:
        if "text" in item:
            return TextPart(text=item["text"])
        picture = pictures.setdefault(item["image"], _blank(len(pictures)))
        return ImagePart(screenshot=picture)

    def messages(listed: list[dict[str, Any]]) -> Prompt:
        return tuple(
            Message(role=Role(item["role"]), parts=tuple(part(each) for each in item["content"]))
            for item in listed
        )

    given, expected = messages(family["input"]), messages(family["output"])
    assert keep_last_images(given, family["num_image_limit"]) == expected


class ScriptedPolicy:
    """Says what it is told to, and remembers what it was asked."""

    version = 0
    image_budget = ImageBudget(factor=28, min_pixels=784, max_pixels=12800 * 784)

    def __init__(self, responses: list[str]) -> None:
        self.responses = responses
        self.prompts: list[Prompt] = []

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> list[Completion]:
        text = self.responses[len(self.prompts)]
        self.prompts.append(prompt)
        completion = Completion(
            prompt_token_ids=(),
            image_grids=(),
            token_ids=(),
            logprobs=(),
            text=text,
            finish_reason=FinishReason.STOP,
            policy_version=0,
        )
        return [completion] * n


def _recording(experts: list[ExpertAction], size: tuple[int, int], goal: str) -> ReplayTask:
    pictures = [_blank(index, size) for index in range(len(experts))]
    steps = [
        Step(
            index=index,
            screenshot_sha256=picture.sha256,
            width_px=size[0],
            height_px=size[1],
            requested=expert.action,
            executed=expert.action,
            expected=expert,
        )
        for index, (expert, picture) in enumerate(zip(experts, pictures, strict=True))
    ]
    trajectory = Trajectory(
        episode_id="expert",
        task_id="task",
        template="t",
        suite="s",
        goal=goal,
        steps=tuple(steps),
        stop=StopReason.FINISHED,
        outcome=Outcome(verdict=Verdict.SUCCESS),
    )
    return ReplayTask.from_trajectory(trajectory, {picture.sha256: picture for picture in pictures})


async def _replay(
    task: ReplayTask, responses: list[str], budget: int | None, thought: PatchThought = PatchThought.FREE
) -> tuple[Trajectory, list[Prompt]]:
    policy = ScriptedPolicy(responses)
    agent = FlatAgent(policy, UiS1Format(), params=SamplingParams(), patch_thought=thought)
    device = ReplayDevice(MATCHERS["ui_s1"], patch_budget=budget)
    context = EpisodeContext(goal=task.goal, episode_id="e")
    record = await run_episode(device, agent, task, context=context)
    return record.trajectory, policy.prompts


async def check_rollout(case: dict[str, Any]) -> None:
    length = case["expert_steps"]
    task = _recording(
        [ExpertAction(action=Click(x=20 + 60 * t, y=50)) for t in range(length)], (400, 400), "G"
    )
    responses = [
        UiS1Format().render(
            task.frames[t].expert.action if right else Wait(), f"thought {t}", _geometry(400, 400)
        )
        for t, right in enumerate(case["match_pattern"])
    ]
    epsilon = case["epsilon"]
    unlimited = isinstance(epsilon, str) or epsilon == -1 or epsilon == float("inf")
    trajectory, prompts = await _replay(task, responses, None if unlimited else int(epsilon))

    assert len(trajectory.steps) == case["steps_sampled"]
    assert [len(prompt) for prompt in prompts] == case["messages_in_prompt"]
    patched = [step.source is ActionSource.PATCH for step in trajectory.steps]
    assert patched == case["patched"]
    for step, response in zip(trajectory.steps, responses, strict=False):
        assert step.completions[0].completion.text == response, "the row is the policy's own response"


def _geometry(width: int, height: int) -> ScreenGeometry:
    return ScreenGeometry.of(width, height, ScriptedPolicy.image_budget)


def _listed(prompt: Prompt) -> list[dict[str, Any]]:
    """A prompt in the file's notation."""
    return [
        {
            "role": message.role.value,
            "content": ["<system prompt>"]
            if message.role is Role.SYSTEM
            else [part.text if isinstance(part, TextPart) else "<image>" for part in message.parts],
        }
        for message in prompt
    ]


def _history_case(steps: list[dict[str, Any]], thought: PatchThought) -> tuple[list[str], ReplayTask]:
    """Responses and a recording that lead to the prompts of a case.

    The last prompt holds what each earlier step left behind. A turn is a patch if it is what our format
    writes for a click of the expert; the policy then said something else. All other turns are its own.
    """
    size, prompt_format = (1080, 2400), UiS1Format()
    geometry = _geometry(*size)
    last = steps[-1]["messages"]
    goal = last[1]["content"][0].removeprefix("User Instruction: ").partition("\n")[0]
    responses, experts = [], []
    for turn in (message["content"][0] for message in last if message["role"] == "assistant"):
        parsed = prompt_format.parse(turn, geometry)
        assert not isinstance(parsed.action, ParseError)
        expert, response = ExpertAction(action=parsed.action), turn
        if isinstance(parsed.action, Click):
            # Back to the pixel of the expert, which one of the neighbours of the parsed one is.
            x, y = parsed.action.x, parsed.action.y
            around = [Click(x=x + dx, y=y + dy) for dx in (0, 1) for dy in (0, 1)]
            written = [
                click for click in around if prompt_format.render(click, parsed.thought, geometry) == turn
            ]
            if written and (thought is PatchThought.OFF_POLICY or not parsed.thought):
                expert = ExpertAction(action=written[0], thought=parsed.thought or None)
                response = '<think>\nwrong\n</think>\n<action>\n{"action":"key","text":"x"}\n</action>'
        experts.append(expert)
        responses.append(response)
    experts.append(ExpertAction(action=Wait()))
    responses.append("<think>\nend\n</think>\n<action>\n{}\n</action>")
    return responses, _recording(experts, size, goal)


async def check_history(family: dict[str, Any]) -> None:
    checked = 0
    for name, steps in family.items():
        if name == "doc":
            continue
        thought = PatchThought.FREE if name == "thought_free" else PatchThought.OFF_POLICY
        responses, task = _history_case(steps, thought)
        _, prompts = await _replay(task, responses, budget=None, thought=thought)
        for step in steps:
            assert _listed(prompts[step["step"]]) == step["messages"], (name, step["step"])
            checked += 1
    assert checked


# -- evaluation ------------------------------------------------------------------------------------


def check_sop_metric(case: dict[str, Any]) -> None:
    tasks = [SopTask(matched=matched, length=length) for matched, length in case["tasks"]]
    metrics = sop_metrics(tasks, matcher="distance_only@1")
    actual = [metrics.pg.value, metrics.tsr.value, metrics.score.value]
    assert_close(actual, [case["output"][key] for key in ("PG", "TSR", "Score")], EXACT_ATOL)


def check_sop_r2(family: dict[str, Any]) -> None:
    table = family["table"]
    for online, expected in family["output"].items():
        for offline, value in expected.items():
            assert_close(r_squared(table[offline], table[online]), value, 6e-4)
    corrected = [27.8 if value == 37.8 else value for value in table["MiniWob"]]
    for offline, value in family["output_miniwob_with_27_8"].items():
        assert_close(r_squared(table[offline], corrected), value, 6e-4)
    paper_names = {"SOP": "TSR", "AC_High": "AC_High_SR", "Odyssey": "Odyssey_SR"}
    for online, expected in family["paper_figure10"].items():
        values = corrected if online == "MiniWob" else table[online]
        for name, value in expected.items():
            assert_close(r_squared(table[paper_names[name]], values), value, 1.1e-3)


# -- the families ----------------------------------------------------------------------------------

PER_CASE: dict[str, Callable[..., Any]] = {
    "uis1_discounted_returns": check_returns,
    "uis1_advantage": check_ui_s1_advantage,
    "gigpo": check_gigpo,
    "gigpo_similarity": check_gigpo_similarity,
    "srgpo": check_srgpo,
    "srgpo_process_reward": check_srgpo_process_reward,
    "grpo": check_grpo,
    "uis1_step_reward": check_step_reward,
    "uis1_annotation": check_annotation,
    "sop_matcher": check_sop_matcher,
    "sop_metric": check_sop_metric,
    "smart_resize": check_smart_resize,
    "predict_direction": check_predict_direction,
    "enlarge_bbox": check_enlarge_bbox,
    "resize_coordinate": check_resize_coordinate,
    "dapo_filter": check_dapo_filter,
}
PER_CASE_ASYNC: dict[str, Callable[..., Any]] = {"uis1_rollout": check_rollout}
WHOLE: dict[str, Callable[..., Any]] = {
    "policy_loss": check_policy_loss,
    "history_slimming": check_history_slimming,
    "sop_r2": check_sop_r2,
}
WHOLE_ASYNC: dict[str, Callable[..., Any]] = {"uis1_history": check_history}
WITH_FAMILY = frozenset({"sop_matcher"})
KNOWN = PER_CASE.keys() | PER_CASE_ASYNC.keys() | WHOLE.keys() | WHOLE_ASYNC.keys()


def _cases(checks: dict[str, Callable[..., Any]]) -> list[Any]:
    return [
        pytest.param(name, case, id=f"{name}-{index}-{case.get('name', '')}")
        for name in checks
        for index, case in enumerate(FAMILIES.get(name, {}).get("cases", []))
    ]


def test_the_file_has_families() -> None:
    assert FAMILIES
    if "REFERENCE_VECTORS" not in os.environ:
        assert FAMILIES.keys() == KNOWN


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_family_is_known_and_not_empty(name: str) -> None:
    assert name in KNOWN, f"no check is written for the family {name!r}"
    family = FAMILIES[name]
    if "cases" in family:
        assert family["cases"]
    else:
        assert name in WHOLE.keys() | WHOLE_ASYNC.keys(), f"family {name!r} has no cases"
        assert all(family[key] for key in family), f"family {name!r} is empty"
        assert family.keys() > {"doc"}


@pytest.mark.parametrize(("name", "case"), _cases(PER_CASE))
def test_case(name: str, case: dict[str, Any]) -> None:
    if name in WITH_FAMILY:
        PER_CASE[name](case, FAMILIES[name])
    else:
        PER_CASE[name](case)


@pytest.mark.parametrize(("name", "case"), _cases(PER_CASE_ASYNC))
async def test_case_with_an_episode(name: str, case: dict[str, Any]) -> None:
    await PER_CASE_ASYNC[name](case)


@pytest.mark.parametrize("name", [name for name in WHOLE if name in FAMILIES])
def test_family(name: str) -> None:
    WHOLE[name](FAMILIES[name])


@pytest.mark.parametrize("name", [name for name in WHOLE_ASYNC if name in FAMILIES])
async def test_family_with_an_episode(name: str) -> None:
    await WHOLE_ASYNC[name](FAMILIES[name])
