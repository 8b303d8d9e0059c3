"""Decision records: each is dated, has its number once, and can be found in the index."""

import re

import pytest

from tests.support.stack import ROOT

FOLDER = ROOT / "docs" / "decisions"
RECORDS = sorted(path.name for path in FOLDER.glob("[0-9]*.md"))


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_has_title_date_and_index_entry(name: str) -> None:
    number = name[:4]
    lines = (FOLDER / name).read_text().splitlines()
    assert lines[0].startswith(f"# {number}. ")
    assert re.match(r"Date: \d{4}-\d{2}-\d{2}", lines[2])
    title = lines[0].removeprefix(f"# {number}. ")
    assert f"[{number} {title}]({name})" in (FOLDER / "README.md").read_text()


def test_numbers_are_given_once() -> None:
    numbers = [name[:4] for name in RECORDS]
    assert sorted(set(numbers)) == numbers
