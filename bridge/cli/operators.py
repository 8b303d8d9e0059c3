"""Operators: the users who run the installation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from uuid import UUID

import psycopg
import typer

from bridge.cli import common
from bridge.cli.organizations import Json

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Operators: the users who run the installation.")

User = Annotated[UUID, typer.Argument(help="Id of the user: the `sub` of their tokens.")]


@contextmanager
def _rows() -> Iterator[psycopg.Connection[Any]]:
    """The database, as a role that may write there: no token may, since then whoever issues tokens would decide who operates."""
    try:
        connection = common.connect("operators")
    except psycopg.OperationalError as error:
        common.fail(f"the database cannot be reached: {common.whole(error)}", common.UNREACHABLE)
    with connection:
        try:
            yield connection
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            common.fail("the database is older than this program: run sqitch deploy of this release", common.WRONG)
        except psycopg.errors.InsufficientPrivilege:
            common.fail(f"role {connection.info.user} may not do that: use a superuser, or a member of mqtt_owner", common.UNREACHABLE)
        except psycopg.OperationalError as error:
            common.fail(f"the database connection was lost: {common.whole(error)}", common.UNREACHABLE)


@app.command("add")
def add(user: User, json: Json = False) -> None:
    """Make a user an operator, who may create organizations and see the bridges and queues, and no organization.

    The database is found by libpq's own variables; it needs a superuser, or a member of mqtt_owner.

    \b
    Example:
      PGHOST=/run/postgresql PGUSER=postgres PGDATABASE=app topicbase operators add 7b1f7b0e-7b8a-4c39-9a0c-1d6f2f7f3c11
    """
    with _rows() as connection:
        connection.execute("INSERT INTO mqtt.operators (user_id) VALUES (%s) ON CONFLICT DO NOTHING", (user,))
        row = connection.execute("SELECT to_jsonb(o) FROM mqtt.operators AS o WHERE o.user_id = %s", (user,)).fetchone()
    common.show(row[0] if row else {}, json=json)


@app.command("list")
def list_all(json: Json = False) -> None:
    """List the operators, as a superuser or a member of mqtt_owner."""
    with _rows() as connection:
        rows = connection.execute("SELECT to_jsonb(o) FROM mqtt.operators AS o ORDER BY o.created_at, o.user_id").fetchall()
    common.show_all([row for (row,) in rows], ("user_id", "created_at"), json=json)


@app.command("remove")
def remove(user: User, json: Json = False) -> None:
    """Make a user an operator no longer, from their next call on; what they are in organizations stays."""
    with _rows() as connection:
        row = connection.execute("DELETE FROM mqtt.operators AS o WHERE o.user_id = %s RETURNING to_jsonb(o)", (user,)).fetchone()
    if row is None:
        common.fail(f"{user} is not an operator")
    common.show(row[0], json=json)
