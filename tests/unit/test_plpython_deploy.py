"""The migrations where PL/Python is missing, comes later, or lacks a library: everything else stands, and each part says what it needs."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.support.stack import ROOT, Stack

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
CODECS = ("cbor", "msgpack", "seal")
DATABASE_ONLY = ("mosquitto", "postgrest", "gateway", "bridge")
# Hides the module from the server's Python, and from no virtual environment that a part of the stack runs in.
WITHOUT_NACL = """\
import importlib, os, sys
if sys.prefix == sys.base_prefix:
    raise ModuleNotFoundError("No module named 'nacl'")
sys.path.remove(os.path.dirname(__file__))
del sys.modules["nacl"]
importlib.import_module("nacl")
"""

Start = Callable[..., Stack]


@pytest.fixture
def bare_postgres(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of PostgreSQL without PL/Python: its programs find their files relative to themselves."""
    version = PROGRAMS.parent.name
    root = tmp_path_factory.mktemp("postgres")
    for directory in (root, *root.parents[:2]):
        directory.chmod(0o755)
    shared = root / "usr/share/postgresql" / version
    (shared / "extension").mkdir(parents=True)
    shutil.copytree(PROGRAMS, root / "usr/lib/postgresql" / version / "bin")
    (root / "usr/lib/postgresql" / version / "lib").symlink_to(PROGRAMS.parent / "lib")
    original = Path("/usr/share/postgresql") / version
    for file in (*original.iterdir(), *(original / "extension").iterdir()):
        if file.name != "extension" and "plpython" not in file.name:
            (shared / file.relative_to(original)).symlink_to(file)
    return root / "usr/lib/postgresql" / version / "bin"


def codecs(connection: psycopg.Connection[tuple[str, bool, str]]) -> dict[str, str | None]:
    return {codec: reason for codec, _, reason in connection.execute("SELECT * FROM mqtt.codecs()")}


def run_script(stack: Stack, *scripts: str) -> str:
    """Run deploy scripts as a DBA would, by psql as superuser; return what it says."""
    arguments = [argument for script in scripts for argument in ("--file", script)]
    command = ["psql", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", stack.database_url, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr


def test_a_server_without_pl_python_then_with(fresh_stack: Start, bare_postgres: Path) -> None:
    stack = fresh_stack(without=DATABASE_ONLY, TOPICBASE_PG_BIN=str(bare_postgres))
    log = stack.log("sqitch")
    assert "The parts in PL/Python are left out, since the server has no PL/Python" in log
    assert "kept byte for byte and flagged" in log
    with stack.connect() as connection:
        assert connection.execute("SELECT count(*) FROM pg_proc WHERE proname LIKE 'py\\_%'").fetchone() == (0,)
        for reason in codecs(connection).values():
            assert "not created, since the server has no PL/Python: install it (Debian: postgresql-plpython3-" in str(reason)
        stack.run("sqitch", "verify")

        extensions = bare_postgres.parents[3] / "share/postgresql" / bare_postgres.parent.name / "extension"
        for file in (Path("/usr/share/postgresql") / bare_postgres.parent.name / "extension").glob("plpython3u*"):
            (extensions / file.name).symlink_to(file)
        assert "CREATE EXTENSION plpython3u" in str(codecs(connection)["cbor"])
        stack.run("sqitch", "verify")
        run_script(
            stack, "deploy/plpython.sql", *(f"deploy/py_{name}.sql" for name in ("decode_cbor", "decode_msgpack", "free_disk", "seal"))
        )
        assert codecs(connection) == dict.fromkeys(CODECS)
        stack.run("sqitch", "verify")


def test_scripts_run_again(fresh_stack: Start) -> None:
    stack = fresh_stack(without=DATABASE_ONLY)
    scripts = ["deploy/plpython.sql", *(f"deploy/{path.name}" for path in sorted((ROOT / "deploy").glob("py_*.sql")))]
    assert "left out" not in run_script(stack, *scripts)
    with stack.connect() as connection:
        assert codecs(connection) == dict.fromkeys(CODECS)
        connection.execute("DROP FUNCTION mqtt.py_seal(bytea, text)")
        verdict = stack.run("sqitch", "verify", check=False)
        assert verdict.returncode != 0
        assert "mqtt.py_seal(bytea, text) is absent though nothing stands against it" in verdict.stdout + verdict.stderr
        connection.execute("CREATE ROLE dba LOGIN PASSWORD 'dba' IN ROLE mqtt_owner")
        with stack.connect(user="dba", password="dba") as as_dba:
            assert "only a superuser creates functions in PL/Python" in str(codecs(as_dba)["seal"])
        run_script(stack, "deploy/py_seal.sql")
        stack.run("sqitch", "verify")


def test_a_python_without_nacl(fresh_stack: Start, tmp_path: Path) -> None:
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    (tmp_path / "nacl.py").write_text(WITHOUT_NACL)
    stack = fresh_stack(without=DATABASE_ONLY, deploy=True, PYTHONPATH=str(tmp_path))
    assert "mqtt.py_seal(bytea, text) is not created, since the server's Python does not import nacl" in stack.log("sqitch")
    with stack.connect() as connection:
        reasons = codecs(connection)
    assert "install it (Debian: python3-nacl)" in str(reasons.pop("seal"))
    assert set(reasons.values()) == {None}
    stack.run("sqitch", "verify")
