"""An agent that a person directs, for the one episode loop.

    observe → gate → ask → show → (approve | edit | reject | act) → execute
               ↑                                  │
               └──── asked again, or taken over ──┘

The person's wishes lie on a `Desk`. Some turns of the episode loop are no steps: they look again because the
screen has changed while somebody thought, or take steps back. `Scene.deed` tells the `DirectedDevice` what
the present turn is, and its marks tell who keeps the record.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from itertools import count
from typing import Final

from gui_agent.actions import Action, Finish, ParseError, Wait, action_points, action_to_dict
from gui_agent.actions import Answer as AnswerAction
from gui_agent.agent import Agent, Decision, EpisodeContext, Steerable
from gui_agent.demo.asking import Answered
from gui_agent.demo.commands import Mode
from gui_agent.demo.desk import Answer, Approved, Edited, Rejected
from gui_agent.demo.events import Need, NoticeEvent, Part, Phase, ProposalEvent, ResolvedEvent, SaidEvent
from gui_agent.demo.marks import Mark, with_rejected
from gui_agent.demo.scene import Deed, DeedKind, Scene
from gui_agent.demo.staleness import has_changed
from gui_agent.device import ActionResult
from gui_agent.errors import PolicyError
from gui_agent.observation import Observation
from gui_agent.policy import AgentRole
from gui_agent.safety.verdict import ALLOWED, Consent, Question, SafetyVerdict
from gui_agent.safety.verdict import Decision as Ruling
from trajectories.episode import Remembers
from trajectories.viewer.shown import action_label

_TRIES: Final = 3
"""An agent that was asked again may repeat itself so often before a person is asked."""


class DirectedAgent:
    """Another agent, directed by a person (implements `gui_agent.agent.Agent`)."""

    def __init__(self, inner: Agent, scene: Scene, *, numbers: count[int]) -> None:
        """Direct `inner`; proposals are numbered from `numbers`."""
        self.inner = inner
        self._scene = scene
        self._desk = scene.desk
        self._numbers = numbers
        self._context = EpisodeContext(goal="", episode_id="")
        self._rejected: list[Decision] = []
        self._rejected_at = ""
        self._attempt = 0
        self._observation: Observation | None = None
        self._mark = Mark()
        self._asked_s = 0.0
        self._last_answer: Answered | None = None
        self._too_late: Action | ParseError | None = None
        if scene.policy is not None:
            scene.policy.on_answer = self._answered

    def start(self, context: EpisodeContext) -> None:
        """Begin an episode."""
        self._context = context
        self.inner.start(context)

    async def decide(self, observation: Observation) -> Decision:
        """What is to be done, by the agent or by the person."""
        began_s = time.perf_counter()
        self._observation, self._mark, self._asked_s = observation, Mark(), 0.0
        if self._rejected_at != observation.screenshot.sha256:
            self._rejected, self._rejected_at = [], observation.screenshot.sha256
        try:
            deed, decision = await self._choose(observation)
        finally:
            self._desk.proposal, self._desk.answer = 0, None
        self._mark.rejected = tuple(self._rejected)
        self._mark.act_s = max(0.0, self._asked_s - self._mark.plan_s)
        passed_s = time.perf_counter() - began_s
        self._mark.person_s = max(0.0, passed_s - self._asked_s - self._mark.preview_s)
        if deed.kind is DeedKind.UNDO:
            self._rejected, self._attempt = [], 0
        self._scene.deed, self._scene.mark = deed, self._mark
        return decision

    async def record(self, result: ActionResult) -> None:
        """Let the agent remember what became of the turn, if it was a step."""
        deed, observation = self._scene.deed, self._observation
        assert observation is not None, "record follows decide"
        if not self._mark.kept:
            return
        self._rejected, self._attempt = [], 0
        if deed.kind is not DeedKind.HUMAN or deed.proposal is not None:
            await self.inner.record(result)
        elif isinstance(self.inner, Remembers) and result.executed is not None:
            thought = result.expected.thought if result.expected else None
            self.inner.remember(observation.screenshot, result.executed, thought)

    # One decision

    async def _choose(self, observation: Observation) -> tuple[Deed, Decision]:
        while True:
            if (deed := await self._gate(observation)) is not None:
                return deed, self._decision_for(deed)
            proposal = await self._ask(observation)
            if proposal is None:
                continue
            found = await self._show(proposal, observation)
            match found:
                case Approved(verdict=verdict, waited=waited, forbidden=forbidden):
                    if waited and await self._came_too_late(proposal.action, observation):
                        return self._look()
                    self._desk.step_taken()
                    decision = with_rejected(proposal, self._rejected, performed=True)
                    return Deed(kind=DeedKind.OWN, consented=verdict, forbidden=forbidden), decision
                case Edited(act=act):
                    if await self._is_elsewhere(act.action, observation):
                        act.looked = True  # it is done after this look, so that it is kept with its screen
                        self._desk.acts.appendleft(act)
                        return self._look()
                    self._rejected.append(proposal)
                    self._desk.step_taken()
                    deed = Deed(kind=DeedKind.HUMAN, act=act, proposal=proposal)
                    return deed, self._decision_for(deed)
                case Rejected():
                    self._rejected.append(proposal)
                case None:  # the person does something else
                    if self._desk.acts or self._desk.takeover:
                        self._rejected.append(proposal)

    def _look(self) -> tuple[Deed, Decision]:
        deed = Deed(kind=DeedKind.LOOK)
        return deed, self._decision_for(deed)

    def _decision_for(self, deed: Deed) -> Decision:
        if deed.kind is not DeedKind.HUMAN:
            return Decision(action=ParseError(reason=f"no step: {deed.kind.value}", text=""))
        assert deed.act is not None
        proposal = deed.proposal
        if proposal is None:
            return Decision(action=deed.act.action)
        return with_rejected(proposal, self._rejected, performed=False)

    async def _gate(self, observation: Observation) -> Deed | None:
        """Wait until the agent may be asked; a deed if the person wants something else."""
        desk, held = self._desk, False
        while True:
            if desk.undo:
                number, desk.undo = min(desk.undo, len(self._scene.checkpoints)), 0
                if number:
                    return Deed(kind=DeedKind.UNDO, undo=number)
            if desk.acts:
                act = desk.acts[0]
                if not act.looked and self._is_old(observation, act.frame):
                    act.looked = True
                    return Deed(kind=DeedKind.LOOK)
                desk.acts.popleft()
                if action_points(act.action) and self._scene.feed.has_turned(act.frame):
                    text = "the screen has turned since you pointed at it; nothing was done, point again"
                    self._notice("warning", "turned", text)
                    continue
                proposal = self._rejected[-1] if self._rejected else None
                return Deed(kind=DeedKind.HUMAN, act=act, proposal=proposal)
            if not desk.holds:
                stale = held and self._is_old(observation, 0)
                return Deed(kind=DeedKind.LOOK) if stale else None
            held = True
            self._scene.phase(Phase.PAUSED)
            await desk.changed()

    async def _came_too_late(self, action: Action | ParseError, observation: Observation) -> bool:
        """Whether the screen is another one now, where the approved action would be performed.

        The agent is then asked about the new screen. If it wants the same again, the next yes holds: some
        screens never rest.
        """
        before, self._too_late = self._too_late, None
        if action == before or not await self._is_elsewhere(action, observation):
            return False
        self._too_late = action
        text = "the screen has changed since the agent looked; nothing was done, it looks again"
        self._notice("warning", "changed", text)
        return True

    async def _is_elsewhere(self, action: Action | ParseError, observation: Observation) -> bool:
        """Whether the action would meet something else than what is in the observation."""
        newest = self._scene.feed.newest
        if newest is None or isinstance(action, ParseError | Finish | AnswerAction | Wait):
            return False
        points = action_points(action)
        return await asyncio.to_thread(has_changed, observation.screenshot, newest.screenshot, points)

    def _is_old(self, observation: Observation, frame: int) -> bool:
        """Whether the person, or the page, has seen another screen than this one."""
        feed = self._scene.feed
        newest = None if feed.newest is None else feed.newest.screenshot.sha256
        return (feed.sha256_of(frame) or newest) != observation.screenshot.sha256

    async def _ask(self, observation: Observation) -> Decision | None:
        """The agent's next proposal; None if the person breaks in, or the model fails.

        Raises:
            PolicyError: the model failed, and nobody is there.
        """
        self._desk.failure = ""
        tries = _TRIES if self._rejected and isinstance(self.inner, Steerable) else 1
        for _ in range(tries):
            self._attempt += 1
            self._put_question()
            self._scene.phase(Phase.THINKING)
            began_s = time.perf_counter()
            try:
                proposal = await self._thinking(observation)
            except PolicyError as error:
                if not self._desk.attended:
                    raise  # nobody will ask it again
                self._desk.paused, self._desk.single = True, False
                reason = self._scene.device.secrets.mask(str(error))
                self._desk.failure = f"the model failed: {reason}; resume asks it again"
                self._notice("error", "model", self._desk.failure)
                return None
            finally:
                self._asked_s += time.perf_counter() - began_s
            if proposal is None or all(proposal.action != old.action for old in self._rejected):
                return proposal
        return proposal

    def _put_question(self) -> None:
        hint, again = self._desk.hint, bool(self._rejected)
        if self._scene.policy is not None:
            self._scene.policy.again = again
        if isinstance(self.inner, Steerable):
            goal = self._context.goal + (f"\nHint from the user: {hint}" if hint else "")
            name = self._context.episode_id + (f"/again-{self._attempt}" if again else "")
            self.inner.go_on(replace(self._context, goal=goal, episode_id=name))

    async def _thinking(self, observation: Observation) -> Decision | None:
        thinking = asyncio.ensure_future(self.inner.decide(observation))
        try:
            while not thinking.done() and not self._desk.breaks_in:
                change = asyncio.ensure_future(self._desk.changed())
                try:
                    await asyncio.wait({thinking, change}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    change.cancel()
            return None if self._desk.breaks_in else thinking.result()
        finally:
            if not thinking.done():
                thinking.cancel()
            await asyncio.gather(thinking, return_exceptions=True)

    async def _show(self, proposal: Decision, observation: Observation) -> Answer | None:
        """Show a proposal until it is answered; None if the person does something else.

        What a rule denies needs no answer: the device will hold it back.
        """
        desk, number, verdict = self._desk, next(self._numbers), ALLOWED
        if not isinstance(proposal.action, ParseError):
            async with self._scene.lock:
                verdict = await self._scene.device.preview(proposal.action)
        self._say(proposal)
        event = self._event(number, proposal, observation)
        if verdict.decision is Ruling.DENY:
            self._scene.tell(replace(event, needs=Need.NOTHING, reason=verdict.sentence))
            self._scene.tell(ResolvedEvent(proposal=number, how="forbidden"))
            return Approved(forbidden=True)
        desk.proposal, desk.answer = number, None
        answer = await self._answer(event, verdict, proposal)
        desk.proposal = 0
        self._scene.tell(ResolvedEvent(proposal=number, how=_how(answer, undone=bool(desk.undo))))
        if isinstance(answer, Edited):
            answer.act.frame = event.frame  # it was pointed out there
        if (
            isinstance(answer, Approved)
            and answer.waited
            and verdict.decision is Ruling.CONFIRM
            and self._scene.asks
        ):
            return Approved(verdict=verdict, waited=True)
        return answer

    async def _answer(
        self, event: ProposalEvent, verdict: SafetyVerdict, proposal: Decision
    ) -> Answer | None:
        desk, shown, deadline_s = self._desk, None, 0.0
        while True:
            if desk.breaks_in:
                return None
            if desk.answer is not None:
                return desk.answer
            need = self._need(verdict, proposal)
            if need != shown:
                self._scene.tell(replace(event, needs=need[0], reason=need[1]))
                shown, deadline_s = need, time.perf_counter() + self._scene.preview_s
            if need[0] is not Need.NOTHING:
                self._scene.phase(Phase.WAITING)
                await desk.changed()
            elif (left_s := deadline_s - time.perf_counter()) > 0:
                began_s = time.perf_counter()
                await desk.changed(left_s)
                self._mark.preview_s += time.perf_counter() - began_s
            else:
                return Approved()

    def _need(self, verdict: SafetyVerdict, proposal: Decision) -> tuple[Need, str]:
        desk = self._desk
        if verdict.decision is Ruling.CONFIRM and self._scene.asks:
            return Need.CONFIRMATION, verdict.sentence
        if desk.mode is Mode.APPROVE:
            return Need.APPROVAL, ""
        if self._scene.repeats and desk.attended:
            return Need.APPROVAL, self._scene.repeats
        if any(proposal.action == old.action for old in self._rejected):
            return Need.APPROVAL, "the agent proposes again what was rejected"
        if desk.paused and not desk.single:
            return Need.APPROVAL, "paused"
        return Need.NOTHING, ""

    async def confirm(self, question: Question) -> Consent:
        """Ask the person about an action that is being performed: the screen has changed since it was shown,
        or the action has led where the agent may not be. Without a person the answer is stop."""
        observation = self._observation
        assert observation is not None, "nothing is performed before the first look"
        desk, number = self._desk, next(self._numbers)
        event = self._event(number, Decision(action=question.action), observation)
        done = "it has happened; go on from there? " if question.done else ""
        desk.proposal, desk.answer = number, None
        self._scene.tell(replace(event, needs=Need.CONFIRMATION, reason=f"{done}{question.verdict.sentence}"))
        self._scene.phase(Phase.WAITING)
        began_s = time.perf_counter()
        while self._scene.asks and not (desk.stopping or desk.breaks_in or desk.answer is not None):
            await desk.changed()
        self._mark.late_s += time.perf_counter() - began_s
        answer, desk.proposal, desk.answer = desk.answer, 0, None
        agreed = isinstance(answer, Approved)
        self._scene.tell(ResolvedEvent(proposal=number, how="performed" if agreed else "rejected"))
        if desk.stopping:
            return Consent.STOP
        if agreed:
            return Consent.YES
        return Consent.NO if self._scene.asks else Consent.STOP

    # Telling

    def _event(self, number: int, proposal: Decision, observation: Observation) -> ProposalEvent:
        action, screenshot = proposal.action, observation.screenshot
        readable = not isinstance(action, ParseError)
        return ProposalEvent(
            proposal=number,
            step=self._scene.taken,
            attempt=self._attempt,
            action=action_to_dict(action) if not isinstance(action, ParseError) else None,
            label=action_label(action) if not isinstance(action, ParseError) else "no action",
            points=action_points(action) if not isinstance(action, ParseError) else (),
            frame=self._scene.feed.number_of(observation),
            width_px=screenshot.width_px,
            height_px=screenshot.height_px,
            needs=Need.NOTHING,
            thought=proposal.thought,
            subgoal=proposal.subgoal,
            error=None if readable else getattr(action, "reason", ""),
        )

    def _answered(self, answered: Answered) -> None:
        """The planner's words are told before the actor is asked."""
        if answered.role == AgentRole.PLANNER.value:
            self._mark.plan_s += answered.seconds
            parse = getattr(self.inner, "parse_subgoal", None)
            subgoal = None if parse is None else parse(answered.completion.text).subgoal
            text = subgoal if isinstance(subgoal, str) else answered.completion.text
            self._tell_said(Part.SUBGOAL, answered.role, text, answered)
        else:
            self._last_answer = answered

    def _say(self, proposal: Decision) -> None:
        answered, self._last_answer = self._last_answer, None
        role = answered.role if answered else AgentRole.ACTOR.value
        if proposal.thought:
            self._tell_said(Part.THOUGHT, role, proposal.thought, answered)
        action = proposal.action
        words = action.reason if isinstance(action, ParseError) else action_label(action)
        self._tell_said(Part.ACTION, role, words, answered)

    def _tell_said(self, part: Part, role: str, text: str, answered: Answered | None) -> None:
        self._scene.tell(
            SaidEvent(
                step=self._scene.taken,
                attempt=self._attempt,
                part=part,
                role=role,
                text=text,
                seconds=round(answered.seconds, 4) if answered else 0.0,
                tokens=len(answered.completion.token_ids) if answered else 0,
            )
        )

    def _notice(self, level: str, code: str, text: str) -> None:
        self._scene.tell(NoticeEvent(level=level, code=code, text=text))


def _how(answer: Answer | None, *, undone: bool) -> str:
    match answer:
        case Approved():
            return "performed"
        case Edited():
            return "edited"
        case Rejected():
            return "rejected"
        case None:
            return "undone" if undone else "taken over"
