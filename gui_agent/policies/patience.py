"""How long an eager batcher waits for those who are about to ask.

A call of a model costs almost the same for one row as for a few, and who asks during a call waits for its
end. So it can be better for all to let the next ones come along. With m the time of a call, k requests that
wait, and x_j the seconds until participant j is expected to ask, serving in w seconds makes the participants
together wait for

    k w + sum of (w - x_j) over x_j <= w + sum of (w + m - x_j) over w < x_j < w + m

seconds before their calls begin. The batcher takes the w with the smallest sum, and of equal ones the
longest, which saves calls. It looks again whenever somebody has asked, or has not come when expected.

x_j goes by the last pauses of all participants between an answer and the next request: the median of those
that are longer than j's pause already is. Who takes longer than any of them is late and is not waited for.

Worked example: m = 1, k = 2, two others expected in 0.1 and 0.2 s. At once: 0 + 0.9 + 0.8 = 1.7 s. In 0.2 s:
0.4 + 0.1 + 0 = 0.5 s, so these two come along. Were they expected in 0.9 s, it would be 0.2 s at once and
1.8 s in 0.9 s: two batches of two are better for everybody.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate


def best_wait_s(num_waiting: int, expected_s: Iterable[float], *, call_s: float, limit_s: float) -> float:
    """How long to wait before the next call, so that all together wait least.

    Args:
        num_waiting: requests that wait, at least 1.
        expected_s: for each participant that does not wait, seconds until it is expected to ask, from 0 on.
        call_s: seconds that a call takes.
        limit_s: no longer than this.

    Returns:
        Seconds in [0, limit_s]: 0, or one of `expected_s`.
    """
    times_s = sorted(expected_s)
    sums_s = [0.0, *accumulate(times_s)]

    def lost_s(wait_s: float) -> float:
        along, during = bisect_right(times_s, wait_s), bisect_left(times_s, wait_s + call_s)
        at_start = (num_waiting + along) * wait_s - sums_s[along]
        at_end = (during - along) * (wait_s + call_s) - (sums_s[during] - sums_s[along])
        return at_start + at_end

    best_s, least_s = 0.0, lost_s(0.0)
    for wait_s in times_s:
        if wait_s > limit_s:
            break
        if (lost := lost_s(wait_s)) <= least_s:
            best_s, least_s = wait_s, lost
    return best_s


def expected_in_s(pauses_s: Sequence[float], passed_s: float) -> float | None:
    """Seconds until somebody is expected who has paused for `passed_s`, or None if it is late.

    Args:
        pauses_s: the last pauses, in ascending order.
        passed_s: seconds since its last answer.
    """
    first = bisect_right(pauses_s, passed_s)
    longer = pauses_s[first:]
    return longer[len(longer) // 2] - passed_s if longer else None
