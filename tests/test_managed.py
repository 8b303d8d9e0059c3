"""Servers on which the deploying role is no superuser, and whose roles are others': Supabase's, and the managed servers of clouds."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from psycopg import sql

from tests.support.api import Api, one
from tests.support.migrations import planned
from tests.support.ports import Port
from tests.support.servers import PROGRAMS
from tests.support.stack import ROOT, Stack, postgrest_program
from tests.support.tenant import make_tenant
from tests.support.waiting import PATIENCE, wait_until

PASSWORD = "a-password-of-the-test"
JWT_SECRET = "a-secret-of-the-test-with-forty-four-letters"

# As Supabase's own scripts leave a project: `postgres` makes the roles of the API, then another superuser demotes it. From PostgreSQL 16
# on it is given those three back, but not the role with which PostgREST logs in. (Its limits are 3 and 8 seconds: within those, a first
# call on a busy machine need not end.)
SUPABASE = """
CREATE ROLE postgres LOGIN SUPERUSER PASSWORD '{password}';
ALTER DATABASE app OWNER TO postgres;
SET SESSION AUTHORIZATION postgres;
CREATE SCHEMA extensions;
CREATE EXTENSION pgcrypto SCHEMA extensions;
CREATE ROLE anon NOLOGIN;
CREATE ROLE authenticated NOLOGIN;
CREATE ROLE service_role NOLOGIN BYPASSRLS;
CREATE ROLE authenticator LOGIN NOINHERIT PASSWORD '{password}';
GRANT anon, authenticated, service_role TO authenticator;
GRANT USAGE ON SCHEMA public, extensions TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
RESET SESSION AUTHORIZATION;
ALTER ROLE anon SET statement_timeout = '3min';
ALTER ROLE authenticated SET statement_timeout = '8min';
ALTER ROLE authenticator SET statement_timeout = '8min';
ALTER ROLE authenticator SET lock_timeout = '8min';
GRANT anon, authenticated, service_role TO postgres {with_admin_option};
ALTER ROLE postgres NOSUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS;
ALTER ROLE postgres SET search_path = "$user", public, extensions;
"""
# As a cloud's managed server: the customer's role may make roles and databases, and neither itself has BYPASSRLS nor can give it.
MANAGED = """
CREATE ROLE cloud_superuser NOLOGIN;
GRANT pg_monitor, pg_signal_backend TO cloud_superuser WITH ADMIN OPTION;
CREATE ROLE app_admin LOGIN CREATEROLE CREATEDB PASSWORD '{password}' IN ROLE cloud_superuser;
ALTER DATABASE app OWNER TO app_admin;
"""
# All that a deploy could take from roles that were there before it, or give them.
OF_OTHERS = """
    SELECT r.rolname, to_jsonb(a) - 'rolpassword', d.description, array(
        SELECT s.setdatabase || ' ' || s.setconfig::text FROM pg_db_role_setting AS s WHERE s.setrole = r.oid ORDER BY 1
    )
    FROM pg_roles AS r
    JOIN pg_authid AS a ON a.oid = r.oid
    LEFT JOIN pg_shdescription AS d ON d.objoid = r.oid AND d.classoid = 'pg_authid'::regclass
    WHERE r.rolname = ANY (%(roles)s)
    ORDER BY 1
"""
GRANTS = """
    SELECT m.roleid::regrole::text, m.member::regrole::text, m.grantor::regrole::text, m.admin_option FROM pg_auth_members AS m
    WHERE m.roleid::regrole::text = ANY (%(roles)s) AND m.member::regrole::text = ANY (%(roles)s)
    ORDER BY 1, 2, 3
"""


@dataclass(frozen=True)
class Server:
    """A cluster with one database, `app`; its superuser is nobody's whom a deploy knows."""

    port: int

    def connect(self, user: str = "cluster_root", dbname: str = "app") -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(host="127.0.0.1", port=self.port, user=user, password=PASSWORD, dbname=dbname, autocommit=True)

    def environment(self, user: str) -> dict[str, str]:
        pgmq = next((ROOT / ".venv/lib").glob("python3*/site-packages/pgmq/sql/pgmq.sql"))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return clean | {
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": user, "PGPASSWORD": PASSWORD, "PGDATABASE": "app",
            "TOPICBASE_PGMQ_SQL": str(pgmq),
        }  # fmt: skip


@contextmanager
def server(directory: Path, programs: Path = PROGRAMS, **more: str) -> Iterator[Server]:
    """A new one, with `more` in its environment, until the end of the block."""
    held = Port()
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(directory, "postgres")
    (directory / "password").write_text(PASSWORD)
    place = directory / "data"
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **more}
    initdb = [
        str(programs / "initdb"),
        "--username=cluster_root",
        f"--pwfile={directory / 'password'}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
    ]
    initdb += ["--no-sync", "--locale=C.UTF-8", f"--pgdata={place}"]
    subprocess.run(initdb, env=environment, cwd="/", check=True, capture_output=True, **user)
    settings = {"port": held.number, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
    command = [str(programs / "postgres"), "-D", str(place), *(f"--{name}={value}" for name, value in settings.items())]
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, **user) as process,
    ):

        def is_up() -> bool:
            assert process.poll() is None, (directory / "log").read_text()
            try:
                made = Server(held.number).connect()
            except psycopg.OperationalError as error:
                if '"app" does not exist' not in str(error):
                    return False
                with Server(held.number).connect(dbname="postgres") as db:
                    db.execute("CREATE DATABASE app")
                return False
            made.close()
            return True

        try:
            wait_until(is_up, what="the server")
            yield Server(held.number)
        finally:
            # At once, without a checkpoint, and whoever is connected.
            process.send_signal(signal.SIGQUIT)
            process.wait(PATIENCE)


def deploy(at: Server, role: str) -> str:
    """In the matrix by sqitch, else by psql alone, which takes a fraction of the time: one session for all scripts. What was said."""
    if os.environ.get("TOPICBASE_MATRIX"):
        command, told = ["sqitch", "deploy", "--verify", f"db:pg://{role}@127.0.0.1:{at.port}/app"], None
    else:
        command = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
        told = "".join(f"\\i {folder}/{change}.sql\n" for change in planned() for folder in ("deploy", "verify"))
    done = subprocess.run(command, input=told, cwd=ROOT, env=at.environment(role), capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


@contextmanager
def postgrest(at: Server) -> Iterator[Stack]:
    held = Port()
    environment = {
        "PGRST_DB_URI": f"postgresql://authenticator:{PASSWORD}@127.0.0.1:{at.port}/app",
        "PGRST_DB_SCHEMAS": "api",
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_DB_EXTRA_SEARCH_PATH": "",
        "PGRST_DB_PRE_REQUEST": "mqtt.check_token",
        "PGRST_DB_ROOT_SPEC": "openapi",
        "PGRST_JWT_SECRET": JWT_SECRET,
        "PGRST_JWT_AUD": "topicbase",
        "PGRST_SERVER_HOST": "127.0.0.1",
        "PGRST_SERVER_PORT": str(held.number),
    }
    url = f"http://127.0.0.1:{held.number}"

    def is_up() -> bool:
        try:
            return requests.get(url, timeout=PATIENCE).ok
        except requests.ConnectionError:
            return False

    with subprocess.Popen([postgrest_program()], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(is_up, what="PostgREST")
            database = f"postgresql://cluster_root:{PASSWORD}@127.0.0.1:{at.port}/app"
            yield Stack(Path(), {"DATABASE_URL": database, "API_URL": url, "JWT_SECRET": JWT_SECRET, "JWT_AUDIENCE": "topicbase"})
        finally:
            process.terminate()


def one_message_from_end_to_end(stack: Stack) -> None:
    """Sent by a device, processed by a scheduler's call, seen by a member and by the service, and by no stranger."""
    api = Api(stack.api_url)
    tenant = make_tenant(stack, api)
    service, stranger = stack.token("service_role"), stack.token("authenticated", "5ad5a5a0-0000-4000-8000-000000000000")
    assert tenant.device().send({"temperature": 20}).status_code == 202
    api.ok("process_mqtt_queue", {"batch_size": 10}, token=service)
    for token in (tenant.member, tenant.admin, service):
        assert [row["payload"] for row in api.rows("mqtt_messages", token=token)] == [{"temperature": 20}]
    for view in ("mqtt_messages", "devices", "device_integrations"):
        assert api.rows(view, token=stranger) == []
        assert len(api.rows(view, token=service)) == 1, view
    messages = [{"topic": f"org_{tenant.slug}/a", "payload": 1}]
    assert api.ok("mqtt_publish", {"integration_id": tenant.integration_id, "messages": messages}, token=tenant.member)
    body = {"organization_id": tenant.organization_id, "name": "by the service", "integration_type": "mqtt_hosted", "settings": {}}
    assert one(api.ok("upsert_integration", body, token=service))["name"] == "by the service"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kind", "role"), [("supabase", "postgres"), ("managed", "app_admin")])
def test_a_role_that_is_no_superuser_deploys(kind: str, role: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    with server(tmp_path) as at:
        with at.connect() as db:
            options = {"password": PASSWORD, "with_admin_option": "WITH ADMIN OPTION" if db.info.server_version >= 160000 else ""}
            db.execute((SUPABASE if kind == "supabase" else MANAGED).format(**options))
            roles = [name for (name,) in db.execute("SELECT rolname FROM pg_roles")]
            before = db.execute(OF_OTHERS, {"roles": roles}).fetchall(), db.execute(GRANTS, {"roles": roles}).fetchall()
        deploy(at, role)
        with at.connect() as db:
            assert (db.execute(OF_OTHERS, {"roles": roles}).fetchall(), db.execute(GRANTS, {"roles": roles}).fetchall()) == before
            made = [name for (name,) in db.execute("SELECT rolname FROM pg_roles") if name not in roles]
            unbound = "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) AND (rolsuper OR rolbypassrls OR rolconfig IS NOT NULL)"
            assert db.execute(unbound, (made,)).fetchall() == []
            # This database alone has settings of the project's, for those of its roles that log in or that a request becomes.
            set_here = "SELECT DISTINCT setrole::regrole::text FROM pg_db_role_setting WHERE setdatabase <> 0 ORDER BY 1"
            assert [name for (name,) in db.execute(set_here)] == sorted(set(made) - {"mqtt_owner", "topicbase_reader"})
            if "authenticator" in made:
                db.execute(sql.SQL("ALTER ROLE authenticator PASSWORD {}").format(sql.Literal(PASSWORD)))
        with postgrest(at) as stack:
            one_message_from_end_to_end(stack)
