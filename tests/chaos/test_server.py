"""Faults that take a PostgreSQL or a network of their own: a clock that jumps, a disk that is full, a cable that is pulled."""

import random
import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.chaos.campaign import Tally, cycle, make_place, make_world
from tests.chaos.listed import FAULTS
from tests.chaos.places import HiddenStack, NotHereError, fill
from tests.chaos.test_faults import SHARE
from tests.chaos.world import World
from tests.support.waiting import wait_until


@pytest.fixture
def world(request: pytest.FixtureRequest, seed: int) -> Iterator[World]:
    """The world of the fault that the test names as its parameter."""
    fault = FAULTS[request.param]
    with ExitStack() as ends:
        try:
            place = ends.enter_context(make_place(fault))
        except NotHereError as reason:
            pytest.skip(str(reason))
        world = make_world(place, fault, seed)
        ends.callback(world.close)
        world.load.pause_seconds = 0.1
        yield world


@pytest.mark.parametrize("world", ["jump_database_clock"], indirect=True)
def test_fault_36_and_37_the_database_clock_jumps(world: World, seed: int, *, is_long: bool) -> None:
    """On, and back: nothing is lost or doubled, and all goes on."""
    fault = FAULTS["jump_database_clock"]
    for _ in range(10 if is_long else 1):
        cycle(world, fault, random.Random(seed), Tally(fault.name, seed), 60, SHARE)


@pytest.mark.parametrize("world", ["fill_disk"], indirect=True)
def test_fault_33_the_disk_is_full(world: World, seed: int, *, is_long: bool) -> None:
    """First the queue is paused while there is room. Filled all the same: refused with 503 and why, and nothing acknowledged is lost."""
    stack = world.stack
    assert isinstance(stack, HiddenStack)
    world.load.wait_accepted(200)
    # The alarm: below min_free_bytes ingest answers 429, and what was accepted is worked off.
    world.query("UPDATE mqtt.configuration SET min_free_bytes = %s", 200 << 20)
    ballast = stack.run_dir.parent / "ballast"
    fill(stack, ballast, 100)
    world.query("SELECT mqtt.check_capacity()")
    response = world.device.send({"n": -1})
    assert response.status_code == 429, response.text
    assert response.json()["message"] == "queue_paused"
    assert "Retry-After" in response.headers
    stack.inside("rm", str(ballast))
    world.query("SELECT mqtt.check_capacity()")
    world.recover()
    world.oracle.check()
    # No alarm: it fills under load.
    fault = FAULTS["fill_disk"]
    world.load.refused.clear()
    rng = random.Random(seed)
    for _ in range(20 if is_long else 1):
        cycle(world, fault, rng, Tally(fault.name, seed), 100, SHARE)
    # No room (53100, with PostgreSQL's hint to check free disk space), or no server while it recovers (PGRST…).
    assert world.load.refused
    assert all(status.startswith(("503 53100", "503 PGRST")) for status in world.load.refused), world.load.refused


@pytest.mark.parametrize("world", ["pull_cable"], indirect=True)
def test_fault_08_and_09_a_partition(world: World) -> None:
    """Found out within the keep alive and the connection's own time limits; meanwhile ingest goes on; then all is made up for."""
    world.load.wait_accepted(60)
    world.cable.pull()
    (lost, *_) = wait_until(lambda: re.findall(r" broker_lost .*", world.bridge.log), what="the broker's loss being noticed")
    # By the bridge's own deadlines, both within twice the keep alive of 5 s, and not by what the kernel finds out in its time.
    assert re.search('reason="(Keep alive timeout|the broker has not acknowledged a message for 3 s)"', lost), lost
    wait_until(lambda: " database_lost " in world.bridge.log, what="the database's loss being noticed")
    world.load.wait_accepted(60)
    assert world.bridge.is_alive()
    # The server misses the other end, too: sessions that nobody uses take up its connections.
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'mqtt_bridge'"
    wait_until(lambda: world.query(sessions)[0][0] == 0, what="the server ending the sessions whose other end is gone")
    world.cable.plug_in()
    world.recover()
    count = world.oracle.check()
    assert count.accepted > 120
