"""The running local stack: its addresses and keys, and its HTTP API as an app uses it."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 30.0


class DemoError(Exception):
    """The demo cannot continue; the message says why."""


@dataclass(frozen=True)
class Stack:
    """What `bin/stack env` prints, and where the stack keeps its files."""

    env: Mapping[str, str]
    run_dir: Path

    @property
    def api_url(self) -> str:
        return self.env["API_URL"]

    @property
    def gateway_url(self) -> str:
        return self.env["GATEWAY_URL"]

    @property
    def mqtt_address(self) -> tuple[str, int]:
        parts = urlsplit(self.env["MQTT_URL"])
        return parts.hostname or "", parts.port or 1883

    @property
    def place(self) -> Path:
        """A directory that the users running the parts can reach."""
        note = self.run_dir / "place"
        return Path(note.read_text().strip()) if note.exists() else self.run_dir

    def console_url(self) -> str:
        """The console's address, which signs in the local stack's user."""
        return self.control("console").strip()

    def control(self, *arguments: str) -> str:
        """`bin/stack ARGUMENTS…`: what it prints."""
        run = subprocess.run(
            [str(ROOT / "bin" / "stack"), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if run.returncode != 0:
            raise DemoError(run.stderr.strip() or f"bin/stack {' '.join(arguments)} failed")
        return run.stdout

    def token(self, role: str, sub: str | None = None) -> str:
        claims: dict[str, Any] = {"role": role, "aud": self.env["JWT_AUDIENCE"], "exp": int(time.time()) + 300}
        if sub is not None:
            claims["sub"] = sub
        return jwt.encode(claims, self.env["JWT_SECRET"], algorithm="HS256")


def find_stack() -> Stack:
    run_dir = Path(os.environ.get("TOPICBASE_RUN_DIR") or ROOT / ".run").absolute()
    run = subprocess.run([str(ROOT / "bin" / "stack"), "env"], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise DemoError(run.stderr.strip() or "bin/stack env failed")
    return Stack(dict(line.split("=", 1) for line in run.stdout.splitlines() if "=" in line), run_dir)


@dataclass(frozen=True)
class App:
    """A caller of the API with a JWT: an app's user, or the service."""

    stack: Stack
    role: str
    sub: str | None = None
    _local: threading.local = field(default_factory=threading.local, repr=False)

    @property
    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        session: requests.Session = self._local.session
        return session

    def call(self, function: str, **arguments: Any) -> requests.Response:
        """POST /rpc/<function>; does not raise, whatever the status."""
        headers = {"Authorization": f"Bearer {self.stack.token(self.role, self.sub)}"}
        return self._session.post(f"{self.stack.api_url}/rpc/{function}", json=arguments, headers=headers, timeout=TIMEOUT)

    def do(self, function: str, **arguments: Any) -> Any:
        """Like `call`, but the call must succeed; returns the answer's JSON."""
        return _answer(function, self.call(function, **arguments))

    def rows(self, view: str, **filters: str) -> list[dict[str, Any]]:
        """GET /<view> with PostgREST's filters, such as id="eq.1"."""
        headers = {"Authorization": f"Bearer {self.stack.token(self.role, self.sub)}"}
        answer = self._session.get(f"{self.stack.api_url}/{view}", params=filters, headers=headers, timeout=TIMEOUT)
        rows: list[dict[str, Any]] = _answer(view, answer)
        return rows


def _answer(what: str, answer: requests.Response) -> Any:
    if not answer.ok:
        raise DemoError(f"{what} answered {answer.status_code}: {answer.text.strip()[:500]}")
    return answer.json() if answer.content else None
