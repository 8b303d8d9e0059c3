"""Is a broker reachable? A verdict in stages and words, within a deadline, on a connection of its own."""

import dataclasses
import queue
import secrets
import selectors
import time
from collections.abc import Callable
from typing import Any

from bridge import log
from bridge.mqtt.client import Client, Limits
from bridge.mqtt.properties import Received
from bridge.mqtt.sockets import DialError, Report, dial
from bridge.mqtt.target import TEST_TOPIC, TOKEN_BYTES, Target, TargetError, of_integration
from bridge.settings import Settings
from bridge.values import Request

FACTS = ("address", "dns_ms", "tcp_ms", "tls_ms", "websocket_ms", "tls")
TIMEOUT_SECONDS = 8.0
ROUND_TRIP_SECONDS = 3.0
TEST_SUFFIX = "~test"  # mosquitto/access.c
# Client identifier not valid, not authorized, bad user name or password: what brokers call a login with another client id.
MAY_BE_CLIENT_ID = (0x85, 0x86, 0x87, 2, 4, 5)


class _EndedError(Exception):
    """The verdict is in."""


class Probe:
    """Runs on its caller's thread."""

    def __init__(self, request: Request, settings: Settings, tell: Callable[[dict[str, Any]], None] | None = None) -> None:
        """`tell` hears of each stage that was passed, with what is known by then."""
        self.request = request
        self.settings = settings
        self._tell = tell
        self._told: set[str] = set()
        self._report = Report()
        self.result: dict[str, Any] = {"ok": False, "reachable": False, "authenticated": False}
        self._events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def run(self) -> dict[str, Any]:
        """The verdict: {"ok", "reason", "reachable", "authenticated", "stage", times and facts of the stages that were reached}."""
        began = time.monotonic()
        try:
            self._run(began + TIMEOUT_SECONDS)
        except _EndedError:
            pass
        except TargetError as error:
            self._say("settings", str(error))
        except DialError as error:
            self._note()
            self._say(error.stage, str(error))
        except OSError as error:
            self._say("connack", f"the connection failed: {error.strerror or error}")
        except Exception as error:  # noqa: BLE001  # whatever a broker sends: the request must have an answer
            log.error("packet_refused", exc_info=True, integration=self.request.integration_id)
            self._say("connack", f"the broker sent something unreadable: {type(error).__name__}")
        self.result["elapsed_ms"] = round((time.monotonic() - began) * 1000, 1)
        return self.result

    def _say(self, stage: str, reason: str) -> None:
        self.result["stage"] = stage
        self.result["reason"] = reason[:1].upper() + reason[1:]

    def _note(self) -> None:
        for key in FACTS:
            if value := getattr(self._report, key):
                self.result[key] = value
        self.result["reachable"] = self._report.tcp_ms is not None

    def _passed(self, stage: str) -> None:
        """Once for each, also where two client ids are tried."""
        if self._tell is None or stage in self._told:
            return
        self._told.add(stage)
        self._note()
        self._tell({key: value for key, value in self.result.items() if key not in ("ok", "reason", "reason_code")} | {"stage": stage})

    # What the client tells, in the order in which it does.
    def connected(self, code: int, reason: str, session_present: bool, limits: Limits) -> None:
        self._events.put(("connected", (code, reason, limits)))

    def disconnected(self, reason: str, code: int = 0) -> None:
        self._events.put(("disconnected", reason))

    def subscribed(self, packet_id: int, codes: list[tuple[int, str]]) -> None:
        self._events.put(("subscribed", codes[0]))

    def unsubscribed(self, packet_id: int) -> None:
        """It never unsubscribes."""

    def arrived(
        self, packet_id: int, qos: int, retain: bool, topic: bytes, payload: bytes, properties: Received | None, subscription: int
    ) -> None:
        self._events.put(("arrived", payload))

    def is_storing(self, packet_id: int) -> bool:
        return False

    def answered(self, packet_id: int, code: int, reason: str | None, *, received: bool) -> None:
        self._events.put(("answered", (code, reason)))

    def completed(self, packet_id: int, code: int, reason: str | None) -> None:
        self.answered(packet_id, code, reason, received=False)

    def _run(self, deadline: float) -> None:
        target = of_integration(self.request.integration_id, self.request.integration_type, self.request.settings, self.settings)
        # Not the integration's client id, or the broker would close its connection; and it leaves no session behind.
        other = f"{target.client_id}{TEST_SUFFIX}"
        target = dataclasses.replace(
            target, client_id=f"topicbaset{secrets.token_hex(6)}", clean_start=True, session_expiry=0, keepalive=10, status_topic=None
        )
        # A broker that ties the client id to the login may take this one: the hosted Mosquitto does. AWS IoT says why not.
        if not self._attempt(target, deadline):
            refusal = dict(self.result)
            try:
                self._attempt(dataclasses.replace(target, client_id=other), deadline)
            finally:
                if not self.result["authenticated"]:
                    second = self.result
                    log.info("test_failed_twice", integration=self.request.integration_id, stage=second["stage"], reason=second["reason"])
                    self.result = refusal

    def _attempt(self, target: Target, deadline: float) -> bool:
        """Whether the verdict is in; otherwise the broker may have refused the client id."""
        self._events = queue.SimpleQueue()
        self._report = Report(tell=self._passed)
        connection = dial(target, deadline - time.monotonic(), self._report)
        self._note()
        client = Client(target, self, self, self, set())
        client.begin(connection, clean_start=True)
        try:
            code, reason, limits = self._expect(client, "connected", deadline, "connack", "the broker does not answer CONNECT")
            if code >= 0x80 or (code and target.mqtt_version == 4):
                self.result["reason_code"] = code
                self._say("connack", f"the broker refused the connection: {reason}")
                return code not in MAY_BE_CLIENT_ID
            self.result.pop("reason_code", None)
            self.result["authenticated"] = True
            self.result["ok"] = True
            self._say("connack", "the broker is reachable and accepts the login")
            if target.mqtt_version == 5:
                self.result["receive_maximum"] = limits.receive_maximum
                self.result["maximum_qos"] = limits.maximum_qos
            self._passed("connack")
            self._round_trip(client, min(deadline, time.monotonic() + ROUND_TRIP_SECONDS))
        finally:
            client.end(politely=True)
        return True

    def _round_trip(self, client: Client, deadline: float) -> None:
        """Publish to a topic that nobody uses, and see it come back; a broker that does not allow this has not failed."""
        token = secrets.token_hex(TOKEN_BYTES // 2)
        topic = f"{self.request.topic_prefix}{TEST_TOPIC}{token}"
        client.send_subscribe([(topic, 1, False, 0)])
        client.flush()
        try:
            code, reason = self._expect(client, "subscribed", deadline, "subscribe", "the broker does not answer SUBSCRIBE")
            self.result["may_subscribe"] = code < 0x80
            if code >= 0x80:
                self._say("subscribe", f"the login works; subscribing to {topic.rsplit('/', 1)[0]} is refused: {reason}")
            else:
                self._passed("subscribe")
            began = time.monotonic()
            client.send_publish(client.next_packet_id(), topic.encode(), token.encode(), 1, retain=False, dup=False, properties=None)
            client.flush()
            code, reason = self._expect(client, "answered", deadline, "publish", "the broker does not acknowledge a publish")
            self.result["may_publish"] = code < 0x80
            self.result["publish_ms"] = round((time.monotonic() - began) * 1000, 3)
            if code >= 0x80:
                self._say("publish", f"the login works; publishing to {topic.rsplit('/', 1)[0]} is refused: {reason}")
            if not self.result["may_subscribe"] or not self.result["may_publish"]:
                return
            self._passed("publish")
            self._expect(client, "arrived", deadline, "round_trip", "a message published to itself does not come back")
            self.result["round_trip_ms"] = round((time.monotonic() - began) * 1000, 3)
            self._say("round_trip", "the broker is reachable, accepts the login, and a message made the round trip")
        except _EndedError:
            self.result["reason"] = f"The login works, but {self.result['reason'][:1].lower()}{self.result['reason'][1:]}"

    def _expect(self, client: Client, wanted: str, deadline: float, stage: str, silence: str) -> Any:
        """What the event brought; arrivals may overtake the answer to a publish."""
        held: list[tuple[str, Any]] = []
        with selectors.DefaultSelector() as selector:
            connection = client.connection
            if connection is not None:
                selector.register(connection.buffer.fileno(), selectors.EVENT_READ)
            while True:
                while not self._events.empty():
                    event, value = self._events.get()
                    if event == wanted:
                        for item in held:
                            self._events.put(item)
                        return value
                    if event == "disconnected":
                        self._say(stage, value)
                        raise _EndedError
                    held.append((event, value))
                left = deadline - time.monotonic()
                if left <= 0:
                    self._say(stage, silence)
                    raise _EndedError
                if connection is None or client.connection is None or connection.buffer.fileno() < 0:
                    self._say(stage, "the broker closed the connection")
                    raise _EndedError
                if selector.select(left):
                    client.read()
                    client.flush()
