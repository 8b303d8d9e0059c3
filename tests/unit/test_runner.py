"""The command line of bin/test and bin/lint: what is unknown is named before anything is deployed."""

import subprocess
from pathlib import Path

import pytest

from tests.support.waiting import PROGRAM_PATIENCE

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("test", "pgtab"), "there is no stage (lint, pgtap, pytest) and no file pgtab"),
        (("test", "tests/api/test_nothing.py::test_a"), "no file tests/api/test_nothing.py::test_a"),
        (("test", "-k", "session"), "there is no option -k (arguments of pytest follow --)"),
        (("lint", "ruff", "spell"), "there is no check spell"),
        (("template", "--fresh"), "there is no option --fresh"),
        (("apply", "api/nothing"), "there is no deploy/api/nothing.sql"),
    ],
)
def test_what_is_unknown_is_named(command: tuple[str, ...], said: str) -> None:
    run = subprocess.run([ROOT / "bin" / command[0], *command[1:]], capture_output=True, text=True, check=False, timeout=PROGRAM_PATIENCE)
    assert run.returncode in {1, 2}
    assert said in run.stderr
    assert run.stdout == ""


def test_a_file_of_unit_tests_needs_no_cluster() -> None:
    run = subprocess.run(
        [ROOT / "bin/test", "tests/unit/test_decisions.py"], capture_output=True, text=True, check=False, timeout=PROGRAM_PATIENCE
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "passed, 0 failed, 0 skipped" in run.stdout
    assert "stack:" not in run.stderr
