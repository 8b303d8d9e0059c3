"""PostgreSQL servers of a test's own, beside those of its stacks."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.support.ports import Port
from tests.support.waiting import PATIENCE, wait_until


def _programs() -> Path:
    """PostgreSQL's, those that bin/stack takes."""
    if named := os.environ.get("TOPICBASE_PG_BIN"):
        return Path(named)
    installed = {int(path.parent.name): path for path in Path("/usr/lib/postgresql").glob("*/bin")}
    return installed.get(15) or installed[max(installed)]


PROGRAMS = _programs()
PASSWORD = "of a test"


@dataclass
class Server:
    """Reached by TCP alone, as `postgres` or whom it makes, each with PASSWORD."""

    programs: Path
    directory: Path
    port: int
    user: dict[str, Any]

    def connect(self, dbname: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", password=PASSWORD, dbname=dbname, autocommit=True)

    def control(self, *arguments: str) -> None:
        """`pg_ctl ARGUMENTS…`, which waits until it is done."""
        # Who starts a server hands its passwords on: of a Citus cluster, one server logs in to the others.
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PGPASSFILE": str(self.directory / "pgpass")}
        command = [str(self.programs / "pg_ctl"), "--wait", f"--timeout={PATIENCE:.0f}", f"--pgdata={self.directory / 'data'}"]
        command += [f"--log={self.directory / 'log'}", *arguments]
        nothing = subprocess.DEVNULL
        subprocess.run(command, env=environment, cwd="/", check=True, stdin=nothing, stdout=nothing, timeout=2 * PATIENCE, **self.user)

    def psql(self, dbname: str, file: Path, **variables: Any) -> None:
        """Run a script of SQL."""
        values = [argument for name, value in variables.items() for argument in ("-v", f"{name}={value}")]
        run_psql(f"host=127.0.0.1 port={self.port} user=postgres dbname={dbname} password='{PASSWORD}'", file, *values)


def copied_programs(root: Path, *, without: str) -> Path:
    """A copy of PostgreSQL for tests to add files to, without those whose name holds that; its programs find their files relative to
    themselves."""
    version = PROGRAMS.parent.name
    root.chmod(0o755)
    programs, original = root / "usr/lib/postgresql" / version / "bin", Path("/usr/share/postgresql") / version
    shutil.copytree(PROGRAMS, programs)
    for source, place in (
        (PROGRAMS.parent / "lib", programs.parent / "lib"),
        (original, root / "usr/share/postgresql" / version),
        (original / "extension", extensions_of(programs)),
    ):
        place.mkdir(parents=True)
        for file in source.iterdir():
            if file.name != "extension" and without not in file.name:
                (place / file.name).symlink_to(file)
    return programs


def extensions_of(programs: Path) -> Path:
    return programs.parents[3] / "share/postgresql" / programs.parent.name / "extension"


def run_psql(conninfo: str, file: Path, *arguments: str) -> None:
    done = subprocess.run(
        [str(PROGRAMS / "psql"), "-X", "-q", *arguments, "-f", str(file), conninfo],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def server(directory: Path, programs: Path = PROGRAMS, **settings: str) -> Iterator[Server]:
    """A new one, until the end of the block."""
    held = Port()
    user: dict[str, Any] = {}
    (directory / "password").write_text(PASSWORD)
    (directory / "pgpass").write_text(f"*:*:*:*:{PASSWORD}\n")
    (directory / "pgpass").chmod(0o600)
    if os.geteuid() == 0:
        user = {"user": "postgres"}
        for path in (directory, *directory.iterdir()):
            shutil.chown(path, "postgres")
    found = Server(programs, directory, held.number, user)
    ways = [
        "--auth=scram-sha-256",
        "--username=postgres",
        f"--pwfile={directory / 'password'}",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    ]
    initdb = [str(programs / "initdb"), f"--pgdata={directory / 'data'}", *ways]
    subprocess.run(initdb, cwd="/", check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=PATIENCE, **user)
    settings = {"port": str(held.number), "listen_addresses": "127.0.0.1", "unix_socket_directories": "", **settings}
    with (directory / "data/postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    found.control("start")
    try:
        wait_until(held.is_served, what="the server")
        yield found
    finally:
        found.control("stop", "--mode=immediate")
