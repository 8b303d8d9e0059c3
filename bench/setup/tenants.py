"""Tenants and device logins of the benchmarks' stack."""

from __future__ import annotations

import base64
import hmac
import json
import time
import uuid
from dataclasses import dataclass

from bench.harness import Bench, Connection
from bench.setup.payload import payload

NAMESPACE = uuid.UUID("6f0c5f7e-7c55-4a43-9d0b-9a1f6a1f2b11")
PASSWORD = "p" * 32


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organization with one hosted integration and one device login."""

    number: int
    organization_id: str
    integration_id: str
    credential_id: str
    username: str
    prefix: str
    user_id: str

    @property
    def headers(self) -> dict[str, str]:
        login = base64.b64encode(f"{self.username}:{PASSWORD}".encode()).decode()
        return {"Authorization": f"Basic {login}", "X-Client-ID": self.username}

    def topic(self, device: int) -> str:
        return f"{self.prefix}/devices/device-{device:04}/telemetry"

    def message(self, device: int = 0, size: int = 100) -> str:
        return f'{{"topic":"{self.topic(device)}","payload":{payload(size)}}}'

    def batch(self, count: int, size: int = 100) -> str:
        return "[" + ",".join(self.message(n % 100, size) for n in range(count)) + "]"


def make_tenants(db: Connection, count: int) -> list[Tenant]:
    """bench-0, bench-1, …; creates those that are missing."""
    tenants = []
    for number in range(count):
        ids = [str(uuid.uuid5(NAMESPACE, f"{kind}-{number}")) for kind in ("organization", "integration", "credential", "user")]
        tenants.append(Tenant(number, ids[0], ids[1], ids[2], f"bench-{number}", f"org_bench-{number}", ids[3]))
    with db.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO mqtt.organizations (id, name, slug) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [(t.organization_id, t.username, t.username) for t in tenants],
        )
        cursor.executemany(
            "INSERT INTO mqtt.organization_members (organization_id, user_id, role) VALUES (%s, %s, 'admin') ON CONFLICT DO NOTHING",
            [(t.organization_id, t.user_id) for t in tenants],
        )
        cursor.executemany(
            "INSERT INTO mqtt.device_integrations (id, organization_id, name, integration_type, settings)"
            " VALUES (%s, %s, 'bench', 'mqtt_hosted', '{}') ON CONFLICT DO NOTHING",
            [(t.integration_id, t.organization_id) for t in tenants],
        )
        cursor.executemany(
            "INSERT INTO mqtt.mqtt_credentials (id, organization_id, integration_id, username, client_id, topic_prefix,"
            " secret_salt, secret_hash, mosquitto_hash, bcrypt_hash)"
            r" SELECT %s, %s, %s, %s, %s, %s, s.salt, sha256(s.salt || %s::bytea), '$7$', '$2a$'"
            r" FROM (SELECT '\x000102030405060708090a0b0c0d0e0f'::bytea AS salt) AS s ON CONFLICT DO NOTHING",
            [(t.credential_id, t.organization_id, t.integration_id, t.username, t.username, t.prefix, PASSWORD.encode()) for t in tenants],
        )
    return tenants


def claims(tenant: Tenant) -> str:
    """The JWT claims of the tenant's admin, as PostgREST hands them to the database."""
    return json.dumps({"role": "authenticated", "sub": tenant.user_id})


def bearer(bench: Bench, tenant: Tenant) -> str:
    """A JWT of the tenant's admin, for an hour."""
    return jwt_of(bench, tenant.user_id)


def jwt_of(bench: Bench, user_id: str, role: str = "authenticated") -> str:
    document = {"role": role, "sub": user_id, "aud": bench.env["JWT_AUDIENCE"], "exp": int(time.time()) + 3600}
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256", "typ": "JWT"}, document))
    signature = hmac.digest(bench.env["JWT_SECRET"].encode(), head + b"." + body, "sha256")
    return b".".join((head, body, base64.urlsafe_b64encode(signature).rstrip(b"="))).decode()


class Demo:
    """The stack's demonstration tenant, whose hosted integration the bridge serves."""

    def __init__(self, bench: Bench) -> None:
        self.organization_id = bench.env["DEMO_ORGANIZATION_ID"]
        self.integration_id = bench.env["DEMO_INTEGRATION_ID"]
        self.claims = json.dumps({"role": "authenticated", "sub": bench.env["DEMO_USER_ID"]})
        self.prefix = "org_demo"
        # no quotas while the machine's own limits are measured
        with bench.connect() as db:
            for column in ("max_messages_per_second", "messages_per_second", "publish_per_second"):
                row = db.execute(
                    "SELECT count(*) FROM pg_attribute WHERE attrelid = 'mqtt.organizations'::regclass AND attname = %s", (column,)
                ).fetchone()
                if row and row[0]:
                    db.execute(f"UPDATE mqtt.organizations SET {column} = NULL")

    def session(self, bench: Bench) -> Connection:
        db = bench.connect(prepare_threshold=1)
        db.execute("SELECT set_config('request.jwt.claims', %s, false)", (self.claims,))
        db.execute("SET ROLE authenticated")
        return db
