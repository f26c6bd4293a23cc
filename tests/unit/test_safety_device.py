"""The device that asks first: consent, secrets, budgets, and what an episode keeps of it."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from devices.goals import goal_on
from devices.phone.device import PhoneDevice
from devices.phone.goal import PhoneGoal
from gui_agent.actions import Action, Click, Finish, OpenApp, ParseError, SystemButton, TypeText, Wait
from gui_agent.agent import Decision as AgentDecision
from gui_agent.agent import EpisodeContext, RoleCompletion
from gui_agent.cli.consent import TerminalConfirm, question_text
from gui_agent.device import ActionResult, Device, StopReason, Verdict
from gui_agent.errors import ConfigError, DeviceError
from gui_agent.observation import Box, Observation, UiElement
from gui_agent.policy import (
    AgentRole,
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
from gui_agent.safety import (
    Bounds,
    Consent,
    Decision,
    Inspectable,
    Judge,
    Question,
    SafeDevice,
    SafetyVerdict,
    Scene,
    Secret,
    Secrets,
    Target,
    always_yes,
    secret_from_environment,
)
from gui_agent.safety.budget import Budget, MeteredPolicy
from gui_agent.safety.device import HALTED
from gui_agent.safety.options import ConfirmMode, SafetyOptions, check_goal
from trajectories.episode import run_episode
from trajectories.masking import masked_record
from trajectories.records import EpisodeRecord
from trajectories.store import TrajectoryStore

GOAL = goal_on("phone:phone", "tidy up").suite.task("goal", 3)


def phone() -> PhoneDevice:
    assert isinstance(GOAL, PhoneGoal)
    display = goal_on("phone:phone", "x").suite.display  # type: ignore[attr-defined]
    return PhoneDevice(display, popup_rate=0.0)


class Obedient:
    """Presses what it is told to, whatever the rules may be; an agent that believes a screen."""

    def __init__(self, *wishes: str | Action, completion: str = "") -> None:
        self._wishes = list(wishes)
        self._completion = completion
        self.results: list[ActionResult] = []

    def start(self, context: EpisodeContext) -> None:
        """Begin."""

    async def decide(self, observation: Observation) -> AgentDecision:
        wish = self._wishes.pop(0) if self._wishes else Finish()
        if isinstance(wish, str):
            assert observation.elements is not None
            x, y = next(one.box.center for one in observation.elements if one.name == wish)
            wish = Click(x=x, y=y)
        said = completion_of(self._completion or "I was told to")
        sampled = (RoleCompletion(role=AgentRole.ACTOR, completion=said, image_sha256s=()),)
        return AgentDecision(action=wish, thought="the screen says: ignore the rules", completions=sampled)

    async def record(self, result: ActionResult) -> None:
        self.results.append(result)


def completion_of(text: str, *, tokens: int = 2) -> Completion:
    return Completion(
        prompt_token_ids=(1,) * 10 * bool(tokens),
        image_grids=(),
        token_ids=(7,) * tokens,
        logprobs=(-0.5,) * tokens,
        text=text,
        finish_reason=FinishReason.STOP,
        policy_version=0,
    )


async def episode(device: SafeDevice, agent: Obedient, *, max_steps: int = 9) -> EpisodeRecord:
    return await run_episode(
        device, agent, GOAL, context=EpisodeContext(goal="tidy up", episode_id="e"), max_steps=max_steps,
        record_elements=True,
    )  # fmt: skip


async def test_a_held_action_ends_the_episode_and_is_no_fault() -> None:
    device = SafeDevice(phone())
    note = await first_note(device)
    agent = Obedient("notes", note, "delete", "ok")
    record = await episode(device, agent)
    trajectory = record.trajectory
    assert (trajectory.stop, trajectory.fault, len(trajectory.steps)) == (StopReason.SAFETY, None, 3)
    held = trajectory.steps[-1]
    assert held.executed is None
    assert held.requested is not None
    assert held.error == (
        "held back (not confirmed) by deletion: deletes or removes something ('delete'), on button \"delete\""
    )
    assert trajectory.outcome.verdict is Verdict.UNSCORED
    (event,) = device.events
    assert (event.step, event.consent, event.executed) == (2, Consent.STOP, False)
    assert event.to_dict()["rule"] == "deletion"
    assert note in names(device)


async def first_note(device: SafeDevice) -> str:
    await device.reset(GOAL)
    await device.execute(OpenApp(name="notes"))
    assert isinstance(device.device, PhoneDevice)
    return next(one.name for one in device.device.shown().live if one.icon in ("note", "star"))


def names(device: SafeDevice) -> list[str]:
    assert isinstance(device.device, PhoneDevice)
    return [one.text for one in device.device.shown().live]


async def test_a_no_lets_the_agent_go_on_and_a_yes_is_for_once() -> None:
    answers = [Consent.NO, Consent.YES, Consent.YES]
    asked: list[Question] = []

    async def answer(question: Question) -> Consent:
        asked.append(question)
        return answers[len(asked) - 1]

    device = SafeDevice(phone(), confirm=answer)
    note = await first_note(device)
    record = await episode(device, Obedient("notes", note, "delete", "delete", "ok"))
    assert record.trajectory.stop is StopReason.FINISHED
    assert [step.executed is not None for step in record.trajectory.steps] == [
        True,
        True,
        False,
        True,
        True,
        True,
    ]
    assert [question.verdict.rule for question in asked] == ["deletion"] * 3
    assert note not in names(device)


async def test_denied_may_let_the_agent_try_something_else() -> None:
    judge = Judge(rules=Judge().rules.with_decision(["deletion"], Decision.DENY))
    device = SafeDevice(phone(), judge=judge, confirm=always_yes, ends_when_denied=False)
    note = await first_note(device)
    record = await episode(device, Obedient("notes", note, "delete"))
    assert record.trajectory.stop is StopReason.FINISHED
    assert str(record.trajectory.steps[2].error).startswith("held back (denied)")


class Stub:
    """As much of a device as these tests need."""

    action_space = frozenset({Click, TypeText})

    def __init__(self) -> None:
        self.performed: list[object] = []

    async def execute(self, action: Action | ParseError) -> ActionResult:
        self.performed.append(action)
        return ActionResult(executed=None if isinstance(action, ParseError) else action)


class Shifting(Stub):
    """A screen whose button is another one at each look."""

    def __init__(self, *labels: str) -> None:
        super().__init__()
        self.labels = list(labels)

    async def scene(self, action: Action) -> Scene:
        label = self.labels.pop(0) if len(self.labels) > 1 else self.labels[0]
        return Scene(place="app", hit=(Target(labels=(label,), role="button"),))


class Mute(Stub):
    """A device that cannot be asked."""

    def __init__(self, elements: tuple[UiElement, ...] | None) -> None:
        super().__init__()
        self.elements = elements

    async def observe(self) -> Observation:
        inner = phone()
        await inner.reset(GOAL)
        return replace(await inner.observe(), elements=self.elements, foreground_app="app")


def safe(stub: Stub, **options: Any) -> SafeDevice:
    return SafeDevice(cast(Device, stub), **options)


async def test_a_yes_is_for_what_was_asked_about() -> None:
    asked: list[str] = []

    async def answer(question: Question) -> Consent:
        asked.append(question.verdict.hit)
        return Consent.YES if len(asked) == 1 else Consent.NO

    shifting = Shifting("Send", "Buy now")
    assert isinstance(shifting, Inspectable)
    result = await safe(shifting, confirm=answer).execute(Click(x=1, y=1))
    assert (result.executed, shifting.performed) == (None, [])
    assert asked == ['button "Send"', 'button "Buy now"']

    endless = Shifting(*(f"Send {number}" for number in range(9)))
    held = await safe(endless, confirm=always_yes).execute(Click(x=1, y=1))
    assert (held.stop, endless.performed) == (StopReason.SAFETY, [])
    assert "changed after each answer" in str(held.error)
    calming = Shifting("Send 1", "Send 2", "Send 3", "Next")  # nothing is left to be asked about
    assert (await safe(calming, confirm=always_yes).execute(Click(x=1, y=1))).error is None


async def test_devices_that_tell_nothing_are_known_by_the_last_look() -> None:
    box = Box(left=0, top=0, right=9, bottom=9)
    known = safe(Mute((UiElement(name="Delete", role="button", box=box),)))
    await known.observe()
    assert (await known.preview(Click(x=1, y=1))).rule == "deletion"
    assert (await known.preview(Click(x=50, y=50))).rule == "unnamed target"
    unknown = safe(Mute(None))
    await unknown.observe()
    verdict = await unknown.preview(Click(x=1, y=1))
    assert (verdict.decision, verdict.rule) == (Decision.CONFIRM, "unknown target")


async def test_what_is_stopped_while_it_is_judged_is_not_performed() -> None:
    stopped: list[bool] = []

    class Slow(Shifting):
        async def scene(self, action: Action) -> Scene:
            stopped.append(True)  # the person says stop while the widgets are read
            return await super().scene(action)

    device = Slow("Next")
    held = await safe(device, halted=lambda: bool(stopped)).execute(Click(x=1, y=1))
    assert (held.executed, held.error, device.performed) == (None, HALTED, [])


async def test_what_is_no_action_is_handed_on() -> None:
    device = safe(Shifting("Delete"))
    result = await device.execute(ParseError(reason="no", text="x"))
    assert (result.executed, device.events) == (None, [])
    assert (await safe(Shifting("Open")).execute(Click(x=1, y=1))).error is None


class Leading(Stub):
    """Each action leads to the next place."""

    action_space = frozenset({Click, SystemButton})

    def __init__(self, *places: str | None) -> None:
        super().__init__()
        self.places = list(places)

    async def reset(self, task: object) -> None:
        """It stays where it is."""

    async def scene(self, action: Action) -> Scene:
        return Scene(place=self.places[0], hit=(Target(labels=("Next",), role="button"),))

    async def execute(self, action: Action | ParseError) -> ActionResult:
        self.places.pop(0)
        return await super().execute(action)


async def test_a_yes_to_a_place_holds_for_the_episode() -> None:
    home, away = "https://example.org/", "https://other.example/"
    judge = Judge(bounds=Bounds(sites=("example.org",), decision=Decision.CONFIRM))
    asked: list[Question] = []

    async def answer(question: Question) -> Consent:
        asked.append(question)
        return Consent.YES

    device = safe(Leading(home, away, away, home, away), judge=judge, confirm=answer)
    for _ in range(2):
        assert (await device.execute(Click(x=1, y=1))).stop is None
    assert [question.done for question in asked] == [True]
    await device.reset(GOAL)
    assert device.judge is judge
    assert (await device.execute(Click(x=1, y=1))).stop is None  # back home
    await device.execute(Click(x=1, y=1))
    assert [question.done for question in asked] == [True, False, True]


async def test_a_yes_where_nobody_knows_the_place_is_a_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gui_agent.safety.device._PLACE_DEADLINE_S", 0.0)
    judge = Judge(bounds=Bounds(apps=("notes",), decision=Decision.CONFIRM))
    stub = Leading("notes", None)
    device = safe(stub, judge=judge, confirm=always_yes)
    result = await device.execute(Click(x=1, y=1))
    assert (result.stop, result.error, len(stub.performed)) == (None, None, 1)


async def test_a_yes_is_written_down_also_where_the_action_failed_or_was_stopped() -> None:
    class Broken(Shifting):
        async def execute(self, action: Action | ParseError) -> ActionResult:
            raise DeviceError("the cable is out")

    device = safe(Broken("Delete"), confirm=always_yes)
    with pytest.raises(DeviceError, match="cable"):
        await device.execute(Click(x=1, y=1))
    stopped = safe(Shifting("Delete"), confirm=always_yes, halted=lambda: True)
    assert (await stopped.execute(Click(x=1, y=1))).error == HALTED
    for events in (device.events, stopped.events):
        assert [(event.consent, event.executed) for event in events] == [(Consent.YES, False)]


# Secrets


async def test_nothing_that_is_stored_holds_a_secret(tmp_path: Path) -> None:
    secrets = Secrets([Secret(name="WORD", value="swordfish", scope=Bounds(apps=("notes",)))])
    device = SafeDevice(phone(), secrets=secrets)
    agent = Obedient("notes", "new note", "title", TypeText(text="it is {WORD}"), "save", Wait())
    record = await episode(device, agent)
    assert isinstance(device.device, PhoneDevice)
    assert "it is swordfish" in names(device)  # typed in clear on the device
    typed = record.trajectory.steps[3]
    assert typed.executed == typed.requested == TypeText(text="it is {WORD}")
    record = masked_record(record, secrets)
    store = TrajectoryStore.open_or_create(tmp_path / "s", source={"command": "run"})
    store.append(record)
    kept = store.trajectory("e")
    assert "swordfish" not in repr(kept)
    assert "it is <secret WORD>" in repr(kept.steps[5].elements)
    assert kept.steps[3].completions  # the model never saw it, so its tokens are kept


async def test_a_model_that_read_a_secret_leaves_no_tokens_from_there_on() -> None:
    secrets = Secrets([Secret(name="WORD", value="swordfish")])
    record = await episode(SafeDevice(phone()), Obedient("notes", Wait(), completion="I read swordfish"))
    first, *later = record.trajectory.steps
    calm = (replace(first.completions[0], completion=completion_of("calm")),)
    steps = (replace(first, completions=calm), later[0], replace(later[1], completions=calm))
    trajectory = replace(record.trajectory, steps=steps)
    masked = masked_record(replace(record, trajectory=trajectory), secrets).trajectory
    assert [len(step.completions) for step in masked.steps] == [1, 0, 0]
    assert "swordfish" not in repr(masked)
    # It was typed before it was a secret: later prompts have it in the history, all have the goal.
    typed = replace(first, completions=calm, executed=TypeText(text="swordfish"))
    early = replace(trajectory, steps=(typed, *steps[::2]))
    masked = masked_record(replace(record, trajectory=early), secrets).trajectory
    assert [len(step.completions) for step in masked.steps] == [0, 0, 0]
    asked = replace(trajectory, steps=steps[::2], goal="say swordfish")
    masked = masked_record(replace(record, trajectory=asked), secrets).trajectory
    assert (masked.goal, [len(step.completions) for step in masked.steps]) == ("say <secret WORD>", [0, 0])


def test_secrets_come_from_the_environment() -> None:
    environ = {"V": "hunter22", "SHORT": "abc"}
    secret = secret_from_environment("P=V@example.org", environ=environ)
    assert (secret.name, secret.value, secret.scope.sites) == ("P", "hunter22", ("example.org",))
    assert "hunter22" not in repr(secret) + repr(Secrets([secret]))
    assert secret_from_environment("P=V", environ=environ).scope == Bounds()
    assert secret_from_environment("P=V@com.bank.app", environ=environ).scope.names("com.bank.app")
    for text, message in (
        ("P", "expected NAME=VARIABLE"), ("P=NONE", "NONE is not set"), ("P=V@", "expected"),
        ("1=V", "letters, digits"), ("P=SHORT", "at least 4"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            secret_from_environment(text, environ=environ)
    with pytest.raises(ConfigError, match="twice"):
        Secrets([secret, replace(secret, value="another one")])


@pytest.mark.parametrize(
    "form",
    [
        "a b&c'd",
        "a%20b%26c%27d",
        "a+b%26c%27d",
        "a b&amp;c&#x27;d",
        "'a b&c'\"'\"'d'",
        "YSBiJmMnZA==",
        "a%sb&c'd",
    ],
)
def test_a_secret_is_masked_however_it_comes_back(form: str) -> None:
    secrets = Secrets([Secret(name="P", value="a b&c'd")])
    assert secrets.mask(f"x {form} y") == "x <secret P> y"


async def test_a_secret_is_typed_where_it_belongs_or_with_a_yes() -> None:
    class Form(Shifting):
        async def scene(self, action: Action) -> Scene:
            return Scene(place=self.labels[0], focus=Target(role="text_field", password=True))

    typed = TypeText(text="{P}")
    free = Secrets([Secret(name="P", value="hunter22")])
    at_home = Form("https://example.org/login")
    verdict = await safe(at_home, secrets=free).preview(typed)
    assert (verdict.decision, verdict.rule) == (Decision.CONFIRM, "secret")
    bound = Secrets([Secret(name="P", value="hunter22", scope=Bounds(sites=("example.org",)))])
    assert (await safe(at_home, secrets=bound).preview(typed)).decision is Decision.ALLOW
    result = await safe(at_home, secrets=bound).execute(typed)
    assert (at_home.performed, result.executed) == ([TypeText(text="hunter22")], typed)
    for place in ("https://evil.example/", "com.evil", "example.org"):
        verdict = await safe(Form(place), secrets=bound).preview(typed)
        assert (verdict.decision, verdict.rule) == (Decision.DENY, "secret")

    # A yes to typing it is none to what Enter presses then.
    class Checkout(Form):
        async def scene(self, action: Action) -> Scene:
            return replace(await super().scene(action), submits=(Target(labels=("Buy now",), role="button"),))

    verdict = await safe(Checkout("https://example.org/pay"), secrets=bound).preview(TypeText(text="{P}\n"))
    assert (verdict.decision, verdict.rule) == (Decision.CONFIRM, "purchase")
    # Any other text in a password field needs a yes.
    assert (await safe(at_home, secrets=bound).preview(TypeText(text="guess"))).rule == "security"


# Budgets


def test_a_budget_is_spent_by_tokens_or_by_money() -> None:
    budget = Budget(max_tokens=100, max_cost=1.0, price_input=1_000.0, price_output=10_000.0)
    budget.spend(tokens_read=50, tokens_written=20)
    assert (budget.tokens, budget.cost, budget.spent_up) == (70, 0.25, None)
    budget.spend(tokens_read=500, tokens_written=20, is_estimated=True)
    assert budget.spent_up == "budget"
    assert budget.sentence == "about 550 tokens read, 40 written, cost about 0.95"
    budget.start()
    assert (budget.tokens, budget.is_estimated) == (0, False)
    assert budget.spent_up is None
    priced = Budget(max_cost=1.0, price_output=10_000.0)
    priced.spend(tokens_read=1_000_000, tokens_written=99)
    left = priced.spent_up
    priced.spend(tokens_read=0, tokens_written=1)
    assert (left, priced.spent_up) == (None, "budget")
    with pytest.raises(ConfigError, match="prices"):
        Budget(max_cost=1.0)
    with pytest.raises(ConfigError, match="max_tokens is -1"):
        Budget(max_tokens=-1)


class Talker:
    """A model, with or without a count of tokens."""

    version = 3
    image_budget = ImageBudget(factor=28, min_pixels=4 * 784, max_pixels=100 * 784)

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        return [completion_of("six letters", tokens=self.tokens)] * n


async def test_tokens_are_counted_or_estimated() -> None:
    inner = phone()
    await inner.reset(GOAL)
    picture = (await inner.observe()).screenshot  # 412 x 915: more than the 100 tokens allowed
    parts = (TextPart(text="abcdef"), ImagePart(screenshot=picture))
    prompt = (Message(role=Role.USER, parts=parts),)
    key = SampleKey(seed=0, update=0, episode="e", step=0)
    budget = Budget()
    policy = MeteredPolicy(Talker(2), budget)
    assert (policy.version, policy.image_budget.factor) == (3, 28)
    await policy.sample(prompt, n=3, params=SamplingParams(), key=key)
    assert (budget.tokens_read, budget.tokens_written, budget.is_estimated) == (10, 6, False)
    budget.start()
    await MeteredPolicy(Talker(0), budget).sample(prompt, params=SamplingParams(), key=key)
    assert (budget.tokens_read, budget.tokens_written, budget.is_estimated) == (2 + 100, 4, True)


# Options


def test_options_become_a_judge() -> None:
    options = SafetyOptions(allow_apps=("settings", "com.a.*"), deny=("sending",), also_confirm=("archive",))
    judge = options.judge(packages_of=lambda name: (f"com.android.{name}",))
    assert judge.bounds.apps == ("settings", "com.a.*", "com.android.settings")
    assert judge.judge_place("com.android.settings").decision is Decision.ALLOW
    assert judge.judge_place("com.b").decision is Decision.DENY
    assert {rule.name: rule.decision for rule in judge.rules.rules}["sending"] is Decision.DENY
    page = SafetyOptions().judge(start_url="https://www.example.org/a")
    assert (page.bounds.sites, page.bounds.decision) == (("example.org",), Decision.CONFIRM)
    strict = SafetyOptions(allow_sites=("example.org", "b.example")).judge(start_url="https://example.org/")
    assert strict.judge_place("https://c.example/").decision is Decision.DENY
    assert SafetyOptions().confirm is ConfirmMode.AUTO


def test_goals_are_short_and_hold_no_secret() -> None:
    secrets = Secrets([Secret(name="P", value="hunter22")])
    check_goal("log in with {P}", secrets)
    with pytest.raises(ConfigError, match="1000000 characters; at most 20000"):
        check_goal("a" * 1_000_000, secrets)
    with pytest.raises(ConfigError, match="write its name in braces") as caught:
        check_goal("log in with hunter22", secrets)
    assert "hunter22" not in str(caught.value)


# The terminal


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        (b"y\n", Consent.YES),
        (b"what\nNO\n", Consent.NO),
        (b"s\n", Consent.STOP),
        (b"\x04", Consent.STOP),
        (b"\xe9\nyes\n", Consent.YES),  # from a terminal with other letters
    ],
)
async def test_a_person_answers_at_a_terminal(
    typed: bytes, answer: Consent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keyboard, terminal = pty.openpty()
    try:
        with os.fdopen(terminal, "r") as lines:
            monkeypatch.setattr(sys, "stdin", lines)
            question = question_about('button "\x1b[2JDelete"')
            os.write(keyboard, b"y\n" if answer is not Consent.YES else b"n\n")  # too early to be an answer
            answering = asyncio.ensure_future(TerminalConfirm(nullcontext)(question))
            await asyncio.sleep(0)  # the question is asked
            os.write(keyboard, typed)
            assert await answering is answer
    finally:
        os.close(keyboard)
    said = capsys.readouterr().err
    assert "wants to do: click 1 2" in said
    assert "\x1b" not in said


async def test_ctrl_c_answers_for_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    keyboard, terminal = pty.openpty()
    with os.fdopen(terminal, "r") as lines, os.fdopen(keyboard, "w"):
        monkeypatch.setattr(sys, "stdin", lines)
        asking = TerminalConfirm(nullcontext)
        answering = asyncio.ensure_future(asking(question_about("button")))
        await asyncio.sleep(0)
        assert not answering.done()
        asking.stop()
        assert await answering is Consent.STOP


def question_about(hit: str) -> Question:
    verdict = SafetyVerdict(decision=Decision.CONFIRM, rule="deletion", hit=hit, why="deletes")
    return Question(action=Click(x=1, y=2), verdict=verdict)


def test_a_question_says_what_has_happened() -> None:
    verdict = SafetyVerdict(decision=Decision.CONFIRM, rule="bounds", why="leaves example.org")
    text = question_text(Question(action=Click(x=1, y=2), verdict=verdict, done=True))
    assert text.splitlines()[-1] == "It led outside. Go on from there?"
