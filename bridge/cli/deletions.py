"""Deletions: messages by what they match, and how far the database is with what was asked to be deleted."""

import time
from typing import Annotated, Any

import typer

from bridge.api import Api
from bridge.cli import common
from bridge.cli.organizations import Json, Organization

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Delete messages, and show how far deletions are. Devices: `devices remove`; organizations: `org remove`.",
)

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until it is done.")]
COLUMNS = ("requested_at", "kind", "subject", "state", "finished_at", "id")
LOOK_SECONDS = 1.0


def finish(client: Api, deletion: dict[str, Any], *, wait: bool, json: bool) -> None:
    """Show a deletion that was just asked for; with `wait`, once it is done."""
    while wait and deletion["state"] != "done":
        time.sleep(LOOK_SECONDS)
        deletion = client.call("get_deletion", {"deletion_id": deletion["id"]})
    common.show(deletion, json=json)


@app.command("messages")
def messages(
    filter: Annotated[str | None, typer.Argument(help="Topic filter, such as 'org_demo/devices/+/telemetry'; '#' means all.")] = None,  # noqa: A002
    integration: Annotated[str | None, typer.Option(help="Id or name of an integration.")] = None,
    device: Annotated[str | None, typer.Option(help="Id of a device, or its id in topics.")] = None,
    since: Annotated[str | None, typer.Option(help="From this time on, such as 2026-01-31 or 2026-01-31T12:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time.")] = None,
    by_received: Annotated[
        bool, typer.Option("--received", help="--since and --until are of when messages were received, not measured.")
    ] = False,
    organization: Organization = None,
    yes: Yes = False,
    wait: Wait = False,
    json: Json = False,
) -> None:
    """Delete messages with all that follows from them, as an admin.

    All that is given must match; rollups and latest values follow. What is received after this command stays.

    \b
    Examples:
      topicbase delete messages --device sensor01 --until 2026-01-01
      topicbase delete messages 'org_demo/devices/+/debug' --received --since 2026-02-19T12:00:00Z --wait
    """
    with common.api() as client:
        body = {
            "filter": filter,
            "integration_id": common.find(client, "device_integrations", integration, "name")["id"] if integration else None,
            "device_id": device,
            "since": common.time_of("--since", since),
            "until": common.time_of("--until", until),
            "organization_id": common.organization(client, organization) if organization or not (integration or device) else None,
        }
        wanted = ", ".join(f"{name} {value}" for name, value in body.items() if value is not None and name != "organization_id")
        common.confirm(f"Delete messages of {wanted or 'nothing in particular'}?", yes=yes)
        deletion = client.call("delete_messages", {**body, "time": "received" if by_received else "measured"})
        finish(client, deletion, wait=wait, json=json)


@app.command("list")
def list_all(
    organization: Organization = None,
    last: Annotated[int, typer.Option("-n", "--last", min=1, max=1000, help="This many of the newest.")] = 100,
    json: Json = False,
) -> None:
    """List what was asked to be deleted, the newest first."""
    with common.api() as client:
        chosen = common.organization(client, organization) if organization else None
        common.show_all(client.call("list_deletions", {"organization_id": chosen, "limit": last}), COLUMNS, json=json)


@app.command("show")
def show(deletion: Annotated[str, typer.Argument(help="Id of the deletion.")], wait: Wait = False, json: Json = False) -> None:
    """Show how far a deletion is, and what it has deleted."""
    with common.api() as client:
        deletion_id = common.id_of("DELETION", deletion, "`delete list` shows them")
        finish(client, client.call("get_deletion", {"deletion_id": deletion_id}), wait=wait, json=json)
