"""History from a file into the database, through the API."""

import csv
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from bridge import exact
from bridge.api import Api, ApiError, UnreachableError
from bridge.cli import common

BATCH = 1000
BATCH_CHARACTERS = 4_000_000
TRIES = 30
RETRY_SECONDS = 2.0
FOR_NOW = ("import_busy", "queue_paused", "quota_exceeded")
OF_A_MESSAGE = (400, 413)
PROPERTIES = ("payload_format", "response_topic", "correlation_data", "message_expiry", "user_properties")
MEMBERS = ("topic", "payload", "qos", "retain", "content_type", "payload_encoding", "message_id", "timestamp", *PROPERTIES)
# Columns of an export that an import has no use for, or under another name.
OTHERS = {
    "received_at", "measured_at", "sent_at", "id", "organization_id", "integration_id", "device_id", "external_id", "direction",
    "message_type", "body", "decode_error", "properties", "created_at", "timestamp_ignored", "failed", "cursor", "metrics",
}  # fmt: skip
OTHER_SEPARATORS = {";": "`;`", "\t": "tabs", "|": "`|`"}
NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
TOPIC_HINT = "say with --topic what it is, such as --topic 'org_demo/devices/{device_id}/telemetry'"
MOST_SHOWN = 10
Row = dict[str, Any]
Lines = Iterator[tuple[int, Row]]
Refuse = Callable[[int, str], None]


class _MessageError(Exception):
    """Why a row is not a message: a slug, and words."""


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
    mean nothing else are its members. Further columns are those of POST /rpc/mqtt_ingest_batch: qos, retain, content_type, MQTT 5
    properties. Messages are stored as received now and measured then; no webhook is called. What is
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

    def refuse(line: int, why: str) -> None:
        result["rejected"] += 1
        if result["rejected"] <= MOST_SHOWN:
            typer.echo(f"topicbase: line {line}: {why}", err=True)

    with common.api() as client, _opened(file) as text, common.progress("imported", None) as done:
        integration_id = common.find(client, "device_integrations", integration, "name")["id"]
        rows = _csv_rows(text, topic) if form == "csv" else _json_rows(text, topic, refuse)
        for batch in _batches(_messages(rows, topic, refuse, keep_ids=keep_ids, is_text=form == "csv")):
            for count, answer in _answers(client, integration_id, batch, refuse):
                result["imported"] += answer["imported"]
                result["repeated"] += answer["repeated"]
                done(count)
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


def _csv_rows(text: TextIO, topic: str | None) -> Lines:
    csv.field_size_limit(1 << 28)
    reader = csv.DictReader(text)
    try:
        names = reader.fieldnames
        if not names:
            common.fail("the file is empty: its first line names the columns", common.WRONG)
        if len(names) == 1 and (found := next((one for one in OTHER_SEPARATORS if one in names[0]), None)):
            common.fail(f"the columns are separated by {OTHER_SEPARATORS[found]}: a CSV needs commas", common.WRONG)
        if topic is None and "topic" not in names:
            common.fail(f"there is no column topic, only {', '.join(names)}: {TOPIC_HINT}", common.WRONG)
        for row in reader:
            if None in row or None in row.values():
                common.fail(f"line {reader.line_num} has another number of columns than the first line", common.WRONG)
            cells: Row = {name: value for name, value in row.items() if value}
            # An empty payload is a body, which may be empty, too; a table without bodies has no other way to say null.
            if row.get("payload") == "":
                cells |= {"body": row["body"]} if "body" in row else {"payload": None}
            yield reader.line_num, cells
    except csv.Error as error:
        common.fail(f"line {reader.line_num} is not CSV: {error}", common.WRONG)


def _json_rows(text: TextIO, topic: str | None, refuse: Refuse) -> Lines:
    is_first = True
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            row = exact.loads_finite(line)
        except exact.NotFiniteError as error:
            refuse(number, f"payload_invalid: {error}")
            continue
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            common.fail(f"line {number} is not a JSON object", common.WRONG)
        if is_first and topic is None and row.get("topic") is None:
            common.fail(f"line {number} has no topic: {TOPIC_HINT}", common.WRONG)
        is_first = False
        yield number, row


def _messages(rows: Lines, topic: str | None, refuse: Refuse, *, keep_ids: bool, is_text: bool) -> Lines:
    for line, row in rows:
        if row.get("direction") == "outgoing":
            continue
        try:
            yield line, _message(line, row, topic, keep_ids=keep_ids, value=_value_of_cell if is_text else _same)
        except exact.NotFiniteError as error:
            refuse(line, f"payload_invalid: {error}")
        except _MessageError as error:
            refuse(line, str(error))


def _message(line: int, row: Row, topic: str | None, *, keep_ids: bool, value: Callable[[Any], Any]) -> Row:
    """The row as `import_messages` takes it; value: what a value of the file stands for."""
    message = {**_properties(row.get("properties"), value), **{name: row[name] for name in MEMBERS if row.get(name) is not None}}
    if isinstance(message.get("user_properties"), str):
        message["user_properties"] = value(message["user_properties"])
    if "topic" not in message:
        if topic is None:
            raise _MessageError(f"topic_invalid: the row has no topic, and there is no --topic: {TOPIC_HINT}")
        try:
            message["topic"] = topic.format_map(row)
        except (KeyError, ValueError, IndexError) as error:
            common.fail(f"line {line}: --topic {topic} names a column that the row does not have: {error}", common.WRONG)
    at = row.get("timestamp") or row.get("measured_at") or row.get("received_at")
    if at is not None:
        message["timestamp"] = at
    if keep_ids and row.get("id"):
        message["message_id"] = row["id"]
    if row.get("body") is not None:
        message |= {"payload": row["body"], "payload_encoding": "base64"}
    elif "payload" in row:
        # What has an encoding is text: digits may be base64.
        message["payload"] = (row["payload"] or "") if message.get("payload_encoding") in ("base64", "text") else value(row["payload"])
    elif "metrics" in row:
        message["payload"] = value(row["metrics"])
    else:
        message["payload"] = {name: value(cell) for name, cell in row.items() if name not in OTHERS and name not in MEMBERS}
    return message


def _properties(given: Any, value: Callable[[Any], Any]) -> Row:
    """MQTT 5 properties as an export has them, as members of a message."""
    found = None if given is None else value(given)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _MessageError("message_invalid: properties are a JSON object")
    return {name: found[name] for name in PROPERTIES if found.get(name) is not None}


def _same(value: Any) -> Any:
    return value


def _value_of_cell(cell: str | None) -> Any:
    """JSON stands for numbers, objects and so on; everything else is text, except for what other programs write for no number."""
    if cell is None:
        return None
    if NOT_FINITE.fullmatch(cell):
        raise exact.NotFiniteError(cell)
    try:
        return exact.loads_finite(cell)
    except exact.NotFiniteError:
        raise
    except (ValueError, RecursionError):
        return cell


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


def _answers(client: Api, integration_id: str, batch: list[tuple[int, Row]], refuse: Refuse) -> Iterator[tuple[int, Row]]:
    """How many messages, and what became of them. What the API refuses as a whole goes again in halves, until the message is found."""
    try:
        answer = _patiently(client, {"integration_id": integration_id, "messages": [message for _, message in batch]})
    except ApiError as error:
        if error.status not in OF_A_MESSAGE:
            raise
        if len(batch) > 1:
            half = len(batch) // 2
            yield from _answers(client, integration_id, batch[:half], refuse)
            yield from _answers(client, integration_id, batch[half:], refuse)
        else:
            refuse(batch[0][0], str(error).splitlines()[0])
        return
    for one in answer["rejected"]:
        refuse(batch[one["index"]][0], f"{one['code']}: {one['message']}")
    yield len(batch), answer


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
