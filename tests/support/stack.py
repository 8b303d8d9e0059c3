"""An isolated local stack: real PostgreSQL, Mosquitto, PostgREST, gateway and bridge on free ports."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import psycopg

from tests.support import contract

ROOT = Path(__file__).resolve().parents[2]
TOKEN_SECONDS = 3600
TEMPLATE = os.environ.get("TOPICBASE_TEMPLATE", "")  # the test run's first deploy


@dataclass(frozen=True)
class Stack:
    """A running stack; `env` holds what `make env` prints."""

    run_dir: Path
    env: Mapping[str, str]

    def __post_init__(self) -> None:
        contract.know(lambda: self.token("service_role"), *(self.env[name] for name in ("API_URL", "GATEWAY_URL") if name in self.env))

    @property
    def database_url(self) -> str:
        return self.env["DATABASE_URL"]

    @property
    def api_url(self) -> str:
        return self.env["API_URL"]

    @property
    def gateway_url(self) -> str:
        return self.env["GATEWAY_URL"]

    @property
    def metrics_url(self) -> str:
        return self.env["METRICS_URL"]

    @property
    def mqtt_host(self) -> str:
        return urlsplit(self.env["MQTT_URL"]).hostname or ""

    @property
    def mqtt_port(self) -> int:
        return urlsplit(self.env["MQTT_URL"]).port or 0

    @property
    def broker_password(self) -> str:
        """Of `topicbase_bridge`, the bridge's own account at the stack's broker, which may use every topic."""
        return self._secrets()["BROKER_PASSWORD"]

    def _secrets(self) -> dict[str, str]:
        return _pairs((self.run_dir / "secrets").read_text())

    def token(self, role: str = "authenticated", sub: str | None = None, **claims: Any) -> str:
        """A JWT that the stack's PostgREST takes, valid for an hour; `claims` add to it or replace what it has."""
        payload: dict[str, Any] = {"role": role, "aud": self.env["JWT_AUDIENCE"], "exp": int(time.time()) + TOKEN_SECONDS}
        if sub is not None:
            payload["sub"] = sub
        payload.update(claims)
        return jwt.encode({key: value for key, value in payload.items() if value is not None}, self.env["JWT_SECRET"], algorithm="HS256")

    def connect(self, *, autocommit: bool = True, **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection as superuser; libpq options such as `user` and `password` make it another's."""
        return psycopg.connect(self.database_url, autocommit=autocommit, **options)

    def pid(self, name: str) -> int:
        return int((self.run_dir / f"{name}.pid").read_text())

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.pid(name), number)

    def log(self, name: str) -> str:
        return (self.run_dir / "log" / f"{name}.log").read_text(errors="replace")

    def run(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """`bin/stack ARGUMENTS…` for this stack."""
        return _stack(self.run_dir, arguments, check=check, environment=environment)

    def start(self, *names: str) -> None:
        self.run("start", *names)

    def stop(self, *names: str) -> None:
        self.run("stop", *names)

    def restart(self, *names: str) -> None:
        self.run("restart", *names)

    def kill(self, *names: str) -> None:
        """SIGKILL, without a chance to tidy up."""
        self.run("kill", *names)

    def verify(self) -> str:
        """Run the verify script of every change, as `sqitch verify` does, but in one session: what failed, or nothing."""
        changes = re.findall(r"^(\w+/\w+) ", (ROOT / "sqitch.plan").read_text(), re.MULTILINE)
        files = [argument for change in changes for argument in ("--file", f"{ROOT}/verify/{change}.sql")]
        result = self.run("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", *files, check=False)
        return result.stderr if result.returncode else ""

    def down(self) -> None:
        self.run("down", "--clean")
        shutil.rmtree(self.run_dir.parent, ignore_errors=True)


def files_below(directory: Path) -> Iterator[Path]:
    """The files of a stack but PostgreSQL's own, which come and go, with their directories, while they are listed."""
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if name != "postgres"]
        yield from (Path(folder) / name for name in names)


def postgrest_program() -> str:
    """The PostgREST that bin/stack runs, by its own look-up: for tests that run one beside a stack's."""
    look = f"root={ROOT}; source {ROOT}/bin/lib/stack-settings.sh; postgrest_program"
    return subprocess.run(["bash", "-c", look], capture_output=True, text=True, check=True).stdout.strip()


# A stack that many tests share has more integrations than /metrics shows by default.
SETTINGS = {"TOPICBASE_METRICS_INTEGRATIONS": "10000"}


def start_stack(without: Iterable[str] = (), *, stream: bool = False, **environment: str) -> Stack:
    """Start a stack, leaving out the parts named; the caller ends it with `down()`.

    `environment` adds to what bin/stack reads, such as TOPICBASE_PG_CONF. With an environment of its own, the stack
    applies every migration itself; otherwise, or with `TOPICBASE_TEMPLATE=TEMPLATE`, it may start as a copy of the test run's first deploy.
    The directory is short, since a unix socket's path must be.
    """
    base = Path(tempfile.mkdtemp(prefix="tb.", dir=os.environ.get("TOPICBASE_TEST_DIR", "/var/tmp")))  # noqa: S108
    base.chmod(0o711)
    run_dir = base / "run"
    arguments = ["up", "--free-ports"]
    if without := (*without, *(() if stream else ("stream",))):
        arguments += ["--without", ",".join(without)]
    if environment:
        environment.setdefault("TOPICBASE_TEMPLATE", "")
    try:
        _stack(run_dir, arguments, environment=environment)
        return Stack(run_dir=run_dir, env=_pairs(_stack(run_dir, ["env"]).stdout))
    except BaseException:
        _stack(run_dir, ["down", "--clean"], check=False)
        shutil.rmtree(base, ignore_errors=True)
        raise


def _stack(
    run_dir: Path, arguments: Iterable[str], *, check: bool = True, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "bin" / "stack"), *arguments]
    result = subprocess.run(
        command,
        env={**os.environ, **SETTINGS, **(environment or {}), "TOPICBASE_RUN_DIR": str(run_dir)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if check and result.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result


def _pairs(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
