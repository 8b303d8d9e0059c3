"""The bridge beside Node-RED, out and in."""

from __future__ import annotations

import time

from bench.harness import Bench
from bench.load import node_red
from bench.load.inbound import inbound_count, inbound_file, inbound_ours
from bench.load.mqtt import PEERS, Broker, Load, arrivals
from bench.load.outbound import outbound_arrivals
from bench.samples import Sample
from bench.setup import peers
from bench.setup.bridge import bridge
from bench.setup.messages import clear
from bench.setup.tenants import Demo


def node_red_rows(bench: Bench) -> None:
    """Node-RED: a flow from Postgres to MQTT, and one from MQTT to Postgres, beside the bridge."""
    clear(bench)
    broker, demo = Broker(bench), Demo(bench)
    count = 2000 if bench.options.quick else 10_000
    many = inbound_count(bench)
    file = inbound_file(bench, many)
    place = peers.node_peers()

    def ours_out() -> Sample:
        with bridge(bench):
            return outbound_arrivals(bench, broker, demo, count)

    def ours_in() -> Sample:
        with bridge(bench):
            time.sleep(2)
            inbound_ours(bench, broker, demo, file, many)
            return inbound_ours(bench, broker, demo, file, many)

    def red_out() -> Sample:
        with bench.connect() as db:
            topic = f"{PEERS}/devices/+/commands"
            return node_red.measure(
                bench, broker, place, "out", lambda: arrivals(bench, broker, topic, count, lambda n: node_red.feed(db, n))
            )

    def red_in() -> Sample:
        return node_red.measure(
            bench, broker, place, "in", lambda: node_red.receive(bench, broker, lambda: Load(broker, PEERS, file, many))
        )

    out = bench.alternate("Node-RED, out", {"bridge": ours_out, "Node-RED": red_out}, warm=False)
    bench.compare(
        "outbound-node-red", "outbound QoS 1 with receipts", "Node-RED fed from Postgres (function node with node-postgres, MQTT out)",
        out["bridge"], out["Node-RED"], target=3,
        setting=(
            f"100 B JSON, {count:,} messages queued in calls of 1,000, after as many to warm up; both, also p50 and p99 of a message, from"
            " the first call to a subscriber's (mosquitto_sub, QoS 0) receiving it"
        ),
    )  # fmt: skip
    come = bench.alternate("Node-RED, in", {"bridge": ours_in, "Node-RED": red_in}, warm=False)
    bench.compare(
        "inbound-node-red", "inbound QoS 1, acknowledged after COMMIT", "Node-RED's MQTT in + node-postgres, an INSERT a message",
        come["bridge"], come["Node-RED"], target=3,
        setting=f"100 B JSON, {many:,} messages sent as above, the second time; p50 and p99 of those sent every 4 ms: to their commit",
    )  # fmt: skip
