"""`bench/run`: measures, prints the table, writes bench/results/<name>.json, bench/README.md and its plots."""

from __future__ import annotations

import argparse
import fnmatch
import sys
from collections.abc import Callable

from rich.console import Console

from bench.harness import RESULTS, Bench, Options, progress_bar
from bench.load.wrk import needs_wrk
from bench.measurements import (
    console,
    growth,
    inbound,
    ingest,
    job_queues,
    latency,
    live_stream,
    logins,
    neighbours,
    neighbours_bridge,
    neighbours_database,
    neighbours_wire,
    node_red,
    outbound,
    packing,
    queue_worker,
    reading,
    rules,
    series,
    storage,
    webhooks,
    whole,
)
from bench.report import tables
from bench.setup.peers import install_peers

PARTS: dict[str, Callable[[Bench], None]] = {
    "single": ingest.single_ingest,
    "login": ingest.login_cost,
    "idempotency": ingest.idempotency_cost,
    "batch": ingest.batch_ingest,
    "worker": queue_worker.queue_worker,
    "workers": queue_worker.four_workers,
    "rules": rules.rules,
    "jobs": job_queues.job_queues,
    "whole": whole.end_to_end,
    "earlier": whole.against_earlier,
    "snapshot": whole.held_snapshot,
    "storage": storage.storage,
    "wal": storage.wal,
    "packing": packing.packing,
    "outbound": outbound.outbound,
    "inbound": inbound.inbound,
    "node-red": node_red.node_red_rows,
    "latency": latency.latency,
    "listening": latency.listening,
    "webhooks": webhooks.webhooks,
    "stream": live_stream.live_stream,
    "stream-viewers": live_stream.viewers_cost,
    "stream-peers": live_stream.stream_peers,
    "console": console.console,
    "neighbours-quota": neighbours.quota_neighbours,
    "neighbours-pool": neighbours.pool_neighbours,
    "neighbours-worker": neighbours_database.worker_neighbours,
    "neighbours-outbound": neighbours_bridge.outbound_neighbours,
    "neighbours-inbound": neighbours_bridge.inbound_neighbours,
    "neighbours-webhooks": neighbours_bridge.webhook_neighbours,
    "neighbours-dialers": neighbours_bridge.dialer_neighbours,
    "neighbours-broker": neighbours_wire.broker_neighbours,
    "neighbours-disk": neighbours_database.disk_neighbours,
    "neighbours-upkeep": neighbours_database.upkeep_neighbours,
    "neighbours-stream": neighbours_wire.stream_neighbours,
    "logins": logins.logins,
    "rls": reading.row_security,
    "stats": reading.stats,
    "history": reading.history,
    "series": series.series,
}
SCALE: dict[str, Callable[[Bench], None]] = {
    "packing-beside": packing.packing_beside,
    "growth-queue": growth.queue_depth,
    "growth-organizations": growth.organizations,
    "growth-devices": growth.devices,
    "growth-batch": growth.batch_sizes,
    "growth-payload": growth.payload_sizes,
    "growth-subscriptions": growth.subscriptions,
    "growth-history": growth.growth_history,
}
EVERYTHING = {**PARTS, **SCALE}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    made.add_argument("parts", nargs="*", metavar="PART", help="names or patterns of parts (default: all rows, no plots)")
    made.add_argument("--quick", action="store_true", help="two short rounds each, to try something; not written to the results")
    made.add_argument("--scale", action="store_true", help="also the growth plots and the packing of ten million, an hour and a half more")
    made.add_argument("--rounds", type=int, help="alternating rounds (default: 5, quick: 2)")
    made.add_argument("--seconds", type=int, help="seconds of each HTTP run (default: 3, quick: 1)")
    made.add_argument("--rows", type=int, help="stored rows of history and growth-history (default: 10,000,000, quick: 200,000)")
    made.add_argument("--name", default="latest", help="results go to bench/results/NAME.json (default: latest; elsewhere: shown, too)")
    made.add_argument("--list", action="store_true", help="list the parts and exit")
    made.add_argument("--report", action="store_true", help="only rewrite README.md and the plots from the results")
    made.add_argument("--keep", action="store_true", help="leave the stack running in .run/bench/stack")
    return made


def measure(bench: Bench, names: list[str], *, keep: bool) -> list[str]:
    """Runs the parts on a stack of their own; returns those that failed."""
    failed = []
    try:
        bench.up()
        install_peers(bench)
        with progress_bar(bench) as progress:
            task = progress.add_task("[bold]bench", total=len(names))
            for name in names:
                progress.update(task, description=f"[bold]bench: {name}")
                try:
                    EVERYTHING[name](bench)
                except Exception as failure:  # noqa: BLE001  # one failing part must not cost the others
                    failed.append(name)
                    bench.console.print(f"[red]{name} failed:[/] {type(failure).__name__}: {failure}", markup=True)
                    if bench.options.quick:
                        bench.console.print_exception()
                progress.advance(task)
    finally:
        if not keep:
            bench.down()
    return failed


def main() -> int:
    command_line = parser()
    chosen = command_line.parse_args()
    terminal = Console()
    if chosen.list:
        for key, part in EVERYTHING.items():
            terminal.print(f"{key:22} {(part.__doc__ or '').splitlines()[0]}{' (--scale)' if key in SCALE else ''}")
        return 0
    if chosen.report:
        tables.write()
        return 0

    patterns = chosen.parts or [*PARTS, *(SCALE if chosen.scale else ())]
    names = [name for name in EVERYTHING if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    if not names:
        command_line.error(f"no part has that name; there are: {', '.join(EVERYTHING)}")
    name = "quick" if chosen.quick and chosen.name == "latest" else chosen.name
    if chosen.quick:
        (RESULTS / "tmp").mkdir(parents=True, exist_ok=True)
        name = f"tmp/{name}"
    options = Options(
        quick=chosen.quick,
        rounds=chosen.rounds or (2 if chosen.quick else 5),
        seconds=chosen.seconds or (1 if chosen.quick else 3),
        scale=chosen.rows or (200_000 if chosen.quick else 10_000_000),
    )
    needs_wrk()
    bench = Bench(options, terminal, name)
    failed = measure(bench, names, keep=chosen.keep)
    terminal.print(tables.table(bench.rows))
    if not chosen.quick:
        tables.write()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
