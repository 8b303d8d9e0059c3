"""HTTP load by wrk: one thread in C, kept connections, one body."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.harness import Bench
from bench.samples import Sample


def needs_wrk() -> None:
    """Installs wrk (Debian) where possible; otherwise says what to run."""
    if shutil.which("wrk"):
        return
    if os.geteuid() == 0:
        subprocess.run(["apt-get", "install", "--yes", "--quiet", "wrk"], check=False, capture_output=True)
    if not shutil.which("wrk"):
        raise SystemExit("bench: the load generator wrk is missing: apt-get install wrk")


def wrk_command(folder: Path, url: str, body: bytes, headers: Mapping[str, str], *, clients: int, seconds: int) -> list[str | Path]:
    """The command that POSTs the body over kept connections from one thread; body and headers are written to the folder."""
    body_file, header_file = folder / "body", folder / "headers"
    body_file.write_bytes(body)
    header_file.write_text("".join(f"{k}: {v}\n" for k, v in {"Content-Type": "application/json", **headers}.items()))
    script = Path(__file__).with_name("post.lua")
    return ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "-s", script, url, "--", body_file, header_file]


def wrk(url: str, body: bytes, headers: Mapping[str, str], *, clients: int, seconds: int, messages: int = 1) -> Sample:
    """POSTs the body for some seconds. rate counts messages, p50 and p99 are of requests.

    Raises when any answer is not 2xx: a fast error is not a result.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = wrk_command(Path(folder), url, body, headers, clients=clients, seconds=seconds)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = next((line for line in done.stdout.splitlines() if line.startswith("{")), "")
    if not last:
        raise RuntimeError(f"wrk {url}: {done.stdout} {done.stderr}")
    answer = json.loads(last)
    if answer["status"] or answer["transport"] or not answer["requests"]:
        raise RuntimeError(f"wrk {url}: {answer}")
    return Sample(
        answer["requests"] * messages / (answer["microseconds"] / 1e6),
        answer["p50"] / 1000,
        answer["p99"] / 1000,
        answer["requests"],
        answer["requests"] * messages,
    )


def post(bench: Bench, path: str, body: str, headers: dict[str, str], *, clients: int = 16, messages: int = 1) -> Sample:
    return wrk(f"{bench.api}/rpc/{path}", body.encode(), headers, clients=clients, seconds=bench.options.seconds, messages=messages)
