"""Receiving through the bridge."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho

from bench.harness import Bench
from bench.load.inbound import inbound_count, inbound_file, inbound_ours
from bench.load.mqtt import PEERS, Broker, Load
from bench.samples import Sample, sample_of
from bench.setup.bridge import bridge
from bench.setup.messages import clear, empty_history, settle
from bench.setup.tenants import Demo
from bench.waiting import until

STAMPED = b'{"sent":'


def inbound_paho(broker: Broker, file: Path, count: int, work: Callable[[bytes], object] = len) -> Sample:
    """Bare paho: receive and discard, or hand each message to work; p50 and p99 of stamped messages, from sending to the end of that."""
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
    """What people write first: an INSERT, and so a commit, for each message."""
    with bench.connect() as db:
        db.execute("CREATE TABLE IF NOT EXISTS public.bench_naive (id bigserial PRIMARY KEY, at timestamptz DEFAULT now(), payload jsonb)")
        db.execute("TRUNCATE public.bench_naive")
        return inbound_paho(
            broker,
            file,
            count,
            lambda data: db.execute("INSERT INTO public.bench_naive (payload) VALUES (%s)", (data.decode(),)) and None,
        )


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
