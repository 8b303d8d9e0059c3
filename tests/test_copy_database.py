"""bin/copy-database: a database of the schema before numbered topics into a new one, interrupted on the way."""

import importlib.util
import json
import lzma
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.support.stack import TEMPLATE, Stack, start_stack
from tests.support.waiting import PROGRAM_PATIENCE

ROOT = Path(__file__).absolute().parents[1]
HERE = ROOT / "tests" / "copying"
Connection = psycopg.Connection[tuple[Any, ...]]
COUNT, REST = 4000, 2000
# What the new side writes by itself.
OWN = {"mqtt.device_integrations": {"updated_at"}, "mqtt.mqtt_callback_deliveries": {"bridge_id"}, "pgmq.q_mqtt_messages": {"message_id"}}
TABLES = (
    "mqtt.organizations", "mqtt.organization_members", "mqtt.device_integrations", "mqtt.devices", "mqtt.mqtt_credentials",
    "mqtt.broker_keys", "mqtt.mqtt_subscriptions", "mqtt.callback_secrets", "mqtt.mqtt_callback_deliveries", "pgmq.q_mqtt_messages",
    "pgmq.q_mqtt_outbound",
    "mqtt.mqtt_dead_letters", "mqtt.mqtt_publish_receipts", "mqtt.ledger", "mqtt.ingest_keys", "mqtt.integration_activity_log",
)  # fmt: skip
HISTORY = (
    "received_at", "organization_id", "id", "integration_id", "device_id", "sent_at", "direction", "qos", "retain", "topic", "payload",
    "content_type", "body", "decode_error", "properties",
)  # fmt: skip


def old_database(stack: Stack) -> str:
    """Makes one of the old schema, filled by fill.sql; returns its URL."""
    with stack.connect() as db:
        db.execute("CREATE DATABASE old")
    url = stack.database_url.rpartition("/")[0] + "/old"
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("CREATE EXTENSION pgcrypto; CREATE EXTENSION plpython3u")
        pgmq = importlib.util.find_spec("pgmq")
        assert pgmq is not None
        assert pgmq.origin is not None
        db.execute((Path(pgmq.origin).parent / "sql/pgmq.sql").read_bytes())
        db.execute("GRANT USAGE ON SCHEMA pgmq TO mqtt_owner; SET check_function_bodies = off")
        db.execute(lzma.decompress((HERE / "old-schema.sql.xz").read_bytes()))
        db.execute("SELECT set_config('fill.count', %s, false), set_config('fill.rest', %s, false)", (str(COUNT), str(REST)))
        db.execute((HERE / "fill.sql").read_bytes())
    return url


def found(db: Connection, table: str, names: tuple[str, ...]) -> list[str]:
    listed = sql.SQL(", ").join(map(sql.Identifier, names))
    rows = db.execute(sql.SQL("SELECT ROW({})::text FROM {}").format(listed, sql.SQL(table))).fetchall()
    return sorted(row[0] for row in rows)


def columns(db: Connection, table: str) -> set[str]:
    query = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
    return {name for (name,) in db.execute(query, (table,)).fetchall()}


@pytest.fixture
def databases() -> Iterator[tuple[str, str]]:
    """The old one and the new one."""
    stack = start_stack(without=("mosquitto", "postgrest", "gateway", "bridge"), TOPICBASE_TEMPLATE=TEMPLATE)
    try:
        yield old_database(stack), stack.database_url
    finally:
        stack.down()


def test_copied_in_two_runs(databases: tuple[str, str]) -> None:
    command = [sys.executable, str(ROOT / "bin" / "copy-database"), *databases, "--batch", "500"]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PROGRAM_PATIENCE)

    assert "has organizations already" in run().stderr, "the demo's"
    with psycopg.connect(databases[0], autocommit=True) as old, psycopg.connect(databases[1], autocommit=True) as new:
        new.execute("DELETE FROM mqtt.organizations; DELETE FROM mqtt.history; DELETE FROM mqtt.topics; DELETE FROM mqtt.ledger")
        assert "another key" in run().stderr
        key = new.execute("SELECT sealing_public_key FROM mqtt.configuration").fetchone()
        old.execute("UPDATE mqtt.configuration SET sealing_public_key = %s", key)

        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as first:
            assert first.stderr is not None
            line = ""
            while "mqtt_messages: 1,000" not in line:
                line = (line + first.stderr.read(1))[-40:]
            first.kill()
        copied = new.execute("SELECT copied FROM mqtt.copy_progress WHERE name = 'mqtt.mqtt_messages'").fetchone()
        assert copied is not None
        assert 1000 <= copied[0] < COUNT
        second = run()
        assert second.returncode == 0, second.stderr
        assert ["mqtt.mqtt_messages", f"{COUNT:,}", f"{COUNT:,}"] in [line.split() for line in second.stdout.splitlines()]
        assert "differs" not in second.stdout

        for table in TABLES:
            names = tuple(sorted(columns(old, table) & columns(new, table) - OWN.get(table, set())))
            assert found(new, table, names) == found(old, table, names), table
        assert found(new, "mqtt.mqtt_messages", HISTORY) == found(old, "mqtt.mqtt_messages", HISTORY)
        check(new)
    assert "has organizations already" in run().stderr, "it is over"


def check(new: Connection) -> None:
    def value(query: str, *values: Any) -> Any:
        row = new.execute(query.encode(), values or None).fetchone()
        return row and row[0]

    kinds: dict[str, int] = dict(
        new.execute("SELECT coalesce(message_type, 'none'), count(*) FROM mqtt.mqtt_messages GROUP BY 1").fetchall()
    )
    assert kinds == {"telemetry": COUNT // 20 * 9, "status": COUNT // 20 * 9, "none": COUNT // 10}, "by the pattern of each integration"
    plausible = "CASE WHEN sent_at > received_at - interval '1 year' THEN sent_at ELSE received_at END"
    wrong = f"SELECT count(*) FROM mqtt.mqtt_messages WHERE measured_at <> {plausible}"
    assert value(wrong) == 0, "measured then"
    assert value("SELECT count(*) FROM mqtt.mqtt_messages WHERE created_at - received_at NOT BETWEEN '6 ms' AND '8 ms'") == 0
    assert value("SELECT count(*) FROM mqtt.history_default") == 0, "each day has its partition"
    assert value("SELECT mqtt.latest_of(d) -> 't' ->> 'value' FROM mqtt.devices AS d WHERE external_id = 'device-1'") == "1"
    assert value("SELECT to_regclass('mqtt.copy_progress')") is None
    assert value("SELECT completed_days FROM mqtt.configuration") == 12

    # And it works: what waits is processed, under the ids that devices were told; a login logs in; rollups begin.
    query = "SELECT msg_id, mqtt.message_id(enqueued_at, msg_id), message_id FROM pgmq.q_mqtt_messages WHERE msg_id = 1"
    row = new.execute(query).fetchone()
    assert row is not None
    assert row[1] != row[2]
    while value("SELECT (mqtt.process_batch(1000) ->> 'processed')::integer"):
        pass
    assert value("SELECT count(*) FROM mqtt.mqtt_messages WHERE id = %s", row[2]) == 1
    assert value("SELECT count(*) FROM mqtt.check_ledger()") == 0
    row = new.execute("SELECT username, topic_prefix FROM mqtt.mqtt_credentials WHERE publish_filters IS NULL LIMIT 1").fetchone()
    assert row is not None
    number = row[0].removeprefix("login-")
    login = {"x-username": row[0], "x-password": f"password-{number}", "x-client-id": f"client-{number}"}
    new.execute("SELECT set_config('request.headers', %s, false)", (json.dumps(login),))
    assert value("SELECT api.mqtt_ingest(%s, '{\"t\": 1}') ->> 'status'", f"{row[1]}/devices/device-1/telemetry") == "queued"
    for _ in range(2):
        new.execute("SELECT mqtt.run_maintenance()")
    assert value("SELECT count(*) FROM mqtt.rollup_progress") == 2
