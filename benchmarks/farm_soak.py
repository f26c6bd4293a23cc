"""Whether a farm survives: episodes on virtual phones over the real adb, with faults of every kind.

    python -m benchmarks.farm_soak --episodes 60 [--phones 8] [--rate 0.05] [--attempts 6] [--json]

Before every call that the adb server makes to a phone, a fault of one of all kinds is drawn at the given
rate. The suite's experts act, over the same driver and the same episode loop as a model. An episode whose
device failed is run again on another lease; one that failed in its last attempt is masked: it is handed out
unscored. Printed are

    episodes             handed out
    scored               judged by their task, success or failure
    succeeded            of those
    masked               unscored: all attempts met a device fault
    retried              attempts after a fault
    lost                 asked for and never handed out
    duplicated           handed out twice
    leaked_processes     children of this process that outlive the farm
    leaked_sockets       sockets of this process that outlive it
    faults               how often each kind happened, and `fault_calls`: episodes' calls that failed
    restarts, reconnects, quarantined_s
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import psutil

from devices.android.settings import AndroidSettings
from devices.farm import DeviceFarm, FarmOptions
from devices.farm.phones import AdbPhoneSource
from devices.phone.adb.faults import Fault
from devices.phone.adb.own_server import answers
from devices.phone.suites import phone_suite
from gui_agent.device import StopReason, Verdict
from trajectories.collect import CollectStats, EpisodeJob, collect_episodes, demonstrator_for, group_jobs
from trajectories.records import Trajectory

OUTAGE_S = 0.3
OPTIONS = FarmOptions(
    reset_timeout_s=5,
    observe_timeout_s=8,
    execute_timeout_s=8,
    check_timeout_s=5,
    probe_timeout_s=1,
    lease_timeout_s=8,
    reconnect_timeout_s=6,
    restart_timeout_s=10,
    backoff_first_s=0.1,
    backoff_max_s=2,
    max_failures=30,
)
DRIVER = AndroidSettings(timeout_s=1.5, observe_elements=True)


def soak_jobs(episodes: int, seed: int) -> list[EpisodeJob]:
    """Instances of all tasks of the quick-start suite in turn."""
    suite = phone_suite("quickstart")
    templates = suite.templates
    tasks = [suite.task(templates[number % len(templates)], seed + number) for number in range(episodes)]
    return group_jobs(tasks, prefix="soak-")


async def inject(source: AdbPhoneSource, rate: float, kinds: Sequence[Fault], seed: int) -> None:
    """Let every phone fail by chance, each in its own way."""
    for number, phone in enumerate(source.phones.phones):
        control = source.control(phone.serial)
        await control.tune_faults(outage_s=OUTAGE_S)
        await control.inject(rate, kinds, seed=seed * 1_000_003 + number)


async def soak(
    episodes: int, *, phones: int, rate: float, kinds: Sequence[Fault], attempts: int, seed: int
) -> dict[str, Any]:
    """Run the episodes; all figures but those of leaks."""
    jobs = soak_jobs(episodes, seed)
    stats = CollectStats()
    source = AdbPhoneSource(phones, settings=DRIVER, probe_timeout_s=1)
    found: list[Trajectory] = []
    async with DeviceFarm([source], options=OPTIONS) as farm:
        await inject(source, rate, kinds, seed)
        running = collect_episodes(
            jobs, farm, demonstrator_for, concurrency=phones, max_attempts=attempts, stats=stats
        )
        async for record in running:
            found.append(record.trajectory)
        counts = Counter[str]()
        for phone in source.phones.phones:
            counts.update({str(k): n for k, n in (await source.control(phone.serial).fault_counts()).items()})
        port = source.phones.server.port
        members = [member.statistics for member in farm.members]
    return {
        **tallied(found, jobs),
        "retried": stats.retries,
        "fault_calls": sum(sum(one.faults.values()) for one in members),
        "faults": dict(sorted(counts.items())),
        "restarts": sum(one.restarts for one in members),
        "reconnects": sum(one.reconnects for one in members),
        "quarantined_s": round(sum(one.quarantined_s for one in members), 1),
        "left_servers": int(await is_left(port)),
        "calls": sum(times.count for one in members for times in one.calls.values()),
    }


async def is_left(port: int) -> bool:
    """Whether an adb server still listens two seconds after it was told to end."""
    end_s = time.monotonic() + 2
    while answers(port):
        if time.monotonic() > end_s:
            return True
        await asyncio.sleep(0.02)
    return False


def tallied(found: Sequence[Trajectory], jobs: Iterable[EpisodeJob]) -> dict[str, int]:
    """What became of the episodes that were asked for."""
    handed_out = Counter(one.episode_id for one in found)
    masked = [one for one in found if one.stop is StopReason.DEVICE_FAULT]
    scored = [one for one in found if one.outcome.verdict is not Verdict.UNSCORED]
    return {
        "episodes": len(found),
        "scored": len(scored),
        "succeeded": sum(one.succeeded for one in scored),
        "masked": len(masked),
        "lost": sum(not handed_out[job.context.episode_id] for job in jobs),
        "duplicated": sum(number - 1 for number in handed_out.values()),
    }


def open_things() -> tuple[set[int], int]:
    """Processes below this one, and its sockets."""
    me = psutil.Process()
    children = {child.pid for child in me.children(recursive=True)}
    return children, len(me.net_connections(kind="all"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--episodes", type=int, default=60)
    parser.add_argument("--phones", type=int, default=8)
    parser.add_argument("--rate", type=float, default=0.05, help="chance of a fault before each call")
    parser.add_argument("--kinds", nargs="*", default=[], choices=list(Fault), help="all if not given")
    parser.add_argument("--attempts", type=int, default=6, help="of each episode, before it is masked")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    children, sockets = open_things()
    began_s, cpu_s = time.perf_counter(), time.process_time()
    figures = asyncio.run(
        soak(
            options.episodes,
            phones=options.phones,
            rate=options.rate,
            kinds=[Fault(kind) for kind in options.kinds] or tuple(Fault),
            attempts=options.attempts,
            seed=options.seed,
        )
    )
    later_children, later_sockets = open_things()
    # A server that was started in the place of a killed one is no child of ours.
    figures["leaked_processes"] = len(later_children - children) + figures.pop("left_servers")
    figures["leaked_sockets"] = max(0, later_sockets - sockets)
    figures["wall_s"] = round(time.perf_counter() - began_s, 1)
    figures["cpu_s"] = round(time.process_time() - cpu_s, 1)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:18} {value}")


if __name__ == "__main__":
    main()
