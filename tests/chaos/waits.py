"""Waiting for what a server process does."""

from concurrent.futures import Future
from typing import Any

from tests.support.stack import Stack
from tests.support.waiting import wait_until


def waits_for_lock(stack: Stack, pid: int, begun: Future[Any]) -> None:
    """Return when that server process waits for a lock; fail when its statement ends instead."""
    with stack.connect() as connection:

        def is_waiting() -> bool:
            assert not begun.done(), f"it did not wait: {begun.exception() or begun.result()}"
            query = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
            return connection.execute(query, (pid,)).fetchone() is not None

        wait_until(is_waiting, what="the other session's waiting")
