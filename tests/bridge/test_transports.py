"""TLS and WebSockets to a real Mosquitto, with a certificate authority of the test's own."""

import os
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.support import publish, receipts, status
from tests.bridge.test_connection_test import verdict
from tests.support.broker import Broker
from tests.support.ports import Port
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until

Tenants = Callable[..., Tenant]
TLS = ("mqtts", "wss")
EACH = pytest.mark.parametrize("protocol", TLS)


def openssl(*arguments: str, cwd: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True)


@dataclass
class Authority:
    """Certificates in a directory, made by OpenSSL's own program."""

    directory: Path
    name: str

    def __post_init__(self) -> None:
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", f"/CN={self.name}", "-keyout", f"{self.name}.key", "-out", f"{self.name}.pem", cwd=self.directory,
        )  # fmt: skip

    @property
    def pem(self) -> str:
        return (self.directory / f"{self.name}.pem").read_text()

    def issue(self, name: str, alternative: str, *validity: str) -> tuple[Path, Path]:
        """Certificate and key; validity is what `openssl x509` takes, such as -days 2."""
        openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr", cwd=self.directory,
        )  # fmt: skip
        (self.directory / f"{name}.ext").write_text(f"subjectAltName={alternative}\nbasicConstraints=CA:FALSE\n")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", f"{self.name}.pem", "-CAkey", f"{self.name}.key", "-CAcreateserial",
            "-extfile", f"{name}.ext", "-out", f"{name}.pem", *(validity or ("-days", "2")), cwd=self.directory,
        )  # fmt: skip
        return self.directory / f"{name}.pem", self.directory / f"{name}.key"


@dataclass
class Listeners:
    """Of a Mosquitto, by name."""

    authority: Authority
    ports: dict[str, int]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listeners]:
    """Mosquitto with a listener for each way in, and each way to get it wrong."""
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority(directory, "ca")
    names = ["mqtts", "wss", "ws", *(f"{protocol} {kind}" for protocol in TLS for kind in ("expired", "elsewhere", "mutual"))]
    held = {name: Port() for name in names}
    ports = {name: port.number for name, port in held.items()}
    right = authority.issue("localhost", "DNS:localhost,IP:127.0.0.1")
    expired = authority.issue("expired", "DNS:localhost,IP:127.0.0.1", "-days", "0")  # before Mosquitto has begun
    elsewhere = authority.issue("elsewhere", "DNS:broker.example.com")
    authority.issue("plant", "DNS:plant")
    lines = ["per_listener_settings true"]
    if os.geteuid() == 0:
        lines.append("user root")
    for name in names:
        lines += [f"listener {ports[name]} 127.0.0.1", "allow_anonymous true"]
        if name.startswith("ws"):
            lines.append("protocol websockets")
        if name != "ws":
            certificate, key = {"expired": expired, "elsewhere": elsewhere}.get(name.rpartition(" ")[2], right)
            lines += [f"certfile {certificate}", f"keyfile {key}", f"cafile {directory / 'ca.pem'}"]
        if name.endswith("mutual"):
            lines += ["require_certificate true", "use_identity_as_username true"]
    (directory / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    path = f"{os.environ['PATH']}:/usr/sbin"
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(
            ["mosquitto", "-c", str(directory / "mosquitto.conf")], env={**os.environ, "PATH": path}, stdout=log, stderr=log
        ) as process,
    ):

        def is_up() -> bool:
            assert process.poll() is None, (directory / "log").read_text()
            return held[names[-1]].is_served()

        wait_until(is_up)
        yield Listeners(authority, ports)
        process.terminate()


def works(owner: Tenant, integration_id: str) -> None:
    (row,) = receipts(owner, publish(owner, [{"topic": "a", "payload": 1, "qos": 1}], integration_id))
    assert row["state"] == "acknowledged"


def fails(stack: Stack, integration_id: str) -> str:
    wait_until(lambda: status(stack, integration_id)[0] == "error")
    return status(stack, integration_id)[1] or ""


@pytest.mark.parametrize("protocol", ["mqtts", "wss", "ws"])
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_each_transport_works(tenant: Tenants, broker: Listeners, protocol: str, version: str) -> None:
    owner = tenant()
    settings: dict[str, Any] = {} if protocol == "ws" else {"ca_certificate": broker.authority.pem}
    integration_id = owner.integration(
        broker_url="127.0.0.1", port=broker.ports[protocol], protocol=protocol, mqtt_version=version, **settings
    )
    works(owner, integration_id)
    found = verdict(owner, integration_id)
    assert found["ok"]
    assert found["stage"] == "round_trip", found
    if protocol != "ws":
        assert found["tls"]["version"] in ("TLSv1.2", "TLSv1.3")
        assert "CN=ca" in found["tls"]["issuer"].replace("commonName", "CN")


@EACH
def test_an_unknown_authority(stack: Stack, tenant: Tenants, broker: Listeners, tmp_path: Path, protocol: str) -> None:
    owner = tenant()
    other = Authority(tmp_path, "other")
    for settings in ({}, {"ca_certificate": other.pem}):
        integration_id = owner.integration(broker_url="127.0.0.1", port=broker.ports[protocol], protocol=protocol, **settings)
        assert "certificate was not accepted" in fails(stack, integration_id)
    found = verdict(owner, integration_id)
    assert (found["ok"], found["reachable"], found["stage"]) == (False, True, "tls")


@EACH
def test_an_expired_certificate(stack: Stack, tenant: Tenants, broker: Listeners, protocol: str) -> None:
    owner = tenant()
    integration_id = owner.integration(
        broker_url="127.0.0.1", port=broker.ports[f"{protocol} expired"], protocol=protocol, ca_certificate=broker.authority.pem
    )
    assert fails(stack, integration_id) == "the certificate was not accepted: certificate has expired"


@EACH
def test_another_hosts_certificate(stack: Stack, tenant: Tenants, broker: Listeners, protocol: str) -> None:
    owner = tenant()
    port = broker.ports[f"{protocol} elsewhere"]
    options: dict[str, Any] = {"broker_url": "127.0.0.1", "port": port, "protocol": protocol, "ca_certificate": broker.authority.pem}
    assert "certificate was not accepted" in fails(stack, owner.integration(**options))
    works(owner, owner.integration(**options, server_name="broker.example.com"))
    works(owner, owner.integration(**{**options, "verify_certificate": False}))


@EACH
def test_a_client_certificate(stack: Stack, tenant: Tenants, broker: Listeners, protocol: str) -> None:
    owner = tenant()
    options: dict[str, Any] = {
        "broker_url": "127.0.0.1", "port": broker.ports[f"{protocol} mutual"], "protocol": protocol, "ca_certificate": broker.authority.pem,
    }  # fmt: skip
    fails(stack, owner.integration(**options))
    directory = broker.authority.directory
    certificate, key = (directory / "plant.pem").read_text(), (directory / "plant.key").read_text()
    integration_id = owner.integration(**options, client_certificate=certificate, client_key=key)
    with stack.connect() as db:
        row = db.execute("SELECT settings -> 'client_key' FROM mqtt.device_integrations WHERE id = %s", (integration_id,)).fetchone()
    assert row is not None
    assert row[0].keys() == {"sealed", "key"}
    works(owner, integration_id)
    assert "PRIVATE KEY" not in stack.log("bridge")


def test_what_is_said_before_mqtt(stack: Stack, tenant: Tenants, witness: Broker, broker: Listeners) -> None:
    """The server's name (SNI) and the protocol (ALPN), as AWS IoT on port 443 wants them; the verdict tells what was agreed."""
    owner = tenant()
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    directory = broker.authority.directory
    context.load_cert_chain(directory / "localhost.pem", directory / "localhost.key")
    context.set_alpn_protocols(["mqtt"])
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    witness.tls = context
    options: dict[str, Any] = {"port": witness.port, "protocol": "mqtts", "ca_certificate": broker.authority.pem, "alpn": ["mqtt"]}
    works(owner, owner.integration(broker_url="localhost", **options))
    assert names == ["localhost"]
    integration_id = owner.integration(broker_url="127.0.0.1", server_name="localhost", **options)
    works(owner, integration_id)
    assert names == ["localhost", "localhost"]
    found = verdict(owner, integration_id)
    assert (found["tls"]["alpn"], found["tls"]["names"]) == ("mqtt", ["localhost", "127.0.0.1"])
    # A server that speaks another protocol only hangs up, or goes on without; it is told either way.
    context.set_alpn_protocols(["x-other"])
    assert "alpn" not in verdict(owner, integration_id).get("tls", {})


def test_a_sealed_password(stack: Stack, tenant: Tenants) -> None:
    owner = tenant()
    right = owner.integration(broker_url=stack.mqtt_host, port=stack.mqtt_port, username="topicbase_bridge", password=stack.broker_password)
    wrong = owner.integration(broker_url=stack.mqtt_host, port=stack.mqtt_port, username="topicbase_bridge", password="a-wrong-one")
    works(owner, right)
    assert "refused the connection" in fails(stack, wrong)
    for secret in (stack.broker_password, "a-wrong-one"):
        assert secret not in stack.log("bridge")


class Doorkeeper:
    """TLS as AWS IoT Core has it at port 443, in front of a real Mosquitto: client certificate, server name, and the right ALPN name."""

    def __init__(self, broker: Listeners, mqtt: tuple[str, int]) -> None:
        directory = broker.authority.directory
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(directory / "localhost.pem", directory / "localhost.key")
        self._context.load_verify_locations(directory / "ca.pem")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.set_alpn_protocols(["x-amzn-mqtt-ca"])
        self._context.sni_callback = lambda _sock, name, _context: self.names.append(name)
        self._mqtt = mqtt
        self.names: list[str | None] = []
        self.turned_away = 0
        self._listener = socket.create_server(("127.0.0.1", Port().number))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._let_in, args=(plain,), daemon=True).start()

    def _let_in(self, plain: socket.socket) -> None:
        with plain, suppress(OSError):
            plain.settimeout(PATIENCE)
            with self._context.wrap_socket(plain, server_side=True) as client:
                if client.selected_alpn_protocol() != "x-amzn-mqtt-ca":
                    self.turned_away += 1
                    return
                with socket.create_connection(self._mqtt) as server:
                    while True:
                        ready, _, _ = select.select([client, server], [], [], 0 if client.pending() else 30)
                        for one, other in ((client, server), (server, client)):
                            if one in ready or (one is client and client.pending()):
                                data = one.recv(65536)
                                if not data:
                                    return
                                other.sendall(data)

    def close(self) -> None:
        self._listener.close()


def test_alpn_and_a_client_certificate_as_aws_iot_asks_for_them(stack: Stack, tenant: Tenants, broker: Listeners) -> None:
    owner = tenant()
    directory = broker.authority.directory
    door = Doorkeeper(broker, (stack.mqtt_host, stack.mqtt_port))
    try:
        options: dict[str, Any] = {
            "broker_url": f"mqtts://localhost:{door.port}", "ca_certificate": broker.authority.pem,
            "client_certificate": (directory / "plant.pem").read_text(), "client_key": (directory / "plant.key").read_text(),
            "username": "topicbase_bridge", "password": stack.broker_password,
        }  # fmt: skip
        integration_id = owner.integration(**options, alpn=["x-amzn-mqtt-ca"])
        works(owner, integration_id)
        assert verdict(owner, integration_id)["tls"]["alpn"] == "x-amzn-mqtt-ca"
        assert set(door.names) == {"localhost"}
        without = owner.integration(**options)
        fails(stack, without)
        assert door.turned_away > 0
    finally:
        door.close()
