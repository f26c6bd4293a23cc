"""A device that asks the rules before it does anything: the one place where they are enforced.

    device = SafeDevice(leased, judge=Judge(bounds=Bounds(sites=("example.org",))), confirm=ask)
    record = await run_episode(device, agent, task, ...)

Whatever hands actions to a `SafeDevice` (a model, an expert, a person's mouse in a demo) is held to the same
rules.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar

from gui_agent.actions import (
    Action,
    Answer,
    Button,
    Finish,
    ParseError,
    SystemButton,
    TypeText,
    Wait,
    action_to_dict,
)
from gui_agent.device import ActionResult, Device, Outcome, StopReason, Task
from gui_agent.errors import DeviceError
from gui_agent.observation import Observation
from gui_agent.safety.judging import Judge
from gui_agent.safety.scene import Inspectable, Scene, observed_scene
from gui_agent.safety.secrets import Secret, Secrets
from gui_agent.safety.verdict import (
    ALLOWED,
    Confirm,
    Consent,
    Decision,
    Question,
    SafetyVerdict,
    always_stop,
)

T = TypeVar("T")

HALTED: Final = "stopped before it was performed"
"""Error of an action that `halted` has held back."""
_MOST_QUESTIONS: Final = 3
"""A screen that is another one after each answer is not waited for."""
_PLACE_DEADLINE_S: Final = 2.0
_LOOK_AGAIN_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyEvent:
    """A rule that was met, and what became of the action.

    Attributes:
        step: how many actions were asked for before, since the reset.
        action: what the agent wanted, secrets as `{NAME}`.
        verdict: what the rules said.
        consent: what a person, or whoever stands for one, answered; None if nobody was asked.
        executed: whether it was done.
    """

    step: int
    action: Action
    verdict: SafetyVerdict
    consent: Consent | None
    executed: bool

    def to_dict(self) -> dict[str, object]:
        """JSON-ready."""
        return {
            "step": self.step,
            "action": action_to_dict(self.action),
            **self.verdict.to_dict(),
            "consent": None if self.consent is None else self.consent.value,
            "executed": self.executed,
        }


class OnEvent(Protocol):
    """Is told of every rule that was met."""

    def __call__(self, event: SafetyEvent) -> None:
        """Take note."""
        ...


class SafeDevice:
    """A `Device` that performs what the rules allow, and types secrets (implements `Device`).

    Before an action the device is asked what it would hit (`Inspectable`; a device that cannot say is known
    by the widgets of its last observation), and the rules judge that. What needs a yes is asked for; what is
    denied, or gets no yes, is not performed: the result has `executed=None` and the reason as `error`, and
    ends the episode with `StopReason.SAFETY` unless the person wants it to go on. After an action the place
    is looked at: outside the bounds the device goes back once and the episode ends.

    Args:
        device: the world.
        judge: rules and bounds.
        confirm: whom to ask; without one, what needs a yes ends the episode.
        secrets: texts that are typed where `{NAME}` is asked for, and masked in everything that comes back.
        ends_when_denied: whether a denied action ends the episode; else the agent may try something else.
        on_event: told of every rule that was met.
        halted: asked right before an action is performed, for judging it takes time; true holds it back
            with the error `HALTED`.
    """

    def __init__(
        self,
        device: Device,
        *,
        judge: Judge | None = None,
        confirm: Confirm = always_stop,
        secrets: Secrets | None = None,
        ends_when_denied: bool = True,
        on_event: OnEvent | None = None,
        halted: Callable[[], bool] | None = None,
    ) -> None:
        """Nothing is called yet."""
        self.device = device
        self.judge = self._given = judge or Judge()
        self.secrets = Secrets() if secrets is None else secrets  # an empty one may be added to
        self.events: list[SafetyEvent] = []
        self._confirm = confirm
        self._ends_when_denied = ends_when_denied
        self._on_event = on_event
        self._halted = halted
        self._observation: Observation | None = None
        self._num_actions = 0

    @property
    def action_space(self) -> frozenset[type]:
        """The types of `Action` that the device can perform."""
        return self.device.action_space

    async def reset(self, task: Task) -> None:
        """Bring the world to the start of the task."""
        self.begin()
        self._observation = None
        await self._quietly(lambda: self.device.reset(task))

    def begin(self) -> None:
        """Begin an episode where the device is: what was met, and allowed, in the last one is over."""
        self.judge = self._given
        self.events, self._num_actions = [], 0

    async def observe(self) -> Observation:
        """Look; texts of widgets and the address are masked, the picture is as it is."""
        observation = await self._quietly(self.device.observe)
        self._observation = self.secrets.masked(observation)
        return self._observation

    async def execute(self, action: Action | ParseError) -> ActionResult:
        """Perform the action if the rules, or a person, allow it."""
        try:
            if isinstance(action, ParseError):
                return await self._quietly(lambda: self.device.execute(action))
            return await self._judged(action)
        finally:
            self._num_actions += 1

    async def _judged(self, action: Action) -> ActionResult:
        verdict, consent = await self._permission(action)
        if consent is not Consent.YES:
            self._note(action, verdict, consent, executed=False)
            return self._held(verdict, consent)
        executed = False
        try:
            result = await self._perform(action)
            executed = result.executed is not None
        finally:  # a yes is written down whatever became of it
            if verdict.rule:
                self._note(action, verdict, consent, executed=executed)
        if executed and result.stop is None and not isinstance(action, Answer | Finish):
            return await self._where_it_led(action, result)
        return result

    async def _perform(self, action: Action) -> ActionResult:
        if self._halted is not None and self._halted():
            return ActionResult(executed=None, error=HALTED)
        clear = self._revealed(action)
        result = await self._quietly(lambda: self.device.execute(clear), withhold=clear != action)
        result = self.secrets.masked(result)
        return replace(result, executed=action) if result.executed == self.secrets.masked(clear) else result

    async def preview(self, action: Action) -> SafetyVerdict:
        """What the rules say about an action now, without doing or asking anything."""
        scene = await self._scene(action)
        return self.secrets.masked(self._verdict(action, scene))

    async def check(self) -> Outcome:
        """Judge the task."""
        return self.secrets.masked(await self._quietly(self.device.check))

    async def close(self) -> None:
        """Give everything back."""
        await self.device.close()

    async def _permission(self, action: Action) -> tuple[SafetyVerdict, Consent]:
        """The verdict, and whether it is to be done; asked again if the screen has changed meanwhile."""
        verdict = await self.preview(action)
        num_asked = 0
        while verdict.decision is Decision.CONFIRM:
            if num_asked == _MOST_QUESTIONS:
                why = f"{verdict.why}; the screen changed after each answer"
                return replace(verdict, why=why), Consent.STOP
            num_asked += 1
            consent = await self._confirm(Question(action=action, verdict=verdict))
            if consent is not Consent.YES:
                return verdict, consent
            later = await self.preview(action)
            if later == verdict:
                return verdict, Consent.YES
            verdict = later
        if verdict.decision is Decision.ALLOW:
            return verdict, Consent.YES
        return verdict, Consent.STOP if self._ends_when_denied else Consent.NO

    def _verdict(self, action: Action, scene: Scene) -> SafetyVerdict:
        clear = self._revealed(action)
        verdict = self.judge.judge(clear, scene)
        order = list(Decision)
        for secret in self.secrets.used_in(action.text) if isinstance(action, TypeText) else ():
            about = _typing(secret, scene)
            is_known_field = verdict.rule == "security" and verdict.decision is Decision.CONFIRM
            if about is ALLOWED and is_known_field:
                # Whoever gave the secret has said yes to its place, but not to what Enter then presses.
                verdict = self.judge.judge_enter(clear, scene)
            elif about is not ALLOWED and order.index(about.decision) >= order.index(verdict.decision):
                verdict = about
        return verdict

    def _revealed(self, action: Action) -> Action:
        return (
            replace(action, text=self.secrets.reveal(action.text)) if isinstance(action, TypeText) else action
        )

    def _held(self, verdict: SafetyVerdict, consent: Consent) -> ActionResult:
        reason = "denied" if verdict.decision is Decision.DENY else "not confirmed"
        stop = StopReason.SAFETY if consent is Consent.STOP else None
        return ActionResult(executed=None, error=f"held back ({reason}) by {verdict.sentence}", stop=stop)

    async def _where_it_led(self, action: Action, result: ActionResult) -> ActionResult:
        if not (self.judge.bounds.apps or self.judge.bounds.sites):
            return result  # everywhere is inside
        place = await self._place()
        verdict = self.secrets.masked(self.judge.judge_place(place))
        if verdict.decision is Decision.ALLOW:
            return result
        consent: Consent | None = None
        if verdict.decision is Decision.CONFIRM:
            consent = await self._confirm(Question(action=action, verdict=verdict, done=True))
        self._note(action, verdict, consent, executed=True)
        if consent is Consent.YES:
            if place is not None:
                self.judge = replace(self.judge, bounds=self.judge.bounds.with_place(place))
            return result
        came_back = await self._go_back()
        stop = None if consent is Consent.NO and came_back else StopReason.SAFETY
        went = "went back" if came_back else "could not go back"
        return replace(result, error=f"{verdict.sentence}; {went}", stop=stop)

    async def _go_back(self) -> bool:
        back = SystemButton(button=Button.BACK)
        if SystemButton not in self.action_space:
            return False
        await self._quietly(lambda: self.device.execute(back))
        return self.judge.judge_place(await self._place()).decision is Decision.ALLOW

    async def _place(self) -> str | None:
        """Where the device is; a phone between two apps is asked again for a moment."""
        end_s = time.monotonic() + _PLACE_DEADLINE_S
        while True:
            place = (await self._scene(Wait())).place
            if place is not None or not self.judge.bounds.apps or time.monotonic() > end_s:
                return place
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _scene(self, action: Action) -> Scene:
        device = self.device
        if isinstance(device, Inspectable):
            return await self._quietly(lambda: device.scene(action))
        return observed_scene(action, self._observation)

    def _note(
        self,
        action: Action,
        verdict: SafetyVerdict,
        consent: Consent | None,
        *,
        executed: bool,
    ) -> None:
        event = SafetyEvent(
            step=self._num_actions,
            action=self.secrets.masked(action),
            verdict=verdict,
            consent=consent if verdict.decision is Decision.CONFIRM else None,
            executed=executed,
        )
        self.events.append(event)
        if self._on_event is not None:
            self._on_event(event)

    async def _quietly(self, call: Callable[[], Awaitable[T]], *, withhold: bool = False) -> T:
        """Call the device; a fault is told without the secrets."""
        try:
            return await call()
        except DeviceError as error:
            if withhold:
                raise type(error)(
                    "the device failed while a secret was typed; the message is withheld, for it may quote it"
                ) from None
            if not self.secrets.shows(str(error)):
                raise
            raise type(error)(self.secrets.mask(str(error))) from None


def _typing(secret: Secret, scene: Scene) -> SafetyVerdict:
    """Whether a secret may be typed here."""
    scope, hit = secret.scope, "" if scene.focus is None else scene.focus.shown
    if not (scope.apps or scope.sites):
        why = f"types the secret {secret.name}, for which no app or site was named"
        return SafetyVerdict(decision=Decision.CONFIRM, rule="secret", hit=hit, why=why)
    if scope.names(scene.place):
        return ALLOWED
    where = ", ".join((*scope.apps, *scope.sites))
    why = f"types the secret {secret.name}, which is for {where} only, at {scene.place!r}"
    return SafetyVerdict(decision=Decision.DENY, rule="secret", hit=hit, why=why)
