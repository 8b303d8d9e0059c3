"""`mqtt_test_connection`: the verdict, stage by stage, in words, and in time also when the peer is silent."""

import socket
import time
from collections.abc import Callable
from typing import Any

from tests.bridge.test_outbound import foreign, prefix
from tests.bridge.witness import Publish, Witness
from tests.support.tenant import Tenant

Tenants = Callable[..., Tenant]


def verdict(owner: Tenant, integration_id: str) -> dict[str, Any]:
    request = owner.api.ok("mqtt_test_connection", {"integration_id": integration_id}, token=owner.admin)
    began = time.monotonic()
    while time.monotonic() - began < 15:
        answer = owner.api.ok("get_mqtt_request", {"request_id": request["request_id"], "wait": 10}, token=owner.admin)
        if answer["status"] == "done":
            result: dict[str, Any] = answer["result"]
            return result
    raise AssertionError("no verdict in time")


def test_a_broker_that_works(tenant: Tenants) -> None:
    owner = tenant()
    found = verdict(owner, owner.integration_id)
    assert (found["ok"], found["reachable"], found["authenticated"], found["stage"]) == (True, True, True, "round_trip")
    assert found["may_publish"]
    assert found["may_subscribe"]
    assert 0 < found["round_trip_ms"] < 1000
    assert "round trip" in found["reason"]


def test_no_such_host(tenant: Tenants) -> None:
    owner = tenant()
    found = verdict(owner, owner.integration(broker_url="broker.invalid"))
    assert (found["ok"], found["reachable"], found["stage"]) == (False, False, "dns")
    assert found["reason"].startswith("Broker.invalid cannot be resolved")


def test_nobody_listens(tenant: Tenants) -> None:
    owner = tenant()
    with Witness() as gone:
        port = gone.port
    found = verdict(owner, foreign(owner, port))
    assert (found["ok"], found["reachable"], found["stage"]) == (False, False, "tcp")
    assert found["reason"] == "The connection failed: connection refused"


def test_a_silent_peer(tenant: Tenants, witness: Witness) -> None:
    owner = tenant()
    witness.answer_connect = False
    began = time.monotonic()
    found = verdict(owner, foreign(owner, witness.port))
    assert time.monotonic() - began < 12
    assert (found["ok"], found["reachable"], found["stage"]) == (False, True, "connack")
    assert found["reason"] == "The broker does not answer CONNECT"


def test_tls_to_a_peer_without(tenant: Tenants, witness: Witness) -> None:
    owner = tenant()
    integration_id = owner.integration(broker_url="127.0.0.1", port=witness.port, protocol="mqtts")
    found = verdict(owner, integration_id)
    assert (found["ok"], found["reachable"], found["stage"]) == (False, True, "tls")
    assert "TLS handshake" in found["reason"]


def test_no_mqtt_at_all(tenant: Tenants) -> None:
    owner = tenant()
    with socket.create_server(("127.0.0.1", 0)) as server:
        integration_id = foreign(owner, server.getsockname()[1])
        request = owner.api.ok("mqtt_test_connection", {"integration_id": integration_id}, token=owner.admin)
        server.settimeout(10)
        done = False
        while not done:
            client, _ = server.accept()
            with client:
                client.recv(1000)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            answer = owner.api.ok("get_mqtt_request", {"request_id": request["request_id"], "wait": 1}, token=owner.admin)
            done = answer["status"] == "done"
    assert not answer["result"]["ok"]
    assert answer["result"]["stage"] == "connack"


def test_a_refused_login(tenant: Tenants, witness: Witness) -> None:
    owner = tenant()
    witness.connack = 0x86
    found = verdict(owner, foreign(owner, witness.port))
    assert (found["ok"], found["reachable"], found["authenticated"], found["reason_code"]) == (False, True, False, 0x86)
    assert found["reason"] == "The broker refused the connection: Bad user name or password"
    witness.connack = 5
    found = verdict(owner, foreign(owner, witness.port, mqtt_version="3.1.1"))
    assert found["reason"] == "The broker refused the connection: Not authorized"


def test_rights_that_are_missing_are_said(tenant: Tenants, witness: Witness) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    found = verdict(owner, integration_id)
    assert found["ok"]
    assert found["reason"] == "The login works, but a message published to itself does not come back"
    witness.suback = 0x87
    found = verdict(owner, integration_id)
    assert (found["ok"], found["may_subscribe"], found["may_publish"]) == (True, False, True)

    def refuse(_message: Publish) -> int:
        return 0x87

    witness.suback, witness.on_publish = None, refuse
    found = verdict(owner, integration_id)
    assert (found["ok"], found["may_subscribe"], found["may_publish"]) == (True, True, False)
    assert prefix(owner) in found["reason"]


def test_it_does_not_disturb_the_integration(tenant: Tenants, witness: Witness) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port, client_id="mine")
    verdict(owner, integration_id)
    assert len([connect for connect in witness.connects if connect["client_id"] == "mine"]) == 1
