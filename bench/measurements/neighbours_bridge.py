"""How much nine quiet organizations notice, in the bridge, of one that does its worst: slow receivers, brokers that flood or are silent."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

from bench.harness import Bench
from bench.load.mqtt import Broker
from bench.measurements.neighbours import calm
from bench.measurements.webhooks import Receiver, receiver
from bench.samples import Sample, percentiles
from bench.setup.bridge import bridge
from bench.setup.messages import clear, settle
from bench.setup.tenants import Tenant, make_tenants
from bench.waiting import scalar, until

Load: TypeAlias = Callable[[Bench, list[Tenant], float], None]
QUIET = 9
PAUSE = 0.05
HOOKS, TARPITS = 60, 300
FLOOD = b"\x30\x7b" + struct.pack("!H7sB", 7, b"flood/x", 0) + json.dumps("x" * 111).encode()
# What became of the quiet ones' messages: the time from being accepted or sent to being delivered, stored or acknowledged.
DELIVERED = """
SELECT finished_at - created_at FROM mqtt.mqtt_callback_deliveries
WHERE status = 'delivered' AND created_at >= %s AND organization_id = ANY (%s)
"""
STORED = """
SELECT pg_xact_commit_timestamp(xmin) - to_timestamp((payload ->> 'sent')::float8) FROM mqtt.mqtt_messages
WHERE payload ? 'sent' AND received_at >= %s AND organization_id = ANY (%s)
"""
PUBLISHED = """
SELECT settled_at - queued_at FROM mqtt.mqtt_publish_receipts
WHERE state = 'acknowledged' AND queued_at >= %s AND organization_id = ANY (%s)
"""


class Hostile:
    """Whatever connects: HTTP and TLS are never answered, MQTT is accepted and flooded."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._server.accept()[0],), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            if peer.recv(1, socket.MSG_PEEK) == b"\x10":
                peer.recv(4096)
                peer.sendall(b"\x20\x03\x00\x00\x00")
                while True:
                    peer.sendall(FLOOD * 1000)
            while peer.recv(65536):
                pass

    def close(self) -> None:
        self._server.close()


def bridge_neighbours(bench: Bench) -> None:
    """The p99 of nine organizations beside one that does its worst within its rights, against the same without it."""
    clear(bench)
    settle(bench)
    hostile = Hostile()
    with bench.connect() as db:
        noisy, *quiet = make_tenants(db, QUIET + 1)
    with bridge(bench), receiver() as hooks, subscribed(bench, quiet, hooks):
        flood, tarpits = ("a broker that floods", 1, "mqtt"), (f"{TARPITS} brokers silent at TLS", TARPITS, "mqtts")
        compare(bench, quiet, "webhooks", f"{HOOKS} receivers that hang", lambda: hanging(bench, noisy, hostile), posts, DELIVERED)
        for what, load, latencies in (("inbound", devices, STORED), ("outbound", apps, PUBLISHED)):
            for worst, count, protocol in (flood, tarpits):

                def harm(count: int = count, protocol: str = protocol) -> contextlib.AbstractContextManager[None]:
                    return integrations(bench, noisy, hostile, count, protocol)

                compare(bench, quiet, what, worst, harm, load, latencies)
    hostile.close()


def compare(
    bench: Bench,
    quiet: list[Tenant],
    what: str,
    worst: str,
    harm: Callable[[], contextlib.AbstractContextManager[None]],
    load: Load,
    query: str,
) -> None:
    def beside() -> Sample:
        with harm():
            return sample(bench, quiet, load, query)

    sides = bench.alternate(f"neighbours: {worst}", {"beside": beside, "alone": lambda: sample(bench, quiet, load, query)}, warm=False)
    bench.compare(
        f"neighbours-bridge: {what}, {worst}", f"p99 of {QUIET} organizations' {what} beside {worst} of another", "the same without it",
        sides["beside"], sides["alone"], target=2.0, at_least=False, unit="ms", setting=f"{1 / PAUSE:.0f} messages a second each",
    )  # fmt: skip


def sample(bench: Bench, quiet: list[Tenant], load: Load, query: str) -> Sample:
    ids = [tenant.organization_id for tenant in quiet]
    waiting = (
        f"SELECT count(*) FROM mqtt.mqtt_callback_deliveries WHERE status = 'waiting' AND organization_id = ANY ('{{{','.join(ids)}}}')"
    )
    with bench.connect() as db:
        row = db.execute("SELECT clock_timestamp()").fetchone()
        load(bench, quiet, 2 * bench.options.seconds)
        time.sleep(1)  # what is sent last is stored
        until(lambda: not scalar(db, waiting), "deliveries")
        found = db.execute(query, (row[0] if row else None, ids)).fetchall()
    p50, p99 = percentiles([each.total_seconds() for (each,) in found])
    return Sample(p99 or 0.0, p50, p99, count=len(found), messages=len(found))


# ------------------------------------------------------------------------------------------------------------------ the quiet ones


@contextlib.contextmanager
def subscribed(bench: Bench, quiet: list[Tenant], hooks: Receiver) -> Iterator[None]:
    with bench.connect() as db:
        for tenant in quiet:
            url = f"http://127.0.0.1:{hooks.port}/hook"
            db.execute("SELECT api.mqtt_subscribe(%s, %s, 1, callback_url => %s)", (tenant.integration_id, f"{tenant.prefix}/#", url))
        ids = [tenant.integration_id for tenant in quiet]
        active = f"SELECT count(*) FROM mqtt.mqtt_subscriptions WHERE status = 'active' AND integration_id = ANY ('{{{','.join(ids)}}}')"
        until(lambda: scalar(db, active) >= QUIET, "subscriptions")
        try:
            yield
        finally:
            db.execute("DELETE FROM mqtt.mqtt_subscriptions WHERE integration_id = ANY (%s)", (ids,))
            db.execute("TRUNCATE mqtt.mqtt_callback_deliveries")


def posts(bench: Bench, quiet: list[Tenant], seconds: float) -> None:
    calm(bench, quiet, seconds)


def devices(bench: Bench, quiet: list[Tenant], seconds: float) -> None:
    with Broker(bench).connected("quiet") as client:
        end = time.time() + seconds
        while time.time() < end:
            for tenant in quiet:
                client.publish(tenant.topic(0), json.dumps({"sent": time.time()}), 1)
            time.sleep(PAUSE)


def apps(bench: Bench, quiet: list[Tenant], seconds: float) -> None:
    with bench.connect() as db:
        end = time.time() + seconds
        while time.time() < end:
            for tenant in quiet:
                message = json.dumps([{"topic": f"{tenant.prefix}/down", "payload": 1, "qos": 1}])
                db.execute("SELECT api.mqtt_publish(%s, %s::json)", (tenant.integration_id, message))
            time.sleep(PAUSE)


# ------------------------------------------------------------------------------------------------------------------ the noisy one


@contextlib.contextmanager
def hanging(bench: Bench, noisy: Tenant, hostile: Hostile) -> Iterator[None]:
    with bench.connect() as db:
        for number in range(HOOKS):
            url = f"http://127.0.0.1:{hostile.port}/{number}"
            db.execute(
                "SELECT api.mqtt_subscribe(%s, %s, 1, callback_url => %s)", (noisy.integration_id, f"{noisy.prefix}/h/{number}/#", url)
            )
        db.execute(
            "INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)"
            " SELECT now(), jsonb_build_object('topic', format('%%s/h/%%s/x', %s::text, n %% %s), 'payload', 1), %s, %s"
            " FROM generate_series(1, %s) AS n",
            (noisy.prefix, HOOKS, noisy.organization_id, noisy.integration_id, 50 * HOOKS),
        )
        db.execute("SELECT mqtt.count_accepted(%s, %s)", (noisy.organization_id, 50 * HOOKS))
        time.sleep(1)  # until it is at its worst
        try:
            yield
        finally:
            db.execute("DELETE FROM mqtt.mqtt_subscriptions WHERE integration_id = %s", (noisy.integration_id,))
            db.execute("DELETE FROM mqtt.mqtt_callback_deliveries WHERE organization_id = %s", (noisy.organization_id,))


@contextlib.contextmanager
def integrations(bench: Bench, noisy: Tenant, hostile: Hostile, count: int, protocol: str) -> Iterator[None]:
    settings = json.dumps({"broker_url": "127.0.0.1", "port": hostile.port, "protocol": protocol})
    with bench.connect() as db:
        db.execute(
            "SELECT api.upsert_integration(%s, 'noisy ' || n, 'mqtt_external', %s) FROM generate_series(1, %s) AS n",
            (noisy.organization_id, settings, count),
        )
        time.sleep(1)  # until it is at its worst
        try:
            yield
        finally:
            db.execute("DELETE FROM mqtt.device_integrations WHERE organization_id = %s AND name LIKE 'noisy %%'", (noisy.organization_id,))
    clear(bench)
