"""The bridge as a service: its settings file, SIGHUP, and what it tells systemd over a real datagram socket."""

import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from bridge.settings import NAMES
from tests.bridge.support import publish, receipts, status
from tests.cli.conftest import PROGRAM, bridge_environment
from tests.support.api import Api
from tests.support.ports import Port
from tests.support.stack import ROOT, Stack, postgrest_program, start_stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import PATIENCE, wait_until


@pytest.fixture(scope="module")
def own() -> Iterator[Stack]:
    """A stack without its bridge: each test starts the one it wants, with the same settings."""
    running = start_stack()
    yield running
    running.down()


class Service:
    """A bridge that is started as a service would be."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, ready_url: str) -> None:
        self.process = process
        self.log_file = log
        self._ready_url = ready_url

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log
        try:
            return requests.get(self._ready_url, timeout=PATIENCE).ok
        except requests.ConnectionError:
            return False

    def reload(self) -> str:
        """SIGHUP; the line that says what came of it."""
        lines = r"^.* (?:reloaded|reload_failed) .*$"
        before = len(re.findall(lines, self.log, re.MULTILINE))
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(re.findall(lines, self.log, re.MULTILINE)) > before, what="the reload")
        return str(re.findall(lines, self.log, re.MULTILINE)[-1])


@pytest.fixture
def settings(own: Stack) -> dict[str, str]:
    """Of the stack's bridge, which is stopped."""
    environment = bridge_environment(own) if (own.run_dir / "bridge.pid").exists() else SAVED[own.run_dir]
    SAVED[own.run_dir] = environment
    own.stop("bridge")
    return environment


SAVED: dict[Path, dict[str, str]] = {}


@contextmanager
def service(settings: dict[str, str], directory: Path, **extra: str) -> Iterator[tuple[Service, Path]]:
    """The bridge, with its settings in a file and nothing but what a service has in its environment; the file."""
    config = directory / "bridge.env"
    mine = {name: value for name, value in settings.items() if name.startswith("PG") or name in NAMES}
    port = Port()
    mine["TOPICBASE_METRICS_ADDRESS"] = f"127.0.0.1:{port.number}"
    config.write_text("# of a test\n" + "".join(f"{name}={value}\n" for name, value in mine.items()))
    environment = {"PATH": os.environ["PATH"], "TOPICBASE_CONFIG": str(config), **extra}
    log = directory / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen([PROGRAM, "run"], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stderr=output) as process,
    ):
        try:
            yield Service(process, log, f"http://{mine['TOPICBASE_METRICS_ADDRESS']}/readyz"), config
        finally:
            process.terminate()
            process.wait(PATIENCE)


def change(config: Path, **values: str | None) -> None:
    lines = [line for line in config.read_text().splitlines() if line.partition("=")[0] not in values]
    config.write_text("\n".join([*lines, *(f"{name}={value}" for name, value in values.items() if value is not None)]) + "\n")


def test_a_reload_takes_over_what_can_change(own: Stack, settings: dict[str, str], tmp_path: Path) -> None:
    owner = make_tenant(own, Api(own.api_url))
    with service(settings, tmp_path) as (bridge, config):
        wait_until(bridge.is_ready, what="the bridge is ready")
        wait_until(lambda: held(own, owner) and status(own, owner.integration_id)[0] == "active", what="connected")
        assert "changed=nothing" in bridge.reload()

        change(config, TOPICBASE_LOG_LEVEL="DEBUG")
        assert "changed=log_level" in bridge.reload()

        change(config, TOPICBASE_METRICS_ADDRESS="127.0.0.1:1", PGAPPNAME="x")
        line = bridge.reload()
        assert "changed=nothing" in line
        assert "needs_restart=" in line
        assert "TOPICBASE_METRICS_ADDRESS" in line
        assert "PGAPPNAME" in line
        assert bridge.is_ready()

        change(config, TOPICBASE_LOG_LEVEL="LOUD")
        assert "TOPICBASE_LOG_LEVEL=LOUD" in bridge.reload()
        change(config, TOPICBASE_LOG_LEVEL="INFO", TOPICBASE_HOSTED_BROKER_PASSWORD_FILE="/nowhere")
        assert "reload_failed" in bridge.reload()
        works(owner)

        # Connections whose terms are the same were left alone by all that.
        assert bridge.log.count(f"broker_connected integration={owner.integration_id}") == 1
        assert "broker_lost" not in bridge.log


def test_a_reload_takes_a_new_broker_password_and_a_new_key(own: Stack, settings: dict[str, str], tmp_path: Path) -> None:
    owner = make_tenant(own, Api(own.api_url))
    wrong = tmp_path / "wrong"
    wrong.write_text("not-the-password\n")
    key = settings["TOPICBASE_PRIVATE_KEY_FILE"]
    # Mosquitto's files are left alone here: they would make the wrong password the right one.
    ours = {name: value for name, value in settings.items() if not name.startswith("TOPICBASE_MOSQUITTO_")}
    right = ours["TOPICBASE_HOSTED_BROKER_PASSWORD_FILE"]
    ours |= {"TOPICBASE_HOSTED_BROKER_PASSWORD_FILE": str(wrong)}
    del ours["TOPICBASE_PRIVATE_KEY_FILE"]
    sealed = owner.integration(broker_url=own.mqtt_host, port=own.mqtt_port, username="topicbase_bridge", password=own.broker_password)
    with service(ours, tmp_path) as (bridge, config):
        wait_until(lambda: "refused the connection" in (status(own, owner.integration_id)[1] or ""), what="the password is refused")
        wait_until(lambda: "no private key" in (status(own, sealed)[1] or ""), what="there is no key")
        change(config, TOPICBASE_HOSTED_BROKER_PASSWORD_FILE=right, TOPICBASE_PRIVATE_KEY_FILE=key)
        assert 'changed="hosted_password,private_keys"' in bridge.reload()
        for integration_id in (owner.integration_id, sealed):
            wait_until(lambda one=integration_id: status(own, one)[0] == "active", what="connected")  # type: ignore[misc]
        works(owner)
        assert own.broker_password not in bridge.log


def held(stack: Stack, owner: Tenant) -> bool:
    with stack.connect() as db:
        return db.execute("SELECT FROM mqtt.bridge_leases WHERE integration_id = %s", (owner.integration_id,)).fetchone() is not None


def works(owner: Tenant) -> None:
    (row,) = receipts(owner, publish(owner, [{"topic": f"org_{owner.slug}/devices/d/c", "payload": 1, "qos": 1}]))
    assert row["state"] == "acknowledged"


def test_a_settings_file_that_is_wrong_ends_it(settings: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "bridge.env"
    config.write_text("PGHOST=x\nTOPICBASE_METRICS_ADRESS=127.0.0.1:1\n")
    ended = subprocess.run(
        [PROGRAM, "--config", str(config), "run"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert ended.returncode == 2
    assert "line 2: unknown setting TOPICBASE_METRICS_ADRESS" in ended.stderr


class Supervisor:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            data = self._socket.recv(65536)
            if data == b"end":
                return
            self.said += data.decode().splitlines()

    def close(self, address: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"end", address)
        self._thread.join(PATIENCE)
        self._socket.close()


@pytest.fixture(params=["file", "abstract"])
def supervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Supervisor, str]]:
    name = f"topicbase-{os.getpid()}-{request.param}"
    address = f"\0{name}" if request.param == "abstract" else str(tmp_path / "notify")
    listening = Supervisor(address)
    yield listening, f"@{name}" if request.param == "abstract" else address
    listening.close(address)


def test_systemd_is_told(own: Stack, settings: dict[str, str], supervisor: tuple[Supervisor, str], tmp_path: Path) -> None:
    heard, address = supervisor
    with service(settings, tmp_path, NOTIFY_SOCKET=address, WATCHDOG_USEC="2000000") as (bridge, _):
        wait_until(lambda: "READY=1" in heard.said, what="READY")
        assert bridge.is_ready()
        count = heard.said.count("WATCHDOG=1")
        wait_until(lambda: heard.said.count("WATCHDOG=1") > count + 2, what="signs of life")
        wait_until(lambda: any(line.startswith("STATUS=") and "held" in line for line in heard.said), what="a status")
        bridge.reload()
        wait_until(lambda: heard.said.count("READY=1") == 2, what="READY after the reload")
        at = heard.said.index("RELOADING=1")
        assert heard.said[at + 1].startswith("MONOTONIC_USEC=")
        assert "READY=1" in heard.said[at:]
        # The socket is not handed on, nor named where others look.
        assert "NOTIFY_SOCKET" not in bridge.log
        bridge.process.terminate()
        wait_until(lambda: "STOPPING=1" in heard.said, what="STOPPING")
        assert bridge.process.wait(PATIENCE) == 0


def test_no_database_is_no_failed_start_and_no_death(own: Stack, settings: dict[str, str], tmp_path: Path) -> None:
    """While the database is away, systemd hears that the process lives, and not that it is ready."""
    heard = Supervisor(str(tmp_path / "notify"))
    own.stop("postgres")
    try:
        with service(settings, tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="2000000"):
            wait_until(lambda: heard.said.count("WATCHDOG=1") > 3, what="signs of life")
            assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in heard.said)
            assert any("no database connection" in line for line in heard.said)
            assert "READY=1" not in heard.said
            own.start("postgres")
            wait_until(lambda: "READY=1" in heard.said, what="READY")
    finally:
        own.run("start", "postgres", check=False)
        heard.close(str(tmp_path / "notify"))


def test_a_process_that_hangs_gives_no_sign_of_life(own: Stack, settings: dict[str, str], tmp_path: Path) -> None:
    heard = Supervisor(str(tmp_path / "notify"))
    try:
        with service(settings, tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="1000000") as (bridge, _):
            wait_until(lambda: heard.said.count("WATCHDOG=1") > 3, what="signs of life")
            bridge.process.send_signal(signal.SIGSTOP)
            try:
                count = heard.said.count("WATCHDOG=1")
                with pytest.raises(AssertionError):
                    wait_until(lambda: heard.said.count("WATCHDOG=1") > count + 1, 2, "none")
            finally:
                bridge.process.send_signal(signal.SIGCONT)
            wait_until(lambda: heard.said.count("WATCHDOG=1") > count + 1, what="signs of life again")
    finally:
        heard.close(str(tmp_path / "notify"))


@pytest.mark.parametrize(
    ("name", "program", "path"),
    [
        ("topicbase.service", "/opt/topicbase/bin/topicbase", str(PROGRAM)),
        ("topicbase-stream.service", "/opt/topicbase/bin/topicbase", str(PROGRAM)),
        ("topicbase-jwks.service", "/opt/topicbase/bin/topicbase", str(PROGRAM)),
        ("topicbase-postgrest.service", "/usr/local/bin/postgrest", postgrest_program()),
    ],
)
def test_the_unit_is_one_that_systemd_takes(tmp_path: Path, name: str, program: str, path: str) -> None:
    """By systemd's own check; the program that it names is put where this checkout has it."""
    unit = tmp_path / name
    unit.write_text((ROOT / "packaging" / name).read_text().replace(program, path))
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    ours = [line for line in (checked.stdout + checked.stderr).splitlines() if "topicbase" in line]
    assert ours == []
