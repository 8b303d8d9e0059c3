"""Is a connection pooler between this process and PostgreSQL?

A bridge holds what a pooler gives to someone else between two transactions: session locks, LISTEN, settings, prepared statements. So it
works on direct connections only and has to know. A pooler answers with a process id of its own making, where PostgreSQL tells its own.
"""

from typing import Any

import psycopg

HINT = "a bridge holds session locks and LISTEN, which a pooler takes from it: give PGHOST and PGPORT of PostgreSQL itself"


class PoolerError(psycopg.OperationalError):
    """The connection leads to a pooler; the message says how that shows, and the way out."""


def refusal(error: psycopg.OperationalError) -> PoolerError | None:
    """What a failed connection attempt says, when it is a pooler that refuses what PostgreSQL takes."""
    if "unsupported startup parameter" in str(error):
        return PoolerError(f"a pooler is in the way (it refuses startup parameters); {HINT}")
    return None


def check(connection: psycopg.Connection[Any]) -> None:
    """Raise PoolerError unless the connection leads to PostgreSQL itself."""
    row = connection.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    if row is None or row[0] != connection.info.backend_pid:
        raise PoolerError(f"a pooler is in the way (it answers for another process than the one at work); {HINT}")
