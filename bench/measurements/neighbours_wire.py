"""How much nine quiet organizations notice, on connections that they keep, of one that does its worst: hosted broker and live stream."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from bench.harness import Bench
from bench.load.mqtt import Broker, disconnect
from bench.measurements.neighbours import PAUSE, calm, compare, compare_limited, posted, sample_of_times, tenants
from bench.measurements.neighbours_bridge import prepared, subscribed
from bench.samples import Sample
from bench.setup.bridge import bridge
from bench.setup.messages import clear, settle
from bench.setup.tenants import PASSWORD, Tenant, bearer
from bench.waiting import until

PUBLISHERS, SUBSCRIBERS, SHARES = 5, 5, 20
VIEWERS, BATCH = 190, 1000
LINES = 20_000  # messages that a publisher reads before it begins again
# Further logins of an organization, each a copy of its first.
COPIES = """
INSERT INTO mqtt.mqtt_credentials (organization_id, integration_id, username, client_id, topic_prefix, secret_salt, secret_hash,
    mosquitto_hash, bcrypt_hash)
SELECT c.organization_id, c.integration_id, 'noisy-' || n, 'noisy-' || n, c.topic_prefix, c.secret_salt, c.secret_hash,
    c.mosquitto_hash, c.bcrypt_hash
FROM mqtt.mqtt_credentials AS c, generate_series(1, %s::integer) AS n
WHERE c.username = %s"""


def broker_neighbours(bench: Bench) -> None:
    """Broker: nine organizations' devices beside ten connections of another to the hosted broker that do all they may."""
    noisy, quiet = prepared(bench)
    broker = Broker(bench)
    with bench.connect() as db, bridge(bench), subscribed(bench, [*quiet, noisy]):
        db.execute(COPIES, (PUBLISHERS + SUBSCRIBERS, noisy.username))
        try:
            until(lambda: _can_log_in(broker, f"noisy-{PUBLISHERS + SUBSCRIBERS}"), "logins", 0.1)
            compare(
                bench, "broker", "messages to themselves at the hosted Mosquitto, there and back",
                f"{PUBLISHERS} connections that publish and retain at full speed, {SUBSCRIBERS} with {SHARES} shared subscriptions each",
                lambda: loud(bench, noisy, broker), lambda: echoes(bench, quiet, broker),
                "100 subscriptions of a login, 20,000 retained messages, 100 under way of a client; no rate limit: Mosquitto has none",
            )  # fmt: skip
        finally:
            db.execute("DELETE FROM mqtt.mqtt_credentials WHERE username LIKE 'noisy-%'")
    clear(bench)


def stream_neighbours(bench: Bench) -> None:
    """Stream: nine organizations' viewers beside another's that read nothing, with messages for all of them."""
    settle(bench)
    noisy, quiet = tenants(bench)
    bench.stack("start", "intake", "gateway", "stream")
    port = bench.port("STREAM")
    try:
        with bridge(bench):
            compare_limited(
                bench, noisy, "stream", "viewers, from a message's being sent to its event",
                f"{VIEWERS} viewers that read nothing, and batches of {BATCH:,} messages for all of them",
                lambda: deaf(bench, noisy, port), lambda: watched(bench, quiet, port),
                "10,000 connections of a process, half of them alone; 200 of a user; 256 KiB waiting for one; while others have any, 100"
                " messages of one in a reading, and turns of 500 deliveries",
            )  # fmt: skip
    finally:
        bench.stack("stop", "stream", "gateway", "intake")
    clear(bench)


# ------------------------------------------------------------------------------------------------------------------ the quiet ones


def _client(broker: Broker, username: str) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, username, protocol=paho.MQTTv5, reconnect_on_failure=False)
    client.username_pw_set(username, PASSWORD)
    client.connect("127.0.0.1", broker.port)
    return client


def _can_log_in(broker: Broker, username: str) -> bool:
    codes = list[bool]()
    client = _client(broker, username)
    client.on_connect = lambda _c, _u, _f, reason, _p: codes.append(not reason.is_failure)
    while not codes:
        client.loop(0.05)
    client.disconnect()
    return codes[0]


def echoes(bench: Bench, quiet: list[Tenant], broker: Broker) -> Sample:
    """Each tenant's device sends itself messages of QoS 1, with pauses; one that does not come back is lost."""
    took, clients, ready = list[float](), list[paho.Client](), threading.Semaphore(0)

    def came(_client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        took.append(time.time() - json.loads(message.payload)["sent"])

    for tenant in quiet:
        client = _client(broker, tenant.username)
        client.on_message = came
        client.on_subscribe = lambda *_: ready.release()
        client.loop_start()
        clients.append(client)
    until(lambda: all(client.is_connected() for client in clients), "connections", within=30.0)
    for tenant, client in zip(quiet, clients, strict=True):
        client.subscribe(tenant.topic(0), 1)
    for _ in quiet:
        if not ready.acquire(timeout=30):
            raise RuntimeError("the broker does not answer")
    sent, end = 0, time.time() + bench.options.seconds
    while time.time() < end:
        for tenant, client in zip(quiet, clients, strict=True):
            client.publish(tenant.topic(0), json.dumps({"sent": time.time()}), 1)
            sent += 1
        time.sleep(PAUSE)
    with contextlib.suppress(RuntimeError):
        until(lambda: len(took) >= sent, "all of their messages", 0.05, 20.0)
    for client in clients:
        disconnect(client)
    return sample_of_times(took, sent)


def watched(bench: Bench, quiet: list[Tenant], port: int) -> Sample:
    """Each tenant's device sends messages over HTTP, which its member's viewer is to get; one that does not come is lost."""
    took, opened = list[float](), list[http.client.HTTPConnection]()

    def look(answer: http.client.HTTPResponse) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError, http.client.HTTPException):
            while line := answer.readline():
                if line.startswith(b"data: ") and isinstance(payload := json.loads(line[6:]).get("payload"), dict):
                    took.append(time.time() - payload["sent"])

    for tenant in quiet:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=70)
        connection.request("GET", "/stream", headers={"Authorization": f"Bearer {bearer(bench, tenant)}"})
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"the stream answers {answer.status}")
        opened.append(connection)
        threading.Thread(target=look, args=(answer,), daemon=True).start()
    sent = calm(bench, quiet).messages
    with contextlib.suppress(RuntimeError):
        until(lambda: len(took) >= sent, "all of their messages", 0.05, 20.0)
    found = list(took)
    for connection in opened:
        if connection.sock:
            connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()
    return sample_of_times(found, sent)


# ------------------------------------------------------------------------------------------------------------------ the noisy one


@contextlib.contextmanager
def loud(bench: Bench, noisy: Tenant, broker: Broker) -> Iterator[None]:
    """mosquitto_pub and mosquitto_sub (C), in processes of their own, which begin again when they have sent all lines of a file."""
    home = bench.run_dir.parent / "noisy"
    home.mkdir(exist_ok=True)
    (home / "lines").write_text("".join(f'{{"n":{n},"filler":"{"x" * 80}"}}\n' for n in range(LINES)))
    with contextlib.ExitStack() as running:
        for number in range(1, PUBLISHERS + SUBSCRIBERS + 1):
            login = f"-h 127.0.0.1 -p {broker.port} -u noisy-{number} -P {PASSWORD} -i noisy-{number} -V mqttv5 -q 1"
            if number <= PUBLISHERS:
                topic = f"{noisy.prefix}/devices/d{number}/m"
                work = f"while :; do mosquitto_pub {login} -t {topic} -r -l < {home}/lines || sleep 0.1; done"
            else:
                work = f"exec mosquitto_sub {login} " + " ".join(f"-t '$share/g{n}/{noisy.prefix}/#'" for n in range(SHARES))
            running.enter_context(_group(work))
        time.sleep(1)  # until it is at its worst
        yield


@contextlib.contextmanager
def _group(work: str) -> Iterator[None]:
    """A shell command with all that it starts."""
    process = subprocess.Popen(
        ["sh", "-c", work], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )  # the password is the benchmark's own
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@contextlib.contextmanager
def deaf(bench: Bench, noisy: Tenant, port: int) -> Iterator[None]:
    request = f"GET /stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer(bench, noisy)}\r\n\r\n".encode()
    with contextlib.ExitStack() as opened:
        viewers = [opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(VIEWERS)]
        for viewer in viewers:
            viewer.sendall(request)
        for viewer in viewers:
            if b" 200 " not in viewer.recv(20):  # and nothing more
                raise RuntimeError("the stream refuses a viewer")
        url = f"{bench.api}/rpc/mqtt_ingest_batch?columns=messages"
        with posted(url, noisy.batch(BATCH).encode(), noisy.headers, 1):
            yield
