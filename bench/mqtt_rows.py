"""The bridge: out to a broker, in from it, and how long a message takes."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import select
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from bench import node_red, peers
from bench.harness import Bench, Connection, Sample, Side, payload, sample_of
from bench.http_rows import clear, post
from bench.tenants import Tenant, empty_history, make_tenants, settle

WAIT = 120.0
PEERS = "bench"  # topics that the bridge does not subscribe to: it would store what peers publish, on the same two cores
PIPE_BYTES = 1 << 20
STAMPED = b'{"sent":'
STAMP_SECONDS = 0.004
INFLIGHT = 100  # what the stack's broker allows; paho's own default of 20 would slow it down


class Broker:
    """Where the stack's Mosquitto is, and the bridge's own login there."""

    def __init__(self, bench: Bench) -> None:
        self.port = urlsplit(bench.env["MQTT_URL"]).port or 1883
        secrets = dict(line.split("=", 1) for line in (bench.run_dir / "secrets").read_text().splitlines())
        self.username, self.password = "topicbase_bridge", secrets["BROKER_PASSWORD"]

    def client(self, name: str, **options: Any) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, f"{name}-{uuid.uuid4().hex[:8]}", protocol=paho.MQTTv5, **options)
        client.username_pw_set(self.username, self.password)
        client.max_inflight_messages_set(INFLIGHT)
        client.max_queued_messages_set(0)
        return client

    @contextlib.contextmanager
    def connected(self, name: str, **options: Any) -> Iterator[paho.Client]:
        client = self.client(name, **options)
        ready = threading.Event()
        before = client.on_connect

        def on_connect(*arguments: Any) -> None:
            ready.set()
            if before:
                before(*arguments)

        client.on_connect = on_connect
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        if not ready.wait(10):
            raise RuntimeError("the broker does not answer")
        try:
            yield client
        finally:
            client.disconnect()
            client.loop_stop()


def until(reached: Callable[[], bool], what: str, step: float = 0.01) -> None:
    deadline = time.monotonic() + WAIT
    while not reached():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {WAIT:.0f} s")
        time.sleep(step)


@contextlib.contextmanager
def bridge(bench: Bench) -> Iterator[int]:
    """The bridge, for as long as it is measured; its process id."""
    bench.stack("start", "bridge")
    path = bench.run_dir / "bridge.pid"
    if not path.exists():
        raise RuntimeError("there is no bridge in this checkout")
    try:
        yield int(path.read_text())
    finally:
        bench.stack("stop", "bridge")


class Demo:
    """The stack's demonstration tenant, whose hosted integration the bridge serves."""

    def __init__(self, bench: Bench) -> None:
        self.organization_id = bench.env["DEMO_ORGANIZATION_ID"]
        self.integration_id = bench.env["DEMO_INTEGRATION_ID"]
        self.claims = json.dumps({"role": "authenticated", "sub": bench.env["DEMO_USER_ID"]})
        self.prefix = "org_demo"
        # no per-second limits while the limits of the machine are measured
        with bench.connect() as db:
            for column in ("max_messages_per_second", "messages_per_second", "publish_per_second"):
                row = db.execute(
                    "SELECT count(*) FROM pg_attribute WHERE attrelid = 'mqtt.organizations'::regclass AND attname = %s", (column,)
                ).fetchone()
                if row and row[0]:
                    db.execute(f"UPDATE mqtt.organizations SET {column} = NULL")

    def session(self, bench: Bench) -> Connection:
        db = bench.connect(prepare_threshold=1)
        db.execute("SELECT set_config('request.jwt.claims', %s, false)", (self.claims,))
        db.execute("SET ROLE authenticated")
        return db


# ------------------------------------------------------------------------------------------------------------------- outbound

PUBLISH = "SELECT api.mqtt_publish(integration_id => %s, messages => %s::json)"
OUTBOUND = "SELECT count(*) FROM (SELECT FROM pgmq.q_mqtt_outbound LIMIT 1) AS q"
# From the begin of the call that queued it to the receipt, in seconds, by the server's clock.
SETTLED = "SELECT extract(EPOCH FROM r.settled_at - r.queued_at) FROM mqtt.mqtt_publish_receipts AS r"


def outbound_ours(bench: Bench, demo: Demo, count: int, qos: int) -> Sample:
    """mqtt_publish in calls of 1,000 until every receipt is settled; p50 and p99 of a message's time from its call to its receipt."""
    batches = publish_batches(demo, count, qos)
    with bench.connect() as watch, demo.session(bench) as db:
        watch.execute("TRUNCATE mqtt.mqtt_publish_receipts")
        start = time.perf_counter()
        for batch in batches:
            db.execute(PUBLISH, (demo.integration_id, batch))
        until(lambda: not row(watch, OUTBOUND), "outbound", 0.005)
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
    done = row(watch, "SELECT count(*) FROM mqtt.mqtt_publish_receipts WHERE state::text IN ('sent', 'acknowledged')")
    if done != count:
        raise RuntimeError(f"outbound: {done} of {count} receipts say sent or acknowledged")


def outbound_arrivals(bench: Bench, broker: Broker, demo: Demo, count: int) -> Sample:
    """mqtt_publish at QoS 1 in calls of 1,000 until a subscriber has all; the receipts have to be there soon after."""
    batches = publish_batches(demo, count, 1)
    with bench.connect() as watch, demo.session(bench) as db:

        def feed(_: int) -> None:
            for batch in batches:
                db.execute(PUBLISH, (demo.integration_id, batch))

        watch.execute("TRUNCATE mqtt.mqtt_publish_receipts")
        sample = arrivals(bench, broker, f"{demo.prefix}/devices/+/commands", count, feed)
        until(lambda: not row(watch, OUTBOUND), "outbound")
        check_receipts(watch, 2 * count)
    return sample


def row(db: Connection, statement: str) -> int:
    found = db.execute(statement).fetchone()
    return int(found[0]) if found and found[0] is not None else 0


class Subscriber:
    """mosquitto_sub (C) at QoS 0, in a process of its own, which notes when each message came."""

    def __init__(self, broker: Broker, home: Path, topic: str) -> None:
        options(home, "mosquitto_sub", broker)
        ready = f"bench-ready/{uuid.uuid4().hex[:8]}"
        with broker.connected("bench-ready") as client:
            client.publish(ready, b"1", 1, retain=True).wait_for_publish(10)
            self._process = subprocess.Popen(
                ["stdbuf", "-oL", "mosquitto_sub", "-t", topic, "-t", ready, "-i", f"bench-{uuid.uuid4().hex[:8]}", "-F", "%U"],
                stdout=subprocess.PIPE, env={"XDG_CONFIG_HOME": str(home), "PATH": "/usr/bin"}, bufsize=0,
            )  # fmt: skip
            if self._process.stdout:
                fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            self._rest = b""
            try:
                self.take(1)
                client.publish(ready, b"", 1, retain=True).wait_for_publish(10)
                self.take(1)
            except BaseException:
                self.close()
                raise

    def take(self, count: int) -> list[float]:
        """The times, in seconds since 1970, at which the next so many messages came."""
        output, lines = self._process.stdout, self._rest.count(b"\n")
        while lines < count:
            if output is None or not select.select([output], [], [], WAIT)[0] or not (more := output.read(PIPE_BYTES)):
                raise RuntimeError(f"the subscriber got {lines} of {count} messages")
            self._rest += more
            lines += more.count(b"\n")
            if lines < count:
                time.sleep(0.02)  # the times are in the lines: to read each at once would only take CPU from what is measured
        *found, self._rest = self._rest.split(b"\n", count)
        return [float(line) for line in found]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def arrivals(bench: Bench, broker: Broker, topic: str, count: int, feed: Callable[[int], None]) -> Sample:
    """From the first call that queues messages until a subscriber has all, after as many to warm up; p50 and p99 likewise."""
    subscriber = Subscriber(broker, bench.run_dir.parent / "home", topic)
    try:
        feed(count)
        subscriber.take(count)
        start = time.time()
        feed(count)
        times = subscriber.take(count)
    finally:
        subscriber.close()
    return sample_of(count, max(times) - start, [at - start for at in times])


def outbound_paho(broker: Broker, count: int, qos: int) -> Sample:
    """Bare paho-mqtt, no database: until every message is sent (QoS 0) or acknowledged; p50 and p99 from publish() to on_publish."""
    body = payload()
    begun: list[float] = []
    ended: list[tuple[int, float]] = []
    finished = threading.Event()

    def on_publish(_: paho.Client, __: object, number: int, *___: object) -> None:
        ended.append((number, time.perf_counter()))
        if len(ended) == count:
            finished.set()

    with broker.connected("bench-out") as client:
        client.on_publish = on_publish
        start = time.perf_counter()
        for n in range(count):
            begun.append(time.perf_counter())
            client.publish(f"{PEERS}/devices/device-{n % 100}/commands", body, qos)
        if not finished.wait(WAIT):
            raise RuntimeError(f"paho: {len(ended)} of {count}")
        seconds = time.perf_counter() - start
    return sample_of(count, seconds, [at - begun[number - 1] for number, at in ended])  # paho numbers them from 1


def outbound_connect(broker: Broker, count: int) -> Sample:
    """Connect, publish at QoS 1, disconnect, for each message: the replaced system's way."""
    latencies = []
    for n in range(count):
        start = time.perf_counter()
        with broker.connected("bench-once") as client:
            client.publish(f"{PEERS}/devices/device-{n % 100}/commands", payload(), 1).wait_for_publish(10)
        latencies.append(time.perf_counter() - start)
    return sample_of(count, sum(latencies), latencies)


def outbound(bench: Bench) -> None:
    """Publishing with receipts beside bare paho-mqtt, connect-publish-disconnect and Node-RED."""
    clear(bench)
    settle(bench)
    broker, demo = Broker(bench), Demo(bench)
    count = 3000 if bench.options.quick else 10_000
    with bridge(bench):
        time.sleep(3)
        for qos in (0, 1, 2):
            contenders: dict[str, Callable[[], Sample]] = {
                "bridge": lambda qos=qos: outbound_ours(bench, demo, count, qos),  # type: ignore[misc]
                "paho": lambda qos=qos: outbound_paho(broker, count, qos),  # type: ignore[misc]
            }
            if qos == 1:
                contenders["once"] = lambda: outbound_connect(broker, 30 if bench.options.quick else 100)
            sides = bench.alternate(f"outbound QoS {qos}", contenders)
            setting = (
                f"100 B JSON, {count:,} messages, mqtt_publish in calls of 1,000, one integration, MQTT 5, Mosquitto; p50 and p99 of a"
                " message, all published as fast as can be: from call to receipt, paho's from call to on_publish"
            )
            bench.compare(
                f"outbound-{qos}", f"outbound QoS {qos} with receipts", f"bare paho-mqtt, {INFLIGHT} in flight, no database",
                sides["bridge"], sides["paho"], target=0.7, setting=setting,
            )  # fmt: skip
            if qos == 1:
                bench.compare(
                    "outbound-once", "outbound QoS 1 with receipts", "connect, publish, disconnect for each message (paho)",
                    sides["bridge"], sides["once"], target=20, setting=setting,
                )  # fmt: skip


# -------------------------------------------------------------------------------------------------------------------- inbound


def options(home: Path, program: str, broker: Broker, more: str = "") -> None:
    """Where that program of Mosquitto's finds the broker and the password, which is not to stand in the list of processes."""
    home.mkdir(exist_ok=True)
    (home / program).write_text(f"-h 127.0.0.1\n-p {broker.port}\n-u {broker.username}\n-P {broker.password}\n-V mqttv5\n{more}")


def publisher(home: Path, topic: str, **streams: Any) -> subprocess.Popen[bytes]:
    """mosquitto_pub (C) with the options in home, sending every line that it reads as a message."""
    program = shutil.which("mosquitto_pub")
    if not program:
        raise RuntimeError("mosquitto_pub is missing (Debian package mosquitto-clients)")
    return subprocess.Popen(
        [program, "-t", topic, "-i", f"bench-{uuid.uuid4().hex[:8]}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={"XDG_CONFIG_HOME": str(home), "PATH": "/usr/bin"}, **streams,
    )  # fmt: skip


class Load:
    """Two publishers at QoS 1 that each send all lines of a file at once, and one that meanwhile sends messages with their time."""

    def __init__(self, broker: Broker, prefix: str, file: Path, count: int) -> None:
        home = file.parent / "home"
        options(home, "mosquitto_pub", broker, "-q 1\n-l\n")
        self._count, self._stamped = count, 0
        self._loaded = threading.Event()
        self._stamper = publisher(home, f"{prefix}/devices/device-0002/telemetry", stdin=subprocess.PIPE, bufsize=0)
        self._processes = []
        for number in range(2):
            with file.open("rb") as lines:
                self._processes.append(publisher(home, f"{prefix}/devices/device-{number:04}/telemetry", stdin=lines))
        self._thread = threading.Thread(target=self._stamp)
        self._thread.start()

    def _stamp(self) -> None:
        if self._stamper.stdin is None:
            return
        with self._stamper.stdin as lines:
            while any(process.poll() is None for process in self._processes):
                if self._stamper.poll() is not None:
                    break  # finish() tells why
                lines.write(f'{{"sent":{time.time():.6f},"pad":"{"x" * 65}"}}\n'.encode())
                self._stamped += 1
                time.sleep(STAMP_SECONDS)
        self._loaded.set()

    def total(self) -> int:
        """How many messages there are in all; none is enough before all are sent."""
        return self._count + self._stamped if self._loaded.is_set() else sys.maxsize

    def finish(self) -> None:
        self._thread.join(WAIT)
        for process in (*self._processes, self._stamper):
            if process.wait(30):
                error = process.stderr.read().decode() if process.stderr else ""
                raise RuntimeError(f"mosquitto_pub: {error}")


def inbound_paho(broker: Broker, file: Path, count: int, work: Callable[[bytes], object] = len) -> Sample:
    """Bare paho: receive and discard, or hand each message to work; p50 and p99 from sending to the end of that, of stamped messages."""
    seen = 0
    latencies: list[float] = []
    subscribed = threading.Event()

    def on_message(_: paho.Client, __: object, message: paho.MQTTMessage) -> None:
        nonlocal seen
        data = bytes(message.payload)
        work(data)
        seen += 1
        if data.startswith(STAMPED):
            latencies.append(time.time() - json.loads(data)["sent"])

    with broker.connected("bench-in") as client:
        client.on_message = on_message
        client.on_subscribe = lambda *_: subscribed.set()
        client.subscribe(f"{PEERS}/#", 1)
        subscribed.wait(10)
        start = time.perf_counter()
        load = Load(broker, PEERS, file, count)
        until(lambda: seen >= load.total(), "paho", 0.002)
        seconds = time.perf_counter() - start
        load.finish()
    return sample_of(load.total(), seconds, latencies)


def inbound_naive(bench: Bench, broker: Broker, file: Path, count: int) -> Sample:
    """What is written first: an INSERT, and so a commit, for each message."""
    with bench.connect() as db:
        db.execute("CREATE TABLE IF NOT EXISTS public.bench_naive (id bigserial PRIMARY KEY, at timestamptz DEFAULT now(), payload jsonb)")
        db.execute("TRUNCATE public.bench_naive")
        return inbound_paho(
            broker,
            file,
            count,
            lambda data: db.execute("INSERT INTO public.bench_naive (payload) VALUES (%s)", (data.decode(),)) and None,
        )


def inbound_ours(bench: Bench, broker: Broker, demo: Demo, file: Path, count: int) -> Sample:
    """Until all are committed by the bridge, which acknowledges after that; it also works the queue off meanwhile.

    p50 and p99 are of stamped messages, from sending to the commit of their row in the history: one step further than the rate's.
    """
    accepted = f"SELECT sum(l.accepted) FROM mqtt.ledger AS l WHERE l.organization_id = '{demo.organization_id}'"
    with bench.connect() as db:
        until_stored(db)
        empty_history(db)
        before = row(db, accepted)
        start = time.perf_counter()
        load = Load(broker, demo.prefix, file, count)
        until(lambda: row(db, accepted) - before >= load.total(), "inbound", 0.005)
        seconds = time.perf_counter() - start
        load.finish()
        if row(db, accepted) - before != load.total():
            raise RuntimeError("inbound: more came than was sent")
    return sample_of(load.total(), seconds, stored_latencies(bench))


def inbound_count(bench: Bench) -> int:
    """How many messages the rows on receiving send: at 5,000 the first quarter of a second, while batches grow, would be all there is."""
    return 5000 if bench.options.quick else 20_000


def inbound_file(bench: Bench, count: int) -> Path:
    """What one of the two publishers sends, a message a line."""
    folder = bench.run_dir.parent / "inbound"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{count}.txt"
    file.write_text((payload() + "\n") * (count // 2))
    return file


def inbound(bench: Bench) -> None:
    """Receiving at QoS 1, acknowledged after COMMIT, beside paho-mqtt without a database, a naive script and Node-RED."""
    clear(bench)
    settle(bench)
    broker, demo = Broker(bench), Demo(bench)
    many, few = inbound_count(bench), 500 if bench.options.quick else 3000
    files = {count: inbound_file(bench, count) for count in (many, few)}

    def ours() -> Sample:
        with bridge(bench):
            time.sleep(2)
            return inbound_ours(bench, broker, demo, files[many], many)

    with bench.connect() as db:
        empty_history(db)
    sides = bench.alternate(
        "inbound QoS 1",
        {
            "bridge": ours,
            "paho": lambda: inbound_paho(broker, files[many], many),
            "naive": lambda: inbound_naive(bench, broker, files[few], few),
        },
    )
    setting = (
        f"100 B JSON, QoS 1, {many:,} messages from two mosquitto_pub (C) as fast as can be, one subscriber, MQTT 5; p50 and p99 of"
        " messages sent every 4 ms meanwhile: from sending to the history row's commit, paho's to its callback, the script's to its commit"
    )
    bench.compare(
        "inbound-paho", "inbound QoS 1, acknowledged after COMMIT", "bare paho-mqtt, receive and discard", sides["bridge"], sides["paho"],
        target=0.85, setting=setting, note="the bridge processes the queue into the history meanwhile",
    )  # fmt: skip
    bench.compare(
        "inbound-naive", "inbound QoS 1, acknowledged after COMMIT", "paho + psycopg, an INSERT a message", sides["bridge"], sides["naive"],
        target=5, setting=f"{setting}; the script {few:,}",
    )  # fmt: skip


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


# -------------------------------------------------------------------------------------------------------------------- latency


def paced(bench: Bench, tenant: Tenant, rate: float, clients: int, seconds: float) -> float:
    """Single ingests at a rate over kept connections; returns the rate there was.

    Each payload holds the time at which it was due, to the microsecond: one that waits for a free connection has waited since then.
    """
    url = urlsplit(bench.api)
    head = "".join(f"{k}: {v}\r\n" for k, v in {"Content-Type": "application/json", **tenant.headers}.items())
    failures: list[str] = []
    ticket = itertools.count()
    begin = time.perf_counter() + 0.1
    offset = time.time() - time.perf_counter()

    def client() -> None:
        with socket.create_connection((url.hostname or "", url.port or 80), timeout=30) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (due := begin + next(ticket) / rate) < begin + seconds:
                time.sleep(max(0.0, due - time.perf_counter()))
                body = f'{{"topic":"{tenant.topic(1)}","payload":{{"sent":{offset + due:.6f},"pad":"{"x" * 65}"}}}}'
                link.sendall(f"POST /rpc/mqtt_ingest HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
                answer = link.recv(65536)
                while b"\r\n\r\n" not in answer or not answer.rstrip().endswith((b"}", b"\r\n0")):
                    answer += link.recv(65536)
                if not answer.startswith(b"HTTP/1.1 202"):
                    failures.append(answer.decode(errors="replace"))
                    return

    running = [threading.Thread(target=client) for _ in range(clients)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failures:
        raise RuntimeError(failures[0])
    return int(rate * seconds) / (time.perf_counter() - begin)


STORED = """
SELECT extract(EPOCH FROM pg_xact_commit_timestamp(m.xmin)) - (m.payload ->> 'sent')::numeric
FROM mqtt.mqtt_messages AS m WHERE m.payload ? 'sent'
"""


def until_stored(db: Connection) -> None:
    until(lambda: not row(db, "SELECT count(*) FROM (SELECT FROM pgmq.q_mqtt_messages LIMIT 1) AS q"), "worker")


def stored_latencies(bench: Bench) -> list[float]:
    """From the client's sending to the commit of its row in the history (track_commit_timestamp), in seconds."""
    with bench.connect() as db:
        until_stored(db)
        return [float(found[0]) for found in db.execute(STORED).fetchall()]


def maximum(bench: Bench, tenant: Tenant) -> float:
    """Single ingests a second with the bridge at work, each run with an empty queue to begin with; one run before that does not count."""
    rates = []
    with bench.connect() as db:
        for _ in range(4):
            until_stored(db)
            empty_history(db)
            rates.append(post(bench, "mqtt_ingest", tenant.message(), tenant.headers).rate)
    return statistics.median(rates[1:])


def latency(bench: Bench) -> None:
    """POST to row visible, idle and at half the maximum rate; mqtt_publish to subscriber; the bridge's memory."""
    clear(bench)
    settle(bench)
    broker, demo = Broker(bench), Demo(bench)
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]
    with bridge(bench) as pid:
        time.sleep(3)
        highest = maximum(bench, tenant)
        seconds = 3.0 if bench.options.quick else 8.0
        for key, what, rate, clients, goal50, goal99 in (
            ("idle", "POST to row stored, idle", 20.0, 1, 20.0, None),
            ("half", "POST to row visible, at half the maximum rate", highest / 2, 16, 10.0, 50.0),
        ):
            side, reached = Side(what), list[float]()
            for _ in range(bench.options.rounds):
                with bench.connect() as db:
                    until_stored(db)
                    empty_history(db)
                reached.append(paced(bench, tenant, rate, clients, seconds))
                latencies = stored_latencies(bench)
                side.samples.append(sample_of(len(latencies), seconds, latencies))
            setting = (
                f"100 B JSON, {rate:.0f} POST/s due, {statistics.median(reached):.0f} made, {clients} connections; from when it was due"
            )
            if key == "half":
                setting += f"; the maximum, with the bridge at work, is {highest:.0f}"
            p50, p99 = [s.p50 or 0 for s in side.samples], [s.p99 or 0 for s in side.samples]
            bench.absolute(f"latency-{key}-p50", f"{what}: p50", p50, target=goal50, unit="ms", setting=setting, side=side)
            if goal99:
                bench.absolute(f"latency-{key}-p99", f"{what}: p99", p99, target=goal99, unit="ms", setting=setting, side=side)
        publish_latency(bench, broker, demo)
        resident = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
        bench.absolute(
            "memory",
            "the bridge's resident memory",
            [int(resident.split()[1]) / 1024],
            target=80,
            unit="MiB",
            setting="one integration, after load",
        )


def publish_latency(bench: Bench, broker: Broker, demo: Demo) -> None:
    """From just before COMMIT of mqtt_publish to the subscriber's callback, one message at a time."""
    arrived: dict[int, float] = {}
    event = threading.Event()

    def on_message(_: paho.Client, __: object, message: paho.MQTTMessage) -> None:
        arrived[json.loads(message.payload)["n"]] = time.perf_counter()
        event.set()

    side = Side("publish latency")
    numbers = itertools.count()
    subscribed = threading.Event()
    with broker.connected("bench-sub") as client, demo.session(bench) as db:
        client.on_message = on_message
        client.on_subscribe = lambda *_: subscribed.set()
        client.subscribe(f"{demo.prefix}/devices/latency/#", 1)
        subscribed.wait(10)
        db.autocommit = False
        for _ in range(bench.options.rounds):
            latencies = []
            for _ in range(50 if bench.options.quick else 150):
                n = next(numbers)
                body = {"n": n, "pad": "x" * 80}
                db.execute(
                    PUBLISH,
                    (demo.integration_id, json.dumps([{"topic": f"{demo.prefix}/devices/latency/commands", "payload": body, "qos": 1}])),
                )
                event.clear()
                start = time.perf_counter()
                db.commit()
                if not event.wait(10):
                    raise RuntimeError("a published message did not arrive")
                latencies.append(arrived[n] - start)
                time.sleep(0.03)
            side.samples.append(sample_of(len(latencies), sum(latencies), latencies))
    setting = "100 B JSON, QoS 1, one message at a time"
    p50, p99 = [s.p50 or 0 for s in side.samples], [s.p99 or 0 for s in side.samples]
    what = "commit of mqtt_publish to subscriber, idle"
    bench.absolute("latency-publish-p50", f"{what}: p50", p50, target=5, unit="ms", setting=setting, side=side)
    bench.absolute("latency-publish-p99", f"{what}: p99", p99, target=20, unit="ms", setting=setting, side=side)


def listening(bench: Bench) -> None:
    """Single ingest with the bridge listening and working the queue off, beside ingest without it."""
    clear(bench)
    settle(bench)
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]

    def with_bridge() -> Sample:
        with bridge(bench):
            time.sleep(2)
            return post(bench, "mqtt_ingest", tenant.message(), tenant.headers)

    sides = bench.alternate(
        "bridge listening",
        {"with": with_bridge, "without": lambda: post(bench, "mqtt_ingest", tenant.message(), tenant.headers)},
        before=lambda: clear(bench),
    )
    bench.compare(
        "listening", "single ingest with the bridge listening", "single ingest without it", sides["with"], sides["without"], target=0.95,
        setting="100 B JSON, 16 connections; the bridge also processes what comes",
    )  # fmt: skip
