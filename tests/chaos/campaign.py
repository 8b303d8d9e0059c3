"""Faults again and again, with what each did to the messages, and how long it took to recover."""

import random
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.world import Count, World
from tests.support.stack import Stack, start_stack


@dataclass
class Tally:
    """What so many cycles of a fault came to."""

    name: str
    seed: int
    cycles: int = 0
    count: Count = field(default_factory=Count)
    recoveries: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def percentile(self, percent: int) -> float:
        """Of the recovery times, in seconds."""
        if len(self.recoveries) < 2:
            return max(self.recoveries, default=0.0)
        return statistics.quantiles(self.recoveries, n=100, method="inclusive")[percent - 1]


def cycle(world: World, fault: Fault, rng: random.Random, tally: Tally, load: int = 120) -> None:
    """One cycle: load, harm, recovery, and everything accounted for."""
    world.load.resume()
    world.load.wait_accepted(load)
    fault.harm(world, rng)
    tally.recoveries.append(world.recover())
    world.load.wait_accepted(load // 2)
    tally.count.add(world.check())
    tally.cycles += 1


def make_world(stack: Stack, fault: Fault, seed: int) -> World:
    world = World(stack, seed=seed, constants=dict(fault.constants))
    try:
        world.start(fault.bridges)
        world.load.run(*fault.producers)
    except BaseException:
        world.close()
        raise
    return world


def run(
    names: Iterable[str],
    *,
    seed: int,
    cycles: Callable[[Fault], int],
    until: float = float("inf"),
    load: int = 120,
    tell: Callable[[Tally], None] = lambda _tally: None,
) -> list[Tally]:
    """So many cycles of each fault, each fault on a stack of its own, as long as there is time."""
    tallies = []
    for name in names:
        fault = FAULTS[name]
        tally = Tally(name, seed)
        rng = random.Random(f"{seed} {name}")
        began = time.monotonic()
        if began > until:
            break
        stack = start_stack(without=("gateway", "bridge"))
        try:
            world = make_world(stack, fault, seed)
            try:
                for _ in range(cycles(fault)):
                    cycle(world, fault, rng, tally, load)
                    tell(tally)
                    if time.monotonic() > until:
                        break
            finally:
                world.close()
        finally:
            stack.down()
        tally.seconds = time.monotonic() - began
        tallies.append(tally)
    return tallies
