"""Messages to an integration's broker, and what becomes of them."""

import base64
import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.api import Api
from bridge.cli import common

BATCH = 1000
POLL_SECONDS = 10
PAUSE_SECONDS = 0.2


def publish(
    integration: Annotated[str, typer.Argument(help="Id or name of the integration.")],
    topic: Annotated[str, typer.Argument(help="Topic to publish to.")],
    payload: Annotated[str | None, typer.Argument(help="JSON, or otherwise text; without it, stdin is read.")] = None,
    qos: Annotated[int, typer.Option(min=0, max=2, help="Quality of service.")] = 1,
    retain: Annotated[bool, typer.Option("--retain", help="The broker keeps it for later subscribers.")] = False,
    text: Annotated[bool, typer.Option("--text", help="Send the payload as text, even if it is valid JSON.")] = False,
    file: Annotated[Path | None, typer.Option(help="Publish the bytes of this file.")] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Each line of stdin is a message.")] = False,
    content_type: Annotated[str | None, typer.Option(help="Media type (MQTT 5).")] = None,
    expiry: Annotated[int | None, typer.Option(min=1, help="Seconds after which it expires.")] = None,
    deliver_at: Annotated[str | None, typer.Option(help="When to publish it, such as 2030-01-01T06:00:00Z.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the broker's answer; 0 only queues.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="The receipts as JSON, one per line.")] = False,
) -> None:
    """Publish messages, as a member of the integration's organization, and report what became of them.

    Exit code 0 if the broker has acknowledged all messages (QoS 0: if all were sent), or with --wait 0 if all are queued; otherwise 1.

    \b
    Examples:
      export TOPICBASE_API_URL=https://api.example.com TOPICBASE_TOKEN_FILE=~/.topicbase-token
      topicbase publish plant org_demo/devices/pump/commands '{"led": "on"}'
      topicbase publish plant org_demo/devices/pump/firmware --file pump.bin --qos 2 --wait 60
      seq 100000 | topicbase publish plant org_demo/devices/pump/numbers --lines
    """
    if sum((payload is not None, file is not None, lines)) > 1:
        common.fail("give only one of PAYLOAD, --file and --lines", common.WRONG)
    fields = {"qos": qos, "retain": retain, "content_type": content_type, "message_expiry": expiry}
    fields["deliver_at"] = common.time_of("--deliver-at", deliver_at)
    fields = {"topic": topic, **{key: value for key, value in fields.items() if value is not None}}
    messages = ({**fields, **message} for message in _payloads(payload, file, lines=lines, text=text))
    with common.api() as client:
        integration_id = common.find(client, "device_integrations", integration, "name")["id"]
        ids: list[str] = []
        with common.progress("queueing", None) as done:
            while part := list(itertools.islice(messages, BATCH)):
                answer = client.call("mqtt_publish", {"integration_id": integration_id, "messages": part})
                ids += [receipt["receipt_id"] for receipt in answer["receipts"]]
                done(len(part))
        if wait == 0:
            _queued(ids, json=json)
            return
        rows = list(_receipts(client, ids, time.monotonic() + wait))
    _show(rows, json=json)
    if any(row["state"] not in ("sent", "acknowledged") for row in rows):
        raise typer.Exit(common.NO)


def _payloads(payload: str | None, file: Path | None, *, lines: bool, text: bool) -> Iterator[dict[str, Any]]:
    """The payload of each message, as mqtt_publish takes it."""
    if file is not None:
        try:
            data = base64.b64encode(file.read_bytes()).decode()
        except OSError as error:
            common.fail(f"{file} cannot be read: {error.strerror}", common.WRONG)
        return iter([{"payload": data, "payload_encoding": "base64"}])
    return ({"payload": value if text else common.json_or_text(value)} for value in _texts(payload, lines=lines))


def _texts(payload: str | None, *, lines: bool) -> Iterator[str]:
    """The argument, or what standard input has."""
    try:
        if payload is not None:
            yield payload
        elif lines:
            yield from (line.decode().rstrip("\r\n") for line in sys.stdin.buffer)
        else:
            yield sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        common.fail("standard input is not UTF-8: --file /dev/stdin publishes its bytes", common.WRONG)


def _show(rows: list[dict[str, Any]], *, json: bool) -> None:
    if json:
        for row in rows:
            common.as_json(row)
    else:
        for state, count in Counter(row["state"] for row in rows).items():
            typer.echo(f"{count} {state}")
        for reason, count in Counter(row["reason"] for row in rows if row["state"] == "failed").most_common(5):
            typer.echo(f"failed: {reason}" + (f" ({count} times)" if count > 1 else ""), err=True)


def _queued(ids: list[str], *, json: bool) -> None:
    if json:
        for receipt_id in ids:
            common.as_json({"receipt_id": receipt_id, "state": "queued"})
    else:
        typer.echo(f"{len(ids)} queued")


def _receipts(client: Api, ids: list[str], deadline: float) -> Iterator[dict[str, Any]]:
    """The receipts in the given order, each once it is settled or the deadline has passed."""
    with common.progress("waiting for the broker", len(ids)) as done:
        for start in range(0, len(ids), BATCH):
            part = ids[start : start + BATCH]
            while True:
                left = max(0.0, min(POLL_SECONDS, deadline - time.monotonic()))
                rows = client.call("get_mqtt_publish_receipts", {"receipt_ids": part, "wait": round(left, 3)})
                if left == 0 or all(row["state"] != "queued" for row in rows):
                    break
                time.sleep(min(PAUSE_SECONDS, left))  # it answers at once where too many calls are waiting
            yield from rows
            done(len(part))
