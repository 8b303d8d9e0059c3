"""Devices: each sends one kind of reading in its own way, and counts what it is told became of every message."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import requests
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from demo.counts import Counts
from demo.readings import Reading
from demo.stack import DemoError

TRIES = 5
READY_SECONDS = 30.0


@dataclass(frozen=True)
class Login:
    """What `generate_mqtt_credentials` answered, or an account at a broker of the tenant's own."""

    username: str
    password: str
    client_id: str


def now() -> str:
    return datetime.now(UTC).isoformat()


@dataclass(frozen=True)
class Setup:
    """What every device is told."""

    device_id: str
    run: str  # marks the messages of this run
    integration_id: str
    prefix: str  # of its topics
    login: Login
    read: Callable[[], Reading]
    metric: str  # the reading's number that is shown
    interval: float  # seconds between readings
    stop: threading.Event


class Device(threading.Thread):
    """Sends a reading each interval until it is told to stop; halfway, some messages that must be refused."""

    way = ""
    takes_commands = False

    def __init__(self, setup: Setup) -> None:
        super().__init__(name=f"device {setup.device_id}", daemon=True)
        self.device_id = setup.device_id
        self.integration_id = setup.integration_id
        self.prefix = setup.prefix
        self.metric = setup.metric
        self.login = setup.login
        self.interval = setup.interval
        self.counts = Counts()
        self.commands: list[int] = []  # ids of the commands received, in order
        self.misbehave_at = float("inf")  # time.monotonic() of its bad messages
        self._run = setup.run
        self._read = setup.read
        self._stop_event = setup.stop

    def topic(self, message_type: str) -> str:
        return f"{self.prefix}/{message_type}"

    def payload(self, number: int, **more: Any) -> dict[str, Any]:
        return {"run": self._run, "seq": number, "at": now(), **more}

    def prepare(self) -> None:
        """Connect, where that is called for."""

    def tick(self) -> None:
        """Send what is due now."""

    def misbehave(self) -> None:
        """Send messages that must be refused."""

    def finish(self) -> None:
        """Wait for answers that are still out, and disconnect."""

    def refused(self, number: int, what: str, expected: str, found: str) -> None:
        """Note the answer to a bad message."""
        if found == expected:
            self.counts.reject(number, found)
        else:
            self.counts.error(f"{what}: expected {expected}, was answered {found}")

    def run(self) -> None:
        try:
            due = time.monotonic()
            while not self._stop_event.wait(max(0.0, due - time.monotonic())):
                self.tick()
                if time.monotonic() >= self.misbehave_at:
                    self.misbehave_at = float("inf")
                    self.misbehave()
                due = max(due + self.interval, time.monotonic() - self.interval)
            self.finish()
        except Exception as error:  # noqa: BLE001  # a device that breaks must show in the reconciliation, not vanish with its thread
            self.counts.error(f"{type(error).__name__}: {error}")


class HttpDevice(Device):
    """One POST a reading, to the API itself, with HTTP Basic."""

    way = "HTTP"
    path = "/rpc/mqtt_ingest"

    def __init__(self, setup: Setup, url: str) -> None:
        super().__init__(setup)
        self.url = url
        self._session = requests.Session()

    def headers(self, password: str) -> dict[str, str]:
        basic = base64.b64encode(f"{self.login.username}:{password}".encode()).decode()
        return {"Authorization": f"Basic {basic}", "X-Client-ID": self.login.client_id}

    def post(self, path: str, body: str, password: str | None = None) -> requests.Response:
        """POST; a lost answer is no answer, so the same is sent again: its message ids keep it from being stored twice."""
        headers = {"Content-Type": "application/json", **self.headers(password or self.login.password)}
        for attempt in range(TRIES):
            try:
                answer = self._session.post(self.url + path, data=body.encode(), headers=headers, timeout=10)
                if answer.status_code not in (429, 503):
                    return answer
            except requests.RequestException:
                if attempt == TRIES - 1:
                    raise
            time.sleep(0.2 * 2**attempt)
        return answer

    def message(self, number: int, **changed: Any) -> dict[str, Any]:
        payload = self.payload(number, **self._read())
        return {
            "topic": self.topic("telemetry"),
            "payload": payload,
            "qos": 1,
            "timestamp": payload["at"],
            "message_id": str(uuid.uuid4()),
            **changed,
        }

    def tick(self) -> None:
        number = self.counts.next()
        answer = self.post(self.path, json.dumps(self.message(number)))
        if answer.status_code == 202:
            self.counts.accept([number])
        else:
            self.counts.reject(number, slug(answer))

    def misbehave(self) -> None:
        for what, expected, changed in (
            ("a topic of another organization", "topic_not_allowed", {"topic": f"org_other/devices/{self.device_id}/telemetry"}),
            ("a wildcard in the topic", "topic_invalid", {"topic": f"{self.prefix}/#"}),
            ("QoS 3", "qos_invalid", {"qos": 3}),
        ):
            number = self.counts.next()
            self.refused(number, what, expected, slug(self.post(self.path, json.dumps(self.message(number, **changed)))))
        number = self.counts.next()
        body = json.dumps(self.message(number)).replace('"seq"', '"inflated": 1e100000, "seq"')
        self.refused(number, "a number that no database can hold", "payload_invalid", slug(self.post(self.path, body)))
        number = self.counts.next()
        answer = self.post(self.path, json.dumps(self.message(number)), password="wrong")  # noqa: S106
        self.refused(number, "a wrong password", "invalid_credentials", slug(answer))

    def finish(self) -> None:
        self._session.close()


class GatewayDevice(HttpDevice):
    """One POST a reading, to the gateway, with the URL and the headers of the Supabase function that Topicbase replaces."""

    way = "HTTP gateway"
    path = "/functions/v1/mqtt-ingest"

    def headers(self, password: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {password}", "X-Username": self.login.username, "X-Client-ID": self.login.client_id}


class BatchDevice(HttpDevice):
    """Twenty readings a POST; each tenth POST is sent twice, as by a device that lost the answer."""

    way = "HTTP batch"
    path = "/rpc/mqtt_ingest_batch"
    size = 20

    def __init__(self, setup: Setup, url: str) -> None:
        super().__init__(setup, url)
        self._waiting: list[tuple[int, dict[str, Any]]] = []
        self._posts = 0

    def tick(self) -> None:
        number = self.counts.next()
        self._waiting.append((number, self.message(number)))
        if len(self._waiting) >= self.size:
            self._send()

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        for _, message in waiting:
            message["payload"]["at"] = now()  # when it was sent; its timestamp is when it was measured
        body = json.dumps({"messages": [message for _, message in waiting]})
        answer = self.post(self.path, body)
        self._posts += 1
        if self._posts % 10 == 3:
            answer = self.post(self.path, body)
        if answer.status_code != 202:
            for number, _ in waiting:
                self.counts.reject(number, slug(answer))
            return
        bad = {refusal["index"]: refusal["code"] for refusal in answer.json()["rejected"]}
        if answer.json()["accepted"] + len(bad) != len(waiting):
            self.counts.error(f"a batch of {len(waiting)} was answered {answer.text[:200]}")
        for index, (number, _) in enumerate(waiting):
            if index in bad:
                self.counts.reject(number, bad[index])
            else:
                self.counts.accept([number])

    def misbehave(self) -> None:
        """Bad messages among good ones: the good are kept, the bad are named."""
        self._send()
        expected = {}
        for changed, reason in (
            ({}, None),
            ({"topic": "org_other/devices/disk/telemetry"}, "topic_not_allowed"),
            ({}, None),
            ({"qos": 7}, "qos_invalid"),
            ({"timestamp": "yesterday, about noon"}, "timestamp_invalid"),
            ({}, None),
        ):
            number = self.counts.next()
            if reason:
                expected[number] = reason
            self._waiting.append((number, self.message(number, **changed)))
        self._send()
        _, rejected = self.counts.numbers()
        for number, reason in expected.items():
            if rejected.get(number) != reason:
                self.counts.error(f"a bad message in a batch: expected {reason}, was answered {rejected.get(number)}")

    def finish(self) -> None:
        self._send()
        super().finish()


class PahoDevice(Device):
    """A paho client on one connection: publishes readings, hears commands, answers them."""

    takes_commands = True

    def __init__(self, setup: Setup, *, address: tuple[str, int], qos: int, version: MQTTProtocolVersion) -> None:
        super().__init__(setup)
        self._address = address
        self._qos = qos
        self._is_5 = version == MQTTProtocolVersion.MQTTv5
        self.way = f"MQTT {'5' if self._is_5 else '3.1.1'} QoS {qos}"
        self._published: dict[int, tuple[int, str | None]] = {}  # packet id -> number, the refusal expected
        self._early: dict[int, ReasonCode] = {}
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._reason = "no answer"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.login.client_id, protocol=version)
        self._client.username_pw_set(self.login.username, self.login.password)
        self._client.reconnect_delay_set(1, 2)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Properties | None) -> None:
        self._reason = str(reason)
        if not reason.is_failure:
            client.subscribe(self.topic("commands"), qos=self._qos)

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Properties | None) -> None:
        if reasons[0].is_failure:
            self._reason = f"subscribing: {reasons[0]}"
        else:
            self._ready.set()

    def _on_publish(self, _client: mqtt.Client, _data: Any, mid: int, reason: ReasonCode, _properties: Properties | None) -> None:
        with self._lock:
            if mid not in self._published:
                self._early[mid] = reason  # the answer came before publish() had told the packet id
                return
            number, expected = self._published.pop(mid)
        self._settle(number, expected, reason)

    def _settle(self, number: int, expected: str | None, reason: ReasonCode) -> None:
        if expected is not None:
            self.refused(number, "a topic outside the prefix", expected, str(reason))
        elif reason.is_failure:
            self.counts.reject(number, str(reason))
        else:
            self.counts.accept([number])

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        command = json.loads(message.payload)
        if command.get("run") == self._run:
            self.commands.append(command["id"])
            self.publish(self.topic("acks"), {"command": command["id"]})

    def prepare(self) -> None:
        self._client.connect_async(*self._address, keepalive=30)
        self._client.loop_start()
        if not self._ready.wait(READY_SECONDS):
            raise DemoError(f"{self.device_id} could not log in to the broker at {self._address[0]}:{self._address[1]}: {self._reason}")

    def publish(self, topic: str, content: Mapping[str, Any], expected: str | None = None) -> None:
        """Publish; `expected` is the reason for which the broker should refuse it."""
        number = self.counts.next()
        info = self._client.publish(topic, json.dumps(self.payload(number, **content)), qos=self._qos)
        with self._lock:
            reason = self._early.pop(info.mid, None)
            if reason is None:
                self._published[info.mid] = (number, expected)
        if reason is not None:
            self._settle(number, expected, reason)

    def tick(self) -> None:
        self.publish(self.topic("telemetry"), self._read())

    def misbehave(self) -> None:
        if self._is_5:  # only MQTT 5 can say no; 3.1.1 drops such a message without a word
            self.publish(f"org_other/devices/{self.device_id}/telemetry", {}, expected="Not authorized")

    def finish(self) -> None:
        deadline = time.monotonic() + 10
        while self.counts.unanswered and time.monotonic() < deadline:
            time.sleep(0.02)

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class MosquittoDevice(Device):
    """A shell script's device: mosquitto_pub reads lines and keeps its connection, mosquitto_sub hears the commands."""

    way = "mosquitto_pub"
    takes_commands = True

    def __init__(self, setup: Setup, *, address: tuple[str, int], directory: Path) -> None:
        super().__init__(setup)
        self._address = address
        self._directory = directory
        self._unanswered: deque[int] = deque()  # numbers of the lines; a broker acknowledges them in their order
        self._processes: list[subprocess.Popen[str]] = []
        self._input: IO[str] | None = None
        self._readers: list[threading.Thread] = []

    def _start(self, program: str, *options: str, takes_input: bool = False) -> subprocess.Popen[str]:
        # stdbuf: a line must come when it is printed. The password is in a file of options, not among the arguments.
        return subprocess.Popen(
            ["stdbuf", "-oL", program, "-h", self._address[0], "-p", str(self._address[1]), "-q", "1", *options],
            env={**os.environ, "XDG_CONFIG_HOME": str(self._directory)},
            stdin=subprocess.PIPE if takes_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _publish_one(self, topic: str, content: Mapping[str, Any], *options: str) -> tuple[int, int, str]:
        """One message by one mosquitto_pub: its number, the exit status and what was printed."""
        number = self.counts.next()
        text = json.dumps(self.payload(number, **content))
        client_id = f"{self.login.client_id}-{number}"
        publisher = self._start("mosquitto_pub", "-i", client_id, "-t", topic, "-m", text, *options)
        said, _ = publisher.communicate(timeout=15)
        return number, publisher.returncode, said.strip()

    def prepare(self) -> None:
        for program in ("mosquitto_pub", "mosquitto_sub"):
            if shutil.which(program) is None:
                raise DemoError(f"{program} is not installed; bin/install installs it")
            options = self._directory / program
            options.touch(mode=0o600)
            options.write_text(f"-u {self.login.username}\n-P {self.login.password}\n")
        deadline = time.monotonic() + READY_SECONDS
        while True:
            subscriber = self._start("mosquitto_sub", "-i", f"{self.login.client_id}-sub", "-t", self.topic("commands"), "-d")
            lines = _lines(subscriber)
            said = ""
            for line in lines:
                said = line.strip() or said
                if line.startswith("Subscribed"):
                    break
            else:  # it ended: the broker does not know the login yet
                subscriber.wait()
                if time.monotonic() > deadline:
                    raise DemoError(f"mosquitto_sub could not log in: {said}")
                time.sleep(0.3)
                continue
            break
        publisher = self._start("mosquitto_pub", "-i", self.login.client_id, "-t", self.topic("telemetry"), "-l", "-d", takes_input=True)
        self._input = publisher.stdin
        self._processes = [publisher, subscriber]
        for hear, source in ((self._hear_answers, _lines(publisher)), (self._hear_commands, lines)):
            reader = threading.Thread(target=hear, args=(source,), daemon=True)
            reader.start()
            self._readers.append(reader)

    def _hear_answers(self, lines: Iterator[str]) -> None:
        for line in lines:
            if "received PUBACK" in line and "RC:0)" in line:
                self.counts.accept([self._unanswered.popleft()])
            elif "rror" in line:
                self.counts.error(line.strip())

    def _hear_commands(self, lines: Iterator[str]) -> None:
        for line in lines:
            if not line.startswith("{"):
                continue
            command = json.loads(line)
            if command.get("run") == self._run:
                self.commands.append(command["id"])
                number, status, said = self._publish_one(self.topic("acks"), {"command": command["id"]})
                if status == 0:
                    self.counts.accept([number])
                else:
                    self.counts.reject(number, said)

    def tick(self) -> None:
        if self._input is not None:
            number = self.counts.next()
            self._unanswered.append(number)
            self._input.write(json.dumps(self.payload(number, **self._read())) + "\n")
            self._input.flush()

    def misbehave(self) -> None:
        number, _, said = self._publish_one(f"org_other/devices/{self.device_id}/telemetry", {}, "-V", "5")
        self.refused(number, "a topic outside the prefix", "Not authorized", "Not authorized" if "Not authorized" in said else said)

    def finish(self) -> None:
        if self._input is not None:
            self._input.close()  # at the end of its input mosquitto_pub waits for the last PUBACK and disconnects
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._processes[0].wait(15)
            self._readers[0].join(5)

    def leave(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
                process.wait()


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    if process.stdout is None:
        raise DemoError("a program without output")
    return iter(process.stdout)


def slug(answer: requests.Response) -> str:
    """The API's name for what is wrong."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
