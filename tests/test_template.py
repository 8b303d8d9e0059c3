"""bin/template: one cluster for many runs, which never hides what a deploy of now would do."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.stack import ROOT


def template(tree: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tree / "bin/template", *arguments], env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What a deploy reads, and no more."""
    for name in ("bin", "conf", "deploy", "revert", "verify"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("sqitch.plan", "sqitch.conf"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    return tmp_path


def test_its_key_covers_whatever_a_deploy_reads(tree: Path) -> None:
    def key(**environment: str) -> str:
        return template(tree, "--key", **environment).stdout.strip()

    keys = [key()]
    assert keys == [key()]
    for path in (
        next((tree / "deploy").rglob("*.sql")), next((tree / "verify").rglob("*.sql")),
        tree / "conf/postgresql.conf", tree / "sqitch.plan", tree / "sqitch.conf", tree / "bin/stack", tree / "bin/lib/stack-postgres.sh",
    ):  # fmt: skip
        with path.open("a") as file:
            file.write("\n")
        keys.append(key())
    next((tree / "deploy").rglob("*.sql")).rename(tree / "deploy/renamed.sql")
    keys += [key(), key(TOPICBASE_PG_PRELOAD="auto_explain")]
    settings = tree / "settings.conf"
    for text in ("jit = off\n", "jit = on\n"):
        settings.write_text(text)
        keys.append(key(TOPICBASE_PG_CONF=str(settings)))
    assert len(set(keys)) == len(keys)


@pytest.mark.timeout(600)
def test_it_deploys_once_and_keeps_only_what_succeeded(tree: Path) -> None:
    with_one = tree / "sqitch.plan"
    lines = with_one.read_text().splitlines(keepends=True)
    head = next(number for number, line in enumerate(lines) if line.strip() and not line.startswith("%"))
    broken = tree / "deploy" / f"{lines[head].split()[0]}.sql"
    sound = broken.read_text()
    broken.write_text("SELECT no_such_function();\n")
    failed = template(tree)
    assert failed.returncode == 1
    assert "no_such_function" in failed.stderr
    assert [path for path in (tree / ".cache/templates").iterdir() if path.is_dir()] == []

    broken.write_text(sound)
    first = template(tree)
    assert "applying the migrations" in first.stderr
    second = template(tree)
    assert (second.stdout, second.stderr) == (first.stdout, "")
    directory = Path(first.stdout.strip())
    assert sorted(path.name for path in directory.iterdir()) == ["postgres", "secrets"]
    assert directory.stat().st_mode & 0o077 == 0

    with subprocess.Popen(["flock", "--shared", directory, "sh", "-c", "echo held; read _"], stdin=-1, stdout=-1, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "held\n"
        template(tree, "--clean")
        assert directory.exists()
        run.communicate("\n")
    template(tree, "--clean")
    assert not (tree / ".cache").exists()
