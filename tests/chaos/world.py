"""A stack under load, the faults' playground: brokers, bridges, proxies, producers, and the oracle that counts what became of it all."""

import contextlib
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.chaos.bridges import Bridge
from tests.chaos.load import Load
from tests.chaos.oracle import DRAIN_SECONDS, Oracle
from tests.support.api import Api, Device
from tests.support.broker import Broker
from tests.support.loop import Loop
from tests.support.proxy import Proxy
from tests.support.stack import Stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import PATIENCE, wait_until

RATE_SECONDS = 0.5  # over which a rate is measured, at least


@dataclass(frozen=True)
class Rate:
    """Messages a second."""

    accepted: float
    stored: float

    def is_back(self, before: "Rate", share: float) -> bool:
        return self.accepted >= share * before.accepted and self.stored >= share * before.stored


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
        self.server_port = int(stack.database_url.rsplit(":", 1)[1].split("/")[0])
        self.host = host
        self.database_proxy = Proxy(self.loop, "127.0.0.1", self.server_port, listen=host)
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
        self.oracle = Oracle(self)
        self.clock: Path | None = None  # the file that governs the server's
        self.cable: Any = None
        self.hostile: Tenant | None = None  # another organization, which does its worst
        self.may_fail = False  # whether publishing may end as failed
        self._sessions: list[psycopg.Connection[tuple[Any, ...]]] = []  # of query(), while they are not in use

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
            # The next world's bridges have nothing to do with this one's brokers, which are gone, nor with its messages and books.
            for change in (
                "UPDATE mqtt.device_integrations SET status = 'inactive'",
                "DELETE FROM pgmq.q_mqtt_messages",
                "DELETE FROM pgmq.q_mqtt_outbound",
                "DELETE FROM mqtt.ledger",
            ):
                self.query(
                    f"{change} WHERE organization_id = ANY (%s)",
                    [tenant.organization_id for tenant in (self.tenant, self.hostile) if tenant is not None],
                    within=5,
                )
        while self._sessions:
            self._sessions.pop().close()
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
                with self._session() as session:
                    cursor = session.execute(query.encode(), parameters or None)
                    return cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    @contextlib.contextmanager
    def _session(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """One that is kept for the next query, unless this one fails."""
        try:
            session = self._sessions.pop()
        except IndexError:
            session = self.stack.connect(connect_timeout=15, prepare_threshold=None)
        with contextlib.ExitStack() as failed:
            failed.callback(session.close)
            yield session
            failed.pop_all()
        self._sessions.append(session)

    def waiting(self) -> tuple[int, int]:
        """Messages in the two queues."""
        row = self.query(
            "SELECT (SELECT count(*) FROM pgmq.q_mqtt_messages WHERE organization_id = %s),"
            " (SELECT count(*) FROM pgmq.q_mqtt_outbound WHERE organization_id = %s)",
            self.tenant.organization_id,
            self.tenant.organization_id,
        )[0]
        return row[0], row[1]

    # --------------------------------------------------------------------------------------------------------------- recovery

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

    def recover(self, before: Rate | None = None, within: float = 2 * PATIENCE, share: float = 0.5) -> float:
        """Seconds until all goes on: a message sent now is stored, one published now has reached the broker, and the load, which goes on
        meanwhile, is accepted and stored at such a share of the rate before, at least."""
        began = time.monotonic()
        took = self._recover(within)
        while before is not None:
            since = self.progress()
            rate = self.rate(since)
            if rate.is_back(before, share):
                return max(took, since[0] - began)
            if time.monotonic() > began + within:
                raise AssertionError(f"within {within:g} s the rate was not {share:g} of {before} again, but {rate}\n{self.evidence()}")
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
                "SELECT 1 FROM mqtt.mqtt_messages WHERE organization_id = %s AND payload ->> 'n' = %s AND received_at >= %s",
                self.tenant.organization_id,
                str(number),
                self.oracle.since,
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
            offers = self.witness.offers[self.oracle.offers_examined :]
            if self.waiting() != (parked, 0) or not all(offer.is_acknowledged or not offer.qos for offer in offers):
                return False
            # What Mosquitto has not acknowledged yet, or has and the bridge has not asked for yet, is on its way, too.
            return not self.load.is_publishing() and self.load.channels["broker"].accepted <= self.oracle.stored().keys()

        try:
            wait_until(is_settled, max(0.0, deadline - time.monotonic()), "an empty queue")
        except AssertionError as error:
            raise AssertionError(f"{error}; waiting {self.waiting()}\n{self.evidence()}") from None

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
