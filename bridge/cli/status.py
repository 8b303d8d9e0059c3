"""Which bridges are running, what each holds, and how long the queues are."""

from typing import Annotated, Any

import typer
from rich.table import Table

from bridge.cli import common
from bridge.cli.common import seconds, text

_STYLES = {"active": "green", "error": "red", "inactive": "dim"}


def status(
    json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object.")] = False,
) -> None:
    """Show which bridges are running, which integrations each holds, whether their brokers can be reached and why not, and the queues.

    Exit code 0 if a bridge is running, every active integration is held and connected, and ingest is open; otherwise 1.

    \b
    Examples:
      topicbase status
      topicbase status --json | jq '.integrations[] | select(.status == "error") | .reason'
      watch --color topicbase status
    """
    with common.database("status") as database:
        found = common.ask(database, database.status)
    if json:
        common.as_json(found)
    else:
        _show(found)
    live = any(bridge["is_live"] for bridge in found["bridges"])
    wanting = [one for one in found["integrations"] if one["status"] == "error" or (one["status"] == "active" and one["bridge"] is None)]
    if not live or wanting or found["ingest_pause"] or found["publish_pause"]:
        raise typer.Exit(common.NO)


def _show(found: dict[str, Any]) -> None:
    console = common.console()
    bridges = Table("bridge", "version", "started", "integrations", "state", title="Bridges", title_justify="left")
    for one in found["bridges"]:
        quiet = one["silent_seconds"] > 8
        state = (
            "[red]gone[/]"
            if not one["is_live"]
            else f"[yellow]silent for {seconds(one['silent_seconds'])}[/]"
            if quiet
            else "[green]running[/]"
        )
        bridges.add_row(text(one["name"]), text(one["version"]), text(one["started_at"][:19]), str(one["integrations"]), state)
    console.print(
        bridges if found["bridges"] else "No bridge is known: nothing is stored, published or received until one runs (topicbase run)."
    )
    integrations = Table(
        "organization",
        "integration",
        "type",
        "broker",
        "status",
        "held by",
        "waiting",
        "reason",
        title="Integrations",
        title_justify="left",
    )
    for one in found["integrations"]:
        style = _STYLES.get(one["status"], "")
        integrations.add_row(
            text(one["organization"]), text(one["name"]), text(one["integration_type"]), text(one["broker"]),
            f"[{style}]{one['status']}[/]", text(one["bridge"]), str(one["outbound_waiting"]), text(one["reason"]),
        )  # fmt: skip
    if found["integrations"]:
        console.print(integrations)
    queues = Table("queue", "messages", "oldest waiting", title="Queues", title_justify="left")
    for name, one in found["queues"].items():
        queues.add_row(name, str(one["messages"]), seconds(one["oldest_seconds"]))
    console.print(queues)
    if found["ingest_pause"]:
        console.print(f"[red]Ingest is refused:[/] {text(found['ingest_pause'])}")
    if found["publish_pause"]:
        console.print(f"[red]mqtt_publish is refused:[/] {text(found['publish_pause'])}")
    sealing = found["sealing"]
    if other := sum(count for name, count in sealing["sealed"].items() if name != sealing["key"]):
        console.print(f"{other} secrets are not sealed to the current key: topicbase reseal")
