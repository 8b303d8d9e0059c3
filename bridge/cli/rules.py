"""Payload rules: what becomes of a message."""

import base64
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.cli import common

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _rules() -> None:
    """Payload rules of an integration, as a member of its organization."""


@app.command("try")
def attempt(
    integration: Annotated[str, typer.Argument(help="Id or name of the integration.")],
    topic: Annotated[str, typer.Argument(help="Topic of the message.")],
    payload: Annotated[str | None, typer.Argument(help="The payload as text; without it, stdin is read.")] = None,
    file: Annotated[Path | None, typer.Option(help="The payload is the bytes of this file.")] = None,
    content_type: Annotated[str | None, typer.Option(help="Media type that comes with it (MQTT 5).")] = None,
    login: Annotated[str | None, typer.Option(help="Username of the device, as if it sent over HTTP.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The whole answer as JSON.")] = False,
) -> None:
    """Show what the payload rules make of a message; nothing is stored.

    Exit code 0 if a rule matched and found all that it looks for, otherwise 1.

    \b
    Examples:
      topicbase rules try plant tele/plug1/SENSOR '{"Time": "2030-01-01T07:00:00", "ENERGY": {"Power": 95}}'
      mosquitto_sub -t v3/app/devices/d1/up -C 1 | topicbase rules try ttn v3/app/devices/d1/up --json
    """
    if payload is not None and file is not None:
        common.fail("give only one of PAYLOAD and --file", common.WRONG)
    sent = payload.encode() if payload is not None else _bytes(file)
    with common.api() as client:
        body: dict[str, Any] = {
            "integration_id": common.find(client, "device_integrations", integration, "name")["id"],
            "topic": topic, "payload_base64": base64.b64encode(sent).decode(), "content_type": content_type, "login": login,
        }  # fmt: skip
        answer = client.call("try_payload_rules", body)
    if json:
        common.as_json(answer)
    else:
        _show(answer)
    if answer["rule"] is None or any(sample["reason"] for sample in answer["samples"]):
        raise typer.Exit(common.NO)


def _bytes(file: Path | None) -> bytes:
    try:
        return file.read_bytes() if file is not None else sys.stdin.buffer.read()
    except OSError as error:
        common.fail(f"{file} cannot be read: {error.strerror}", common.WRONG)


def _show(answer: dict[str, Any]) -> None:
    if answer["rule"] is None:
        typer.echo(f"no rule matches, of {len(answer['considered'])}: topic_pattern decides")
        return
    typer.echo(f"rule {answer['rule']['position']}: {answer['rule']['topic']}")
    if answer["transformed"] is not None:
        typer.echo(f"  transformed: {common.as_text(answer['transformed'])}")
    for sample in answer["samples"]:
        typer.echo(f"  {sample['role']} of {sample['device'] or 'no device'}" + (f" at {sample['time']}" if sample["time"] else ""))
        for name, value in (sample["metrics"] or {}).items():
            typer.echo(f"    {name} = {common.printable(common.words(value))}")
        for name in ("presence", "metadata", "reason"):
            if sample[name]:
                typer.echo(f"    {name}: {common.printable(common.words(sample[name]))}")
