"""The database side: connections, and the calls of schema `bridge`, each by its name."""

import base64
import contextlib
import json
import os
import random
import socket
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from bridge import SCHEMA_VERSION, __version__, log, metrics, pooler
from bridge.link_base import Filter, Incoming, Outgoing

CHANNEL = "topicbase"
PATIENCE_SECONDS = 5.0  # beyond the server's own statement_timeout
TELL_SECONDS = 30.0  # between two log lines about the same trouble
# The kernel's two hours are too long to find out that a server is gone.
_KEEPALIVES = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10000,
}


@dataclass(frozen=True, slots=True)
class Integration:
    id: UUID
    organization_id: UUID
    stamp: str
    is_changed: bool
    integration_type: str
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    id: UUID
    request_type: str
    integration_id: UUID
    integration_type: str
    settings: dict[str, Any]
    topic_prefix: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A message to publish, or not to, when it has a fault."""

    batch_id: int
    integration_number: int
    message: Outgoing
    attempts: int
    fault: str | None
    waited: float  # seconds since it was due


@dataclass(frozen=True, slots=True)
class Callback:
    """A request to make. body is None when the message has left the history."""

    organization_id: UUID
    id: UUID
    attempt: int
    subscription_id: UUID
    url: str
    is_ordered: bool
    secrets: list[dict[str, str]] | None
    body: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request; one with neither code nor error was not made."""

    callback: Callback
    code: int | None = None
    error: str | None = None
    response: str | None = None
    retry_after: int | None = None
    is_final: bool = False


class Database:
    """One connection, in autocommit, for one thread."""

    _open: ClassVar[weakref.WeakSet["Database"]] = weakref.WeakSet()

    def __init__(self, bridge_id: UUID, *, statement_timeout: int = 60) -> None:
        self.bridge_id = bridge_id
        self.patience = statement_timeout + PATIENCE_SECONDS
        self.busy_since: float | None = None
        try:
            self.connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(
                autocommit=True,
                application_name=f"topicbase {bridge_id}",
                options=f"-c statement_timeout={statement_timeout}s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s",
                prepare_threshold=2,
                **_KEEPALIVES,  # type: ignore[arg-type]
            )
        except psycopg.OperationalError as error:
            raise (pooler.refusal(error) or error) from None
        self._open.add(self)
        self.busy_since = time.monotonic()
        try:
            pooler.check(self.connection)
        except psycopg.Error:
            self.close()
            raise
        self.busy_since = None

    def close(self) -> None:
        self._open.discard(self)
        self.connection.close()

    @classmethod
    def all_open(cls) -> list["Database"]:
        return list(cls._open)

    def cut(self) -> None:
        """End the connection below libpq, from another thread: whoever waits on it is told that it is lost."""
        with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.connection.fileno())) as double:
            double.shutdown(socket.SHUT_RDWR)

    def _rows(self, query: LiteralString, *parameters: Any) -> list[tuple[Any, ...]]:
        self.busy_since = time.monotonic()
        try:
            return self.connection.execute(query, parameters, binary=True).fetchall()
        finally:
            self.busy_since = None

    def _value(self, query: LiteralString, *parameters: Any) -> Any:
        rows = self._rows(query, *parameters)
        return rows[0][0] if rows else None

    def _do(self, query: LiteralString, *parameters: Any) -> None:
        self._rows(query, *parameters)

    # ---------------------------------------------------------------------------------------------------------- the bridge itself

    def hello(self, name: str) -> dict[str, Any]:
        answer = self._value("SELECT bridge.hello(%s, %s, %s, %s)", self.bridge_id, name, __version__, SCHEMA_VERSION)
        return dict(answer)

    def listen(self) -> None:
        self.connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))

    def heartbeat(self) -> list[UUID] | None:
        answer = self._value("SELECT bridge.heartbeat(%s)", self.bridge_id)
        return None if answer is None else list(answer)

    def end_bridge(self, bridge_id: UUID) -> int:
        return int(self._value("SELECT bridge.end_bridge(%s)", bridge_id))

    def sleep(self, subject: str) -> str:
        return str(self._value("SELECT bridge.sleep(%s)", subject))

    def wake(self, subject: str) -> None:
        self._do("SELECT bridge.wake(%s)", subject)

    # ------------------------------------------------------------------------------------------------------------- configuration

    def take_integrations(self) -> int:
        return int(self._value("SELECT bridge.take_integrations(%s)", self.bridge_id))

    def release_integrations(self, ids: Sequence[UUID]) -> None:
        self._do("SELECT bridge.release_integrations(%s, %s)", self.bridge_id, list(ids))

    def surplus_integrations(self) -> list[UUID]:
        return list(self._value("SELECT bridge.surplus_integrations(%s)", self.bridge_id))

    def integrations(self, known: dict[UUID, str]) -> list[Integration]:
        stamps = Jsonb({str(key): stamp for key, stamp in known.items()})
        rows = self._rows(
            "SELECT id, organization_id, stamp, is_changed, integration_type, settings FROM bridge.integrations(%s, %s)",
            self.bridge_id,
            stamps,
        )
        return [Integration(row[0], row[1], row[2], row[3], row[4], row[5] or {}) for row in rows]

    def subscriptions(self, known_stamp: str | None) -> tuple[str, dict[UUID, dict[str, Filter]]] | None:
        """Stamp, and the filters by integration and topic; None when nothing has changed."""
        rows = self._rows(
            "SELECT stamp, integration_id, id, topic, qos, no_local, retain_handling, number FROM bridge.subscriptions(%s, %s)",
            self.bridge_id,
            known_stamp,
        )
        if not rows:
            return None
        found: dict[UUID, dict[str, Filter]] = {}
        for _, integration_id, *terms in rows:
            if integration_id is not None:
                entry = Filter(*terms)
                found.setdefault(integration_id, {})[entry.topic] = entry
        return str(rows[0][0]), found

    def subscription_results(self, results: Sequence[tuple[UUID, int, str]]) -> None:
        ids, codes, reasons = zip(*results, strict=True)
        self._do("SELECT bridge.subscription_results(%s, %s, %s::smallint[], %s)", self.bridge_id, list(ids), list(codes), list(reasons))

    def integration_states(self, states: Sequence[tuple[UUID, str, str | None]]) -> None:
        ids, names, details = zip(*states, strict=True)
        self._do("SELECT bridge.integration_states(%s, %s, %s, %s::text[])", self.bridge_id, list(ids), list(names), list(details))

    def mosquitto_accounts(self, known_stamp: str | None) -> tuple[str, Any, str | None, str | None]:
        row = self._rows("SELECT stamp, next_change_at, passwords, acl FROM bridge.mosquitto_accounts(%s)", known_stamp)[0]
        return row[0], row[1], row[2], row[3]

    # ------------------------------------------------------------------------------------------------------------------ requests

    def claim_requests(self) -> list[Request]:
        rows = self._rows(
            "SELECT id, request_type, integration_id, integration_type, settings, topic_prefix FROM bridge.claim_requests(%s)",
            self.bridge_id,
        )
        return [Request(*row) for row in rows]

    def answer_request(self, request_id: UUID, result: dict[str, Any]) -> None:
        self._do("SELECT bridge.answer_request(%s, %s)", request_id, Jsonb(result))

    # ------------------------------------------------------------------------------------------------------------------ messages

    def claim_outbound(self, ids: Sequence[UUID], limits: Sequence[int], in_flight: Sequence[int]) -> list[Claim]:
        rows = self._rows(
            "SELECT batch_id, integration_number, msg_id, qos, retain, topic, payload, properties, expires_in, attempts, fault, waited "
            "FROM bridge.claim_outbound(%s, %s, %s::integer[], %s::text::bigint[])",
            self.bridge_id,
            list(ids),
            list(limits),
            "{" + ",".join(map(str, in_flight)) + "}",
        )
        return [Claim(row[0], row[1], Outgoing(*row[2:9]), row[9], row[10], row[11]) for row in rows]

    def settle_outbound(self, outcomes: Sequence[tuple[int, str, int | None, str | None]], batches: Sequence[int]) -> dict[str, int]:
        """Outcomes are (msg_id, state, reason code, reason)."""
        ids = "{" + ",".join([str(outcome[0]) for outcome in outcomes]) + "}"
        states = "{" + ",".join([outcome[1] for outcome in outcomes]) + "}"
        codes = "{" + ",".join(["NULL" if outcome[2] is None else str(outcome[2]) for outcome in outcomes]) + "}"
        reasons = [outcome[3] for outcome in outcomes] if any(outcome[3] is not None for outcome in outcomes) else []
        return dict(
            self._value(
                "SELECT bridge.settle_outbound(%s, %s::text::bigint[], %s::text::text[], %s::text::smallint[], %s::text[], %s::bigint[])",
                self.bridge_id,
                ids,
                states,
                codes,
                reasons,
                list(batches),
            )
        )

    def claim_callbacks(self, room: int, busy: dict[UUID, int]) -> list[Callback]:
        rows = self._rows(
            "SELECT organization_id, id, attempt, subscription_id, url, is_ordered, secrets, body "
            "FROM bridge.claim_callbacks(%s, %s::integer, %s, %s::integer[])",
            self.bridge_id,
            room,
            list(busy),
            list(busy.values()),
        )
        return [Callback(*row) for row in rows]

    def settle_callbacks(self, outcomes: Sequence[Outcome]) -> dict[str, int]:
        return dict(
            self._value(
                "SELECT bridge.settle_callbacks(%s, %s, %s, %s::smallint[], %s::smallint[], %s::text[], %s::text[], %s::integer[], %s)",
                self.bridge_id,
                [outcome.callback.organization_id for outcome in outcomes],
                [outcome.callback.id for outcome in outcomes],
                [outcome.callback.attempt for outcome in outcomes],
                [outcome.code for outcome in outcomes],
                [outcome.error for outcome in outcomes],
                [outcome.response for outcome in outcomes],
                [outcome.retry_after for outcome in outcomes],
                [outcome.is_final for outcome in outcomes],
            )
        )

    def expire_outbound(self) -> int:
        return int(self._value("SELECT bridge.expire_outbound()"))

    def ingest(self, messages: Sequence[Incoming], known_fault: str | None = None) -> tuple[dict[str, int], set[UUID]]:
        """Queue what brokers delivered: {"queued", "dead", "passed_over"}, committed on return; and the integrations passed over.

        With a known fault they become dead letters.
        """
        numbers: dict[UUID, int] = {}
        which, topics, payloads, qos, retains = [], [], [], [], []
        content_types: list[str | None] = []
        properties: list[str | None] = []
        faults: list[str | None] = []
        subscriptions: list[int | None] = []
        is_plain = True
        for message in messages:
            which.append(numbers.setdefault(message.link.integration_id, len(numbers) + 1))
            fault = known_fault
            try:
                topic = message.topic.decode()
            except UnicodeDecodeError:
                topic, fault = message.topic.decode(errors="replace"), "The topic is not valid UTF-8."
            if "\0" in topic:
                topic, fault = topic.replace("\0", "\ufffd"), "The topic holds NUL."
            topics.append(topic)
            payloads.append(message.payload)
            qos.append(message.qos)
            retains.append(message.retain)
            subscriptions.append(message.subscription)
            faults.append(fault)
            content_type, rest = (None, None) if message.properties is None else facts_of_properties(message.properties)
            content_types.append(content_type)
            properties.append(rest)
            is_plain = is_plain and fault is None and content_type is None and rest is None
        counts = self._value(
            "SELECT bridge.ingest(%b, %b, %b::integer[], %b::text[], %b::bytea[], %b::smallint[], %b::boolean[], %b::text[], "
            "%b::text[]::jsonb[], %b::text[], %b::integer[])",
            self.bridge_id,
            list(numbers),
            which,
            topics,
            payloads,
            qos,
            retains,
            *((None, None, None) if is_plain else (content_types, properties, faults)),
            subscriptions if any(number is not None for number in subscriptions) else None,
        )
        return counts, {UUID(key) for key in counts.pop("not_held", ())}

    def process_queue(self, batch_size: int) -> dict[str, Any]:
        return dict(self._value("SELECT bridge.process_queue(%s)", batch_size))

    def gauges(self) -> dict[str, Any]:
        return dict(self._value("SELECT bridge.gauges()"))

    def check_intake(self) -> tuple[int | None, dict[UUID, str]]:
        """Free bytes on the data disk, and the integrations whose brokers are to be left unread, with why."""
        answer = self._value("SELECT bridge.check_intake(%b)", self.bridge_id)
        return answer["free_disk_bytes"], {UUID(key): reason for key, reason in answer["paused"].items()}

    def keep_house(self) -> dict[str, Any]:
        return dict(self._value("SELECT bridge.keep_house()"))

    def cleanup(self) -> dict[str, Any]:
        return dict(self._value("SELECT bridge.cleanup()"))


def facts_of_properties(properties: Any) -> tuple[str | None, str | None]:
    """Content type, and what else came with a PUBLISH, as JSON."""
    content_type = getattr(properties, "ContentType", None)
    facts: dict[str, Any] = {}
    if (value := getattr(properties, "ResponseTopic", None)) is not None:
        facts["response_topic"] = value
    if (value := getattr(properties, "CorrelationData", None)) is not None:
        facts["correlation_data"] = base64.b64encode(value).decode()
    if (value := getattr(properties, "UserProperty", None)) is not None:
        facts["user_properties"] = [list(pair) for pair in value]
    if (value := getattr(properties, "MessageExpiryInterval", None)) is not None:
        facts["message_expiry"] = value
    if getattr(properties, "PayloadFormatIndicator", 0) == 1:
        facts["payload_format"] = "utf-8"
    # NUL is a character to MQTT and none to PostgreSQL.
    rest = json.dumps(facts, ensure_ascii=False).replace("\\u0000", "\\ufffd") if facts else None
    return content_type.replace("\0", "\ufffd") if content_type else None, rest


class Watchdog(threading.Thread):
    """Cuts connections whose server has not answered long after it should have given up by itself: a frozen one says nothing."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._stop_event = stop

    def run(self) -> None:
        while not self._stop_event.wait(1.0):
            for database in Database.all_open():
                since = database.busy_since
                if since is not None and time.monotonic() - since > database.patience:
                    database.busy_since = None
                    log.warning("database_silent", seconds=f"{database.patience:.0f}")
                    database.cut()


class Part(threading.Thread):
    """A thread with a database connection of its own, made again whenever it is lost, until the stop event."""

    def __init__(self, name: str, bridge_id: UUID, stop: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self.bridge_id = bridge_id
        self.stop_event = stop
        self.is_connected = False

    def serve(self, database: Database) -> None:
        """Work until the stop event; raises psycopg.OperationalError when the connection is lost."""
        raise NotImplementedError

    def run(self) -> None:
        failures = 0
        told_at = -TELL_SECONDS
        while not self.stop_event.is_set():
            began = time.monotonic()
            database = None
            try:
                database = Database(self.bridge_id)
                self.is_connected = True
                self.serve(database)
            except psycopg.Error as error:
                metrics.DATABASE_FAILURES.labels(self.name).inc()
                failures = 0 if time.monotonic() - began > 10 else failures + 1
                if time.monotonic() - told_at >= TELL_SECONDS:
                    told_at = time.monotonic()
                    log.warning("database_lost", part=self.name, sqlstate=error.sqlstate, reason=first_line(error))
                self.stop_event.wait(backoff(failures))
            except Exception:  # noqa: BLE001  # a part that dies silently would leave the bridge looking alive
                log.error("part_failed", exc_info=True, part=self.name)
                failures += 1
                self.stop_event.wait(backoff(failures))
            finally:
                self.is_connected = False
                if database is not None:
                    database.close()


def backoff(failures: int) -> float:
    return min(2.0, 0.1 * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.5)  # noqa: S311


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
