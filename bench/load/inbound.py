"""Messages to the bridge over MQTT, until all are committed."""

from __future__ import annotations

import time
from pathlib import Path

from bench.harness import Bench, Connection
from bench.load.mqtt import Broker, Load
from bench.samples import Sample, sample_of
from bench.setup.messages import empty_history
from bench.setup.payload import payload
from bench.setup.tenants import Demo
from bench.waiting import scalar, until

STORED = """
SELECT extract(EPOCH FROM pg_xact_commit_timestamp(m.xmin)) - (m.payload ->> 'sent')::numeric
FROM mqtt.history AS m WHERE m.payload ? 'sent'
"""


def inbound_count(bench: Bench) -> int:
    """How many messages the receiving rows send: 5,000 would last only the first quarter of a second, while batches still grow."""
    return 5000 if bench.options.quick else 20_000


def inbound_file(bench: Bench, count: int) -> Path:
    """What one of the two publishers sends, one message per line."""
    folder = bench.run_dir.parent / "inbound"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{count}.txt"
    file.write_text((payload() + "\n") * (count // 2))
    return file


def until_stored(db: Connection) -> None:
    until(lambda: not scalar(db, "SELECT count(*) FROM (SELECT FROM pgmq.q_mqtt_messages LIMIT 1) AS q"), "worker")


def stored_latencies(bench: Bench) -> list[float]:
    """From the client's sending to the commit of its row in the history (track_commit_timestamp), in seconds."""
    with bench.connect() as db:
        until_stored(db)
        return [float(found[0]) for found in db.execute(STORED).fetchall()]


def inbound_ours(bench: Bench, broker: Broker, demo: Demo, file: Path, count: int) -> Sample:
    """Until the bridge, which acknowledges after COMMIT, has committed all; meanwhile it also processes the queue.

    p50 and p99 are of stamped messages, from sending to the commit of their row in the history: one step further than the rate's.
    """
    accepted = f"SELECT sum(l.accepted) FROM mqtt.ledger AS l WHERE l.organization_id = '{demo.organization_id}'"
    with bench.connect() as db:
        until_stored(db)
        empty_history(db)
        before = scalar(db, accepted)
        start = time.perf_counter()
        load = Load(broker, demo.prefix, file, count)
        until(lambda: scalar(db, accepted) - before >= load.total(), "inbound", 0.005)
        seconds = time.perf_counter() - start
        load.finish()
        if scalar(db, accepted) - before != load.total():
            raise RuntimeError("inbound: more came than was sent")
    return sample_of(load.total(), seconds, stored_latencies(bench))
