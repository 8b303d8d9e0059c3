"""Producers on all channels, each on a thread: what they send is numbered, what was answered is noted."""

import itertools
import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
import requests
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.support.broker import Offer, user_property
from tests.support.mqtt import disconnect
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.chaos.world import World

HTTP_TIMEOUT = 15.0
BACKLOG = 2000  # messages at a broker above which a producer waits: it is to try the product, not the broker's memory
# Channels, and whether the same number may come to be stored twice: QoS 1 without an id of its own may, as the protocol has it.
CHANNELS = {
    "single": False,
    "single with id": False,
    "batch": False,
    "batch with id": False,
    "inbound": True,
    "inbound with id": False,
    "broker": True,
}
OFFSET = 1 << 40  # numbers of published messages are beyond this


@dataclass
class Sent:
    """What one channel sent, by number, and what came of it."""

    sent: set[int] = field(default_factory=set)
    accepted: set[int] = field(default_factory=set)


class Load:
    def __init__(self, world: "World") -> None:
        self.world = world
        self.channels = {name: Sent() for name in CHANNELS}
        self.pause_seconds = 0.02
        self.batch_size = 40
        self.refused: dict[str, int] = {}
        self.errors = 0
        self.jump: Callable[[], str | None] = lambda: None  # the devices' clock
        self.only: tuple[str, ...] = ()  # these producers, for now; none named are all
        # Of each number that was examined: 0 not sent, else the channel's place in CHANNELS from 1 on, and a bit whether it was accepted.
        self.history = bytearray()
        self._numbers = itertools.count(1)
        self._publish_numbers = itertools.count(OFFSET)
        self._lock = threading.Lock()
        self._running = threading.Event()
        self._ended = threading.Event()
        self._idle = threading.Condition()
        self._busy = 0
        self._threads: list[threading.Thread] = []
        self._mosquitto: mqtt.Client | None = None
        self._under_way: dict[int, int] = {}
        self._early: set[int] = set()  # acknowledged before publish() had said under which number

    # ------------------------------------------------------------------------------------------------------------ start and stop

    def run(self, *names: str) -> "Load":
        """Start these producers (single, batch, publish, inbound, broker), or all but broker."""
        for name in names or ("single", "batch", "publish", "inbound"):
            turn = getattr(self, f"_{name}")
            thread = threading.Thread(target=self._repeat, args=(name, turn), name=f"producer {name}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._running.set()
        return self

    def pause(self) -> None:
        """Returns when nothing is being sent any more."""
        self._running.clear()
        with self._idle:
            assert self._idle.wait_for(lambda: self._busy == 0, 120), "a producer hangs"

    def resume(self) -> None:
        self._running.set()

    def close(self) -> None:
        self._ended.set()
        self._running.set()
        for thread in self._threads:
            thread.join(30)
        if self._mosquitto is not None:
            disconnect(self._mosquitto)

    def forget(self) -> int:
        """What was examined is done with, until the end; the producers are paused. Returns the number from which on they go on."""
        for place, channel in enumerate(self.channels.values(), 1):
            for number in channel.sent:
                if number >= len(self.history):
                    self.history.extend(bytes(number + 1 - len(self.history)))
                self.history[number] = place << 1 | (number in channel.accepted)
        self.channels = {name: Sent() for name in CHANNELS}
        return next(self._numbers)

    def is_publishing(self) -> bool:
        """Whether a message to Mosquitto waits for its acknowledgement."""
        with self._lock:
            return bool(self._under_way)

    def accepted(self) -> int:
        return sum(len(channel.accepted) for channel in self.channels.values())

    def wait_accepted(self, count: int) -> None:
        """Until so many more were accepted than now."""
        target = self.accepted() + count
        wait_until(lambda: self.accepted() >= target, what=f"{count} more messages accepted")

    def _repeat(self, name: str, turn: Callable[[requests.Session], None]) -> None:
        with requests.Session() as session:
            while not self._ended.is_set():
                self._running.wait()
                with self._idle:
                    self._busy += 1
                try:
                    if self._running.is_set() and not self._ended.is_set() and name in (self.only or (name,)):
                        turn(session)
                finally:
                    with self._idle:
                        self._busy -= 1
                        self._idle.notify_all()
                self._ended.wait(self.pause_seconds)

    # --------------------------------------------------------------------------------------------------------------- HTTP ingest

    def _message(self, number: int) -> dict[str, Any]:
        message: dict[str, Any] = {"topic": self.world.device.topic(f"d{number % 20}"), "payload": {"n": number}}
        stamp = self.jump()
        if stamp is not None:
            message["timestamp"] = stamp
        return message

    def _note(self, channel: str, numbers: list[int], accepted: list[int] | None = None) -> None:
        with self._lock:
            self.channels[channel].sent.update(numbers)
            self.channels[channel].accepted.update(accepted or ())

    def _post(
        self, session: requests.Session, rpc: str, body: Any, timeout: float = HTTP_TIMEOUT, **headers: str
    ) -> requests.Response | None:
        try:
            response = session.post(
                f"{self.world.stack.api_url}/rpc/{rpc}", json=body, headers=headers or self.world.device.headers, timeout=timeout
            )
        except requests.RequestException:
            self.errors += 1
            return None
        if response.status_code != 202:
            key = f"{response.status_code} {response.json().get('code') if 'json' in response.headers.get('Content-Type', '') else ''}"
            with self._lock:
                self.refused[key] = self.refused.get(key, 0) + 1
            self._ended.wait(0.05)
        return response

    def _single(self, session: requests.Session) -> None:
        number = next(self._numbers)
        has_id = number % 2 == 0
        channel = "single with id" if has_id else "single"
        message = self._message(number)
        if has_id:
            message["message_id"] = str(uuid.uuid4())
        self._note(channel, [number])
        # Whoever gives an id may repeat, as often as it takes.
        for _ in range(200 if has_id else 1):
            response = self._post(session, "mqtt_ingest", message)
            if response is not None and response.status_code == 202:
                self._note(channel, [], [number])
                break
            if not self._running.is_set() or self._ended.is_set():
                break

    def _batch(self, session: requests.Session) -> None:
        numbers = [next(self._numbers) for _ in range(self.batch_size)]
        has_id = numbers[0] % 2 == 0
        channel = "batch with id" if has_id else "batch"
        messages = [self._message(number) for number in numbers]
        if has_id:
            for message in messages:
                message["message_id"] = str(uuid.uuid4())
        self._note(channel, numbers)
        for _ in range(200 if has_id else 1):
            response = self._post(session, "mqtt_ingest_batch", {"messages": messages})
            if response is not None and response.status_code == 202:
                rejected = {entry["index"] for entry in response.json()["rejected"]}
                self._note(channel, [], [number for place, number in enumerate(numbers) if place not in rejected])
                break
            if not self._running.is_set() or self._ended.is_set():
                break

    def poison(self, kind: str) -> None:
        """A message that does harm to whoever stores it; see test_poison.py."""
        number = next(self._numbers)
        response = self.world.device.send({"n": number, "poison": kind}, self.world.device.topic("poison"))
        assert response.status_code == 202, response.text
        self._note("single", [number], [number])

    def probe(self, deadline: float) -> int:
        """A message with an id of its own, sent until it is accepted."""
        number = next(self._numbers)
        self._note("single with id", [number])
        message = {"topic": self.world.device.topic("probe"), "payload": {"n": number}, "message_id": str(uuid.uuid4())}
        with requests.Session() as session:
            while time.monotonic() < deadline:
                response = self._post(session, "mqtt_ingest", message, timeout=2.0)
                if response is not None and response.status_code == 202:
                    self._note("single with id", [], [number])
                    return number
                time.sleep(0.02)
        raise AssertionError(f"no message is accepted; {self.refused}, {self.errors} without an answer\n{self.world.evidence()}")

    # ---------------------------------------------------------------------------------------------------------------- publishing

    def _publish(self, session: requests.Session) -> None:
        numbers = [next(self._publish_numbers) for _ in range(10)]
        self._publish_numbers_now(session, numbers)

    def _publish_numbers_now(
        self, session: requests.Session, numbers: list[int], timeout: float = HTTP_TIMEOUT, topic: str | None = None
    ) -> bool:
        messages = [{"topic": topic or f"out/t{number % 5}", "payload": {"n": number}, "qos": 1 + number % 2} for number in numbers]
        body = {"integration_id": self.world.external, "messages": messages}
        response = self._post(session, "mqtt_publish", body, timeout, Authorization=f"Bearer {self.world.tenant.member}")
        if response is None or response.status_code != 202:
            return False
        self.world.oracle.published(numbers, [receipt["receipt_id"] for receipt in response.json()["receipts"]])
        return True

    def publish_probe(self, deadline: float) -> int:
        with requests.Session() as session:
            while time.monotonic() < deadline:
                number = next(self._publish_numbers)
                if self._publish_numbers_now(session, [number], 2.0, "out/probe"):
                    return number
                time.sleep(0.02)
        raise AssertionError("nothing can be published")

    # ---------------------------------------------------------------------------------------------------------------- from brokers

    def _inbound(self, _session: requests.Session) -> None:
        if self.world.witness.backlog() > BACKLOG:
            return
        for _ in range(10):
            number = next(self._numbers)
            has_id = number % 2 == 0
            self._note("inbound with id" if has_id else "inbound", [number])
            self.offer(number, has_id=has_id)
            # The broker has it and keeps it until the bridge acknowledges it: from here on it must not be lost.
            self._note("inbound with id" if has_id else "inbound", [], [number])

    def offer(self, number: int, *, has_id: bool = False) -> Offer:
        properties = user_property("message_id", str(uuid.uuid4())) if has_id else b""
        return self.world.witness.offer(f"in/d{number % 20}", json.dumps({"n": number}).encode(), 1 + number // 2 % 2, properties)

    def _broker(self, _session: requests.Session) -> None:
        """Devices at the stack's Mosquitto; what it acknowledged, it should hold until the bridge has it."""
        client = self._mosquitto or self._connect_mosquitto()
        if not client.is_connected() or len(self._under_way) > BACKLOG:
            return
        number = next(self._numbers)
        self._note("broker", [number])
        info = client.publish(self.world.device.topic(f"m{number % 20}"), json.dumps({"n": number}), 1 + number % 2)
        with self._lock:
            if info.mid in self._early:
                self._early.discard(info.mid)
                self.channels["broker"].accepted.add(number)
            else:
                self._under_way[info.mid] = number

    def _connect_mosquitto(self) -> mqtt.Client:
        stack = self.world.stack
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"chaos{uuid.uuid4().hex[:10]}", protocol=MQTTProtocolVersion.MQTTv5)
        client.username_pw_set("topicbase_bridge", stack.broker_password)

        def acknowledged(_client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
            with self._lock:
                number = self._under_way.pop(mid, None)
                if reason.value >= 0x80:
                    return
                if number is None:
                    self._early.add(mid)
                else:
                    self.channels["broker"].accepted.add(number)

        client.on_publish = acknowledged
        client.connect(stack.mqtt_host, stack.mqtt_port, keepalive=10)
        client.loop_start()
        self._mosquitto = client
        return client
