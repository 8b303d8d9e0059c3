"""What the gateway itself does: paths, logins, limits, headers, and the API being away."""

import gzip
import json
import selectors
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.api import Api, Device
from tests.support.stack import Stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import PATIENCE, wait_until

INGEST = "/functions/v1/mqtt-ingest"


@pytest.fixture(scope="module")
def bearer(device: Device) -> dict[str, str]:
    return bearer_of(device)


def bearer_of(device: Device) -> dict[str, str]:
    return {"Authorization": f"Bearer {device.password}", "X-Client-ID": device.client_id, "X-Username": device.username}


@pytest.fixture
def post(stack: Stack) -> Iterator[Callable[..., requests.Response]]:
    with requests.Session() as session:
        yield lambda path, **arguments: session.post(f"{stack.gateway_url}{path}", timeout=70, **arguments)


def is_refused(response: requests.Response, status: int, slug: str) -> None:
    assert response.status_code == status, response.text[:500]
    body = response.json()
    assert (body["code"], body["message"]) == (f"PT{status}", slug)
    assert body["details"]
    assert body["hint"]


def test_every_ingest_path(post: Callable[..., requests.Response], home: Tenant, device: Device, bearer: dict[str, str]) -> None:
    topic = device.topic("paths")
    single = post(INGEST, json={"topic": topic, "payload": "single"}, headers=bearer)
    batch = post(f"{INGEST}/batch", json={"messages": [{"topic": topic, "payload": "batch"}]}, headers=bearer)
    headers = {**bearer, "Content-Type": "application/octet-stream", "X-Topic": topic, "X-Content-Type": "text/plain"}
    binary = post(f"{INGEST}/binary", data=b"binary", headers=headers)
    text = [
        post(path, data=f"text {path}", headers={**bearer, "Content-Type": "text/plain; charset=utf-8", "X-Topic": topic})
        for path in (INGEST, "/rest/v1/rpc/mqtt_ingest")
    ]
    assert [response.status_code for response in (single, batch, binary, *text)] == [202] * 5

    def stored() -> bool:
        rows = home.api.rows("mqtt_messages", token=home.member, topic=f"eq.{topic}")
        return {row["payload"] for row in rows} == {"single", "batch", "binary", f"text {INGEST}", "text /rest/v1/rpc/mqtt_ingest"}

    wait_until(stored, what="all five stored")


def test_every_login(post: Callable[..., requests.Response], device: Device, bearer: dict[str, str]) -> None:
    message = {"topic": device.topic(), "payload": 1}
    headers = {"X-Client-ID": device.client_id}
    assert post(INGEST, json=message, headers={**bearer, "authorization": f"bearer {device.password}"}).status_code == 202
    assert post(INGEST, json=message, headers=device.headers).status_code == 202
    assert post(INGEST, json=message, headers=headers, auth=(device.username, device.password)).status_code == 202


BAD_LOGINS: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "none": lambda _: {},
    "wrong password": lambda h: {**h, "Authorization": "Bearer " + "x" * 32},
    "empty password": lambda h: {**h, "Authorization": "Bearer "},
    "no scheme": lambda h: {**h, "Authorization": h["Authorization"].split()[1]},
    "other scheme": lambda h: {**h, "Authorization": h["Authorization"].replace("Bearer", "Token")},
    "cut off": lambda h: {**h, "Authorization": h["Authorization"][:-1]},
    "with a space behind": lambda h: {**h, "Authorization": h["Authorization"] + " x"},
    "no client id": lambda h: {k: v for k, v in h.items() if k != "X-Client-ID"},
    "other client id": lambda h: {**h, "X-Client-ID": "other"},
    "no username": lambda h: {k: v for k, v in h.items() if k != "X-Username"},
    "other username": lambda h: {**h, "X-Username": uuid.uuid4().hex},
    "username in other letters": lambda h: {**h, "X-Username": h["X-Username"].upper()},
    "a right X-Password beside a wrong Bearer": lambda h: {
        **h,
        "X-Password": h["Authorization"].split()[1],
        "Authorization": "Bearer wrong",
    },
}


@pytest.mark.parametrize("case", BAD_LOGINS)
def test_bad_logins_are_answered_alike(post: Callable[..., requests.Response], device: Device, bearer: dict[str, str], case: str) -> None:
    headers = BAD_LOGINS[case](bearer)
    response = post(INGEST, json={"topic": device.topic(), "payload": 1}, headers=headers)
    is_refused(response, 401, "invalid_credentials")
    reference = post(INGEST, json={"topic": device.topic(), "payload": 1}, headers={"X-Username": uuid.uuid4().hex})
    assert response.text == reference.text


def test_expired_revoked_and_rotated_credentials(
    post: Callable[..., requests.Response], home: Tenant, bearer: dict[str, str], stack: Stack
) -> None:
    """One answer for all of them, the same as for a wrong password; and it comes with the next call."""
    wrong = post(INGEST, json={"topic": "x", "payload": 1}, headers={**bearer, "Authorization": "Bearer wrong"}).text

    def answer(device: Device) -> requests.Response:
        return post(INGEST, json={"topic": device.topic(), "payload": 1}, headers=bearer_of(device))

    expires, revoked, rotated = home.device(expires_at="2999-01-01T00:00:00Z"), home.device(), home.device()
    ids = {row["username"]: row["id"] for row in home.api.rows("mqtt_credentials", token=home.admin)}
    assert [answer(device).status_code for device in (expires, revoked, rotated)] == [202, 202, 202]
    with stack.connect() as db:
        db.execute("UPDATE mqtt.mqtt_credentials SET expires_at = now() - interval '1 second' WHERE username = %s", (expires.username,))
    home.api.ok("revoke_mqtt_credentials", {"credential_id": ids[revoked.username]}, token=home.admin)
    home.api.ok("rotate_mqtt_credentials", {"credential_id": ids[rotated.username]}, token=home.admin)
    for device in (expires, revoked, rotated):
        response = answer(device)
        is_refused(response, 401, "invalid_credentials")
        assert response.text == wrong


def test_an_inactive_integration_and_a_login_that_may_only_listen(
    post: Callable[..., requests.Response], home: Tenant, stack: Stack, api: Api
) -> None:
    listener = home.device(can_publish=False)
    is_refused(post(INGEST, json={"topic": listener.topic(), "payload": 1}, headers=listener.headers), 403, "publish_not_allowed")
    other = make_tenant(stack, api)
    device = other.device()
    integration = {"organization_id": other.organization_id, "integration_id": other.integration_id, "integration_type": "mqtt_hosted"}
    api.ok("upsert_integration", {**integration, "name": "main", "status": "inactive"}, token=other.admin)
    is_refused(post(INGEST, json={"topic": device.topic(), "payload": 1}, headers=device.headers), 403, "integration_inactive")
    api.ok("upsert_integration", {**integration, "name": "main", "status": "active"}, token=other.admin)
    assert post(INGEST, json={"topic": device.topic(), "payload": 1}, headers=device.headers).status_code == 202


def test_a_user_s_token_goes_through_and_is_no_device(post: Callable[..., requests.Response], home: Tenant, device: Device) -> None:
    headers = {"Authorization": f"Bearer {home.admin}"}
    response = post("/rest/v1/rpc/list_devices", json={}, headers=headers)
    assert response.status_code == 200
    assert "devices" in response.json()
    is_refused(post(INGEST, json={"topic": device.topic(), "payload": 1}, headers=headers), 401, "invalid_credentials")
    forged = {"Authorization": "Bearer " + home.admin[:-3], "Content-Type": "application/json"}
    for path in ("publish", "subscribe", "test", "credentials"):
        response = post(f"/functions/v1/mqtt-hybrid/{path}", data=b"{}", headers=forged)
        assert response.status_code == 401, response.text


def test_members_use_the_hybrid_paths_as_the_api_lets_them(post: Callable[..., requests.Response], home: Tenant) -> None:
    body = {"integration_id": home.integration_id, "messages": [{"topic": f"org_{home.slug}/devices/d/commands", "payload": 1}]}
    headers = {"Authorization": f"Bearer {home.member}"}
    assert post("/functions/v1/mqtt-hybrid/publish", json=body, headers=headers).status_code == 202
    is_refused(post("/functions/v1/mqtt-hybrid/test", json={"integration_id": home.integration_id}, headers=headers), 403, "admin_required")
    body["messages"] = [{"topic": "test/topic", "payload": 1}]
    is_refused(post("/functions/v1/mqtt-hybrid/publish", json=body, headers=headers), 403, "topic_not_allowed")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/functions/v1/",
        "/functions/v1/mqtt-ingest/",
        "/functions/v1/mqtt-ingest/x",
        "/functions/v1/mqtt-hybrid",
        "/rpc/mqtt_ingest",
        "/rest/v2/x",
    ],
)
def test_paths_that_are_none(post: Callable[..., requests.Response], path: str) -> None:
    is_refused(post(path, json={}), 404, "route_not_found")


def test_a_path_that_is_none_is_told_which_are(post: Callable[..., requests.Response]) -> None:
    hint = post("/nowhere", json={}).json()["hint"]
    for path in (INGEST, "/in/", "/rest/v1/", "/stream", "/functions/v1/mqtt-hybrid/publish", "/console/"):
        assert path in hint


def test_a_message_without_a_topic_is_told_where_it_goes(post: Callable[..., requests.Response], bearer: dict[str, str]) -> None:
    for path, body in ((f"{INGEST}/binary", {"data": b"1"}), (INGEST, {"json": {"payload": 1}})):
        refused = post(path, headers=bearer, **body)
        is_refused(refused, 400, "topic_invalid")
        assert "X-Topic" in refused.json()["details"]


def test_bodies_beyond_the_limit(post: Callable[..., requests.Response], device: Device, bearer: dict[str, str]) -> None:
    message = {"topic": device.topic(), "payload": "x" * 2**20}
    response = post(INGEST, json=message, headers=bearer)
    is_refused(response, 413, "payload_too_large")
    batch = [{"topic": device.topic(), "payload": "x" * 200_000}] * 11
    is_refused(post(f"{INGEST}/batch", json={"messages": batch}, headers=bearer), 413, "body_too_large")
    assert post(f"{INGEST}/batch", json={"messages": batch[:9]}, headers=bearer).json()["accepted"] == 9


def test_headers_that_every_answer_has(post: Callable[..., requests.Response], device: Device, bearer: dict[str, str]) -> None:
    good = post(INGEST, json={"topic": device.topic(), "payload": 1}, headers=bearer)
    for response in (good, post("/nowhere"), post(INGEST, json={})):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "no-store" in response.headers["Cache-Control"]
        assert "nginx/" not in response.headers.get("Server", "")


def test_header_injection_and_repeated_headers(stack: Stack, home: Tenant) -> None:
    """Of a header that comes twice never the second alone counts; and a line break in one is no way to a further header."""
    device = home.device()
    topic = device.topic("smuggler")
    body = json.dumps({"topic": topic, "payload": "smuggled"})

    def raw(*lines: str) -> int:
        where = urlsplit(stack.gateway_url)
        head = [
            f"POST {INGEST} HTTP/1.1",
            "Host: gateway",
            "Connection: close",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        with socket.create_connection((where.hostname, where.port), timeout=PATIENCE) as connection:
            connection.sendall("\r\n".join([*head, *lines, "", body]).encode("latin-1"))
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        return int(answer.split()[1])

    login = [f"{name}: {value}" for name, value in bearer_of(device).items()]
    assert raw(*login) == 202
    assert raw(*login, "X-Username: other") in {202, 401}
    assert raw("X-Username: other", *login) == 401
    assert raw(*login, "X-Client-ID: other") in {202, 401}
    assert raw("X-Client-ID: other", *login) == 401
    assert raw(*login, "Authorization: Bearer other") in {400, 401}
    assert raw("Authorization: Bearer other", *login) in {400, 401}
    assert raw(*[line.replace("X-Username", "X_Username") for line in login]) in {400, 401}
    assert raw(login[0], login[1], f"X-Username: nobody\r\n {login[2].split(': ')[1]}") in {400, 401}
    assert raw(*login, f"Content-Length: {len(body) - 5}") == 400
    assert raw(*login, "Transfer-Encoding: chunked") in {400, 501}
    rows = home.api.rows("mqtt_message_queue", token=home.member, topic=f"eq.{topic}")
    assert len(rows) in {1, 3}


BYTES = [
    b"GET /rest/v1/%00",
    b"GET /rest/v1/devices%00",
    b"GET /rest/v1/\xff",
    b"GET /rest/v1/devices?external_id=eq.%ff",
    b"GET /rest/v1/devices?%c3%28=eq.1",
    b"GET /rest/v1/devices?external_id=eq.%ed%a0%80",
    b"GET /rest/v1/devices?external_id=eq.%f4%90%80%80",
    b"GET /rest/v1/devices?external_id=eq.%c0%af",
    b"GET /rest/v1/devices?external_id=eq.%e2%82",
    b"GET /rest/v1/devices?external_id=eq.\xe2\x82\xac",
    b"GET /rest/v1/devices\r\nAccept: \xff",
    b"GET /rest/v1/devices\r\nRange: \xff",
    b"GET /rest/v1/devices\r\nPrefer: \xff",
    b"GET /rest/v1/devices\r\nX-Username: \xe9",
    b"GET /rest/v1/devices\r\nX-Topic: \xc3\x28",
    b"GET /rest/v1/devices\r\nX-Topic: \xed\xa0\x80",
    b"POST /rest/v1/rpc/list_devices\r\nContent-Type: \xff",
    b"POST /functions/v1/mqtt-ingest/binary\r\nX-Topic: a\xff",
    b"POST /functions/v1/mqtt-ingest\r\nAuthorization: Bearer \xff",
    b"GARBAGE",
]


@pytest.mark.parametrize("request_line", BYTES)
def test_bytes_that_are_no_text(stack: Stack, request_line: bytes) -> None:
    """PostgREST would answer most of these with 500."""
    where = urlsplit(stack.gateway_url)
    line, _, headers = request_line.partition(b"\r\n")
    with socket.create_connection((where.hostname, where.port), timeout=PATIENCE) as connection:
        connection.sendall(line + b" HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nContent-Length: 2\r\n" + headers + b"\r\n\r\n{}")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert int(answer.split()[1]) == 400, answer
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (body["code"], body["message"]) == ("PT400", "bad_request")


def test_headers_that_mean_nothing_stay_at_the_gateway(
    post: Callable[..., requests.Response], device: Device, bearer: dict[str, str]
) -> None:
    headers = {**bearer, "Cookie": "\xff", "X-Foo": "\xff", "User-Agent": "\xff", "Referer": "\xff"}
    assert post(INGEST, json={"topic": device.topic(), "payload": 1}, headers=headers).status_code == 202


def test_text_of_every_script_goes_through(stack: Stack, home: Tenant, device: Device, bearer: dict[str, str]) -> None:
    name = "pømpe 温度 🌡️ %_\\\"'"
    assert home.api.ok("sync_device", {"integration_id": home.integration_id, "external_id": name}, token=home.member)
    rows = Api(f"{stack.gateway_url}/rest/v1").rows("devices", token=home.member, external_id=f"eq.{name}")
    assert [row["external_id"] for row in rows] == [name]
    headers = {**bearer, "Content-Type": "application/octet-stream", "X-Topic": f"{device.topic_prefix}/温度/🌡️".encode().decode("latin-1")}
    assert requests.post(f"{stack.gateway_url}{INGEST}/binary", data=b"1", headers=headers).status_code == 202


def test_a_request_after_head_is_not_lost(stack: Stack, home: Tenant) -> None:
    """PostgREST hangs up after it has answered HEAD; the gateway gives nobody such a connection."""
    headers = {"Authorization": f"Bearer {home.member}"}
    with requests.Session() as session:
        for _ in range(200):
            assert session.head(f"{stack.gateway_url}/rest/v1/devices", headers=headers).status_code == 200
            assert session.get(f"{stack.gateway_url}/rest/v1/devices?limit=0", headers=headers).status_code == 200


def test_a_device_s_message_after_anybody_s_head_is_not_lost(stack: Stack, device: Device) -> None:
    message = {"topic": device.topic(), "payload": 1}
    with requests.Session() as session:
        for _ in range(100):
            session.head(f"{stack.gateway_url}/rest/v1/rpc/rabbitmq_user")
            assert session.post(f"{stack.gateway_url}{INGEST}", json=message, headers=device.headers).status_code == 202


def test_an_app_in_a_browser_may_ask_first(stack: Stack) -> None:
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    response = requests.options(f"{stack.gateway_url}/rest/v1/rpc/list_devices", headers=headers)
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] in {"*", "https://app.example"}
    assert "authorization" in response.headers["Access-Control-Allow-Headers"].lower()


def test_the_api_being_away(post: Callable[..., requests.Response], stack: Stack, device: Device, bearer: dict[str, str]) -> None:
    message = {"topic": device.topic(), "payload": 1}
    assert post(INGEST, json=message, headers=bearer).status_code == 202
    stack.stop("intake")
    try:
        response = post(INGEST, json=message, headers=bearer)
        is_refused(response, 503, "upstream_unavailable")
        assert response.headers["Retry-After"] == "1"
        assert requests.get(f"{stack.gateway_url}/healthz").status_code == 200
    finally:
        stack.start("intake")
    wait_until(lambda: post(INGEST, json=message, headers=bearer).status_code == 202, what="the gateway finding the API again")


def test_the_stream_being_away(stack: Stack) -> None:
    stack.stop("stream")
    try:
        response = requests.get(f"{stack.gateway_url}/stream", headers={"Origin": "https://app.example"})
        is_refused(response, 503, "upstream_unavailable")
        assert response.headers["Retry-After"] == "1"
        assert response.headers["Access-Control-Allow-Origin"] == "*"
    finally:
        stack.start("stream")


def test_members_queries_hold_no_connection_that_a_device_needs(stack: Stack, home: Tenant, device: Device) -> None:
    """As many as the API has wait for a lock; a device's messages and a broker's questions have connections of their own."""

    def held() -> int:
        with stack.connect() as db:
            query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'authenticator' AND wait_event_type = 'Lock'"
            return int(db.execute(query).fetchone()[0])  # type: ignore[index]

    done = threading.Event()
    token = stack.token("service_role")  # of members, half as many run at a time

    def ask() -> None:
        while not done.is_set():
            requests.get(f"{stack.gateway_url}/rest/v1/mqtt_subscriptions", headers={"Authorization": f"Bearer {token}"}, timeout=70)

    def passes() -> bool:
        with requests.Session() as session:
            message = {"topic": device.topic(), "payload": 1}
            answers = [session.post(f"{stack.gateway_url}{INGEST}", json=message, headers=device.headers, timeout=70)]
            answers.append(session.post(f"{stack.gateway_url}/rest/v1/rpc/emqx_authenticate", json={}, timeout=70))
        return held() == 20 and [answer.status_code for answer in answers] == [202, 404]

    with ThreadPoolExecutor(24) as pool, stack.connect() as db, db.transaction():
        db.execute("LOCK TABLE mqtt.mqtt_subscriptions IN ACCESS EXCLUSIVE MODE")
        for _ in range(24):
            pool.submit(ask)
        try:
            wait_until(lambda: held() == 20, what="all of the API's connections waiting")
            wait_until(passes, what="a device's message and a broker's question passing them")
        finally:
            done.set()


def raw(stack: Stack, head: str, body: bytes = b"", source: str = "127.0.0.1", *, whole: bool = True) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to a request with a connection of its own; `whole` says that the body has all its bytes."""
    where = urlsplit(stack.gateway_url)
    with socket.create_connection((where.hostname, where.port), timeout=PATIENCE, source_address=(source, 0)) as connection:
        length = f"\r\nContent-Length: {len(body) if whole else 10_000}" if body else ""
        connection.sendall(f"{head}\r\nHost: gateway\r\nConnection: close{length}\r\n\r\n".encode() + body)
        answer = b""
        # What is refused before its body is read is answered at once, but closed only when no more of the body has come for a while.
        while (whole or not answer.endswith(b"}")) and (chunk := connection.recv(65536)):
            answer += chunk
    first, _, rest = answer.partition(b"\r\n\r\n")
    lines = first.decode("latin-1").split("\r\n")
    return int(lines[0].split()[1]), {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}, rest


REFUSED: dict[str, tuple[str, int, str]] = {
    "TRACE": ("TRACE /rest/v1/devices HTTP/1.1", 405, "method_not_allowed"),
    "a device's GET": ("GET /functions/v1/mqtt-ingest HTTP/1.1", 405, "method_not_allowed"),
    "an unknown transfer encoding": ("POST /functions/v1/mqtt-ingest HTTP/1.1\r\nTransfer-Encoding: gzip", 501, "not_implemented"),
    "a Latin-1 host": ("GET /rest/v1/devices HTTP/1.1\r\nX: y\r\nAccept: \u00e9", 400, "bad_request"),
    "a long query": (f"GET /rest/v1/devices?or=({','.join(['id.eq.1'] * 600)}) HTTP/1.1", 431, "headers_too_large"),
    "nine payloads": (f"GET /rest/v1/mqtt_messages?select={','.join(f'a{n}:payload' for n in range(9))} HTTP/1.1", 400, "bad_request"),
    "an escaped letter": ("GET /rest/v1/mqtt_messages?select=%70ayload HTTP/1.1", 400, "bad_request"),
    "an unknown path": ("GET /nowhere HTTP/1.1", 404, "route_not_found"),
    "a body that the stream does not take": ("POST /stream HTTP/1.1\r\nContent-Length: 3000000", 413, "body_too_large"),
    "a file's other version": ('GET /console/ HTTP/1.1\r\nIf-Match: "other"', 400, "bad_request"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_gateway_s_own_answers_are_json_that_any_page_may_read(stack: Stack, case: str) -> None:
    head, status, slug = REFUSED[case]
    found, headers, body = raw(stack, f"{head}\r\nOrigin: https://app.example")
    assert (found, json.loads(body)["message"]) == (status, slug)
    assert headers["content-type"] == "application/json"
    assert headers["access-control-allow-origin"] == "*"
    assert "Retry-After" in headers["access-control-expose-headers"]
    assert ("allow" in headers) == (status == 405)


METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")
DOORS = {
    "POST, OPTIONS": [
        INGEST, f"{INGEST}/batch", f"{INGEST}/binary", "/in/someone/t", "/in-secret/someone:secret/t",
        *(f"/functions/v1/mqtt-hybrid/{call}" for call in ("publish", "subscribe", "test", "credentials")),
        *(f"/rest/v1/rpc/{call}" for call in ("mqtt_ingest", "mqtt_ingest_batch", "mqtt_ingest_binary", "rabbitmq_user", "emqx_authorize")),
    ],
    "GET, HEAD": ["/console/"],
    "GET, HEAD, OPTIONS": ["/stream"],
    "GET, HEAD, POST, OPTIONS": ["/rest/v1/rpc/list_devices"],
}  # fmt: skip


@pytest.mark.parametrize(("allowed", "path"), [(allowed, path) for allowed, paths in DOORS.items() for path in paths])
def test_a_method_that_is_refused_is_told_which_are_not(stack: Stack, home: Tenant, allowed: str, path: str) -> None:
    for method in METHODS:
        # The stream does not end what it takes.
        login = "" if path == "/stream" else f"\r\nAuthorization: Bearer {home.member}"
        status, headers, body = raw(stack, f"{method} {path} HTTP/1.1{login}\r\nContent-Type: application/json")
        assert (status == 405) == (method not in allowed), method
        assert status != 405 or headers["allow"] == allowed, method
        # PostgREST has words of its own for what it refuses itself.
        assert b"method_not_allowed" not in body or json.loads(body)["hint"] == f"Allowed here: {allowed}."


def test_a_call_that_changes_something_is_not_for_get(stack: Stack, home: Tenant) -> None:
    headers = {"Authorization": f"Bearer {home.member}"}
    response = requests.get(f"{stack.gateway_url}/rest/v1/rpc/create_stream_ticket", headers=headers)
    assert (response.status_code, response.headers["Allow"]) == (405, "POST, OPTIONS")


def test_an_unknown_version_and_a_range_that_a_file_does_not_have(stack: Stack) -> None:
    status, headers, body = raw(stack, "GET /rest/v1/devices HTTP/3.0")
    assert (status, headers["content-type"], json.loads(body)["message"]) == (501, "application/json", "not_implemented")
    assert raw(stack, "GET /console/ HTTP/1.1\r\nRange: bytes=9999999-")[0] == 200


def test_a_host_that_is_no_text(stack: Stack) -> None:
    where = urlsplit(stack.gateway_url)
    with socket.create_connection((where.hostname, where.port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET /rest/v1/devices HTTP/1.1\r\nHost: \xe9\r\nConnection: close\r\n\r\n")
        assert connection.recv(65536).split()[1] == b"400"


def test_answers_of_the_api_say_to_a_page_what_it_may_read(stack: Stack, home: Tenant) -> None:
    headers = {"Origin": "https://app.example", "Authorization": f"Bearer {home.member}"}
    response = requests.get(f"{stack.gateway_url}/rest/v1/devices?limit=1", headers=headers)
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Retry-After" in response.headers["Access-Control-Expose-Headers"]
    response = requests.put(f"{stack.gateway_url}/rest/v1/rpc/list_devices", headers=headers, json={})
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD, POST, OPTIONS")


TOKEN_PATHS = [
    *(f"/rest/v1/rpc/{call}" for call in ("list_devices", "mqtt_publish")),
    *(f"/functions/v1/mqtt-hybrid/{call}" for call in ("publish", "test")),
]


@pytest.mark.parametrize("path", [INGEST, f"{INGEST}/batch", f"{INGEST}/binary", "/rest/v1/rpc/mqtt_ingest", *TOKEN_PATHS])
def test_who_shows_no_login_is_refused_before_the_body_is_read(stack: Stack, path: str) -> None:
    status, _, body = raw(stack, f"POST {path} HTTP/1.1\r\nContent-Type: application/json", b"{", whole=False)
    slug = "token_missing" if path in TOKEN_PATHS else "invalid_credentials"
    assert (status, json.loads(body)["message"]) == (401, slug)


def test_a_thousand_unknown_keys_cost_no_search(post: Callable[..., requests.Response], home: Tenant, bearer: dict[str, str]) -> None:
    """PostgREST would look for a call that resembles them (PGRST202), for seconds of a whole core."""
    keys = {f"key number {n}": n for n in range(1000)}
    is_refused(post(INGEST, json=keys, headers=bearer), 400, "message_invalid")
    is_refused(post("/rest/v1/rpc/mqtt_ingest", json=keys, headers={**bearer, "X-Username": "nobody"}), 400, "message_invalid")
    assert post(f"{INGEST}/batch", json=keys, headers=bearer).json()["message"] == "messages_invalid"
    member = {"Authorization": f"Bearer {home.member}"}
    is_refused(post("/rest/v1/rpc/mqtt_publish", json=keys, headers=member), 400, "argument_missing")
    assert post("/rest/v1/rpc/get_mqtt_publish_receipts", json=keys, headers=member).json() == []
    is_refused(post("/rest/v1/rpc/import_messages", json=keys, headers=member), 400, "argument_missing")
    is_refused(post("/rest/v1/rpc/list_devices", json=keys, headers=member), 413, "body_too_large")


def test_a_batch_is_imported_whole(post: Callable[..., requests.Response], home: Tenant, device: Device) -> None:
    messages = [{"topic": device.topic("old"), "payload": "x" * 100, "timestamp": 1700000000 + n} for n in range(200)]
    body = {"integration_id": home.integration_id, "messages": messages}
    answer = post("/rest/v1/rpc/import_messages", json=body, headers={"Authorization": f"Bearer {home.admin}"})
    assert answer.json() == {"imported": 200, "repeated": 0, "rejected": []}
    is_refused(post("/rest/v1/rpc/import_messages", json=body), 401, "token_missing")


def test_one_message_says_what_is_wrong_with_it(post: Callable[..., requests.Response], device: Device, bearer: dict[str, str]) -> None:
    topic = device.topic()
    is_refused(post(INGEST, json={"topic": topic}, headers=bearer), 400, "payload_missing")
    is_refused(post(INGEST, json={"topic": topic, "payload": 1, "Qos": 1}, headers=bearer), 400, "message_invalid")
    is_refused(post(INGEST, json=[], headers=bearer), 400, "message_invalid")
    for message in (
        {"payload": None},
        {"payload": 1, "qos": None, "retain": None},
        {"payload": 1, "qos": 1, "retain": True, "timestamp": 1771502400},
    ):
        assert post(INGEST, json={"topic": topic, **message}, headers=bearer).status_code == 202


def test_a_bare_batch_whose_messages_differ(post: Callable[..., requests.Response], device: Device, bearer: dict[str, str]) -> None:
    """PostgREST refuses an array whose members have other keys than the first, if it reads it."""
    batch = [{"topic": device.topic(), "payload": 1}, {"topic": device.topic(), "payload": 2, "qos": 1}, {"payload": 3}]
    for path in (f"{INGEST}/batch", "/rest/v1/rpc/mqtt_ingest_batch"):
        answer = post(path, json=batch, headers=bearer)
        assert answer.status_code == 202, answer.text
        assert (answer.json()["accepted"], [r["code"] for r in answer.json()["rejected"]]) == (2, ["topic_invalid"])


@pytest.mark.parametrize("content_type", ["text/json", "application/json;charset=UTF-8", "application/json; charset=", "APPLICATION/JSON"])
def test_names_of_json(post: Callable[..., requests.Response], device: Device, bearer: dict[str, str], content_type: str) -> None:
    body = json.dumps({"topic": device.topic(), "payload": 1})
    assert post(INGEST, data=body, headers={**bearer, "Content-Type": content_type}).status_code == 202


OTHER_BODIES = {
    "text": {"Content-Type": "text/plain"},
    "a form": {"Content-Type": "application/x-www-form-urlencoded"},
    "bytes": {"Content-Type": "application/octet-stream"},
    "XML": {"Content-Type": "application/xml"},
    "several parts": {"Content-Type": "multipart/form-data; boundary=x"},
    "gzip": {"Content-Type": "application/json", "Content-Encoding": "gzip"},
}


@pytest.mark.parametrize("kind", OTHER_BODIES)
def test_bodies_that_no_call_for_messages_takes(
    post: Callable[..., requests.Response], device: Device, bearer: dict[str, str], kind: str
) -> None:
    body = json.dumps({"topic": device.topic(), "payload": 1}).encode()
    for path in (INGEST, f"{INGEST}/batch", "/rest/v1/rpc/mqtt_ingest", "/rest/v1/rpc/mqtt_ingest_batch"):
        if kind not in ("text", "bytes") or path.endswith("batch"):
            is_refused(post(path, data=body, headers={**bearer, **OTHER_BODIES[kind]}), 415, "content_type_unsupported")
    assert (
        post(INGEST, data=body, headers={**bearer, "Content-Encoding": "identity", "Content-Type": "application/json"}).status_code == 202
    )


def test_bytes_of_any_type(post: Callable[..., requests.Response], home: Tenant, device: Device, bearer: dict[str, str]) -> None:
    """The type of the body is that of the payload, unless X-Content-Type tells another; what curl sends unasked is none."""
    topic = device.topic("typed")
    sent = [
        ({"Content-Type": "text/plain"}, "text", "text/plain"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, None, "application/octet-stream"),
        ({"Content-Type": "text/plain", "X-Content-Type": "image/png"}, None, "image/png"),
        ({"Content-Type": "text/plain", "Content-Encoding": "gzip"}, "text", "text/plain"),
    ]
    for headers, _, _ in sent:
        data = gzip.compress(b"text") if "Content-Encoding" in headers else b"text"
        assert post(f"{INGEST}/binary", data=data, headers={**bearer, "X-Topic": topic, **headers}).status_code == 202
    for encoding, status, slug in (("br", 415, "content_encoding_unsupported"), ("gzip", 400, "content_encoding_invalid")):
        headers = {**bearer, "X-Topic": topic, "Content-Encoding": encoding}
        is_refused(post("/rest/v1/rpc/mqtt_ingest_binary", data=b"x", headers=headers), status, slug)

    def stored() -> list[tuple[Any, str]]:
        rows = home.api.rows("mqtt_messages", token=home.member, topic=f"eq.{topic}", order="received_at,id")
        return [(row["payload"], row["content_type"]) for row in rows]

    wait_until(lambda: stored() == [(payload, content_type) for _, payload, content_type in sent], what="each with its type")


def test_bodies_that_drip_hold_the_connections_of_their_address_only(stack: Stack, device: Device) -> None:
    where = urlsplit(stack.gateway_url)
    head = f"POST {INGEST} HTTP/1.1\r\nHost: gateway\r\nX-Username: {device.username}\r\nX-Password: x\r\nContent-Length: 100\r\n\r\n{{"
    with ExitStack() as held:
        # Some more than there is room for, which are refused: should one be lost, another has its place.
        for _ in range(540):
            connection = held.enter_context(
                socket.create_connection((where.hostname, where.port), timeout=PATIENCE, source_address=("127.0.0.2", 0))
            )
            connection.sendall(head.encode())

        def is_full() -> bool:
            status, headers, _ = raw(stack, "GET /rest/v1/devices HTTP/1.1", source="127.0.0.2")
            return status == 429 and headers["retry-after"] == "1"

        wait_until(is_full, what="the address having no connection left")
        assert raw(stack, "GET /rest/v1/devices HTTP/1.1")[0] == 401


@pytest.mark.parametrize(
    "login", ["Authorization: Bearer no.such.token", "Authorization: Bearer no.such.token {}", "X-API-Key: tbk_none\r\nAuthorization: {}"]
)
def test_a_token_has_so_many_requests_a_second(stack: Stack, login: str) -> None:
    """Whoever sends again at once what was refused waits in the gateway; beyond four hundred they are refused there, and nobody else."""
    where = urlsplit(stack.gateway_url)
    with ExitStack() as held, selectors.DefaultSelector() as answered:
        for number in range(700):
            address = (f"127.0.0.{2 + number % 2}", 0)
            connection = held.enter_context(
                socket.create_connection((where.hostname, where.port), timeout=PATIENCE, source_address=address)
            )
            connection.sendall(f"GET /rest/v1/devices HTTP/1.1\r\nHost: gateway\r\n{login.format(number)}\r\n".encode())
            answered.register(connection, selectors.EVENT_READ)
        for key in list(answered.get_map().values()):
            key.fileobj.sendall(b"\r\n")  # type: ignore[union-attr]

        def is_refused_here() -> bool:
            for key, _ in answered.select(0):
                answered.unregister(key.fileobj)
                if b"too_many_connections" in key.fileobj.recv(65536):  # type: ignore[union-attr]
                    return True
            return False

        wait_until(is_refused_here, what="a request that is refused at the gateway")
        assert raw(stack, "GET /rest/v1/devices HTTP/1.1\r\nAuthorization: Bearer another.such.token")[0] == 401
