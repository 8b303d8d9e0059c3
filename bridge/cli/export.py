"""Messages or readings into a file, through the API, as their user sees them."""

import csv
import io
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from bridge import exact
from bridge.api import Api, ApiError, UnreachableError
from bridge.cli import common, parquet

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Write messages or readings to a file, as CSV, JSON lines or Parquet.")

PAGE = 1000
TRIES = 30
RETRY_SECONDS = 2.0
SETTLED = timedelta(minutes=1)
CURSOR = re.compile(rb'([A-Za-z0-9_-]{64})"?\}?\r?$')
FORMS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}
MESSAGE = (
    "received_at", "measured_at", "id", "organization_id", "integration_id", "device_id", "direction", "topic", "message_type", "payload",
    "body", "content_type", "decode_error", "qos", "retain", "properties", "sent_at", "failed", "cursor",
)  # fmt: skip

Integration = Annotated[str | None, typer.Option(help="Id or name of an integration.")]
Organization = Annotated[str | None, typer.Option(help="Id or slug of an organization; needed if you belong to several.")]
Device = Annotated[str | None, typer.Option(help="Id of a device, or its id in topics.")]
Since = Annotated[str | None, typer.Option(help="From this time on, such as 2026-01-31 or 2026-01-31T12:00:00Z.")]
Until = Annotated[str | None, typer.Option(help="Before this time.")]
Format = Annotated[str | None, typer.Option("--format", help="csv, jsonl or parquet; default: by the name of the file, else csv.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="The file; default: standard output.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where the file ends.")]
Row = dict[str, Any]


@app.command("messages")
def messages(
    filter: Annotated[str | None, typer.Argument(help="Topic filter, such as 'org_demo/devices/+/telemetry'.")] = None,  # noqa: A002
    integration: Integration = None,
    device: Device = None,
    direction: Annotated[str | None, typer.Option(help="incoming or outgoing.")] = None,
    since: Since = None,
    until: Until = None,
    format: Format = None,  # noqa: A002
    output: Output = None,
    resume: Resume = False,
) -> None:
    """Export messages, the oldest first, by when they were received; without --until those received until a minute ago, or until the
    oldest that still waits to be stored.

    Each row has a cursor: with --resume, an export that was interrupted goes on, and one that is complete takes in what has come since.

    \b
    Examples:
      topicbase export messages --since 2026-01-01 -o messages.csv
      topicbase export messages 'org_demo/#' -o messages.jsonl --resume
      topicbase export messages --until 2026-02-01 -o messages.parquet
    """
    if direction not in (None, "incoming", "outgoing"):
        common.fail("--direction must be incoming or outgoing", common.WRONG)
    query = {"filter": filter, "device_id": device, "direction": direction, "since": common.time_of("--since", since)}
    query |= {"until": common.time_of("--until", until), "oldest_first": "true", "page_size": str(PAGE)}
    with common.api() as client:
        found = common.find(client, "device_integrations", integration, "name") if integration else None
        query["integration_id"] = found["id"] if found else None
        if query["until"] is None:
            owners = [found["organization_id"]] if found else [row["id"] for row in client.rows("organizations", {"select": "id"})]
            query["until"] = _stored_until(client, owners).isoformat()

        def page(cursor: str | None) -> list[Row]:
            return client.rows("rpc/list_messages", {key: value for key, value in {**query, "cursor": cursor}.items() if value is not None})

        _export(page, MESSAGE, format, output, resume=resume)


@app.command("readings")
def readings(
    integration: Integration = None,
    organization: Organization = None,
    device: Device = None,
    metrics: Annotated[str | None, typer.Option(help="Names, with commas between; each is a column of the CSV.")] = None,
    since: Since = None,
    until: Until = None,
    by_received: Annotated[bool, typer.Option("--received", help="Times are when messages were received, not measured.")] = False,
    format: Format = None,  # noqa: A002
    output: Output = None,
    resume: Resume = False,
) -> None:
    """Export readings of devices, the newest first. With --resume, an export that was interrupted goes on.

    \b
    Examples:
      topicbase export readings --device sensor01 --metrics temperature,humidity -o sensor01.csv
      topicbase export readings --since 2026-01-01 -o readings.jsonl
    """
    names = [name.strip() for name in metrics.split(",") if name.strip()] if metrics else None
    body = {
        "device_id": device,
        "since": common.time_of("--since", since),
        "until": common.time_of("--until", until),
        "metrics": names,
        "limit": PAGE,
    }
    body["time"] = "received" if by_received else "measured"
    columns = ("device_id", "timestamp", *(names or ("metrics",)), "cursor")
    with common.api() as client:
        body["integration_id"] = common.find(client, "device_integrations", integration, "name")["id"] if integration else None
        body["organization_id"] = common.organization(client, organization) if organization else None

        def page(cursor: str | None) -> list[Row]:
            return [_reading(row, names) for row in client.call("query_telemetry", {**body, "cursor": cursor})]

        _export(page, columns, format, output, resume=resume, metrics=tuple(names or ()))


def _stored_until(client: Api, organization_ids: list[str]) -> datetime:
    """Before this time, all that was accepted is stored: what is stored later, --resume would never come to."""
    until = datetime.now(UTC) - SETTLED
    for organization_id in organization_ids:
        try:
            waiting = client.call("get_mqtt_queue_stats", {"organization_id": organization_id})["oldest_pending_seconds"]
        except ApiError:
            continue  # an API key for some integrations is not told
        if waiting is not None:
            until = min(until, datetime.now(UTC) - timedelta(seconds=float(str(waiting)) + 1))
    if datetime.now(UTC) - until > 2 * SETTLED:
        typer.echo(f"topicbase: messages still wait to be stored: only those received before {until.isoformat()} are exported", err=True)
    return until


def _reading(row: Row, names: list[str] | None) -> Row:
    found = {name: row["metrics"].get(name) for name in names} if names else {"metrics": row["metrics"]}
    return {"device_id": row["deviceId"], "timestamp": row["timestamp"], **found, "cursor": row["cursor"]}


def _export(
    page: Callable[[str | None], list[Row]],
    columns: tuple[str, ...],
    form: str | None,
    output: Path | None,
    *,
    resume: bool,
    metrics: tuple[str, ...] = (),
) -> None:
    form = form or FORMS.get(output.suffix if output is not None else "", "csv")
    if form not in {"csv", "jsonl", "parquet"}:
        common.fail(f"--format {form} is none of csv, jsonl and parquet", common.WRONG)
    if output is None and (resume or form == "parquet"):
        common.fail(
            "--resume needs --output FILE: the last row says where to go on" if resume else "Parquet needs --output FILE", common.WRONG
        )
    if form == "parquet" and output is not None:
        parquet.require()
        if output.exists():
            common.fail(f"{output} exists already: name another file", common.WRONG)
        collected = output.with_name(f"{output.name}.partial")
        total = _write(page, columns, "jsonl", collected, resume=resume)
        parquet.convert(collected, output, columns, metrics)
        collected.unlink()
    else:
        total = _write(page, columns, form, output, resume=resume)
    typer.echo(f"topicbase: {total} rows exported", err=True)


def _write(page: Callable[[str | None], list[Row]], columns: tuple[str, ...], form: str, output: Path | None, *, resume: bool) -> int:
    write = {"csv": _csv, "jsonl": _jsonl}[form]
    total = 0
    with _opened(output, resume=resume) as file, common.progress("exported", None) as done:
        cursor = _last_cursor(file, output) if resume else None
        if form == "csv" and cursor is None:
            _csv_lines(file, [columns])
        for rows in _pages(page, cursor):
            write(file, columns, rows)
            file.flush()
            total += len(rows)
            done(len(rows))
    return total


@contextmanager
def _opened(output: Path | None, *, resume: bool) -> Iterator[BinaryIO]:
    try:
        if output is None:
            yield sys.stdout.buffer
        else:
            with output.open("r+b" if resume and output.exists() else "xb") as file:
                yield file
    except FileExistsError:
        common.fail(f"{output} exists already: add --resume to go on with it, or name another file", common.WRONG)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone
        raise typer.Exit(0) from None
    except OSError as error:
        common.fail(f"{output or 'standard output'} cannot be written: {error.strerror}", common.WRONG)


def _last_cursor(file: BinaryIO, output: Path | None) -> str | None:
    """The cursor at the end of the last complete line; what comes after it is cut off. None for a file without rows."""
    end = file.seek(0, io.SEEK_END)
    tail, start = b"", end
    while start > 0 and tail.count(b"\n") < 2:
        size = min(start, 1 << 16)
        start = file.seek(start - size)
        tail = file.read(size) + tail
    complete = tail[: tail.rfind(b"\n") + 1]
    file.truncate(file.seek(start + len(complete)))
    if not complete:
        return None
    found = CURSOR.search(complete.splitlines()[-1])
    if found is None:
        if start == 0 and complete.count(b"\n") == 1 and complete.rstrip().endswith(b"cursor"):
            file.truncate(file.seek(0))  # only the head
            return None
        common.fail(f"{output} does not end with a row of an export", common.WRONG)
    return found[1].decode()


def _pages(page: Callable[[str | None], list[Row]], cursor: str | None) -> Iterator[list[Row]]:
    while rows := _patiently(page, cursor):
        yield rows
        cursor = rows[-1]["cursor"]


def _patiently(page: Callable[[str | None], list[Row]], cursor: str | None) -> list[Row]:
    """A restart of the API must not end an export of hours."""
    for _ in range(TRIES):
        try:
            return page(cursor)
        except UnreachableError as error:
            typer.echo(f"topicbase: {error}; trying again", err=True)
            time.sleep(RETRY_SECONDS)
    return page(cursor)


def _jsonl(file: BinaryIO, _: tuple[str, ...], rows: list[Row]) -> None:
    file.write("".join(exact.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())


def _csv(file: BinaryIO, columns: tuple[str, ...], rows: list[Row]) -> None:
    _csv_lines(file, [[_cell(name, row) for name in columns] for row in rows])


def _csv_lines(file: BinaryIO, lines: Iterable[Iterable[Any]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    file.write(text.getvalue().encode())


def _cell(name: str, row: Row) -> Any:
    """A payload is JSON, whatever it is; other values are themselves. One line for each row, so that the last one can be found."""
    value = row[name]
    if name == "payload" and "body" in row:
        # Null, and not empty: that is the payload of what has a body, which may be empty, too.
        return exact.dumps(value, ensure_ascii=False) if row["body"] is None else ""
    if value is None:
        return ""
    if not isinstance(value, str):
        return exact.dumps(value, ensure_ascii=False)
    return " ".join(value.splitlines()) if "\n" in value or "\r" in value else value
