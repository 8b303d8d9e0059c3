"""What the tests of the API share: working the queue off by hand, and telling whether a call left anything behind."""

import time
from dataclasses import dataclass, field
from typing import Any

import psycopg
import requests

from tests.support.api import Api, Device
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE

Connection = psycopg.Connection[tuple[Any, ...]]


def refused(response: requests.Response, status: int, slug: str) -> dict[str, Any]:
    """Assert the status and the slug of an error, and that its body has the four fields of every error; returns the body."""
    assert response.status_code == status, f"{response.status_code} instead of {status}: {response.text[:500]}"
    body: dict[str, Any] = response.json()
    assert body.keys() == {"code", "message", "details", "hint"}
    assert body["message"] == slug, body
    assert body["code"] == f"PT{status}"
    assert body["details"], body
    assert body["hint"], body
    return body


def answered(response: requests.Response, status: int, code: str) -> None:
    """Assert the status and the code of an error that PostgREST or PostgreSQL gives before a function of ours runs."""
    assert response.status_code == status, f"{response.status_code} instead of {status}: {response.text[:500]}"
    assert response.json()["code"] == code, response.text


def accepted(response: requests.Response) -> str:
    """Assert the answer to one message that was taken; returns its message_id."""
    assert response.status_code == 202, response.text
    body = response.json()
    assert body.keys() == {"message_id", "status"}
    assert body["status"] == "queued"
    return str(body["message_id"])


@dataclass
class Queue:
    api: Api
    service: str
    db: Connection
    drained: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Work off what earlier tests left."""
        self.drained = self.work()

    def work(self, batch_size: int = 1000) -> dict[str, int]:
        """Process until nothing is due; returns the sums.

        As a worker does, again where a call took less than there is: having met another it leaves it half, for a second.
        """
        sums = {"processed": 0, "failed": 0, "dead": 0}
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.api.ok("process_mqtt_queue", {"batch_size": batch_size}, token=self.service)
            for key in sums:
                sums[key] += answer[key]
            due = self.db.execute("SELECT EXISTS (SELECT FROM pgmq.q_mqtt_messages WHERE vt <= clock_timestamp())").fetchone()
            if not answer["more"] and (due == (False,) or time.monotonic() > deadline):
                return sums

    def make_due(self, organization_id: str) -> None:
        """Let the retries of an organization be due now."""
        self.db.execute("UPDATE pgmq.q_mqtt_messages SET vt = clock_timestamp() WHERE organization_id = %s", (organization_id,))


def stored(device: Device, tenant: Tenant, message_id: str) -> dict[str, Any]:
    """The row of a message in the history, as a member reads it."""
    rows = device.api.rows("mqtt_messages", token=tenant.member, id=f"eq.{message_id}")
    assert len(rows) == 1, rows
    return rows[0]


TABLES = {
    "in the queue": "pgmq.q_mqtt_messages",
    "to be published": "pgmq.q_mqtt_outbound",
    "stored": "mqtt.mqtt_messages",
    "dead": "mqtt.mqtt_dead_letters",
    "receipts": "mqtt.mqtt_publish_receipts",
    "idempotency keys": "mqtt.ingest_keys",
    "devices": "mqtt.devices",
    "integrations": "mqtt.device_integrations",
    "credentials": "mqtt.mqtt_credentials",
    "subscriptions": "mqtt.mqtt_subscriptions",
    "callbacks": "mqtt.mqtt_callback_deliveries",
    "callback secrets": "mqtt.callback_secrets",
    "requests": "mqtt.mqtt_requests",
    "broker keys": "mqtt.broker_keys",
    "API keys": "mqtt.api_keys",
    "members": "mqtt.organization_members",
    "publishers": "mqtt.publishers",
    "readers": "mqtt.readers",
    "invitations": "mqtt.organization_invitations",
    "activities": "mqtt.integration_activity_log",
    "deletions": "mqtt.deletions",
}


@dataclass
class Witness:
    """What an organization owns, table by table, with each row's content."""

    db: Connection
    organization_id: str
    before: dict[str, tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        self.before = self.look()

    def look(self) -> dict[str, tuple[int, int]]:
        """For each table the number of rows and a checksum of them."""
        parts = [
            f"SELECT '{name}', count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM {table} AS t"
            " WHERE t.organization_id = %(organization)s"
            for name, table in TABLES.items()
        ]
        parts.append("SELECT 'accepted', coalesce(sum(l.accepted), 0), '' FROM mqtt.ledger AS l WHERE l.organization_id = %(organization)s")
        query = " UNION ALL ".join(parts)
        return {row[0]: (row[1], row[2]) for row in self.db.execute(query, {"organization": self.organization_id})}

    def changed(self) -> dict[str, int]:
        """Tables whose rows changed, each with by how many rows they grew; then starts from here."""
        now = self.look()
        changes = {name: now[name][0] - self.before[name][0] for name in now if now[name] != self.before[name]}
        self.before = now
        return changes
