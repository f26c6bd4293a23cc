"""A writer that is killed with SIGKILL at every moment of an append loses nothing that was committed."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from trajectories.check import check_store
from trajectories.store import TrajectoryStore

# Imports take seconds, so one process imports and then forks a writer for every moment.
WRITERS = """
import os, signal, sys
from PIL import Image
from gui_agent.actions import Finish
from gui_agent.device import Outcome, StopReason, Verdict
from gui_agent.observation import Screenshot
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore

def episode(number):
    shot = Screenshot.from_image(Image.new("RGB", (20, 40), (number, 0, 0)))
    step = Step(index=0, screenshot_sha256=shot.sha256, width_px=20, height_px=40,
                requested=Finish(), executed=Finish())
    trajectory = Trajectory(
        episode_id=f"e{number}", task_id="t", template="t", suite="s", goal="g", steps=(step,),
        stop=StopReason.FINISHED, outcome=Outcome(verdict=Verdict.SUCCESS))
    return EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot})

def write(folder, deadly_call):
    store = TrajectoryStore.open_or_create(folder)
    first = len(store)
    store.append([episode(first), episode(first + 1)])
    calls = 0
    def deadly(function):
        def call(*arguments):
            nonlocal calls
            calls += 1
            if calls == deadly_call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments)
        return call
    os.fsync, os.replace = deadly(os.fsync), deadly(os.replace)
    store.append([episode(first + 2), episode(first + 3)])
    return calls

for folder, deadly_call in zip(sys.argv[1::2], map(int, sys.argv[2::2])):
    child = os.fork()
    if child == 0:
        os._exit(write(folder, deadly_call))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
NUM_CALLS = 11
"""fsync and rename of two pictures and three tables, and fsync of the folder."""


def write(deadly_calls: dict[Path, int]) -> list[int]:
    """Exit codes of the writers: -9 if killed, else the number of calls that could have been deadly."""
    arguments = [str(argument) for pair in deadly_calls.items() for argument in pair]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WRITERS, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ARROW_IO_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folders = {call: tmp_path_factory.mktemp("kill") / "store" for call in range(NUM_CALLS + 1)}
    codes = write({folder: call for call, folder in folders.items()})
    assert codes == [NUM_CALLS] + [-9] * NUM_CALLS
    return folders


def test_a_kill_leaves_whole_commits_and_the_next_append_cleans_up(killed: dict[int, Path]) -> None:
    num_torn = {0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: 1, 6: 1, 7: 2, 8: 2, 9: 3, 10: 3, 11: 0}
    committed = {call: 4 if call in (0, 11) else 2 for call in killed}  # the last rename is the commit
    for call, folder in killed.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            store = TrajectoryStore.open(folder)
        assert store.episode_ids == [f"e{number}" for number in range(committed[call])], call
        assert check_store(store).num_episodes == committed[call]
        assert store.num_torn_files == num_torn[call], call
        assert len(caught) == (num_torn[call] > 0)

    codes = write(dict.fromkeys(killed.values(), 0))
    assert all(code > 0 for code in codes)
    for call, folder in killed.items():
        store = TrajectoryStore.open(folder)
        assert len(store) == committed[call] + 4
        assert store.num_torn_files == 0
        assert check_store(store).ok
        assert not list(folder.rglob("*.tmp"))
