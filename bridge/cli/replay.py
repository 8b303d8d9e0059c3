"""Replays: dead letters into the queue, stored messages to a broker."""

from datetime import datetime
from typing import Annotated, Any

import typer

from bridge.api import Api, ApiError, UnreachableError
from bridge.cli import common

BATCH = 1000
MOST = 100000  # that a call takes

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be replayed.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON.")]


@app.callback()
def _replay() -> None:
    """Replay messages, as an admin of the organization.

    \b
    Examples:
      export TOPICBASE_API_URL=https://api.example.com TOPICBASE_TOKEN_FILE=~/.topicbase-token
      topicbase replay dead-letters demo --error timeout --dry-run
      topicbase replay messages plant 'org_demo/devices/+/telemetry' --since 2030-01-01 --to lab --rate 50
    """


@app.command("dead-letters")
def dead_letters(
    organization: Annotated[str, typer.Argument(help="Id or slug of the organization.")],
    topic: Annotated[str | None, typer.Option(help="Topic filter.")] = None,
    error: Annotated[str | None, typer.Option(help="Part of the error's text.")] = None,
    since: Annotated[str | None, typer.Option(help="Failed at or after this time.")] = None,
    until: Annotated[str | None, typer.Option(help="Failed before this time.")] = None,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Only these, even if replayed before; may be given several times.")] = None,
    patch: Annotated[
        str | None, typer.Option(help="JSON object that replaces topic, payload, qos, retain or content_type of each.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="Id or name of the integration that gets them; default: each its own.")] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Put dead letters back into the queue, each only once unless it is named by --id.

    All that match are replayed, however many; not those that fail, or fail again, meanwhile. It works in batches, each committed on its
    own: if killed and started again, it goes on with the rest.
    Exit code 0 when all that matched were replayed, 1 when the API refused.

    \b
    Examples:
      topicbase replay dead-letters demo --dry-run
      topicbase replay dead-letters demo --topic 'org_demo/#' --error integration_inactive --yes
      topicbase replay dead-letters demo --error payload --patch '{"content_type": "application/json"}'
    """
    changes = None if patch is None else common.json_or_text(patch)
    if changes is not None and not isinstance(changes, dict):
        common.fail(f"--patch {patch} is not a JSON object", common.WRONG)
    with common.api() as client:
        body: dict[str, Any] = {
            "organization_id": common.find(client, "organizations", organization, "slug")["id"],
            "topic": topic, "error": error, "since": common.time_of("--since", since), "until": common.time_of("--until", until),
            "ids": [common.id_of("--id", one, "--dry-run shows them") for one in ids or []] or None, "patch": changes,
            "to_integration_id": common.find(client, "device_integrations", to, "name")["id"] if to else None,
        }  # fmt: skip
        plan = client.call("replay_mqtt_dead_letters", {**body, "dry_run": True, "limit": MOST})
        _agree(plan, dry_run=dry_run, yes=yes, json=json)
        replayed = _put_back(client, body, plan)
    common.as_json({"replayed": replayed}) if json else typer.echo(f"{replayed} replayed")


def _put_back(client: Api, body: dict[str, Any], plan: dict[str, Any]) -> int:
    """Replay in batches what matches and had failed when the plan was made; returns how many there were."""
    # What fails again is a dead letter again, and would be replayed for ever. This is when that was, by the database's clock.
    planned_at = plan["messages"][0]["due_at"]
    body = {**body, "until": min((planned_at, body["until"] or planned_at), key=datetime.fromisoformat)}
    # Those named by --id go in one call: a second one would replay them again.
    limit = MOST if body["ids"] else BATCH
    replayed = 0
    with common.progress("replaying", plan["matched"] if _is_all(plan) else None) as done:
        while True:
            try:
                answer = client.call("replay_mqtt_dead_letters", {**body, "limit": limit})
            except (ApiError, UnreachableError):
                if replayed:
                    typer.echo(f"topicbase: {replayed} replayed; the same command goes on with the rest", err=True)
                raise
            replayed += int(answer["replayed"])
            done(answer["replayed"])
            if body["ids"] or answer["matched"] < limit:
                return replayed


@app.command("messages")
def messages(
    integration: Annotated[str, typer.Argument(help="Id or name of the integration that received them.")],
    topic: Annotated[str, typer.Argument(help="Topic filter.")],
    since: Annotated[str, typer.Option(help="Received at or after this time, such as 2030-01-01T00:00:00Z.")],
    until: Annotated[str | None, typer.Option(help="Received before this time; default: now.")] = None,
    to: Annotated[str | None, typer.Option(help="Id or name of the integration whose broker gets them; default: the same.")] = None,
    to_topic: Annotated[str | None, typer.Option(help="Topic to publish to; {topic} stands for the original one.")] = None,
    rate: Annotated[float, typer.Option(min=0.01, help="Messages per second.")] = 100,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Publish stored messages again, to the same broker or another one, at a bounded rate.

    At most 100,000 per call, the oldest first; it says when there may be more. Each carries the MQTT 5 user property replay_of.

    \b
    Example:
      topicbase replay messages plant 'org_demo/devices/pump/#' --since 2030-01-01 --to lab --to-topic 'replay/{topic}'
    """
    with common.api() as client:
        body: dict[str, Any] = {
            "integration_id": common.find(client, "device_integrations", integration, "name")["id"],
            "to_integration_id": common.find(client, "device_integrations", to, "name")["id"] if to else None,
            "topic": topic, "since": common.time_of("--since", since), "until": common.time_of("--until", until), "to_topic": to_topic,
            "max_per_second": rate, "limit": MOST,
        }  # fmt: skip
        plan = client.call("replay_mqtt_messages", {**body, "dry_run": True})
        if not _is_all(plan):
            typer.echo(
                f"topicbase: a call replays {MOST:,}, the oldest first: if there are more, choose times with --since and --until"
                " of which there are fewer",
                err=True,
            )
        _agree(plan, dry_run=dry_run, yes=yes, json=json)
        answer = client.call("replay_mqtt_messages", body)
    if json:
        common.as_json({"replayed": answer["replayed"], "until": answer["until"], "more": not _is_all(answer)})
    else:
        typer.echo(f"{answer['replayed']} queued, the last one due at {answer['until']}")


def _is_all(answer: dict[str, Any]) -> bool:
    """Whether no more can match than were counted."""
    return bool(answer["matched"] < MOST)


def _agree(plan: dict[str, Any], *, dry_run: bool, yes: bool, json: bool) -> None:
    """Show what would be done, and go on only if that is wanted."""
    if dry_run and json:
        common.as_json({"matched": plan["matched"], "messages": plan["messages"], "more": not _is_all(plan)})
    elif dry_run or not yes:
        for one in plan["messages"][:10]:
            typer.echo(f"{one['id']} {one['topic']}", err=not dry_run)
        typer.echo(f"{plan['matched']}{'' if _is_all(plan) else ' or more'} messages match", err=not dry_run)
    if dry_run or not plan["matched"]:
        if not dry_run:
            common.as_json({"replayed": 0}) if json else typer.echo("0 replayed")
        raise typer.Exit(0)
    common.confirm("Replay them?", yes=yes)
