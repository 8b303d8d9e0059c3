"""A real Mosquitto of the test's own."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.support.ports import Port
from tests.support.waiting import PATIENCE, wait_until


class Mosquitto:
    """One of the test's own, which can be killed and may forget."""

    def __init__(
        self, directory: Path, *, persistence: bool = False, max_queued: int = 10000, settings: Iterable[str] = ("allow_anonymous true",)
    ) -> None:
        self._port = Port()
        self.port = self._port.number
        lines = [
            f"listener {self.port} 127.0.0.1",
            *settings,
            f"max_queued_messages {max_queued}",
            "max_inflight_messages 100",
        ]
        if persistence:
            lines += ["persistence true", f"persistence_location {directory}/", "autosave_on_changes true", "autosave_interval 1"]
        if os.geteuid() == 0:
            lines.append("user root")
        self._configuration = directory / "mosquitto.conf"
        self._configuration.write_text("\n".join(lines) + "\n")
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
        self._process = subprocess.Popen(
            ["mosquitto", "-c", str(self._configuration)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def is_up() -> bool:
            assert self._process.poll() is None
            return self._port.is_served()

        wait_until(is_up)

    def stop(self, *, kill: bool = False) -> None:
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait(PATIENCE)
