"""bin/embed-plpython: what is committed is what it renders, and it refuses what PL/Python would read otherwise."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = """\
# /// plpython
# returns = "text"
# volatility = "immutable"
# ///
{top}

def run(data: bytes) -> str:
    {docstring}
    return data.hex()
"""


def embed(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([root / "bin/embed-plpython", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "bin/embed-plpython", tmp_path / "bin")
    shutil.copytree(ROOT / "plpython", tmp_path / "plpython")
    for folder in ("deploy", "revert", "verify"):
        (tmp_path / folder / "base").mkdir(parents=True)
        for script in (ROOT / folder / "base").glob("py_*.sql"):
            shutil.copy(script, tmp_path / folder / "base")
    return tmp_path


def test_the_scripts_are_up_to_date() -> None:
    result = embed(ROOT, "--check")
    assert (result.returncode, result.stderr) == (0, "")


def test_check_names_each_stale_file_and_writes_nothing(tree: Path) -> None:
    with (tree / "plpython/json_text.py").open("a") as part:
        part.write("# changed\n")
    (tree / "verify/base/py_seal.sql").unlink()
    before = {path: path.read_text() for path in tree.rglob("*.sql")}
    result = embed(tree, "--check")
    assert result.returncode == 1
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == [
        "deploy/base/py_check_transform.sql",
        "deploy/base/py_decode_binary.sql",
        "deploy/base/py_decode_cayenne.sql",
        "deploy/base/py_decode_cbor.sql",
        "deploy/base/py_decode_csv.sql",
        "deploy/base/py_decode_influx.sql",
        "deploy/base/py_decode_msgpack.sql",
        "deploy/base/py_decode_protobuf.sql",
        "deploy/base/py_decode_senml.sql",
        "deploy/base/py_decode_sparkplug.sql",
        "deploy/base/py_decompress.sql",
        "deploy/base/py_protobuf_layout.sql",
        "verify/base/py_seal.sql",
        "deploy/base/py_transform.sql",
    ]
    assert before == {path: path.read_text() for path in tree.rglob("*.sql")}


def test_rendering_twice_changes_nothing(tree: Path) -> None:
    reworked = {script.name.partition("@")[0] + ".sql" for script in tree.rglob("*@*.sql")}
    for script in tree.rglob("*.sql"):
        # What a release had, and what reverts a rework to it, is sqitch's.
        if "@" not in script.name and not (script.name in reworked and script.parent.parent.name == "revert"):
            script.write_text("stale")
    modules = sum("# /// plpython" in p.read_text() for p in (tree / "plpython").glob("*.py"))
    assert len(embed(tree).stdout.splitlines()) == 3 * modules - len(reworked) > 0
    assert embed(tree).stdout == ""
    for script in tree.rglob("*.sql"):
        assert script.read_text() == (ROOT / script.relative_to(tree)).read_text()


def test_a_script_without_a_module_is_named(tree: Path) -> None:
    (tree / "plpython/seal.py").unlink()
    result = embed(tree, "--check")
    assert result.returncode == 1
    assert "deploy/base/py_seal.sql: has no module" in result.stderr


@pytest.mark.parametrize(
    ("top", "docstring", "reason"),
    [
        ("from __future__ import annotations", '"""Doc"""', "__future__"),
        ('TEXT = """one\ntwo"""', '"""Doc"""', "line 5 starts a string of several lines"),
        ('QUOTE = "$python$"', '"""Doc"""', r"$python$"),
        ("", "pass", "no docstring"),
        ("from plpython.json_text import key as k", '"""Doc"""', "renames"),
    ],
)
def test_what_does_not_fit_is_refused(tree: Path, top: str, docstring: str, reason: str) -> None:
    (tree / "plpython/odd.py").write_text(MODULE.format(top=top, docstring=docstring))
    result = embed(tree)
    assert result.returncode == 1
    assert "plpython/odd.py" in result.stderr
    assert reason in result.stderr
    assert not (tree / "deploy/base/py_odd.sql").exists()


def test_a_new_module_gets_its_three_scripts(tree: Path) -> None:
    (tree / "plpython/odd.py").write_text(MODULE.format(top="", docstring='"""Say it in hex\n\n    Two digits a byte.\n    """'))
    assert embed(tree).stdout.splitlines() == [f"{folder}/base/py_odd.sql: written" for folder in ("deploy", "revert", "verify")]
    deploy = (tree / "deploy/base/py_odd.sql").read_text()
    assert "CREATE OR REPLACE FUNCTION mqtt.py_odd(data bytea) RETURNS text\nLANGUAGE plpython3u IMMUTABLE STRICT" in deploy
    assert "$md$Say it in hex\n\nTwo digits a byte.$md$" in deploy
    assert "DROP FUNCTION IF EXISTS mqtt.py_odd(bytea);" in (tree / "revert/base/py_odd.sql").read_text()
