"""Bridge processes of a test's own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.support.stack import ROOT, Stack
from tests.support.waiting import PATIENCE, wait_until


class Bridge:
    """A bridge process; `start()` again after it has ended is what a supervisor does."""

    def __init__(
        self,
        stack: Stack,
        directory: Path,
        name: str,
        *,
        database_port: int,
        broker_port: int,
        host: str = "127.0.0.1",
        constants: dict[str, Any] | None = None,
        prefix: tuple[str, ...] = (),
    ) -> None:
        secrets = stack._secrets()
        password_file = directory / "broker-password"
        password_file.write_text(secrets["BROKER_PASSWORD"])
        self.name = name
        self.log_path = directory / f"{name}.log"
        self._prefix = prefix
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("PG", "TOPICBASE_"))},
            "PGHOST": host,
            "PGPORT": str(database_port),
            "PGUSER": "mqtt_bridge",
            "PGPASSWORD": secrets["MQTT_BRIDGE_PASSWORD"],
            "PGDATABASE": "topicbase",
            "PGSSLMODE": "disable",
            "TOPICBASE_HOSTED_BROKER_URL": f"mqtt://{host}:{broker_port}",
            "TOPICBASE_HOSTED_BROKER_USERNAME": "topicbase_bridge",
            "TOPICBASE_HOSTED_BROKER_PASSWORD_FILE": str(password_file),
            "TOPICBASE_ALLOW_PRIVATE_ADDRESSES": "1",
            "CHAOS_CONSTANTS": json.dumps(constants or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> "Bridge":
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._prefix, sys.executable, "-m", "tests.chaos.bridge_main"],
                cwd=ROOT,
                env={**self._environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def run(self, *arguments: str) -> str:
        """What another command of the program says, in this bridge's place."""
        command = [*self._prefix, sys.executable, "-m", "bridge", *arguments]
        ended = subprocess.run(command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False, timeout=PATIENCE)
        return ended.stdout

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait_connected(self, times: int = 1) -> None:
        wait_until(lambda: self.log.count(" database_connected ") >= times, what=f"{self.name} connecting to the database")

    def kill(self) -> None:
        if self.is_alive():
            self.signal(signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Wait for its end; returns the exit status."""
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def terminate(self) -> float:
        """SIGTERM; returns the seconds until it had ended."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        self.wait()
        return time.monotonic() - began
