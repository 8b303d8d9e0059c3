"""Every call with arguments that no one should send, as every kind of caller: an error of theirs, never one of ours."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import pytest
import requests
from hypothesis import HealthCheck, given, settings

from tests.api.test_tenancy import VIEWS, World, make_world
from tests.support.api import Api
from tests.support.stack import Stack

EXAMPLES = 400
SLOWEST = 25.0  # seconds, on a machine that does much else

odd = st.sampled_from([None, "", 0, -1, 1.5, True, [], {}, [None], {"a": 1}, "null", "\u0001", "x" * 70_000])
texts = st.one_of(
    st.sampled_from(
        [
            "x",
            "a/b",
            "a/+/#",
            "$share/g/a",
            "$SYS/x",
            "%",
            "_",
            "'",
            '"',
            "\\",
            "{",
            "}",
            "{device_id}",
            "((((",
            "[a-",
            "\u202e",
            "🌡",
            "NaN",
            "-1",
        ]
    ),
    st.sampled_from(
        [
            "generate",
            "get",
            "revoke",
            "publish",
            "subscribe",
            "mqtt",
            "mqtt_hosted",
            "mqtt_external",
            "active",
            "inactive",
            "admin",
            "member",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
)
integers = st.one_of(
    st.sampled_from([0, 1, 2, 100, -1, 2**31 - 1, -(2**31), 2**31, 2**63, 10**30, "1", "x", 1.5, 1e300]), st.integers(0, 50)
)
numerics = st.sampled_from([0, 1, 0.001, -1, 1e308, 10**40, "NaN", "Infinity", "-Infinity", "1e131071", "1e200000", "x"])
times = st.sampled_from(
    [
        "2026-01-01T00:00:00Z",
        "now",
        "infinity",
        "-infinity",
        "2026-02-30T00:00:00Z",
        "294276-12-31T23:59:59Z",
        "294277-01-01",
        "4713-01-01 BC",
        "x",
        "",
        5,
    ]
)
intervals = st.sampled_from(
    ["1 second", "1 hour", "-1 day", "0", "1 month", "178000000 years", "-178000000 years", "1e300 days", "PT5M", "x", 300, 0.0000001]
)
documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from([1e308, -1e308, 5e-324, 10**308]), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)
messages = st.dictionaries(
    st.sampled_from(
        [
            "topic", "payload", "qos", "retain", "content_type", "payload_encoding", "message_id", "timestamp", "response_topic",
            "correlation_data", "message_expiry", "user_properties", "deliver_at", "extra",
        ]
    ),
    st.one_of(documents, times, integers, texts),
    max_size=8,
)  # fmt: skip
broker_settings = st.dictionaries(
    st.sampled_from(
        [
            "broker_url", "port", "protocol", "username", "password", "use_tls", "verify_certificate", "ca_certificate",
            "client_certificate", "client_key", "alpn", "keepalive", "mqtt_version", "topic_pattern", "content_type", "max_attempts",
            "path", "extra",
        ]
    ),
    st.one_of(
        documents, integers, texts, st.sampled_from(["broker.example.com", "127.0.0.1", "mqtts", "{organization_prefix}/{device_id}"])
    ),
    max_size=8,
)  # fmt: skip
DELETING = {
    "delete_integration", "mqtt_unsubscribe", "revoke_mqtt_credentials", "revoke_broker_key", "remove_organization_member", "delete_device",
    "delete_messages", "delete_mqtt_credentials", "delete_organization",
}  # fmt: skip


@dataclass(frozen=True)
class Catalogue:
    arguments: dict[str, dict[str, str]]
    world: World
    tokens: dict[str, str | None]
    repair: Callable[[], object]

    def values(self, call: str, name: str, kind: str) -> st.SearchStrategy[Any]:
        # What is deleted cannot be asked for again.
        own = [str(uuid.uuid4())] if call in DELETING else list(self.world.things.values())
        ids = st.one_of(
            st.sampled_from(own),
            st.builds(lambda: str(uuid.uuid4())),
            st.sampled_from(["x", "", own[0].upper(), f"{{{own[0]}}}", own[0][:-1]]),
        )
        known: dict[str, st.SearchStrategy[Any]] = {
            "uuid": ids,
            "uuid[]": st.one_of(st.lists(ids, max_size=5), st.just("{"), st.just([[own[0]]]), st.just([own[0]] * 10_001)),
            "text": st.one_of(texts, ids, st.just(self.world.topic)),
            "text[]": st.one_of(st.lists(texts, max_size=4), st.just("{a,b}"), st.just("{"), st.just([["a"], ["b"]])),
            "integer": integers,
            "bigint": integers,
            "numeric": numerics,
            "boolean": st.sampled_from([True, False, "x", "t"]),
            "timestamp with time zone": times,
            "interval": intervals,
            "json": st.one_of(st.lists(messages, max_size=4), documents),
            "jsonb": st.one_of(broker_settings, messages, documents),
        }
        if name == "wait":  # a long poll that does wait is no fault, but slow
            return st.sampled_from([0, 0.01, -1, 21, "NaN", "Infinity", "x", None])
        return st.one_of(known[kind], known[kind], known[kind], odd)


@pytest.fixture(scope="module")
def catalogue(stack: Stack, api: Api) -> Iterator[Catalogue]:
    world = make_world(stack, api)
    with stack.connect() as db:
        rows = db.execute(
            """
            SELECT p.proname, coalesce(p.proargnames[:p.pronargs], '{}'), (SELECT coalesce(array_agg(t::regtype::text ORDER BY o), '{}')
                FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (t, o))
            FROM pg_proc AS p WHERE p.pronamespace = 'api'::regnamespace
                AND (p.proargnames IS NOT NULL OR p.pronargs = 0 OR p.proargtypes[0] IN ('json'::regtype, 'jsonb'::regtype))
            ORDER BY p.proargnames IS NOT NULL -- of several forms the one with names
            """
        ).fetchall()
    tokens = {
        "anon": None,
        "nobody": stack.token("authenticated", str(uuid.uuid4())),
        "member": world.tenant.member,
        "admin": world.tenant.admin,
        "service": stack.token("service_role"),
    }
    with stack.connect() as db:
        yield Catalogue(
            {name: dict(zip(names or ["messages"], kinds, strict=False)) for name, names, kinds in rows},
            world,
            tokens,
            repair=lambda: db.execute(
                "UPDATE mqtt.device_integrations SET status = 'active', settings = '{}', integration_type = 'mqtt_hosted'"
                " WHERE organization_id = %s",
                (world.things["organization"],),
            ),
        )


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_argument_makes_the_server_stumble(catalogue: Catalogue, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(catalogue.arguments)), label="call")
    caller = data.draw(st.sampled_from(["admin", "service", "admin", "service", "member", "nobody", "anon"]), label="caller")
    arguments = catalogue.arguments[name]
    body = {
        argument: data.draw(catalogue.values(name, argument, kind), label=argument)
        for argument, kind in arguments.items()
        if data.draw(st.integers(0, 9), label=f"{argument}?") > 1
    }
    catalogue.repair()
    headers = {}
    if name.startswith("mqtt_ingest"):
        credentials = catalogue.world.tenant.device()
        headers = credentials.headers
    started = time.monotonic()
    response = catalogue.world.tenant.api.call(name, body, token=catalogue.tokens[caller], headers=headers)
    took = time.monotonic() - started
    assert response.status_code < 500, f"{name} as {caller}: {response.status_code} {response.text[:1000]}\n{json.dumps(body)[:2000]}"
    assert took < SLOWEST, f"{name} as {caller} took {took:.1f} s: {json.dumps(body)[:2000]}"
    if not response.ok:
        answer = response.json()
        assert answer.keys() == {"code", "message", "details", "hint"}
        for secret in ("password", "secret_hash", "authenticator"):
            assert f'"{secret}' not in response.text or secret in json.dumps(body)


OPERATORS = [
    "eq",
    "neq",
    "gt",
    "gte",
    "lt",
    "lte",
    "like",
    "ilike",
    "match",
    "imatch",
    "in",
    "is",
    "fts",
    "plfts",
    "phfts",
    "wfts",
    "cs",
    "cd",
    "ov",
    "sl",
    "not.eq",
    "x",
]
operands = st.one_of(
    st.sampled_from(
        ["", "x", "null", "true", "(a,b)", "(", "{a}", "{", "((((", "[a", "1e400", "-1", "now", "infinity", "*", "%", '"', "a'b", "🌡"]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=15),
)


@pytest.fixture(scope="module")
def columns(stack: Stack) -> dict[str, list[str]]:
    with stack.connect() as db:
        rows = db.execute(
            "SELECT c.relname, array_agg(a.attname::text) FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0"
            " WHERE c.relnamespace = 'api'::regnamespace GROUP BY 1"
        ).fetchall()
    return dict(rows)


@settings(max_examples=EXAMPLES // 2, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_filter_makes_the_server_stumble(catalogue: Catalogue, columns: dict[str, list[str]], data: st.DataObject) -> None:
    view = data.draw(st.sampled_from(sorted(VIEWS)), label="view")
    column = st.sampled_from([*columns[view], "nothing", "payload->a", "settings->>b->c", ""])
    parameters = [
        (data.draw(column), f"{data.draw(st.sampled_from(OPERATORS))}.{data.draw(operands)}") for _ in range(data.draw(st.integers(0, 2)))
    ]
    for key, values in {
        "select": st.one_of(column, st.sampled_from(["*", "*,x(*)", "count()", "id::text", "payload::int", "sum:id.sum()", "..."])),
        "order": st.one_of(column, column.map(lambda c: f"{c}.desc.nullslast"), operands),
        "limit": st.sampled_from(["0", "1", "-1", "9999999999999999999999", "x", ""]),
        "offset": st.sampled_from(["0", "1", "-1", "9999999999999999999999", "x"]),
        "and": operands,
        "or": st.one_of(operands, st.just("(id.eq.1,id.is.null)")),
    }.items():
        if data.draw(st.integers(0, 3), label=f"{key}?") == 0:
            parameters.append((key, data.draw(values, label=key)))
    headers = {"Authorization": f"Bearer {catalogue.tokens['member']}"}
    for header, choices in {
        "Accept": [
            "*/*",
            "text/csv",
            "application/octet-stream",
            "application/geo+json",
            "application/vnd.pgrst.object+json",
            "image/png",
            "x",
        ],
        "Prefer": ["count=exact", "count=planned", "count=estimated", "tx=rollback", "handling=strict", "return=minimal", "x=y,,"],
        "Range": ["0-1", "5-1", "x", "-1", "0-", "99999999999999999999-"],
    }.items():
        if data.draw(st.integers(0, 3), label=f"{header}?") == 0:
            headers[header] = data.draw(st.sampled_from(choices), label=header)
    api = catalogue.world.tenant.api
    method = data.draw(st.sampled_from(["GET", "GET", "HEAD", "OPTIONS", "POST", "PATCH", "DELETE", "PUT"]), label="method")
    started = time.monotonic()

    def ask() -> requests.Response:
        return api.session.request(method, f"{api.url}/{view}", params=parameters, headers=headers, timeout=70)

    try:
        response = ask()
    except requests.ConnectionError:
        response = ask()  # a kept connection may end just when it is used; a server that has ended stays away
    assert response.status_code < 500, f"{method} {response.url}: {response.status_code} {response.text[:1000]}"
    assert time.monotonic() - started < SLOWEST, response.url


def test_the_openapi_page_names_every_call(catalogue: Catalogue, sees: Callable[[str | None], set[str]]) -> None:
    """And each caller is shown what they may call, no more."""
    everything = {*catalogue.arguments, "mqtt_ingest_binary"}
    assert sees(catalogue.tokens["service"]) == everything
    anonymous = {name for name in everything if name.startswith(("mqtt_ingest", "rabbitmq_auth", "emqx_", "openapi", "get_api_version"))}
    assert sees(None) == anonymous
    assert anonymous < sees(catalogue.tokens["member"]) < everything


@pytest.fixture
def sees(api: Api) -> Callable[[str | None], set[str]]:
    def names(token: str | None) -> set[str]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        page = api.session.get(f"{api.url}/", headers=headers).json()
        for path, operations in page["paths"].items():
            for operation in operations.values():
                assert operation["summary"], path
        return {path.removeprefix("/rpc/") for path in page["paths"] if path.startswith("/rpc/")}

    return names
