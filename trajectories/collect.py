"""Many episodes at once, over as many devices as there are.

Each job borrows a device, runs one episode and gives the device back; the next job begins at once, so
a slow device holds up nobody else. A device fault is tried again on another lease, a bounded number of
times, and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from gui_agent.agent import Agent, DemonstratorAgent, EpisodeContext
from gui_agent.device import Demonstrator, Device, DeviceFactory, Outcome, StopReason, Task, Verdict
from gui_agent.errors import ConfigError, DeviceError, NoDeviceError
from trajectories.episode import StepCallback, run_episode
from trajectories.records import EpisodeRecord, Trajectory

AgentFor = Callable[[Device], Agent]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeJob:
    """One episode to run: its task, and the names under which it is run and stored."""

    task: Task
    context: EpisodeContext
    group_id: str = ""
    max_steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeLabels:
    """What all episodes of one collection have in common."""

    suite: str = ""
    split: str = ""
    policy_name: str = ""
    device_name: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class CollectStats:
    """Counted while collecting.

    Attributes:
        episodes: handed out, faulted ones included.
        faults: attempts that ended in a device fault.
        retries: attempts after a fault.
        lost: episodes whose last attempt faulted too.
    """

    episodes: int = 0
    faults: int = 0
    retries: int = 0
    lost: int = 0


def group_jobs(
    tasks: Iterable[Task], *, num_generations: int = 1, seed: int = 0, update: int = 0, prefix: str = ""
) -> list[EpisodeJob]:
    """A group of `num_generations` sibling episodes for every task, with readable unique names.

    Group number i of update u is called `{prefix}u{u:05d}-g{i:04d}`, its episodes `…-e{k:02d}`.
    """
    jobs = []
    for number, task in enumerate(tasks):
        group = f"{prefix}u{update:05d}-g{number:04d}"
        for sibling in range(num_generations):
            context = EpisodeContext(
                goal=task.goal, episode_id=f"{group}-e{sibling:02d}", seed=seed, update=update
            )
            jobs.append(EpisodeJob(task=task, context=context, group_id=group))
    return jobs


async def collect_episodes(
    jobs: Iterable[EpisodeJob],
    factory: DeviceFactory,
    agent_for: AgentFor,
    *,
    concurrency: int = 1,
    max_attempts: int = 2,
    ordered: bool = False,
    labels: EpisodeLabels | None = None,
    time_limit_s: float | None = None,
    record_elements: bool = False,
    track_progress: bool = True,
    observe_end: bool = True,
    on_step: StepCallback | None = None,
    stats: CollectStats | None = None,
) -> AsyncGenerator[EpisodeRecord, None]:
    """Run all jobs and yield their episodes as they finish.

    Args:
        jobs: what to run.
        factory: where devices come from; at most its capacity runs at once.
        agent_for: makes the agent of one episode for the device it was lent.
        concurrency: episodes at once, at least 1.
        max_attempts: attempts per job when devices fault, at least 1; the last one is yielded whatever
            became of it, with `StopReason.DEVICE_FAULT` and unscored.
        ordered: yield in the order of the jobs, holding back what finishes early.
        labels: stored with every episode.
        time_limit_s, record_elements, track_progress, observe_end, on_step: see `run_episode`.
        stats: counted into, if given.

    Raises:
        ConfigError: a number is below 1.
        NoDeviceError: all devices were given up; the episodes that still run are cancelled.
        PolicyError: a model failed; the episodes that still run are cancelled.

    Whatever is raised, the episodes that had ended are yielded before, also those that were held back.
    """
    if concurrency < 1 or max_attempts < 1:
        raise ConfigError(f"concurrency={concurrency}, max_attempts={max_attempts}: both must be 1 or more")
    labels = labels or EpisodeLabels()
    counts = stats or CollectStats()

    async def attempt(job: EpisodeJob) -> EpisodeRecord:
        try:
            async with factory.lease() as device:
                return await run_episode(
                    device,
                    agent_for(device),
                    job.task,
                    context=job.context,
                    max_steps=job.max_steps,
                    time_limit_s=time_limit_s,
                    suite=labels.suite,
                    group_id=job.group_id,
                    split=labels.split,
                    policy_name=labels.policy_name,
                    device_name=labels.device_name,
                    source=dict(labels.source),
                    record_elements=record_elements,
                    track_progress=track_progress,
                    observe_end=observe_end,
                    on_step=on_step,
                )
        except NoDeviceError:
            raise  # no later episode would find one either
        except DeviceError as error:  # the lease itself failed: there was never a device
            return _no_device(job, labels, error)

    async def run(job: EpisodeJob) -> EpisodeRecord:
        for number in range(max_attempts):
            counts.retries += number > 0
            record = await attempt(job)
            if record.trajectory.stop is not StopReason.DEVICE_FAULT:
                return record
            counts.faults += 1
        counts.lost += 1
        return record

    waiting = list(jobs)
    width = min(concurrency, factory.capacity)
    if width < 1:
        raise ConfigError("the device factory has no device to lend (capacity 0); connect or configure one")
    async with aclosing(_in_parallel(waiting, run, width, ordered)) as records:
        async for record in records:
            counts.episodes += 1
            yield record


async def _in_parallel(
    jobs: Sequence[EpisodeJob],
    run: Callable[[EpisodeJob], Awaitable[EpisodeRecord]],
    width: int,
    ordered: bool,
) -> AsyncGenerator[EpisodeRecord, None]:
    """Keep `width` jobs running; the next starts when one ends, not when its result is taken."""
    finished: asyncio.Queue[tuple[int, EpisodeRecord] | asyncio.Task[None]] = asyncio.Queue()
    pending = iter(enumerate(jobs))

    async def work() -> None:
        for number, job in pending:
            finished.put_nowait((number, await run(job)))
            if finished.qsize() > width:
                # Devices that answer at once never suspend: let results be taken and Ctrl-C be heard.
                await asyncio.sleep(0)

    workers = [asyncio.ensure_future(work()) for _ in range(min(width, len(jobs)))]
    for worker in workers:
        worker.add_done_callback(finished.put_nowait)
    results: dict[int, EpisodeRecord] = {}
    handed_out = 0
    failed: asyncio.Task[None] | None = None
    try:
        while handed_out < len(jobs) and failed is None:
            item = await finished.get()
            if isinstance(item, asyncio.Task):
                failed = item if item.cancelled() or item.exception() else None  # else it lacked jobs
                continue
            results[item[0]] = item[1]
            for number in sorted(results):
                if ordered and number != handed_out:
                    break
                handed_out += 1
                yield results.pop(number)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    if failed is None:
        return
    while not finished.empty():
        if not isinstance(item := finished.get_nowait(), asyncio.Task):
            results[item[0]] = item[1]
    for number in sorted(results):
        yield results[number]
    failed.result()  # raises what ended it


def _no_device(job: EpisodeJob, labels: EpisodeLabels, error: DeviceError) -> EpisodeRecord:
    fault = f"{type(error).__name__}: {error}"
    task, context = job.task, job.context
    return EpisodeRecord(
        trajectory=Trajectory(
            episode_id=context.episode_id,
            task_id=task.task_id,
            template=task.template,
            suite=labels.suite,
            goal=context.goal,
            steps=(),
            stop=StopReason.DEVICE_FAULT,
            outcome=Outcome(verdict=Verdict.UNSCORED, detail=fault),
            group_id=job.group_id,
            seed=task.seed,
            update=context.update,
            policy=labels.policy_name,
            split=labels.split,
            device=labels.device_name,
            source=dict(labels.source),
            fault=fault,
        )
    )


def demonstrator_for(device: Device) -> Agent:
    """The agent that records demonstrations: it does what the device's own expert does.

    Raises:
        ConfigError: the device knows no expert.
    """
    if not isinstance(device, Demonstrator):
        raise ConfigError(
            f"{type(device).__name__} knows no expert for its tasks, so it cannot record demonstrations; "
            "collect with a model instead"
        )
    return DemonstratorAgent(device)
