"""Webhooks: how many deliveries a second the bridge makes."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from typing import Any

from bench.harness import Bench
from bench.load.threads import threads
from bench.load.worker import drain
from bench.samples import Sample, sample_of
from bench.setup.bridge import bridge
from bench.setup.messages import clear, empty_history, empty_queue, settle
from bench.setup.payload import payload
from bench.setup.tenants import Demo
from bench.waiting import scalar, until

FILTERS = ("devices/#", "devices/+/telemetry", "+/+/telemetry", "#")
CONNECTIONS = 32  # as many requests as the bridge makes at once: eight for each of the four
# From being claimed to being recorded as delivered.
TAKEN = "SELECT extract(EPOCH FROM d.finished_at - d.attempted_at) FROM mqtt.mqtt_callback_deliveries AS d"
WAITING = "SELECT count(*) FROM mqtt.mqtt_callback_deliveries WHERE status <> 'delivered'"


class Answer(asyncio.Protocol):
    """The least HTTP that works: 200 to each POST."""

    def __init__(self, seen: Any) -> None:
        self.seen, self.data = seen, b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = self.data[:end].lower()
            at = head.index(b"content-length:") + 15
            size = int(head[at:].split(b"\r\n", 1)[0])
            if len(self.data) < end + 4 + size:
                return
            self.data = self.data[end + 4 + size :]
            now = time.monotonic()
            self.seen[1] = self.seen[1] or now
            self.seen[2] = now
            self.seen[0] += 1
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def serve(port: Any, seen: Any, is_up: Event) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Answer(seen), "127.0.0.1", 0)
        port.value = server.sockets[0].getsockname()[1]
        is_up.set()
        await server.serve_forever()

    asyncio.run(main())


class Receiver:
    """A process of its own. seen: the number of requests, and when the first and the last arrived."""

    def __init__(self, port: int, seen: Any) -> None:
        self.port, self.seen = port, seen

    def forget(self) -> None:
        self.seen[:] = [0, 0, 0]

    def seconds(self, count: int) -> float:
        """Seconds from the first request to the last of this many."""
        until(lambda: self.seen[0] >= count, "webhooks")
        return float(self.seen[2] - self.seen[1])


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    context = multiprocessing.get_context("spawn")
    port, seen, is_up = context.Value("i", 0, lock=False), context.Array("d", 3, lock=False), context.Event()
    process = context.Process(target=serve, args=(port, seen, is_up), daemon=True)
    process.start()
    try:
        if not is_up.wait(30):
            raise RuntimeError("the receiver did not start")
        yield Receiver(port.value, seen)
    finally:
        process.terminate()
        process.join()


def ours(bench: Bench, demo: Demo, hooks: Receiver, count: int) -> Sample:
    """Waiting deliveries, made by a bridge that starts."""
    with bench.connect() as db:
        empty_history(db)
        empty_queue(db)
        db.execute("TRUNCATE mqtt.mqtt_callback_deliveries")
        db.execute(
            "INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)"
            " SELECT now(), jsonb_build_object('topic', 'org_demo/devices/' || n %% 100 || '/telemetry', 'payload', %s::jsonb), %s, %s"
            " FROM generate_series(1, %s) AS n",
            (payload(), demo.organization_id, demo.integration_id, count // len(FILTERS)),
        )
        db.execute("SELECT mqtt.count_accepted(%s, %s)", (demo.organization_id, count // len(FILTERS)))
        drain(db, 1000)
        if scalar(db, WAITING) != count:
            raise RuntimeError(f"webhooks: {scalar(db, WAITING)} deliveries wait, not {count}")
        db.execute("VACUUM (ANALYZE) mqtt.mqtt_callback_deliveries, mqtt.history")
        hooks.forget()
        with bridge(bench):
            seconds = hooks.seconds(count)
            until(lambda: not scalar(db, WAITING), "webhooks")
        return sample_of(count, seconds, [float(found[0]) for found in db.execute(TAKEN).fetchall()])


def bare(hooks: Receiver, count: int) -> Sample:
    """The same number of requests by http.client in as many threads: no signature, no database."""
    body = payload(600).encode()
    total = count // CONNECTIONS * CONNECTIONS
    hooks.forget()

    def work(_: int) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", hooks.port)
        latencies = []
        for _ in range(total // CONNECTIONS):
            start = time.perf_counter()
            connection.request("POST", "/hook", body, {"Content-Type": "application/json"})
            connection.getresponse().read()
            latencies.append(time.perf_counter() - start)
        connection.close()
        return latencies

    latencies, _ = threads(CONNECTIONS, work)
    return sample_of(total, hooks.seconds(total), latencies)


def webhooks(bench: Bench) -> None:
    """Deliveries to callback URLs beside http.client without a database."""
    clear(bench)
    settle(bench)
    demo = Demo(bench)
    count = 2_000 if bench.options.quick else 8_000
    with receiver() as hooks:
        with demo.session(bench) as db:
            for filter_ in FILTERS:
                db.execute(
                    "SELECT api.mqtt_subscribe(%s, %s, callback_url => %s)",
                    (demo.integration_id, f"{demo.prefix}/{filter_}", f"http://127.0.0.1:{hooks.port}/hook"),
                )
        try:
            sides = bench.alternate("webhooks", {"bridge": lambda: ours(bench, demo, hooks, count), "bare": lambda: bare(hooks, count)})
        finally:
            with bench.connect() as db:
                db.execute("UPDATE mqtt.mqtt_subscriptions SET callback_url = NULL WHERE organization_id = %s", (demo.organization_id,))
                db.execute("TRUNCATE mqtt.mqtt_callback_deliveries")
    bench.compare(
        "webhooks", "webhooks, signed and noted", "http.client in 32 threads, no signature, no database", sides["bridge"], sides["bare"],
        target=0.1, unit="requests/s", setting=(
            f"100 B payload, 32 connections, {count:,} deliveries of four subscriptions; p50 and p99 of a delivery: ours from being claimed"
            " to being noted as delivered, theirs of a request"
        ),
    )  # fmt: skip
