"""docs/explanation/security.md answers for faults 41 to 56 of the list and 61 to 67, with tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "explanation" / "security.md").read_text()
ROWS = {int(number): tests for number, tests in re.findall(r"^\| (\d+) \|.*\|([^|]*)\|$", PAGE, re.MULTILINE)}
NAMED = re.findall(r"`(tests/[\w/]+\.(?:py|sql))(?:::(\w+))?`", PAGE)


def test_every_row_is_there_with_a_test() -> None:
    assert ROWS.keys() == {*range(41, 57), *range(61, 68)}
    assert [number for number, tests in ROWS.items() if not re.search(r"`tests/[\w/]+\.(py::\w+|sql)`", tests)] == []


def test_every_test_that_it_names_is_there() -> None:
    assert NAMED
    missing = [
        f"{path}::{name}"
        for path, name in NAMED
        if not (ROOT / path).is_file() or (name and not re.search(rf"^ *def {name}\(", (ROOT / path).read_text(), re.MULTILINE))
    ]
    assert missing == []
