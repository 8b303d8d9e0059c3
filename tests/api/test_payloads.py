"""Payloads: JSON is read back as it was sent; encoded ones are decoded; what cannot be decoded is kept byte for byte and flagged."""

import base64
import json
import math
from collections.abc import Callable
from typing import Any

import cbor2
import hypothesis.strategies as st
import msgpack
import pytest
from hypothesis import HealthCheck, example, given, settings

from tests.api.support import Queue, accepted
from tests.support.api import Api, Device
from tests.support.stack import Stack
from tests.support.tenant import Tenant, make_tenant

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
numbers = st.one_of(st.integers(-(10**300), 10**300), st.floats(allow_nan=False, allow_infinity=False), st.integers(-5, 5))
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)), max_leaves=15
)


def same(sent: Any, read: Any) -> bool:
    """Equality of JSON values, where a number is one whether it is written as 1, 1.0 or 1e0, and true is not 1."""
    if isinstance(sent, dict):
        return isinstance(read, dict) and sent.keys() == read.keys() and all(same(sent[key], read[key]) for key in sent)
    if isinstance(sent, list):
        return isinstance(read, list) and len(sent) == len(read) and all(map(same, sent, read))
    if isinstance(sent, float) and isinstance(read, int | float) and not isinstance(read, bool):
        return float(read) == sent
    return type(sent) is type(read) and sent == read


@pytest.fixture(scope="module")
def tenant_here(stack: Stack, api: Api) -> Tenant:
    return make_tenant(stack, api)


@pytest.fixture(scope="module")
def device(tenant_here: Tenant) -> Device:
    return tenant_here.device()


def read_back(tenant: Tenant, message_ids: list[str]) -> list[dict[str, Any]]:
    rows = tenant.api.rows("mqtt_messages", token=tenant.member, id=f"in.({','.join(message_ids)})")
    found = {row["id"]: row for row in rows}
    return [found[message_id] for message_id in message_ids]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(values, min_size=1, max_size=10))
@example([5e-324, -5e-324, 1.7976931348623157e308, -1.7976931348623157e308, 2.2250738585072014e-308, -0.0])
@example([[5e-324, 1.7976931348623157e308, -0.0, 1e-99, {"a": 1e30}] * 50])
@example([2**53 + 1, 10**308, 123456789012345678901234567890, 0.1, 1e-7, 1e22])
@example(["\ud7ff\ue000\U0010ffff\u2028", "\u0001\u001f\u007f", "\\u0000", '"', "\ufffe"])
@example([[[[[[]]]]], {"": {"": {}}}, [None, True, False, 1, 0, "1"]])
def test_json_is_read_back_as_it_was_sent(tenant_here: Tenant, device: Device, queue: Queue, payloads: list[Any]) -> None:
    first = accepted(device.send(payloads[0]))
    topic = device.topic("batch")
    answer = device.send_batch([{"topic": topic, "payload": payload} for payload in payloads])
    assert answer.json() == {"accepted": len(payloads), "rejected": []}
    assert queue.work() == {"processed": len(payloads) + 1, "failed": 0, "dead": 0}
    (row,) = read_back(tenant_here, [first])
    assert same(payloads[0], row["payload"])
    rows = device.api.rows(
        "mqtt_messages", token=tenant_here.member, topic=f"eq.{topic}", order="received_at.desc,id.desc", limit=str(len(payloads))
    )
    assert all(same(sent, row["payload"]) for sent, row in zip(payloads, reversed(rows), strict=True)), rows


def test_the_reference_tells_values_apart() -> None:
    assert same([1.0, {"a": 10**20}], [1, {"a": 10**20}])
    assert same(1e300, 10**300)
    for sent, read in [
        (1, True),
        (0, False),
        ("1", 1),
        (1, "1"),
        (None, 0),
        ([], {}),
        ({"a": 1}, {"a": 1, "b": 2}),
        (1.5, 1),
        ([1], [1, 2]),
        (2**53 + 1, 2**53),
    ]:
        assert not same(sent, read), (sent, read)


def test_the_largest_nesting_that_is_taken_is_read_back(tenant_here: Tenant, device: Device, queue: Queue) -> None:
    depth = 128
    nested = "[" * depth + "]" * depth
    message_id = accepted(
        device.api.call("mqtt_ingest", data=f'{{"topic": "{device.topic()}", "payload": {nested}}}', headers=device.headers)
    )
    assert queue.work()["processed"] == 1
    (row,) = read_back(tenant_here, [message_id])
    assert json.dumps(row["payload"]) == nested


# Media type, bytes, what they become, and whether the bytes stay (True), stay with a reason (a part of it), or go (False).
ENCODED: list[tuple[str | None, bytes, Any, bool | str]] = [
    ("application/json", b'{"t": 21.5}', {"t": 21.5}, False),
    ("application/json; charset=utf-8", "[\"°\"]".encode(), ["°"], False),
    ("APPLICATION/JSON", b"1", 1, False),
    ("application/senml+json", b'[{"n": "t", "v": 1}]', [{"n": "t", "v": 1}], False),
    ("application/json", b'{"t": ', None, "no valid JSON"),
    ("application/json", b"", None, "no valid JSON"),
    ("application/json", b'"\\u0000"', None, "\\u0000"),
    ("application/json", b"1e100000", None, "range of a double"),
    ("application/json", b"[" + b"5e-324," * 200 + b"1e30]", None, "200 numbers"),
    ("application/json", b"NaN", None, "no valid JSON"),
    ("application/json", b'"\xff"', None, "UTF8"),
    ("application/json", b"[" * 100_000, None, "128 levels"),
    ("application/cbor", cbor2.dumps({"t": 21.5, "raw": b"\x01", "n": [1, None]}), {"t": 21.5, "raw": "AQ", "n": [1, None]}, False),
    ("application/senml+cbor", cbor2.dumps([{0: "t", 2: 1}]), [{"0": "t", "2": 1}], False),
    ("application/cbor", cbor2.dumps([5e-324] * 200), [5e-324] * 200, False),
    ("application/cbor", cbor2.dumps([5e-324] * 200 + [1e30]), None, "200 numbers"),
    ("application/cbor", b"\xff\xff", None, "byte 0"),
    ("application/cbor", b"", None, ""),
    ("application/cbor", cbor2.dumps("a\0b"), None, ""),
    ("application/cbor", cbor2.dumps(float("nan")), None, ""),
    ("application/msgpack", msgpack.packb({"t": 21.5, "n": [1, None, True]}), {"t": 21.5, "n": [1, None, True]}, False),
    ("application/x-msgpack", msgpack.packb("x"), "x", False),
    ("application/vnd.msgpack", msgpack.packb(7), 7, False),
    ("application/msgpack", msgpack.packb([1e308] * 201), None, "200 numbers"),
    ("application/msgpack", b"\xc1", None, ""),
    ("application/msgpack", msgpack.packb(1) + b"\x00", None, ""),
    ("text/plain", "21.5 °C".encode(), "21.5 °C", False),
    ("text/csv; header=absent", b"1,2\n3,4", "1,2\n3,4", False),
    ("text/plain", b"", "", False),
    ("text/plain", b"\xff\xfe", None, "UTF8"),
    ("text/plain", b"a\x00b", None, "UTF8"),
    ("application/octet-stream", bytes(range(256)), None, True),
    ("image/png", b"\x89PNG\r\n\x1a\n", None, True),
    ("nonsense", b'{"t": 1}', None, True),
    (None, b'{"t": 21.5}', {"t": 21.5}, False),
    (None, b"21.5 C", "21.5 C", False),
    (None, b"NaN", "NaN", False),
    (None, b"[" + b"1e-99," * 200 + b"-1e-99]", None, "200 numbers"),
    (None, b"1e-99," * 300, "1e-99," * 300, False),
    (None, b"", "", False),
    (None, b"\xff\x00", None, True),
    (None, b"\x01\x00", None, True),
    (None, bytes(4), None, True),
    (None, b'\xef\xbb\xbf{"t": 21.5}', {"t": 21.5}, False),
    (None, b"\xef\xbb\xbfon", "\ufeffon", False),
    (None, b'{"t": 21.5}\x00', None, "ends with zero bytes"),
    (None, b"[I] booted", "[I] booted", False),
]  # fmt: skip


def through_arguments(device: Device, content_type: str | None, body: bytes) -> str:
    return accepted(device.send(base64.b64encode(body).decode(), payload_encoding="base64", content_type=content_type))


def through_headers(device: Device, content_type: str | None, body: bytes) -> str:
    headers = {**device.headers, "Content-Type": "application/octet-stream", "X-Topic": device.topic()}
    if content_type is not None:
        headers["X-Content-Type"] = content_type
    return accepted(device.api.call("mqtt_ingest_binary", data=body, headers=headers))


@pytest.mark.parametrize("send", [through_arguments, through_headers])
def test_payloads_are_decoded_by_their_media_type(
    tenant_here: Tenant, device: Device, queue: Queue, send: Callable[[Device, str | None, bytes], str]
) -> None:
    cases = [case for case in ENCODED if case[0] is not None or send is through_arguments]
    message_ids = [send(device, content_type, body) for content_type, body, _, _ in cases]
    assert queue.work() == {"processed": len(cases), "failed": 0, "dead": 0}
    for (content_type, body, payload, kept), row in zip(cases, read_back(tenant_here, message_ids), strict=True):
        check_kept(row, body, kept)
        assert same(payload, row["payload"]), row
        assert row["content_type"] == content_type


def check_kept(row: dict[str, Any], body: bytes, kept: bool | str) -> None:
    if isinstance(kept, str):
        assert kept in row["decode_error"], row
    else:
        assert row["decode_error"] is None, row
    assert row["body"] == (None if kept is False else base64.b64encode(body).decode()), row


def test_what_begins_like_json_is_flagged_where_no_rule_reads_it(tenant: Callable[..., Tenant], queue: Queue) -> None:
    """It stays as it came; a rule that decodes it, or ignores it, is no fault."""
    home = tenant()
    device = home.device()
    rules: dict[str, dict[str, Any]] = {"text": {"device": "d", "decode": "text", "metrics": {"v": "$"}}, "no": {"role": "ignore"}}
    for name, rule in rules.items():
        topic = f"{device.topic_prefix}/{name}"
        home.api.ok("upsert_payload_rule", {"integration_id": home.integration_id, "topic": topic, **rule}, token=home.admin)
    text = b'{"t": nan, "h": 40}'
    ids = [
        accepted(device.send(base64.b64encode(text).decode(), topic, payload_encoding="base64"))
        for topic in (device.topic(), f"{device.topic_prefix}/text", f"{device.topic_prefix}/no")
    ]
    queue.work()
    rows = read_back(home, ids)
    assert [row["payload"] for row in rows] == [text.decode()] * 3
    assert [row["decode_error"] for row in rows] == ["it begins like JSON, and is none", None, None]
    home.api.ok("reapply_payload_rules", {"integration_id": home.integration_id, "since": None}, token=home.admin)
    assert [row["decode_error"] for row in read_back(home, ids)] == ["it begins like JSON, and is none", None, None]


def test_a_batch_decodes_each_message_by_its_own_type(tenant_here: Tenant, device: Device, queue: Queue) -> None:
    topic = device.topic("mixed")
    messages = [
        {"topic": topic, "payload": base64.b64encode(body).decode(), "payload_encoding": "base64"}
        | ({} if content_type is None else {"content_type": content_type})
        for content_type, body, _, _ in ENCODED
    ]
    assert device.send_batch(messages).json() == {"accepted": len(ENCODED), "rejected": []}
    assert queue.work() == {"processed": len(ENCODED), "failed": 0, "dead": 0}
    rows = device.api.rows("mqtt_messages", token=tenant_here.member, topic=f"eq.{topic}", order="received_at,id")
    for (_, body, payload, kept), row in zip(ENCODED, rows, strict=True):
        check_kept(row, body, kept)
        assert same(payload, row["payload"])


def test_an_integration_may_name_the_type_for_its_devices(tenant: Callable[..., Tenant], queue: Queue) -> None:
    home = tenant(content_type="application/cbor")
    device = home.device()
    message_id = through_arguments(device, None, cbor2.dumps({"t": 1}))
    other = through_arguments(device, "text/plain", b"t")
    assert queue.work()["processed"] == 2
    assert [row["payload"] for row in read_back(home, [message_id, other])] == [{"t": 1}, "t"]


def test_json_and_text_said_to_be_so(tenant_here: Tenant, device: Device, queue: Queue) -> None:
    """`payload_encoding` other than base64 says how the payload stands in the request, which JSON says already."""
    ids = [
        accepted(device.send({"a": 1}, payload_encoding="json")),
        accepted(device.send("plain", payload_encoding="text", content_type="text/plain")),
    ]
    queue.work()
    assert [row["payload"] for row in read_back(tenant_here, ids)] == [{"a": 1}, "plain"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(sorted({case[0] for case in ENCODED if case[0]})), st.binary(max_size=40)), min_size=1, max_size=20)
)
def test_any_bytes_of_any_type_are_decoded_or_kept(
    tenant_here: Tenant, device: Device, queue: Queue, sent: list[tuple[str, bytes]]
) -> None:
    topic = device.topic("bytes")
    messages = [
        {"topic": topic, "payload": base64.b64encode(body).decode(), "payload_encoding": "base64", "content_type": content_type}
        for content_type, body in sent
    ]
    assert device.send_batch(messages).json()["accepted"] == len(sent)
    assert queue.work() == {"processed": len(sent), "failed": 0, "dead": 0}
    rows = device.api.rows(
        "mqtt_messages", token=tenant_here.member, topic=f"eq.{topic}", order="received_at.desc,id.desc", limit=str(len(sent))
    )
    for (content_type, body), row in zip(sent, reversed(rows), strict=True):
        assert row["content_type"] == content_type
        if row["body"] is None:
            assert row["decode_error"] is None
            assert finite(row["payload"])
        else:
            assert row["body"] == base64.b64encode(body).decode()
            assert row["payload"] is None


def finite(value: Any) -> bool:
    match value:
        case dict():
            return all(map(finite, value.values()))
        case list():
            return all(map(finite, value))
        case float():
            return math.isfinite(value)
    return True
