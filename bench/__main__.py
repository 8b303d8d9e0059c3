"""`bench/run`: measures, prints the table, writes bench/results/<name>.json, bench/README.md and its plots."""

from __future__ import annotations

import argparse
import fnmatch
import sys
from collections.abc import Callable

from rich.console import Console

from bench import growth_rows, http_rows, jobs_rows, mqtt_rows, neighbour_rows, report, storage_rows, webhook_rows, worker_rows
from bench.harness import RESULTS, Bench, Options, needs_wrk, progress_bar

PARTS: dict[str, Callable[[Bench], None]] = {
    "single": http_rows.single_ingest,
    "login": http_rows.login_cost,
    "idempotency": http_rows.idempotency_cost,
    "batch": http_rows.batch_ingest,
    "worker": worker_rows.queue_worker,
    "workers": worker_rows.four_workers,
    "jobs": jobs_rows.job_queues,
    "storage": storage_rows.storage,
    "wal": storage_rows.wal,
    "outbound": mqtt_rows.outbound,
    "inbound": mqtt_rows.inbound,
    "node-red": mqtt_rows.node_red_rows,
    "latency": mqtt_rows.latency,
    "listening": mqtt_rows.listening,
    "webhooks": webhook_rows.webhooks,
    "neighbours": neighbour_rows.neighbours,
    "rls": storage_rows.row_security,
    "stats": storage_rows.stats,
    "history": storage_rows.history,
}
SCALE: dict[str, Callable[[Bench], None]] = {
    "growth-queue": growth_rows.queue_depth,
    "growth-organizations": growth_rows.organizations,
    "growth-devices": growth_rows.devices,
    "growth-batch": growth_rows.batch_sizes,
    "growth-payload": growth_rows.payload_sizes,
    "growth-subscriptions": growth_rows.subscriptions,
    "growth-history": storage_rows.growth_history,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="names or patterns of parts (default: all rows, no plots)")
    parser.add_argument("--quick", action="store_true", help="two short rounds each, to try something; not written to the results")
    parser.add_argument("--scale", action="store_true", help="also the growth plots, for an hour or so")
    parser.add_argument("--rounds", type=int, help="alternating rounds (default: 5, quick: 2)")
    parser.add_argument("--seconds", type=int, help="seconds of each HTTP run (default: 3, quick: 1)")
    parser.add_argument("--rows", type=int, help="stored rows of history and growth-history (default: 10,000,000, quick: 200,000)")
    parser.add_argument("--name", default="latest", help="results go to bench/results/NAME.json (default: latest)")
    parser.add_argument("--list", action="store_true", help="name the parts and stop")
    parser.add_argument("--report", action="store_true", help="only write README.md and the plots anew from the results")
    parser.add_argument("--keep", action="store_true", help="leave the stack running in .run/bench/stack")
    chosen = parser.parse_args()

    console = Console()
    if chosen.list:
        for key, part in {**PARTS, **SCALE}.items():
            console.print(f"{key:22} {(part.__doc__ or '').splitlines()[0]}{' (--scale)' if key in SCALE else ''}")
        return 0
    if chosen.report:
        report.write(chosen.name)
        return 0

    everything = {**PARTS, **SCALE}
    patterns = chosen.parts or [*PARTS, *(SCALE if chosen.scale else ())]
    names = [name for name in everything if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    if not names:
        parser.error(f"no part is named so; there are: {', '.join(everything)}")
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
    bench = Bench(options, console, name)
    failed = []
    try:
        bench.up()
        http_rows.install_peers(bench)
        with progress_bar(bench) as progress:
            task = progress.add_task("[bold]bench", total=len(names))
            for key in names:
                progress.update(task, description=f"[bold]bench: {key}")
                try:
                    everything[key](bench)
                except Exception as failure:  # noqa: BLE001  # one part's fault does not cost the others
                    failed.append(key)
                    console.print(f"[red]{key} failed:[/] {type(failure).__name__}: {failure}", markup=True)
                    if options.quick:
                        console.print_exception()
                progress.advance(task)
    finally:
        if not chosen.keep:
            bench.down()
    console.print(report.table(bench.rows))
    if not chosen.quick:
        report.write(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
