"""What reading costs: with and without row-level security, with a deep queue, with a long history."""

from __future__ import annotations

from bench.harness import Bench
from bench.load.queries import LAST_100, LAST_100_DEVICE, history_view, query, server_time
from bench.load.wrk import post
from bench.samples import Sample, Side
from bench.setup.history import Shelf, devices_of, fill_history
from bench.setup.messages import clear, empty_history, fill_queue
from bench.setup.tenants import make_tenants


def row_security(bench: Bench) -> None:
    """A member's last 100 messages beside the same query without RLS."""
    count = 100_000 if bench.options.quick else 1_000_000
    clear(bench)
    with bench.connect() as db:
        tenants = make_tenants(db, 10)
        empty_history(db)
        fill_history(db, tenants, count)
        view = history_view(db)
    statement = LAST_100.format(view)
    tenant, runs = tenants[3], 500
    parameters = [(tenant.organization_id,)]
    sides = bench.alternate(
        "row security",
        {
            "member": lambda: server_time(bench, "authenticated", tenant, statement, tenant.organization_id, runs),
            "no RLS": lambda: server_time(bench, "service_role", tenant, statement, tenant.organization_id, runs),
            "member, client": lambda: query(bench, "authenticated", tenant, statement, parameters, runs),
            "no RLS, client": lambda: query(bench, "service_role", tenant, statement, parameters, runs),
        },
    )
    setting = f"{count:,} stored rows of 10 organizations, 7 days; SQL, prepared"
    for key, what, suffix, how in (
        ("rls", "a member's last 100 messages, in the server", "", "planning and execution by EXPLAIN ANALYZE without timing of nodes"),
        ("rls-client", "a member's last 100 messages, to the client", ", client", "with the way to psycopg and its making of rows"),
    ):
        bench.compare(
            key, what, "the same query without RLS (service_role, BYPASSRLS)", sides[f"member{suffix}"], sides[f"no RLS{suffix}"],
            target=1.2, at_least=False, unit="ms", setting=f"{setting}; {how}",
        )  # fmt: skip
    clear(bench)
    with bench.connect() as db:
        empty_history(db)


def stats(bench: Bench) -> None:
    """get_mqtt_queue_stats with a million messages queued."""
    count = 100_000 if bench.options.quick else 1_000_000
    clear(bench)
    with bench.connect() as db:
        tenants = make_tenants(db, 10)
        for tenant in tenants:
            fill_queue(db, tenant, count // 10)
        db.execute("VACUUM (ANALYZE) pgmq.q_mqtt_messages")
    statement = "SELECT api.get_mqtt_queue_stats(%s)"
    parameters = [(t.organization_id,) for t in tenants]
    side = Side("get_mqtt_queue_stats")
    for _ in range(bench.options.rounds):
        side.samples.append(query(bench, "service_role", tenants[0], statement, parameters, 100))
    bench.absolute(
        "stats", "get_mqtt_queue_stats", [s.rate for s in side.samples], target=10, unit="ms", side=side,
        setting=f"{count:,} queued by 10 organizations; SQL, prepared",
    )  # fmt: skip
    clear(bench)


def history(bench: Bench) -> None:
    """Ingest and "last 100 of a device" with millions of stored rows, in turns with an empty history or one of a day."""
    clear(bench)
    total, few = bench.options.scale, 10_000
    sides = {name: Side(name) for name in ("ingest", "read", "ingest without history", "read of few")}
    with bench.connect() as db:
        tenants = make_tenants(db, 10)
        shelf = Shelf(db, tenants)
        shelf.fill(0, days=1)
        shelf.fill(few, days=1)
        shelf.fill(total)

        def ingest(size: int) -> Sample:
            shelf.take(size)
            clear(bench)
            return post(bench, "mqtt_ingest", tenants[0].message(), tenants[0].headers)

        def read(size: int) -> Sample:
            shelf.take(size)
            return query(bench, "authenticated", tenants[0], LAST_100_DEVICE, devices_of(db, tenants, size), 300)

        for number in range(-1, bench.options.rounds):
            found: dict[str, Sample] = {}
            for is_long in (False, True) if number % 2 else (True, False):
                if is_long:
                    found |= {"ingest": ingest(total), "read": read(total)}
                else:
                    found |= {"ingest without history": ingest(0), "read of few": read(few)}
            if number >= 0:
                for name, sample in found.items():
                    sides[name].samples.append(sample)
        shelf.clear()
    setting = f"{total:,} stored rows of 10 organizations and 1,000 devices, 7 days; in turns with"
    bench.compare(
        "history-ingest", "single ingest, long history", "the same, empty history", sides["ingest"], sides["ingest without history"],
        target=0.9, setting=f"{setting} none stored",
    )  # fmt: skip
    bench.compare(
        "history-read", "last 100 of a device, long history (speed)", "the same, short history", sides["read of few"], sides["read"],
        target=0.9, unit="ms", note="ratio of times turned round; first figure short, second long",
        setting=f"{setting} {few:,} of 100 devices, all of today, in one partition (a device of an empty history has no 100 to read)",
    )  # fmt: skip
