"""docs/delivery.md names every row of the list of faults that it answers for, and no test that is not there."""

import re
from pathlib import Path

from tests.chaos.faults import FAULTS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "delivery.md").read_text()
ROWS = {*range(1, 41), *range(57, 61)}


def test_every_row_is_there_with_a_test() -> None:
    rows = {int(number): tests for number, tests in re.findall(r"^\| (\d+) \|.*\|([^|]*)\|$", PAGE, re.MULTILINE)}
    assert rows.keys() == ROWS
    assert [number for number, tests in rows.items() if "tests/" not in tests] == []


def test_every_test_that_it_names_is_there() -> None:
    faults = {fault.test_name for fault in FAULTS.values()}
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE))
    assert named
    missing = [
        f"{path}::{name}"
        for path, name in sorted(named)
        if not (path == "tests/chaos/test_faults.py" and name in faults) and f"def {name}(" not in (ROOT / path).read_text()
    ]
    assert missing == []


def test_every_fault_with_a_number_stands_in_its_row() -> None:
    lines = {int(line.split("|")[1]): line for line in PAGE.splitlines() if re.match(r"\| \d+ \|", line)}
    alone = {"jump_database_clock", "fill_disk", "pull_cable"}  # places of their own, under test_server.py
    assert [f.test_name for f in FAULTS.values() if f.row and f.name not in alone and f.test_name not in lines[f.row]] == []
