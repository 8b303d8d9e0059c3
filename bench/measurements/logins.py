"""What one changed login costs its owner and the others, with 10,000 logins at the hosted Mosquitto."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from bench.harness import Bench, Connection
from bench.load.mqtt import PEERS, Broker, disconnect
from bench.setup.bridge import bridge
from bench.setup.messages import clear, settle
from bench.setup.tenants import PASSWORD, make_tenants
from bench.waiting import until

LOGINS = 10_000
PAUSE = 0.002  # seconds between two messages of the neighbour
# Each with topics of its own, as devices have them; a copy of a tenant's login.
COPY = """
INSERT INTO mqtt.mqtt_credentials (organization_id, integration_id, username, client_id, topic_prefix, secret_salt, secret_hash,
    mosquitto_hash, bcrypt_hash)
SELECT c.organization_id, c.integration_id, 'login-' || n, 'login-' || n, c.topic_prefix || '/devices/' || n, c.secret_salt,
    c.secret_hash, c.mosquitto_hash, c.bcrypt_hash
FROM mqtt.mqtt_credentials AS c, generate_series(%s::integer, %s::integer) AS n
WHERE c.username = %s"""


def logins(bench: Bench) -> None:
    """How long until a new login works and a revoked one's session is cut, and the longest that a neighbour's message takes meanwhile."""
    settle(bench)
    clear(bench)
    broker = Broker(bench)
    with bench.connect() as db:
        (tenant,) = make_tenants(db, 1)
        try:
            with bridge(bench):
                db.execute(COPY, (1, LOGINS, tenant.username))
                until(lambda: _can_log_in(broker, f"login-{LOGINS}"), "10,000 logins", 0.05)
                rounds = [_round(db, broker, tenant.username, LOGINS + number) for number in range(1, 2 + bench.options.rounds)]
        finally:
            db.execute("DELETE FROM mqtt.mqtt_credentials WHERE username LIKE 'login-%'")
    works, cut, held = zip(*rounds[1:], strict=True)
    setting = f"{LOGINS:,} logins, each with topics of its own; one changes"
    bench.absolute("login-works", "a new login works at the hosted broker", works, target=1000, setting=setting, unit="ms")
    bench.absolute("login-cut", "a revoked login's session is cut", cut, target=1000, setting=setting, unit="ms")
    bench.absolute("login-held", "the longest that a neighbour's message is held up", held, target=150, setting=setting, unit="ms")


def _round(db: Connection, broker: Broker, owner: str, number: int) -> tuple[float, float, float]:
    """Milliseconds until a new login works, and until its session is cut; and the neighbour's slowest message."""
    with _neighbour(broker) as taken:
        start = time.perf_counter()
        db.execute(COPY, (number, number, owner))
        until(lambda: _can_log_in(broker, f"login-{number}"), "the new login", 0.005)
        works = time.perf_counter() - start
        ended = threading.Event()
        session = _client(f"login-{number}")
        session.on_disconnect = lambda *_: ended.set()
        session.connect("127.0.0.1", broker.port)
        session.loop_start()
        until(session.is_connected, "the session", 0.005)
        start = time.perf_counter()
        db.execute("UPDATE mqtt.mqtt_credentials SET revoked_at = now() WHERE username = %s", (f"login-{number}",))
        if not ended.wait(30):
            raise RuntimeError("the session of a revoked login was not cut")
        cut = time.perf_counter() - start
        disconnect(session)
    return works * 1000, cut * 1000, max(taken) * 1000


def _client(username: str) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, username, protocol=paho.MQTTv5, reconnect_on_failure=False)
    client.username_pw_set(username, PASSWORD)
    return client


def _can_log_in(broker: Broker, username: str) -> bool:
    client, codes = _client(username), list[bool]()
    client.on_connect = lambda _c, _u, _f, reason, _p: codes.append(not reason.is_failure)
    client.connect("127.0.0.1", broker.port)
    while not codes:
        client.loop(0.05)
    client.disconnect()
    return codes[0]


@contextlib.contextmanager
def _neighbour(broker: Broker) -> Iterator[list[float]]:
    """One message after another to itself; the seconds that each took."""
    taken, topic, stopped, arrived = list[float](), f"{PEERS}/{uuid.uuid4().hex}", threading.Event(), threading.Event()
    with broker.connected("neighbour") as client:
        client.on_message = lambda *_: arrived.set()
        subscribed = threading.Event()
        client.on_subscribe = lambda *_: subscribed.set()
        client.subscribe(topic)
        subscribed.wait(10)

        def ping() -> None:
            while not stopped.is_set():
                start = time.perf_counter()
                arrived.clear()
                client.publish(topic, b"x")
                if not arrived.wait(30):
                    return
                taken.append(time.perf_counter() - start)
                stopped.wait(PAUSE)

        thread = threading.Thread(target=ping)
        thread.start()
        try:
            yield taken
        finally:
            stopped.set()
            thread.join()
