"""From an empty database to a first message."""

import getpass
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import psycopg
import typer

from bridge import sealing, shipped, tokens
from bridge.cli import common
from bridge.cli.credentials import write_private

INTEGRATION = "Hosted broker"
TOKEN_DAYS = 30
UNITS = Path(__file__).parent.parent / "units"
_SERVED = "TOPICBASE_HOSTED_BROKER_URL="
_ROLES = ("authenticator", "mqtt_bridge")


def init(
    directory: Annotated[Path, typer.Argument(help="Where keys, settings and units go; what is there already is kept.")],
    organization: Annotated[str, typer.Option(help="Name of the first organization.")],
    slug: Annotated[str | None, typer.Option(help="Its topics begin with org_<slug>; default: made of the name.")] = None,
    broker: Annotated[str | None, typer.Option(help="URL of a hosted broker, for this bridge and for devices; default: only HTTP.")] = None,
    api_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of PostgREST, on 127.0.0.1.")] = 3000,
    metrics_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the bridge's metrics, on 127.0.0.1.")] = 9464,
) -> None:
    """Set up Topicbase in a database, up to the first message.

    Deploys the schema with sqitch, gives the roles that log in a password, makes the keys, the first organization with an admin and an
    integration, and writes the settings of PostgREST and of the bridge, with units for systemd. It may be run again: it goes on where it
    ended, and keeps what is there. The database is found by libpq's own variables; it needs a superuser, or a role with CREATEROLE that
    owns the database.

    \b
    Example:
      createdb app && PGHOST=/run/postgresql PGUSER=postgres PGDATABASE=app topicbase init /etc/topicbase --organization Acme
    """
    place = directory.absolute()
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        common.fail(f"{place} cannot be made: {error.strerror}", common.WRONG)
    try:
        connection = common.connect("init")
    except psycopg.OperationalError as error:
        common.fail(f"the database cannot be reached: {common.whole(error)}", common.UNREACHABLE)
    with connection:
        if connection.info.server_version < 150000:
            common.fail("PostgreSQL 15 or newer is required", common.WRONG)
        _deploy(connection, place)
        try:
            _set_passwords(connection, place)
            _make_key(connection, place, broker)
            found = _make_organization(connection, organization, common.slug_of(organization) if slug is None else slug)
        except psycopg.Error as error:
            reason = f": {error.diag.message_detail}" if error.diag.message_detail else ""
            common.fail(f"{error.diag.message_primary or common.whole(error)}{reason}")
        _write_settings(connection, place, _host_of_services(connection, place), found, broker, api_port, metrics_port)
        told = str(connection.execute("SELECT hosted_broker_url FROM mqtt.configuration").fetchall()[0][0])
    _say_what_next(place, found["slug"], api_port)
    _say_which_broker(told, is_served=_SERVED in (place / "bridge.env").read_text(encoding="utf-8"))


def _deploy(connection: psycopg.Connection[Any], place: Path) -> None:
    sqitch = shutil.which("sqitch")
    if sqitch is None:
        common.fail("sqitch is not installed: it applies the migrations. Debian: apt-get install sqitch libdbd-pg-perl", common.WRONG)
    # In a database that is in use, who waits for a lock holds up all who come after.
    environment = {"PGOPTIONS": "-c lock_timeout=5s", **os.environ}
    if "TOPICBASE_PGMQ_SQL" not in environment and (package := importlib.util.find_spec("pgmq")) and package.origin:
        environment["TOPICBASE_PGMQ_SQL"] = str(Path(package.origin).parent / "sql" / "pgmq.sql")
    log = place / "deploy.log"
    changes = len(shipped.changes())
    typer.echo(f"deploying to {connection.info.dbname} what it lacks of {changes} changes (a minute or so from nothing; {log})")
    command = [sqitch, "--chdir", str(shipped.MIGRATIONS), "deploy", "--verify", f"db:pg:{connection.info.dbname}"]
    try:
        with log.open("wb") as output:
            done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False)
    except OSError as error:
        common.fail(f"{log} cannot be written: {error.strerror}", common.WRONG)
    if done.returncode:
        common.fail("the deploy failed, and was undone:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-12:]))
    # A PostgREST that runs already knows only what was there when it started.
    connection.execute("NOTIFY pgrst, 'reload schema'")


def _kept(path: Path, make: Any) -> str:
    """What the file holds; if there is none, what is made and written to it."""
    if not path.exists():
        write_private(path, f"{make()}\n")
    return path.read_text(encoding="utf-8").strip()


def _has_password(connection: psycopg.Connection[Any], role: str) -> bool:
    """Whether it has one that others may use; only a superuser sees that, anyone else whether others made the role."""
    may_look = connection.execute("SELECT has_table_privilege('pg_catalog.pg_authid', 'select')").fetchone()
    if may_look is not None and may_look[0]:
        query = "SELECT rolpassword IS NOT NULL FROM pg_catalog.pg_authid WHERE rolname = %s"
    else:
        query = (
            "SELECT shobj_description(oid, 'pg_authid') IS DISTINCT FROM 'Created by Topicbase' FROM pg_catalog.pg_roles WHERE rolname = %s"
        )
    row = connection.execute(query, (role,)).fetchone()
    return row is not None and bool(row[0])


def _set_passwords(connection: psycopg.Connection[Any], place: Path) -> None:
    for role in _ROLES:
        path = place / f"{role}.password"
        if not path.exists() and _has_password(connection, role):
            common.fail(f"role {role} has a password already, which others may use: write it to {path} (mode 600) and start again")
        password = _kept(path, lambda: secrets.token_urlsafe(24))
        # The server sees its hash only, so that no log has the password.
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        connection.execute(f"ALTER ROLE {role} LOGIN PASSWORD '{verifier}'".encode())


def _make_key(connection: psycopg.Connection[Any], place: Path, broker: str | None) -> None:
    path = place / "private.key"
    row = connection.execute("SELECT sealing_public_key IS NOT NULL FROM mqtt.configuration").fetchone()
    if not path.exists():
        if row is not None and row[0]:
            common.fail(f"the database seals secrets to a key already: put the private key that belongs to it at {path}, and start again")
        public = sealing.make_key_file(path)
        connection.execute(sealing.statement(public).encode())
    if broker is not None:
        connection.execute("UPDATE mqtt.configuration SET hosted_broker_url = %s", (broker,))


def _make_organization(connection: psycopg.Connection[Any], name: str, slug: str) -> dict[str, str]:
    """Its slug and admin, as its own API makes them."""
    query = (
        "SELECT o.id, (SELECT m.user_id FROM mqtt.organization_members AS m WHERE m.organization_id = o.id AND m.role = 'admin' LIMIT 1)"
        " FROM mqtt.organizations AS o WHERE o.slug = %s"
    )
    row = connection.execute(query, (slug,)).fetchone()
    if row is None:
        connection.execute("SELECT api.create_organization(%s, %s, %s)", (name, slug, uuid.uuid4()))
        row = connection.execute(query, (slug,)).fetchone()
    if row is None or row[1] is None:
        common.fail(f"organization {slug} has no admin: topicbase members add --help")
    there = connection.execute("SELECT FROM mqtt.device_integrations WHERE organization_id = %s LIMIT 1", (row[0],)).fetchone()
    if there is None:
        connection.execute("SELECT api.upsert_integration(%s, %s, 'mqtt_hosted')", (row[0], INTEGRATION))
    return {"slug": slug, "admin": str(row[1])}


def _host_of_services(connection: psycopg.Connection[Any], place: Path) -> str:
    """Where the server lets PostgREST and the bridge in by their passwords: at its socket it may ask for the system's user of that name."""
    info, reasons = connection.info, []
    is_socket = not info.host or info.host.startswith("/")
    for host in (info.host or "/run/postgresql", "127.0.0.1") if is_socket else (info.host,):
        try:
            for role in _ROLES:
                password = (place / f"{role}.password").read_text(encoding="utf-8").strip()
                psycopg.connect(
                    host=host, port=info.port, dbname=info.dbname, user=role, password=password, connect_timeout=common.CONNECT_SECONDS
                ).close()
        except psycopg.OperationalError as error:
            reasons.append(common.whole(error))
        else:
            return host
    return common.fail(f"the roles cannot log in by their passwords, which pg_hba.conf must allow (scram-sha-256): {'; '.join(reasons)}")


def _write_settings(
    connection: psycopg.Connection[Any], place: Path, host: str, found: dict[str, str], broker: str | None, api_port: int, metrics_port: int
) -> None:
    info = connection.info
    password = {role: (place / f"{role}.password").read_text().strip() for role in _ROLES}
    # 33 random bytes make 44 characters, for which PostgREST accepts HS256 only.
    secret = _kept(place / "jwt-secret", lambda: secrets.token_urlsafe(33))
    where = f"/{quote(info.dbname)}?host={quote(host, safe='')}&port={info.port}"
    files = {
        "postgrest.conf": f'db-uri = "postgresql://authenticator:{quote(password["authenticator"])}@{where}"\n'
        'db-schemas = "api"\ndb-anon-role = "anon"\ndb-extra-search-path = ""\ndb-max-rows = 100000\n'
        f'jwt-secret = "{secret}"\njwt-aud = "topicbase"\ndb-pre-request = "mqtt.check_token"\ndb-root-spec = "openapi"\n'
        f'server-host = "127.0.0.1"\nserver-port = {api_port}\n',
        "pgpass": f"*:*:*:mqtt_bridge:{password['mqtt_bridge']}\n",
        "bridge.env": f"PGHOST={host}\nPGPORT={info.port}\nPGDATABASE={info.dbname}\nPGUSER=mqtt_bridge\nPGPASSFILE={place / 'pgpass'}\n"
        f"TOPICBASE_PRIVATE_KEY_FILE={place / 'private.key'}\nTOPICBASE_METRICS_ADDRESS=127.0.0.1:{metrics_port}\n"
        f"TOPICBASE_API_URL=http://127.0.0.1:{api_port}\n",  # for doctor
        "cli.env": f"TOPICBASE_API_URL=http://127.0.0.1:{api_port}\nTOPICBASE_TOKEN_FILE={place / 'admin.token'}\n"
        f"TOPICBASE_JWT_SECRET_FILE={place / 'jwt-secret'}\n",
    }
    for name, text in files.items():
        if not (place / name).exists():
            write_private(place / name, text)
    settings = (place / "bridge.env").read_text(encoding="utf-8")
    if broker and _SERVED not in settings:  # also where it was set up without one
        write_private(place / "bridge.env", f"{settings.rstrip()}\n{_SERVED}{broker}\n")
    claims = tokens.lifetime(TOKEN_DAYS, {"role": "authenticated", "aud": "topicbase", "sub": found["admin"]})
    write_private(place / "admin.token", tokens.make(secret, claims) + "\n")
    user = _hand_over(place)
    replaced = {
        "User=topicbase": f"User={user}",
        "/etc/topicbase": str(place),
        "/opt/topicbase/bin/topicbase ": f"{sys.executable} -m bridge ",
        "/usr/local/bin/postgrest": _postgrest(),
    }
    for unit in _units_to_copy(place):
        if not (place / unit.name).exists():
            (place / unit.name).write_text(_unit(unit.read_text(encoding="utf-8"), replaced), encoding="utf-8")


def _units_to_copy(place: Path, installed: Path = Path("/lib/systemd/system")) -> list[Path]:
    """None where the Debian package has installed them for these settings: a copy in /etc would hide the package's for good."""
    if place == Path("/etc/topicbase") and (installed / "topicbase.service").exists():
        return []
    return sorted(UNITS.glob("*.service"))


def _unit(text: str, replaced: dict[str, str]) -> str:
    """A unit with what is replaced; where its settings or its program are in somebody's home, the service has to see that."""
    for old, new in replaced.items():
        text = text.replace(old, new)
    return text.replace("ProtectHome=yes", "ProtectHome=read-only") if re.search(r"=(\S+ )?/(home|root)/", text) else text


def _postgrest() -> str:
    """Where the program is: the one named or on PATH, else the one beside this Python, as in the Debian package."""
    beside = Path(sys.executable).parent / "postgrest"
    return shutil.which(os.environ.get("POSTGREST", "postgrest")) or (str(beside) if beside.exists() else "/usr/local/bin/postgrest")


def _hand_over(place: Path) -> str:
    """The user that the services run as: whoever calls this; for root the Debian package's `topicbase`, which is given the files."""
    user = getpass.getuser()
    if os.geteuid() != 0:
        return user
    try:
        pwd.getpwnam("topicbase")
    except KeyError:
        return user
    for path in (place, *place.iterdir()):
        shutil.chown(path, "topicbase", "topicbase")
    return "topicbase"


def _program() -> str:
    """How the user calls this program: by its name where PATH has it, else where it is."""
    beside = Path(sys.executable).parent / "topicbase"
    found = shutil.which("topicbase")
    return "topicbase" if (found and Path(found).resolve() == beside.resolve()) or not beside.exists() else str(beside)


def _say_what_next(place: Path, slug: str, api_port: int) -> None:
    topicbase = _program()
    copy = f"cp {place}/*.service /etc/systemd/system/ && " if _units_to_copy(place) else ""
    typer.echo(f"""
Ready, in {place}. Start PostgREST (https://github.com/PostgREST/postgrest/releases) and the bridge:
  {_postgrest()} {place}/postgrest.conf
  {topicbase} --config {place}/bridge.env run
or let systemd do that, as root:
  {copy}systemctl enable --now topicbase-postgrest topicbase

Then give a device a login, send a first message with it, and see it stored:
  {topicbase} --config {place}/cli.env credentials add '{INTEGRATION}' --device sensor01
  curl http://127.0.0.1:{api_port}/rpc/mqtt_ingest -u USERNAME:PASSWORD -H 'X-Client-ID: CLIENT_ID' -H 'Content-Type: application/json' \\
      -d '{{"topic": "org_{slug}/devices/sensor01/telemetry", "payload": {{"temperature": 23.5}}}}'
  {topicbase} --config {place}/cli.env tail
What is wrong, if anything: {topicbase} --config {place}/bridge.env doctor""")


def _say_which_broker(told: str, *, is_served: bool) -> None:
    """Where the broker that logins name is not one that devices elsewhere can reach."""
    if not common.is_own_machine(told):
        return
    if is_served:
        typer.echo(
            f"\nDevices are told that the broker is at {told}, where only those on this machine reach it. For others, as a superuser:"
        )
        typer.echo("  UPDATE mqtt.configuration SET hosted_broker_url = 'mqtts://mqtt.example.com:8883';")
    else:
        typer.echo(f"""
There is no broker: devices send over HTTP. Their logins name {told} nevertheless, where nothing but a device's own machine answers.
Once a broker runs (docs/how-to/brokers), call this again with --broker and the URL at which devices reach it.""")
