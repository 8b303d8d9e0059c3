"""What all devices share: pace, counts and bad messages."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from demo.counts import Counts
from demo.readings import Reading

READY_SECONDS = 30.0


@dataclass(frozen=True)
class Login:
    """What `generate_mqtt_credentials` answered, or an account at the tenant's own broker."""

    username: str
    password: str
    client_id: str


def now() -> str:
    return datetime.now(UTC).isoformat()


@dataclass(frozen=True)
class Setup:
    """What every device needs to know."""

    device_id: str
    run: str  # marks the messages of this run
    integration_id: str
    prefix: str  # of its topics
    login: Login
    read: Callable[[], Reading]
    metric: str  # the value of the reading that is shown
    interval: float  # seconds between readings
    stop: threading.Event


class Device(threading.Thread):
    """Sends a reading every interval until it is told to stop, and halfway some messages that must be refused."""

    way = ""
    takes_commands = False

    def __init__(self, setup: Setup) -> None:
        super().__init__(name=f"device {setup.device_id}", daemon=True)
        self.device_id = setup.device_id
        self.integration_id = setup.integration_id
        self.prefix = setup.prefix
        self.metric = setup.metric
        self.login = setup.login
        self.interval = setup.interval
        self.counts = Counts()
        self.commands: list[int] = []  # ids of the commands received, in order
        self.misbehave_at = float("inf")  # time.monotonic() of its bad messages
        self._run = setup.run
        self._read = setup.read
        self._stop_event = setup.stop

    def topic(self, message_type: str) -> str:
        return f"{self.prefix}/{message_type}"

    def payload(self, number: int, **more: Any) -> dict[str, Any]:
        return {"run": self._run, "seq": number, "at": now(), **more}

    def prepare(self) -> None:
        """Connect, if the device needs that."""

    def tick(self) -> None:
        """Send what is due now."""

    def misbehave(self) -> None:
        """Send messages that must be refused."""

    def finish(self) -> None:
        """Wait for outstanding answers."""

    def leave(self) -> None:
        """Disconnect."""

    def refused(self, number: int, what: str, expected: str, found: str) -> None:
        """Record the answer to a bad message."""
        if found == expected:
            self.counts.reject(number, found)
        else:
            self.counts.error(f"{what}: expected {expected}, was answered {found}")

    def run(self) -> None:
        try:
            due = time.monotonic()
            while not self._stop_event.wait(max(0.0, due - time.monotonic())):
                self.tick()
                if time.monotonic() >= self.misbehave_at:
                    self.misbehave_at = float("inf")
                    self.misbehave()
                due = max(due + self.interval, time.monotonic() - self.interval)
            self.finish()
        except Exception as error:  # noqa: BLE001  # a broken device must show in the reconciliation, not vanish with its thread
            self.counts.error(f"{type(error).__name__}: {error}")
