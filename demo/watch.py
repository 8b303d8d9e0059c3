"""What the database shows while the demo runs, read through the API as any app would."""

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from demo.stack import App, DemoError

OVERLAP_SECONDS = 2.0
NOT_READINGS = {"run", "seq", "at", "command"}


@dataclass
class Seen:
    """Of one device."""

    stored: int = 0
    reading: dict[str, float] = field(default_factory=dict)
    values: deque[float] = field(default_factory=lambda: deque(maxlen=400))  # of the first number in its readings
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=400))  # seconds from the device's clock to the row


def percentile(values: Iterable[float], share: float) -> float | None:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else None


class Watcher(threading.Thread):
    """Asks for new rows and for the queue's counters, until `stop` is set."""

    def __init__(self, app: App, run: str, organization_id: str, *, since: str, prefixes: dict[str, str], stop: threading.Event) -> None:
        super().__init__(name="watcher", daemon=True)
        self.devices = {name: Seen() for name in prefixes}
        self.round_trips: deque[float] = deque(maxlen=400)  # seconds from a command's call to its answer's row
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
        self._prefixes = prefixes
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
            # A batch that began earlier may commit later, so the next look begins a little before the newest row.
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
        name = next((name for name, prefix in self._prefixes.items() if row["topic"].startswith(prefix + "/")), None)
        if name is None:
            return
        seen, payload = self.devices[name], row["payload"]
        stored_at = datetime.fromisoformat(row["created_at"])
        seen.stored += 1
        seen.latencies.append((stored_at - datetime.fromisoformat(payload["at"])).total_seconds())
        if "command" in payload:
            self.answered.add(payload["command"])
            if payload["command"] in self.issued:
                issued_at = datetime.fromisoformat(self.issued[payload["command"]])
                self.round_trips.append((stored_at - issued_at).total_seconds())
            return
        seen.reading = {key: value for key, value in payload.items() if key not in NOT_READINGS}
        if seen.reading:
            seen.values.append(next(iter(seen.reading.values())))
