"""The bridge as it is, but for constants that a test shortens and places where it is made to die or to fail.

CHAOS_CONSTANTS   {"bridge.work.queue_worker.BATCH_TIMEOUT": 3, …}
CHAOS_DIE_BEFORE  name of a call of bridge.database.connection.Database: before it the process ends as by SIGKILL when there is work to do
CHAOS_DIE_AFTER   the same, after it
CHAOS_RAISE       {"bridge.work.inbound.Inbound.arrived": 2, …}: so many times it raises
"""

import importlib
import json
import os
import signal
from typing import Any

from bridge.database.connection import Database


def _die(name: str, *, is_after: bool) -> None:
    call = getattr(Database, name)

    def dying(self: Database, *arguments: Any, **options: Any) -> Any:
        answer = call(self, *arguments, **options) if is_after else None
        if arguments and arguments[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer if is_after else call(self, *arguments, **options)

    setattr(Database, name, dying)


def _fail(path: str, times: int) -> None:
    module, owner, name = path.rsplit(".", 2)
    found = getattr(importlib.import_module(module), owner)
    call = getattr(found, name)
    left = times

    def failing(self: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise RuntimeError(f"made to fail: {path}")
        return call(self, *arguments, **options)

    setattr(found, name, failing)


def main() -> None:
    for path, value in json.loads(os.environ.get("CHAOS_CONSTANTS", "{}")).items():
        module, _, name = path.rpartition(".")
        found = importlib.import_module(module)
        assert hasattr(found, name), path
        setattr(found, name, value)
    if name := os.environ.get("CHAOS_DIE_BEFORE"):
        _die(name, is_after=False)
    if name := os.environ.get("CHAOS_DIE_AFTER"):
        _die(name, is_after=True)
    for path, times in json.loads(os.environ.get("CHAOS_RAISE", "{}")).items():
        _fail(path, times)
    from bridge.cli import app  # noqa: PLC0415  # after the constants

    app(["run"])


if __name__ == "__main__":
    main()
