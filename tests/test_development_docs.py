"""docs/development.md tells the truth: its commands run, and what it names is there."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.stack import ROOT, Stack
from tests.support.waiting import PROGRAM_PATIENCE

PAGE = (ROOT / "docs/development.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SHELL = "\n".join(re.findall(r"^```(?:sh)?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)) + "\n".join(re.findall(r"`([^`]*)`", PAGE))


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_its_commands_run(own: Stack, number: int) -> None:
    own.start("stream")  # `bin/stack status` answers with 1 while a part is stopped
    run = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=BLOCKS[number], cwd=ROOT, env={**os.environ, "TOPICBASE_RUN_DIR": str(own.run_dir)}, capture_output=True, text=True,
        check=False, timeout=PROGRAM_PATIENCE,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


def test_profiling_shows_plans(own: Stack) -> None:
    block = next(block for block in BLOCKS if "auto_explain" in block)
    run = subprocess.run(
        ["bash"],
        input=block,
        cwd=ROOT,
        env={**os.environ, "TOPICBASE_RUN_DIR": str(own.run_dir)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "actual time=" in run.stderr


def test_what_it_names_is_there() -> None:
    paths = set(re.findall(r"(?<!\.venv/)\b(?:bin|tests|bridge|bench|deploy|plpython)/[\w./-]*\w", SHELL))
    assert len(paths) > 20
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
    makefile = (ROOT / "Makefile").read_text()
    targets = {word for words in re.findall(r"\bmake ((?:[a-z]+ ?)+)", SHELL) for word in words.split()}
    assert [target for target in sorted(targets) if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
    for test in re.findall(r"(tests/[\w/]+\.py)::(\w+)", SHELL):
        assert f"def {test[1]}(" in Path(ROOT, test[0]).read_text()


def test_help_names_the_examples_that_run() -> None:
    for program in ("test", "lint", "template", "new-change", "apply", "spell"):
        told = subprocess.run([ROOT / "bin" / program, "--help"], capture_output=True, text=True, check=True)
        assert f"bin/{program}" in told.stdout
    for path in re.findall(
        r"^  bin/test (tests/[\w/.]+)(?:::(\w+))?",
        subprocess.run([ROOT / "bin/test", "--help"], capture_output=True, text=True, check=True).stdout,
        re.MULTILINE,
    ):
        assert (ROOT / path[0]).exists()
        assert not path[1] or f"def {path[1]}(" in (ROOT / path[0]).read_text()
