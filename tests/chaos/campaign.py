"""Faults again and again, with what each did to the messages, and how long it took to recover."""

import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.oracle import Count
from tests.chaos.places import Cable, NotHereError, cable, faketime, small_disk
from tests.chaos.registry import Fault
from tests.chaos.world import World
from tests.support.stack import TEMPLATE, Stack, start_stack


@dataclass
class Tally:
    """What so many cycles of a fault came to."""

    name: str
    seed: int
    cycles: int = 0
    count: Count = field(default_factory=Count)
    recoveries: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def conclude(self, world: World) -> None:
        """Count over all cycles together, too: what an earlier cycle's message did late is not seen by a later one's count."""
        total = world.oracle.check_all()
        self.count.stored, self.count.duplicates = total.stored - self.count.dead, total.duplicates
        self.count.delivered, self.count.redelivered = total.delivered, total.redelivered

    def percentile(self, percent: int) -> float:
        """Of the recovery times, in seconds."""
        if len(self.recoveries) < 2:
            return max(self.recoveries, default=0.0)
        return statistics.quantiles(self.recoveries, n=100, method="inclusive")[percent - 1]


def cycle(world: World, fault: Fault, rng: random.Random, tally: Tally, load: int = 120, share: float = 0.5) -> None:
    """One cycle: load, harm, recovery at such a share of the rate before, at least, and everything accounted for."""
    world.load.only = fault.producers
    world.load.resume()
    since = world.progress()
    world.load.wait_accepted(load)
    before = world.rate(since)
    try:
        fault.harm(world, rng)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{world.evidence()}") from None
    tally.recoveries.append(world.recover(before, share=share))
    world.load.wait_accepted(load // 2)
    tally.count.add(world.oracle.check())
    tally.cycles += 1


@dataclass
class Place:
    """Where a world is made: a stack, and what else the fault takes."""

    stack: Stack
    clock: Path | None = None
    cable: Cable | None = None


@contextmanager
def make_place(fault: Fault) -> Iterator[Place]:
    """A stack for a fault; raises NotHereError where this machine cannot have it."""
    with ExitStack() as ends:
        if fault.place == "small disk":
            yield Place(ends.enter_context(small_disk(420)))
            return
        environment: dict[str, Any] = {}
        clock = None
        if fault.place == "clock":
            directory = Path(tempfile.mkdtemp(prefix="clock.", dir=os.environ.get("TOPICBASE_TEST_DIR")))
            ends.callback(shutil.rmtree, directory, ignore_errors=True)
            directory.chmod(0o711)
            programs, clock = ends.enter_context(faketime(directory))
            environment = {"TOPICBASE_PG_BIN": str(programs), "TOPICBASE_TEMPLATE": TEMPLATE}
        link = ends.enter_context(cable()) if fault.place == "cable" else None
        if link is not None:
            # The bridge has the server itself at the other end: a proxy between them would keep the server's connections alive.
            conf = Path(tempfile.mkdtemp(prefix="cable.", dir=os.environ.get("TOPICBASE_TEST_DIR"))) / "listen.conf"
            ends.callback(shutil.rmtree, conf.parent, ignore_errors=True)
            conf.write_text(f"listen_addresses = '127.0.0.1, {link.host}'\n")
            environment = {"TOPICBASE_PG_CONF": str(conf), "TOPICBASE_TEMPLATE": TEMPLATE}
        without = ("bridge",) if fault.place == "stream" else ("gateway", "bridge")
        stack = start_stack(without=without, stream=fault.place == "stream", **environment)
        ends.callback(stack.down)
        if link is not None:
            with (stack.run_dir / "postgres" / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all mqtt_bridge {link.host}/30 scram-sha-256\n")
            with stack.connect() as db:
                db.execute("SELECT pg_reload_conf()")
        yield Place(stack, clock, link)


def make_world(place: Place, fault: Fault, seed: int) -> World:
    host = "127.0.0.1" if place.cable is None else place.cable.host
    world = World(place.stack, seed=seed, constants=dict(fault.constants), host=host)
    world.clock, world.cable = place.clock, place.cable
    try:
        options: dict[str, Any] = {} if place.cable is None else {"prefix": place.cable.prefix, "database_port": world.server_port}
        for _ in range(fault.bridges):
            world.new_bridge(**options).start()
        for bridge in world.bridges:
            bridge.wait_connected()
        world.wait_subscribed()
        world.load.run(*fault.producers)
    except BaseException:
        world.close()
        raise
    return world


def cycles(fault: Fault, seed: int, wanted: int, load: int, pause: float, until: float, news: Any) -> tuple[Tally, str | None, str]:
    """All cycles of one fault, in a process of its own: what they came to, why not all were run, and the evidence."""
    tally = Tally(fault.name, seed)
    rng = random.Random(f"{seed} {fault.name}")
    try:
        with make_place(fault) as place, closing(make_world(place, fault, seed)) as world:
            world.load.pause_seconds = pause
            while tally.cycles < wanted and (time.monotonic() < until or not tally.cycles):
                cycle(world, fault, rng, tally, load)
                news.put((fault.name, tally.cycles, f"{tally.count.accepted:,} accepted, {tally.recoveries[-1]:.1f} s"))
            tally.conclude(world)
    except NotHereError as reason:
        return tally, f"not run, {reason}", ""
    except AssertionError as error:
        return tally, f"given up after {tally.cycles} cycles: {str(error).splitlines()[0]}", str(error)
    return tally, None, ""
