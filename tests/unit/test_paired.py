"""Models compared on the same instances."""

import pytest

from eval.paired import PairedEpisodes, mcnemar_p, paired_change
from gui_agent.device import Outcome, StopReason, Verdict
from gui_agent.errors import DataError
from trajectories.records import Trajectory

MARKS = {"+": Verdict.SUCCESS, "-": Verdict.FAILURE, "?": Verdict.UNSCORED}


def episodes(marks: str, *, first: int = 0) -> list[Trajectory]:
    """One episode for each mark, on instances from `first` on."""
    return [
        Trajectory(
            episode_id=f"eval-{number}",
            task_id=f"phone/quickstart/reply/{number}",
            template="reply",
            suite="phone/quickstart",
            goal="say yes to carl",
            steps=(),
            stop=StopReason.FINISHED,
            outcome=Outcome(verdict=MARKS[mark]),
        )
        for number, mark in enumerate(marks, start=first)
    ]


def test_gains_and_losses_are_counted_on_instances_that_both_scored() -> None:
    pair = PairedEpisodes(before=episodes("++--?-"), after=episodes("+-++++"))
    found = paired_change([pair])
    assert (found.gained, found.lost, found.unpaired) == (3, 1, 2)
    assert (found.before.value, found.after.value) == (0.4, 0.8)
    assert found.change.value == pytest.approx(0.4)
    assert found.change.low < 0.4 < found.change.high


def test_seeds_on_the_same_instances_are_drawn_together() -> None:
    pair = PairedEpisodes(before=episodes("-+" * 20), after=episodes("++" * 20))
    one, three = paired_change([pair]), paired_change([pair, pair, pair])
    assert three.gained == 3 * one.gained
    assert (three.change.low, three.change.high) == (one.change.low, one.change.high)


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(DataError, match="no instance was scored by both"):
        paired_change([PairedEpisodes(before=episodes("++"), after=episodes("++", first=2))])
    with pytest.raises(DataError, match="4 episodes on 2 instances"):
        paired_change([PairedEpisodes(before=episodes("++") * 2, after=episodes("++"))])


@pytest.mark.parametrize(
    ("gained", "lost", "p_value"), [(0, 0, 1.0), (1, 1, 1.0), (5, 0, 0.0625), (8, 2, 0.109375)]
)
def test_the_exact_test_of_mcnemar(gained: int, lost: int, p_value: float) -> None:
    assert mcnemar_p(gained, lost) == mcnemar_p(lost, gained) == p_value
