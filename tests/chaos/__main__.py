"""The long form: `bin/chaos`."""

import argparse
import contextlib
import multiprocessing
import os
import queue
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.chaos.campaign import Tally, cycle, cycles, make_place, make_world
from tests.chaos.listed import FAULTS
from tests.chaos.measures import retention, snapshot
from tests.chaos.registry import Fault
from tests.chaos.world import World
from tests.support.stack import ROOT

PAGE = ROOT / "docs" / "explanation" / "faults.md"
BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"
TITLES = "fault|cycles|accepted|stored|dead|lost|twice|published|delivered|sent again|lost|recovery p50|p90|p99|most"
HEAD = f"| {' | '.join(TITLES.split('|'))} |\n|---{'|--:' * TITLES.count('|')}|\n"
MOST_KIB = 300 * 1024
FLAT = 1.25  # how much larger the bridge may be in the last third of a soak than in the first
COLUMNS = (
    TextColumn("{task.description:32}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TextColumn("{task.fields[state]}"),
)


def row(tally: Tally) -> str:
    count = tally.count
    numbers = (
        tally.cycles,
        count.accepted,
        count.stored,
        count.dead,
        count.lost,
        count.duplicates,
        count.published,
        count.delivered,
        count.redelivered,
        count.undelivered + count.unsettled + count.failed,
    )
    times = (tally.percentile(50), tally.percentile(90), tally.percentile(99), max(tally.recoveries, default=0.0))
    cells = [tally.name, *(f"{number:,}" for number in numbers), *(f"{seconds:.1f} s" for seconds in times)]
    return "| " + " | ".join(cells) + " |\n"


def table(tallies: Iterable[Tally], absent: dict[str, str], seed: int, seconds: float) -> str:
    tallies = list(tallies)
    total = sum(tally.count.accepted for tally in tallies)
    count = sum(tally.cycles for tally in tallies)
    text = f"{count:,} cycles, {total:,} messages accepted, in {seconds / 60:.0f} minutes; seed {seed}.\n\n{HEAD}"
    text += "".join(row(tally) for tally in tallies)
    for name, reason in absent.items():
        text += f"\n{name}: {reason}.\n"
    return text


def write(text: str) -> None:
    """Put these rows into the page, in place of those of the same faults; the others stay."""
    page = PAGE.read_text()
    inside = re.compile(f"{re.escape(BEGIN)}(.*?){re.escape(END)}", re.DOTALL)
    found = inside.search(page)
    assert found, f"{PAGE} has no {BEGIN}"
    rows = {
        line.split("|")[1].strip(): line for line in (found[1] + text).splitlines() if line.startswith("| ") and "| fault |" not in line
    }
    lines = [rows[name] for name in FAULTS if name in rows]
    cycles, accepted = (sum(int(line.split("|")[place].replace(",", "")) for line in lines) for place in (2, 3))
    table = f"{cycles:,} cycles, {accepted:,} messages accepted.\n\n{HEAD}" + "".join(f"{line}\n" for line in lines)
    PAGE.write_text(inside.sub(lambda _: f"{BEGIN}\n{table}{END}", page))


def single_faults() -> int:
    """The faults of docs/explanation/faults.md that have tests of their own, at the sizes it names; returns what pytest does."""
    files = (f"tests/chaos/{name}.py" for name in ("test_fault_list", "test_server"))
    command = [sys.executable, "-m", "pytest", "--durations=10", f"--basetemp={os.environ['TOPICBASE_TEST_DIR']}/pytest", *files]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "TOPICBASE_CHAOS": "1"}, check=False).returncode


def campaign(console: Console, arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    until = began + arguments.minutes * 60 if arguments.minutes else float("inf")
    chosen = [FAULTS[name] for name in arguments.fault or FAULTS]
    wanted = {fault.name: arguments.cycles or fault.cycles for fault in chosen}
    load = max(60, arguments.messages // max(1, sum(wanted.values()))) if not arguments.cycles else arguments.load
    left = list(chosen)  # the last ones take longest: they are begun first
    results: dict[str, tuple[Tally, str | None, str]] = {}
    writing = threading.Lock()
    context = multiprocessing.get_context("spawn")
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(arguments.jobs, mp_context=context, max_tasks_per_child=1) as pool,
        ThreadPoolExecutor(arguments.jobs) as starters,
        Progress(*COLUMNS, console=console) as progress,
    ):
        news = manager.Queue()
        tasks = {fault.name: progress.add_task(fault.name, total=wanted[fault.name], state="") for fault in chosen}

        def next_one(_: int) -> None:
            # What time is left is shared by the faults that are left.
            share = time.monotonic() + (until - time.monotonic()) * min(1.0, arguments.jobs / len(left))
            fault = left.pop()
            result = pool.submit(cycles, fault, arguments.seed, wanted[fault.name], load, arguments.pause, share, news).result()
            results[fault.name] = result
            if result[1]:
                console.print(f"[bold red]{fault.name}[/]: {result[1]}\n{result[2]}", highlight=False)
            if arguments.write and not result[1]:
                with writing:
                    write(row(result[0]))
            if not console.is_terminal:
                console.print(row(result[0]).strip(), highlight=False, soft_wrap=True)

        ended = [starters.submit(next_one, number) for number in range(len(chosen))]
        while not all(future.done() for future in ended):
            with contextlib.suppress(queue.Empty):
                name, done, state = news.get(timeout=0.5)
                progress.update(tasks[name], completed=done, state=state)
        for future in ended:
            future.result()
    tallies = [results[fault.name][0] for fault in chosen if results[fault.name][0].cycles]
    absent = {fault.name: reason for fault in chosen if (reason := results[fault.name][1])}
    text = table(tallies, absent, arguments.seed, time.monotonic() - began)
    console.print(text, highlight=False, soft_wrap=True)
    return int(any(evidence for _, _, evidence in results.values()))


def soak(console: Console, arguments: argparse.Namespace) -> int:
    """One world at half its rate, a fault each minute: the bridge's memory has to stay as it is, and nothing may be lost."""
    rng = random.Random(arguments.seed)
    faults = [fault for fault in FAULTS.values() if fault.place == "plain" and fault.bridges == 1 and not fault.name.startswith("poison")]
    constants = tuple(constant for fault in faults for constant in fault.constants)
    tally = Tally("soak", arguments.seed)
    sizes: list[int] = []
    whole = Fault("soak", faults[0].harm, constants=constants)
    with make_place(whole) as place, contextlib.closing(make_world(place, whole, arguments.seed)) as world:
        most = _most(world)
        tally.count.add(world.oracle.check())
        world.load.pause_seconds = 0.05
        console.print(f"at most {most:,.0f} messages a second are accepted here")
        began, accepted = time.monotonic(), tally.count.accepted
        while time.monotonic() < began + arguments.minutes * 60:
            fault = rng.choice(faults)
            next_at = min(time.monotonic() + 60, began + arguments.minutes * 60)
            cycle(world, fault, rng, tally, 100)
            world.load.resume()
            since, before = time.monotonic(), world.load.accepted()
            time.sleep(max(0.0, next_at - since))
            took, count = time.monotonic() - since, world.load.accepted() - before
            if took > 5:
                world.load.pause_seconds = min(1.0, max(0.001, world.load.pause_seconds * count / took / (most / 2)))
            sizes.append(_resident(world))
            console.print(
                f"{fault.name}: recovered in {tally.recoveries[-1]:.1f} s, {tally.count.accepted + world.load.accepted():,} accepted,"
                f" {count / max(took, 0.001):,.0f} a second after it, bridge {sizes[-1]:,} KiB"
            )
        tally.count.add(world.oracle.check())
        tally.conclude(world)
        rate = (tally.count.accepted - accepted) / (time.monotonic() - began)
    console.print(table([tally], {}, arguments.seed, arguments.minutes * 60), highlight=False, soft_wrap=True)
    third = max(1, len(sizes) // 3)
    first, last = statistics.median(sizes[:third]), statistics.median(sizes[-third:])
    console.print(f"{rate:,.0f} messages accepted a second, {rate / most:.2f} of the most, the faults' pauses included")
    console.print(f"the bridge: {first:,.0f} KiB in the first third, {last:,.0f} KiB in the last, {max(sizes):,} KiB at most")
    if max(sizes) > MOST_KIB or last > first * FLAT:
        console.print("[bold red]the bridge grew[/]")
        return 1
    return 0


def _most(world: World, seconds: float = 20) -> float:
    """Messages a second that are accepted when the producers do not pause, and stored and acknowledged in the end."""
    world.load.pause_seconds = 0.0
    world.load.resume()
    began = time.monotonic()
    time.sleep(seconds)
    world.settle()
    return world.load.accepted() / (time.monotonic() - began)


def _resident(world: World) -> int:
    """KiB of the bridge."""
    status = (Path("/proc") / str(world.bridge.pid) / "status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/chaos", description="Faults again and again, with an oracle outside the product.")
    parser.add_argument("fault", nargs="*", metavar="FAULT", help=f"which (default: all, after single rows): {', '.join(FAULTS)}")
    parser.add_argument("--cycles", type=int, help="of each fault (default: 300 kills of the bridge, 100 of each other)")
    parser.add_argument("--minutes", type=float, help="stop after so long, time shared by the faults (default: when all cycles are done)")
    parser.add_argument("--messages", type=int, default=1_000_000, help="to accept at least, over all cycles (default: 1,000,000)")
    parser.add_argument("--jobs", type=int, default=1, help="faults at a time, each with a stack of its own (default: 1)")
    parser.add_argument("--load", type=int, default=120, help="messages accepted before each fault, with --cycles (default: 120)")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two sends of a producer (default: 0.02)")
    parser.add_argument("--seed", type=int, default=random.randrange(1, 1 << 32))
    parser.add_argument("--soak", action="store_true", help="one world for --minutes (30), with a fault each minute")
    parser.add_argument(
        "--measure",
        choices=("snapshot", "retention"),
        help="the rate while a snapshot is held for --minutes (10), or the time --rows take to go",
    )
    parser.add_argument("--rows", type=int, default=10_000_000, help="old rows for --measure retention (default: 10,000,000)")
    parser.add_argument("--devices", type=int, default=100, help="that the messages of --measure snapshot name; 0: none (default: 100)")
    parser.add_argument("--write", action="store_true", help="write each row into the table of docs/explanation/faults.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.fault) - FAULTS.keys():
        parser.error(f"there is no fault {', '.join(sorted(unknown))}")
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(f"seed {arguments.seed}")
    if arguments.measure == "snapshot":
        return snapshot(console, arguments.minutes or 10, arguments.devices)
    if arguments.measure == "retention":
        return retention(console, arguments.rows)
    if arguments.soak:
        arguments.minutes = arguments.minutes or 30
        return soak(console, arguments)
    if not arguments.fault and (status := single_faults()):
        console.print("[bold red]a test of docs/explanation/faults.md failed[/]; the faults under load were not begun")
        return status
    return campaign(console, arguments)


if __name__ == "__main__":
    sys.exit(main())
