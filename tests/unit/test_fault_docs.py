"""docs/explanation/faults.md and the tests agree: each numbered fault has its tests, each test with a number stands at that fault."""

import re
from pathlib import Path

from tests.chaos.listed import FAULTS

ROOT = Path(__file__).resolve().parents[2]
LIST = (ROOT / "docs" / "explanation" / "faults.md").read_text()
LINES = {int(line.split("|")[1]): line for line in LIST.splitlines() if re.match(r"\| \d+ \|", line)}
NUMBERS = {*range(1, 41), *range(57, 61)}  # those between are attacks: test_security_docs.py
UNDER_LOAD = "tests/chaos/test_faults.py"
PLACES_OF_THEIR_OWN = {"jump_database_clock", "fill_disk", "pull_cable"}  # run by tests/chaos/test_server.py


def named(text: str) -> set[tuple[str, str]]:
    """Path and function of each test that a text names."""
    return set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text))


def numbered() -> list[tuple[int, str, str]]:
    """Number, path and function of each test that has a fault's number in its name, once for each number."""
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name in re.findall(r"^def (test_fault_\d\w*)\(", path.read_text(), re.MULTILINE):
            numbers = re.match(r"test_fault_(\d\d(?:_and_\d\d)*)_", name)
            assert numbers is not None, name
            found += [(int(number), str(path.relative_to(ROOT)), name) for number in numbers[1].split("_and_")]
    return found


def test_every_fault_is_there_with_what_must_hold_and_a_test() -> None:
    assert LINES.keys() == NUMBERS
    for number, line in LINES.items():
        _, _, fault, required, tests, _ = line.split("|")
        assert fault.strip(), number
        assert required.strip().endswith("."), number
        assert "`tests/" in tests, number


def test_every_test_that_is_named_is_there() -> None:
    faults = {fault.test_name for fault in FAULTS.values() if fault.name not in PLACES_OF_THEIR_OWN}
    pages = LIST + (ROOT / "docs" / "explanation" / "delivery.md").read_text()
    missing = [
        f"{path}::{name}"
        for path, name in sorted(named(pages))
        if not (path == UNDER_LOAD and name in faults) and f"def {name}(" not in (ROOT / path).read_text()
    ]
    assert missing == []
    assert [path for path in re.findall(r"`(tests/[\w/]+\.(?:py|sql))`", pages) if not (ROOT / path).is_file()] == []


def test_every_test_with_a_number_stands_at_its_fault() -> None:
    found = numbered()
    assert len(found) > 30
    assert [name for number, path, name in found if (path, name) not in named(LINES[number])] == []


def test_every_fault_under_load_with_a_number_stands_there() -> None:
    numbered = [fault for fault in FAULTS.values() if fault.number and fault.name not in PLACES_OF_THEIR_OWN]
    assert numbered
    assert [fault.name for fault in numbered if (UNDER_LOAD, fault.test_name) not in named(LINES[fault.number])] == []


def test_no_test_has_the_number_of_another_fault() -> None:
    wrong = [
        (number, name)
        for number, line in LINES.items()
        for _, name in named(line)
        if (numbers := re.match(r"(?:test_)?fault_(\d\d(?:_and_\d\d)*)_", name)) and f"{number:02}" not in numbers[1].split("_and_")
    ]
    # A migration under load is a new route, too.
    assert wrong == [(59, "fault_58_migrate")]
