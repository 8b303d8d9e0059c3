"""How organizations share what there is a fixed number of."""

import math
import threading
import time
from uuid import UUID

import pytest

from bridge.mqtt.dialers import Dialers
from bridge.mqtt.rate import Rate
from bridge.shares import fair_share
from tests.support.waiting import PATIENCE, wait_until

SLOW, QUIET = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(("hogs", "each"), [(1, 32), (2, 21), (3, 16), (7, 8), (31, 2), (63, 1), (64, 1)])
def test_what_some_that_want_all_get(hogs: int, each: int) -> None:
    """Of 64; there is one left for another organization, unless 64 have one each."""
    held = [0] * hogs
    while fair_share(min(held) + 1, 64 - sum(held) - 1):
        held[held.index(min(held))] += 1
    assert min(held) == each
    assert max(held) <= each + 1
    assert sum(held) < 64 or hogs == 64


def test_dials_of_one_organization_leave_others_a_thread() -> None:
    dialers, gate, dialed = Dialers(8), threading.Event(), threading.Event()
    begun: list[int] = []

    def hang(number: int) -> None:
        begun.append(number)
        gate.wait(PATIENCE)

    for number in range(20):
        dialers.submit(SLOW, lambda number=number: hang(number))  # type: ignore[misc]
    wait_until(lambda: len(begun) == 4, what="half of the threads")
    dialers.submit(QUIET, dialed.set)
    assert dialed.wait(PATIENCE)
    assert len(begun) == 4
    gate.set()
    wait_until(lambda: len(begun) == 20, what="the others, one after the other")
    assert begun == sorted(begun)
    dialers.end()


def test_a_rate() -> None:
    now = time.monotonic()
    rate = Rate(10, 5)
    rate.tokens = 5
    assert rate.wait(now + 1) == 0
    rate.tokens -= 25
    assert rate.wait(now + 1) == pytest.approx(2.1, abs=0.01), "20 owed, and one to take"
    assert rate.wait(now + 2) == pytest.approx(1.1, abs=0.01)
    assert rate.wait(now + 60) == 0
    assert rate.tokens == 5, "no more than a burst"
    rate.set(None)
    rate.tokens -= 1000
    assert rate.wait(now) == 0
    assert rate.tokens == math.inf
