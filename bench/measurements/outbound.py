"""Publishing through the bridge."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import paho.mqtt.client as paho

from bench.harness import Bench
from bench.load.mqtt import INFLIGHT, PEERS, Broker
from bench.load.outbound import outbound_ours
from bench.samples import Sample, sample_of
from bench.setup.bridge import bridge
from bench.setup.messages import clear, settle
from bench.setup.payload import payload
from bench.setup.tenants import Demo
from bench.waiting import WAIT


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
    """Connect, publish at QoS 1 and disconnect for each message, as the replaced system does."""
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
