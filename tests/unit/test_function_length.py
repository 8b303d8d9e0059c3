"""A function fits on a page. Files may be as long as they like."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.migrations import deploy_scripts

ROOT = Path(__file__).parents[2]
LIMIT = 60  # lines, from `def` to the last
EXCEPTIONS_AT_MOST = 5
EXCEPTION_LIMIT = 120

# Those that would not be easier to read in pieces, each with the reason.
ONE_STATEMENT = "one set-wise statement: a batch pays for each call and each temporary result"
EXCEPTIONS = {
    "deploy/bridge/ingest.sql mqtt.ingest_deliveries": ONE_STATEMENT,
    "deploy/ingest/enqueue_batch.sql mqtt.enqueue_batch": ONE_STATEMENT,
    "deploy/publish/settle_outbound.sql mqtt.settle_outbound": ONE_STATEMENT,
    "deploy/process/due_messages.sql mqtt.due_messages": "one pass over the queue with state that its steps share",
}
SQL_FUNCTION = re.compile(r"^CREATE OR REPLACE (?:FUNCTION|PROCEDURE) ([\w.]+).*?^(?:\$\$|END);$", re.DOTALL | re.MULTILINE)


def _python_files() -> Iterator[Path]:
    for folder in ("bridge", "demo", "bench", "plpython"):
        yield from (ROOT / folder).rglob("*.py")
    for path in (ROOT / "bin").iterdir():
        if path.suffix == ".py" or (path.is_file() and b"python" in path.read_bytes().split(b"\n", 1)[0]):
            yield path


def _lengths(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{path.relative_to(ROOT)} {node.name}", node.end_lineno - node.lineno + 1


def _sql_lengths() -> Iterator[tuple[str, int]]:
    for path in deploy_scripts().values():
        if not path.name.startswith("py_"):  # rendered: its functions are looked at in plpython/
            for function in SQL_FUNCTION.finditer(path.read_text(encoding="utf-8")):
                yield f"{path.relative_to(ROOT)} {function[1]}", len(function[0].splitlines())


def _long_functions() -> dict[str, int]:
    lengths = [*_sql_lengths(), *(length for path in _python_files() for length in _lengths(path))]
    assert len(lengths) > 800
    return {name: lines for name, lines in lengths if lines > LIMIT}


def test_functions_are_of_a_page() -> None:
    found = _long_functions()
    assert not {name: lines for name, lines in found.items() if name not in EXCEPTIONS}
    assert max(found.values(), default=0) <= EXCEPTION_LIMIT


def test_exceptions_are_few_and_needed() -> None:
    assert len(EXCEPTIONS) <= EXCEPTIONS_AT_MOST
    assert set(EXCEPTIONS) == set(_long_functions()), "an exception that is none any more"
