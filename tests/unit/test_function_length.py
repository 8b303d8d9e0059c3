"""A function fits on a page. Files may be as long as they like."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT = 60  # lines, from `def` to the last
EXCEPTIONS_AT_MOST = 5
EXCEPTION_LIMIT = 120

# Those that would not be easier to read in pieces, each with the reason.
EXCEPTIONS: dict[str, str] = {}


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


def _long_functions() -> dict[str, int]:
    return {name: lines for path in _python_files() for name, lines in _lengths(path) if lines > LIMIT}


def test_functions_are_of_a_page() -> None:
    found = _long_functions()
    assert not {name: lines for name, lines in found.items() if name not in EXCEPTIONS}
    assert max(found.values(), default=0) <= EXCEPTION_LIMIT


def test_exceptions_are_few_and_needed() -> None:
    assert len(EXCEPTIONS) <= EXCEPTIONS_AT_MOST
    assert set(EXCEPTIONS) == set(_long_functions()), "an exception that is none any more"
