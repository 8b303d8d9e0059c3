"""plpython/decode_csv.py: what Python's csv module writes comes back, by header and by given names; arbitrary bytes."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plpython import decode_csv
from plpython.json_text import MAX_BYTES
from tests.support.storable import is_clean, is_storable

WORD = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8).map(
    lambda text: f"x{text}y"
)
CELL = WORD | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | st.just("")
TABLE = st.lists(WORD, min_size=2, max_size=4, unique=True).flatmap(
    lambda names: st.tuples(st.just(names), st.lists(st.lists(CELL, min_size=len(names), max_size=len(names)), max_size=4))
)


def written(rows: list[Any], separator: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=csv.QUOTE_NONNUMERIC).writerows(rows)
    return text.getvalue().encode()


@given(TABLE, st.sampled_from(",;\t"))
def test_rows_come_back(table: tuple[list[str], list[list[Any]]], separator: str) -> None:
    names, rows = table
    expected = [{name: cell for name, cell in zip(names, row, strict=True) if cell != ""} for row in rows]
    assert json.loads(decode_csv.run(written([names, *rows], separator), "null")) == expected
    assert json.loads(decode_csv.run(written(rows, separator), json.dumps(names))) == expected


@pytest.mark.parametrize(
    ("data", "names", "rows"),
    [
        (b"t, h\r\n21.5,40\r\n\r\n", None, [{"t": 21.5, "h": 40}]),
        (b"\xef\xbb\xbft\n1\n007\n", None, [{"t": 1}, {"t": 7}]),
        (b"21.5;x;3", ["t", None, "n"], [{"t": 21.5, "n": 3}]),
        (b'"a;b",c\n"say ""hi""",nan', None, [{"a;b": 'say "hi"', "c": "nan"}]),
        (b"", None, []),
    ],
)
def test_forms(data: bytes, names: Any, rows: Any) -> None:
    assert json.loads(decode_csv.run(data, json.dumps(names))) == rows


@given(st.binary(max_size=100) | st.text('ab1,;\t"\r\n', max_size=60).map(str.encode), st.sampled_from(["null", '["a", null]']))
@example(b'"a', "null")
@example(b'"a"b,c', "null")
@example(b"a\n\0", "null")
def test_arbitrary_bytes_are_read_or_refused_with_a_reason(data: bytes, names: str) -> None:
    try:
        text = decode_csv.run(data, names)
    except ValueError as error:
        is_clean(error)
    else:
        is_storable(text, data + b"[]")


def test_what_is_bounded() -> None:
    for data, reason in (
        (bytes(MAX_BYTES + 1), "bytes"),
        (b"a\n" + b"1\n" * 5001, "samples"),
        (b"a" * 1000 + b"\n" + b"1\n" * 4000, "as JSON"),
        (b"," * 1001 + b"\n" + b"," * 1001, "columns"),
        (b"a,b\n1", "more or fewer"),
        (b"x" * 200000, "128 KiB"),
        (b'"' * 2**19, "quotes"),
    ):
        with pytest.raises(ValueError, match=reason):
            decode_csv.run(data, "null")
