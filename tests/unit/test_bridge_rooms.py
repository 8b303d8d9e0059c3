"""The rooms of bridge/: who may import whom, and that what one file imports does not import it in turn."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# From the ground up. A module imports those of lower floors, and of its own room; docs/explanation/architecture.md says what is where.
FLOORS = (
    ("bridge", "bridge.values", "bridge.exact", "bridge.keepalives", "bridge.log", "bridge.sealing", "bridge.shares", "bridge.systemd"),
    ("bridge.api", "bridge.jwks", "bridge.tokens"),
    ("bridge.metrics", "bridge.settings", "bridge.shipped"),
    ("bridge.mosquitto", "bridge.database", "bridge.mqtt", "bridge.stream"),
    ("bridge.work", "bridge.reseal", "bridge.moving"),
    ("bridge.reports",),
    ("bridge.configuration",),
    ("bridge.coordinator",),
    ("bridge.cli",),
    ("bridge.__main__",),
)


def _modules() -> dict[str, Path]:
    found = {}
    for path in (ROOT / "bridge").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _imports(name: str) -> set[str]:
    """The modules of the bridge that this one imports, anywhere in its text."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            base = node.module or ""
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                found.add(whole if whole in MODULES else base)
    return {module for module in found if module in MODULES}


def _room(name: str) -> str:
    for room in (room for floor in FLOORS for room in floor if room != "bridge"):
        if name == room or name.startswith(f"{room}."):
            return room
    return name


def _floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if _room(name) in rooms)


def test_every_module_has_a_floor() -> None:
    assert not [name for name in MODULES if not any(_room(name) in rooms for rooms in FLOORS)]


def test_imports_lead_downwards() -> None:
    upwards = [
        f"{name} imports {other}"
        for name in MODULES
        for other in _imports(name)
        if _room(other) != _room(name) and _floor(other) >= _floor(name)
    ]
    assert not upwards, "of their own floor, or of one above it"


def test_imports_make_no_circle() -> None:
    try:
        TopologicalSorter({name: _imports(name) for name in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_sql_stands_in_one_module() -> None:
    """Calls of schema bridge that went round the others would also go round the watchdog."""
    callers = [name for name, path in MODULES.items() if "SELECT bridge." in path.read_text(encoding="utf-8")]
    assert callers == ["bridge.database.calls"]
