"""Is a connection pooler between this process and PostgreSQL?

Between two transactions a pooler gives a session to another client, with all that a bridge holds on it: session locks, LISTEN, settings,
prepared statements. So a bridge needs direct connections, and has to know. A pooler answers with a process id that it has made up, where
PostgreSQL gives its own.
"""

from typing import Any

import psycopg

HINT = "a bridge holds session locks and LISTEN, which a pooler takes away: set PGHOST and PGPORT to those of PostgreSQL itself"


class PoolerError(psycopg.OperationalError):
    """The connection leads to a pooler; the message says how it shows, and what to do."""


def refusal(error: psycopg.OperationalError) -> PoolerError | None:
    """The fault of a failed connection attempt, if it is a pooler that refuses what PostgreSQL accepts."""
    if "unsupported startup parameter" in str(error):
        return PoolerError(f"a pooler is in the way (it refuses startup parameters); {HINT}")
    return None


def check(connection: psycopg.Connection[Any]) -> None:
    """Raise PoolerError unless the connection leads to PostgreSQL itself."""
    row = connection.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    if row is None or row[0] != connection.info.backend_pid:
        raise PoolerError(f"a pooler is in the way (it names a process other than the one that answers); {HINT}")
