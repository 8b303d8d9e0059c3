"""The other direction: an app sends commands through `mqtt_publish`; each device that hears one answers it."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from demo.devices.base import Device, now
from demo.stack import App

FINAL = {"sent", "acknowledged", "failed", "expired", "cancelled"}


@dataclass
class Command:
    device: str
    issued_at: str
    receipt_id: str


@dataclass
class Commands:
    """What the app knows of its commands."""

    sent: dict[int, Command] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # what was wrong -> the answer
    errors: list[str] = field(default_factory=list)


class Commander(threading.Thread):
    """Sends a command every `interval` seconds, to the devices in turn, until `stop` is set."""

    def __init__(self, app: App, run: str, devices: Sequence[Device], interval: float, stop: threading.Event) -> None:
        super().__init__(name="commander", daemon=True)
        self.commands = Commands()
        self.misbehave_at = float("inf")
        self._app = app
        self._run = run
        self._devices = devices
        self._interval = interval
        self._stop_event = stop

    def run(self) -> None:
        try:
            while not self._stop_event.wait(self._interval):
                number = len(self.commands.sent) + 1
                self._send(number, self._devices[number % len(self._devices)])
                if time.monotonic() >= self.misbehave_at:
                    self.misbehave_at = float("inf")
                    self._misbehave(self._devices[0])
        except Exception as error:  # noqa: BLE001  # must show in the reconciliation, not vanish with the thread
            self.commands.errors.append(f"{type(error).__name__}: {error}")

    def _send(self, number: int, device: Device) -> None:
        issued_at = now()
        payload = {"run": self._run, "id": number, "command": "report", "at": issued_at}
        answer = self._app.do(
            "mqtt_publish",
            integration_id=device.integration_id,
            messages=[{"topic": device.topic("commands"), "payload": payload, "qos": 1, "message_expiry": 60}],
        )
        self.commands.sent[number] = Command(device.device_id, issued_at, answer["receipts"][0]["receipt_id"])

    def _misbehave(self, device: Device) -> None:
        """A good and a bad command in one call: all are queued, or none."""
        good = {"topic": device.topic("commands"), "payload": {"run": self._run, "id": 0}}
        for what, expected, bad in (
            ("a command to a topic with a wildcard", "message_invalid", {"topic": f"{device.prefix}/#", "payload": {}}),
            ("a command with QoS 3", "message_invalid", {**good, "qos": 3}),
            ("a command to another organization's device", "topic_not_allowed", {"topic": "org_other/devices/a/commands", "payload": {}}),
        ):
            answer = self._app.call("mqtt_publish", integration_id=device.integration_id, messages=[good, bad])
            found = str(answer.json().get("message")) if not answer.ok else f"HTTP {answer.status_code}"
            self.commands.refused[what] = found
            if found != expected:
                self.commands.errors.append(f"{what}: expected {expected}, was answered {found}")

    def receipts(self, seconds: float) -> dict[str, str]:
        """The state of each receipt once all are settled, or when the time is up."""
        waiting = {command.receipt_id for command in self.commands.sent.values()}
        states: dict[str, str] = {}
        deadline = time.monotonic() + seconds
        while waiting:
            answer = self._app.do("get_mqtt_publish_receipts", receipt_ids=sorted(waiting), wait=2)
            for receipt in answer["receipts"] if isinstance(answer, dict) else answer:
                states[receipt["receipt_id"]] = receipt["state"]
                if receipt["state"] in FINAL:
                    waiting.discard(receipt["receipt_id"])
            if time.monotonic() > deadline:
                break
        return states
