"""The stack of an earlier commit, beside this one: what a figure is compared with."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

from bench.harness import ROOT, RUN, Bench

COMMIT = "33e6c6e"  # the last one that wrote each message twice


@contextlib.contextmanager
def earlier(bench: Bench) -> Iterator[Bench | None]:
    """Runs that commit's stack, from a work tree of its own; None where this clone does not have the commit."""
    tree = RUN / f"tree-{COMMIT}"
    git = ["git", "-C", str(ROOT), "worktree"]
    shutil.rmtree(tree, ignore_errors=True)
    subprocess.run([*git, "prune"], capture_output=True, check=False)
    if subprocess.run([*git, "add", "--detach", str(tree), COMMIT], capture_output=True, check=False).returncode:
        yield None
        return
    other = Bench(bench.options, bench.console, bench.name)
    other.root, other.run_dir = tree, RUN / f"stack-{COMMIT}"
    try:
        for name in (".venv", "node_modules"):
            (tree / name).symlink_to(ROOT / name)
        other.up()
        with other.connect() as db:
            # Its tenants are made as today's are, whose logins have no such column.
            db.execute("ALTER TABLE mqtt.mqtt_credentials ALTER COLUMN broker_url SET DEFAULT ''")
        yield other
    finally:
        other.down()
        subprocess.run([*git, "remove", "--force", str(tree)], capture_output=True, check=False)
