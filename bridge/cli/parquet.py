"""Exports as Parquet, made of the JSON lines in which they are collected: the types of metrics are known once all is there."""

import base64
import importlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from bridge import exact
from bridge.cli import common

ROWS = 50_000  # of a row group, unless these are too many characters
CHARACTERS = 32_000_000
TIMES = {"received_at", "measured_at", "sent_at", "timestamp"}
JSON = {"payload", "properties", "metrics"}
Row = dict[str, Any]


def require() -> tuple[Any, Any]:
    """pyarrow and its Parquet module."""
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        common.fail("Parquet needs pyarrow: pip install pyarrow, or export JSON lines", common.WRONG)


def convert(source: Path, target: Path, columns: tuple[str, ...], metrics: tuple[str, ...]) -> None:
    """Writes the rows in source, a JSON object a line, to target, whole or not at all, without the cursor, after which nothing goes on."""
    arrow, parquet = require()
    kinds = {name: _kind(name) for name in columns if name != "cursor"} | _metric_kinds(source, metrics)
    types = {
        "time": arrow.timestamp("us", tz="UTC"), "bytes": arrow.binary(), "small": arrow.int8(), "bool": arrow.bool_(),
        "number": arrow.float64(), "text": arrow.string(), "json": arrow.string(),
    }  # fmt: skip
    schema = arrow.schema([(name, types[kind]) for name, kind in kinds.items()])
    unfinished = target.with_name(target.name + ".unfinished")
    try:
        with parquet.ParquetWriter(unfinished, schema, compression="zstd") as writer:
            for rows in _groups(source):
                arrays = [[_value(row[name], kind) for row in rows] for name, kind in kinds.items()]
                writer.write_table(arrow.table([arrow.array(a, f.type) for a, f in zip(arrays, schema, strict=True)], schema=schema))
        unfinished.replace(target)
    except OSError as error:
        common.fail(f"{target} cannot be written: {error.strerror or error}", common.WRONG)
    finally:
        unfinished.unlink(missing_ok=True)


def _rows(source: Path) -> Iterator[tuple[int, Row]]:
    with source.open(encoding="utf-8") as lines:
        for line in lines:
            yield len(line), exact.loads(line)


def _groups(source: Path) -> Iterator[list[Row]]:
    group: list[Row] = []
    characters = 0
    for size, row in _rows(source):
        group.append(row)
        characters += size
        if len(group) == ROWS or characters >= CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _kind(name: str) -> str:
    if name in TIMES:
        return "time"
    return {"body": "bytes", "qos": "small", "retain": "bool", "failed": "bool"}.get(name, "json" if name in JSON else "text")


def _metric_kinds(source: Path, metrics: tuple[str, ...]) -> dict[str, str]:
    """Numbers, truth values or text, where a metric has nothing else; else JSON."""
    found: dict[str, set[str]] = {name: set() for name in metrics}
    if metrics:
        for _, row in _rows(source):
            for name in metrics:
                if row[name] is not None:
                    found[name].add(_kind_of(row[name]))
    return {name: kinds.pop() if len(kinds) == 1 else "json" if kinds else "number" for name, kinds in found.items()}


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "text"
    # The largest that a double holds is below 2^1024.
    return "number" if isinstance(value, float | exact.Number) or (isinstance(value, int) and value.bit_length() <= 1023) else "json"


def _value(value: Any, kind: str) -> Any:
    if kind == "json":
        # JSON null is a value of a payload, and nothing otherwise: both are null here.
        return None if value is None else exact.dumps(value, ensure_ascii=False)
    if value is None:
        return None
    match kind:
        case "time":
            return datetime.fromisoformat(value)
        case "bytes":
            return base64.b64decode(value)
        case "number":
            return float(str(value))
    return value
