"""An organization moves to another installation."""

import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from bridge import moving
from bridge.cli import common

MOVING = "moving"
SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")


def move_organization(
    organization: Annotated[str, typer.Argument(help="Slug or id of the organization.")],
    to: Annotated[
        str, typer.Option("--to", help="libpq's connection string of the other database, without a password (PGPASSFILE has it).")
    ],
    name: Annotated[str | None, typer.Option(help="What the other installation is called; default: its host and database.")] = None,
    map_file: Annotated[Path | None, typer.Option("--map", help="The router's map from organizations to installations.")] = None,
    address: Annotated[str | None, typer.Option(help="The other installation's gateway in that map, host:port.")] = None,
    reload: Annotated[str | None, typer.Option(help="Command that makes the router read the map again.")] = None,
    wait: Annotated[
        float, typer.Option(min=1, help="Seconds that work which has begun gets to end, while the organization is closed.")
    ] = 30,
    json: Annotated[bool, typer.Option("--json", help='{"organization", "rows", "pause_seconds", "is_new"}')] = False,
) -> None:
    """Move an organization, with all that it has, to another installation.

    The installation that it leaves is found by libpq's own variables; both need a superuser, and the same release. First the history of
    past days is copied, while the organization goes on working. Then it is closed for some seconds: devices are refused for the moment
    (429, or 503 by the router), its brokers are left. What has begun ends, the rest is copied in one transaction, and the other
    installation takes over. Ids, logins, passwords, API keys and the cursors of lists stay valid. If anything fails before that, the
    organization is open again where it was.

    What it had stays here, closed, until you delete it: SELECT api.delete_organization('<id>').

    \b
    Example:
      PGDATABASE=app topicbase move-organization acme --to 'host=db2.example.com dbname=app user=postgres' \\
          --map /etc/nginx/organizations.map --address 10.0.0.2:8000 --reload 'nginx -s reload'
    """
    if map_file is not None and (address is None or not re.fullmatch(r"[\w.:\[\]-]+", address)):
        common.fail("--map needs --address, such as 10.0.0.2:8000", common.WRONG)
    if re.search(r"password\s*=|://[^/@]*:[^/@]*@", to):
        common.fail("--to must not have a password, since `ps` shows it: use PGPASSFILE", common.WRONG)
    with _connect("") as source, _connect(to) as target:
        route = _Route(map_file, address, reload)
        try:
            found = moving.prepare(source, target, organization)
            if found is None:
                route.point(_slug(target, organization), address)
                common.as_json({"organization": organization, "is_new": False}) if json else typer.echo(f"{organization} has moved already")
                return
            result = _move(found, name or f"{target.info.host}/{target.info.dbname}", route, wait, quiet=json)
        except moving.MoveError as error:
            common.fail(str(error))
        except psycopg.Error as error:
            common.fail(f"{common.whole(error)}; the organization is where it was, unless `topicbase move-organization` says otherwise")
    if json:
        common.as_json(result)
    else:
        typer.echo(f"{organization} has moved: {sum(result['rows'].values())} rows, closed for {result['pause_seconds']:.1f} s")


def _move(found: moving.Move, name: str, route: "_Route", wait: float, *, quiet: bool) -> dict[str, Any]:
    slug = _slug(found.source, str(found.organization_id))
    if moving.has_foreign_secrets(found) and not quiet:
        typer.echo(
            "note: it has secrets sealed to this installation's key: name that in TOPICBASE_OLD_PRIVATE_KEY_FILES of the other one's"
            " bridges, then topicbase reseal",
            err=True,
        )
    before = route.target(slug)
    try:
        found.copy_closed_days(lambda line: None if quiet else typer.echo(line))
        began = time.monotonic()
        route.point(slug, MOVING)
        found.close(name)
        try:
            found.wait_until_still(wait)
            found.hand_over()
        except BaseException:
            _back(found)
            raise
    except BaseException:
        route.point(slug, before)
        raise
    route.point(slug, route.address)
    return {
        "organization": str(found.organization_id),
        "rows": {table: count for table, count in found.rows.items() if count},
        "pause_seconds": round(time.monotonic() - began, 3),
        "is_new": True,
    }


def _back(found: moving.Move) -> None:
    """Open again, unless it is there after all: then a second call finishes."""
    if found.target.broken or found.source.broken:
        return
    there = found.target.execute("SELECT FROM mqtt.organizations WHERE id = %s", (found.organization_id,)).fetchone()
    if there is None:
        found.open_again()
        found.clean_up()


def _slug(connection: psycopg.Connection[Any], wanted: str) -> str:
    row = connection.execute("SELECT slug FROM mqtt.organizations WHERE slug = %s OR id::text = %s", (wanted, wanted)).fetchone()
    return wanted if row is None else str(row[0])


def _connect(conninfo: str) -> psycopg.Connection[Any]:
    try:
        connection = psycopg.connect(
            conninfo, autocommit=True, application_name="topicbase move-organization", connect_timeout=common.CONNECT_SECONDS
        )
    except psycopg.OperationalError as error:
        common.fail(f"the database cannot be reached: {common.whole(error)}", common.UNREACHABLE)
    row = connection.execute("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user").fetchone()
    if row is None or not row[0]:
        common.fail(f"{connection.info.user} is not a superuser of {connection.info.dbname}, which a move needs", common.WRONG)
    return connection


class _Route:
    """The router's map: a line `slug address;` for each organization."""

    def __init__(self, path: Path | None, address: str | None, command: str | None) -> None:
        self.path, self.address, self._command = path, address, command

    def _lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines() if self.path is not None and self.path.exists() else []

    def target(self, slug: str) -> str | None:
        return next((words[1].rstrip(";") for line in self._lines() if len(words := line.split()) == 2 and words[0] == slug), None)

    def point(self, slug: str, address: str | None) -> None:
        """Send its requests there; None leaves them to the map's default."""
        if self.path is None or SLUG.fullmatch(slug) is None:
            return
        lines = [line for line in self._lines() if line.split()[:1] != [slug]]
        if address is not None:
            lines.append(f"{slug} {address};")
        new = self.path.with_name(f"{self.path.name}.new")
        new.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        if self.path.exists():
            new.chmod(self.path.stat().st_mode & 0o777)
        new.replace(self.path)
        if self._command is not None:
            done = subprocess.run(shlex.split(self._command), capture_output=True, text=True, check=False)
            if done.returncode:
                raise moving.MoveError(f"{self._command} failed: {done.stderr.strip()[-300:]}")
