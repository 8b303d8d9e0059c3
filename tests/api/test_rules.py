"""Payload rules against what is written apart from them: paho's matcher, a template filler, and any path that may be written; attacks."""

import base64
import gzip
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlencode

import cbor2
import hypothesis.strategies as st
import msgpack
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from paho.mqtt.client import topic_matches_sub

from tests.support.api import Api
from tests.support.stack import Stack
from tests.support.tenant import make_tenant
from tests.support.waiting import wait_until

Db = psycopg.Connection[tuple[Any, ...]]
ONCE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)


@pytest.fixture(scope="module")
def db(stack: Stack) -> Iterator[Db]:
    with stack.connect() as connection:
        connection.autocommit = True
        yield connection


LEVEL = st.sampled_from(["", "a", "b", "ab", "%", "_", "\\", "a%", "$SYS", "$x", " ", "ä"])
TOPIC = st.lists(LEVEL, min_size=1, max_size=5).map("/".join).filter(bool)
FILTER = st.tuples(st.lists(LEVEL | st.just("+"), min_size=1, max_size=5), st.sampled_from([[], ["#"]])).map(
    lambda parts: "/".join(parts[0] + parts[1])
)


@ONCE
@given(st.lists(st.tuples(FILTER.filter(bool) | st.just("#"), TOPIC), min_size=40, max_size=60))
@example([("#", "$SYS/a"), ("a/#", "a"), ("+/a", "/a"), ("+", "$x"), ("a%", "ab"), ("a_", "ab"), ("a/+", "a/"), ("$SYS/#", "$SYS/a/b")])
def test_rules_match_topics_as_paho_does(db: Db, pairs: list[tuple[str, str]]) -> None:
    rows = db.execute(
        """
        SELECT mqtt.topic_filter_prefix(p.filter) = ANY (ARRAY(SELECT mqtt.topic_prefixes(p.topic)))
            AND mqtt.matched_levels(p.topic, l.topic_like, l.topic_levels) IS NOT NULL
        FROM unnest(%s::text [], %s::text []) WITH ORDINALITY AS p (filter, topic, place)
        CROSS JOIN LATERAL mqtt.topic_filter_levels(p.filter) AS l
        ORDER BY p.place
        """,
        ([pair[0] for pair in pairs], [pair[1] for pair in pairs]),
    ).fetchall()
    assert [row[0] for row in rows] == [topic_matches_sub(*pair) for pair in pairs]


NAME = st.sampled_from(["a", "b", "id", "none"])
PART = st.one_of(
    st.text("xyz-/:% ", min_size=1, max_size=4).map(lambda text: (text, text)),
    st.integers(-4, 4).filter(bool).map(lambda level: (f"{{topic[{level}]}}", level)),
    st.tuples(st.integers(1, 4), st.integers(-4, 5)).filter(lambda span: span[1] < 0 or span[1] >= span[0]).map(
        lambda span: (f"{{topic[{span[0]}:{span[1]}]}}", span)
    ),
    st.lists(NAME, min_size=1, max_size=2).map(lambda names: ("{" + " | ".join(f"$.{name}" for name in names) + "}", names)),
    st.just(("{login}", None)),
)  # fmt: skip


def filled(parts: list[tuple[str, Any]], levels: list[str], document: dict[str, Any], login: str | None) -> str | None:
    done = []
    for _, part in parts:
        found: str | None
        match part:
            case str():
                found = part
            case None:
                found = login
            case int():
                place = part - 1 if part > 0 else len(levels) + part
                found = levels[place] if 0 <= place < len(levels) else None
            case tuple():
                first, last = part
                last = last if last > 0 else len(levels) + last + 1
                found = "/".join(levels[first - 1 : last])
            case _:
                values = [document[name] for name in part if name in document and not isinstance(document[name], dict | list | None)]
                value = values[0] if values else None
                found = value if isinstance(value, str) or value is None else json.dumps(value)
        if not found:
            return None
        done.append(found)
    return "".join(done) or None


SCALAR = st.sampled_from(["x", "ä b", "", 1, 1.5, True, None, {"c": 1}, [1]])


@ONCE
@given(
    st.lists(PART, min_size=1, max_size=4),
    st.lists(st.sampled_from(["a", "b", "", "dev 1"]), min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(["a", "b", "id"]), SCALAR),
    st.sampled_from([None, "me"]),
)
def test_templates(db: Db, parts: list[tuple[str, Any]], levels: list[str], document: dict[str, Any], login: str | None) -> None:
    template = "".join(part[0] for part in parts)
    row = db.execute(
        "SELECT mqtt.template_reason(%s), mqtt.filled_template(mqtt.template_parts(%s), %s, %s::jsonb, '{}', %s)",
        (template, template, levels, json.dumps(document), login),
    ).fetchone()
    assert row == (None, filled(parts, levels, document, login))


@ONCE
@given(st.lists(st.text('{}[]topic.$1:-|login"\\ a*', max_size=20) | st.text(max_size=12), min_size=20, max_size=40))
def test_any_text_is_a_template_or_told_why_not(db: Db, texts: list[str]) -> None:
    texts = [text.replace("\0", "").encode(errors="ignore").decode() for text in texts]
    for template, reason, parts in db.execute(
        """
        SELECT t, mqtt.template_reason(t), CASE WHEN mqtt.template_reason(t) IS NULL THEN mqtt.template_parts(t) END
        FROM unnest(%s::text []) AS t
        """,
        (texts,),
    ):
        assert (reason is None) == (parts is not None), template


TOKEN = st.sampled_from(
    ["$", "@", ".a", '."b c"', "[*]", "[0]", "[last]", ".**", ".*", " ? (", ")", " == 1", ' == "x"', " > 2", " && ", " || ", "!", " + 1",
     " / 0", " * 2", "-", ".size()", ".type()", ".keyvalue()", ".double()", "exists(", "$root", "$parent", ' starts with "a"', "lax ",
     ' like_regex "^a.*b$"', "strict ", "1e400", "(", " is unknown", ".datetime()", "$x", "[$.a]", "null", "true"]
)  # fmt: skip
DOCUMENT = st.recursive(
    st.sampled_from([None, True, 0, 1, -2.5, 1e308, "", "x", "21.5", "ab"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b c", "x"]), inner, max_size=3),
    max_leaves=8,
)


@ONCE
@given(st.lists(st.lists(TOKEN, min_size=1, max_size=7).map("".join), min_size=30, max_size=50), DOCUMENT)
@example(["$.a / 0", "1e400", "$.a.double()", "$[$.a]", "$.** ? (@ == 1)", "$.a.size() * 1e308 * 1e308"], {"a": 1e308})
def test_a_path_that_may_be_written_never_fails(db: Db, paths: list[str], document: Any) -> None:
    variables = json.dumps({"root": document, "parent": None})
    for path, reason in db.execute("SELECT p, mqtt.path_reason(p) FROM unnest(%s::text []) AS p", (paths,)).fetchall():
        if reason is None:
            db.execute("SELECT jsonb_path_query_array(%s::jsonb, %s::jsonpath, %s::jsonb, true)", (json.dumps(document), path, variables))


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
# Each encodes bytes, as a sender may: with and without padding, line ends and the alphabet of URLs.
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "hex": lambda data: data.hex().encode(),
    "base64": base64.b64encode,
    "zlib": zlib.compress,
    "gzip": gzip.compress,
}
BASE64: list[Callable[[bytes], bytes]] = [base64.encodebytes, base64.urlsafe_b64encode, lambda data: base64.b64encode(data).rstrip(b"=")]


@ONCE
@given(
    st.lists(st.tuples(TEXT, st.lists(st.sampled_from(sorted(ENCODERS)), max_size=4)), min_size=20, max_size=30), st.sampled_from(BASE64)
)
def test_what_python_encodes_is_decoded(db: Db, texts: list[tuple[str, list[str]]], outermost: Callable[[bytes], bytes]) -> None:
    """However it is wrapped; and an outermost base64 in each of its forms."""
    bodies = []
    for text, steps in texts:
        body = text.encode()
        for step in reversed(steps):
            body = ENCODERS[step](body)
        bodies += [(" ".join([*steps, "text"]), body), ("base64 text", outermost(text.encode()))]
    rows = db.execute(
        """
        SELECT d.payload, d.decode_error
        FROM unnest(%s::text [], %s::bytea []) WITH ORDINALITY AS b (decode, body, place)
        CROSS JOIN LATERAL mqtt.rule_document(b.decode, 'null', b.body) AS d
        ORDER BY b.place
        """,
        ([decode for decode, _ in bodies], [body for _, body in bodies]),
    ).fetchall()
    assert rows == [(text, None) for text, _ in texts for _ in range(2)]


@ONCE
@given(
    st.lists(st.tuples(st.text("0aAg=-_+/ \n\r", max_size=12).map(str.encode) | st.binary(max_size=12), st.sampled_from(["hex", "base64"])))
)
def test_any_bytes_are_hex_or_base64_or_told_why_not(db: Db, bodies: list[tuple[bytes, str]]) -> None:
    for body, decode in bodies:
        row = db.execute("SELECT payload, decode_error FROM mqtt.rule_document(%s, 'null', %s)", (f"{decode} text", body)).fetchone()
        assert row is not None
        assert isinstance(row[0], str) or row[1]


@ONCE
@given(st.lists(st.dictionaries(TEXT.filter(bool), TEXT, max_size=4), min_size=20, max_size=30))
def test_forms_are_what_python_encodes(db: Db, forms: list[dict[str, str]]) -> None:
    rows = db.execute("SELECT mqtt.form_document(f) FROM unnest(%s::text []) AS f", ([urlencode(form) for form in forms],)).fetchall()
    assert [row[0] for row in rows] == forms


@ONCE
@given(st.lists(st.text("%0aA&=+éz", max_size=12), min_size=5, max_size=15))
@example(["a=%ff", "%00", "a&&b=1&b=2", "a%", "=", "a=b=c"])
def test_any_text_is_a_form_or_no_utf8(db: Db, texts: list[str]) -> None:
    """As Python reads it."""
    for text in texts:
        try:
            expected: dict[str, str] | None = dict(parse_qsl(text, keep_blank_values=True, errors="strict"))
        except UnicodeDecodeError:
            expected = None
        if expected is not None and any("\0" in name + value for name, value in expected.items()):
            expected = None
        row: tuple[Any, ...] | None = (None,)
        with suppress(psycopg.errors.CharacterNotInRepertoire):
            row = db.execute("SELECT mqtt.form_document(%s)", (text,)).fetchone()
        assert row == (expected,), text


def nested_protobuf() -> bytes:
    data = b""
    for _ in range(2000):
        data = b"\x0a" + bytes([len(data) & 0x7F | 0x80, len(data) >> 7]) + data
    return data


# Payloads for each decoder that would take long, grow, or nest too deeply, were it not bounded; and heads that claim more than there is.
ATTACKS: list[tuple[str, bytes]] = [
    ("json", b"[" * 100_000),
    ("cbor", b"\x81" * 100_000 + b"\x00"),
    ("msgpack", b"\x91" * 100_000 + b"\xc0"),
    ("gzip json", gzip.compress(bytes(64 << 20), 9)),
    ("zlib cbor", zlib.compress(b"\x9f" * (8 << 20))),
    ("gzip gzip gzip json", gzip.compress(gzip.compress(gzip.compress(bytes(64 << 20))))),
    ("hex", b"0" * 100_001),
    ("base64 cbor", b"n" * 100_000),
    ("influx", b"m f=1i\n" * 20_000),
    ("csv", b",".join([b"a"] * 40_000) + b"\n1"),
    ("cayenne", b"\x00\x00\x01" * 50_000 + b"\x00\xff"),
    ("senml", json.dumps([{"n": "a", "v": 1}] * 10_000).encode()),
    ("senml-cbor", cbor2.dumps([{0: "a", 2: 1}] * 10_000)),
    ("text", b"a" * 200_000),
    ("binary", b"\xff" * 100_000),
    ("protobuf", b"\x0a\x00" * 100_001),
    ("zlib protobuf", zlib.compress(nested_protobuf())),
    ("hex binary", b"01" * 100_000 + b"02"),
    ("base64 gzip json of $.m", json.dumps({"m": base64.b64encode(gzip.compress(bytes(64 << 20), 9)).decode()}).encode()),
    ("hex cbor of $.m", json.dumps({"m": "81" * 50_000 + "00"}).encode()),
    ("sparkplug", b"\x12\x00" * 5001),
    ("csv", b"," * 130_000 + b"\n1"),
    ("gzip csv", gzip.compress(b"," * 1_000_000 + b"\n1")),
    ("influx", b"m f=" + b"1" * 200_000),
    ("gzip influx", gzip.compress(b"m " + b",".join(b"f%d=1i" % n for n in range(15_000)))),
    ("gzip protobuf", gzip.compress(b"\x0b" * 1_000_000)),
    ("hex protobuf", b"0b" * 50_000 + b"0c" * 50_000),
    ("sparkplug", b"\x0b" * 200_000),
    ("sparkplug", b"\x12" + b"\xff\xff\xff\x7f" + b"\x0a" * 100_000),
    ("gzip cayenne", gzip.compress(b"\x00\x88" + bytes(9) + bytes(200_000))),
    ("zlib senml", zlib.compress(json.dumps([{"bn": "a" * 100_000 + ":"}] + [{"n": "b", "t": n, "v": n} for n in range(4900)]).encode())),
    ("zlib msgpack", zlib.compress(b"\x91" * 1_000_000 + b"\xc0")),
    ("gzip text", gzip.compress(bytes(64 << 20))),
    ("cbor", b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
    ("msgpack", b"\xdd\xff\xff\xff\xff"),
    ("zlib msgpack", zlib.compress(b"\xdf\xff\xff\xff\xff")),
]  # fmt: skip
# The last of its records has a tag that the layout does not have.
LAYOUTS: dict[str, Any] = {
    "binary": [{"format": "B", "name": "v"}],
    "hex binary": [{"tag": 1, "fields": {"01": []}}],
    "protobuf": {"message": "N", "types": {"N": [{"number": 1, "name": "n", "type": "N", "repeated": True}]}},
}


def test_an_attack_on_each_decoder_fails_alone(stack: Stack, api: Api, db: Db) -> None:
    """It is kept and named; a neighbour's message in the same batch, and the attacker's own next one, are read."""
    attacker, neighbour = make_tenant(stack, api), make_tenant(stack, api)
    sender = attacker.device()
    for number, (decode, payload) in enumerate(ATTACKS):
        topic = f"{sender.topic_prefix}/{'spBv1.0/g/NBIRTH/' if decode == 'sparkplug' else ''}{number}"
        rule: dict[str, Any] = {"integration_id": attacker.integration_id, "topic": topic, "device": "d", "decode": decode}
        rule["layout"] = LAYOUTS.get(decode, LAYOUTS["protobuf"] if decode.endswith("protobuf") else None)
        api.ok("upsert_payload_rule", rule, token=attacker.admin)
        media_type = "application/json" if " of " in decode else "application/octet-stream"
        headers = {**sender.headers, "Content-Type": "application/octet-stream", "X-Topic": topic, "X-Content-Type": media_type}
        assert api.call("mqtt_ingest_binary", data=payload, headers=headers).status_code == 202
    api.ok(
        "upsert_payload_rule", {**rule, "topic": f"{sender.topic_prefix}/good", "decode": "msgpack", "layout": None}, token=attacker.admin
    )
    headers = {**sender.headers, "Content-Type": "application/octet-stream", "X-Topic": f"{sender.topic_prefix}/good"}
    assert api.call("mqtt_ingest_binary", data=msgpack.packb({"v": 7}), headers=headers).status_code == 202
    assert neighbour.device().send({"v": 1}).status_code == 202
    work(db)
    rows = api.rows("mqtt_messages", token=attacker.member)
    reasons = {row["topic"].rsplit("/", 1)[1]: row["decode_error"] for row in rows}
    assert len(reasons) == len(ATTACKS) + 1
    for number, (decode, _) in enumerate(ATTACKS):
        if decode == "text":
            assert reasons[str(number)], "a text beyond what is interpreted"
        else:
            assert str(reasons[str(number)]).startswith(f"rule {(number + 1) * 10}: "), (decode, reasons[str(number)])
    latest = {row["external_id"]: row["latest"] for row in api.rows("devices", token=attacker.member)}
    assert latest["d"]["v"]["value"] == 7
    assert len(api.rows("mqtt_messages", token=neighbour.member)) == 1


def test_devices_that_the_login_or_the_payload_names(stack: Stack, api: Api, db: Db) -> None:
    """The forms that ThingsBoard documents: all devices send to the same topic, gateways send of several devices at once."""
    tenant = make_tenant(stack, api)
    meter, pump = tenant.device(), tenant.device()
    me, gateway = (f"{meter.topic_prefix}/v1/{name}/telemetry" for name in ("devices/me", "gateway"))
    for rule in (
        {
            "topic": me, "condition": "exists($.values)", "device": "{login}", "time": {"path": "$.ts", "unit": "ms"},
            "metrics": {"*": "$.values"},
        },
        {"topic": me, "device": "{login}", "samples": ["$[*]"]},
        {
            "topic": gateway, "samples": ["$.keyvalue()", "$.value[*]"], "device": "{$parent.key}", "time": {"path": "$.ts", "unit": "ms"},
            "metrics": {"*": "$.values"},
        },
    ):  # fmt: skip
        api.ok("upsert_payload_rule", {"integration_id": tenant.integration_id, **rule}, token=tenant.admin)
    now = int(time.time() * 1000)
    sent = [
        (meter, me, {"ts": now, "values": {"stringKey": "value1", "doubleKey": 42.5}}),
        (pump, me, {"doubleKey": 7}),
        (pump, me, [{"booleanKey": True}, {"doubleKey": 8}]),
        (meter, gateway, {
            "Device A": [{"ts": now - 1, "values": {"temperature": 42, "humidity": 80}}, {"ts": now, "values": {"temperature": 43}}],
            "Device B": [{"ts": now, "values": {"temperature": 41}}],
        }),
    ]  # fmt: skip
    for device, topic, payload in sent:
        assert api.call("mqtt_ingest", {"topic": topic, "payload": payload}, headers=device.headers).status_code == 202
    work(db)
    listed = api.ok("list_devices", {"integration_id": tenant.integration_id}, token=tenant.member)["devices"]
    latest = {each["external_id"]: {name: found["value"] for name, found in each["latest"].items()} for each in listed}
    assert latest == {
        meter.username: {"stringKey": "value1", "doubleKey": 42.5},
        pump.username: {"booleanKey": True, "doubleKey": 8},
        "Device A": {"temperature": 43, "humidity": 80},
        "Device B": {"temperature": 41},
    }
    assert {row["decode_error"] for row in api.rows("mqtt_messages", token=tenant.member)} == {None}


# An expression and a payload each that would take hours or gigabytes; more of them are in tests/unit/test_plpython_transform.py.
TRANSFORMS: list[tuple[str, Any]] = [
    ("|".join(["[@,@][]"] * 18), [1]),
    ("|".join(["[@,@]"] * 36) + "|to_string(@)", [1]),
    ("join('',[" + ",".join(["@"] * 300) + "])", "x" * 100_000),
    ("[" * 10 + "@" + "]" * 10, json.loads("[" * 120 + "]" * 120)),
    ("|".join(["sort(@)", "reverse(@)"] * 15), list(range(9_500))),
    ("map(&[?@>`0`],[" + ",".join(["@"] * 80) + "])", list(range(9_500))),
    (f"{{a:{'|'.join(['[@,@]'] * 18)},b:{'|'.join(['[@,@]'] * 18)}}}|a==b", [1]),
]


def test_an_attack_by_a_transform_fails_alone(stack: Stack, api: Api, db: Db) -> None:
    """In one batch with a neighbour's message, and with another one of the attacker's, which are read."""
    attacker, neighbour = make_tenant(stack, api), make_tenant(stack, api)
    sender = attacker.device()
    for number, (expression, payload) in enumerate(TRANSFORMS):
        topic = f"{sender.topic_prefix}/{number}"
        rule = {"integration_id": attacker.integration_id, "topic": topic, "device": "d", "transform": expression}
        api.ok("upsert_payload_rule", rule, token=attacker.admin)
        headers = {**sender.headers, "Content-Type": "application/octet-stream", "X-Topic": topic, "X-Content-Type": "application/json"}
        assert api.call("mqtt_ingest_binary", data=json.dumps(payload).encode(), headers=headers).status_code == 202
    rule = {**rule, "topic": f"{sender.topic_prefix}/good", "transform": "{sum: sum(v)}"}
    api.ok("upsert_payload_rule", rule, token=attacker.admin)
    headers["X-Topic"] = f"{sender.topic_prefix}/good"
    assert api.call("mqtt_ingest_binary", data=b'{"v": [3, 4]}', headers=headers).status_code == 202
    assert neighbour.device().send({"v": 1}).status_code == 202
    work(db)
    reasons = {row["topic"].rsplit("/", 1)[1]: row["decode_error"] for row in api.rows("mqtt_messages", token=attacker.member)}
    assert reasons.pop("good") is None
    assert len(reasons) == len(TRANSFORMS)
    for number, reason in reasons.items():
        assert str(reason).startswith(f"rule {(int(number) + 1) * 10}: transform_cut_off: "), (TRANSFORMS[int(number)][0], reason)
    latest = {row["external_id"]: row["latest"] for row in api.rows("devices", token=attacker.member)}
    assert latest["d"]["sum"]["value"] == 7
    (row,) = api.rows("mqtt_messages", token=neighbour.member)
    assert row["decode_error"] is None


def work(db: Db) -> None:
    def is_done() -> bool:
        row = db.execute("SELECT mqtt.process_batch(1000)").fetchone()
        assert row is not None
        return bool(row[0]["processed"] == 0)

    wait_until(is_done, what="the queue to be empty")


RULES: list[dict[str, Any]] = [
    {"topic": "x/+/up", "condition": "$.a > 0", "device": "{topic[-2]}"},
    {"topic": "x/+/up", "condition": "exists($.a)", "device": "{$.a}", "metrics": {"*": "$", "half": "$.a / 2"}},
    {
        "topic": "x/#",
        "condition": '$.id like_regex "^i"',
        "device": "{topic[-1]}/{$.id}",
        "metrics": {"n": {"path": "$.b", "type": "number"}},
    },
    {"topic": "x/a/#", "device": "{$parent.id}", "samples": ["$.b[*]"], "metrics": {"{$.k}": "$.v", "*": "$"}},
    {"topic": "y/+", "device": "{topic[-1]}", "samples": ["$[*]"], "time": {"path": "$.t", "unit": "s"}},
    {"topic": "y/#", "role": "status", "device": "d", "presence": "$.a"},
    {"topic": "z", "role": "ignore"},
    {"topic": "t/+", "device": "d", "decode": "text"},
    {"topic": "j/+", "device": "d", "decode": "hex json of $.a"},
    {"topic": "c/+", "device": "d", "decode": "csv", "samples": ["$[*]"]},
    {"topic": "u/+", "condition": "exists($.a)", "device": "{$.id}", "transform": "{id: id, n: length(a), most: max_by(b, &v)}"},
    {"topic": "u/#", "device": "d", "samples": ["$[*]"], "transform": "indexed(to_array(@))", "metrics": {"*": "$.value", "n": "$.index"}},
]
TOPICS = st.lists(st.sampled_from(["x", "y", "z", "t", "j", "c", "u", "a", "up"]), min_size=1, max_size=3).map("/".join)
VALUES = st.sampled_from(
    [None, True, 0, 2, -1.5, "", "21.5", "on", "7b7d", "31", "a,b\n1,2", [], [{"k": "m", "v": 1}, {"t": 1700000000, "v": 2}]]
)
PAYLOADS = (
    st.dictionaries(st.sampled_from(["a", "b", "id", "t"]), VALUES) | st.lists(st.dictionaries(st.just("t"), VALUES), max_size=3) | VALUES
)


@pytest.fixture(scope="module")
def ruled(stack: Stack, api: Api) -> str:
    """The id of an integration that has RULES, of no prefix."""
    tenant = make_tenant(stack, api)
    integration_id = tenant.integration(broker_url="broker.example.com")
    for rule in RULES:
        api.ok("upsert_payload_rule", {"integration_id": integration_id, **rule}, token=tenant.admin)
    return integration_id


@ONCE
@given(st.lists(st.tuples(TOPICS, PAYLOADS), min_size=30, max_size=50))
def test_in_a_batch_each_message_is_what_it_is_alone(db: Db, ruled: str, messages: list[tuple[str, Any]]) -> None:
    together, alone = db.execute(
        """
        WITH message AS MATERIALIZED (
            SELECT
                array_agg(ROW(m.place, %s, NULL, m.topic, m.payload, NULL, '2026-11-28Z', NULL, NULL, NULL)::mqtt.rule_message)
                    AS all_of_them
            FROM unnest(%s::text [], %s::jsonb []) WITH ORDINALITY AS m (topic, payload, place)
        )
        SELECT
            (SELECT jsonb_agg(i ORDER BY i.place, i.sample) FROM unnest(mqtt.interpretations(m.all_of_them)) AS i),
            (SELECT jsonb_agg(i ORDER BY i.place, i.sample)
            FROM unnest(m.all_of_them) AS x CROSS JOIN LATERAL unnest(mqtt.interpretations(ARRAY[x])) AS i)
        FROM message AS m
        """,
        (ruled, [topic for topic, _ in messages], [json.dumps(payload) for _, payload in messages]),
    ).fetchone() or (None, None)
    assert together == alone


def test_two_who_apply_rules_again_at_once(stack: Stack, api: Api, db: Db) -> None:
    """Both wait for the same lock, so that both have begun, and go on one after the other: no reading is made twice."""
    tenant = make_tenant(stack, api)
    sender = tenant.device()
    for n in range(6):
        assert sender.send({"values": {"n": n}}).status_code == 202
    work(db)
    rule = {"integration_id": tenant.integration_id, "topic": f"{sender.topic_prefix}/#", "device": "d", "metrics": {"*": "$.values"}}
    api.ok("upsert_payload_rule", rule, token=tenant.admin)
    readings: list[int] = []

    def reapply() -> None:
        body: dict[str, Any] = {"integration_id": tenant.integration_id, "since": None, "limit": 4}
        while True:
            answer = api.ok("reapply_payload_rules", body, token=tenant.admin)
            readings.append(answer["readings"])
            if answer["next_cursor"] is None:
                return
            body["cursor"] = answer["next_cursor"]

    def both_wait() -> bool:
        row = db.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = mqtt.rules_lock() AND NOT granted"
        ).fetchone()
        return row == (2,)

    callers = [threading.Thread(target=reapply) for _ in range(2)]
    with stack.connect(autocommit=False) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(mqtt.rules_lock(), hashtext(%s))", (tenant.integration_id,))
        for caller in callers:
            caller.start()
        wait_until(both_wait, what="both callers to wait")
        holder.rollback()
    for caller in callers:
        caller.join()
    assert sorted(readings) == [2, 2, 4, 4]
    row = db.execute(
        "SELECT count(*), count(DISTINCT r.payload -> 'n') FROM mqtt.readings AS r JOIN mqtt.devices AS d ON d.id = r.device_id"
        " WHERE d.integration_id = %s AND d.external_id = 'd'", (tenant.integration_id,),
    ).fetchone()  # fmt: skip
    assert row == (6, 6)


def test_no_readings_are_made_of_what_is_deleted_meanwhile(stack: Stack, api: Api, db: Db) -> None:
    """A deletion waits for a call that applies rules again to its messages, and then takes the readings, too."""
    tenant = make_tenant(stack, api)
    topic, integration = f"org_{tenant.slug}/up", {"integration_id": tenant.integration_id}
    api.ok("upsert_payload_rule", {**integration, "topic": f"{topic}/+", "device": "{topic[3]}"}, token=tenant.admin)
    for position, name in enumerate(("a", "z"), 1):
        api.ok("sync_device", {**integration, "external_id": name}, token=tenant.admin)
        db.execute(
            "INSERT INTO mqtt.mqtt_messages (organization_id, integration_id, direction, topic, payload, received_at, position)"
            """ VALUES (%s, %s, 'incoming', %s, '{"v": 1}', clock_timestamp(), %s)""",
            (tenant.organization_id, tenant.integration_id, f"{topic}/{name}", position),
        )
    api.ok("delete_messages", {"filter": f"{topic}/z"}, token=tenant.admin)
    left = "SELECT count(*) FROM mqtt.deletions WHERE organization_id = %s AND state <> 'done'"

    def work() -> None:
        with stack.connect() as connection:
            while connection.execute(left, (tenant.organization_id,)).fetchone() != (0,):
                connection.execute("SELECT mqtt.work_deletions()")

    def waiting() -> int:
        row = db.execute("SELECT count(DISTINCT pid) FROM pg_catalog.pg_locks WHERE NOT granted").fetchone()
        return 0 if row is None else int(row[0])

    with stack.connect(autocommit=False) as blocker, ThreadPoolExecutor(2) as pool:
        blocker.execute("SELECT FROM mqtt.devices WHERE integration_id = %s AND external_id = 'z' FOR UPDATE", (tenant.integration_id,))
        applied = pool.submit(api.ok, "reapply_payload_rules", {**integration, "since": "2000-01-01"}, token=tenant.admin)
        wait_until(lambda: waiting() == 1, what="the call waits for the device")
        deleted = pool.submit(work)
        wait_until(lambda: deleted.done() or waiting() == 2, what="the deletion is done, or waits for the call")
        blocker.rollback()
        applied.result()
        deleted.result()
    found = db.execute(
        "SELECT t.topic FROM mqtt.reading_rows AS r JOIN mqtt.topics AS t ON t.number = r.topic WHERE t.organization_id = %s",
        (tenant.organization_id,),
    ).fetchall()
    assert found == [(f"{topic}/a",)]
