"""`mqtt_test_connection`: the verdict, stage by stage, in words, and in time also when the peer is silent."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.bridge.support import publish, receipts, status
from tests.bridge.test_inbound import history, hosted
from tests.bridge.test_outbound import foreign, prefix
from tests.support.broker import Broker, Publish
from tests.support.ports import Port
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, PROGRAM_PATIENCE, wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
Tenants = Callable[..., Tenant]


def verdict(owner: Tenant, integration_id: str) -> dict[str, Any]:
    request = owner.api.ok("mqtt_test_connection", {"integration_id": integration_id}, token=owner.admin)
    return answered(owner, request["request_id"])


def answered(owner: Tenant, request_id: str) -> dict[str, Any]:
    """The result of a request, once it is there."""

    def is_done() -> dict[str, Any]:
        answer = owner.api.ok("get_mqtt_request", {"request_id": request_id, "wait": 10}, token=owner.admin)
        return dict(answer["result"]) if answer["status"] == "done" else {}

    return wait_until(is_done, what="a verdict")


def test_a_broker_that_works(tenant: Tenants) -> None:
    owner = tenant()
    found = verdict(owner, owner.integration_id)
    assert (found["ok"], found["reachable"], found["authenticated"], found["stage"]) == (True, True, True, "round_trip")
    assert found["may_publish"]
    assert found["may_subscribe"]
    assert 0 < found["round_trip_ms"] <= found["elapsed_ms"]
    assert "round trip" in found["reason"]


def test_its_stages_are_told_as_they_pass(db: Connection, tenant: Tenants) -> None:
    owner = tenant()
    db.execute("""
        CREATE TABLE public.told (n bigserial, id uuid, status text, result jsonb);
        CREATE FUNCTION public.tell() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO public.told (id, status, result) VALUES (new.id, new.status, new.result);
            RETURN NULL;
        END $$;
        CREATE TRIGGER tell AFTER UPDATE OF result ON mqtt.mqtt_requests FOR EACH ROW EXECUTE FUNCTION public.tell();
        ALTER FUNCTION public.tell() SECURITY DEFINER SET search_path = pg_catalog;
    """)
    try:
        request = owner.api.ok("mqtt_test_connection", {"integration_id": owner.integration_id}, token=owner.admin)
        assert answered(owner, request["request_id"])["ok"]
        rows = db.execute("SELECT status, result FROM public.told WHERE id = %s ORDER BY n", (request["request_id"],)).fetchall()
    finally:
        db.execute("DROP TRIGGER tell ON mqtt.mqtt_requests; DROP FUNCTION public.tell(); DROP TABLE public.told")
    told = [(status, result["stage"], "tcp_ms" in result, "ok" in result) for status, result in rows]
    stages = [("dns", False), ("tcp", True), ("connack", True), ("subscribe", True), ("publish", True)]
    assert told == [*(("running", stage, has_time, False) for stage, has_time in stages), ("done", "round_trip", True, True)]


def test_a_login_that_has_one_client_id(stack: Stack, db: Connection, tenant: Tenants) -> None:
    """As one of the hosted broker does: the test takes a second one that the login may use, and leaves the first one's session alone."""
    owner = hosted(db, tenant)
    device = owner.device()
    options = {"username": device.username, "password": device.password, "client_id": device.client_id}
    integration_id = foreign(owner, stack.mqtt_port, **options)
    wait_until(lambda: status(stack, integration_id) == ("active", None), what="the integration is connected")
    verdicts: list[dict[str, Any]] = []

    def is_through() -> bool:
        """On a busy machine both client ids have been refused at first."""
        verdicts.append(verdict(owner, integration_id))
        return bool(verdicts[-1]["ok"])

    wait_until(is_through, what="a verdict like that of the integration")
    assert (verdicts[-1]["stage"], "reason_code" in verdicts[-1]) == ("round_trip", False), verdicts
    # The hosted integration hears both, and no test is a device's message.
    assert verdict(owner, owner.integration_id)["stage"] == "round_trip"
    (sent,) = receipts(owner, publish(owner, [{"topic": f"{prefix(owner)}/x", "payload": 1, "qos": 1}], integration_id))
    assert sent["state"] == "acknowledged"
    assert f"broker_lost integration={integration_id}" not in stack.log("bridge")
    assert [row["topic"] for row in history(stack, owner, 1)] == [f"{prefix(owner)}/x"]


def test_no_such_host(tenant: Tenants) -> None:
    owner = tenant()
    found = verdict(owner, owner.integration(broker_url="broker.invalid"))
    assert (found["ok"], found["reachable"], found["stage"]) == (False, False, "dns")
    assert found["reason"].startswith("Broker.invalid cannot be resolved")


def test_nobody_listens(tenant: Tenants, port: Port) -> None:
    owner = tenant()
    found = verdict(owner, foreign(owner, port.number))
    assert (found["ok"], found["reachable"], found["stage"]) == (False, False, "tcp")
    assert found["reason"] == "The connection failed: connection refused"


def test_tls_to_a_peer_without(tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    integration_id = owner.integration(broker_url="127.0.0.1", port=witness.port, protocol="mqtts")
    found = verdict(owner, integration_id)
    assert (found["ok"], found["reachable"], found["stage"]) == (False, True, "tls")
    assert "TLS handshake" in found["reason"]


def test_no_mqtt_at_all(tenant: Tenants) -> None:
    owner = tenant()
    with socket.create_server(("127.0.0.1", Port().number)) as server:
        integration_id = foreign(owner, server.getsockname()[1])
        request = owner.api.ok("mqtt_test_connection", {"integration_id": integration_id}, token=owner.admin)
        server.settimeout(PATIENCE)
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


def test_a_refused_login(tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    witness.connack = 0x86
    found = verdict(owner, foreign(owner, witness.port))
    assert (found["ok"], found["reachable"], found["authenticated"], found["reason_code"]) == (False, True, False, 0x86)
    assert found["reason"] == "The broker refused the connection: Bad user name or password"
    witness.connack = 5
    found = verdict(owner, foreign(owner, witness.port, mqtt_version="3.1.1"))
    assert found["reason"] == "The broker refused the connection: Not authorized"


def test_rights_that_are_missing_are_said(tenant: Tenants, witness: Broker) -> None:
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


def test_it_does_not_disturb_the_integration(tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port, client_id="mine")
    verdict(owner, integration_id)
    assert len([connect for connect in witness.connects if connect["client_id"] == "mine"]) == 1


def test_silence_at_each_stage(tenant: Tenants) -> None:
    """All at once, since each takes the time that a verdict may take."""
    owner = tenant()
    with ExitStack() as ends:
        full = ends.enter_context(socket.socket())
        full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        full.bind(("127.0.0.1", Port().number))
        full.listen(0)
        # Linux drops what comes when the queue of connections that nobody takes is full.
        for _ in range(3):
            waiting = ends.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        mute = ends.enter_context(socket.create_server(("127.0.0.1", Port().number)))
        brokers = {name: ends.enter_context(Broker()) for name in ("connack", "subscribe", "publish", "round_trip")}
        brokers["connack"].answer_connect = False
        brokers["subscribe"].answer_subscribe = False
        brokers["publish"].on_publish = lambda _message: "ignore"
        dribbling = ends.enter_context(Dribbler())
        integrations = {
            "tcp": foreign(owner, full.getsockname()[1]),
            "tls": owner.integration(broker_url="127.0.0.1", port=mute.getsockname()[1], protocol="mqtts"),
            "websocket": owner.integration(broker_url="127.0.0.1", port=mute.getsockname()[1], protocol="ws"),
            "websocket, a byte at a time": owner.integration(broker_url="127.0.0.1", port=dribbling.port, protocol="ws"),
            **{name: foreign(owner, broker.port) for name, broker in brokers.items()},
        }
        began = time.monotonic()
        requests = {
            name: owner.api.ok("mqtt_test_connection", {"integration_id": integration_id}, token=owner.admin)["request_id"]
            for name, integration_id in integrations.items()
        }
        found = {name: answered(owner, request_id) for name, request_id in requests.items()}
        took = 1000 * (time.monotonic() - began)
    assert took < sum(result["elapsed_ms"] for result in found.values()) / 2, "all at once"
    assert {name: result["stage"] for name, result in found.items()} == {name: name.partition(",")[0] for name in integrations}
    assert {name: result["reason"] for name, result in found.items()} == {
        "tcp": "The connection failed: no answer in time",
        "tls": "No answer in time to the TLS handshake",
        "websocket": "The WebSocket handshake failed: timed out",
        "websocket, a byte at a time": "The WebSocket handshake failed: timed out",
        "connack": "The broker does not answer CONNECT",
        "subscribe": "The login works, but the broker does not answer SUBSCRIBE",
        "publish": "The login works, but the broker does not acknowledge a publish",
        "round_trip": "The login works, but a message published to itself does not come back",
    }
    assert all(result["elapsed_ms"] < 2 * 8000 for result in found.values()), "after 8 s, and what this machine adds to that"


class Dribbler:
    """Answers with a byte now and then, for ever."""

    def __enter__(self) -> "Dribbler":
        self._server = socket.create_server(("127.0.0.1", Port().number))
        self.port: int = self._server.getsockname()[1]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)
        self._server.close()

    def _serve(self) -> None:
        clients: list[socket.socket] = []
        self._server.settimeout(0.2)
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                clients.append(self._server.accept()[0])
            for client in clients:
                with contextlib.suppress(OSError):
                    client.sendall(b"x")
        for client in clients:
            client.close()


def test_name_servers_that_keep_silent(tmp_path: Path) -> None:
    """In a network of its own, where the only name server never answers: a resolver left alone would take half a minute."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.53\noptions timeout:10 attempts:3\n")
    (tmp_path / "nsswitch.conf").write_text("hosts: dns\n")
    script = (
        "import socket, sys, time\n"
        "server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "server.bind(('127.0.0.53', 53))\n"
        "from bridge.mqtt.sockets import DialError, dial\n"
        "from bridge.mqtt.target import Target\n"
        "began = time.monotonic()\n"
        "try:\n"
        "    dial(Target('broker.example.com', 1883, 'x', trusted=True), 1.0)\n"
        "except DialError as error:\n"
        "    print(error.stage, error, time.monotonic() - began < 9, sep='|')\n"
    )
    mounts = " && ".join(f"mount --bind '{tmp_path}/{name}' /etc/{name}" for name in ("resolv.conf", "nsswitch.conf"))
    command = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net", "--mount", "--propagation=private", "sh", "-c"]
    command.append(f"{mounts} && ip link set lo up && echo here && exec '{sys.executable}' -c \"$0\"")
    ran = subprocess.run([*command, script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=PROGRAM_PATIENCE)
    lines = ran.stdout.splitlines()
    if not lines:
        pytest.skip(f"no network namespace with mounts here: {ran.stderr.strip()}")
    assert lines[1:] == ["dns|broker.example.com cannot be resolved: no answer in time|True"], ran.stderr
