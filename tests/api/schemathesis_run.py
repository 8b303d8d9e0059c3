"""Schemathesis (https://schemathesis.io) against the OpenAPI document that the API serves to each role: no answer may be a 5xx.

`bin/fuzz` runs its long form, on a stack of its own: at least 10,000 cases a role.
"""

import argparse
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.api import Api
from tests.support.stack import ROOT, Stack, start_stack
from tests.support.tenant import Tenant, make_tenant

ROLES = ("anon", "nobody", "member", "admin", "service_role")
LONG = 10_000


@dataclass(frozen=True)
class Outcome:
    cases: int
    failed: bool
    output: str


def header_of(role: str, tenant: Tenant) -> str:
    """The login of that role; a device has one too, which is `anon` to PostgREST."""
    match role:
        case "anon":
            device = tenant.device()
            return f"X-Username:{device.username}\nX-Password:{device.password}\nX-Client-ID:{device.client_id}"
        case "nobody":
            token = tenant.stack.token("authenticated", str(uuid.uuid4()))
        case "member":
            token = tenant.member
        case "admin":
            token = tenant.admin
        case _:
            token = tenant.stack.token("service_role")
    return f"Authorization:Bearer {token}"


def run(role: str, tenant: Tenant, examples: int, phases: str = "fuzzing", seed: int | None = None, max_time: int | None = None) -> Outcome:
    """`examples` cases for each operation that the role is shown, through the gateway, which refuses what is no text."""
    stack = tenant.stack
    headers = [argument for header in header_of(role, tenant).splitlines() for argument in ("--header", header)]
    token = [header for header in headers if header.startswith("Authorization")]
    page = Api(stack.api_url)
    with page.session, tempfile.TemporaryDirectory() as directory:
        sent = {"Authorization": token[0].split(":", 1)[1]} if token else {}
        schema, report = Path(directory) / "openapi.json", Path(directory) / "report.json"
        schema.write_text(page.session.get(f"{page.url}/", headers=sent, timeout=70).text)
        command = [
            str(ROOT / ".venv" / "bin" / "schemathesis"), "--no-color", "run", str(schema), "--url", f"{stack.gateway_url}/rest/v1",
            "--checks", "not_a_server_error", "--phases", phases, "--max-examples", str(examples), "--request-retries", "3",
            "--request-timeout", "70", "--continue-on-failure", "--warnings", "off", "--suppress-health-check", "all", "--no-shrink",
            "--report", "json", "--report-json-path", str(report), *headers,
            *(["--generation-deterministic"] if seed is None else ["--seed", str(seed), "--generation-database", "none"]),
            *(["--max-time", str(max_time)] if max_time else []),
        ]  # fmt: skip
        result = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        counted = re.search(r"(\d[\d,]*) generated", result.stdout)
        return Outcome(int(counted[1].replace(",", "")) if counted else 0, result.returncode != 0, result.stdout + result.stderr)


@contextmanager
def a_stack() -> Iterator[Stack]:
    stack = start_stack(without=("bridge", "mosquitto"))
    try:
        yield stack
    finally:
        stack.down()


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/fuzz", description="Schemathesis as each role; 1 when any answer was a 5xx.")
    parser.add_argument("roles", nargs="*", default=list(ROLES), help=f"of {', '.join(ROLES)} (default: all)")
    parser.add_argument("--cases", type=int, default=LONG, help="at least so many a role (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the stack is taken down, however this ends
    failed = False
    with a_stack() as stack:
        api = Api(stack.api_url)
        for role in options.roles:
            tenant = make_tenant(stack, api)
            cases, examples, seed = 0, 30, options.seed
            while cases < options.cases:
                outcome = run(role, tenant, examples, "coverage,fuzzing", seed)
                cases, seed = cases + outcome.cases, seed + 1
                if outcome.failed or not outcome.cases:
                    failed = True
                    sys.stdout.write(f"{outcome.output}\n")
                    if not outcome.cases:
                        break
                sys.stdout.write(f"{role}: {cases} cases, seed {seed - 1}{', FAILED' if outcome.failed else ''}\n")
                sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
