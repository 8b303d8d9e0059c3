"""The reconciliation at the end: what devices and app counted, beside what the database holds."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from demo import reckoning
from demo.commands import Commander
from demo.devices.base import Device
from demo.devices.http import HttpDevice
from demo.stack import App, Stack
from demo.tenant import Tenant

Check = tuple[str, Sequence[str]]  # what holds, and what speaks against it


class Reconciliation:
    def __init__(
        self, stack: Stack, tenant: Tenant, run_id: str, started_at: str, devices: Sequence[Device], *, again_allowed: bool
    ) -> None:
        self._service = App(stack, "service_role")
        self._admin = tenant.admin
        self._organization_id = tenant.organization["id"]
        self._started_at = started_at
        self._filters = {"received_at": f"gte.{started_at}", "payload->>run": f"eq.{run_id}"}
        self._devices = devices
        self._again_allowed = again_allowed

    def print(self, commander: Commander, console: Console, say: Callable[[str], None]) -> bool:
        """Compares the books and prints them; true if they add up."""
        select = "topic,direction,seq:payload->seq,command:payload->command,sent:payload->id"
        rows = self._admin.rows("mqtt_messages", select=select, **self._filters)
        incoming = [row for row in rows if row["direction"] == "incoming"]
        outgoing = Counter(row["sent"] for row in rows if row["direction"] == "outgoing")
        lines = [self._line(device, incoming) for device in self._devices]
        counted = len([row for row in incoming if row["seq"] is not None]) + sum(outgoing.values())
        checks = [*self._checks(len(rows), counted), self._commands(commander, incoming, outgoing)]
        self._print_lines(lines, console, say)
        for text, faults in checks:
            console.print("[green]ok[/green]   " if not faults else "[red]WRONG[/red]", end="")
            say(text)
            for fault in faults:
                say(f"      {fault}")
        for found in lines:
            for fault in found.faults:
                say(f"{found.name}: {fault}")
        return not any(found.faults for found in lines) and not any(faults for _, faults in checks)

    def _line(self, device: Device, incoming: Sequence[dict[str, Any]]) -> reckoning.Line:
        accepted, rejected = device.counts.numbers()
        sender = reckoning.Sender(
            device.device_id, device.prefix, device.counts.sent, frozenset(accepted), frozenset(rejected), tuple(device.counts.errors)
        )
        own = [row for row in incoming if row["topic"].startswith(device.prefix + "/")]
        # Over HTTP, a client's message ids prevent storing twice in any case; MQTT promises at least once.
        return reckoning.line(sender, own, again_allowed=self._again_allowed and not isinstance(device, HttpDevice))

    def _commands(self, commander: Commander, incoming: Sequence[dict[str, Any]], outgoing: Counter[Any]) -> Check:
        sent = commander.commands.sent
        books = reckoning.CommandBooks(
            sent=frozenset(sent),
            receipts=Counter(commander.receipts(5).values()),
            heard=Counter(number for device in self._devices for number in device.commands),
            outgoing=outgoing,
            answered=Counter(row["command"] for row in incoming if row["topic"].endswith("/acks")),
            errors=tuple(commander.commands.errors),
        )
        story = (
            f"{len(sent)} commands = {books.receipts['acknowledged']} receipts acknowledged = {len(books.heard)} heard"
            f" = {len(books.answered)} answered; {len(commander.commands.refused)} bad calls refused"
        )
        return story, reckoning.command_faults(books, again_allowed=self._again_allowed)

    def _checks(self, visible: int, counted: int) -> list[Check]:
        """The checks that are not about one device."""
        # By service_role, which sees all organizations: a message that got where it should not be would be one row more.
        everywhere = len(self._service.rows("mqtt_messages", select="id", **self._filters))
        ledger = self._service.do("check_mqtt_ledger")
        stats = self._admin.do("get_mqtt_queue_stats", org_id=self._organization_id)
        dead = self._admin.rows("mqtt_dead_letters", select="topic,error_message", received_at=f"gte.{self._started_at}")
        return [
            (
                f"{everywhere} rows of this run in the history, all counted above or as commands",
                [] if everywhere == visible == counted else [f"{everywhere} in all, {visible} in this organization, {counted} counted"],
            ),
            ("the queue is empty", [] if stats["pending"] == 0 else [f"{stats['pending']} wait"]),
            ("no dead letters", [f"{row['topic']}: {row['error_message']}" for row in dead]),
            ("api.check_mqtt_ledger finds no difference", [str(row) for row in ledger]),
        ]

    def _print_lines(self, lines: Sequence[reckoning.Line], console: Console, say: Callable[[str], None]) -> None:
        table = Table(
            title="Reconciliation: sent = stored + rejected",
            box=box.SIMPLE_HEAD if console.is_terminal else box.ASCII2,
            show_footer=True,
        )
        table.add_column("device", "all")
        table.add_column("how it sent")
        for title, value in (
            ("sent", sum(found.sent for found in lines)),
            ("stored", sum(found.stored for found in lines)),
            ("rejected", sum(found.rejected for found in lines)),
        ):
            table.add_column(title, str(value), justify="right")
        table.add_column("")
        for found, device in zip(lines, self._devices, strict=True):
            verdict = "[green]adds up[/green]" if not found.faults else "[red]WRONG[/red]"
            table.add_row(found.name, device.way, str(found.sent), str(found.stored), str(found.rejected), verdict)
        console.print(table)
        if again := sum(found.again for found in lines):
            say(f"stored more than once, as MQTT allows when a bridge is killed: {again}")
        reasons = Counter(reason for device in self._devices for reason in device.counts.numbers()[1].values())
        if reasons:
            say("rejected on purpose: " + ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items())))
