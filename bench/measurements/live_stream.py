"""The live stream: how soon a browser has what was committed, how much it delivers, what viewers cost, and other ways to follow."""

from __future__ import annotations

import contextlib
import json
import statistics
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
import requests
from paho.mqtt.enums import CallbackAPIVersion

from bench.harness import Bench, Connection
from bench.load.mqtt import disconnect
from bench.load.viewers import burnt, chromium, crowd, pid_of, resident, seconds_of, shares, stream
from bench.load.worker import CALL, work_off
from bench.samples import Sample, Side, percentiles, sample_of
from bench.setup.bridge import bridge
from bench.setup.messages import clear, empty_history, empty_queue, fill_queue, settle
from bench.setup.tenants import Demo, Tenant, bearer, jwt_of, make_tenants
from bench.waiting import until

TOPIC = "org_demo/devices/bench/telemetry"
PEER_TOPIC = "org_demo/devices/peer/telemetry"
PEER_PAUSE = 0.025
VIEWERS = 100
GOAL = 20_000  # deliveries a second


def enqueue(db: Connection, demo: Demo, first: int, count: int) -> None:
    """Queues messages with the numbers from `first` on."""
    db.execute(
        "WITH queued AS (INSERT INTO pgmq.q_mqtt_messages (vt, organization_id, integration_id, message)"
        " SELECT now(), %s, %s, jsonb_build_object('topic', %s::text, 'payload', jsonb_build_object('n', n, 'temperature', 21.5,"
        " 'humidity', 40, 'filler', repeat('x', 50))) FROM generate_series(%s::integer, %s::integer) AS n RETURNING 1)"
        " SELECT mqtt.count_accepted(%s, count(*)::integer) FROM queued",
        (demo.organization_id, demo.integration_id, TOPIC, first, first + count - 1, demo.organization_id),
    )


def live_stream(bench: Bench) -> None:
    """Commit to a page in Chromium, idle; deliveries a second to 5,000 connections of one process, and its memory for each."""
    clear(bench)
    settle(bench)
    demo = Demo(bench)
    with stream(bench), bench.connect(prepare_threshold=1) as db:
        browser_latency(bench, demo, db)
        deliveries(bench, demo, db)


def browser_latency(bench: Bench, demo: Demo, db: Connection) -> None:
    """From the return of COMMIT of a batch of one message."""
    side, count, first = Side("browser"), 60 if bench.options.quick else 300, 0
    with chromium(bench, TOPIC) as page:
        if page is None:
            bench.skip("stream-browser", "Chromium is not installed")
            return
        for number in range(-1, bench.options.rounds):
            committed: dict[int, float] = {}
            for n in range(first, first + count):
                enqueue(db, demo, n, 1)
                db.execute(CALL, (1000,))
                committed[n] = time.time()
                page.wait_for_timeout(5)
            last = first + count - 1
            until(lambda last=last: bool(page.evaluate("n => n in came", last)), "the last message in the browser")  # type: ignore[misc]
            came: dict[str, float] = page.evaluate("came")
            found = [max(0.0, came[str(n)] / 1000 - at) for n, at in committed.items()]
            first += count
            if number >= 0:
                side.samples.append(sample_of(count, sum(found) or 1, found))
    setting = "a batch of one message; EventSource with a ticket, through the gateway; from the return of COMMIT"
    what = "commit to a page in Chromium by the live stream, idle"
    p50, p99 = [s.p50 or 0 for s in side.samples], [s.p99 or 0 for s in side.samples]
    bench.absolute("stream-browser-p50", f"{what}: p50", p50, target=10, unit="ms", setting=setting, side=side)
    bench.absolute("stream-browser-p99", f"{what}: p99", p99, target=50, unit="ms", setting=setting, side=side)


def deliveries(bench: Bench, demo: Demo, db: Connection) -> None:
    """A quarter more than the goal is sent, in the batches of a worker that finds them waiting."""
    connections, seconds = (500, 4.0) if bench.options.quick else (5000, 10.0)
    per_second = 1.25 * GOAL / connections
    pid, first, rates, used = pid_of(bench, "stream"), 1_000_000, list[float](), list[str]()
    before = resident(pid)
    # A user has 200 connections at most; the service, half of all.
    with crowd(bench, demo.organization_id, jwt_of(bench, "", "service_role"), connections) as viewers:
        memory = (resident(pid) - before) / connections
        for number in range(-1, bench.options.rounds):
            counted, began, burnt_before, sent = viewers.count, time.perf_counter(), burnt(bench), 0
            while (elapsed := time.perf_counter() - began) < seconds:
                if due := int(elapsed * per_second) + 1 - sent:
                    enqueue(db, demo, first + sent, due)
                    db.execute(CALL, (1000,))
                    sent += due
                time.sleep(0.01)
            took = time.perf_counter() - began
            if number >= 0:
                rates.append((viewers.count - counted) / took)
                used.append(shares(burnt_before, burnt(bench), took))
            first += sent
            until(lambda goal=counted + sent * connections: viewers.count >= goal, "the rest of the deliveries")  # type: ignore[misc]
    setting = f"{connections:,} connections to one process, {per_second:g} messages a second, {1.25 * GOAL:,.0f} deliveries; {used[-1]}"
    bench.absolute(
        "stream-deliveries", "deliveries of the live stream", rates, target=GOAL, unit="deliveries/s", setting=setting, at_least=True
    )
    bench.absolute(
        "stream-memory", "the live stream's memory for a connection", [memory / 1000], target=50, unit="kB",
        setting=f"resident, {connections:,} connections",
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- what viewers cost


def worked(db: Connection, tenant: Tenant, count: int) -> Sample:
    """Messages for each second of CPU of the worker's backend."""
    empty_history(db)
    empty_queue(db)
    fill_queue(db, tenant, count)
    before = seconds_of(db.info.backend_pid)
    work_off(db, count)
    return sample_of(count, seconds_of(db.info.backend_pid) - before)


def ingested(db: Connection, tenant: Tenant, count: int) -> Sample:
    """The same for plain batches of 1,000, which are stored at once."""
    empty_history(db)
    empty_queue(db)
    headers = json.dumps({name.lower(): value for name, value in tenant.headers.items()})
    db.execute("SELECT set_config('request.headers', %s, false)", (headers,))
    body = tenant.batch(1000)
    before = seconds_of(db.info.backend_pid)
    for _ in range(count // 1000):
        db.execute("SELECT api.mqtt_ingest_batch(%s::json)", (body,))
    return sample_of(count, seconds_of(db.info.backend_pid) - before)


def viewers_cost(bench: Bench) -> None:
    """What the queue worker and ingest pay for the live stream: without it, with it and no viewer, with 100."""
    clear(bench)
    settle(bench)
    count = 10_000 if bench.options.quick else 40_000
    with bench.connect(prepare_threshold=1) as db, stream(bench):
        tenant = make_tenants(db, 1)[0]
        token = bearer(bench, tenant)
        for name, what, run in (("worker", "queue worker", worked), ("ingest", "plain batches of 1,000", ingested)):

            def without(run: Any = run) -> Sample:
                bench.stack("stop", "stream")
                try:
                    return run(db, tenant, count)  # type: ignore[no-any-return]
                finally:
                    bench.stack("start", "stream")

            def watched(run: Any = run) -> Sample:
                with crowd(bench, tenant.organization_id, token, VIEWERS):
                    return run(db, tenant, count)  # type: ignore[no-any-return]

            contenders = {"without": without, "idle": lambda run=run: run(db, tenant, count), "watched": watched}
            sides = bench.alternate(f"{what} and viewers", contenders)
            setting = f"100 B JSON, {count:,} messages; for each second of CPU of the backend that stores them"
            for side, ours, goal in (("idle", "the live stream without viewers", 0.98), ("watched", f"{VIEWERS} viewers", 0.95)):
                bench.compare(
                    f"stream-{name}-{side}", f"{what}, {ours}", "no live stream", sides[side], sides["without"], target=goal,
                    setting=setting,
                )  # fmt: skip


# ------------------------------------------------------------------------------------------------------ other ways to follow


class Peers:
    """Three readers of the same messages: when each came to whom, by the number in its payload."""

    def __init__(self, bench: Bench, demo: Demo) -> None:
        self.bench, self.demo = bench, demo
        self.authorization = {"Authorization": f"Bearer {jwt_of(bench, bench.env['DEMO_USER_ID'])}"}
        self.sent: dict[int, float] = {}
        self.came: dict[str, dict[int, float]] = {"stream": {}, "poll": {}, "websocket": {}}
        self.is_over = threading.Event()
        self.is_followed = threading.Event()
        self.clients: list[paho.Client] = []
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self.follow, self.poll)]

    def note(self, reader: str, payload: Any) -> None:
        if isinstance(payload, dict) and "n" in payload:
            self.came[reader].setdefault(payload["n"], time.perf_counter())

    def client(self, url: str, transport: Any) -> paho.Client:
        body = {"integration_id": self.demo.integration_id, "topic_prefix": self.demo.prefix}
        answer = requests.post(f"{self.bench.api}/rpc/generate_mqtt_credentials", json=body, headers=self.authorization, timeout=30)
        answer.raise_for_status()
        login = answer.json()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=login["client_id"], transport=transport)
        client.username_pw_set(login["username"], login["password"])
        connected = threading.Event()
        client.on_connect = lambda *arguments: None if arguments[3].is_failure else connected.set()
        client.connect_async(urlsplit(url).hostname or "", urlsplit(url).port or 0)
        client.reconnect_delay_set(1, 1)  # until the broker knows the login
        client.loop_start()
        if not connected.wait(30):
            raise RuntimeError(f"no connection to {url}")
        self.clients.append(client)
        return client

    def follow(self) -> None:
        """One subscription to the live stream."""
        url, query = self.bench.env["STREAM_URL"], {"topic": PEER_TOPIC}
        with (
            requests.get(url, params=query, headers=self.authorization, stream=True, timeout=60) as answer,
            contextlib.suppress(requests.RequestException),  # at its end; what is missing then is noticed
        ):
            for line in answer.iter_lines(chunk_size=1):
                if line == b"event: subscribed":
                    self.is_followed.set()
                if line.startswith(b"data: {") and b'"payload"' in line:
                    self.note("stream", json.loads(line[6:])["payload"])

    def poll(self) -> None:
        """Rows by received_at, once a second; those of the last second again, since a later one may have been stored first."""
        with requests.Session() as session:
            session.headers.update(self.authorization)
            reached = datetime.now(UTC)
            while not self.is_over.wait(1.0):
                since = (reached - timedelta(seconds=1)).isoformat()
                query = {"topic": f"eq.{PEER_TOPIC}", "received_at": f"gt.{since}", "order": "received_at", "limit": "1000"}
                rows = session.get(f"{self.bench.api}/mqtt_messages", params=query, timeout=30).json()
                for row in rows:
                    self.note("poll", row["payload"])
                if rows:
                    reached = datetime.fromisoformat(rows[-1]["received_at"])

    def begin(self) -> paho.Client:
        device, reader = self.client(self.bench.env["MQTT_URL"], "tcp"), self.client(self.bench.env["MQTT_WS_URL"], "websockets")
        reader.on_message = lambda *arguments: self.note("websocket", json.loads(arguments[2].payload))
        granted = threading.Event()
        reader.on_subscribe = lambda *_: granted.set()
        reader.subscribe(PEER_TOPIC, qos=1)
        for thread in self.threads:
            thread.start()
        if not (granted.wait(30) and self.is_followed.wait(30)):
            raise RuntimeError("a reader did not begin")
        return device

    def end(self) -> None:
        self.is_over.set()
        for client in self.clients:
            disconnect(client)

    def round(self, device: paho.Client, count: int) -> dict[str, list[float]]:
        """Sends so many; returns the seconds that each took to each reader."""
        first = len(self.sent)
        for n in range(first, first + count):
            self.sent[n] = time.perf_counter()
            device.publish(PEER_TOPIC, json.dumps({"n": n, "temperature": 21.5, "humidity": 40}), qos=1)
            time.sleep(PEER_PAUSE)
        until(lambda: all(len(came) == len(self.sent) for came in self.came.values()), "the messages at each reader")
        return {name: [came[n] - self.sent[n] for n in range(first, first + count)] for name, came in self.came.items()}


def stream_peers(bench: Bench) -> None:
    """A device's message over MQTT, until the live stream, a poll once a second, and MQTT over WebSocket have it."""
    clear(bench)
    settle(bench)
    demo, count = Demo(bench), 80 if bench.options.quick else 400
    sides = {name: Side(name) for name in ("stream", "poll", "websocket")}
    with bridge(bench), stream(bench):
        peers = Peers(bench, demo)
        try:
            device = peers.begin()
            peers.round(device, 20)
            before, began = burnt(bench), time.perf_counter()
            for _ in range(bench.options.rounds):
                for name, found in peers.round(device, count).items():
                    cost = statistics.median(found) * 1000
                    sides[name].samples.append(Sample(cost, *percentiles(found), count=count))
            used = shares(before, burnt(bench), time.perf_counter() - began)
        finally:
            peers.end()
    setting = f"100 B JSON, QoS 1, {1 / PEER_PAUSE:.0f} messages a second of one device, from its publish; {used}"
    for name, against, goal in (
        ("poll", "rows by received_at, once a second (`tail` without a stream)", 1.0),
        ("websocket", "MQTT over WebSocket at Mosquitto: no database, no history", 40.0),
    ):
        bench.compare(
            f"stream-peers-{name}", "a device's message until the live stream has it", against, sides["stream"], sides[name], target=goal,
            at_least=False, unit="ms", setting=setting,
        )  # fmt: skip
