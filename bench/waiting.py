"""Waiting for what the database or a process says."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.harness import Connection

WAIT = 120.0


def until(reached: Callable[[], bool], what: str, step: float = 0.01, within: float = WAIT) -> None:
    """Returns once the condition holds; RuntimeError when it does not within so many seconds."""
    deadline = time.monotonic() + within
    while not reached():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {within:.0f} s")
        time.sleep(step)


def scalar(db: Connection, statement: str) -> int:
    """The one number that the statement returns; 0 where it is NULL or there is no row."""
    found = db.execute(statement).fetchone()
    return int(found[0]) if found and found[0] is not None else 0
