"""API keys: what apps call the API with."""

from typing import Annotated

import typer

from bridge.cli import common
from bridge.cli.organizations import Json, Organization

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="API keys: what apps call the API with, as X-API-Key.")


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Its name: which app has it.")],
    organization: Organization = None,
    scope: Annotated[str, typer.Option(help="read, publish or admin; each may do what those before it may.")] = "read",
    integration: Annotated[list[str] | None, typer.Option(help="Id or name of an integration: it sees these only.")] = None,
    expires_at: Annotated[str | None, typer.Option(help="When it ends, such as 2030-01-01T00:00:00Z.")] = None,
    json: Json = False,
) -> None:
    """Make a key, as an admin. The key is shown here only; the database keeps a hash.

    \b
    Example:
      topicbase keys add dashboard --integration 'Hosted broker'
    """
    with common.api() as client:
        body = {
            "organization_id": common.organization(client, organization), "name": name, "scope": scope,
            "expires_at": common.time_of("--expires-at", expires_at),
            "integration_ids": [common.find(client, "device_integrations", one, "name")["id"] for one in integration or []] or None,
        }  # fmt: skip
        common.show(client.call("create_api_key", body), json=json)


@app.command("list")
def list_all(organization: Organization = None, json: Json = False) -> None:
    """List keys, newest first: how each begins, never the whole."""
    with common.api() as client:
        rows = client.call("list_api_keys", {"organization_id": common.organization(client, organization)})
        common.show_all(rows, ("name", "scope", "key_start", "expires_at", "last_used_at", "id"), json=json)


@app.command("remove")
def remove(key: Annotated[str, typer.Argument(help="Id of the key, as `keys list` shows it.")], json: Json = False) -> None:
    """Revoke a key: its next request is refused."""
    with common.api() as client:
        common.show(client.call("revoke_api_key", {"key_id": common.id_of("KEY", key, "`keys list` shows them")}), json=json)
