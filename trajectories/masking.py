"""Episodes without the secrets that were typed in them."""

from __future__ import annotations

from dataclasses import replace

from gui_agent.safety.secrets import Secrets
from trajectories.records import EpisodeRecord, Step


def masked_record(record: EpisodeRecord, secrets: Secrets) -> EpisodeRecord:
    """The same episode with `<secret NAME>` in place of every value, in all texts.

    A model that read a secret from the screen may have written it, and a person may have typed it in clear
    before it was one. Tokens spell it out, and the later prompts repeat it, so that from such a step on (or
    from the first one, where the goal holds it) no completion is kept; these steps cannot be trained on.
    Pictures stay as they are.
    """
    if not secrets:
        return record
    steps: list[Step] = []
    leaked = secrets.shows(record.trajectory.goal)
    for step in record.trajectory.steps:
        leaked = leaked or _leaks(step, secrets)
        steps.append(masked_step(step, secrets, without_tokens=leaked))
    trajectory = replace(record.trajectory, steps=())
    return replace(record, trajectory=replace(secrets.masked(trajectory), steps=tuple(steps)))


def masked_step(step: Step, secrets: Secrets, *, without_tokens: bool = False) -> Step:
    """The same step with its texts masked; without completions and candidates if they are not to be kept."""
    if without_tokens or _leaks(step, secrets):
        step = replace(step, completions=(), candidates=())
    return secrets.masked(step)


def _leaks(step: Step, secrets: Secrets) -> bool:
    said = (step.requested, step.executed, step.thought, step.subgoal)  # what an agent remembers
    if secrets.masked(said) != said:
        return True
    sampled = (*step.completions, *(candidate.completion for candidate in step.candidates))
    return any(secrets.shows(one.completion.text) for one in sampled)
