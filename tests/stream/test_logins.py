"""Who may open a stream: API keys, and tokens of keys that are changed."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
import psycopg
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.stream.support import Viewers, second_process, settle
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until

Connection = psycopg.Connection[tuple[Any, ...]]


def key_of(home: Tenant, **arguments: Any) -> tuple[str, str]:
    made = home.api.ok("create_api_key", {"organization_id": home.organization_id, "name": "app", **arguments}, token=home.admin)
    return made["key"], made["id"]


def test_an_api_key_opens_streams(home: Tenant, viewers: Viewers) -> None:
    key, _ = key_of(home)
    events = viewers.events(None, {"X-API-Key": key})
    frames = viewers.frames(None, api_key=key)
    by_header = viewers.frames(None, headers={"X-API-Key": key})
    for each in (frames, by_header):
        assert each.ask(type="subscribe", id="a")["type"] == "subscribed"
    settle(home, [1])
    assert events.payloads(1) == [1]
    assert [each.next()["message"]["payload"] for each in (frames, by_header)] == [1, 1]


def test_a_key_of_an_integration_sees_that_alone(home: Tenant, viewers: Viewers, db: Connection) -> None:
    second = home.integration(broker_url="broker.example.com")
    key, _ = key_of(home, integration_ids=[second])
    frames = viewers.frames(None, api_key=key)
    assert frames.ask(type="subscribe", id="messages")["type"] == "subscribed"
    # Both as it comes and from the history.
    before = viewers.events(home.member)
    settle(home, ["of the first"])
    settle(home, ["of the second"], integration_id=second)
    assert frames.next()["message"]["payload"] == "of the second"
    assert frames.ask(type="subscribe", id="again", since=before.cursor)["type"] == "subscribed"
    assert frames.next()["message"]["payload"] == "of the second"
    for stream, count in (("integrations", 1), ("presence", 1)):
        assert frames.ask(type="subscribe", id=stream, stream=stream)["type"] == "subscribed"
        rows = [frames.next() for _ in range(count + 1)]
        assert [row["type"] for row in rows] == [stream, "current"]
        assert second in (rows[0][stream]["id"], rows[0][stream].get("integration_id"))
    assert frames.ask(type="subscribe", id="s", stream="statistics")["code"] == "key_of_integrations"
    (device,) = db.execute(
        "SELECT id FROM mqtt.devices WHERE organization_id = %s AND integration_id = %s", (home.organization_id, home.integration_id)
    ).fetchone() or (None,)
    assert frames.ask(type="subscribe", id="d", device_id=str(device))["code"] == "device_not_found"


@pytest.mark.parametrize("how", ["revoke_api_key", "expires_at"])
def test_a_key_ends(home: Tenant, viewers: Viewers, db: Connection, how: str) -> None:
    key, key_id = key_of(home)
    events, frames = viewers.events(None, {"X-API-Key": key}), viewers.frames(None, api_key=key)
    assert frames.ask(type="subscribe", id="a", stream="receipts")["type"] == "subscribed"
    assert frames.next()["type"] == "current"
    if how == "revoke_api_key":
        home.api.ok("revoke_api_key", {"key_id": key_id}, token=home.admin)
    else:
        db.execute("UPDATE mqtt.api_keys SET expires_at = now() WHERE id = %s", (key_id,))
    event = events.next()
    assert (event.name, event.data["code"]) == ("error", "api_key_invalid")
    with pytest.raises(EOFError):
        events.next()
    assert frames.next()["code"] == "api_key_invalid"
    with pytest.raises(ConnectionClosed) as closed:
        frames.next()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
    viewers.refused(401, "api_key_invalid", None, {"X-API-Key": key})


def test_a_token_and_a_key_at_once(home: Tenant, viewers: Viewers) -> None:
    viewers.refused(400, "login_conflict", home.member, {"X-API-Key": key_of(home)[0]})


def test_a_token_cannot_bring_a_keys_rights(stack: Stack, home: Tenant, viewers: Viewers) -> None:
    forged = {"organization_id": home.organization_id, "scope": "admin"}
    viewers.refused(401, "claim_reserved", stack.token(sub=home.integration_id, api_key=forged))


# ------------------------------------------------------------------------------------------------------------ keys of tokens


def write_keys(path: Path, *keys: dict[str, Any]) -> None:
    """As a rotation does: another file takes the place of the old one."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"keys": list(keys)}))
    new.replace(path)


def test_keys_of_tokens_are_rotated(stack: Stack, home: Tenant, tmp_path: Path) -> None:
    old, new = rsa.generate_private_key(public_exponent=65537, key_size=2048), ec.generate_private_key(ec.SECP256R1())
    published = [
        {**RSAAlgorithm.to_jwk(old.public_key(), as_dict=True), "kid": "old"},
        {**ECAlgorithm(ECAlgorithm.SHA256).to_jwk(new.public_key(), as_dict=True), "kid": "new"},
    ]
    claims = {"role": "authenticated", "sub": home.member_id, "aud": stack.env["JWT_AUDIENCE"], "exp": int(time.time()) + 600}
    tokens = [
        jwt.encode(claims, old, algorithm="RS256", headers={"kid": "old"}),
        jwt.encode(claims, new, algorithm="ES256", headers={"kid": "new"}),
    ]
    keys = tmp_path / "jwks"
    write_keys(keys, published[0])

    def statuses(url: str) -> list[int]:
        answers = [
            requests.get(f"{url}/stream", headers={"Authorization": f"Bearer {token}"}, stream=True, timeout=PATIENCE)
            for token in (*tokens, home.member)
        ]
        for answer in answers:
            answer.close()
        return [answer.status_code for answer in answers]

    with second_process(stack, keys) as url:
        assert statuses(url) == [200, 401, 401], "the secret of other tokens is no key here"
        with connect(f"{url}/stream".replace("http", "ws", 1)) as follower:
            follower.send(json.dumps({"type": "hello", "token": tokens[0]}))
            assert json.loads(follower.recv()) == {"type": "ready"}
            write_keys(keys, *published)
            assert statuses(url) == [200, 200, 401]
            keys.write_text('{"keys": [')
            assert statuses(url) == [200, 200, 401], "a file that is being written changes nothing"
            write_keys(keys, published[1])
            assert statuses(url) == [401, 200, 401]
            # Who is connected goes on, and renews with the new key.
            follower.send(json.dumps({"type": "token", "token": tokens[1]}))
            assert json.loads(follower.recv()) == {"type": "ready"}
            follower.send(json.dumps({"type": "subscribe", "id": "a"}))
            assert json.loads(follower.recv())["type"] == "subscribed"


# ----------------------------------------------------------------------------------------------------------------- limits


def test_an_organization_has_its_connections_in_all_processes(
    stack: Stack, home: Tenant, viewers: Viewers, db: Connection, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(stack.env["JWT_SECRET"])
    db.execute("UPDATE mqtt.configuration SET max_stream_connections = 3")
    try:
        with second_process(stack, secret) as url:
            here = viewers.frames(home.member)
            assert here.ask(type="subscribe", id="a")["type"] == "subscribed"
            one = viewers.events(home.member)
            elsewhere = Viewers(stack, f"{url}/stream")

            def count(connections: int) -> bool:
                row = db.execute(
                    "SELECT sum(c.connections) FROM mqtt.stream_connections AS c JOIN mqtt.organizations AS o ON o.number = c.organization"
                    " WHERE o.id = %s",
                    (home.organization_id,),
                ).fetchone()
                return row == (connections,)

            wait_until(lambda: count(2), what="two connections counted")
            third = elsewhere.events(home.member)
            elsewhere.refused(429, "stream_limit_reached", home.member)
            wait_until(lambda: count(3), what="three connections counted")
            viewers.refused(429, "stream_limit_reached", home.member, stream="presence")
            assert here.ask(type="subscribe", id="b")["type"] == "subscribed", "a connection counts once"
            one.response.close()
            wait_until(lambda: count(2), what="one less counted")
            fourth = elsewhere.events(home.member)
            metrics = requests.get(f"{url}/metrics", timeout=PATIENCE).text
            assert "topicbase_stream_connections 2.0" in metrics
            assert 'topicbase_stream_subscriptions{stream="messages"} 2.0' in metrics
            for events in (third, fourth):
                events.response.close()
    finally:
        db.execute("UPDATE mqtt.configuration SET max_stream_connections = DEFAULT")
