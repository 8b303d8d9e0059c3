"""The peers: SQL functions in the stack's own database; packages from PyPI and npm, pinned, below .run/bench/peers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

from bench.harness import ROOT, RUN, Bench

PYTHON = ("procrastinate==3.10.0", "psycopg[binary,pool]==3.3.9")
SCRIPTS = ROOT / "bench" / "peers"


def install_peers(bench: Bench) -> None:
    """Creates the peers' functions in this stack's own database and waits until PostgREST serves them."""
    with bench.connect() as db:
        row = db.execute("SELECT to_regproc('api.bench_noop') IS NOT NULL").fetchone()
        if row and row[0]:
            return
        db.execute(Path(__file__).with_name("peers.sql").read_text())
    deadline = time.monotonic() + 30
    while not (answer := requests.post(f"{bench.api}/rpc/bench_noop", json={"topic": "a", "payload": 1}, timeout=5)).ok:
        if time.monotonic() > deadline:
            raise RuntimeError(answer.text)
        time.sleep(0.2)


def run(command: list[str | Path], **options: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name}: {(done.stderr or done.stdout)[-1000:]}")
    return done.stdout


def python_peers() -> Path:
    """The Python of an environment in which PYTHON is installed."""
    place = RUN / "peers" / "python"
    stamp = place / "stamp"
    wanted = "\n".join(PYTHON)
    if not stamp.exists() or stamp.read_text() != wanted:
        run([sys.executable, "-m", "venv", place])
        run([place / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *PYTHON])
        stamp.write_text(wanted)
    return place / "bin" / "python"


def node_peers() -> Path:
    """A directory whose node_modules holds what peers/package-lock.json names."""
    place = RUN / "peers" / "npm"
    stamp = place / "stamp"
    files = [SCRIPTS / "package.json", SCRIPTS / "package-lock.json"]
    wanted = "".join(file.read_text() for file in files)
    if not stamp.exists() or stamp.read_text() != wanted:
        place.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(file, place)
        run(["npm", "ci", "--no-fund", "--no-audit", "--loglevel=error"], cwd=place)
        stamp.write_text(wanted)
    return place


def database(bench: Bench, name: str) -> str:
    """The URL of a new, empty database for the peer in the same cluster."""
    with bench.connect() as db:
        db.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        db.execute(f"CREATE DATABASE {name}")
    return bench.env["DATABASE_URL"].rsplit("/", 1)[0] + f"/{name}"


def last_json(text: str) -> dict[str, Any]:
    lines = [line for line in text.splitlines() if line.startswith("{")]
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


def node_environment(place: Path) -> dict[str, str]:
    # Without NO_LOG_SUCCESS, graphile-worker formats a log line for each job even if it is not logged.
    return {**os.environ, "PEERS": str(place), "NODE_ENV": "production", "NO_LOG_SUCCESS": "1"}
