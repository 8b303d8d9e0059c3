"""History from a file into the database, through the API."""

import csv
import json as jsons
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from bridge.api import Api, ApiError, UnreachableError
from bridge.cli import common

BATCH = 1000
BATCH_CHARACTERS = 4_000_000
TRIES = 30
RETRY_SECONDS = 2.0
FOR_NOW = ("import_busy", "queue_paused", "quota_exceeded")
MEMBERS = ("topic", "payload", "qos", "retain", "content_type", "payload_encoding", "message_id", "timestamp")
# Columns of an export that an import has no use for, or under another name.
OTHERS = {
    "received_at", "measured_at", "sent_at", "id", "organization_id", "integration_id", "device_id", "external_id", "direction",
    "message_type", "body", "decode_error", "properties", "created_at", "timestamp_ignored", "failed", "cursor", "metrics",
}  # fmt: skip
MOST_SHOWN = 10
Row = dict[str, Any]


def import_history(
    integration: Annotated[str, typer.Argument(help="Id or name of the integration that the messages belong to.")],
    file: Annotated[Path, typer.Argument(help="CSV with a head, or JSON lines (by its name); - is standard input.")],
    topic: Annotated[
        str | None, typer.Option(help="For rows without a topic: one with {column} in it, such as org_demo/devices/{device_id}/telemetry.")
    ] = None,
    format: Annotated[str | None, typer.Option("--format", help="csv or jsonl; default: by the name of the file, else csv.")] = None,  # noqa: A002
    keep_ids: Annotated[bool, typer.Option("--keep-ids", help="Take the column id as the message's id.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
) -> None:
    """Import messages that were measured before, as an admin: what `topicbase export` wrote, or a CSV with a column for each metric.

    Rows have a topic (or --topic), a timestamp (or measured_at, or received_at), and a payload as JSON. Without a payload, all columns that
    mean nothing else are its members. They are stored as received now and measured then; no webhook is called. What is
    stored already is not stored again, so that the same file may be imported until it is complete. Rows whose direction is outgoing are
    left out. Exit code 1 if rows were rejected.

    \b
    Examples:
      topicbase import Greenhouse messages.csv
      topicbase import Greenhouse history.csv --topic 'org_demo/devices/{device_id}/telemetry'
    """
    form = format or ("jsonl" if file.suffix in {".jsonl", ".ndjson", ".json"} else "csv")
    if form not in {"csv", "jsonl"}:
        common.fail(f"--format {form} is neither csv nor jsonl", common.WRONG)
    result = {"imported": 0, "repeated": 0, "rejected": 0}
    with common.api() as client, _opened(file) as text, common.progress("imported", None) as done:
        integration_id = common.find(client, "device_integrations", integration, "name")["id"]
        found = _csv_rows(text) if form == "csv" else _json_rows(text)
        rows = ((line, row) for line, row in found if row.get("direction") != "outgoing")
        is_text = form == "csv"
        messages = ((line, _message(line, row, topic, keep_ids=keep_ids, is_text=is_text)) for line, row in rows)
        for batch in _batches(messages):
            answer = _patiently(client, {"integration_id": integration_id, "messages": [message for _, message in batch]})
            result["imported"] += answer["imported"]
            result["repeated"] += answer["repeated"]
            for refused in answer["rejected"]:
                result["rejected"] += 1
                if result["rejected"] <= MOST_SHOWN:
                    typer.echo(f"topicbase: line {batch[refused['index']][0]}: {refused['code']}: {refused['message']}", err=True)
            done(len(batch))
    common.show(result, json=json)
    if result["rejected"]:
        raise typer.Exit(common.NO)


@contextmanager
def _opened(file: Path) -> Iterator[TextIO]:
    try:
        if str(file) == "-":
            yield sys.stdin
        else:
            with file.open(encoding="utf-8-sig", newline="") as text:
                yield text
    except OSError as error:
        common.fail(f"{file} cannot be read: {error.strerror}", common.WRONG)
    except UnicodeDecodeError:
        common.fail(f"{file} is not UTF-8", common.WRONG)


def _csv_rows(text: TextIO) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(1 << 28)
    reader = csv.DictReader(text)
    try:
        if not reader.fieldnames:
            common.fail("the file is empty: its first line names the columns", common.WRONG)
        for row in reader:
            if None in row or None in row.values():
                common.fail(f"line {reader.line_num} has another number of columns than the first line", common.WRONG)
            yield reader.line_num, {name: value for name, value in row.items() if value != ""}
    except csv.Error as error:
        common.fail(f"line {reader.line_num} is not CSV: {error}", common.WRONG)


def _json_rows(text: TextIO) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            row = jsons.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            common.fail(f"line {number} is not a JSON object", common.WRONG)
        yield number, row


def _message(line: int, row: Row, topic: str | None, *, keep_ids: bool, is_text: bool) -> Row:
    """The row as `import_messages` takes it; is_text: its values are text, in which JSON stands for numbers, objects and so on."""
    value = _json_or_text if is_text else _same
    message = {name: row[name] for name in MEMBERS if row.get(name) is not None}
    if topic is not None and "topic" not in message:
        try:
            message["topic"] = topic.format_map(row)
        except (KeyError, ValueError, IndexError) as error:
            common.fail(f"line {line}: --topic {topic} names a column that the row does not have: {error}", common.WRONG)
    at = row.get("timestamp") or row.get("measured_at") or row.get("received_at")
    if at is not None:
        message["timestamp"] = at
    if keep_ids and row.get("id"):
        message["message_id"] = row["id"]
    if row.get("body"):
        message |= {"payload": row["body"], "payload_encoding": "base64"}
    elif "payload" in row:
        message["payload"] = value(row["payload"])
    elif "metrics" in row:
        message["payload"] = value(row["metrics"])
    else:
        message["payload"] = {name: value(cell) for name, cell in row.items() if name not in OTHERS and name not in MEMBERS}
    return message


def _same(value: Any) -> Any:
    return value


def _json_or_text(value: str) -> Any:
    try:
        return jsons.loads(value)
    except (ValueError, RecursionError):
        return value


def _batches(messages: Iterator[tuple[int, Row]]) -> Iterator[list[tuple[int, Row]]]:
    """At most BATCH messages, and not many more characters than BATCH_CHARACTERS."""
    while batch := list(islice(messages, BATCH)):
        while batch:
            size = count = 0
            for count, (_, message) in enumerate(batch, 1):  # noqa: B007  # used below
                size += len(str(message))
                if size > BATCH_CHARACTERS:
                    break
            yield batch[:count]
            batch = batch[count:]


def _patiently(client: Api, body: Row) -> Row:
    """Neither a restart of the API nor a busy organization ends an import of hours; a repeat stores nothing twice."""
    for _ in range(TRIES):
        try:
            return dict(client.call("import_messages", body))
        except UnreachableError as error:
            typer.echo(f"topicbase: {error}; trying again", err=True)
        except ApiError as error:
            if not str(error).startswith(FOR_NOW):
                raise
        time.sleep(RETRY_SECONDS)
    return dict(client.call("import_messages", body))
