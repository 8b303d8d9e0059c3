"""Credentials of devices, and tokens of users."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge import tokens
from bridge.api import Api
from bridge.cli import common
from bridge.cli.integrations import Integration
from bridge.cli.organizations import USER_HINT, Json
from bridge.settings import SettingsError, secret_of_file

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Credentials: the logins of devices, over HTTP and MQTT.")
token = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Tokens: what users and apps call the API with.")

Credential = Annotated[str, typer.Argument(help="Id or username of the credential.")]


@app.command("add")
def add(
    integration: Integration,
    device: Annotated[str | None, typer.Option(help="The device it is for, by its id in topics; it is registered if it is new.")] = None,
    topic_prefix: Annotated[
        str | None, typer.Option(help="It may use the topics below; default: the device's, or the organization's.")
    ] = None,
    client_id: Annotated[str | None, typer.Option(help="The MQTT client id; default: one is made up.")] = None,
    expires_at: Annotated[str | None, typer.Option(help="When it ends, such as 2030-01-01T00:00:00Z.")] = None,
    json: Json = False,
) -> None:
    """Give a device a login, as an admin. The password is shown here only; the database keeps hashes.

    \b
    Example:
      topicbase credentials add 'Hosted broker' --device sensor01
    """
    with common.api() as client:
        integration_id = common.find(client, "device_integrations", integration, "name")["id"]
        if device is not None:
            client.call("sync_device", {"integration_id": integration_id, "external_id": device})
        body = {
            "integration_id": integration_id, "external_id": device, "topic_prefix": topic_prefix, "client_id": client_id,
            "expires_at": common.time_of("--expires-at", expires_at),
        }  # fmt: skip
        common.show(client.call("generate_mqtt_credentials", body), json=json)


@app.command("list")
def list_all(integration: Annotated[str | None, typer.Argument(help="Id or name of an integration.")] = None, json: Json = False) -> None:
    """List logins, newest first, without passwords."""
    with common.api() as client:
        integration_id = common.find(client, "device_integrations", integration, "name")["id"] if integration else None
        rows = client.call("get_mqtt_credentials", {"integration_id": integration_id})
        common.show_all(rows, ("username", "topic_prefix", "status", "last_connected_at", "id"), json=json)


@app.command("show")
def show(credential: Credential, json: Json = False) -> None:
    """Show a login, without its password."""
    with common.api() as client:
        common.show(_find(client, credential), json=json)


@app.command("rotate")
def rotate(
    credential: Credential,
    grace: Annotated[str, typer.Option(help="For how long the old password still works over HTTP, such as '1 day'.")] = "0",
    json: Json = False,
) -> None:
    """Give a login a new password, which is shown here only."""
    with common.api() as client:
        body = {"credential_id": _find(client, credential)["id"], "grace": grace}
        common.show(client.call("rotate_mqtt_credentials", body), json=json)


@app.command("remove")
def remove(credential: Credential, json: Json = False) -> None:
    """Revoke a login: HTTP rejects it from the next request, the hosted broker within a second or two."""
    with common.api() as client:
        common.show(client.call("revoke_mqtt_credentials", {"credential_id": _find(client, credential)["id"]}), json=json)


@app.command("delete")
def delete(credential: Credential, json: Json = False) -> None:
    """Delete a login that was revoked or has expired, as an admin."""
    with common.api() as client:
        common.show(client.call("delete_mqtt_credentials", {"credential_id": _find(client, credential)["id"]}), json=json)


def _find(client: Api, wanted: str) -> dict[str, Any]:
    return common.find(client, "mqtt_credentials", wanted, "username")


@token.command("add")
def add_token(
    user: Annotated[str | None, typer.Option(help="Id of the user it is for: its `sub`.")] = None,
    role: Annotated[str, typer.Option(help="authenticated, or service_role for the backend, which may do everything.")] = "authenticated",
    days: Annotated[float, typer.Option(min=0.0001, help="How long it is valid.")] = 1,
    file: Annotated[Path | None, typer.Option(help="Write it to this file, mode 600, instead of printing it.")] = None,
) -> None:
    """Make a token, as your login service would, signed with the secret in TOPICBASE_JWT_SECRET_FILE.

    The API keeps no list of tokens: one is valid until it expires, or until PostgREST's `jwt-secret` changes.

    \b
    Example:
      export TOPICBASE_TOKEN=$(topicbase token add --user 7b1f7b0e-7b8a-4c39-9a0c-1d6f2f7f3c11)
    """
    try:
        values = common.source().values()
        path = values.get("TOPICBASE_JWT_SECRET_FILE")
        secret = secret_of_file("TOPICBASE_JWT_SECRET_FILE", path).strip() if path else None
    except SettingsError as error:
        common.fail(str(error), common.WRONG)
    if not secret:
        common.fail("TOPICBASE_JWT_SECRET_FILE must name a file that holds PostgREST's `jwt-secret`", common.WRONG)
    if role == "authenticated" and user is None:
        common.fail("--user is missing: the API finds a user's organizations by it", common.WRONG)
    if user is not None:
        common.id_of("--user", user, USER_HINT)
    claims = {"role": role, "aud": values.get("TOPICBASE_JWT_AUDIENCE") or "topicbase", **({} if user is None else {"sub": user})}
    made = tokens.make(secret, tokens.lifetime(days, claims))
    if file is None:
        typer.echo(made)
        return
    write_private(file, made + "\n")


def write_private(path: Path, text: str) -> None:
    """A file that only its owner can read, replacing an older one."""
    new = path.with_name(path.name + ".new")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123  # its mode
            file.write(text)
        new.replace(path)
    except OSError as error:
        common.fail(f"{path} cannot be written: {error.strerror}", common.WRONG)


@token.command("show")
def show_token(json: Json = False) -> None:
    """Show what the token in use says, and whether the API accepts it. Exit code 1 if it has expired."""
    with common.api() as client:
        claims = tokens.claims_of(client.token)
        ends = claims.get("exp")
        is_over = isinstance(ends, int | float) and ends < time.time()
        if not json and isinstance(ends, int | float):
            claims["exp"] = f"{datetime.fromtimestamp(ends, UTC).isoformat()}{' (expired)' if is_over else ''}"
        common.show(claims, json=json)
        if is_over:
            raise typer.Exit(common.NO)
        client.rows("organizations", {"limit": "1"})
