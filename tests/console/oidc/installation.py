"""What an installation with OpenID Connect has beside the stack: a provider, and PostgREST, stream and gateway that go by its keys."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from tests.support.ports import Port
from tests.support.stack import ROOT, Stack, postgrest_program
from tests.support.waiting import wait_until

RESOURCE = "urn:topicbase"
TOKEN_SECONDS = 33  # of which the console renews at the third
HERE = Path(__file__).parent


@dataclass
class Installation:
    stack: Stack
    directory: Path
    provider: subprocess.Popen[str]
    issuer: str
    console: str
    api: str
    stream: str

    @property
    def keys(self) -> Path:
        return self.directory / "jwks.json"

    def fetch_keys(self, *options: str) -> list[str]:
        """The command that does; with `--secret-file` the stack's own tokens stay valid."""
        secret = str(self.stack.run_dir / "jwt-secret")
        return [*_TOPICBASE, "jwks", self.issuer, str(self.keys), "--secret-file", secret, *options]

    @property
    def environment(self) -> dict[str, str]:
        """Where the database is, for commands that say something to PostgREST."""
        parts = urlsplit(self.stack.database_url)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "TOPICBASE_"))}
        return {
            **kept, "PGHOST": parts.hostname or "", "PGPORT": str(parts.port), "PGDATABASE": parts.path[1:], "PGUSER": "topicbase_stream",
            "PGPASSWORD": _secrets(self.stack)["STREAM_PASSWORD"],
        }  # fmt: skip

    def rotate(self, number: signal.Signals) -> str:
        """SIGUSR1: another key; SIGUSR2: without the old one. Returns what it publishes now."""
        self.provider.send_signal(number)
        return _published(self.provider)

    def status(self, token: str) -> tuple[int, int]:
        """What the API and the stream answer to that token."""
        headers = {"Authorization": f"Bearer {token}"}
        api = requests.post(f"{self.api}/rpc/get_caller", json={}, headers=headers, timeout=60)
        stream = requests.get(self.stream, headers=headers, stream=True, timeout=60)
        stream.close()
        return api.status_code, stream.status_code


def _published(provider: subprocess.Popen[str]) -> str:
    """The provider's next word about its keys, among what it says of its settings."""
    assert provider.stdout is not None
    return next(line for line in provider.stdout if line.startswith("keys: ")).removeprefix("keys: ").strip()


_TOPICBASE = [sys.executable, "-m", "bridge"]


def _secrets(stack: Stack) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (stack.run_dir / "secrets").read_text().splitlines())


def _place(stack: Stack) -> Path:
    placed = stack.run_dir / "place"
    return Path(placed.read_text().strip()) if placed.exists() else stack.run_dir


@contextmanager
def _running(command: list[str], log: Path, environment: dict[str, str], port: Port) -> Iterator[subprocess.Popen[str]]:
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=output, text=True, cwd=ROOT)
    try:

        def serves() -> bool:
            assert process.poll() is None, log.read_text()
            return port.is_served()

        wait_until(serves, what=command[0])
        yield process
    finally:
        process.terminate()
        process.wait(20)
        print(log.read_text())  # pytest shows it with a failure
        if process.stdout is not None:
            process.stdout.close()


def _gateway(stack: Stack, directory: Path, ports: dict[str, Port], settings: dict[str, object], issuer: str) -> Path:
    """The stack's gateway with other ports, told of the provider as docs/how-to/sign-in-with-openid-connect.md says."""
    old, new = _place(stack) / "gateway", directory / "gateway"
    shutil.copytree(old, new, ignore=shutil.ignore_patterns("*.pid"))
    (new / "console.json").write_text(json.dumps({"oidc": settings}))
    path = new / "nginx.conf"
    text = path.read_text().replace(str(old), str(new))
    text, count = re.subn(r'(map "" \$identity_provider {\s+default )""', rf'\1"{issuer}"', text)
    assert count == 1
    for url, name in ((stack.gateway_url, "gateway"), (stack.api_url, "api")):
        text = text.replace(f"127.0.0.1:{urlsplit(url).port};", f"127.0.0.1:{ports[name].number};")
    stream = dict(line.split("=") for line in (stack.run_dir / "ports").read_text().splitlines())["STREAM"]
    path.write_text(text.replace(f"127.0.0.1:{stream};", f"127.0.0.1:{ports['stream'].number};"))
    return path


def _postgrest(stack: Stack, directory: Path, ports: dict[str, Port]) -> Path:
    """The stack's, with the provider's keys."""
    wanted = {
        "jwt-secret": f'"@{directory / "jwks.json"}"', "jwt-aud": f'"{RESOURCE}"', "server-port": ports["api"].number,
        "admin-server-port": ports["admin"].number, "db-pool": 5,
    }  # fmt: skip
    lines = (_place(stack) / "postgrest" / "postgrest.conf").read_text().splitlines()
    kept = [line for line in lines if line.partition(" =")[0] not in wanted]
    path = directory / "postgrest.conf"
    path.write_text("\n".join([*kept, *(f"{name} = {value}" for name, value in wanted.items())]))
    path.chmod(0o600)
    return path


@contextmanager
def installation(stack: Stack, directory: Path) -> Iterator[Installation]:
    ports = {name: Port() for name in ("provider", "gateway", "api", "admin", "stream")}
    urls = {name: f"http://127.0.0.1:{port.number}" for name, port in ports.items()}
    issuer, console = urls["provider"], f"{urls['gateway']}/console/"
    settings = {"issuer": issuer, "client_id": "console", "parameters": {"resource": RESOURCE}}
    program = postgrest_program()
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "TOPICBASE_"))}
    with ExitStack() as kept:
        node = ["node", str(HERE / "provider.mjs"), str(ports["provider"].number), console, RESOURCE, str(TOKEN_SECONDS)]
        provider = kept.enter_context(_running(node, directory / "provider.log", plain, ports["provider"]))
        assert _published(provider) == "key-1"
        made = Installation(stack, directory, provider, issuer, console, urls["api"], f"{urls['gateway']}/stream?topic=%23")
        subprocess.run(made.fetch_keys(), env=made.environment, check=True, cwd=ROOT)
        kept.enter_context(_running([program, str(_postgrest(stack, directory, ports))], directory / "api.log", plain, ports["api"]))
        wait_until(lambda: ports["admin"].is_served() and requests.get(f"{urls['admin']}/ready", timeout=60).ok, what="PostgREST")
        stream = {**made.environment, "TOPICBASE_STREAM_ADDRESS": f"127.0.0.1:{ports['stream'].number}",
                  "TOPICBASE_JWT_SECRET_FILE": str(made.keys), "TOPICBASE_JWT_AUDIENCE": RESOURCE}  # fmt: skip
        kept.enter_context(_running([*_TOPICBASE, "stream"], directory / "stream.log", stream, ports["stream"]))
        configuration = _gateway(stack, directory, ports, dict(settings), issuer)
        nginx = ["nginx", "-e", "stderr", "-p", str(configuration.parent), "-c", str(configuration)]
        kept.enter_context(_running(nginx, directory / "gateway.log", plain, ports["gateway"]))
        yield made
