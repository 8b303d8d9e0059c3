"""A stack under load, the faults' playground, and the oracle that counts outside the product.

What was sent and what was answered is noted here, in this process; what a broker acknowledged is noted by the witness broker; and both are
compared with what the database has in the end.
"""

import contextlib
import itertools
import json
import random
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import psycopg
import requests
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.chaos.bridges import Bridge
from tests.support.api import Api, Device
from tests.support.broker import Broker, Offer, user_property
from tests.support.loop import Loop
from tests.support.proxy import Proxy
from tests.support.stack import Stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import PATIENCE, wait_until

HTTP_TIMEOUT = 15.0
DRAIN_SECONDS = 90.0
RATE_SECONDS = 0.5  # over which a rate is measured, at least
BACKLOG = 2000  # messages at a broker above which a producer waits: it is to try the product, not the broker's memory


@dataclass
class Sent:
    """What one channel sent, by number, and what came of it."""

    sent: set[int] = field(default_factory=set)
    accepted: set[int] = field(default_factory=set)


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


@dataclass(frozen=True)
class Rate:
    """Messages a second."""

    accepted: float
    stored: float

    def is_back(self, before: "Rate") -> bool:
        return self.accepted >= before.accepted / 2 and self.stored >= before.stored / 2


# Channels, and whether the same number may come to be stored twice: QoS 1 without an id of its own may, as the protocol has it.
CHANNELS = {
    "single": False,
    "single with id": False,
    "batch": False,
    "batch with id": False,
    "inbound": True,
    "inbound with id": False,
    "broker": True,
}
OFFSET = 1 << 40  # numbers of published messages are beyond this


class World:
    def __init__(
        self, stack: Stack, *, seed: int, constants: dict[str, Any] | None = None, mqtt_version: str = "5", host: str = "127.0.0.1"
    ) -> None:
        self.stack = stack
        self.seed = seed
        self.random = random.Random(seed)
        self.directory = Path(tempfile.mkdtemp(prefix="chaos.", dir=stack.run_dir.parent))
        self.directory.chmod(0o711)
        self.loop = Loop()
        self.witness = Broker(loop=self.loop, journal=self.directory / "journal", session_present=None)
        database_port = int(stack.database_url.rsplit(":", 1)[1].split("/")[0])
        self.host = host
        self.database_proxy = Proxy(self.loop, "127.0.0.1", database_port, listen=host)
        self.broker_proxy = Proxy(self.loop, "127.0.0.1", self.witness.port, listen=host)
        self.hosted_proxy = Proxy(self.loop, stack.mqtt_host, stack.mqtt_port, listen=host)
        self.constants = {"bridge.mqtt.outgoing.ACK_SECONDS": 3.0, **(constants or {})}
        self.bridges: list[Bridge] = []
        self.api = Api(stack.api_url)
        self.tenant: Tenant = make_tenant(stack, self.api)
        self.device: Device = self.tenant.device()
        self.external = self.tenant.integration(
            "mqtt_external", broker_url=host, port=self.broker_proxy.port, protocol="mqtt", mqtt_version=mqtt_version, keepalive=5
        )
        self.api.ok("mqtt_subscribe", {"integration_id": self.external, "topic": "in/#", "qos": 2}, token=self.tenant.admin)
        self.load = Load(self)
        self._published: dict[int, str] = {}  # receipts of published messages
        self._lock = threading.Lock()
        self.clock: Path | None = None  # the file that governs the server's
        self.cable: Any = None
        self.may_fail = False  # whether publishing may end as failed
        self.examined = 0
        self._seen = 0

    # ---------------------------------------------------------------------------------------------------------------- bridges

    def new_bridge(self, name: str | None = None, **options: Any) -> Bridge:
        options.setdefault("database_port", self.database_proxy.port)
        options.setdefault("broker_port", self.hosted_proxy.port)
        options.setdefault("host", self.host)
        options.setdefault("constants", self.constants)
        bridge = Bridge(self.stack, self.directory, name or f"bridge-{len(self.bridges) + 1}", **options)
        self.bridges.append(bridge)
        return bridge

    @property
    def bridge(self) -> Bridge:
        return self.bridges[0]

    def start(self, bridges: int = 1) -> "World":
        for _ in range(bridges):
            self.new_bridge().start()
        for bridge in self.bridges:
            bridge.wait_connected()  # one that nobody knows of yet is missed by nobody
        self.wait_subscribed()
        return self

    def wait_subscribed(self) -> None:
        wait_until(lambda: self.witness.has_subscriber("in/x"), what="the bridge's subscription at the witness broker")
        if not (self.stack.run_dir / "mosquitto.pid").exists():
            return
        # What Mosquitto acknowledges before it knows the bridge, it forgets.
        query = "SELECT 1 FROM mqtt.mqtt_subscriptions WHERE integration_id = %s AND status <> 'active'"
        wait_until(lambda: not self.query(query, self.tenant.integration_id), what="the bridge's subscription at Mosquitto")

    def close(self) -> None:
        self.load.close()
        for bridge in self.bridges:
            bridge.kill()
        with contextlib.suppress(psycopg.OperationalError):
            # The next world's bridges have nothing to do with this one's brokers, which are gone.
            self.query(
                "UPDATE mqtt.device_integrations SET status = 'inactive' WHERE organization_id = %s", self.tenant.organization_id, within=5
            )
        for proxy in (self.database_proxy, self.broker_proxy, self.hosted_proxy):
            proxy.close()
        self.witness.close()
        self.loop.close()
        self.api.session.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --------------------------------------------------------------------------------------------------------------- database

    def query(self, query: str, *parameters: Any, within: float = 30.0) -> list[tuple[Any, ...]]:
        """As superuser, past the proxy; tried again while the server is away."""
        deadline = time.monotonic() + within
        while True:
            try:
                with self.stack.connect(connect_timeout=15) as connection:
                    cursor = connection.execute(query.encode(), parameters or None)
                    return cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def waiting(self) -> tuple[int, int]:
        """Messages in the two queues."""
        row = self.query(
            "SELECT (SELECT count(*) FROM pgmq.q_mqtt_messages WHERE organization_id = %s),"
            " (SELECT count(*) FROM pgmq.q_mqtt_outbound WHERE organization_id = %s)",
            self.tenant.organization_id,
            self.tenant.organization_id,
        )[0]
        return row[0], row[1]

    # ----------------------------------------------------------------------------------------------------------------- oracle

    def published(self, numbers: list[int], receipts: list[str]) -> None:
        with self._lock:
            self._published.update(zip(numbers, receipts, strict=True))

    def progress(self) -> tuple[float, int, int]:
        """When, and how many messages had been accepted and stored by then; the difference of two makes a rate."""
        query = "SELECT coalesce(sum(completed), 0)::bigint FROM mqtt.ledger WHERE organization_id = %s"
        stored = self.query(query, self.tenant.organization_id)[0][0]
        return time.monotonic(), self.load.accepted(), stored

    def rate(self, since: tuple[float, int, int]) -> Rate:
        """Of what was accepted and stored since then, half a second ago or more."""
        time.sleep(max(0.0, since[0] + RATE_SECONDS - time.monotonic()))
        now = self.progress()
        seconds = now[0] - since[0]
        return Rate((now[1] - since[1]) / seconds, (now[2] - since[2]) / seconds)

    def recover(self, before: Rate | None = None, within: float = 2 * PATIENCE) -> float:
        """Seconds until all goes on: a message sent now is stored, one published now has reached the broker, and the load, which goes on
        meanwhile, is accepted and stored at half of the rate before, at least."""
        began = time.monotonic()
        took = self._recover(within)
        while before is not None:
            since = self.progress()
            rate = self.rate(since)
            if rate.is_back(before):
                return max(took, since[0] - began)
            if time.monotonic() > began + within:
                raise AssertionError(f"within {within:g} s the rate was not half of {before} again, but {rate}\n{self.evidence()}")
        return took

    def _recover(self, within: float) -> float:
        """Seconds until a message sent now is stored, and one published now has reached the broker."""
        began = time.monotonic()
        deadline = began + within
        number = self.load.probe(deadline)
        looked = len(self.witness.arrivals)
        text = str(self.load.publish_probe(deadline)).encode()
        has_arrived = False
        while time.monotonic() < deadline:
            arrivals = self.witness.arrivals[looked:]
            looked += len(arrivals)
            has_arrived = has_arrived or any(text in arrival.payload for arrival in arrivals)
            if has_arrived and self.query(
                "SELECT 1 FROM mqtt.mqtt_messages"
                " WHERE organization_id = %s AND payload ->> 'n' = %s AND received_at > now() - interval '1 hour'",
                self.tenant.organization_id,
                str(number),
            ):
                return time.monotonic() - began
            time.sleep(0.02)
        found = self.query(
            "SELECT received_at, clock_timestamp() FROM mqtt.mqtt_messages WHERE organization_id = %s AND payload ->> 'n' = %s",
            self.tenant.organization_id,
            str(number),
        )
        raise AssertionError(
            f"not recovered within {within:g} s; waiting: {self.waiting()}, arrived: {has_arrived}, stored: {found}\n{self.evidence()}"
        )

    def settle(self, within: float = DRAIN_SECONDS, parked: int = 0) -> None:
        """Pause the load and wait until nothing is on its way any more."""
        self.load.pause()
        deadline = time.monotonic() + within

        def is_settled() -> bool:
            offers = self.witness.offers[self._seen :]
            if self.waiting() != (parked, 0) or not all(offer.is_acknowledged or not offer.qos for offer in offers):
                return False
            # What Mosquitto has not acknowledged yet, or has and the bridge has not asked for yet, is on its way, too.
            return not self.load.is_publishing() and self.load.channels["broker"].accepted <= self._stored().keys()

        try:
            wait_until(is_settled, max(0.0, deadline - time.monotonic()), "an empty queue")
        except AssertionError as error:
            raise AssertionError(f"{error}; waiting {self.waiting()}\n{self.evidence()}") from None

    def examine(self, *, parked: int = 0, within: float = DRAIN_SECONDS) -> Count:
        """Pause, settle, and compare everything since the last examination; nothing of it may be missing anywhere."""
        self.settle(within, parked)
        count = Count()
        self._examine_stored(count)
        self._examine_published(count)
        if books := self.query("SELECT * FROM mqtt.check_ledger()"):
            count.faults.append(f"the ledger does not add up: {books}")
        self.load.forget()
        return count

    def examine_all(self) -> Count:
        """Everything from the beginning, after the last examination: what came late, each examination of its own time would not see."""
        count = Count()
        times = bytearray(len(self.load.history))
        with self.stack.connect(autocommit=False) as connection, connection.cursor(name="all") as cursor:
            cursor.itersize = 100_000
            cursor.execute(
                "SELECT (payload ->> 'n')::bigint FROM mqtt.mqtt_messages WHERE organization_id = %s AND direction = 'incoming'"
                " UNION ALL SELECT (coalesce(message ->> 'payload', convert_from(body, 'UTF8'))::jsonb ->> 'n')::bigint"
                " FROM mqtt.mqtt_dead_letters WHERE organization_id = %s AND direction = 'incoming'",
                (self.tenant.organization_id, self.tenant.organization_id),
            )
            for (number,) in cursor:
                count.stored += 1
                if not 0 <= number < len(times) or not self.load.history[number]:
                    count.unasked += 1
                else:
                    times[number] = min(255, times[number] + 1)
        names = list(CHANNELS)
        for number, mark in enumerate(self.load.history):
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
        arrivals = [int(json.loads(arrival.payload)["n"]) for arrival in self.witness.arrivals]
        count.delivered = len(set(arrivals))
        count.redelivered = len(arrivals) - count.delivered
        return count

    def check_all(self) -> Count:
        """As examine_all, and fail when anything promised was not kept."""
        count = self.examine_all()
        assert not count.faults, "\n".join(count.faults[:20]) + "\n" + self.evidence()
        return count

    def _stored(self) -> dict[int, int]:
        """How often each number since the last examination is in the history."""
        rows = self.query(
            "SELECT (payload ->> 'n')::bigint, count(*) FROM mqtt.mqtt_messages"
            " WHERE organization_id = %s AND direction = 'incoming' AND (payload ->> 'n')::bigint >= %s GROUP BY 1",
            self.tenant.organization_id,
            self.examined,
        )
        return {number: times for number, times in rows}  # noqa: C416  # typed

    def _examine_stored(self, count: Count) -> None:
        organization = self.tenant.organization_id
        stored = self._stored()
        rows = self.query(
            "SELECT coalesce(message ->> 'payload', convert_from(body, 'UTF8')) FROM mqtt.mqtt_dead_letters"
            " WHERE organization_id = %s AND direction = 'incoming'",
            organization,
        )
        dead = {number for (payload,) in rows if (number := json.loads(payload)["n"]) >= self.examined}
        everything: set[int] = set()
        for name, may_repeat in CHANNELS.items():
            channel = self.load.channels[name]
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
        for receipt, state in self.query(
            "SELECT r.id::text, r.state FROM mqtt.mqtt_publish_receipts AS r WHERE r.organization_id = %s AND r.id = ANY (%s::uuid[])",
            self.tenant.organization_id,
            list(published.values()),
        ):
            states.setdefault(receipt, []).append(state)
        arrivals: dict[int, int] = {}
        last: dict[str, int] = {}
        for arrival in self.witness.arrivals[self.load.arrivals_examined :]:
            number = int(json.loads(arrival.payload)["n"])
            arrivals[number] = arrivals.get(number, 0) + 1
            if arrivals[number] == 1:
                if number < last.get(arrival.topic, 0):
                    count.disordered += 1
                    # Messages go out as they fall due: a clock that was set back lets later ones pass.
                    if self.clock is not None:
                        continue
                    count.faults.append(f"{arrival.topic}: {number} came first after {last[arrival.topic]}")
                last[arrival.topic] = max(number, last.get(arrival.topic, 0))
        self.load.arrivals_examined = len(self.witness.arrivals)
        for number, receipt in published.items():
            found = states.get(receipt, [])
            if len(found) != 1:
                count.unsettled += 1
                count.faults.append(f"receipt {receipt} of {number} has the final states {found}")
            elif found[0] != "acknowledged" and not self.may_fail:
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
        assert not count.faults, "\n".join(count.faults[:20]) + "\n" + self.evidence()
        return count

    def evidence(self) -> str:
        lines = [f"seed {self.seed}"]
        with contextlib.suppress(psycopg.Error):
            query = (
                "SELECT count(*), attempts, message ->> 'topic', date_trunc('second', min(vt - clock_timestamp())),"
                " date_trunc('second', min(enqueued_at - clock_timestamp())) FROM pgmq.q_mqtt_messages WHERE organization_id = %s"
                " GROUP BY 2, 3 LIMIT 5"
            )
            lines += [f"waiting: {row}" for row in self.query(query, self.tenant.organization_id, within=1)]
        for bridge in self.bridges:
            lines += [f"--- {bridge.name}", *bridge.log.splitlines()[-25:]]
        for part in ("postgres", "postgrest"):
            with contextlib.suppress(OSError):
                lines += [f"--- {part}", *self.stack.log(part).splitlines()[-12:]]
        return "\n".join(lines)


class Load:
    """Producers on all channels, each on a thread: what they send is numbered, what was answered is noted."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.channels = {name: Sent() for name in CHANNELS}
        self.pause_seconds = 0.02
        self.batch_size = 40
        self.refused: dict[str, int] = {}
        self.errors = 0
        self.jump: Callable[[], str | None] = lambda: None  # the devices' clock
        self.arrivals_examined = 0
        self.only: tuple[str, ...] = ()  # these producers, for now; none named are all
        # Of each number that was examined: 0 not sent, else the channel's place in CHANNELS from 1 on, and a bit whether it was accepted.
        self.history = bytearray()
        self._numbers = itertools.count(1)
        self._publish_numbers = itertools.count(OFFSET)
        self._lock = threading.Lock()
        self._running = threading.Event()
        self._ended = threading.Event()
        self._idle = threading.Condition()
        self._busy = 0
        self._threads: list[threading.Thread] = []
        self._mosquitto: mqtt.Client | None = None
        self._under_way: dict[int, int] = {}
        self._early: set[int] = set()  # acknowledged before publish() had said under which number

    # ------------------------------------------------------------------------------------------------------------ start and stop

    def run(self, *names: str) -> "Load":
        """Start these producers (single, batch, publish, inbound, broker), or all but broker."""
        for name in names or ("single", "batch", "publish", "inbound"):
            turn = getattr(self, f"_{name}")
            thread = threading.Thread(target=self._repeat, args=(name, turn), name=f"producer {name}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._running.set()
        return self

    def pause(self) -> None:
        """Returns when nothing is being sent any more."""
        self._running.clear()
        with self._idle:
            assert self._idle.wait_for(lambda: self._busy == 0, 120), "a producer hangs"

    def resume(self) -> None:
        self._running.set()

    def close(self) -> None:
        self._ended.set()
        self._running.set()
        for thread in self._threads:
            thread.join(30)
        if self._mosquitto is not None:
            self._mosquitto.disconnect()
            self._mosquitto.loop_stop()

    def forget(self) -> None:
        """What was examined is done with, until the end; the producers are paused."""
        for place, channel in enumerate(self.channels.values(), 1):
            for number in channel.sent:
                if number >= len(self.history):
                    self.history.extend(bytes(number + 1 - len(self.history)))
                self.history[number] = place << 1 | (number in channel.accepted)
        self.channels = {name: Sent() for name in CHANNELS}
        self.world.examined = next(self._numbers)
        self.world._seen = len(self.world.witness.offers)

    def is_publishing(self) -> bool:
        """Whether a message to Mosquitto waits for its acknowledgement."""
        with self._lock:
            return bool(self._under_way)

    def accepted(self) -> int:
        return sum(len(channel.accepted) for channel in self.channels.values())

    def wait_accepted(self, count: int) -> None:
        """Until so many more were accepted than now."""
        target = self.accepted() + count
        wait_until(lambda: self.accepted() >= target, what=f"{count} more messages accepted")

    def _repeat(self, name: str, turn: Callable[[requests.Session], None]) -> None:
        with requests.Session() as session:
            while not self._ended.is_set():
                self._running.wait()
                with self._idle:
                    self._busy += 1
                try:
                    if self._running.is_set() and not self._ended.is_set() and name in (self.only or (name,)):
                        turn(session)
                finally:
                    with self._idle:
                        self._busy -= 1
                        self._idle.notify_all()
                self._ended.wait(self.pause_seconds)

    # --------------------------------------------------------------------------------------------------------------- HTTP ingest

    def _message(self, number: int) -> dict[str, Any]:
        message: dict[str, Any] = {"topic": self.world.device.topic(f"d{number % 20}"), "payload": {"n": number}}
        stamp = self.jump()
        if stamp is not None:
            message["timestamp"] = stamp
        return message

    def _note(self, channel: str, numbers: list[int], accepted: list[int] | None = None) -> None:
        with self._lock:
            self.channels[channel].sent.update(numbers)
            self.channels[channel].accepted.update(accepted or ())

    def _post(
        self, session: requests.Session, rpc: str, body: Any, timeout: float = HTTP_TIMEOUT, **headers: str
    ) -> requests.Response | None:
        try:
            response = session.post(
                f"{self.world.stack.api_url}/rpc/{rpc}", json=body, headers=headers or self.world.device.headers, timeout=timeout
            )
        except requests.RequestException:
            self.errors += 1
            return None
        if response.status_code != 202:
            key = f"{response.status_code} {response.json().get('code') if 'json' in response.headers.get('Content-Type', '') else ''}"
            with self._lock:
                self.refused[key] = self.refused.get(key, 0) + 1
            self._ended.wait(0.05)
        return response

    def _single(self, session: requests.Session) -> None:
        number = next(self._numbers)
        has_id = number % 2 == 0
        channel = "single with id" if has_id else "single"
        message = self._message(number)
        if has_id:
            message["message_id"] = str(uuid.uuid4())
        self._note(channel, [number])
        # Whoever gives an id may repeat, as often as it takes.
        for _ in range(200 if has_id else 1):
            response = self._post(session, "mqtt_ingest", message)
            if response is not None and response.status_code == 202:
                self._note(channel, [], [number])
                break
            if not self._running.is_set() or self._ended.is_set():
                break

    def _batch(self, session: requests.Session) -> None:
        numbers = [next(self._numbers) for _ in range(self.batch_size)]
        has_id = numbers[0] % 2 == 0
        channel = "batch with id" if has_id else "batch"
        messages = [self._message(number) for number in numbers]
        if has_id:
            for message in messages:
                message["message_id"] = str(uuid.uuid4())
        self._note(channel, numbers)
        for _ in range(200 if has_id else 1):
            response = self._post(session, "mqtt_ingest_batch", {"messages": messages})
            if response is not None and response.status_code == 202:
                rejected = {entry["index"] for entry in response.json()["rejected"]}
                self._note(channel, [], [number for place, number in enumerate(numbers) if place not in rejected])
                break
            if not self._running.is_set() or self._ended.is_set():
                break

    def poison(self, kind: str) -> None:
        """A message that does harm to whoever stores it; see test_poison.py."""
        number = next(self._numbers)
        response = self.world.device.send({"n": number, "poison": kind}, self.world.device.topic("poison"))
        assert response.status_code == 202, response.text
        self._note("single", [number], [number])

    def probe(self, deadline: float) -> int:
        """A message with an id of its own, sent until it is accepted."""
        number = next(self._numbers)
        self._note("single with id", [number])
        message = {"topic": self.world.device.topic("probe"), "payload": {"n": number}, "message_id": str(uuid.uuid4())}
        with requests.Session() as session:
            while time.monotonic() < deadline:
                response = self._post(session, "mqtt_ingest", message, timeout=2.0)
                if response is not None and response.status_code == 202:
                    self._note("single with id", [], [number])
                    return number
                time.sleep(0.02)
        raise AssertionError(f"no message is accepted; {self.refused}, {self.errors} without an answer\n{self.world.evidence()}")

    # ---------------------------------------------------------------------------------------------------------------- publishing

    def _publish(self, session: requests.Session) -> None:
        numbers = [next(self._publish_numbers) for _ in range(10)]
        self._publish_numbers_now(session, numbers)

    def _publish_numbers_now(
        self, session: requests.Session, numbers: list[int], timeout: float = HTTP_TIMEOUT, topic: str | None = None
    ) -> bool:
        messages = [{"topic": topic or f"out/t{number % 5}", "payload": {"n": number}, "qos": 1 + number % 2} for number in numbers]
        body = {"integration_id": self.world.external, "messages": messages}
        response = self._post(session, "mqtt_publish", body, timeout, Authorization=f"Bearer {self.world.tenant.member}")
        if response is None or response.status_code != 202:
            return False
        self.world.published(numbers, [receipt["receipt_id"] for receipt in response.json()["receipts"]])
        return True

    def publish_probe(self, deadline: float) -> int:
        with requests.Session() as session:
            while time.monotonic() < deadline:
                number = next(self._publish_numbers)
                if self._publish_numbers_now(session, [number], 2.0, "out/probe"):
                    return number
                time.sleep(0.02)
        raise AssertionError("nothing can be published")

    # ---------------------------------------------------------------------------------------------------------------- from brokers

    def _inbound(self, _session: requests.Session) -> None:
        if self.world.witness.backlog() > BACKLOG:
            return
        for _ in range(10):
            number = next(self._numbers)
            has_id = number % 2 == 0
            self._note("inbound with id" if has_id else "inbound", [number])
            self.offer(number, has_id=has_id)
            # The broker has it and keeps it until the bridge acknowledges it: from here on it must not be lost.
            self._note("inbound with id" if has_id else "inbound", [], [number])

    def offer(self, number: int, *, has_id: bool = False) -> Offer:
        properties = user_property("message_id", str(uuid.uuid4())) if has_id else b""
        return self.world.witness.offer(f"in/d{number % 20}", json.dumps({"n": number}).encode(), 1 + number // 2 % 2, properties)

    def _broker(self, _session: requests.Session) -> None:
        """Devices at the stack's Mosquitto; what it acknowledged, it should hold until the bridge has it."""
        client = self._mosquitto or self._connect_mosquitto()
        if not client.is_connected() or len(self._under_way) > BACKLOG:
            return
        number = next(self._numbers)
        self._note("broker", [number])
        info = client.publish(self.world.device.topic(f"m{number % 20}"), json.dumps({"n": number}), 1 + number % 2)
        with self._lock:
            if info.mid in self._early:
                self._early.discard(info.mid)
                self.channels["broker"].accepted.add(number)
            else:
                self._under_way[info.mid] = number

    def _connect_mosquitto(self) -> mqtt.Client:
        stack = self.world.stack
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"chaos{uuid.uuid4().hex[:10]}", protocol=MQTTProtocolVersion.MQTTv5)
        client.username_pw_set("topicbase_bridge", stack.broker_password)

        def acknowledged(_client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
            with self._lock:
                number = self._under_way.pop(mid, None)
                if reason.value >= 0x80:
                    return
                if number is None:
                    self._early.add(mid)
                else:
                    self.channels["broker"].accepted.add(number)

        client.on_publish = acknowledged
        client.connect(stack.mqtt_host, stack.mqtt_port, keepalive=10)
        client.loop_start()
        self._mosquitto = client
        return client
