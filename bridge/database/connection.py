"""A connection of the bridge, and the watchdog that ends those whose server has fallen silent."""

import contextlib
import os
import socket
import threading
import time
import weakref
from typing import ClassVar
from uuid import UUID

import psycopg

from bridge import keepalives, log
from bridge.database import pooler
from bridge.database.calls import BridgeCalls

PATIENCE_SECONDS = 5.0  # beyond the server's own statement_timeout


class Database(BridgeCalls):
    """One connection, in autocommit, for one thread, watched."""

    _open: ClassVar[weakref.WeakSet["Database"]] = weakref.WeakSet()

    def __init__(self, bridge_id: UUID, *, statement_timeout: int = 60) -> None:
        self.patience = statement_timeout + PATIENCE_SECONDS
        try:
            connection: psycopg.Connection[tuple[object, ...]] = psycopg.connect(
                autocommit=True,
                application_name=f"topicbase {bridge_id}",
                options=f"-c statement_timeout={statement_timeout}s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"
                f" {keepalives.SERVER}",
                prepare_threshold=2,
                **keepalives.CLIENT,  # type: ignore[arg-type]
            )
        except psycopg.OperationalError as error:
            raise (pooler.refusal(error) or error) from None
        super().__init__(connection, bridge_id)
        self._open.add(self)
        self.busy_since = time.monotonic()
        try:
            pooler.check(self.connection)
        except psycopg.Error:
            self.close()
            raise
        self.busy_since = None

    def limit(self, statement: float, lock: float) -> None:
        super().limit(statement, lock)
        self.patience = statement + PATIENCE_SECONDS

    def close(self) -> None:
        self._open.discard(self)
        self.connection.close()

    @classmethod
    def all_open(cls) -> list["Database"]:
        return list(cls._open)

    def cut(self) -> None:
        """End the connection below libpq, from another thread: the thread that waits on it is told that it is lost."""
        with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.connection.fileno())) as double:
            double.shutdown(socket.SHUT_RDWR)


class Watchdog(threading.Thread):
    """Cuts connections whose server has not answered long after it should have given up by itself: a frozen one says nothing."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._stop_event = stop

    def run(self) -> None:
        while not self._stop_event.wait(1.0):
            for database in Database.all_open():
                since = database.busy_since
                if since is not None and time.monotonic() - since > database.patience:
                    database.busy_since = None
                    log.warning("database_silent", seconds=f"{database.patience:.0f}")
                    database.cut()
