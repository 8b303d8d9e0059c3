"""What one organization does at its worst keeps no other waiting: each test has the first at it while it looks at the second."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.bridge.support import publish, receipts
from tests.bridge.test_outbound import foreign
from tests.support.broker import Broker
from tests.support.loop import Loop, close_server
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
Tenants = Callable[..., Tenant]


class Tarpit:
    """Accepts connections and never says anything."""

    def __init__(self) -> None:
        self.open = self.most = 0
        self._loop = Loop()
        self._server = self._loop.run(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512))
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            while await reader.read(4096):
                pass
        finally:
            self.open -= 1
            writer.close()

    def close(self) -> None:
        self._loop.run(close_server(self._server))
        self._loop.close()


@pytest.fixture
def tarpit() -> Iterator[Tarpit]:
    running = Tarpit()
    yield running
    running.close()


def test_tls_tarpits(db: Connection, tenant: Tenants, tarpit: Tarpit, witness: Broker) -> None:
    """150 brokers that accept a connection and say nothing: half of the threads that connect, at most, wait for them."""
    slow, other = tenant(), tenant()
    settings = json.dumps({"broker_url": "127.0.0.1", "port": tarpit.port, "protocol": "mqtts"})
    db.execute(
        "SELECT api.upsert_integration(organization_id => %s, name => n::text, integration_type => 'mqtt_external', settings => %s) "
        "FROM generate_series(1, 150) AS n",
        (slow.organization_id, settings),
    )
    try:
        wait_until(lambda: tarpit.open >= 64, what="half of the threads wait")
        integration_id = foreign(other, witness.port)
        (sent,) = receipts(other, publish(other, [{"topic": "x", "payload": 1, "qos": 1}], integration_id))
        assert sent["state"] == "acknowledged"
        assert tarpit.most == 64
    finally:
        db.execute("DELETE FROM mqtt.device_integrations WHERE organization_id = %s", (slow.organization_id,))
