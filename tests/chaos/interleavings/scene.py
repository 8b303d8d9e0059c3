"""Two sessions whose statements a test begins and ends one by one, and the tenant whose rows they are at."""

import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.support.api import Device
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until

PROCESS = "SELECT mqtt.process_batch(1000)"
BY_HAND = "SELECT api.process_mqtt_queue_message(%s)"
REPLAY = "SELECT api.replay_mqtt_dead_letters(%s)"
INGEST = "SELECT api.mqtt_ingest(topic => %s, payload => '1', message_id => %s)"

Row = tuple[Any, ...]


class Session:
    """A connection whose statements run on a thread of their own, so that one may wait for another session."""

    def __init__(self, stack: Stack) -> None:
        self.connection = stack.connect(autocommit=False)
        self.connection.execute("SET lock_timeout = '60s'")
        self.connection.commit()
        self._threads = ThreadPoolExecutor(1)

    def later(self, query: str, *parameters: Any) -> Future[Any]:
        def work() -> Any:
            cursor = self.connection.execute(query.encode(), parameters)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

        return self._threads.submit(work)

    def do(self, query: str, *parameters: Any) -> Any:
        """The first column of the first row."""
        return self.later(query, *parameters).result(PATIENCE)

    def waiting(self, stack: Stack, query: str, *parameters: Any) -> Future[Any]:
        """Begin a statement that has to wait for another session's lock; returns while it does."""
        begun = self.later(query, *parameters)
        waits_for_lock(stack, self.connection.info.backend_pid, begun)
        return begun

    def commit(self) -> None:
        self._threads.submit(self.connection.commit).result(PATIENCE)

    def rollback(self) -> None:
        self._threads.submit(self.connection.rollback).result(PATIENCE)

    def close(self) -> None:
        self._threads.shutdown()
        self.connection.close()


@dataclass
class Scene:
    stack: Stack
    tenant: Tenant
    device: Device
    db: psycopg.Connection[Row]
    a: Session
    b: Session

    def send(self, count: int = 1, payload: Any = None, **arguments: Any) -> list[str]:
        ids = []
        for number in range(count):
            response = self.device.send({"n": number} if payload is None else payload, **arguments)
            assert response.status_code == 202, response.text
            ids.append(response.json()["message_id"])
        return ids

    def value(self, query: str, *parameters: Any) -> Any:
        row = self.db.execute(query.encode(), parameters).fetchone()
        return row[0] if row else None

    def stored(self) -> int:
        """Messages in the history."""
        return int(self.value("SELECT count(*) FROM mqtt.mqtt_messages WHERE organization_id = %s", self.tenant.organization_id))

    def queued(self) -> int:
        return int(self.value("SELECT count(*) FROM pgmq.q_mqtt_messages WHERE organization_id = %s", self.tenant.organization_id))

    def dead(self) -> int:
        return int(self.value("SELECT count(*) FROM mqtt.mqtt_dead_letters WHERE organization_id = %s", self.tenant.organization_id))

    def bridge(self, integration_id: str) -> str:
        """A bridge that holds this integration."""
        bridge_id = str(uuid.uuid4())
        self.db.execute("INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (%s, 'test', '1', 1)", (bridge_id,))
        self.db.execute(
            "INSERT INTO mqtt.bridge_leases (organization_id, integration_id, bridge_id) VALUES (%s, %s, %s)",
            (self.tenant.organization_id, integration_id, bridge_id),
        )
        return bridge_id

    def publish(self, **terms: Any) -> str:
        message = {"topic": self.device.topic(), "payload": 1, "qos": 1, **terms}
        body = {"integration_id": self.tenant.integration_id, "messages": [message]}
        answer = self.tenant.api.ok("mqtt_publish", body, token=self.tenant.member)
        return str(answer["receipts"][0]["receipt_id"])

    def receipts(self, receipt_id: str) -> list[str]:
        rows = self.db.execute("SELECT state FROM mqtt.mqtt_publish_receipts WHERE id = %s", (receipt_id,)).fetchall()
        return [state for (state,) in rows]


def waits_for_lock(stack: Stack, pid: int, begun: Future[Any]) -> None:
    """Return when that server process waits for a lock; fail when its statement ends instead."""
    with stack.connect() as connection:

        def is_waiting() -> bool:
            assert not begun.done(), f"it did not wait: {begun.exception() or begun.result()}"
            query = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
            return connection.execute(query, (pid,)).fetchone() is not None

        wait_until(is_waiting, what="the other session's waiting")
