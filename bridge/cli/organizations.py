"""Organizations, and the users who belong to them."""

import re
import sys
from typing import Annotated

import typer

from bridge.api import ApiError
from bridge.cli import common

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Organizations: the tenants of an installation.")
members = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Members: the users who belong to an organization.")

Json = Annotated[bool, typer.Option("--json", help="As JSON, a row per line.")]
Organization = Annotated[str | None, typer.Option(help="Id or slug of the organization; default: the only one you belong to.")]
USER_HINT = "it is the `sub` of the user's tokens"
User = Annotated[str, typer.Argument(help="Id of the user: the `sub` of their tokens.")]


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Its name, for people.")],
    slug: Annotated[str | None, typer.Option(help="Its topics begin with org_<slug>; default: made of the name.")] = None,
    admin: Annotated[str | None, typer.Option(help="Id of the user who becomes its first admin.")] = None,
    json: Json = False,
) -> None:
    """Create an organization, as an operator or with a token of role service_role.

    \b
    Example:
      topicbase org add Acme --admin 7b1f7b0e-7b8a-4c39-9a0c-1d6f2f7f3c11
    """
    with common.api() as client:
        admin_id = None if admin is None else common.id_of("--admin", admin, USER_HINT)
        body = {"name": name, "slug": common.slug_of(name) if slug is None else slug, "admin_user_id": admin_id}
        common.show(client.call("create_organization", body), json=json)


@app.command("list")
def list_all(json: Json = False) -> None:
    """List the organizations you belong to; with a token of role service_role, all."""
    with common.api() as client:
        common.show_all(client.rows("organizations", {"order": "slug"}), ("slug", "name", "role", "topic_prefix", "id"), json=json)


@app.command("show")
def show(organization: Annotated[str, typer.Argument(help="Id or slug.")], json: Json = False) -> None:
    """Show an organization with its limits."""
    with common.api() as client:
        common.show(common.find(client, "organizations", organization, "slug"), json=json)


@app.command("usage")
def usage(
    since: Annotated[str | None, typer.Option(help="From when on, as RFC 3339; default: an hour ago.")] = None,
    until: Annotated[str | None, typer.Option(help="Until when; default: now.")] = None,
    json: Json = False,
) -> None:
    """Show what each organization uses, those with the most bytes first, as an operator; with --json its limits, too."""
    columns = (
        "slug",
        "accepted",
        "queued",
        "dead",
        "bytes",
        "processing_seconds",
        "connections",
        "stream_connections",
        "logins",
        "integrations",
        "devices",
    )
    times = {"since": common.time_of("--since", since), "until": common.time_of("--until", until)}
    with common.api() as client:
        common.show_all(client.call("get_organization_usage", times), columns, json=json)


@app.command("limit")
def limit(
    organization: Annotated[str, typer.Argument(help="Id or slug.")],
    limits: Annotated[list[str], typer.Argument(help="NAME=VALUE, or NAME=none for the installation's.", metavar="LIMIT...")],
    json: Json = False,
) -> None:
    """Set some limits of an organization, with a token of role service_role; the others stay as they are.

    \b
    Example:
      topicbase org limit acme max_bytes_per_second=100000 max_calls=5 max_queued=none
    """
    with common.api() as client:
        row = common.find(client, "organizations", organization, "slug")
        body = {name: value for name, value in row.items() if name.startswith("max_") or name.endswith("_days")}
        for entry in limits:
            name, _, value = entry.partition("=")
            if name not in body or not re.fullmatch(r"none|[0-9]+(\.[0-9]+)?", value):
                common.fail(f"{entry} is not NAME=VALUE: the names are {', '.join(body)}; a value is a number, or none", common.WRONG)
            body[name] = None if value == "none" else float(value) if "." in value else int(value)
        common.show(client.call("set_organization_limits", {"organization_id": row["id"], **body}), json=json)


@app.command("remove")
def remove(
    organization: Annotated[str, typer.Argument(help="Id or slug.")],
    confirm: Annotated[str | None, typer.Option(help="Its name, to be sure; asked for on a terminal.")] = None,
    json: Json = False,
) -> None:
    """Delete an organization with everything that it has, as an admin of it or an operator.

    At once it has no members any longer and its devices are disconnected; the rest follows. `topicbase delete show` shows how far that is.
    """
    with common.api() as client:
        row = common.find(client, "organizations", organization, "slug")
        if confirm is None:
            if not sys.stdin.isatty():
                common.fail("there is no terminal to ask on: use --confirm NAME", common.WRONG)
            confirm = typer.prompt(f"This deletes all that {row['slug']} has. Its name, to confirm", err=True)
        if confirm != row["name"]:
            common.fail(f"{confirm} is not its name", common.WRONG)
        common.show(client.call("delete_organization", {"organization_id": row["id"], "confirm": confirm}), json=json)


@members.command("add")
def add_member(
    user: User,
    organization: Organization = None,
    role: Annotated[str, typer.Option(help="member reads and publishes; admin manages.")] = "member",
    json: Json = False,
) -> None:
    """Invite a user to an organization, or change the role of a member, as an admin; service_role adds users at once.

    Who is invited becomes a member with `topicbase members accept`, with a token of their own.
    """
    user_id = common.id_of("USER", user, USER_HINT)
    with common.api() as client:
        body = {"organization_id": common.organization(client, organization), "user_id": user_id, "role": role}
        common.show(client.call("add_organization_member", body), json=json)


@members.command("invitations")
def list_invitations(organization: Organization = None, json: Json = False) -> None:
    """List the invitations to you; with --organization, as an admin, those of the organization.

    `topicbase members accept ORGANIZATION_ID` accepts one, `topicbase members remove YOUR_ID --organization ORGANIZATION_ID` declines
    it.
    """
    with common.api() as client:
        body = {} if organization is None else {"organization_id": common.organization(client, organization)}
        found = client.call("list_organization_invitations", body)
        common.show_all(found, ("organization_id", "organization_name", "user_id", "role", "created_at"), json=json)


@members.command("accept")
def accept_invitation(
    organization: Annotated[str, typer.Argument(help="Id of the organization, as `members invitations` lists it.")], json: Json = False
) -> None:
    """Accept an invitation to an organization, as the user who was invited."""
    organization_id = common.id_of("ORGANIZATION", organization, "`members invitations` shows it")
    with common.api() as client:
        common.show(client.call("accept_organization_invitation", {"organization_id": organization_id}), json=json)


@members.command("list")
def list_members(organization: Organization = None, json: Json = False) -> None:
    """List the members of an organization and, as an admin, those who are invited to it and have not accepted yet."""
    with common.api() as client:
        organization_id = common.organization(client, organization)
        found = client.rows("organization_members", {"organization_id": f"eq.{organization_id}", "order": "created_at"})
        try:
            invited = client.call("list_organization_invitations", {"organization_id": organization_id})
        except ApiError as error:
            if error.status != 403:  # for admins
                raise
            invited = []
        rows = [{**row, "status": "member"} for row in found] + [{**row, "status": "invited"} for row in invited]
        common.show_all(rows, ("user_id", "role", "status", "created_at"), json=json)


@members.command("show")
def show_member(user: User, organization: Organization = None, json: Json = False) -> None:
    """Show a member: the role, and since when."""
    user_id = common.id_of("USER", user, USER_HINT)
    with common.api() as client:
        query = {"organization_id": f"eq.{common.organization(client, organization)}", "user_id": f"eq.{user_id}"}
        rows = client.rows("organization_members", query)
        if not rows:
            common.fail(f"there is no member {user} that you may see")
        common.show(rows[0], json=json)


@members.command("remove")
def remove_member(
    user: User,
    organization: Organization = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Remove a user from an organization, as an admin, or leave it yourself; withdraws or declines an invitation, too.

    You may leave as the last admin: only service_role can then add another.
    """
    user_id = common.id_of("USER", user, USER_HINT)
    with common.api() as client:
        organization_id = organization if organization and common.ID.fullmatch(organization) else common.organization(client, organization)
        admins = client.rows("organization_members", {"organization_id": f"eq.{organization_id}", "role": "eq.admin"})
        is_last = [one["user_id"] for one in admins] == [user_id.lower()]
        common.confirm(f"Remove {user} from the organization?{' It has no other admin.' if is_last else ''}", yes=yes)
        body = {"organization_id": organization_id, "user_id": user_id}
        common.show(client.call("remove_organization_member", body), json=json)
