"""What a door has accepted, every reader can read: views, calls, rollups, packs, the live stream and replays."""

import base64
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings

from tests.stream.support import Events, Viewers
from tests.support.api import Api, Device
from tests.support.stack import Stack
from tests.support.tenant import Tenant, make_tenant

Connection = psycopg.Connection[tuple[Any, ...]]

# What is JSON and yet not what PostgreSQL stores, or is at an edge of it.
EDGES = [
    *(b'"\\u0000"', b'{"\\u0000": 1}', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b"1e400", b"[-1e308, 1e-320]", b"0.1e-400"),
    *(b"9" * 40, b"0." + b"1" * 400, b"1" + b"0" * 308, b"1" + b"0" * 309, b"-0.0", b'{"a": "1e999", "b": " 12 ", "c": "0x1"}'),
    *(b"[5e-324, 1.7976931348623157e308, -0, 1e-99]", b'{"a": 5e-324, "b": -1.7976931348623157e308, "c": -0, "d": 1e-99}'),
    *(b"[" + b",".join([number] * count) + b"]" for number in (b"5e-324", b"1E+0099", b"1e30") for count in (200, 201, 3000)),
    *(b"[" * depth + b"]" * depth for depth in (127, 128, 129)),
    *(b'{"a":' * depth + b"1" + b"}" * depth for depth in (4, 127, 128, 129)),
    *(b'{"": 1, "a.b": 2, "a": {"b": 3, "": {"": 4}}}', b'{"a": 1, "a": 2}', b'{"value": {"avg": 1}}'),
    *(b"{}", b"[]", b'""', b"null", b"true", b'{"' + b"n" * 300 + b'": 1}'),
    *(b'{"timestamp": null}', b'{"ts": "infinity"}', b'{"timestamp": 1e20}', b'{"timestamp": {"a": 1}, "ts": []}'),
    *(b'"' + b"x" * 3000 + b'"', b'"\\u2028\\u2029\\ufffe\\uffff\\u0001\\u007f\\\\ \\n"', b"{", b"nan", b"\xff", b"\x00", b"", b"21.5 C"),
]  # fmt: skip
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.one_of(
    st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False, allow_infinity=False).map(str)
)
names = st.sampled_from(["a", "b", "a.b", "ts", "timestamp", ""])
documents = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, words),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.builds(
            lambda number, count: [number] * count,
            st.sampled_from([5e-324, -1e-99, 1e30, 1e-29, 1.7976931348623157e308]),
            st.integers(190, 210),
        ),
        st.dictionaries(names, inner, max_size=4),
    ),
    max_leaves=10,
).map(lambda value: json.dumps(value).encode())
bodies = st.lists(st.one_of(documents, st.sampled_from(EDGES), st.binary(max_size=20)), min_size=1, max_size=30)


class Home:
    """An organization whose messages somebody watches."""

    def __init__(self, stack: Stack, api: Api, db: Connection, viewers: Viewers) -> None:
        self.tenant: Tenant = make_tenant(stack, api)
        self.device: Device = self.tenant.device()
        self.api, self.db, self.service = api, db, stack.token("service_role")
        self.viewers = viewers
        self.bridge = uuid.uuid4()
        db.execute("INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (%s, %s, '1', 1)", (self.bridge, f"{self.bridge}:1"))
        db.execute(
            "INSERT INTO mqtt.bridge_leases (organization_id, integration_id, bridge_id) VALUES (%s, %s, %s)",
            (self.tenant.organization_id, self.tenant.integration_id, self.bridge),
        )

    def rpc(self, call: str, **arguments: Any) -> Any:
        return self.api.ok(call, arguments, token=self.tenant.admin)


def single(home: Home, topic: str, sent: Sequence[bytes], at: datetime | None) -> int:
    accepted = 0
    for body in sent:
        stamp = b"" if at is None else b', "timestamp": "%s"' % at.isoformat().encode()
        data = b'{"topic": "%s", "payload": %s%s}' % (topic.encode(), body, stamp)
        accepted += home.api.call("mqtt_ingest", data=data, headers=home.device.headers).status_code == 202
    return accepted


def messages(topic: str, sent: Sequence[bytes], at: datetime | None) -> bytes:
    """Those that are JSON as it, all others as bytes: one that is no JSON would spoil the whole body."""
    parts = []
    for number, body in enumerate(sent):
        try:
            json.loads(body)
            payload = body
        except ValueError:
            payload = b'"%s", "payload_encoding": "base64"' % base64.b64encode(body)
        stamp = b"" if at is None else b', "timestamp": "%s"' % (at + timedelta(milliseconds=number)).isoformat().encode()
        parts.append(b'{"topic": "%s", "payload": %s%s}' % (topic.encode(), payload, stamp))
    return b"[" + b",".join(parts) + b"]"


def batch(home: Home, topic: str, sent: Sequence[bytes], at: datetime | None) -> int:
    data = b'{"messages": %s}' % messages(topic, sent, at)
    response = home.api.call("mqtt_ingest_batch?columns=messages", data=data, headers=home.device.headers)
    return int(response.json()["accepted"]) if response.status_code == 202 else 0


def imported(home: Home, topic: str, sent: Sequence[bytes], at: datetime | None) -> int:
    data = b'{"integration_id": "%s", "messages": %s}' % (
        home.tenant.integration_id.encode(), messages(topic, sent, at or datetime.now(UTC)),
    )  # fmt: skip
    response = home.api.call("import_messages", data=data, token=home.tenant.admin)
    return int(response.json()["imported"]) if response.status_code == 200 else 0


def raw(rpc: str, content_type: str | None) -> Callable[[Home, str, Sequence[bytes], datetime | None], int]:
    def send(home: Home, topic: str, sent: Sequence[bytes], at: datetime | None) -> int:
        accepted = 0
        for body in sent:
            headers = {**home.device.headers, "Content-Type": "application/octet-stream", "X-Topic": topic}
            headers |= {} if content_type is None else {"X-Content-Type": content_type}
            headers |= {} if at is None else {"X-Timestamp": at.isoformat()}
            accepted += home.api.call(rpc, data=body, headers=headers).status_code == 202
        return accepted

    return send


def broker(home: Home, topic: str, sent: Sequence[bytes], at: datetime | None) -> int:
    properties = None if at is None else [json.dumps({"user_properties": [["timestamp", at.isoformat()]]})] * len(sent)
    answer = home.db.execute(
        "SELECT bridge.ingest(%s, %s, %s, %s, %s, %s, %s, properties => %s::text[]::jsonb[])",
        (
            home.bridge, [uuid.UUID(home.tenant.integration_id)], [1] * len(sent), [topic] * len(sent), list(sent),
            [1] * len(sent), [False] * len(sent), properties,
        ),
    ).fetchone()  # fmt: skip
    assert answer is not None
    assert answer[0]["dead"] == 0, "a broker is told of no message that is not taken"
    return int(answer[0]["queued"])


DOORS: dict[str, Callable[[Home, str, Sequence[bytes], datetime | None], int]] = {
    "single": single,
    "batch": batch,
    "binary": raw("mqtt_ingest_binary", None),
    "binary JSON": raw("mqtt_ingest_binary", "application/json"),
    "binary CBOR": raw("mqtt_ingest_binary", "application/cbor"),
    "document": raw("mqtt_ingest_document", None),
    "import": imported,
    "broker": broker,
}


@pytest.fixture(scope="module")
def home(stack: Stack, api: Api) -> Iterator[Home]:
    viewers = Viewers(stack)
    with stack.connect() as db:
        home = Home(stack, api, db, viewers)
        yield home
        db.execute("DELETE FROM mqtt.bridges WHERE id = %s", (home.bridge,))
    viewers.close()


def series(home: Home, device: str, since: datetime) -> Any:
    return home.rpc(
        "query_series", device_ids=[device], since=since.isoformat(), until=(since + timedelta(hours=1)).isoformat(), bucket="1 hour",
        aggregates=["avg", "min", "max", "sum", "count", "first", "last", "delta"], fill="none",
    )  # fmt: skip


def packed(home: Home, topic: str) -> int:
    """How many messages of a topic are in a pack of them as they were; it is not kept."""
    stored = "FROM mqtt.history AS h JOIN mqtt.topics AS t ON t.number = h.topic WHERE t.topic = %s"
    with home.db.transaction(force_rollback=True):
        home.db.execute(f"SELECT mqtt.write_pack(ARRAY(SELECT h {stored} ORDER BY h.received_at, h.position), 0)".encode(), (topic,))
        found = home.db.execute(
            "SELECT count(*) FROM mqtt.packs AS p CROSS JOIN LATERAL mqtt.messages_of_pack(p.number) AS m"
            f" WHERE to_jsonb(m) IN (SELECT to_jsonb(h) {stored})".encode(),
            (topic,),
        ).fetchone()
    assert found is not None
    return int(found[0])


def streamed(home: Home, events: Events, topic: str) -> list[Any]:
    """The payloads that a viewer gets, up to a message that is sent last."""
    assert home.device.send("the end", topic).status_code == 202
    home.api.ok("process_mqtt_queue", token=home.service)
    payloads = []
    while (payload := events.next().data["payload"]) != "the end":
        payloads.append(payload)
    events.response.close()
    return payloads


@pytest.mark.parametrize("door", DOORS)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=bodies, is_late=st.booleans())
@example(sent=EDGES, is_late=False)
@example(sent=EDGES, is_late=True)
def test_what_is_accepted_is_read_everywhere(home: Home, door: str, sent: list[bytes], is_late: bool) -> None:
    name = f"d{uuid.uuid4().hex}"
    topic = f"{home.device.topic_prefix}/devices/{name}/telemetry"
    since = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    events = home.viewers.events(home.tenant.member, topic=topic)
    # Messages to a topic that the worker has seen take the short way.
    assert DOORS[door](home, topic, [b"0"], since) == 1
    while home.api.ok("process_mqtt_queue", token=home.service)["more"]:
        pass
    count = 1 + DOORS[door](home, topic, sent, since + timedelta(minutes=1) if is_late else None)
    while (done := home.api.ok("process_mqtt_queue", token=home.service))["more"]:
        assert done["failed"] == done["dead"] == 0
    rows = home.api.rows("mqtt_messages", token=home.tenant.member, topic=f"eq.{topic}", order="id")
    assert len(rows) == count
    listed = [{key: row[key] for key in rows[0]} for row in home.rpc("list_messages", topic=topic, oldest_first=True)]
    assert sorted(listed, key=lambda row: str(row["id"])) == rows
    assert [home.rpc("list_messages", id=row["id"])[0]["payload"] for row in rows] == [row["payload"] for row in rows]
    assert len(home.rpc("query_telemetry", device_id=name)) == sum(row["payload"] is not None for row in rows)
    assert ("value" in home.rpc("get_device", device_id=name)["latest"]) == any(isinstance(row["payload"], int) for row in rows)
    assert packed(home, topic) == count
    expected = [row["payload"] if row["body"] is None else row["body"] for row in listed]
    assert streamed(home, events, topic) == ([] if door == "import" else expected)
    replayed = home.rpc("replay_mqtt_messages", integration_id=home.tenant.integration_id, topic=topic, since=since.isoformat())
    assert replayed["replayed"] == count + 1
    before = series(home, name, since)
    for _ in range(2):
        home.db.execute("SELECT mqtt.close_readings()")
    home.db.execute("SELECT mqtt.roll_up_organization(%s, 1000000)", (home.tenant.organization_id,))
    assert series(home, name, since) == before
    faults = home.api.ok("check_mqtt_ledger", token=home.service)
    assert [fault for fault in faults if fault["organization_id"] == home.tenant.organization_id] == []
