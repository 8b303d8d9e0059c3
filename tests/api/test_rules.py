"""Payload rules against what is written apart from them: paho's matcher, a template filler, and any path that may be written; attacks."""

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

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


def nested_protobuf() -> bytes:
    data = b""
    for _ in range(2000):
        data = b"\x0a" + bytes([len(data) & 0x7F | 0x80, len(data) >> 7]) + data
    return data


# A payload for each decoder that would take long, grow, or nest too deeply, were it not bounded.
ATTACKS: dict[str, bytes] = {
    "json": b"[" * 100_000,
    "cbor": b"\x81" * 100_000 + b"\x00",
    "msgpack": b"\x91" * 100_000 + b"\xc0",
    "gzip json": gzip.compress(bytes(64 << 20), 9),
    "zlib cbor": zlib.compress(b"\x9f" * (8 << 20)),
    "gzip gzip gzip json": gzip.compress(gzip.compress(gzip.compress(bytes(64 << 20)))),
    "hex": b"0" * 100_001,
    "base64 cbor": b"n" * 100_000,
    "influx": b"m f=1i\n" * 20_000,
    "csv": b",".join([b"a"] * 40_000) + b"\n1",
    "cayenne": b"\x00\x00\x01" * 50_000 + b"\x00\xff",
    "senml": json.dumps([{"n": "a", "v": 1}] * 10_000).encode(),
    "senml-cbor": cbor2.dumps([{0: "a", 2: 1}] * 10_000),
    "text": b"a" * 200_000,
    "binary": b"\xff" * 100_000,
    "protobuf": b"\x0a\x00" * 100_001,
    "zlib protobuf": zlib.compress(nested_protobuf()),
}  # fmt: skip
CLAIMS: dict[str, bytes] = {
    "cbor": b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
    "msgpack": b"\xdd\xff\xff\xff\xff",
    "zlib msgpack": zlib.compress(b"\xdf\xff\xff\xff\xff"),
}


def test_an_attack_on_each_decoder_fails_alone(stack: Stack, api: Api, db: Db) -> None:
    """It is kept and named; a neighbour's message in the same batch, and the attacker's own next one, are read."""
    attacker, neighbour = make_tenant(stack, api), make_tenant(stack, api)
    sender = attacker.device()
    payloads = [*ATTACKS.items(), *CLAIMS.items()]
    for number, (decode, payload) in enumerate(payloads):
        rule: dict[str, Any] = {
            "integration_id": attacker.integration_id,
            "topic": f"{sender.topic_prefix}/{number}",
            "device": "d",
            "decode": decode,
        }
        if decode == "binary":
            rule["layout"] = [{"format": "B", "name": "v"}]
        if decode.endswith("protobuf"):
            rule["layout"] = {"message": "N", "types": {"N": [{"number": 1, "name": "n", "type": "N", "repeated": True}]}}
        api.ok("upsert_payload_rule", rule, token=attacker.admin)
        headers = {**sender.headers, "Content-Type": "application/octet-stream", "X-Topic": f"{sender.topic_prefix}/{number}"}
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
    assert len(reasons) == len(payloads) + 1
    for number, (decode, _) in enumerate(payloads):
        if decode == "text":
            assert reasons[str(number)], "a text beyond what is interpreted"
        else:
            assert str(reasons[str(number)]).startswith(f"rule {(number + 1) * 10}: "), (decode, reasons[str(number)])
    latest = {row["external_id"]: row["latest"] for row in api.rows("devices", token=attacker.member)}
    assert latest["d"]["v"]["value"] == 7
    assert len(api.rows("mqtt_messages", token=neighbour.member)) == 1


def work(db: Db) -> None:
    def is_done() -> bool:
        row = db.execute("SELECT mqtt.process_batch(1000)").fetchone()
        assert row is not None
        return bool(row[0]["processed"] == 0)

    wait_until(is_done, what="the queue to be empty")
