"""Messages as they are stored."""

import base64
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from bridge import exact
from bridge.api import Api, ApiError, RefusedError, UnreachableError, events
from bridge.cli import common

PAGE = 1000
POLL_SECONDS = 1.0
OVERLAP = timedelta(seconds=3)
LATE_SECONDS = 10.0  # between two looks for messages that were stored late
LATE = timedelta(minutes=10)
SLACK = timedelta(seconds=15)  # a row has the time at which its transaction began


def tail(
    topic: Annotated[str | None, typer.Argument(help="Topic filter, such as 'org_demo/devices/+/telemetry' or 'org_demo/#'.")] = None,
    integration: Annotated[str | None, typer.Option(help="Id or name of an integration.")] = None,
    direction: Annotated[str | None, typer.Option(help="incoming or outgoing.")] = None,
    last: Annotated[int, typer.Option("-n", "--last", min=0, max=PAGE, help="Begin with this many of the newest.")] = 10,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on with new messages.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Each message as JSON, one per line.")] = False,
) -> None:
    """Show the messages of your organizations as they are stored, oldest first, until interrupted.

    With TOPICBASE_STREAM_URL, new messages come from the live stream, in the order in which they were stored. Without it, or where it does
    not answer, the history is read every second in the order in which messages were accepted: one that is stored more than three seconds
    later (after a retry, say) is shown up to ten seconds late, out of order; one that is stored more than ten minutes later is not shown
    while following, but is in the history.

    \b
    Examples:
      export TOPICBASE_API_URL=https://api.example.com TOPICBASE_TOKEN_FILE=~/.topicbase-token
      topicbase tail
      topicbase tail 'org_demo/devices/+/telemetry' --json | jq .payload.temperature
      topicbase tail -n 100 --no-follow --direction outgoing
    """
    if direction not in (None, "incoming", "outgoing"):
        common.fail("--direction must be incoming or outgoing", common.WRONG)
    if topic is not None and (not topic or re.search(r"[^/]\+|\+[^/]|[^/]#|#.", topic)):
        common.fail(f"{topic} is not a topic filter: + stands for a whole level, # for all levels that follow", common.WRONG)
    query = {key: value for key, value in (("direction", direction), ("filter", topic)) if value}
    with common.api() as client:
        if integration:
            query["integration_id"] = common.find(client, "device_integrations", integration, "name")["id"]
        url = common.source().values().get("TOPICBASE_STREAM_URL")
        try:
            for row in (_streamed if url and follow else _polled)(client, query, last, follow=follow):
                typer.echo(exact.dumps(row, ensure_ascii=False)) if json else _show(row)
        except KeyboardInterrupt:
            raise typer.Exit(0) from None
        except BrokenPipeError:
            sys.stderr.close()  # the reader has gone
            raise typer.Exit(0) from None


def _streamed(client: Api, query: dict[str, str], last: int, *, follow: bool) -> Iterator[dict[str, Any]]:
    """From the live stream; from the API where there is none."""
    url = common.source().values()["TOPICBASE_STREAM_URL"].rstrip("/")
    terms = {"topic": query["filter"]} if "filter" in query else {}
    seen: set[str] | None = None
    while True:
        try:
            for name, cursor, data in events(url, client.token, terms):
                terms["since"] = cursor or terms.get("since", "")
                if seen is None:
                    # The stream has begun: what is stored from now on comes by it.
                    newest = client.rows("rpc/list_messages", {**query, "page_size": str(max(last, 1))})
                    if not newest:
                        _say_where(client, query, follow=follow)
                    seen = {row["id"] for row in newest}
                    yield from reversed(newest[:last])
                if name == "gap" and data["lost"]:
                    typer.echo("topicbase: some messages are no longer in the history", err=True)
                elif name == "error":
                    raise RefusedError(f"{data['code']}: {data['detail']}\n{data['hint']}", 401)  # noqa: TRY301  # as an answer of HTTP would be
                elif name == "message" and data["id"] not in seen and _is_wanted(data, query):
                    yield (
                        {**data, "payload": None, "body": data["payload"]}
                        if data["payload_encoding"] == "base64"
                        else {**data, "body": None}
                    )
        except RefusedError:
            raise
        except (ApiError, UnreachableError) as error:
            typer.echo(f"topicbase: {error}; {'asking the API instead' if seen is None else 'trying again'}", err=True)
            if seen is None:
                yield from _polled(client, query, last, follow=follow)
                return
        time.sleep(POLL_SECONDS)


def _is_wanted(message: dict[str, Any], query: dict[str, str]) -> bool:
    return all(message[name] == query[name] for name in ("direction", "integration_id") if name in query)


def _polled(client: Api, query: dict[str, str], last: int, *, follow: bool) -> Iterator[dict[str, Any]]:
    # Even with no backlog to show, the newest message says where to begin, by the database's clock.
    newest = client.rows("rpc/list_messages", {**query, "page_size": str(max(last, 1))})
    reached = max((_at(row) for row in newest), default=datetime.now(UTC) - timedelta(minutes=1))
    stored = max((_at(row, "created_at") for row in newest), default=reached)
    # Of the messages stored before, no more are shown than were asked for.
    accepted_before, stored_before = reached, stored
    seen = {row["id"]: (_at(row), _at(row, "created_at")) for row in newest}
    if not newest:
        _say_where(client, query, follow=follow)
    yield from reversed(newest[:last])
    late_from, late_at = stored, time.monotonic() + LATE_SECONDS
    while follow:
        is_late_due = time.monotonic() >= late_at
        if is_late_due:
            # A message accepted long before it was stored is older than what is looked at each second.
            terms = {"since": (reached - LATE).isoformat(), "stored_since": (late_from - SLACK).isoformat()}
            late_from, late_at = stored, time.monotonic() + LATE_SECONDS
        else:
            terms = {"since": (reached - OVERLAP).isoformat()}
        for row in _pages(client, {**query, **terms}):
            accepted_at, stored_at = _at(row), _at(row, "created_at")
            is_new = not newest or accepted_at > accepted_before or stored_at > stored_before
            if is_new and row["id"] not in seen:
                seen[row["id"]] = accepted_at, stored_at
                reached, stored = max(reached, accepted_at), max(stored, stored_at)
                yield row
        if is_late_due:
            seen = {name: (at, then) for name, (at, then) in seen.items() if at >= reached - OVERLAP or then >= late_from - SLACK}
        time.sleep(POLL_SECONDS)


def _say_where(client: Api, query: dict[str, str], *, follow: bool) -> None:
    """Nothing was found: where it was looked for."""
    slugs = [row["slug"] for row in client.rows("organizations", {"select": "slug", "order": "slug", "limit": "4"})]
    places = ", ".join(slugs[:3]) + (" and others" if len(slugs) > 3 else "") if slugs else "none: the token's user is no member of any"
    terms = "".join(f", {name.replace('_', ' ')} {value}" for name, value in query.items())
    typer.echo(
        f"topicbase: no message yet in the history of your organizations ({places}){terms}" + ("; waiting for the first" if follow else ""),
        err=True,
    )


def _pages(client: Api, query: dict[str, str]) -> Iterator[dict[str, Any]]:
    """All of them, the oldest first."""
    query = {**query, "oldest_first": "true", "page_size": str(PAGE)}
    while True:
        rows = _patiently(client, query)
        yield from rows
        if len(rows) < PAGE:
            return
        query["cursor"] = rows[-1]["cursor"]


def _patiently(client: Api, query: dict[str, str]) -> list[dict[str, Any]]:
    """A restart of the API must not end a command that follows for hours."""
    for _ in range(60):
        try:
            return client.rows("rpc/list_messages", query)
        except UnreachableError as error:
            typer.echo(f"topicbase: {error}; trying again", err=True)
            time.sleep(POLL_SECONDS)
    return client.rows("rpc/list_messages", query)


def _at(row: dict[str, Any], column: str = "received_at") -> datetime:
    return datetime.fromisoformat(row[column])


def _show(row: dict[str, Any]) -> None:
    arrow = "<-" if row["direction"] == "incoming" else "->"
    if row["body"] is not None:
        payload = f"{len(base64.b64decode(row['body']))} bytes: {row['body'][:120]}"
    else:
        payload = row["payload"] if isinstance(row["payload"], str) else exact.dumps(row["payload"], ensure_ascii=False)
    line = f"{row['received_at'][:23]} {arrow} {row['topic']} {payload}"
    typer.echo(common.printable(line))
