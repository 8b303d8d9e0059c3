"""Integrations, and the devices seen through them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.api import Api
from bridge.cli import common, deletions
from bridge.cli.organizations import Json, Organization

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Integrations: what connects an organization to a broker.")
devices = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Devices: known by their first message, or by name beforehand.")

Integration = Annotated[str, typer.Argument(help="Id or name of the integration.")]
PAGE = 1000


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Its name.")],
    organization: Organization = None,
    broker: Annotated[str | None, typer.Option(help="URL of a broker of your own; default: the hosted one.")] = None,
    username: Annotated[str | None, typer.Option(help="The bridge's login at that broker.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="File that holds its password (an argument would show in `ps`).")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, a further setting; VALUE is JSON or text.")] = None,
    json: Json = False,
) -> None:
    """Create an integration, as an admin.

    Of the hosted broker, an organization needs one: each further one stores every message once more, and its devices again.

    \b
    Examples:
      topicbase integration add 'Hosted broker'
      topicbase integration add Plant --broker mqtts://broker.example.com --username topicbase --password-file /run/secrets/plant
      topicbase integration add Lab --set 'topic_pattern={organization_prefix}/{device_id}/{message_type}'
    """
    wanted: dict[str, Any] = {key: value for key, value in (("broker_url", broker), ("username", username)) if value is not None}
    if password_file is not None:
        try:
            wanted["password"] = password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            common.fail(f"{password_file} cannot be read: {error.strerror}", common.WRONG)
    for one in settings or []:
        key, equals, value = one.partition("=")
        if not equals:
            common.fail(f"--set {one} is not NAME=VALUE", common.WRONG)
        wanted[key] = common.json_or_text(value)
    with common.api() as client:
        body = {
            "organization_id": common.organization(client, organization),
            "name": name,
            "integration_type": "mqtt_hosted" if broker is None else "mqtt_external",
            "settings": wanted,
        }
        common.show(client.call("upsert_integration", body), json=json)


@app.command("list")
def list_all(organization: Organization = None, json: Json = False) -> None:
    """List the integrations of your organizations, or of one."""
    with common.api() as client:
        query = {"order": "name"}
        if organization is not None:
            query["organization_id"] = f"eq.{common.organization(client, organization)}"
        rows = client.rows("device_integrations", query)
        common.show_all(rows, ("name", "integration_type", "status", "status_detail", "id"), json=json)


@app.command("show")
def show(integration: Integration, json: Json = False) -> None:
    """Show an integration with its settings, without secrets."""
    with common.api() as client:
        common.show(common.find(client, "device_integrations", integration, "name"), json=json)


@app.command("remove")
def remove(
    integration: Integration,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Delete an integration with its logins, devices and subscriptions, as an admin. The history stays until its retention ends."""
    with common.api() as client:
        row = common.find(client, "device_integrations", integration, "name")
        common.confirm(f"Delete {row['name']} with its logins, devices and subscriptions?", yes=yes)
        common.show(client.call("delete_integration", {"integration_id": row["id"]}), json=json)


@devices.command("add")
def add_device(
    integration: Integration,
    device: Annotated[str, typer.Argument(help="Its id in topics.")],
    name: Annotated[str | None, typer.Option(help="Its name, for people.")] = None,
    json: Json = False,
) -> None:
    """Register a device, or change its name."""
    with common.api() as client:
        integration_id = common.find(client, "device_integrations", integration, "name")["id"]
        common.show(client.call("sync_device", {"integration_id": integration_id, "external_id": device, "name": name}), json=json)


@devices.command("list")
def list_devices(
    integration: Annotated[str | None, typer.Option(help="Id or name of an integration.")] = None,
    organization: Annotated[str | None, typer.Option(help="Id or slug of an organization.")] = None,
    json: Json = False,
) -> None:
    """List the devices of your organizations, of one, or of one integration."""
    with common.api() as client:
        places: list[dict[str, Any]]
        if integration is not None:
            places = [{"integration_id": common.find(client, "device_integrations", integration, "name")["id"]}]
        elif organization is not None:
            places = [{"organization_id": common.organization(client, organization)}]
        else:
            # The API lists those of one organization at a time.
            places = [{"organization_id": row["id"]} for row in client.rows("organizations", {"select": "id", "order": "slug"})]
        rows = [row for place in places for row in _devices(client, place)]
        common.show_all(rows, ("external_id", "name", "last_seen_at", "last_data", "id"), json=json)


def _devices(client: Api, place: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor = None
    while True:
        answer = client.call("list_devices", {"limit": PAGE, "cursor": cursor, **place})
        rows += answer["devices"]
        cursor = answer["next_cursor"]
        if cursor is None:
            return rows


@devices.command("show")
def show_device(
    device: Annotated[str, typer.Argument(help="Id of the device, or its id in topics.")],
    integration: Annotated[str | None, typer.Option(help="Id or name of its integration.")] = None,
    json: Json = False,
) -> None:
    """Show a device with its newest data."""
    with common.api() as client:
        integration_id = common.find(client, "device_integrations", integration, "name")["id"] if integration else None
        common.show(client.call("get_device", {"device_id": device, "integration_id": integration_id}), json=json)


@devices.command("remove")
def remove_device(
    device: Annotated[str, typer.Argument(help="Id of the device, or its id in topics.")],
    integration: Annotated[str | None, typer.Option(help="Id or name of its integration.")] = None,
    with_data: Annotated[
        bool, typer.Option("--with-data", help="Its messages as well; else they stay until their retention ends.")
    ] = False,
    yes: deletions.Yes = False,
    wait: deletions.Wait = False,
    json: Json = False,
) -> None:
    """Delete a device, and end its logins, as an admin. A message that comes later registers it again."""
    with common.api() as client:
        integration_id = common.find(client, "device_integrations", integration, "name")["id"] if integration else None
        row = client.call("get_device", {"device_id": device, "integration_id": integration_id})
        common.confirm(f"Delete {row['external_id']} with its logins{' and its messages' if with_data else ''}?", yes=yes)
        body = {"device_id": row["id"], "organization_id": row["organization_id"], "with_data": with_data}
        deletions.finish(client, client.call("delete_device", body), wait=wait, json=json)
