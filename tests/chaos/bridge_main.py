"""The bridge as it is, but for constants that a test shortens and a place where it may be made to die.

CHAOS_CONSTANTS  {"bridge.worker.BATCH_TIMEOUT": 3, …}
CHAOS_DIE        name of a call of bridge.database.Database, before which the process ends as by SIGKILL, at its first use with work to do
"""

import importlib
import json
import os
import signal
from typing import Any

from bridge.database import Database


def _die_before(name: str) -> None:
    call = getattr(Database, name)

    def dying(self: Database, *arguments: Any, **options: Any) -> Any:
        if arguments and arguments[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(self, *arguments, **options)

    setattr(Database, name, dying)


def _die_after(name: str) -> None:
    call = getattr(Database, name)

    def dying(self: Database, *arguments: Any, **options: Any) -> Any:
        answer = call(self, *arguments, **options)
        if arguments and arguments[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(Database, name, dying)


def main() -> None:
    for path, value in json.loads(os.environ.get("CHAOS_CONSTANTS", "{}")).items():
        module, _, name = path.rpartition(".")
        found = importlib.import_module(module)
        assert hasattr(found, name), path
        setattr(found, name, value)
    if name := os.environ.get("CHAOS_DIE_BEFORE"):
        _die_before(name)
    if name := os.environ.get("CHAOS_DIE_AFTER"):
        _die_after(name)
    from bridge.__main__ import app  # noqa: PLC0415  # after the constants

    app(["run"])


if __name__ == "__main__":
    main()
