"""Webhooks: how many deliveries a second the bridge makes."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import multiprocessing
import re
import time
from collections.abc import Iterator, Sequence
from multiprocessing.synchronize import Event
from typing import Any

from bench.harness import Bench, Connection
from bench.load.threads import threads
from bench.load.worker import drain
from bench.samples import Sample, sample_of
from bench.setup.bridge import bridge
from bench.setup.messages import clear, empty_history, empty_queue, fill_queue, settle
from bench.setup.payload import payload
from bench.setup.tenants import Tenant, claims, make_tenants
from bench.waiting import scalar, until

FILTERS = ("devices/#", "devices/+/telemetry", "+/+/telemetry", "#")
# In the payload of a message that is timed: when it was sent.
SENT = re.compile(rb'"sent": ?([0-9.]+)')
# From being claimed to being recorded as delivered.
TAKEN = "SELECT extract(EPOCH FROM d.finished_at - d.attempted_at) FROM mqtt.mqtt_callback_deliveries AS d"
WAITING = "SELECT count(*) FROM mqtt.mqtt_callback_deliveries WHERE status <> 'delivered'"


class Answer(asyncio.Protocol):
    """The least HTTP that works: 200 to each POST."""

    def __init__(self, seen: Any, latencies: Any) -> None:
        self.seen, self.latencies, self.data = seen, latencies, b""

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
            body, self.data = self.data[end + 4 : end + 4 + size], self.data[end + 4 + size :]
            now = time.monotonic()
            if (sent := SENT.search(body)) and self.seen[0] < len(self.latencies):
                self.latencies[int(self.seen[0])] = time.time() - float(sent[1])
            self.seen[1] = self.seen[1] or now
            self.seen[2] = now
            self.seen[0] += 1
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def serve(port: Any, seen: Any, latencies: Any, is_up: Event) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Answer(seen, latencies), "127.0.0.1", 0)
        port.value = server.sockets[0].getsockname()[1]
        is_up.set()
        await server.serve_forever()

    asyncio.run(main())


class Receiver:
    """A process of its own. seen: the number of requests, and when the first and the last arrived; latencies: see SENT."""

    def __init__(self, port: int, seen: Any, latencies: Any) -> None:
        self.port, self.seen, self.latencies = port, seen, latencies

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
    latencies = context.Array("d", 100_000, lock=False)
    process = context.Process(target=serve, args=(port, seen, latencies, is_up), daemon=True)
    process.start()
    try:
        if not is_up.wait(30):
            raise RuntimeError("the receiver did not start")
        yield Receiver(port.value, seen, latencies)
    finally:
        process.terminate()
        process.join()


def wait_in_line(db: Connection, tenants: Sequence[Tenant], hooks: Receiver, filters: Sequence[str], count: int) -> None:
    """Subscriptions with these filters in each of the organizations, and deliveries of all of them, as many of each."""
    empty_history(db)
    empty_queue(db)
    messages = count // len(tenants) // len(filters)
    for tenant in tenants:
        db.execute("SELECT set_config('request.jwt.claims', %s, false)", (claims(tenant),))
        for filter_ in filters:
            db.execute(
                "SELECT api.mqtt_subscribe(%s, %s, callback_url => %s)",
                (tenant.integration_id, f"{tenant.prefix}/{filter_}", f"http://127.0.0.1:{hooks.port}/hook"),
            )
        fill_queue(db, tenant, messages)
    drain(db, 1000)
    made = messages * len(tenants) * len(filters)
    if scalar(db, WAITING) != made:
        raise RuntimeError(f"webhooks: {scalar(db, WAITING)} deliveries wait, not {made}")
    db.execute("VACUUM (ANALYZE) mqtt.mqtt_callback_deliveries, mqtt.history")


def ours(bench: Bench, tenants: Sequence[Tenant], hooks: Receiver, filters: Sequence[str], count: int) -> Sample:
    """Waiting deliveries, made by a bridge that starts."""
    with bench.connect() as db:
        try:
            wait_in_line(db, tenants, hooks, filters, count)
            hooks.forget()
            with bridge(bench):
                seconds = hooks.seconds(count)
                until(lambda: not scalar(db, WAITING), "webhooks")
            return sample_of(count, seconds, [float(found[0]) for found in db.execute(TAKEN).fetchall()])
        finally:
            db.execute("DELETE FROM mqtt.mqtt_subscriptions WHERE callback_url LIKE 'http://127.0.0.1:%/hook'")
            db.execute("TRUNCATE mqtt.mqtt_callback_deliveries")


def bare(hooks: Receiver, count: int, connections: int) -> Sample:
    """The same number of requests by http.client in as many threads: no signature, no database."""
    body = payload(600).encode()
    total = count // connections * connections
    hooks.forget()

    def work(_: int) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", hooks.port)
        latencies = []
        for _ in range(total // connections):
            start = time.perf_counter()
            connection.request("POST", "/hook", body, {"Content-Type": "application/json"})
            connection.getresponse().read()
            latencies.append(time.perf_counter() - start)
        connection.close()
        return latencies

    latencies, _ = threads(connections, work)
    return sample_of(total, hooks.seconds(total), latencies)


def webhooks(bench: Bench) -> None:
    """Deliveries to callback URLs beside http.client without a database."""
    clear(bench)
    settle(bench)
    count = 2_000 if bench.options.quick else 8_000
    with bench.connect() as db:
        tenants = make_tenants(db, 10)
    with receiver() as hooks:
        for key, what, of, filters, connections in (
            # As many requests at once as the bridge makes: eight for each subscription, and shares of 64 for organizations.
            ("webhooks-one", "webhooks of one subscription", tenants[:1], FILTERS[:1], 8),
            ("webhooks", "webhooks of one organization, four subscriptions", tenants[:1], FILTERS, 32),
            ("webhooks-ten", "webhooks of ten organizations, one subscription each", tenants, FILTERS[:1], 64),
        ):
            sides = bench.alternate(
                key,
                {
                    "bridge": lambda of=of, filters=filters: ours(bench, of, hooks, filters, count),  # type: ignore[misc]
                    "bare": lambda connections=connections: bare(hooks, count, connections),  # type: ignore[misc]
                },
            )
            bench.compare(
                key, what, f"http.client in {connections} threads, no signature, no database", sides["bridge"], sides["bare"],
                target=0.1, unit="requests/s", setting=(
                    f"100 B payload, {count:,} deliveries that wait, signed and recorded, one bridge, one receiver;"
                    " p50 and p99 of a delivery: ours from being claimed to being recorded as delivered, theirs of a request"
                ),
            )  # fmt: skip
