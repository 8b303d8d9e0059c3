"""How long a message takes, in and out, and how much ingest notices of a bridge at work."""

from __future__ import annotations

import itertools
import json
import socket
import statistics
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as paho

from bench.harness import Bench
from bench.load.inbound import stored_latencies, until_stored
from bench.load.mqtt import Broker
from bench.load.outbound import PUBLISH
from bench.load.wrk import post
from bench.measurements.webhooks import receiver
from bench.samples import Sample, Side, sample_of
from bench.setup.bridge import bridge
from bench.setup.messages import clear, empty_history, settle
from bench.setup.tenants import Demo, Tenant, claims, make_tenants

# From the sending of the newest value of each device to the commit of the device's row that has it.
LATEST = """
SELECT extract(EPOCH FROM pg_xact_commit_timestamp(d.xmin)) - (mqtt.latest_of(d) #>> '{sent,value}')::numeric
FROM mqtt.devices AS d
WHERE d.organization_id = %s AND mqtt.latest_of(d) ? 'sent'
"""


def paced(bench: Bench, tenant: Tenant, rate: float, clients: int, seconds: float, devices: int = 1, kinds: int = 0) -> float:
    """Sends single ingests at a given rate over kept connections, of one device after the other; returns the rate that was reached.

    kinds: how many message types they have in turn, telemetry0 and so on; 0 for telemetry.

    Each payload holds the time at which it was due, to the microsecond, so waiting for a free connection counts.
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
            while (due := begin + (number := next(ticket)) / rate) < begin + seconds:
                time.sleep(max(0.0, due - time.perf_counter()))
                topic = tenant.topic(1 + number % devices) + (str(number % kinds) if kinds else "")
                body = f'{{"topic":"{topic}","payload":{{"sent":{offset + due:.6f},"pad":"{"x" * 65}"}}}}'
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


def maximum(bench: Bench, tenant: Tenant) -> float:
    """Single ingests per second with the bridge at work; each run begins with an empty queue, and the first does not count."""
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
        effects(bench, tenant, highest / 2, seconds)
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


def effects(bench: Bench, tenant: Tenant, rate: float, seconds: float) -> None:
    """POST to latest value changed, and to webhook received, while the bridge is at work."""
    latest, hooked = Side("latest"), Side("webhook")
    for number in range(-1, bench.options.rounds):  # the first one registers the devices
        with bench.connect() as db:
            until_stored(db)
            empty_history(db)
        paced(bench, tenant, rate, 16, seconds, devices=2000)
        with bench.connect() as db:
            until_stored(db)
            found = [float(row[0]) for row in db.execute(LATEST, (tenant.organization_id,)).fetchall()]
        if number >= 0:
            latest.samples.append(sample_of(len(found), seconds, found))
        else:
            settle(bench)
    with receiver() as hooks, bench.connect() as db:
        db.execute("SELECT set_config('request.jwt.claims', %s, false)", (claims(tenant),))
        url = f"http://127.0.0.1:{hooks.port}/hook"
        for kind in range(4):  # the bridge posts eight at once for each subscription
            filter_ = f"{tenant.prefix}/devices/+/telemetry{kind}"
            db.execute("SELECT api.mqtt_subscribe(%s, %s, callback_url => %s)", (tenant.integration_id, filter_, url))
        try:
            paced(bench, tenant, 20, 1, 1, kinds=4)  # the bridge opens its connections
            for number in range(-1, bench.options.rounds):  # the first one registers the topics
                until_stored(db)
                empty_history(db)
                hooks.forget()
                paced(bench, tenant, rate, 16, seconds, devices=2000, kinds=4)
                hooks.seconds(int(rate * seconds))
                found = hooks.latencies[: int(hooks.seen[0])]
                if number >= 0:
                    hooked.samples.append(sample_of(len(found), seconds, found))
                else:
                    settle(bench)
        finally:
            db.execute("DELETE FROM mqtt.mqtt_subscriptions WHERE organization_id = %s", (tenant.organization_id,))
            db.execute("TRUNCATE mqtt.mqtt_callback_deliveries")
    setting = f"100 B JSON, {rate:.0f} POST/s due, 16 connections, 2,000 devices; from when it was due"
    for key, what, side, target in (
        ("latency-latest", "POST to latest value changed, at half the maximum rate: p50", latest, 10),
        ("latency-webhook", "POST to webhook received, at half the maximum rate: p50", hooked, 25),
    ):
        bench.absolute(key, what, [s.p50 or 0 for s in side.samples], target=target, unit="ms", setting=setting, side=side)


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
    """Single ingest with the bridge listening and processing the queue, beside ingest without it."""
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
