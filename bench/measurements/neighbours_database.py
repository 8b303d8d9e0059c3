"""How much nine quiet organizations notice of one that does its worst to what they share in the database: worker, disk, upkeep."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator

from bench.harness import Bench
from bench.measurements.neighbours import compare, compare_limited, posted, stored, tenants
from bench.setup.bridge import bridge
from bench.setup.messages import clear, fill_queue, settle
from bench.setup.tenants import Tenant
from bench.waiting import scalar, until

DELETED = 50_000  # stored messages that one organization deletes
WIDE = 12_000  # members of a payload
WHAT = "messages over HTTP, from sent to stored"
BATCH, CLIENTS = 1000, 2  # of the flood


def worker_neighbours(bench: Bench) -> None:
    """Worker: nine organizations' messages beside another's flood of batches, or of wide messages."""
    settle(bench)
    noisy, quiet = tenants(bench)
    wide = f'{{"topic":"{noisy.topic(0)}","payload":{json.dumps({f"member{n}": n for n in range(WIDE)})}}}'
    limits = "an equal part of each batch, 100 messages at most while others have few; turns of 0.1 s; no max_processing_seconds"
    with bridge(bench):
        compare_limited(
            bench, noisy, "worker, batches", WHAT, f"batches of {BATCH:,} on {CLIENTS} connections, no quota", lambda: flood(bench, noisy),
            lambda: stored(bench, quiet), limits,
        )  # fmt: skip
        compare(
            bench, "worker, wide", WHAT, f"JSON of {WIDE:,} members on {CLIENTS} connections",
            lambda: posted(f"{bench.api}/rpc/mqtt_ingest", wide.encode(), noisy.headers, CLIENTS), lambda: stored(bench, quiet), limits,
        )  # fmt: skip
    clear(bench)


def disk_neighbours(bench: Bench) -> None:
    """Disk: nine organizations' messages while another fills a disk that is nearly full."""
    settle(bench)
    noisy, quiet = tenants(bench)
    with bridge(bench):
        compare(
            bench, "disk", WHAT, "a flood on a disk that is nearly full", lambda: full_disk(bench, noisy, quiet),
            lambda: stored(bench, quiet), "as free space falls from twice min_free_bytes to once, who writes most is stopped first",
        )  # fmt: skip
    clear(bench)


def upkeep_neighbours(bench: Bench) -> None:
    """Upkeep: nine organizations' messages while another's are deleted and maintenance runs all the time."""
    settle(bench)
    noisy, quiet = tenants(bench)
    with bridge(bench):
        compare(
            bench, "upkeep", WHAT, f"the deletion of {DELETED:,} messages, maintenance all the time", lambda: deletion(bench, noisy),
            lambda: stored(bench, quiet), "one deletion of an organization in each step of about 5,000 rows",
        )  # fmt: skip
    clear(bench)


# ------------------------------------------------------------------------------------------------------------------ the noisy one


def flood(bench: Bench, noisy: Tenant) -> contextlib.AbstractContextManager[None]:
    """Sends as much as its connections can, more than the worker stores."""
    return posted(f"{bench.api}/rpc/mqtt_ingest_batch?columns=messages", noisy.batch(BATCH).encode(), noisy.headers, CLIENTS)


@contextlib.contextmanager
def full_disk(bench: Bench, noisy: Tenant, quiet: list[Tenant]) -> Iterator[None]:
    """Has a third less free than twice what must stay free; the quiet ones, with whom the noisy one is compared, have sent something."""
    with bench.connect() as db:
        for tenant in quiet:
            fill_queue(db, tenant, 1)
        db.execute("UPDATE mqtt.configuration SET min_free_bytes = mqtt.free_disk_bytes() * 2 / 3")
        try:
            with flood(bench, noisy):
                stopped = "SELECT count(*) FROM mqtt.organizations WHERE ingest_pause IS NOT NULL"
                until(lambda: scalar(db, stopped) == 1, "its being stopped")
                yield
        finally:
            db.execute("UPDATE mqtt.configuration SET min_free_bytes = DEFAULT")
            db.execute("UPDATE mqtt.organizations SET ingest_pause = NULL, publish_pause = NULL WHERE ingest_pause IS NOT NULL")


@contextlib.contextmanager
def deletion(bench: Bench, noisy: Tenant) -> Iterator[None]:
    """Has its stored messages deleted, while maintenance runs all the time."""
    done = threading.Event()

    def maintain() -> None:
        with bench.connect() as db:
            while not done.is_set():
                db.execute("SELECT mqtt.run_maintenance()")

    with bench.connect() as db:
        db.execute(
            "INSERT INTO mqtt.mqtt_messages (received_at, position, organization_id, integration_id, direction, topic, payload)"
            " SELECT now() - n * interval '1 ms', -n, %s, %s, 'incoming', %s || (n %% 100), '{}' FROM generate_series(1, %s) AS n",
            (noisy.organization_id, noisy.integration_id, f"{noisy.prefix}/devices/device-", DELETED),
        )
        db.execute("SELECT set_config('request.jwt.claims', %s, false)", (json.dumps({"sub": noisy.user_id}),))
        db.execute("SELECT api.delete_messages(integration_id => %s, until => now())", (noisy.integration_id,))
        upkeep = threading.Thread(target=maintain)
        upkeep.start()
        try:
            yield
        finally:
            done.set()
            upkeep.join()
            db.execute("DELETE FROM mqtt.deletions WHERE organization_id = %s", (noisy.organization_id,))
