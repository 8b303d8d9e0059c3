"""A stack that the chaos tests of a worker share, and worlds on it."""

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.chaos.world import World
from tests.support.stack import Stack, start_stack


@pytest.fixture(scope="session")
def seed() -> int:
    """CHAOS_SEED, or a new one, which a failure tells."""
    return int(os.environ.get("CHAOS_SEED", "0")) or random.randrange(1, 1 << 32)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Without a bridge: each test starts its own."""
    running = start_stack(without=("gateway", "bridge"))
    yield running
    running.down()


@pytest.fixture
def world(stack: Stack, seed: int) -> Iterator[Callable[..., World]]:
    """`world(bridges=1, producers=(…), constants={…})`: a new organization, brokers and bridges, and producers that are paused."""
    made: list[World] = []

    def make(bridges: int = 1, producers: tuple[str, ...] = (), **options: Any) -> World:
        world = World(stack, seed=seed, **options)
        made.append(world)
        if bridges:
            world.start(bridges)
        if producers:
            world.load.run(*producers)
            world.load.pause()
        return world

    yield make
    for world in made:
        world.close()


@pytest.fixture(scope="session")
def is_long() -> bool:
    """TOPICBASE_CHAOS=1, as `bin/chaos` sets it: faults of size are run at the size that docs/explanation/faults.md names."""
    return bool(os.environ.get("TOPICBASE_CHAOS"))
