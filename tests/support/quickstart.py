"""The quickstarts in the READMEs of clients/, run as they stand."""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.support.stack import ROOT, Stack
from tests.support.waiting import PROGRAM_PATIENCE


def quickstart(client: str, language: str, heading: str = "Quickstart") -> str:
    """The code block below the heading."""
    text = (ROOT / "clients" / client / "README.md").read_text().partition(f"\n## {heading}\n")[2]
    match = re.search(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert match is not None
    assert len([line for line in match[1].splitlines() if line]) <= 12
    return match[1]


@contextmanager
def running(stack: Stack, program: Sequence[str], cwd: Path, **environment: str) -> Iterator[IO[str]]:
    """What a program that does not end prints, likewise."""
    token = stack.token(sub=stack.env["DEMO_USER_ID"])
    environment = {**os.environ, **stack.env, "TOKEN": token, "PYTHONUNBUFFERED": "1", **environment}
    with subprocess.Popen(program, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.terminate()


def run(stack: Stack, program: Sequence[str], cwd: Path, **environment: str) -> str:
    """What the program prints, with `make env` and a token of the demo's admin in its environment."""
    token = stack.run("topicbase", "token", "add", "--user", stack.env["DEMO_USER_ID"]).stdout.strip()
    done = subprocess.run(
        program,
        cwd=cwd,
        env={**os.environ, **stack.env, "TOKEN": token, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PROGRAM_PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout
