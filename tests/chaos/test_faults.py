"""Each fault, once, under load: nothing accepted is lost, nothing is stored twice that must not be, and all goes on."""

import random
from collections.abc import Callable, Iterator

import pytest

from tests.chaos.campaign import Place, Tally, cycle, make_world
from tests.chaos.listed import FAULTS
from tests.chaos.registry import Fault
from tests.chaos.world import World
from tests.support.stack import Stack

LOAD = 60
SHARE = 0.1  # of the rate before: meanwhile other tests may have begun to use this machine, as none does in a campaign
# Poison and places of their own have tests of their own.
ALONE = [
    fault
    for fault in FAULTS.values()
    if fault.bridges == 1 and fault.place == "plain" and fault.is_short and not fault.name.startswith("poison")
]


@pytest.fixture(scope="module")
def shared(stack: Stack, seed: int) -> Iterator[World]:
    """A world that all faults of a single bridge share, one after another."""
    constants = tuple(constant for fault in ALONE for constant in fault.constants)
    world = make_world(Place(stack), Fault("all", ALONE[0].harm, constants=constants), seed)
    yield world
    world.close()


@pytest.mark.parametrize("fault", ALONE, ids=lambda fault: fault.test_name)
def test_one_bridge(shared: World, seed: int, fault: Fault) -> None:
    tally = Tally(fault.name, seed)

    def given_up() -> int:
        """Connections on which an acknowledgement was late, as on a machine that keeps all waiting for seconds, too."""
        return shared.bridge.log.count("has not acknowledged a message")

    before = given_up()
    cycle(shared, fault, random.Random(f"{seed} {fault.name}"), tally, LOAD, SHARE)
    assert tally.count.accepted >= LOAD
    if fault.name in {"terminate_bridge", "delay_acknowledgements"} and given_up() == before:
        assert tally.count.redelivered == 0


SEVERAL = [fault for fault in FAULTS.values() if fault.bridges > 1]


@pytest.mark.parametrize("fault", SEVERAL, ids=lambda fault: fault.test_name)
def test_several_bridges(world: Callable[..., World], seed: int, fault: Fault) -> None:
    playground = world(fault.bridges, fault.producers)
    tally = Tally(fault.name, seed)
    cycle(playground, fault, random.Random(f"{seed} {fault.name}"), tally, LOAD, SHARE)
    assert tally.count.accepted >= LOAD
