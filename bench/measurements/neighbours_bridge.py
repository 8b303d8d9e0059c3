"""How much nine quiet organizations notice, in the bridge, of one that does its worst: slow receivers, brokers that flood or are silent."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from bench.harness import Bench, Connection
from bench.load.mqtt import Broker
from bench.measurements.neighbours import PAUSE, QUIET, STORED, arrived, calm, clock, compare, compare_limited, sample_of_times, tenants
from bench.measurements.webhooks import receiver
from bench.samples import Sample
from bench.setup.bridge import bridge
from bench.setup.messages import clear, settle
from bench.setup.tenants import Tenant
from bench.waiting import scalar, until

HOOKS, TARPITS, UNACKNOWLEDGED = 60, 300, 5000
FLOOD = b"\x30\x7b" + struct.pack("!H7sB", 7, b"flood/x", 0) + json.dumps("x" * 111).encode()
ACCEPTED = b"\x20\x03\x00\x00\x00"  # CONNACK of MQTT 5
# From when a message was accepted until its webhook was delivered, or its publish was acknowledged.
DELIVERED = """
SELECT extract(EPOCH FROM d.finished_at - d.created_at) FROM mqtt.mqtt_callback_deliveries AS d
WHERE d.status = 'delivered' AND d.created_at >= %s AND d.organization_id = ANY (%s)
"""
PUBLISHED = """
SELECT extract(EPOCH FROM r.settled_at - r.queued_at) FROM mqtt.mqtt_publish_receipts AS r
WHERE r.state = 'acknowledged' AND r.queued_at >= %s AND r.organization_id = ANY (%s)
"""


class Server(ABC):
    """Accepts whatever connects, a thread for each."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._server.accept()[0],), daemon=True).start()

    @abstractmethod
    def _serve(self, peer: socket.socket) -> None: ...

    def close(self) -> None:
        self._server.close()


class Hostile(Server):
    """HTTP and TLS are never answered, MQTT is accepted, and flooded or never answered again."""

    def __init__(self, *, floods: bool = False) -> None:
        self._floods = floods
        super().__init__()

    def _serve(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            if peer.recv(1, socket.MSG_PEEK) == b"\x10":
                peer.recv(4096)
                peer.sendall(ACCEPTED)
                while self._floods:
                    peer.sendall(FLOOD * 1000)
            while peer.recv(65536):
                pass


class Doors(Server):
    """A broker that accepts connections, and tells when it had the first packet of each client id."""

    def __init__(self) -> None:
        self.came: dict[str, float] = {}
        super().__init__()

    def _serve(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            connect = peer.recv(4096)
            at = connect.find(b"door-")
            self.came[connect[at : at + struct.unpack("!H", connect[at - 2 : at])[0]].decode()] = time.perf_counter()
            peer.sendall(ACCEPTED)
            while peer.recv(65536):
                pass


def webhook_neighbours(bench: Bench) -> None:
    """Webhooks: nine organizations' deliveries beside another's receivers that never answer."""
    noisy, quiet = prepared(bench)
    with bridge(bench), receiver() as hooks, subscribed(bench, quiet, f"http://127.0.0.1:{hooks.port}/hook"), closing(Hostile()) as silent:
        compare(
            bench, "webhooks", "webhooks, from accepted to delivered", f"{HOOKS} receivers that never answer, 50 messages for each",
            lambda: hanging(bench, noisy, silent.port), lambda: delivered(bench, quiet),
            "64 requests at a time, half of them alone; 8 for a subscription, 1 if its receiver is slow",
        )  # fmt: skip
    clear(bench)


def inbound_neighbours(bench: Bench) -> None:
    """Inbound: nine organizations' messages over MQTT beside another's broker that floods."""
    noisy, quiet = prepared(bench)
    with bridge(bench), subscribed(bench, quiet), closing(Hostile(floods=True)) as flood:
        compare_limited(
            bench, noisy, "inbound", "messages over MQTT, from sent to stored", "a broker that delivers as fast as it can",
            lambda: integrations(bench, noisy, flood.port), lambda: received(bench, quiet),
            "half of the buffer, 100 messages of a batch and 8 KB of a turn while others deliver",
        )  # fmt: skip
    clear(bench)


def outbound_neighbours(bench: Bench) -> None:
    """Outbound: nine organizations' publishes beside another's for a broker that acknowledges nothing."""
    noisy, quiet = prepared(bench)
    with bridge(bench), subscribed(bench, quiet), closing(Hostile()) as silent:
        compare(
            bench, "outbound", "publishes, from queued to acknowledged",
            f"{UNACKNOWLEDGED:,} messages for a broker that acknowledges nothing",
            lambda: unacknowledged(bench, noisy, silent.port), lambda: published(bench, quiet),
            "an equal part of 20,000 messages under way, 2,000 for an integration",
        )  # fmt: skip
    clear(bench)


def dialer_neighbours(bench: Bench) -> None:
    """Dialers: nine organizations' new integrations beside another's brokers that are silent at TLS."""
    noisy, quiet = prepared(bench)
    with bridge(bench), closing(Hostile()) as silent, closing(Doors()) as doors:
        compare(
            bench, "dialers", "new integrations, from switched on to connected", f"{TARPITS} brokers that say nothing at TLS",
            lambda: integrations(bench, noisy, silent.port, TARPITS, "mqtts"), lambda: connected(bench, quiet, doors),
            "128 threads that connect, half of them alone; 1,000 integrations (max_integrations)",
        )  # fmt: skip
    clear(bench)


def prepared(bench: Bench) -> tuple[Tenant, list[Tenant]]:
    clear(bench)
    settle(bench)
    return tenants(bench)


@contextlib.contextmanager
def closing(server: Server) -> Iterator[Any]:
    try:
        yield server
    finally:
        server.close()


# ------------------------------------------------------------------------------------------------------------------ the quiet ones


@contextlib.contextmanager
def subscribed(bench: Bench, quiet: list[Tenant], url: str | None = None) -> Iterator[None]:
    """The bridge holds their topics at Mosquitto, and posts what comes to the URL."""
    with bench.connect() as db:
        for tenant in quiet:
            db.execute("SELECT api.mqtt_subscribe(%s, %s, 1, callback_url => %s)", (tenant.integration_id, f"{tenant.prefix}/#", url))
        ids = [tenant.integration_id for tenant in quiet]
        active = f"SELECT count(*) FROM mqtt.mqtt_subscriptions WHERE status = 'active' AND integration_id = ANY ('{{{','.join(ids)}}}')"
        until(lambda: scalar(db, active) >= QUIET, "subscriptions")
        try:
            yield
        finally:
            db.execute("DELETE FROM mqtt.mqtt_subscriptions WHERE integration_id = ANY (%s)", (ids,))
            db.execute("TRUNCATE mqtt.mqtt_callback_deliveries")


def delivered(bench: Bench, quiet: list[Tenant]) -> Sample:
    with bench.connect() as db:
        since = clock(db)
        return arrived(db, DELIVERED, since, quiet, calm(bench, quiet).messages)


def received(bench: Bench, quiet: list[Tenant]) -> Sample:
    with bench.connect() as db, Broker(bench).connected("quiet") as client:
        since, end, sent = clock(db), time.time() + bench.options.seconds, 0
        while time.time() < end:
            for tenant in quiet:
                client.publish(tenant.topic(0), json.dumps({"sent": time.time()}), 1)
                sent += 1
            time.sleep(PAUSE)
        return arrived(db, STORED, since, quiet, sent)


def published(bench: Bench, quiet: list[Tenant]) -> Sample:
    with bench.connect() as db:
        since, end, sent = clock(db), time.time() + bench.options.seconds, 0
        while time.time() < end:
            for tenant in quiet:
                message = json.dumps([{"topic": f"{tenant.prefix}/down", "payload": 1, "qos": 1}])
                db.execute("SELECT api.mqtt_publish(%s, %s::json)", (tenant.integration_id, message))
                sent += 1
            time.sleep(PAUSE)
        return arrived(db, PUBLISHED, since, quiet, sent)


def connected(bench: Bench, quiet: list[Tenant], doors: Doors) -> Sample:
    """Nine integrations are made at a time, and connected; a round of these after the other."""
    took, sent, end = list[float](), 0, time.perf_counter() + bench.options.seconds
    with bench.connect() as db:
        while time.perf_counter() < end:
            began = time.perf_counter()
            names = [f"door-{tenant.number}-{time.time_ns()}" for tenant in quiet]
            for tenant, name in zip(quiet, names, strict=True):
                switch_on(db, tenant, doors.port, "mqtt", name)
            sent += len(names)
            with contextlib.suppress(RuntimeError):
                until(lambda names=names: all(name in doors.came for name in names), "connections", within=20.0)  # type: ignore[misc]
            took += [doors.came[name] - began for name in names if name in doors.came]
            db.execute("DELETE FROM mqtt.device_integrations WHERE name LIKE 'door-%'")
    return sample_of_times(took, sent)


def switch_on(db: Connection, tenant: Tenant, port: int, protocol: str, name: str) -> str:
    settings = json.dumps({"broker_url": "127.0.0.1", "port": port, "protocol": protocol, "client_id": name})
    row = db.execute(
        "SELECT api.upsert_integration(%s, %s, 'mqtt_external', %s) ->> 'id'", (tenant.organization_id, name, settings)
    ).fetchone()
    return str(row[0]) if row else ""


# ------------------------------------------------------------------------------------------------------------------ the noisy one


@contextlib.contextmanager
def hanging(bench: Bench, noisy: Tenant, port: int) -> Iterator[None]:
    with bench.connect() as db:
        for number in range(HOOKS):
            url = f"http://127.0.0.1:{port}/{number}"
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
        waiting = f"SELECT count(*) FROM mqtt.mqtt_callback_deliveries WHERE organization_id = '{noisy.organization_id}'"
        until(lambda: scalar(db, waiting) >= HOOKS, "deliveries to receivers that hang")
        time.sleep(1)  # until it is at its worst
        try:
            yield
        finally:
            db.execute("DELETE FROM mqtt.mqtt_subscriptions WHERE integration_id = %s", (noisy.integration_id,))
            db.execute("DELETE FROM mqtt.mqtt_callback_deliveries WHERE organization_id = %s", (noisy.organization_id,))


@contextlib.contextmanager
def integrations(bench: Bench, noisy: Tenant, port: int, count: int = 1, protocol: str = "mqtt") -> Iterator[str]:
    with bench.connect() as db:
        ids = [switch_on(db, noisy, port, protocol, f"noisy-{number}") for number in range(count)]
        time.sleep(1)  # until it is at its worst
        try:
            yield ids[0]
        finally:
            db.execute("DELETE FROM mqtt.device_integrations WHERE organization_id = %s AND name LIKE 'noisy-%%'", (noisy.organization_id,))
            held = "SELECT count(*) FROM mqtt.bridge_leases AS l WHERE l.integration_id = ANY ('{{{}}}')".format(",".join(ids))
            until(lambda: not scalar(db, held), "the end of its connections")


@contextlib.contextmanager
def unacknowledged(bench: Bench, noisy: Tenant, port: int) -> Iterator[None]:
    with integrations(bench, noisy, port) as integration_id, bench.connect() as db:
        messages = json.dumps([{"topic": "x", "payload": number, "qos": 1} for number in range(UNACKNOWLEDGED)])
        db.execute("SELECT api.mqtt_publish(%s, %s::json)", (integration_id, messages))
        time.sleep(1)  # until it is at its worst
        yield
