"""A real PgBouncer in transaction mode: API calls work through it, and the bridge refuses to."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from bridge.database import pooler
from tests.bridge.pgbouncer import pgbouncer
from tests.bridge.support import receipts
from tests.support.api import Api
from tests.support.ports import Port
from tests.support.stack import ROOT, Stack, postgrest_program
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "it refuses startup parameters"),
        ({"ignore_startup_parameters": "options"}, "it names a process other than the one that answers"),
        ({"ignore_startup_parameters": "options", "mode": "session"}, "it names a process other than the one that answers"),
    ],
)
def test_the_bridge_says_so_and_ends(stack: Stack, tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    pairs = Path(f"/proc/{stack.pid('bridge')}/environ").read_text(encoding="utf-8").split("\0")
    environment = {key: value for key, _, value in (pair.partition("=") for pair in pairs) if not key.startswith("TOPICBASE_M")}
    pgpass = tmp_path / "pgpass"
    pgpass.write_text(Path(environment["PGPASSFILE"]).read_text().replace(f":{environment['PGPORT']}:", ":*:"))
    pgpass.chmod(0o600)
    with pgbouncer(stack, tmp_path, **settings) as port:
        environment |= {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGPASSFILE": str(pgpass)}
        command = [sys.executable, "-m", "bridge", "run"]
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert ended.returncode == 2, ended.stderr
    assert "pooler_in_the_way" in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("topicbase: a pooler is in the way")
    assert words in ended.stderr.splitlines()[-1]


def test_a_direct_connection_is_none(stack: Stack) -> None:
    with stack.connect() as db:
        pooler.check(db)
    with pytest.raises(psycopg.OperationalError) as caught:
        stack.connect(password="wrong")
    assert pooler.refusal(caught.value) is None


def test_api_calls_work_through_it(stack: Stack, tenant: Callable[..., Tenant], tmp_path: Path, port: Port) -> None:
    owner = tenant()
    secrets = dict(line.split("=", 1) for line in (stack.run_dir / "secrets").read_text().splitlines())
    with pgbouncer(stack, tmp_path) as pool_port:
        environment = {
            "PATH": os.environ["PATH"],
            "PGRST_DB_URI": f"postgresql://authenticator:{secrets['AUTHENTICATOR_PASSWORD']}@127.0.0.1:{pool_port}/{database_name(stack)}",
            "PGRST_DB_SCHEMAS": "api",
            "PGRST_DB_ANON_ROLE": "anon",
            "PGRST_DB_EXTRA_SEARCH_PATH": "",
            "PGRST_DB_PREPARED_STATEMENTS": "false",  # they live in a session
            "PGRST_DB_CHANNEL_ENABLED": "false",  # so does LISTEN
            "PGRST_JWT_SECRET": stack.env["JWT_SECRET"],
            "PGRST_JWT_AUD": stack.env["JWT_AUDIENCE"],
            "PGRST_SERVER_HOST": "127.0.0.1",
            "PGRST_SERVER_PORT": str(port.number),
            "PGRST_LOG_LEVEL": "error",
        }
        with subprocess.Popen([postgrest_program()], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                url = f"http://127.0.0.1:{port.number}"

                def is_up() -> bool:
                    try:
                        return requests.get(url, timeout=PATIENCE).ok
                    except requests.ConnectionError:
                        return False

                wait_until(is_up, what="PostgREST behind PgBouncer")
                pooled = Tenant(stack, Api(url), owner.organization_id, owner.slug, owner.admin_id, owner.member_id, owner.integration_id)
                works(pooled)
            finally:
                process.terminate()


def database_name(stack: Stack) -> str:
    with stack.connect() as db:
        return db.info.dbname


def works(owner: Tenant) -> None:
    """A device's and an app's calls, several of them so that sessions are shared; each sees only what it may."""
    device = owner.device()
    for number in range(6):
        assert device.send({"number": number}).status_code == 202
        assert device.send_batch([{"topic": device.topic(), "payload": number}]).json() == {"accepted": 1, "rejected": []}
        assert device.send(1, topic="org_nobodys/devices/a/telemetry").status_code == 403
        assert owner.api.call("mqtt_publish", {}, token=None).status_code in (401, 404)
        stranger = owner.stack.token("authenticated", "5ad5a5a0-0000-4000-8000-000000000000")
        assert owner.api.rows("mqtt_messages", token=stranger) == []
    wait_until(lambda: len(owner.api.rows("mqtt_messages", token=owner.member)) == 12, what="the history through the pooler")
    sent = owner.api.ok(
        "mqtt_publish",
        {"integration_id": owner.integration_id, "messages": [{"topic": f"org_{owner.slug}/devices/a/c", "payload": 1, "qos": 1}]},
        token=owner.member,
    )
    ids = [receipt["receipt_id"] for receipt in sent["receipts"]]
    (receipt,) = receipts(owner, ids)
    assert receipt["state"] == "acknowledged"
