"""What a credential may do, against rules written apart from the database's; what each broker makes of the exported ones."""

import hashlib
import itertools
import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis.strategies as st
import psycopg
import pytest
from hypothesis import given

from tests.api.test_topics import is_filter, is_name, matches
from tests.support.api import Api, Device
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant

LEVELS = ["a", "b", ""]
# Every topic of up to four levels; deeper ones differ from these in nothing that a filter of three levels can tell.
TOPICS = ["/".join(levels) for depth in range(1, 5) for levels in itertools.product([*LEVELS, "$x"], repeat=depth)]
TOPICS = [topic for topic in TOPICS if topic]
FILTERS = [
    text
    for depth in range(1, 4)
    for levels in itertools.product([*LEVELS, "+", "#", "$x"], repeat=depth)
    if is_filter(text := "/".join(levels))
]


@pytest.fixture(scope="module")
def ask(stack: Stack) -> Iterator[Callable[..., Any]]:
    with stack.connect() as connection:

        def first(statement: str, *arguments: Any) -> Any:
            row = connection.execute(statement, arguments).fetchone()
            assert row is not None
            return row[0]

        yield first


def test_a_filter_contains_another_when_it_matches_all_that_the_other_does(ask: Callable[..., Any]) -> None:
    """All pairs of filters of three levels."""
    meant = {text: frozenset(topic for topic in TOPICS if matches(text, topic)) for text in FILTERS}
    said = ask(
        "SELECT array_agg(jsonb_build_array(a, r)) FROM unnest(%s::text[]) AS a, unnest(%s::text[]) AS r WHERE mqtt.filter_contains(a, r)",
        FILTERS,
        FILTERS,
    )
    said = {(allowed, requested) for allowed, requested in said}
    expected = {(a, r) for a in FILTERS for r in FILTERS if meant[r] <= meant[a]}
    assert said <= expected
    # It may miss that +/# is all that # is, since no topic is empty; below a prefix there is no such thing.
    assert {(a, r) for a, r in expected - said if a[0] in "ab"} == set()
    assert len(said) > len(FILTERS)


@given(st.sampled_from(FILTERS), st.sampled_from(FILTERS), st.sampled_from(["g", "a", "$share", "a b"]))
def test_a_shared_subscription_is_judged_by_its_filter(ask: Callable[..., Any], allowed: str, requested: str, group: str) -> None:
    statement = "SELECT mqtt.filter_contains(%s, %s) = mqtt.filter_contains(%s, %s)"
    assert ask(statement, allowed, requested, allowed, f"$share/{group}/{requested}")


# ------------------------------------------------------------------------------------- how brokers match what is exported


def level_by_level(rule: str, topic: str) -> bool:
    """EMQX's emqx_topic:match, VerneMQ's vmq_topic:match: a wildcard in what is asked for is a level like any other."""
    wanted, levels = rule.split("/"), topic.split("/")
    while True:
        if wanted == ["#"]:
            return True
        if not wanted or not levels:
            return wanted == levels
        if wanted[0] not in {"+", levels[0]}:
            return False
        wanted, levels = wanted[1:], levels[1:]


def go_auth(rule: str, topic: str) -> bool:
    """mosquitto-go-auth's topics.Match."""
    return rule == topic or level_by_level(rule, topic)


def emqx(rows: list[tuple[str, str, str]], action: str, topic: str) -> bool:
    for permission, of, rule in rows:
        fits = topic == rule[3:] if rule.startswith("eq ") else level_by_level(rule, topic)
        if of in {action, "all"} and fits:
            return permission == "allow"
    return False


@pytest.fixture(scope="module")
def devices(home: Tenant) -> list[Device]:
    prefix = home.device().topic_prefix
    return [
        home.device(),
        home.device(topic_prefix=f"{prefix}/a"),
        home.device(publish_filters=[f"{prefix}/+"], subscribe_filters=[f"{prefix}/+"]),
        home.device(publish_filters=[f"{prefix}/a/+/#"], subscribe_filters=[f"{prefix}/a/+/#", f"{prefix}/b/+"]),
        home.device(publish_filters=[f"{prefix}/+/b"], subscribe_filters=[f"{prefix}/+/b", f"{prefix}/+/a/#"]),
        home.device(can_publish=False),
        home.device(can_subscribe=False),
    ]


def asked(prefix: str) -> list[tuple[str, str]]:
    tails = FILTERS[:60]
    texts = [f"{prefix}/{tail}" for tail in tails] + [f"{prefix}x/{tail}" for tail in tails[:5]] + FILTERS[:40] + [prefix, f"{prefix}x"]
    topics = [text for text in texts if is_name(text)]
    return [("publish", topic) for topic in topics] + [("subscribe", text) for text in texts if not text.startswith("$")]


def test_no_broker_allows_what_explain_refuses(devices: list[Device], stack: Stack, explain: Callable[..., dict[str, Any]]) -> None:
    """And what explain allows they allow too, except for subscriptions to what ends in +, which brokers cannot bound."""
    home = devices[0].topic_prefix
    with stack.connect() as db:
        for device in devices:
            name = (device.username,)
            acl = "SELECT permission, action, topic FROM broker.emqx_acl WHERE username = %s ORDER BY position"
            emqx_rows = [(row[0], row[1], row[2]) for row in db.execute(acl, name)]
            verne = db.execute(
                "SELECT publish_acl::text, subscribe_acl::text FROM broker.vmq_auth_acl WHERE username = %s", name
            ).fetchone()
            assert verne is not None
            verne_rules = {"publish": patterns(verne[0]), "subscribe": patterns(verne[1])}
            go_rules = {
                access: [
                    row[0]
                    for row in db.execute(
                        "SELECT topic FROM broker.go_auth_acl WHERE username = %s AND (access & %s) <> 0", (*name, access)
                    )
                ]
                for access in (1, 2, 4)
            }
            for action, topic in asked(home):
                allowed = explain(device.username, action, topic)["allowed"]
                answers = {
                    "EMQX": emqx(emqx_rows, action, topic),
                    "VerneMQ": any(level_by_level(rule, topic) for rule in verne_rules[action]),
                    "go-auth": any(go_auth(rule, topic) for rule in go_rules[2 if action == "publish" else 4]),
                }
                if action == "publish":
                    assert set(answers.values()) == {allowed}, (device, topic, answers)
                    continue
                for broker, answer in answers.items():
                    assert not answer or allowed, f"{broker} would let a subscriber to {topic} in: {emqx_rows}"
                    slipping = any(rule.endswith(("/+", "/+/#")) for rule in go_rules[1])
                    assert answer or not allowed or slipping, f"{broker} refuses {topic}: {emqx_rows}"


def patterns(acl: str) -> list[str]:
    return [entry["pattern"] for entry in json.loads(acl)]


def test_rules_that_end_in_a_single_level_are_what_brokers_would_let_a_hash_through() -> None:
    """The reason for it all, with the matchers above."""
    assert level_by_level("a/+", "a/#")
    assert go_auth("a/+/#", "a/#")
    assert not level_by_level("a/+/b", "a/#")


def test_each_hash_is_one_that_its_broker_verifies(devices: list[Device], stack: Stack) -> None:
    device = devices[0]
    with stack.connect() as db:
        row = db.execute("SELECT password_hash FROM broker.go_auth_user WHERE username = %s", (device.username,)).fetchone()
        assert row is not None
        kind, algorithm, rounds, salt, digest = row[0].split("$")  # as hashing/pbkdf2.go reads it
        assert (kind, algorithm) == ("PBKDF2", "sha512")
        computed = hashlib.pbkdf2_hmac("sha512", device.password.encode(), b64decode(salt), int(rounds), len(b64decode(digest)))
        assert computed == b64decode(digest)
        for view, column in (("emqx_user", "password_hash"), ("vmq_auth_acl", "password")):
            fits = f"SELECT {column} LIKE '$2a$%%' AND {column} = public.crypt(%s, {column}) FROM broker.{view} WHERE username = %s"
            assert db.execute(fits, (device.password, device.username)).fetchone() == (True,)
            assert db.execute(fits, (device.password + "x", device.username)).fetchone() == (False,)


def test_a_reader_finds_one_device_among_many_by_its_index(stack: Stack, devices: list[Device]) -> None:
    """A broker asks at each login, EMQX at each publish: the views must not compute every credential's rules for one."""
    views = {
        "emqx_user": "emqx_reader",
        "emqx_acl": "emqx_reader",
        "vmq_auth_acl": "vernemq_reader",
        "go_auth_user": "go_auth_reader",
        "go_auth_acl": "go_auth_reader",
    }
    with stack.connect() as db:
        for view, role in views.items():
            db.execute("BEGIN")
            db.execute(f"SET LOCAL ROLE {role}")
            db.execute("SET LOCAL enable_seqscan = off")
            plan = "\n".join(row[0] for row in db.execute(f"EXPLAIN SELECT * FROM broker.{view} WHERE username = 'x'"))
            db.execute("ROLLBACK")
            assert "mqtt_credentials_username_key" in plan, plan


def test_a_reader_s_role_is_closed_until_it_has_a_password(stack: Stack) -> None:
    for role in ("rabbitmq_reader", "emqx_reader", "vernemq_reader", "go_auth_reader"):
        with pytest.raises(psycopg.OperationalError, match=r"not permitted to log in|authentication failed"):
            stack.connect(user=role, password="guess")


def test_a_reader_that_abuses_its_session(stack: Stack) -> None:
    """It may take no advisory lock, make no large object or temporary table; where it may take a lock, its session is ended."""
    with stack.connect() as db:
        db.execute("ALTER ROLE emqx_reader LOGIN PASSWORD 'reader'")
        try:
            with (
                stack.connect(user="emqx_reader", password="reader") as other,
                stack.connect(user="emqx_reader", password="reader") as reader,
            ):
                other.execute("SET default_transaction_read_only = off")  # as anybody may
                for statement in ("SELECT lo_create(0)", "SELECT pg_advisory_lock(1)", "CREATE TEMPORARY TABLE x ()"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        other.execute(statement.encode())
                db.execute("GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO emqx_reader")
                reader.execute("SELECT pg_advisory_lock(1)")
                db.execute("SELECT mqtt.end_overdue_readers()")
                with pytest.raises(psycopg.OperationalError):
                    reader.execute("SELECT 1")
                assert other.execute("SELECT 1").fetchone() == (1,), "no other session is ended"
            assert db.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'emqx_reader'").fetchone() == (20,)
        finally:
            db.execute("REVOKE EXECUTE ON FUNCTION pg_advisory_lock(bigint) FROM emqx_reader")
            db.execute("ALTER ROLE emqx_reader NOLOGIN PASSWORD NULL")


def test_a_sql_tool_s_login_that_abuses_its_session(stack: Stack, home: Tenant) -> None:
    """Where the operator has not forbidden advisory locks, it could stop all bridges by one: its session is ended."""
    role = f"tool_{home.slug}"
    with stack.connect() as db:
        db.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reader'")
        try:
            db.execute("SELECT mqtt.grant_reader(%s, %s)", (role, home.organization_id))
            db.execute(f"GRANT EXECUTE ON FUNCTION pg_advisory_lock(integer, integer) TO {role}")
            with stack.connect(user=role, password="reader") as other, stack.connect(user=role, password="reader") as tool:
                tool.execute("SELECT pg_advisory_lock(1953460325, 0)")
                db.execute("SELECT mqtt.end_overdue_readers()")
                with pytest.raises(psycopg.OperationalError):
                    tool.execute("SELECT 1")
                assert other.execute("SELECT 1").fetchone() == (1,), "no other session is ended"
        finally:
            db.execute("SELECT mqtt.revoke_reader(%s, %s)", (role, home.organization_id))
            db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_emqx_over_http(api: Api, service: str, home: Tenant, explain: Callable[..., dict[str, Any]]) -> None:
    """The requests as docs/how-to/brokers/emqx.md configures them; EMQX takes only 200 with a JSON body for an answer."""
    device = home.device()
    key = api.ok("generate_broker_key", {"name": "EMQX"}, token=service)
    headers = {"Authorization": key["authorization"]}

    def answer(rpc: str, body: dict[str, Any], headers: dict[str, str] = headers) -> dict[str, Any]:
        response = api.call(rpc, body, headers=headers)
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("application/json")
        said: dict[str, Any] = response.json()
        return said

    login = {"username": device.username, "password": device.password, "clientid": device.client_id}
    assert answer("emqx_authenticate", login) == {"result": "allow", "is_superuser": False}
    assert answer("emqx_authenticate", login | {"password": "x"})["result"] == "deny"
    assert answer("emqx_authenticate", login, {}) == {"result": "deny", "is_superuser": False, "reason": "broker_unknown"}
    assert answer("emqx_authenticate", login, {"Authorization": "Basic eDp5"})["result"] == "deny"
    for action, topic in asked(device.topic_prefix):
        body = {"username": device.username, "clientid": device.client_id, "action": action, "topic": topic, "qos": "1", "retain": "false"}
        said = answer("emqx_authorize", body)
        assert said == {"result": "allow" if explain(device.username, action, topic)["allowed"] else "deny"}, body


def documented(page: str, pattern: str) -> list[str]:
    """SQL of a page of docs/how-to/brokers, with libpq's parameters for the broker's."""
    found = re.findall(pattern, (ROOT / "docs" / "how-to" / "brokers" / page).read_text())
    return [re.sub(r"\$\{(\w+)\}|\$(\d)", lambda match: f"%({match[1] or match[2]})s", query) for query in found]


def test_the_documented_queries_answer(stack: Stack, devices: list[Device]) -> None:
    """As the broker's own role, with nothing but what the role was given at deploy."""
    device = devices[0]
    prefix = device.topic_prefix
    values: dict[str, Any] = {"username": device.username, "clientid": device.client_id, "1": device.username, "2": 4}
    pages = {
        "emqx.md": ("emqx_reader", r'query = "(SELECT [^"]+)"'),
        "mosquitto-go-auth.md": ("go_auth_reader", r"auth_opt_pg_\w+query (SELECT .+)"),
    }
    rows: list[list[tuple[Any, ...]]] = []
    for page, (role, pattern) in pages.items():
        with stack.connect(autocommit=False) as db:
            db.execute(f"SET LOCAL ROLE {role}")
            rows += [db.execute(query, values).fetchall() for query in documented(page, pattern)]
    hashes = {row[0][0] for row in (rows[0], rows[2])}
    assert [value[:4] for value in sorted(hashes)] == ["$2a$", "PBKD"]
    assert rows[0][0][1:] == ("", False)
    assert rows[1] == [
        ("allow", "publish", f"{prefix}/+/#", "0,1,2", "all"),
        ("allow", "subscribe", f"{prefix}/#", "0,1,2", "all"),
        ("deny", "all", "#", "0,1,2", "all"),
    ]
    assert rows[3:] == [[(0,)], [(f"{prefix}/#",)]]
