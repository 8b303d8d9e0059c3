"""`mqtt_publish` in calls of a thousand, until everything is settled or has arrived."""

from __future__ import annotations

import json
import time

from bench.harness import Bench, Connection
from bench.load.mqtt import Broker, arrivals
from bench.samples import Sample, sample_of
from bench.setup.payload import payload
from bench.setup.tenants import Demo
from bench.waiting import scalar, until

PUBLISH = "SELECT api.mqtt_publish(integration_id => %s, messages => %s::json)"
OUTBOUND = "SELECT count(*) FROM (SELECT FROM pgmq.q_mqtt_outbound LIMIT 1) AS q"
# Seconds from the start of the call that queued it to the receipt, by the server's clock.
SETTLED = "SELECT extract(EPOCH FROM r.settled_at - r.queued_at) FROM mqtt.mqtt_publish_receipts AS r"


def outbound_ours(bench: Bench, demo: Demo, count: int, qos: int) -> Sample:
    """mqtt_publish in calls of 1,000 until every receipt is settled; p50 and p99 of a message's time from its call to its receipt."""
    batches = publish_batches(demo, count, qos)
    with bench.connect() as watch, demo.session(bench) as db:
        watch.execute("TRUNCATE mqtt.mqtt_publish_receipts")
        start = time.perf_counter()
        for batch in batches:
            db.execute(PUBLISH, (demo.integration_id, batch))
        until(lambda: not scalar(watch, OUTBOUND), "outbound", 0.005)
        seconds = time.perf_counter() - start
        check_receipts(watch, count)
        latencies = [float(found[0]) for found in watch.execute(SETTLED).fetchall()]
    return sample_of(count, seconds, latencies)


def publish_batches(demo: Demo, count: int, qos: int) -> list[str]:
    """Arguments of mqtt_publish, a thousand messages each."""
    body = json.loads(payload())
    return [
        json.dumps(
            [
                {"topic": f"{demo.prefix}/devices/device-{n % 100}/commands", "payload": body, "qos": qos}
                for n in range(start, min(start + 1000, count))
            ]
        )
        for start in range(0, count, 1000)
    ]


def check_receipts(watch: Connection, count: int) -> None:
    done = scalar(watch, "SELECT count(*) FROM mqtt.mqtt_publish_receipts WHERE state::text IN ('sent', 'acknowledged')")
    if done != count:
        raise RuntimeError(f"outbound: {done} of {count} receipts say sent or acknowledged")


def outbound_arrivals(bench: Bench, broker: Broker, demo: Demo, count: int) -> Sample:
    """mqtt_publish at QoS 1 in calls of 1,000 until a subscriber has received all; the receipts must follow soon after."""
    batches = publish_batches(demo, count, 1)
    with bench.connect() as watch, demo.session(bench) as db:

        def feed(_: int) -> None:
            for batch in batches:
                db.execute(PUBLISH, (demo.integration_id, batch))

        watch.execute("TRUNCATE mqtt.mqtt_publish_receipts")
        sample = arrivals(bench, broker, f"{demo.prefix}/devices/+/commands", count, feed)
        until(lambda: not scalar(watch, OUTBOUND), "outbound")
        check_receipts(watch, 2 * count)
    return sample
