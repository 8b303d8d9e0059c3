"""The long form: `bin/chaos`."""

import argparse
import contextlib
import random
import re
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.chaos.campaign import Tally, cycle, make_place, make_world
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.measures import retention, snapshot
from tests.chaos.places import NotHereError
from tests.chaos.world import World
from tests.support.stack import ROOT

PAGE = ROOT / "docs" / "delivery.md"
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
    cycles = sum(tally.cycles for tally in tallies)
    text = f"{cycles:,} cycles, {total:,} messages accepted, in {seconds / 60:.0f} minutes; seed {seed}.\n\n{HEAD}"
    text += "".join(row(tally) for tally in tallies)
    for name, reason in absent.items():
        text += f"\n{name}: {reason}.\n"
    return text


def write(text: str) -> None:
    page = PAGE.read_text()
    inside = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    assert inside.search(page), f"{PAGE} has no {BEGIN}"
    PAGE.write_text(inside.sub(lambda _: f"{BEGIN}\n{text}{END}", page))


def campaign(console: Console, arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    until = began + arguments.minutes * 60 if arguments.minutes else float("inf")
    chosen = [FAULTS[name] for name in arguments.fault or FAULTS]
    wanted = {fault.name: arguments.cycles or fault.cycles for fault in chosen}
    load = max(60, arguments.messages // max(1, sum(wanted.values()))) if not arguments.cycles else arguments.load
    tallies: list[Tally] = []
    absent: dict[str, str] = {}
    status = 0
    with Progress(*COLUMNS, console=console) as progress:
        for number, fault in enumerate(chosen):
            # What time is left is shared by the faults that are left.
            share = time.monotonic() + (until - time.monotonic()) / (len(chosen) - number)
            task = progress.add_task(fault.name, total=wanted[fault.name], state="")
            tally = Tally(fault.name, arguments.seed)
            rng = random.Random(f"{arguments.seed} {fault.name}")
            try:
                with make_place(fault) as place, contextlib.closing(make_world(place, fault, arguments.seed)) as world:
                    while tally.cycles < wanted[fault.name] and (time.monotonic() < share or not tally.cycles):
                        cycle(world, fault, rng, tally, load)
                        progress.update(
                            task, completed=tally.cycles, state=f"{tally.count.accepted:,} accepted, {tally.recoveries[-1]:.1f} s"
                        )
            except NotHereError as reason:
                absent[fault.name] = f"not run, {reason}"
                progress.update(task, state=str(reason))
                continue
            except AssertionError as error:
                console.print(f"[bold red]{fault.name}, cycle {tally.cycles + 1}[/]: {error}", highlight=False)
                absent[fault.name] = f"given up in cycle {tally.cycles + 1}: {str(error).splitlines()[0]}"
                status = 1
            tallies.append(tally)
            if not console.is_terminal:
                console.print(row(tally).strip(), highlight=False, soft_wrap=True)
    text = table(tallies, absent, arguments.seed, time.monotonic() - began)
    console.print(text, highlight=False, soft_wrap=True)
    if arguments.write:
        write(text)
    return status


def soak(console: Console, arguments: argparse.Namespace) -> int:
    """One world, a fault each minute: the bridge's memory has to stay as it is, and nothing may be lost."""
    until = time.monotonic() + arguments.minutes * 60
    rng = random.Random(arguments.seed)
    faults = [fault for fault in FAULTS.values() if fault.place == "plain" and fault.bridges == 1 and not fault.name.startswith("poison")]
    constants = tuple(constant for fault in faults for constant in fault.constants)
    tally = Tally("soak", arguments.seed)
    sizes: list[int] = []
    whole = Fault("soak", faults[0].harm, constants=constants)
    with make_place(whole) as place, contextlib.closing(make_world(place, whole, arguments.seed)) as world:
        world.load.pause_seconds = 0.05
        while time.monotonic() < until:
            fault = rng.choice(faults)
            next_at = time.monotonic() + 60
            cycle(world, fault, rng, tally, 100)
            world.load.resume()
            time.sleep(max(0.0, min(next_at, until) - time.monotonic()))
            sizes.append(_resident(world))
            console.print(
                f"{fault.name}: recovered in {tally.recoveries[-1]:.1f} s, {tally.count.accepted:,} accepted, bridge {sizes[-1]:,} KiB"
            )
        tally.count.add(world.check())
    console.print(table([tally], {}, arguments.seed, arguments.minutes * 60), highlight=False, soft_wrap=True)
    third = max(1, len(sizes) // 3)
    first, last = statistics.median(sizes[:third]), statistics.median(sizes[-third:])
    console.print(f"the bridge: {first:,.0f} KiB in the first third, {last:,.0f} KiB in the last, {max(sizes):,} KiB at most")
    if max(sizes) > MOST_KIB or last > first * FLAT:
        console.print("[bold red]the bridge grew[/]")
        return 1
    return 0


def _resident(world: World) -> int:
    """KiB of the bridge."""
    status = (Path("/proc") / str(world.bridge.pid) / "status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/chaos", description="Faults again and again, with an oracle outside the product.")
    parser.add_argument("fault", nargs="*", metavar="FAULT", help=f"which (default: all): {', '.join(FAULTS)}")
    parser.add_argument("--cycles", type=int, help="of each fault (default: 300 kills of the bridge, 100 of each other)")
    parser.add_argument("--minutes", type=float, help="stop after so long, time shared by the faults (default: when all cycles are done)")
    parser.add_argument("--messages", type=int, default=1_000_000, help="to accept at least, over all cycles (default: 1,000,000)")
    parser.add_argument("--load", type=int, default=120, help="messages accepted before each fault, with --cycles (default: 120)")
    parser.add_argument("--seed", type=int, default=random.randrange(1, 1 << 32))
    parser.add_argument("--soak", action="store_true", help="one world for --minutes (30), with a fault each minute")
    parser.add_argument(
        "--measure",
        choices=("snapshot", "retention"),
        help="the rate while a snapshot is held for --minutes (10), or the time --rows take to go",
    )
    parser.add_argument("--rows", type=int, default=10_000_000, help="old rows for --measure retention (default: 10,000,000)")
    parser.add_argument("--write", action="store_true", help="write the table into docs/delivery.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.fault) - FAULTS.keys():
        parser.error(f"there is no fault {', '.join(sorted(unknown))}")
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(f"seed {arguments.seed}")
    if arguments.measure == "snapshot":
        return snapshot(console, arguments.minutes or 10)
    if arguments.measure == "retention":
        return retention(console, arguments.rows)
    if arguments.soak:
        arguments.minutes = arguments.minutes or 30
        return soak(console, arguments)
    return campaign(console, arguments)


if __name__ == "__main__":
    sys.exit(main())
