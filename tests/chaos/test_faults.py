"""Each fault, once or twice, under load: nothing accepted is lost, nothing is stored twice that must not be, and all goes on."""

import os
import random
from collections.abc import Iterator

import pytest

from tests.chaos.campaign import Tally, cycle, make_world
from tests.chaos.faults import FAULTS
from tests.chaos.world import World
from tests.support.stack import Stack, start_stack

SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.randrange(1 << 32)
ALONE = [name for name, fault in FAULTS.items() if fault.bridges == 1]


@pytest.fixture(scope="module")
def chaos_stack() -> Iterator[Stack]:
    stack = start_stack(without=("gateway", "bridge"))
    yield stack
    stack.down()


@pytest.fixture(scope="module")
def world(chaos_stack: Stack) -> Iterator[World]:
    """A world that all faults of a single bridge share, one after another."""
    world = make_world(chaos_stack, FAULTS["kill_bridge"], SEED)
    yield world
    world.close()


@pytest.mark.parametrize("name", ALONE)
def test_fault(world: World, name: str) -> None:
    print(f"CHAOS_SEED={SEED}")
    fault = FAULTS[name]
    cycle(world, fault, random.Random(f"{SEED} {name}"), Tally(name, SEED), load=60)
