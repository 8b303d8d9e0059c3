"""A real hot standby: what only reads works there, and what writes is refused as such."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import requests

from tests.support.api import Api
from tests.support.ports import Port
from tests.support.servers import PROGRAMS
from tests.support.stack import Stack, postgrest_program
from tests.support.tenant import make_tenant
from tests.support.waiting import PATIENCE, wait_until


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
    publish = {"integration_id": primary.integration_id, "messages": [{"topic": f"org_{primary.slug}/a", "payload": 1}]}
    refused = [
        replica.call("mqtt_publish", publish, token=member),
        replica.call("mqtt_ingest", {"topic": device.topic(), "payload": 1}, headers=device.headers),
        replica.call("get_mqtt_publish_receipts", {"receipt_ids": []}, token=member),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(400, "0A000")] * 3
