"""CSV (RFC 4180) to JSON text: [{name: value, …}, …], a row each.

The names are those given, a JSON array, else those in the first row. A field that is a decimal number becomes a number, an empty one is
left out, any other is a string; a name of null or "" leaves its column out. Columns are separated by the first tab, semicolon or comma
outside quotes in the first row; lines end with CR LF, LF or CR. Empty rows are skipped; a row with more or fewer fields than there are
names is an error.
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

import csv
import io
import json
import re

from plpython.json_text import MAX_BYTES, string
from plpython.samples_text import Samples, number

MAX_COLUMNS = 1000
SEPARATOR = re.compile(r'(?:"[^"]*"|[^",;\t\r\n])*([,;\t])')


def run(data: bytes, names: str) -> str:
    """Decode CSV into a JSON array of its rows

    names: a JSON array of the columns' names; null: the first row has them. Raises 38000 (external_routine_exception) with a short reason
    when the bytes are no CSV.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig").lstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("the text is not valid UTF-8") from None
    found = SEPARATOR.match(text)
    columns = json.loads(names)
    samples = Samples()
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=found[1] if found else ",", strict=True):
            if not row:
                continue
            if columns is None:
                columns = [name.strip() for name in row]
                continue
            if len(columns) > MAX_COLUMNS:
                raise ValueError(f"more than {MAX_COLUMNS} columns")
            if len(row) != len(columns):
                raise ValueError("a row has more or fewer fields than there are names")
            pairs = {}
            for column, field in enumerate(row):
                if columns[column] and field.strip():
                    pairs[string(columns[column])] = number(field.strip()) or string(field)
            samples.add("{" + ",".join([f"{name}:{value}" for name, value in pairs.items()]) + "}")
    except csv.Error:
        raise ValueError("a field in quotes is not closed or goes on after them, or is longer than 128 KiB") from None
    return samples.text()
