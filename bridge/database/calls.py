"""Every call of schema `bridge`, by name: the only place with SQL of the bridge."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from bridge import SCHEMA_VERSION, __version__
from bridge.values import Callback, CallbackOutcome, Claim, Filter, Incoming, Integration, Outcome, Outgoing, Request, Sessions

CHANNEL = "topicbase"
NOTHING: tuple[None, None] = (None, None)


class Caller:
    """A connection in autocommit, for one thread. While a call is under way, `busy_since` says from when on."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.connection = connection
        self.busy_since: float | None = None

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


class OperatorCalls(Caller):
    """The calls that the commands make."""

    def status(self) -> dict[str, Any]:
        return dict(self._value("SELECT bridge.status()"))

    def diagnose(self) -> dict[str, Any]:
        return dict(self._value("SELECT bridge.diagnose()"))

    def clock(self) -> float:
        """The database's time, in seconds since 1970."""
        return float(self._value("SELECT extract(epoch FROM clock_timestamp())::float8"))

    def told_broker_url(self) -> str:
        """The broker that devices of hosted integrations are told with their logins."""
        # Only a bridge is told, as it begins. This one is taken back at once, except for the lock on its id, which ends with the session.
        with self.connection.transaction(force_rollback=True):
            answer = self._value("SELECT bridge.hello(%s, %s, %s, %s)", uuid4(), "topicbase", __version__, SCHEMA_VERSION)
        return str(answer["hosted_broker_url"])

    def sealing_state(self) -> dict[str, Any]:
        """{"key": id of the key that new secrets are sealed to, "sealed": how many are sealed to which}."""
        return dict(self._value("SELECT bridge.sealing_state()"))

    def sealed_otherwise(self, place: str, after: UUID, limit: int) -> list[tuple[str, UUID, UUID, Any]]:
        """Secrets that are not sealed to the current key, from there on: (place, organization, id, value)."""
        rows = self._rows("SELECT place, organization_id, id, value FROM bridge.sealed_otherwise(%s, %s, %s)", place, after, limit)
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def reseal(self, replacements: Sequence[tuple[str, UUID, Any, Any]]) -> int:
        """Replace (place, id, value, new value) where the value is still that one; returns how many were."""
        places, ids, old, new = zip(*replacements, strict=True)
        values = [Jsonb(value) for value in old], [Jsonb(value) for value in new]
        return int(self._value("SELECT bridge.reseal(%s, %s, %s::jsonb[], %s::jsonb[])", list(places), list(ids), *values))


class BridgeCalls(Caller):
    """The calls that the bridge makes."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], bridge_id: UUID) -> None:
        super().__init__(connection)
        self.bridge_id = bridge_id

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

    def note_api_keys(self, ids: Sequence[UUID]) -> None:
        self._do("SELECT bridge.note_api_keys(%s)", list(ids))

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
            "SELECT id, organization_id, stamp, is_changed, integration_type, settings, max_per_second, max_burst, max_bytes_per_second "
            "FROM bridge.integrations(%s, %s)",
            self.bridge_id,
            stamps,
        )
        return [Integration(row[0], row[1], row[2], row[3], row[4], row[5] or {}, row[6], row[7], row[8]) for row in rows]

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

    def ended_filters(self) -> dict[UUID, set[str]]:
        """Topics, by integration, that sessions at brokers may still have; to be asked for after `subscriptions`."""
        found: dict[UUID, set[str]] = {}
        for integration_id, topic in self._rows("SELECT integration_id, topic FROM bridge.ended_filters(%s)", self.bridge_id):
            found.setdefault(integration_id, set()).add(topic)
        return found

    def forget_filters(self, ended: Sequence[tuple[UUID, str]]) -> None:
        """The broker of each integration has the topic no longer."""
        ids, topics = zip(*ended, strict=True)
        self._do("SELECT bridge.forget_filters(%s, %s, %s::text[])", self.bridge_id, list(ids), list(topics))

    def subscription_results(self, results: Sequence[tuple[UUID, int, str]]) -> None:
        ids, codes, reasons = zip(*results, strict=True)
        self._do("SELECT bridge.subscription_results(%s, %s, %s::smallint[], %s)", self.bridge_id, list(ids), list(codes), list(reasons))

    def integration_states(self, states: Sequence[tuple[UUID, str, str | None]]) -> None:
        ids, names, details = zip(*states, strict=True)
        self._do("SELECT bridge.integration_states(%s, %s, %s, %s::text[])", self.bridge_id, list(ids), list(names), list(details))

    def mosquitto_accounts(self, known_stamp: str | None) -> tuple[str, Any, int, str | None]:
        row = self._rows("SELECT stamp, next_change_at, logins, access FROM bridge.mosquitto_accounts(%s)", known_stamp)[0]
        return row[0], row[1], row[2], row[3]

    def count_sessions(self, sessions: Sessions) -> None:
        self._do("SELECT bridge.count_sessions(%s, %s, %s::double precision[])", sessions.usernames, sessions.counts, sessions.last_at)

    # ------------------------------------------------------------------------------------------------------------------ requests

    def claim_requests(self, room: int) -> list[Request]:
        rows = self._rows(
            "SELECT id, request_type, integration_id, integration_type, settings, topic_prefix FROM bridge.claim_requests(%s, %s::integer)",
            self.bridge_id,
            room,
        )
        return [Request(*row) for row in rows]

    def answer_request(self, request_id: UUID, result: dict[str, Any], *, is_done: bool) -> None:
        self._do("SELECT bridge.answer_request(%s, %s, %s)", request_id, Jsonb(result), is_done)

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
        now = time.monotonic()
        return [
            Claim(row[0], row[1], Outgoing._make((*row[2:8], None if row[8] is None else now + row[8])), row[9], row[10], row[11])
            for row in rows
        ]

    def forget_batches(self, known: Sequence[int]) -> int:
        """End all claims but these; returns how many others there were. For the connection that claims."""
        batches = "{" + ",".join(map(str, known)) + "}"
        return int(self._value("SELECT bridge.forget_batches(%s, %s::text::bigint[])", self.bridge_id, batches))

    def settle_outbound(self, outcomes: Sequence[Outcome], batches: Sequence[int]) -> dict[str, int]:
        ids = "{" + ",".join([str(outcome.msg_id) for outcome in outcomes]) + "}"
        states = "{" + ",".join([outcome.state for outcome in outcomes]) + "}"
        codes = "{" + ",".join(["NULL" if outcome.code is None else str(outcome.code) for outcome in outcomes]) + "}"
        reasons = [outcome.reason for outcome in outcomes] if any(outcome.reason is not None for outcome in outcomes) else []
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

    def claim_callbacks(self, room: int, busy: dict[UUID, int], quick: Sequence[UUID]) -> list[Callback]:
        rows = self._rows(
            "SELECT organization_id, id, attempt, subscription_id, url, is_ordered, secrets, body "
            "FROM bridge.claim_callbacks(%s, %s::integer, %s, %s::integer[], %s)",
            self.bridge_id,
            room,
            list(busy),
            list(busy.values()),
            quick,
        )
        return [Callback(*row) for row in rows]

    def settle_callbacks(self, outcomes: Sequence[CallbackOutcome]) -> dict[str, int]:
        return dict(
            self._value(
                "SELECT bridge.settle_callbacks(%s, %s, %s, %s::smallint[], %s::smallint[], %s::text[], %s::text[], "
                "%s::integer[], %s, %s::real[])",
                self.bridge_id,
                [outcome.callback.organization_id for outcome in outcomes],
                [outcome.callback.id for outcome in outcomes],
                [outcome.callback.attempt for outcome in outcomes],
                [outcome.code for outcome in outcomes],
                [outcome.error for outcome in outcomes],
                [outcome.response for outcome in outcomes],
                [outcome.retry_after for outcome in outcomes],
                [outcome.is_final for outcome in outcomes],
                [outcome.seconds for outcome in outcomes],
            )
        )

    def expire_outbound(self) -> int:
        return int(self._value("SELECT bridge.expire_outbound()"))

    def ingest(self, messages: Sequence[Incoming], known_fault: str | None = None) -> tuple[dict[str, int], set[UUID]]:
        """Enqueue what brokers delivered: {"queued", "dead", "passed_over"}, committed on return; and the integrations passed over.

        With a known fault they become dead letters.
        """
        numbers: dict[UUID, int] = {}
        integration_numbers, topics, payloads, qos, retains = [], [], [], [], []
        content_types: list[str | None] = []
        properties: list[str | None] = []
        faults: list[str | None] = []
        filter_numbers: list[int | None] = []
        is_plain = True
        for message in messages:
            integration_numbers.append(numbers.setdefault(message.link.integration_id, len(numbers) + 1))
            fault = known_fault or message.fault
            try:
                topic = message.topic.decode()
            except UnicodeDecodeError:
                topic, fault = message.topic.decode(errors="replace"), "The topic is not valid UTF-8."
            if "\0" in topic:
                topic, fault = topic.replace("\0", "\ufffd"), "The topic contains U+0000 (NUL)."
            topics.append(topic)
            payloads.append(message.payload)
            qos.append(message.qos)
            retains.append(message.retain)
            filter_numbers.append(message.filter_number)
            faults.append(fault)
            content_type, rest = message.properties or NOTHING
            content_types.append(content_type)
            properties.append(rest)
            is_plain = is_plain and fault is None and content_type is None and rest is None
        counts = self._value(
            "SELECT bridge.ingest(%b, %b, %b::integer[], %b::text[], %b::bytea[], %b::smallint[], %b::boolean[], %b::text[], "
            "%b::text[]::jsonb[], %b::text[], %b::integer[])",
            self.bridge_id,
            list(numbers),
            integration_numbers,
            topics,
            payloads,
            qos,
            retains,
            *((None, None, None) if is_plain else (content_types, properties, faults)),
            filter_numbers if any(number is not None for number in filter_numbers) else None,
        )
        return counts, {UUID(key) for key in counts.pop("not_held", ())}

    # ------------------------------------------------------------------------------------------------------------------ the queue

    def limit(self, statement: float, lock: float) -> None:
        """Time limits in seconds for the calls that follow."""
        for name, seconds in (("statement_timeout", statement), ("lock_timeout", lock)):
            self._do("SELECT set_config(%s, %s, false)", name, f"{round(seconds * 1000)}ms")

    def time_before(self, seconds: float) -> datetime:
        """The database's time, so many seconds ago."""
        found: datetime = self._value("SELECT clock_timestamp() - make_interval(secs => %s)", seconds)
        return found

    def begin_work(self) -> bool:
        """Record that this bridge processes the queue. Returns whether another one ended without `end_work`."""
        return bool(self._value("SELECT bridge.begin_work(%s)", self.bridge_id))

    def end_work(self) -> None:
        self._do("SELECT bridge.end_work(%s)", self.bridge_id)

    def suspects(self, batch: str) -> list[int]:
        """The messages of a batch that are still in the queue."""
        return list(self._value("SELECT bridge.suspects(%s)", batch))

    def organizations_of(self, batch: str) -> list[UUID]:
        """Those that have messages in a batch."""
        return list(self._value("SELECT bridge.organizations_of(%s)", batch))

    def oldest_queued(self, organization_id: UUID) -> list[int]:
        """The messages of an organization that are due next."""
        return list(self._value("SELECT bridge.oldest_queued(%s)", organization_id))

    def begin_attempt(self, accepted_before: datetime, suspects: list[int] | None) -> int | None:
        """Count an attempt for one message and return it; 0 when another worker has the rest, None when there is none left."""
        found: int | None = self._value("SELECT bridge.begin_attempt(%s, %s)", accepted_before, suspects)
        return found

    def finish_attempt(self, msg_id: int) -> str:
        """Process that message: processed, failed, dead, or gone."""
        return str(self._value("SELECT bridge.finish_attempt(%s)", msg_id))

    def process_queue(self, batch_size: int, elsewhere: Sequence[UUID] | None, own: Sequence[UUID]) -> dict[str, Any]:
        elsewhere = None if elsewhere is None else list(elsewhere)
        return dict(self._value("SELECT bridge.process_queue(%s, %s::uuid[], %s::uuid[])", batch_size, elsewhere, list(own)))

    def process_heavy(self, organization_id: UUID) -> dict[str, Any]:
        return dict(self._value("SELECT bridge.process_heavy(%s)", organization_id))

    def gauges(self) -> dict[str, Any]:
        return dict(self._value("SELECT bridge.gauges()"))

    def organization_use(self, most: int) -> list[dict[str, Any]]:
        return list(self._value("SELECT bridge.organization_use(%s)", most))

    def check_capacity(self) -> tuple[int | None, dict[UUID, str]]:
        """Free bytes on the data disk, and the integrations whose brokers are to be left unread, with why."""
        answer = self._value("SELECT bridge.check_capacity(%b)", self.bridge_id)
        return answer["free_disk_bytes"], {UUID(key): reason for key, reason in answer["paused"].items()}

    def run_periodic_tasks(self) -> dict[str, Any]:
        return dict(self._value("SELECT bridge.run_periodic_tasks()"))

    def apply_retention(self) -> dict[str, Any]:
        return dict(self._value("SELECT bridge.apply_retention()"))

    def roll_up_readings(self) -> dict[str, Any]:
        return dict(self._value("SELECT bridge.roll_up_readings()"))

    def pack_days(self) -> dict[str, Any]:
        return dict(self._value("SELECT bridge.pack_days()"))

    def work_deletions(self) -> dict[str, Any]:
        return dict(self._value("SELECT bridge.work_deletions()"))
