"""What the database shows while the demo runs, read through the API like any app."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from demo.devices.base import Device
from demo.stack import App, DemoError

OVERLAP_SECONDS = 2.0


@dataclass
class Seen:
    """What has been seen of one device."""

    prefix: str
    metric: str
    stored: int = 0
    values: deque[float] = field(default_factory=lambda: deque(maxlen=400))  # of the metric
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=400))  # seconds from sending (device's clock) to the row


def percentile(values: Iterable[float], share: float) -> float | None:
    """The percentile by nearest rank; None of nothing."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else None


class Watcher(threading.Thread):
    """Polls for new rows and the queue's counters until `stop` is set."""

    def __init__(self, app: App, run: str, organization_id: str, devices: Sequence[Device], *, since: str, stop: threading.Event) -> None:
        super().__init__(name="watcher", daemon=True)
        self.devices = {device.device_id: Seen(device.prefix, device.metric) for device in devices}
        self.round_trips: deque[float] = deque(maxlen=400)  # seconds from a command's call to the row of its answer
        self.answered: set[int] = set()
        self.issued: dict[int, str] = {}
        self.pending = 0
        self.most_pending = 0
        self.rate = 0.0
        self.rates: deque[float] = deque(maxlen=120)
        self.error = ""
        self._app = app
        self._run = run
        self._organization_id = organization_id
        self._since = since
        self._stop_event = stop
        self._ids: set[str] = set()
        self._history: deque[tuple[float, int]] = deque(maxlen=4)

    @property
    def stored(self) -> int:
        return len(self._ids)

    def run(self) -> None:
        while not self._stop_event.wait(0.4):
            try:
                self.look()
                self.error = ""
            except (DemoError, OSError) as error:
                self.error = str(error)

    def look(self) -> None:
        rows = self._app.rows(
            "mqtt_messages",
            **{
                "select": "id,topic,payload,created_at",
                "direction": "eq.incoming",
                "received_at": f"gte.{self._since}",
                "created_at": f"gte.{self._since}",
                "payload->>run": f"eq.{self._run}",
                "order": "created_at",
            },
        )
        for row in rows:
            if row["id"] not in self._ids:
                self._ids.add(row["id"])
                self._take(row)
        if rows:
            # A batch that began earlier may commit later, so the next poll starts a little before the newest row.
            newest = datetime.fromisoformat(rows[-1]["created_at"]).timestamp() - OVERLAP_SECONDS
            self._since = max(self._since, datetime.fromtimestamp(newest, datetime.fromisoformat(self._since).tzinfo).isoformat())
        self.pending = self._app.do("get_mqtt_queue_stats", org_id=self._organization_id)["pending"]
        self.most_pending = max(self.most_pending, self.pending)
        self._history.append((time.monotonic(), self.stored))
        (then, before), (now, after) = self._history[0], self._history[-1]
        if now > then:
            self.rate = (after - before) / (now - then)
            self.rates.append(self.rate)

    def _take(self, row: dict[str, Any]) -> None:
        seen = next((seen for seen in self.devices.values() if row["topic"].startswith(seen.prefix + "/")), None)
        if seen is None:
            return
        payload = row["payload"]
        stored_at = datetime.fromisoformat(row["created_at"])
        seen.stored += 1
        seen.latencies.append((stored_at - datetime.fromisoformat(payload["at"])).total_seconds())
        if seen.metric in payload:
            seen.values.append(payload[seen.metric])
        if "command" in payload:
            self.answered.add(payload["command"])
            if payload["command"] in self.issued:
                issued_at = datetime.fromisoformat(self.issued[payload["command"]])
                self.round_trips.append((stored_at - issued_at).total_seconds())
