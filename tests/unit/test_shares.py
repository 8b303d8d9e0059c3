"""How organizations share what there is a fixed number of, and how a link tells trouble that lasts."""

import math
import threading
import time
from uuid import UUID

import pytest

from bridge.mqtt.dialers import Dialers
from bridge.mqtt.flapping import LOST, TAKEN_OVER, Flapping
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
    wait_until(lambda: len(begun) == 20, what="the others")
    dialers.end()


def test_dials_begin_in_order() -> None:
    dialers = Dialers(2)  # half of them for one organization: one after the other
    begun: list[int] = []
    for number in range(20):
        dialers.submit(SLOW, lambda number=number: begun.append(number))  # type: ignore[misc]
    wait_until(lambda: len(begun) == 20, what="all")
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


def test_a_session_that_is_taken_over_again_and_again() -> None:
    flapping = Flapping("mine")
    assert flapping.lost(60, LOST, 0) < 0.1, "a connection that had lasted is made again at once"
    found = [(flapping.lost(1, "the broker ended the connection: Session taken over", TAKEN_OVER), flapping.reason) for _ in range(20)]
    reasons = [reason for _, reason in found]
    assert reasons == [None] * 2 + ["another client with the client id mine takes the session over again and again"] * 18
    assert max(delay for delay, _ in found[:3]) < 1
    assert min(delay for delay, _ in found[-3:]) >= 15
    assert not flapping.is_stable(20), "the other may be waiting"
    assert flapping.is_stable(100)
    flapping.settled()
    assert flapping.lost(1, LOST, 0) < 1


def test_connections_that_end_soon_without_a_reason() -> None:
    flapping = Flapping("mine")
    found = [(flapping.lost(0.1, LOST, 0), flapping.reason) for _ in range(14)]
    reason = f"each connection ends soon after the broker has accepted it: {LOST}; another client may have the client id mine"
    assert [reason for _, reason in found] == [None] * 4 + [reason] * 10
    assert max(delay for delay, _ in found) <= 3
    flapping.lost(0.1, "the broker sent something unreadable", 0)
    assert flapping.reason == "each connection ends soon after the broker has accepted it: the broker sent something unreadable"
