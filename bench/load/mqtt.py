"""The stack's Mosquitto, and clients that send to it, receive from it and time both."""

from __future__ import annotations

import contextlib
import fcntl
import select
import shutil
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

from bench.harness import Bench
from bench.samples import Sample, sample_of
from bench.waiting import WAIT

PEERS = "bench"  # the bridge does not subscribe to these topics: it would store what peers publish, on the same two cores
PIPE_BYTES = 1 << 20
STAMP_SECONDS = 0.004
INFLIGHT = 100  # what the stack's broker allows; paho's own default of 20 would slow it down


def disconnect(client: paho.Client) -> None:
    """Disconnects, and waits for the client's thread."""
    client.disconnect()
    with contextlib.suppress(AttributeError):  # its thread ended just now (paho.mqtt.python#872)
        client.loop_stop()


class Broker:
    """The stack's Mosquitto, with the bridge's own login."""

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
            disconnect(client)


def options(home: Path, program: str, broker: Broker, more: str = "") -> None:
    """Writes the options of that Mosquitto program: the broker, and the password, which must not show in the process list."""
    home.mkdir(exist_ok=True)
    (home / program).write_text(f"-h 127.0.0.1\n-p {broker.port}\n-u {broker.username}\n-P {broker.password}\n-V mqttv5\n{more}")


def publisher(home: Path, topic: str, **streams: Any) -> subprocess.Popen[bytes]:
    """mosquitto_pub (C) with the options in home; it sends each line that it reads as a message."""
    program = shutil.which("mosquitto_pub")
    if not program:
        raise RuntimeError("mosquitto_pub is missing (Debian package mosquitto-clients)")
    return subprocess.Popen(
        [program, "-t", topic, "-i", f"bench-{uuid.uuid4().hex[:8]}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={"XDG_CONFIG_HOME": str(home), "PATH": "/usr/bin"}, **streams,
    )  # fmt: skip


class Load:
    """Two publishers at QoS 1 that send all lines of a file as fast as they can, and one that sends time-stamped messages meanwhile."""

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
                    break  # finish() raises the reason
                lines.write(f'{{"sent":{time.time():.6f},"pad":"{"x" * 65}"}}\n'.encode())
                self._stamped += 1
                time.sleep(STAMP_SECONDS)
        self._loaded.set()

    def total(self) -> int:
        """How many messages there are in all; unreachable until all are sent."""
        return self._count + self._stamped if self._loaded.is_set() else sys.maxsize

    def finish(self) -> None:
        self._thread.join(WAIT)
        for process in (*self._processes, self._stamper):
            if process.wait(30):
                error = process.stderr.read().decode() if process.stderr else ""
                raise RuntimeError(f"mosquitto_pub: {error}")


class Subscriber:
    """mosquitto_sub (C) at QoS 0, in a process of its own, which records when each message arrived."""

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
        """When the next messages arrived, in seconds since 1970."""
        output, lines = self._process.stdout, self._rest.count(b"\n")
        while lines < count:
            if output is None or not select.select([output], [], [], WAIT)[0] or not (more := output.read(PIPE_BYTES)):
                raise RuntimeError(f"the subscriber got {lines} of {count} messages")
            self._rest += more
            lines += more.count(b"\n")
            if lines < count:
                time.sleep(0.02)  # the lines hold their times; reading each at once would only take CPU from what is measured
        *found, self._rest = self._rest.split(b"\n", count)
        return [float(line) for line in found]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def arrivals(bench: Bench, broker: Broker, topic: str, count: int, feed: Callable[[int], None]) -> Sample:
    """From the first call that queues messages until a subscriber has all, after a warm-up of as many; p50 and p99 likewise."""
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
