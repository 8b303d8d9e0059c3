"""Fixtures of the command line's tests."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.conftest import peer
from tests.support.stack import Stack
from tests.support.waiting import PROGRAM_PATIENCE

__all__ = ["peer"]
ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("topicbase")
Cli = Callable[..., subprocess.CompletedProcess[str]]


def bridge_environment(stack: Stack) -> dict[str, str]:
    """What the stack's own bridge was started with."""
    pairs = Path(f"/proc/{stack.pid('bridge')}/environ").read_text(encoding="utf-8").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def run(*arguments: str, environment: dict[str, str], **options: Any) -> subprocess.CompletedProcess[str]:
    options.setdefault("timeout", PROGRAM_PATIENCE)
    environment = {"PYTHONPATH": str(ROOT), **environment}  # this checkout's program, also in a worktree that shares another's .venv
    if "input" not in options:
        options["stdin"] = subprocess.DEVNULL
    return subprocess.run([PROGRAM, *arguments], env=environment, capture_output=True, text=True, check=False, **options)


@pytest.fixture
def cli(stack: Stack) -> Cli:
    """`cli("status", "--json", PGUSER="…")`: the program with the settings of the stack's bridge; None takes a variable away."""
    base = bridge_environment(stack)

    def call(*arguments: str, input: str | None = None, **changes: str | None) -> subprocess.CompletedProcess[str]:  # noqa: A002
        environment = {key: value for key, value in {**base, **changes}.items() if value is not None}
        return run(*arguments, environment=environment, **({} if input is None else {"input": input}))

    return call


@pytest.fixture
def app(stack: Stack) -> Callable[[str], Cli]:
    """`app(token)("tail")`: the program as a user of the API has it, who knows nothing of the database."""

    def with_token(token: str) -> Cli:
        base = {"PATH": os.environ["PATH"], "TOPICBASE_API_URL": stack.api_url, "TOPICBASE_TOKEN": token}

        def call(*arguments: str, input: str | None = None, **changes: str | None) -> subprocess.CompletedProcess[str]:  # noqa: A002
            environment = {key: value for key, value in {**base, **changes}.items() if value is not None}
            return run(*arguments, environment=environment, **({} if input is None else {"input": input}))

        return call

    return with_token
