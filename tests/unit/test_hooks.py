"""The hooks of `make hooks`, and what .gitattributes says of a merge."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BODY = "\n\nIt was lost when the broker restarted.\n"


def commit_msg(directory: Path, message: str) -> tuple[int, str]:
    path = directory / "message"
    path.write_text(message, encoding="utf-8")
    checked = subprocess.run([ROOT / ".githooks/commit-msg", path], capture_output=True, text=True, check=False)
    return checked.returncode, checked.stderr


@pytest.mark.parametrize(
    "message",
    [
        f"Keep the session{BODY}",
        f"{'x' * 72}{BODY}",
        f"{'é' * 72}{BODY}",
        f"Keep the session{BODY}\nSigned-off-by: A <a@example.com>\n# a comment of Git\n",
        "Merge branch 'main' into topic\n",
        "fixup! Keep the session\n",
    ],
)
def test_a_message_of_one_intent_passes(tmp_path: Path, message: str) -> None:
    assert commit_msg(tmp_path, message) == (0, "")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (f"{'x' * 73}{BODY}", "73 characters"),
        (f"Keep the session.{BODY}", "full stop"),
        ("Keep the session\n", "no body"),
        ("Keep the session\n\nSigned-off-by: A <a@example.com>\n", "no body"),
        ("Keep the session\n\n# Please enter the commit message\n", "no body"),
        ("Keep the session\n\n# ------------------------ >8 ------------------------\ndiff\n", "no body"),
        ("Keep the session\nof the broker\n\nWhy.\n", "second line"),
        ("\n\nWhy.\n", "subject"),
    ],
)
def test_another_message_is_refused(tmp_path: Path, message: str, reason: str) -> None:
    status, said = commit_msg(tmp_path, message)
    assert status == 1
    assert reason in said


def git(tree: Path, *arguments: str) -> str:
    name = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "core.hooksPath=/dev/null")
    return subprocess.run(["git", *name, *arguments], cwd=tree, capture_output=True, text=True, check=True).stdout


def test_two_branches_that_each_add_a_change_merge(tmp_path: Path) -> None:
    git(tmp_path, "init", "--initial-branch=main")
    (tmp_path / ".gitattributes").write_text((ROOT / ".gitattributes").read_text())
    plan = tmp_path / "sqitch.plan"
    plan.write_text("a\nb\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message=start")
    for branch, line in (("one", "c"), ("two", "d")):
        git(tmp_path, "switch", "--create", branch, "main")
        plan.write_text(f"a\nb\n{line}\n")
        git(tmp_path, "commit", "--all", f"--message={branch}")
    git(tmp_path, "merge", "one")
    assert sorted(plan.read_text().split()) == ["a", "b", "c", "d"]
