"""What posts its own JSON, at its own URL: the bodies that the vendors document, every way to log in, every kind of body, and strangers."""

import gzip
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.gateway.test_requests import raw
from tests.support.api import Api, Device, one
from tests.support.stack import ROOT, Stack, files_below
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import wait_until

Post = Callable[..., requests.Response]

# The Things Network: Webhooks, data format of an uplink; ChirpStack: HTTP integration, event=up; OwnTracks: Booklet, HTTP mode; Shelly: a
# script's notification, as over MQTT.
TTN = {
    "end_device_ids": {"device_id": "dev1", "application_ids": {"application_id": "app1"}, "dev_eui": "0004A30B001C0530"},
    "correlation_ids": ["as:up:01E0WZGT6Y7657CPFPE5WEYDSQ"],
    "received_at": "2020-02-12T15:15:45.787Z",
    "uplink_message": {
        "session_key_id": "AXBSH1Pk6Z0G166+BgzLZw==", "f_port": 1, "f_cnt": 42, "frm_payload": "AGQ=",
        "decoded_payload": {"temperature": 21.5, "luminosity": 100},
        "rx_metadata": [{"gateway_ids": {"gateway_id": "gtw1"}, "rssi": -35, "snr": 5}],
    },
}  # fmt: skip
CHIRPSTACK = {
    "deduplicationId": "3ac7e3c4-4401-4b8d-9386-a5c902f9202d", "time": "2022-07-18T09:34:15.775023242+00:00",
    "deviceInfo": {"tenantId": "52f14cd4", "applicationId": "17c82e96", "deviceName": "Test device", "devEui": "0101010101010101"},
    "devAddr": "00189440", "dr": 1, "fPort": 1, "data": "qg==", "object": {"temperatureSensor": {"1": 22.5}},
    "rxInfo": [{"gatewayId": "0016c001f153a14c", "rssi": -57, "snr": 10}],
}  # fmt: skip
OWNTRACKS = {
    "_type": "location",
    "tid": "jj",
    "tst": 1793516400,
    "lat": 52.52,
    "lon": 13.4,
    "acc": 12,
    "batt": 86,
    "topic": "owntracks/jane/phone",
}
SHELLY = {
    "src": "shellyplus1pm-a8032abe54dc",
    "dst": "x",
    "method": "NotifyStatus",
    "params": {"ts": 1793516401.33, "switch:0": {"id": 0, "apower": 8.9}},
}


@pytest.fixture(scope="module")
def post(stack: Stack) -> Iterator[Post]:
    with requests.Session() as session:
        yield lambda path, **arguments: session.post(f"{stack.gateway_url}{path}", timeout=70, **arguments)


def basic(device: Device) -> dict[str, Any]:
    return {"auth": (device.username, device.password)}


def is_refused(response: requests.Response, status: int, slug: str) -> None:
    assert (response.status_code, response.json()["message"]) == (status, slug), response.text[:500]
    assert response.json()["hint"]


@pytest.mark.parametrize(
    ("preset", "setting", "path", "body", "external_id", "metric", "value"),
    [
        ("ttn-v3", None, "/v3/app1@ttn/devices/dev1/up", TTN, "dev1", "temperature", 21.5),
        (
            "chirpstack-v4",
            "application/{$.deviceInfo.applicationId}/device/{$.deviceInfo.devEui}/event/{topic[-1]}",
            "?event=up",
            CHIRPSTACK,
            "0101010101010101",
            "temperatureSensor.1",
            22.5,
        ),
        ("owntracks", "{$.topic}", "", OWNTRACKS, "jane/phone", "batt", 86),
        ("shelly-gen2", "{$.src}/events/rpc", "", SHELLY, "shellyplus1pm-a8032abe54dc", "switch:0.apower", 8.9),
    ],
)
def test_bodies_that_vendors_document(
    stack: Stack, api: Api, post: Post, preset: str, setting: str | None, path: str, body: Any, external_id: str, metric: str, value: float
) -> None:
    """With the setting that the ecosystem's page names; of two organizations that use the same preset, each has its own device."""
    over_http = (ROOT / f"docs/devices/{preset}.md").read_text(encoding="utf-8").split("\n## Over HTTP\n")[1].split("\n## ")[0]
    assert "https://<gateway>/in/<username>" in over_http
    assert setting is None or f"`{setting}`" in over_http
    for at_gateway in (True, False):
        tenant = make_tenant(stack, api, **({} if setting is None else {"http_topic": setting}))
        api.ok("apply_device_preset", {"integration_id": tenant.integration_id, "preset": preset}, token=tenant.admin)
        device = tenant.device()
        if at_gateway:
            answer = post(f"/in/{device.username}{path}", json=body, **basic(device))
        else:
            headers = {} if not path else {"X-Topic": path.removeprefix("?event=").removeprefix("/")}
            answer = api.call("mqtt_ingest_document", body, headers={**headers, **basic_header(device)})
        assert answer.status_code == (200 if preset == "owntracks" else 202), answer.text
        assert answer.json() == [] if preset == "owntracks" else answer.json()["status"] == "queued"

        def latest(tenant: Tenant = tenant) -> Any:
            rows = api.rows("devices", token=tenant.member, external_id=f"eq.{external_id}")
            return rows and rows[0]["latest"].get(metric)

        wait_until(latest, what=f"{external_id}'s {metric}")
        assert latest()["value"] == value
        stranger = make_tenant(stack, api)
        assert api.rows("devices", token=stranger.member) == []


def basic_header(device: Device) -> dict[str, str]:
    request = requests.Request("POST", "http://x", auth=(device.username, device.password)).prepare()
    return {"Authorization": request.headers["Authorization"]}


BODIES: list[tuple[str, bytes, dict[str, str], Any]] = [
    ("JSON", b'{"v": 1}', {"Content-Type": "application/json"}, {"v": 1}),
    ("JSON with a charset", b'{"v": 1}', {"Content-Type": "application/json; charset=utf-8"}, {"v": 1}),
    ("JSON of a vendor", b'{"v": 1}', {"Content-Type": "application/vnd.x+json"}, {"v": 1}),
    ("text", "21,5 °C".encode(), {"Content-Type": "text/plain"}, "21,5 °C"),
    (
        "a form", b"t=21.5&name=a+b%C3%A4&empty=&t2", {"Content-Type": "application/x-www-form-urlencoded"},
        {"t": "21.5", "name": "a bä", "empty": "", "t2": ""},
    ),
    ("gzip", gzip.compress(b'{"v": 2}'), {"Content-Type": "application/json", "Content-Encoding": "gzip"}, {"v": 2}),
    ("CBOR", b"\xa1\x61v\x05", {"Content-Type": "application/cbor"}, {"v": 5}),
    ("no type", b'{"v": 3}', {"Content-Type": ""}, {"v": 3}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "data", "headers", "payload"), BODIES, ids=[body[0] for body in BODIES])
def test_every_kind_of_body(
    home: Tenant, post: Post, device: Device, kind: str, data: bytes, headers: dict[str, str], payload: Any
) -> None:
    topic = f"{device.topic_prefix}/{uuid.uuid4().hex}"
    assert post(f"/in/{device.username}/{topic}", data=data, headers=headers, **basic(device)).status_code == 202, kind
    wait_until(
        lambda: [row["payload"] for row in home.api.rows("mqtt_messages", token=home.member, topic=f"eq.{topic}")] == [payload], what=kind
    )


REFUSED: list[tuple[bytes, dict[str, str], int, str]] = [
    (b"<a/>", {"Content-Type": "application/xml"}, 415, "content_type_unsupported"),
    (b"--x", {"Content-Type": "multipart/form-data; boundary=x"}, 415, "content_type_unsupported"),
    (b"{}", {"Content-Type": "application/json", "Content-Encoding": "br"}, 415, "content_encoding_unsupported"),
    (b"{}", {"Content-Type": "application/json", "Content-Encoding": "gzip"}, 400, "content_encoding_invalid"),
    (gzip.compress(bytes(4 << 20)), {"Content-Type": "application/json", "Content-Encoding": "gzip"}, 400, "content_encoding_invalid"),
    (b"{", {"Content-Type": "application/json"}, 400, "payload_invalid"),
    (b"", {"Content-Type": "application/json"}, 400, "payload_invalid"),
    (b'{"a": "\xff"}', {"Content-Type": "application/json"}, 400, "payload_invalid"),
    (b"a=%ff", {"Content-Type": "application/x-www-form-urlencoded"}, 400, "payload_invalid"),
    (b"[" * 500 + b"]" * 500, {"Content-Type": "application/json"}, 400, "payload_too_deep"),
    (b'"' + b"a" * 600_000 + b'"', {"Content-Type": "application/json"}, 413, "payload_too_large"),
]


@pytest.mark.parametrize(("data", "headers", "status", "slug"), REFUSED)
def test_bodies_that_are_refused(post: Post, device: Device, data: bytes, headers: dict[str, str], status: int, slug: str) -> None:
    is_refused(post(f"/in/{device.username}/x", data=data, headers=headers, **basic(device)), status, slug)


def test_every_login(post: Post, device: Device, home: Tenant) -> None:
    url, topic = f"/in/{device.username}", device.topic("every")
    other = home.device()
    assert post(f"{url}/{topic}", json={}, **basic(device)).status_code == 202
    assert post(f"{url}/{topic}", json={}, headers={"Authorization": f"Bearer {device.password}"}).status_code == 202
    assert post(f"{url}/{topic}", json={}, headers={"X-Password": device.password}).status_code == 202
    refused: list[tuple[str, dict[str, Any]]] = [
        (url, {}),
        (url, {"auth": (device.username, "wrong")}),
        (url, basic(other)),
        (url, {"headers": {"X-Password": other.password}}),
        (url, {**basic(device), "headers": {"X-Client-ID": "other"}}),
        ("/in/nobody", {"headers": {"X-Password": device.password}}),
        ("/in/", {"headers": {"X-Password": device.password}}),
    ]
    for path, arguments in refused:
        is_refused(post(path, json={}, **arguments), 401, "invalid_credentials")
    assert requests.get(f"{home.stack.gateway_url}{url}", timeout=70).status_code == 405


def test_topics(post: Post, device: Device, home: Tenant, api: Api) -> None:
    """Below the login's prefix, always; by the path, its escapes undone, or by http_topic."""
    prefix = device.topic_prefix
    for path, topic in {
        "": f"{prefix}/http",
        "/a/b%20%C3%A4": f"{prefix}/a/b ä",
        f"/{prefix}/c": f"{prefix}/c",
        "/org_other/d": f"{prefix}/org_other/d",
    }.items():
        message_id = post(f"/in/{device.username}{path}", json={}, **basic(device)).json()["message_id"]
        wait_until(lambda: api.rows("mqtt_messages", token=home.member, id=f"eq.{message_id}"), what=path)  # noqa: B023
        assert one(api.rows("mqtt_messages", token=home.member, id=f"eq.{message_id}"))["topic"] == topic
    for path in ("/a/%2B", "/%23", "/a%00b", "/a%0ab"):
        assert post(f"/in/{device.username}{path}", json={}, **basic(device)).status_code in (202, 400)
    is_refused(post(f"/in/{device.username}/a/%2B", json={}, **basic(device)), 400, "topic_invalid")
    by_payload = Tenant(
        home.stack,
        api,
        home.organization_id,
        home.slug,
        home.admin_id,
        home.member_id,
        home.integration("mqtt_hosted", http_topic="x/{$.id}"),
    )
    sender = by_payload.device()
    is_refused(post(f"/in/{sender.username}", json={"other": 1}, **basic(sender)), 400, "http_topic_incomplete")
    body = {"organization_id": home.organization_id, "name": "bad", "integration_type": "mqtt_hosted", "settings": {"http_topic": "{$.}"}}
    is_refused(api.call("upsert_integration", body, token=home.admin), 400, "setting_invalid")


def test_a_secret_in_the_path_only_if_the_operator_allows_it(stack: Stack, post: Post, device: Device) -> None:
    path = f"/in-secret/{device.username}:{device.password}/{device.topic()}"
    is_refused(post(path, json={}), 403, "secret_in_path_not_allowed")
    # Before the body has come.
    for url, status, slug in ((path, 403, "secret_in_path_not_allowed"), (f"/in-secret/{device.username}/x", 401, "invalid_credentials")):
        code, _, answer = raw(stack, f"POST {url} HTTP/1.1\r\nContent-Type: application/json", b"{", whole=False)
        assert (code, json.loads(answer)["message"]) == (status, slug)
    with stack.connect() as db:
        db.execute("UPDATE mqtt.configuration SET allow_secret_in_path = true")
    try:
        assert post(path, json={}).status_code == 202
        is_refused(post(path.replace(device.password, "x" * 32), json={}), 401, "invalid_credentials")
        assert post(path, data=b"x" * (3 << 20)).status_code == 413
    finally:
        with stack.connect() as db:
            db.execute("UPDATE mqtt.configuration SET allow_secret_in_path = false")
    logs = [file for file in files_below(stack.run_dir) if file.suffix == ".log"]
    assert logs
    assert not [file for file in logs if device.password in file.read_text(errors="replace")]


def test_plain_postgrest(api: Api, home: Tenant, device: Device) -> None:
    """By its Content-Type, or as bytes whose type X-Content-Type tells.

    To others PostgREST gives its own answer, before any function runs: the fields of a form and the columns of CSV are arguments to it, and
    there is no function that has them.
    """
    headers = {**basic_header(device), "X-Topic": "plain"}
    sent: list[tuple[bytes, dict[str, str], int]] = [
        (json.dumps({"a": 1}).encode(), {"Content-Type": "application/json"}, 202),
        (b"text", {"Content-Type": "text/plain"}, 202),
        (b"<t>1</t>", {"Content-Type": "text/xml"}, 202),
        (b"a=1", {"Content-Type": "application/octet-stream", "X-Content-Type": "application/x-www-form-urlencoded"}, 202),
        (
            gzip.compress(b'{"g": 1}'),
            {"Content-Type": "application/octet-stream", "X-Content-Type": "application/json", "X-Content-Encoding": "gzip"},
            202,
        ),
        (
            gzip.compress(b'{"g": 2}'),
            {"Content-Type": "application/octet-stream", "X-Content-Type": "application/json", "Content-Encoding": "gzip"},
            202,
        ),
        (b"a", {"Content-Type": "application/octet-stream", "X-Content-Type": "image/png"}, 415),
        (b"{}", {"Content-Type": "application/octet-stream", "X-Content-Type": "application/json", "X-Content-Encoding": "br"}, 415),
        (b"a", {"Content-Type": "image/png"}, 400),
        (b"a=1&b=2", {"Content-Type": "application/x-www-form-urlencoded"}, 404),
        (b"a,b\n1,2\n", {"Content-Type": "text/csv"}, 404),
    ]
    for data, more, status in sent:
        response = api.call("mqtt_ingest_document", data=data, headers={**headers, **more})
        assert response.status_code == status, (more, response.text)
    topic = f"eq.{device.topic_prefix}/plain"
    stored = [{"a": 1}, "text", "<t>1</t>", {"a": "1"}, {"g": 1}, {"g": 2}]
    wait_until(
        lambda: (
            [row["payload"] for row in home.api.rows("mqtt_messages", token=home.member, topic=topic, order="received_at,id")] == stored
        ),
        what="what was accepted",
    )
    for topic in ("a%00b", "a%ff"):
        is_refused(api.call("mqtt_ingest_document", {}, headers={**headers, "X-Path-Topic": topic}), 400, "topic_invalid")
