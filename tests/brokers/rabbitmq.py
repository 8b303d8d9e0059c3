"""A RabbitMQ of a test's own: real, with its MQTT and HTTP auth plugins, on free ports, gone without a trace afterwards."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import Port
from tests.support.stack import ROOT
from tests.support.waiting import PROGRAM_PATIENCE

# Debian's own wrapper in /usr/sbin insists on being root or its service's user; these run as anyone.
PROGRAMS = Path("/usr/lib/rabbitmq/bin")
PLUGINS = "[rabbitmq_mqtt,rabbitmq_auth_backend_http,rabbitmq_auth_backend_cache]."
START_SECONDS = 200.0


def install() -> None:
    """Have RabbitMQ on this machine; raises RuntimeError, with what to do, where that cannot be."""
    if not (PROGRAMS / "rabbitmq-server").exists():
        result = subprocess.run(
            [str(ROOT / "bin" / "install"), "packages", "test"], capture_output=True, text=True, check=False, timeout=600
        )
        if result.returncode != 0 or not (PROGRAMS / "rabbitmq-server").exists():
            raise RuntimeError(f"RabbitMQ is not there, and bin/install could not install it:\n{result.stdout}{result.stderr}")


def _session_of(process: Path) -> int | None:
    try:
        return os.getsid(int(process.name))
    except ProcessLookupError:
        return None


class RabbitMQ:
    """Context manager; `settings` are lines of rabbitmq.conf beside those that make it a test's own."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.settings = settings
        self._ports = [Port() for _ in range(3)]
        self.port, self._dist_port, self._epmd_port = (port.number for port in self._ports)
        # Short, and without dots: the node's name comes from it.
        self.dir = Path(tempfile.mkdtemp(prefix="tbr.", dir=os.environ.get("TOPICBASE_TEST_DIR", "/var/tmp")))  # noqa: S108
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> dict[str, str]:
        """What RabbitMQ's programs need to speak of this node."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        own = {
            "HOME": str(self.dir),  # where the cookie lies
            "RABBITMQ_NODENAME": f"tb{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_CONFIG_FILE": str(self.dir / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.dir / "none.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.dir / "none.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.dir / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.dir / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.dir / "log"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.dir / "config"),
            "RABBITMQ_SCHEMA_DIR": str(self.dir / "schema"),
            "RABBITMQ_PID_FILE": str(self.dir / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP_SECONDS": "0",
        }
        return {**environment, **own}

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.dir / "output").open("ab") as output:
            process = subprocess.Popen(
                command,
                env=self.environment,
                cwd=self.dir,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def control(self, *arguments: str) -> str:
        """`rabbitmqctl ARGUMENTS…` on this node."""
        result = subprocess.run(
            [str(PROGRAMS / "rabbitmqctl"), "--quiet", *arguments],
            env=self.environment,
            cwd=self.dir,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PROGRAM_PATIENCE,
        )
        assert result.returncode == 0, f"rabbitmqctl {arguments}: {result.stdout}{result.stderr}"
        return result.stdout

    @property
    def pids(self) -> list[int]:
        """All processes of ours: sessions of their own, so that Erlang's helpers are among them."""
        sessions = {process.pid for process in self._processes}
        return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and _session_of(path) in sessions]

    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in [self.dir / "output", *sorted((self.dir / "log").glob("*.log"))])

    def __enter__(self) -> Self:
        lines = {
            "listeners.tcp": "none",
            "mqtt.listeners.tcp.1": f"127.0.0.1:{self.port}",
            "mqtt.allow_anonymous": "false",
            "log.file.level": "info",
            **self.settings,
        }
        (self.dir / "rabbitmq.conf").write_text("".join(f"{name} = {value}\n" for name, value in lines.items()))
        (self.dir / "enabled_plugins").write_text(PLUGINS)
        try:
            # An epmd of our own in the foreground; Erlang would leave a daemon behind.
            self._spawn("epmd")
            server = self._spawn(str(PROGRAMS / "rabbitmq-server"))
            self._wait_for(server)
        except BaseException:
            self._end()
            raise
        return self

    def _wait_for(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"RabbitMQ did not start:\n{self.log()[-4000:]}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        for process in reversed(self._processes):
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    # The whole session: Erlang has helpers (erl_child_setup, inet_gethost).
                    os.killpg(process.pid, number)
                    process.wait(20 if number == signal.SIGTERM else None)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
        shutil.rmtree(self.dir, ignore_errors=True)
