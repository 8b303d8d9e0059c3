"""A real hot standby: what only reads works there, and what writes is refused as such; promoted, it is what the primary was."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from tests.bridge.support import Peer, publish, receipts
from tests.cli.conftest import bridge_environment
from tests.support.api import Api
from tests.support.ports import Port
from tests.support.servers import PROGRAMS
from tests.support.stack import ROOT, Stack, postgrest_program
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import PATIENCE, wait_until

BACK_UP = (ROOT / "docs/how-to/back-up.md").read_text().partition("## Put a restored backup into service")[2]
SET_ASIDE, REPLAY = re.findall(r"^ +```\n +(.*?)\n +```$", BACK_UP, re.MULTILINE)


@contextmanager
def standby(stack: Stack, directory: Path) -> Iterator[int]:
    """Its port."""
    secrets = dict(line.split("=", 1) for line in (stack.run_dir / "secrets").read_text().splitlines())
    with stack.connect() as db:
        port, data = db.info.port, db.execute("SHOW data_directory").fetchone()
        hba = db.execute("SHOW hba_file").fetchone()
        assert data is not None
        assert hba is not None
        with Path(hba[0]).open("a") as file:
            file.write("host replication postgres 127.0.0.1/32 scram-sha-256\n")
        db.execute("SELECT pg_reload_conf()")
    held = Port()
    own = held.number
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(directory, Path(data[0]).owner())
        user = {"user": Path(data[0]).owner()}
    place = directory / "data"
    environment = {"PGPASSWORD": secrets["SUPERUSER_PASSWORD"], "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    backup = [
        "--host=127.0.0.1",
        f"--port={port}",
        "--username=postgres",
        "--checkpoint=fast",
        "--write-recovery-conf",
        f"--pgdata={place}",
    ]
    subprocess.run([str(PROGRAMS / "pg_basebackup"), *backup], env=environment, cwd="/", check=True, capture_output=True, **user)
    settings = {"port": own, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
    command = [str(PROGRAMS / "postgres"), "-D", str(place), *(f"--{name}={value}" for name, value in settings.items())]
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, **user) as process,
    ):

        def is_up() -> bool:
            assert process.poll() is None, (directory / "log").read_text()
            return held.is_served()

        try:
            wait_until(is_up, what="the standby")
            yield own
        finally:
            process.terminate()
            process.wait(PATIENCE)


@contextmanager
def postgrest(stack: Stack, database_port: int, **settings: str) -> Iterator[Api]:
    """One more, on the server at that port."""
    secrets = dict(line.split("=", 1) for line in (stack.run_dir / "secrets").read_text().splitlines())
    name = psycopg.conninfo.conninfo_to_dict(stack.database_url)["dbname"]
    own = Port().number
    environment = {
        "PGRST_DB_URI": f"postgresql://authenticator:{secrets['AUTHENTICATOR_PASSWORD']}@127.0.0.1:{database_port}/{name}",
        "PGRST_DB_SCHEMAS": "api",
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_DB_EXTRA_SEARCH_PATH": "",
        "PGRST_JWT_SECRET": stack.env["JWT_SECRET"],
        "PGRST_JWT_AUD": stack.env["JWT_AUDIENCE"],
        "PGRST_SERVER_HOST": "127.0.0.1",
        "PGRST_SERVER_PORT": str(own),
        **settings,
    }
    api = Api(f"http://127.0.0.1:{own}")

    def is_up() -> bool:
        try:
            return requests.get(api.url, timeout=PATIENCE).ok
        except requests.ConnectionError:
            return False

    nothing = subprocess.DEVNULL
    with subprocess.Popen([postgrest_program()], env=environment, stdout=nothing, stderr=nothing) as process:
        try:
            wait_until(is_up, what="PostgREST at the standby")
            yield api
        finally:
            process.terminate()


def test_reads_on_a_replica(fresh_stack: Callable[..., Stack], tmp_path: Path) -> None:
    stack = fresh_stack(without=("gateway",))
    primary = make_tenant(stack, Api(stack.api_url))
    device = primary.device()
    assert device.send({"temperature": 20}).status_code == 202
    wait_until(lambda: primary.api.rows("mqtt_messages", token=primary.member), what="the history")
    # a standby takes no LISTEN
    with standby(stack, tmp_path) as port, postgrest(stack, port, PGRST_DB_CHANNEL_ENABLED="false") as replica:
        works(replica, primary, device)


def works(replica: Api, primary: Any, device: Any) -> None:
    member = primary.member

    def is_the_same(view: str) -> bool:
        return bool(replica.rows(view, token=member) == primary.api.rows(view, token=member))

    for view in ("mqtt_messages", "devices", "device_integrations", "mqtt_message_queue", "integration_activity_log"):
        wait_until(partial(is_the_same, view), what=f"{view} as at the primary")  # which goes on, and the standby follows
    assert replica.rows("mqtt_messages", token=member)
    reads: dict[str, dict[str, Any]] = {
        "query_telemetry": {"device_id": "sensor01"},
        "list_messages": {},
        "list_devices": {},
        "get_device": {"device_id": "sensor01"},
        "get_capabilities": {},
        "get_mqtt_queue_stats": {"org_id": primary.organization_id},
        "check_mqtt_ledger": {},
    }
    for call, arguments in reads.items():
        token = primary.stack.token("service_role") if call == "check_mqtt_ledger" else member
        answer = replica.call(call, arguments, token=token)
        assert answer.ok, f"{call}: {answer.status_code} {answer.text}"
    stranger = primary.stack.token("authenticated", "5ad5a5a0-0000-4000-8000-000000000000")
    assert replica.rows("mqtt_messages", token=stranger) == []
    # What may write is refused before it is tried, by PostgREST's own "set transaction read write".
    message = {"integration_id": primary.integration_id, "messages": [{"topic": f"org_{primary.slug}/a", "payload": 1}]}
    refused = [
        replica.call("mqtt_publish", message, token=member),
        replica.call("mqtt_ingest", {"topic": device.topic(), "payload": 1}, headers=device.headers),
        replica.call("get_mqtt_publish_receipts", {"receipt_ids": []}, token=member),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(400, "0A000")] * 3


def settings_for_both(stack: Stack, port: int, directory: Path) -> dict[str, str]:
    """Of a bridge that finds whichever server takes writes, as docs/how-to/scale.md says."""
    settings = {name: value for name, value in bridge_environment(stack).items() if not name.startswith("TOPICBASE_MOSQUITTO_")}
    pgpass = directory / "pgpass"
    pgpass.write_text(Path(settings["PGPASSFILE"]).read_text().replace(f":{settings['PGPORT']}:", ":*:"))
    pgpass.chmod(0o600)
    return settings | {
        "PGHOST": "127.0.0.1,127.0.0.1",
        "PGPORT": f"{settings['PGPORT']},{port}",
        "PGTARGETSESSIONATTRS": "read-write",
        "PGPASSFILE": str(pgpass),
        "TOPICBASE_METRICS_ADDRESS": f"127.0.0.1:{Port().number}",
    }


@contextmanager
def bridge(settings: dict[str, str]) -> Iterator[None]:
    command = [sys.executable, "-m", "bridge", "run"]
    nothing = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, env=settings, stdin=nothing, stderr=nothing) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


def commit_at_both(stack: Stack) -> None:
    with stack.connect() as db:
        db.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        db.execute("SELECT pg_reload_conf()")
        is_synchronous = "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"
        wait_until(lambda: db.execute(is_synchronous).fetchone() is not None, what="a synchronous standby")


def wait_for_the_standby(stack: Stack, port: int) -> None:
    with stack.connect() as primary, stack.connect(port=port) as other:
        row = primary.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
        assert row is not None
        has_all = "SELECT WHERE pg_last_wal_replay_lsn() >= %s"
        wait_until(lambda: other.execute(has_all, row).fetchone() is not None, what="the standby's having it all")


def payloads(tenant: Tenant) -> list[Any]:
    """What was received, with repeats."""
    rows = tenant.api.rows("mqtt_messages", token=tenant.member, direction="eq.incoming")
    return sorted(row["payload"] for row in rows)


def heard_of(listener: Peer, heard: list[int]) -> set[int]:
    """What it has got, with what came since the last call added to the list."""
    while not listener.messages.empty():
        heard.append(int(listener.next().payload))
    return set(heard)


@pytest.mark.parametrize("kind", ["synchronous", "asynchronous"])
def test_a_promoted_standby_takes_over(fresh_stack: Callable[..., Stack], tmp_path: Path, kind: str) -> None:
    """What was accepted before is there once, and so is what comes after; by the steps of docs/how-to/back-up.md, word for word.

    Of a synchronous standby there are none: the bridge that runs finds it. What it was publishing just then may come twice.
    """
    stack = fresh_stack(without=("gateway",))
    primary = make_tenant(stack, Api(stack.api_url))
    device, topic = primary.device(), f"org_{primary.slug}/devices/pump/command"
    listener, heard = Peer(stack.mqtt_host, stack.mqtt_port, "topicbase_bridge", stack.broker_password), list[int]()
    assert listener.subscribe(topic) == 2
    with standby(stack, tmp_path) as port, ExitStack() as bridges:
        settings = settings_for_both(stack, port, tmp_path)
        stack.stop("bridge")
        bridges.enter_context(bridge(settings))
        assert device.send(0).status_code == 202
        wait_until(lambda: payloads(primary) == [0], what="the history")
        if kind == "synchronous":
            commit_at_both(stack)
        else:
            bridges.close()  # so that all of this waits
        assert device.send_batch([{"topic": device.topic(), "payload": n} for n in range(1, 100)]).json()["accepted"] == 99
        waiting = publish(primary, [{"topic": topic, "payload": n, "qos": 1} for n in range(100)])
        if kind == "asynchronous":
            wait_for_the_standby(stack, port)
        stack.kill("postgres")
        with stack.connect(port=port) as db:
            assert db.execute("SELECT pg_promote()").fetchone() == (True,)
            if kind == "asynchronous":
                assert db.execute(SET_ASIDE.encode()).fetchone() == (100,)
                bridges.enter_context(bridge(settings))
            with postgrest(stack, port) as api:
                promoted = replace(primary, api=api)
                assert replace(device, api=api).send(100).status_code == 202
                wait_until(lambda: payloads(promoted) == list(range(101)), what="the history of both")
                if kind == "asynchronous":
                    replay_what_was_set_aside(db, promoted)
                after = publish(promoted, [{"topic": topic, "payload": 100, "qos": 1}])
                states = [row["state"] for row in receipts(promoted, waiting + after)]
                assert states == ["acknowledged" if kind == "synchronous" else "failed"] * 100 + ["acknowledged"]
                wait_until(lambda: heard_of(listener, heard) == set(range(101)), what="what was published before and after")
                assert kind == "synchronous" or len(heard) == 101
                everything_adds_up(db, promoted)
    listener.close()


def replay_what_was_set_aside(db: psycopg.Connection[Any], tenant: Tenant) -> None:
    """Show it, then send it after all."""
    shown = REPLAY.replace("…organization…", tenant.organization_id)
    for statement, replayed in ((shown, 0), (shown.replace(", dry_run => true", ""), 100)):
        row = db.execute(statement.encode()).fetchone()
        assert row is not None
        assert (row[0]["matched"], row[0]["replayed"]) == (100, replayed)


def everything_adds_up(db: psycopg.Connection[Any], tenant: Tenant) -> None:
    waiting = "SELECT 1 FROM pgmq.q_mqtt_messages UNION ALL SELECT 1 FROM pgmq.q_mqtt_outbound"
    wait_until(lambda: db.execute(waiting).fetchone() is None, what="empty queues")
    assert tenant.api.ok("check_mqtt_ledger", token=tenant.stack.token("service_role")) == []
    assert payloads(tenant) == list(range(101))
