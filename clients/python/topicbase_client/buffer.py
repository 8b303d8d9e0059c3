"""What a device has not sent yet, in the order in which it was given."""

import json
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Message = dict[str, Any]


class BufferFullError(Exception):
    """The buffer holds as many messages as it may; the new one was not taken."""


class Buffer:
    """Messages in SQLite: in a file they outlive the process, and without one they are in memory. Used by several threads."""

    def __init__(self, path: str | Path | None, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        # WAL: one write to disk for each message, which a crash of the process leaves whole.
        self._database.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
            "CREATE TABLE IF NOT EXISTS messages (number INTEGER PRIMARY KEY AUTOINCREMENT, message TEXT NOT NULL);"
        )
        self._count: int = self._database.execute("SELECT count(*) FROM messages").fetchone()[0]

    def __len__(self) -> int:
        return self._count

    def add(self, message: Message) -> None:
        text = json.dumps(message, allow_nan=False)
        with self._lock:
            if self._count >= self._limit:
                raise BufferFullError(f"{self._count} messages wait already.")
            self._database.execute("INSERT INTO messages (message) VALUES (?)", (text,))
            self._count += 1

    def first(self, count: int, *, after: int = 0, size: int = 1_000_000) -> list[tuple[int, Message]]:
        """The oldest `count` messages after number `after`; fewer if they have more than `size` characters together, but at least one."""
        with self._lock:
            rows = self._database.execute(
                "SELECT number, message FROM messages WHERE number > ? ORDER BY number LIMIT ?", (after, count)
            ).fetchall()
        chosen: list[tuple[int, Message]] = []
        for number, text in rows:
            size -= len(text)
            if size < 0 and chosen:
                break
            chosen.append((number, json.loads(text)))
        return chosen

    def remove(self, numbers: Iterable[int]) -> None:
        with self._lock:
            cursor = self._database.executemany("DELETE FROM messages WHERE number = ?", [(number,) for number in numbers])
            self._count -= max(cursor.rowcount, 0)

    def close(self) -> None:
        with self._lock:
            self._database.close()
