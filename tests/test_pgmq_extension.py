"""pgmq as an extension: the deploy creates it, its queues are in every dump, and a revert removes both."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from psycopg import sql

from tests.support.api import Api
from tests.support.migrations import planned
from tests.support.servers import copied_programs, extensions_of
from tests.support.stack import ROOT, Stack
from tests.support.tenant import make_tenant
from tests.test_managed import PASSWORD, Server, deploy, postgrest, server

PGTAP = ("catalog", "ingest", "publish", "work_items")
# As pgmq itself makes the extension: of the very file that the PyPI package has.
CONTROL = """\
comment = 'A lightweight message queue. Like AWS SQS and RSMQ but on Postgres.'
default_version = 'of-the-test'
schema = 'pgmq'
relocatable = false
superuser = false
"""


def pgmq_sql() -> Path:
    """TOPICBASE_PGMQ_SQL names that of another version."""
    named = os.environ.get("TOPICBASE_PGMQ_SQL")
    found = Path(named) if named else next(iter(ROOT.glob(".venv/lib/python3*/site-packages/pgmq/sql/pgmq.sql")), None)
    if found is None:
        pytest.skip("the PyPI package pgmq is not installed: bin/install test")
    return found


@pytest.mark.timeout(900)
def test_pgmq_as_an_extension(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    (tmp_path / "postgres").mkdir()
    programs = copied_programs(tmp_path / "postgres", without="pgmq")
    (extensions_of(programs) / "pgmq.control").write_text(CONTROL)
    (extensions_of(programs) / "pgmq--of-the-test.sql").write_text(pgmq_sql().read_text())
    (tmp_path / "cluster").mkdir()
    with server(tmp_path / "cluster", programs) as at:
        deploy(at, "cluster_root")
        with at.connect() as db:
            assert db.execute("SELECT extversion FROM pg_extension WHERE extname = 'pgmq'").fetchone() == ("of-the-test",)
            db.execute(sql.SQL("ALTER ROLE authenticator PASSWORD {}").format(PASSWORD))
        for name in PGTAP:
            said = psql(at, "--no-align", "--tuples-only", f"--file={ROOT}/tests/pgtap/{name}.sql")
            assert re.search(r"^ok 1\b", said, re.MULTILINE), name
            assert re.findall(r"^not ok .*|^# Looks like .*", said, re.MULTILINE) == [], name
        with postgrest(at) as stack:
            organization = a_message_now_and_one_in_the_queue(stack)
        restored_from_a_dump(at, tmp_path / "cluster/dump", organization)
        psql(at, *(f"--file={ROOT}/revert/{change}.sql" for change in reversed(planned())))
        with at.connect() as db:
            left = db.execute("SELECT to_regnamespace('pgmq'), (SELECT extname FROM pg_extension WHERE extname = 'pgmq')")
            assert left.fetchone() == (None, None)


def a_message_now_and_one_in_the_queue(stack: Stack) -> str:
    api = Api(stack.api_url)
    tenant = make_tenant(stack, api)
    device = tenant.device()
    assert device.send({"temperature": 20}).status_code == 202
    assert api.ok("process_mqtt_queue", {"batch_size": 10}, token=stack.token("service_role"))["processed"] == 1
    assert [row["payload"] for row in api.rows("mqtt_messages", token=tenant.member)] == [{"temperature": 20}]
    assert device.send({"temperature": 21}).status_code == 202
    return tenant.organization_id


def restored_from_a_dump(at: Server, dump: Path, organization: str) -> None:
    environment = at.environment("cluster_root")
    for command in (
        ["pg_dump", "--format=custom", f"--file={dump}"],
        ["createdb", "restored"],
        ["pg_restore", "--exit-on-error", "--dbname=restored", str(dump)],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    with at.connect(dbname="restored") as restored:
        assert restored.execute("SELECT count(*) FROM pgmq.q_mqtt_messages").fetchone() == (1,)
        restored.execute("CALL mqtt.work_queue()")
        stored = restored.execute("SELECT count(*) FROM mqtt.mqtt_messages WHERE organization_id = %s", (organization,))
        assert stored.fetchone() == (2,)


def psql(at: Server, *arguments: str) -> str:
    command = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=at.environment("cluster_root"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
