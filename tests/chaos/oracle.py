"""The oracle, which counts outside the product.

What was sent and what was answered is noted by the producers, in this process; what a broker acknowledged is noted by the witness broker;
and both are compared with what the database has in the end.
"""

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos.load import CHANNELS

if TYPE_CHECKING:
    from tests.chaos.world import World

DRAIN_SECONDS = 90.0


@dataclass
class Count:
    """What an examination found."""

    accepted: int = 0
    stored: int = 0
    dead: int = 0
    duplicates: int = 0
    lost: int = 0
    unasked: int = 0  # stored, though never sent
    published: int = 0
    delivered: int = 0
    redelivered: int = 0
    undelivered: int = 0  # acknowledged receipts that the broker knows nothing of
    unsettled: int = 0  # accepted publishes without exactly one final receipt
    failed: int = 0
    disordered: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, other: "Count") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class Oracle:
    def __init__(self, world: "World") -> None:
        self.world = world
        self.examined = 0  # numbers below have been
        self.since = "-infinity"  # before anything was received that has not been, by the server's clock
        self.offers_examined = 0
        self._arrivals_examined = 0
        self._published: dict[int, str] = {}  # receipts of published messages
        self._lock = threading.Lock()

    def published(self, numbers: list[int], receipts: list[str]) -> None:
        with self._lock:
            self._published.update(zip(numbers, receipts, strict=True))

    def examine(self, *, parked: int = 0, within: float = DRAIN_SECONDS) -> Count:
        """Pause, settle, and compare everything since the last examination; nothing of it may be missing anywhere."""
        self.world.settle(within, parked)
        count = Count()
        self._examine_stored(count)
        self._examine_published(count)
        if books := self.world.query("SELECT * FROM mqtt.check_ledger()"):
            count.faults.append(f"the ledger does not add up: {books}")
        self.examined = self.world.load.forget()
        if self.world.clock is None:  # which may be set back
            self.since = self.world.query("SELECT (clock_timestamp() - interval '1 minute')::text")[0][0]
        self.offers_examined = len(self.world.witness.offers)
        return count

    def examine_all(self) -> Count:
        """Everything from the beginning, after the last examination: what came late, each examination of its own time would not see."""
        count = Count()
        times = bytearray(len(self.world.load.history))
        with self.world.stack.connect(autocommit=False) as connection, connection.cursor(name="all") as cursor:
            cursor.itersize = 100_000
            cursor.execute(
                "SELECT (payload ->> 'n')::bigint FROM mqtt.mqtt_messages WHERE organization_id = %s AND direction = 'incoming'"
                # Those have a dead letter.
                " AND NOT is_failed UNION ALL SELECT (coalesce(message ->> 'payload', convert_from(body, 'UTF8'))::jsonb ->> 'n')::bigint"
                " FROM mqtt.mqtt_dead_letters WHERE organization_id = %s AND direction = 'incoming'",
                (self.world.tenant.organization_id, self.world.tenant.organization_id),
            )
            for (number,) in cursor:
                count.stored += 1
                if not 0 <= number < len(times) or not self.world.load.history[number]:
                    count.unasked += 1
                else:
                    times[number] = min(255, times[number] + 1)
        names = list(CHANNELS)
        for number, mark in enumerate(self.world.load.history):
            if not mark:
                continue
            name, is_accepted = names[(mark >> 1) - 1], mark & 1
            count.accepted += is_accepted
            if is_accepted and not times[number]:
                count.lost += 1
                count.faults.append(f"{name}: in the end neither stored nor dead: {number}")
            if times[number] > 1:
                count.duplicates += times[number] - 1
                if not CHANNELS[name]:
                    count.faults.append(f"{name}: in the end stored more than once: {number}")
        if count.unasked:
            count.faults.append(f"in the end stored, but never sent: {count.unasked}")
        arrivals = [int(json.loads(arrival.payload)["n"]) for arrival in self.world.witness.arrivals]
        count.delivered = len(set(arrivals))
        count.redelivered = len(arrivals) - count.delivered
        return count

    def check_all(self) -> Count:
        """As examine_all, and fail when anything promised was not kept."""
        count = self.examine_all()
        assert not count.faults, "\n".join(count.faults[:20]) + "\n" + self.world.evidence()
        return count

    def stored(self) -> dict[int, int]:
        """How often each number since the last examination is in the history."""
        rows = self.world.query(
            "SELECT (payload ->> 'n')::bigint, count(*) FROM mqtt.mqtt_messages"
            " WHERE organization_id = %s AND direction = 'incoming' AND NOT is_failed AND (payload ->> 'n')::bigint >= %s"
            " AND received_at >= %s GROUP BY 1",
            self.world.tenant.organization_id,
            self.examined,
            self.since,
        )
        return {number: times for number, times in rows}  # noqa: C416  # typed

    def _examine_stored(self, count: Count) -> None:
        organization = self.world.tenant.organization_id
        stored = self.stored()
        rows = self.world.query(
            "SELECT coalesce(message ->> 'payload', convert_from(body, 'UTF8')) FROM mqtt.mqtt_dead_letters"
            " WHERE organization_id = %s AND direction = 'incoming'",
            organization,
        )
        dead = {number for (payload,) in rows if (number := json.loads(payload)["n"]) >= self.examined}
        everything: set[int] = set()
        for name, may_repeat in CHANNELS.items():
            channel = self.world.load.channels[name]
            everything |= channel.sent
            lost = channel.accepted - stored.keys() - dead
            repeated = {number for number in channel.sent if stored.get(number, 0) + (number in dead) > 1}
            count.accepted += len(channel.accepted)
            count.lost += len(lost)
            count.duplicates += sum(stored[number] - 1 for number in repeated)
            if lost:
                count.faults.append(f"{name}: accepted, but neither stored nor dead: {sorted(lost)[:10]}")
            if repeated and not may_repeat:
                count.faults.append(f"{name}: stored more than once: {sorted(repeated)[:10]}")
        count.stored = sum(stored.values())
        count.dead = len(dead)
        unasked = stored.keys() - everything
        count.unasked = len(unasked)
        if unasked:
            count.faults.append(f"stored, but never sent: {sorted(unasked)[:10]}")

    def _examine_published(self, count: Count) -> None:
        with self._lock:
            published, self._published = self._published, {}
        states: dict[str, list[str]] = {}
        for receipt, state in self.world.query(
            "SELECT r.id::text, r.state FROM mqtt.mqtt_publish_receipts AS r WHERE r.organization_id = %s AND r.id = ANY (%s::uuid[])",
            self.world.tenant.organization_id,
            list(published.values()),
        ):
            states.setdefault(receipt, []).append(state)
        arrivals: dict[int, int] = {}
        last: dict[str, int] = {}
        for arrival in self.world.witness.arrivals[self._arrivals_examined :]:
            number = int(json.loads(arrival.payload)["n"])
            arrivals[number] = arrivals.get(number, 0) + 1
            if arrivals[number] == 1:
                if number < last.get(arrival.topic, 0):
                    count.disordered += 1
                    # Messages go out as they fall due: a clock that was set back lets later ones pass.
                    if self.world.clock is not None:
                        continue
                    count.faults.append(f"{arrival.topic}: {number} came first after {last[arrival.topic]}")
                last[arrival.topic] = max(number, last.get(arrival.topic, 0))
        self._arrivals_examined = len(self.world.witness.arrivals)
        for number, receipt in published.items():
            found = states.get(receipt, [])
            if len(found) != 1:
                count.unsettled += 1
                count.faults.append(f"receipt {receipt} of {number} has the final states {found}")
            elif found[0] != "acknowledged" and not self.world.may_fail:
                count.failed += 1
                count.faults.append(f"{number} is {found[0]}")
            elif found[0] == "acknowledged" and number not in arrivals:
                count.undelivered += 1
                count.faults.append(f"{number} is acknowledged, but never reached the broker")
        count.published = len(published)
        count.delivered = len(arrivals)
        count.redelivered = sum(arrivals.values()) - len(arrivals)

    def check(self, **options: Any) -> Count:
        """As examine, and fail when anything promised was not kept."""
        count = self.examine(**options)
        assert not count.faults, "\n".join(count.faults[:20]) + "\n" + self.world.evidence()
        return count
