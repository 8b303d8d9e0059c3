"""`python -m demo`: the demo on a running stack; bin/demo starts the stack first."""

import argparse
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from paho.mqtt.enums import MQTTProtocolVersion
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from demo import reckoning
from demo.broker import Broker
from demo.commands import Commander
from demo.devices import BatchDevice, Device, GatewayDevice, HttpDevice, Login, MosquittoDevice, PahoDevice, Setup
from demo.outage import Outage
from demo.readings import Machine, Reading
from demo.show import Show
from demo.stack import App, DemoError, Stack, find_stack
from demo.watch import Watcher

ORGANIZATION = ("Showcase", "showcase")
ADMIN = str(uuid.uuid5(uuid.NAMESPACE_URL, "https://topicbase.example/demo/admin"))
HOSTED, EXTERNAL = "Hosted broker", "Plant broker"
PLANT = "plant"  # what topics at the external broker begin with


class Demo:
    def __init__(self, stack: Stack, seconds: float, console: Console, *, is_live: bool, kills_bridge: bool) -> None:
        self.stack = stack
        self.kills_bridge = kills_bridge
        self.seconds = seconds
        self.console = console
        self.is_live = is_live
        self.run_id = secrets.token_hex(4)
        self.started_at = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        self.service = App(stack, "service_role")
        self.admin = App(stack, "authenticated", ADMIN)
        self.broker = Broker(stack)
        self.devices: list[Device] = []
        self.credential_ids: list[str] = []
        self.organization: dict[str, Any] = {}
        self.hosted: dict[str, Any] = {}
        self.external: dict[str, Any] = {}
        self.stop_devices = threading.Event()
        self.stop_commands = threading.Event()
        self.stop_watching = threading.Event()
        self.ended_early = threading.Event()
        self._directory = Path(tempfile.mkdtemp(prefix="topicbase-demo."))

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    # ------------------------------------------------------------------------------------------------------------ provisioning

    def provision(self) -> None:
        """An organization with a hosted and an external integration and a login for each device, as an app would make them."""
        name, slug = ORGANIZATION
        answer = self.service.call("create_organization", name=name, slug=slug, admin_user_id=ADMIN)
        if answer.ok:
            self.organization = answer.json()
        elif answer.status_code == 409:  # by an earlier run
            self.organization = self.service.rows("organizations", slug=f"eq.{slug}")[0]
            self.service.do("add_organization_member", organization_id=self.organization["id"], user_id=ADMIN, role="admin")
        else:
            raise DemoError(f"create_organization answered {answer.status_code}: {answer.text}")
        self.say(f"organization   {name}: topics start with {self.organization['topic_prefix']}/")
        existing = {
            row["name"]: row["id"] for row in self.admin.rows("device_integrations", organization_id=f"eq.{self.organization['id']}")
        }
        self.hosted = self._integration(HOSTED, "mqtt_hosted", existing, {})
        self.say(f"integration    {HOSTED}: Mosquitto of the stack, {self.stack.env['MQTT_URL']}")
        self.broker.start()
        self.external = self._integration(
            EXTERNAL,
            "mqtt_external",
            existing,
            {
                "broker_url": self.broker.url,
                "username": "bridge",
                "password": self.broker.passwords["bridge"],
                "topic_pattern": f"{PLANT}/{{device_id}}/{{message_type}}",
            },
        )
        request = self.admin.do("mqtt_test_connection", integration_id=self.external["id"])
        verdict = self.admin.do("get_mqtt_request", request_id=request["request_id"], wait=15)["result"] or {}
        if not verdict.get("ok"):
            raise DemoError(f"the external broker cannot be reached: {verdict.get('reason', 'the bridge did not answer')}")
        self.say(f"integration    {EXTERNAL}: a second Mosquitto, {self.broker.url}; connection test: {self._verdict(verdict)}")
        self.admin.do("mqtt_subscribe", integration_id=self.external["id"], topic=f"{PLANT}/#", qos=2)
        self._wait_for_subscriptions()

    @staticmethod
    def _verdict(verdict: dict[str, Any]) -> str:
        trip = next((value for key, value in verdict.items() if "round_trip" in key), None)
        return "ok" if trip is None else f"ok, {float(trip):.1f} ms there and back"

    def _integration(self, name: str, kind: str, existing: dict[str, str], settings: dict[str, Any]) -> dict[str, Any]:
        more = {"integration_id": existing[name]} if name in existing else {}
        row: dict[str, Any] = self.admin.do(
            "upsert_integration",
            organization_id=self.organization["id"],
            name=name,
            integration_type=kind,
            settings=settings,
            status="active",
            **more,
        )
        return row

    def _wait_for_subscriptions(self) -> None:
        """Until both brokers have granted what the bridge asked for: before that, nobody hears the devices."""
        ids = f"in.({self.hosted['id']},{self.external['id']})"
        deadline = time.monotonic() + 30
        while True:
            rows = self.admin.rows("mqtt_subscriptions", integration_id=ids)
            states = self.admin.rows("device_integrations", id=ids)
            if len(rows) >= 2 and all(row["status"] == "active" for row in [*rows, *states]):
                break
            if time.monotonic() > deadline:
                found = [(row["topic"], row["status"], row["status_detail"]) for row in rows]
                raise DemoError(f"the bridge's subscriptions were not granted within 30 s: {found}; see bin/stack logs bridge")
            time.sleep(0.1)

    def _login(self, name: str) -> tuple[str, Login]:
        prefix = f"{self.organization['topic_prefix']}/devices/{name}"
        row = self.admin.do(
            "generate_mqtt_credentials", integration_id=self.hosted["id"], topic_prefix=prefix, client_id=f"{name}-{self.run_id}"
        )
        self.credential_ids.append(row["id"])
        return prefix, Login(row["username"], row["password"], row["client_id"])

    def make_devices(self) -> None:
        def setup(name: str, read: Callable[[], Reading], metric: str, interval: float) -> Setup:
            prefix, login = self._login(name)
            return Setup(name, self.run_id, self.hosted["id"], prefix, login, read, metric, interval, self.stop_devices)

        address = self.stack.mqtt_address
        version_3, version_5 = MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5
        login = Login("kernel", self.broker.passwords["kernel"], f"kernel-{self.run_id}")
        plant = Setup(
            "kernel", self.run_id, self.external["id"], f"{PLANT}/kernel", login, Machine().kernel, "context_switches_per_second", 0.1,
            self.stop_devices,
        )  # fmt: skip
        self.devices = [
            HttpDevice(setup("cpu", Machine().cpu, "busy_percent", 0.2), self.stack.api_url),
            GatewayDevice(setup("memory", Machine().memory, "used_percent", 0.25), self.stack.gateway_url),
            BatchDevice(setup("disk", Machine().disk, "write_bytes_per_second", 0.05), self.stack.api_url),
            PahoDevice(setup("network", Machine().network, "received_bytes_per_second", 0.1), address=address, qos=1, version=version_5),
            MosquittoDevice(setup("system", Machine().system, "processes", 0.2), address=address, directory=self._directory),
            PahoDevice(plant, address=(self.broker.host, self.broker.port), qos=2, version=version_3),
        ]
        for device in self.devices:
            device.prepare()
        self.say("devices        " + ", ".join(f"{device.device_id} ({device.way})" for device in self.devices))

    # ----------------------------------------------------------------------------------------------------------------- the run

    def watch(self) -> tuple[Watcher, Commander]:
        """Let everything run for the time given; returns when all that was sent is stored, or no more comes."""
        watcher = Watcher(self.admin, self.run_id, self.organization["id"], self.devices, since=self.started_at, stop=self.stop_watching)
        listeners = [device for device in self.devices if device.takes_commands]
        commander = Commander(self.admin, self.run_id, listeners, 0.4, self.stop_commands)
        halfway = time.monotonic() + self.seconds / 2
        commander.misbehave_at = halfway
        for device in self.devices:
            device.misbehave_at = halfway
            device.start()
        commander.start()
        watcher.start()
        outage = Outage(self.stack, self.seconds / 3, self.stop_commands) if self.kills_bridge else None
        if outage is not None:
            outage.start()
        show = Show(self.devices, watcher, commander, outage, self.console)
        deadline = time.monotonic() + self.seconds

        def go_on() -> bool:
            watcher.issued = {number: command.issued_at for number, command in list(commander.commands.sent.items())}
            return time.monotonic() < deadline and not self.ended_early.is_set()

        with self._early_end():
            if self.is_live:
                with Live(show.table(self.seconds), console=self.console, refresh_per_second=4, transient=False) as live:
                    while go_on():
                        self.ended_early.wait(0.25)
                        live.update(show.table(max(0.0, deadline - time.monotonic())))
            else:
                pause = min(3.0, self.seconds / 5)
                next_line = time.monotonic() + pause
                while go_on():
                    if time.monotonic() >= next_line:
                        self.say(show.plain())
                        next_line += pause
                    self.ended_early.wait(0.1)
        self._wind_down(watcher, commander, outage)
        return watcher, commander

    @contextmanager
    def _early_end(self) -> Iterator[None]:
        """The first Ctrl-C (or SIGTERM) ends the run, not the reconciliation; the second ends all."""

        def end(_number: int, _frame: Any) -> None:
            if self.ended_early.is_set():
                raise KeyboardInterrupt
            self.ended_early.set()

        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _wind_down(self, watcher: Watcher, commander: Commander, outage: Outage | None) -> None:
        self.say("stopping; waiting for the last answers and rows ...")
        self.stop_commands.set()
        if outage is not None:
            outage.join(90)
            if outage.error:
                commander.commands.errors.append(outage.error)
        commander.join(35)
        commander.receipts(10)
        until(10, lambda: sum(len(device.commands) for device in self.devices) >= len(commander.commands.sent))
        self.stop_devices.set()
        for device in self.devices:
            device.join(30)
            if device.is_alive():
                device.counts.error("did not stop within 30 s")
        expected = sum(len(device.counts.numbers()[0]) for device in self.devices)
        until(20, lambda: watcher.stored >= expected)
        self.stop_watching.set()
        watcher.join(35)

    # --------------------------------------------------------------------------------------------------------- reconciliation

    def reconcile(self, commander: Commander) -> bool:
        """Compare the books, print them; whether they add up."""
        filters = {"received_at": f"gte.{self.started_at}", "payload->>run": f"eq.{self.run_id}"}
        rows = self.admin.rows(
            "mqtt_messages", select="topic,direction,seq:payload->seq,command:payload->command,sent:payload->id", **filters
        )
        incoming = [row for row in rows if row["direction"] == "incoming"]
        lines = []
        for device in self.devices:
            accepted, rejected = device.counts.numbers()
            sender = reckoning.Sender(
                device.device_id, device.prefix, device.counts.sent, frozenset(accepted), frozenset(rejected), tuple(device.counts.errors)
            )
            own = [row for row in incoming if row["topic"].startswith(device.prefix + "/")]
            # A client's message ids keep HTTP from storing twice whatever happens; MQTT promises at least once.
            lines.append(reckoning.line(sender, own, again_allowed=self.kills_bridge and not isinstance(device, HttpDevice)))
        sent = commander.commands.sent
        books = reckoning.CommandBooks(
            sent=frozenset(sent),
            receipts=Counter(commander.receipts(5).values()),
            heard=Counter(number for device in self.devices for number in device.commands),
            outgoing=Counter(row["sent"] for row in rows if row["direction"] == "outgoing"),
            answered=Counter(row["command"] for row in incoming if row["topic"].endswith("/acks")),
            errors=tuple(commander.commands.errors),
        )
        wrong = reckoning.command_faults(books, again_allowed=self.kills_bridge)
        counted = len([row for row in incoming if row["seq"] is not None]) + sum(books.outgoing.values())
        story = (
            f"{len(sent)} commands = {books.receipts['acknowledged']} receipts acknowledged = {len(books.heard)} heard"
            f" = {len(books.answered)} answered; {len(commander.commands.refused)} bad calls refused"
        )
        checks = [*self._checks(len(rows), counted), (story, wrong)]
        self._print(lines, checks)
        return not any(found.faults for found in lines) and not any(faults for _, faults in checks)

    def _checks(self, visible: int, counted: int) -> list[tuple[str, Sequence[str]]]:
        """What is not about one device."""
        # By service_role, which sees all organizations: whatever got where it should not be would be one row more.
        everywhere = len(
            self.service.rows(
                "mqtt_messages", select="id", **{"received_at": f"gte.{self.started_at}", "payload->>run": f"eq.{self.run_id}"}
            )
        )
        ledger = self.service.do("check_mqtt_ledger")
        stats = self.admin.do("get_mqtt_queue_stats", org_id=self.organization["id"])
        dead = self.admin.rows("mqtt_dead_letters", select="topic,error_message", received_at=f"gte.{self.started_at}")
        return [
            (
                f"{everywhere} rows of this run in the history, all counted above or as commands",
                [] if everywhere == visible == counted else [f"{everywhere} in all, {visible} in this organization, {counted} counted"],
            ),
            ("the queue is empty", [] if stats["pending"] == 0 else [f"{stats['pending']} wait"]),
            ("no dead letters", [f"{row['topic']}: {row['error_message']}" for row in dead]),
            ("api.check_mqtt_ledger finds no difference", [str(row) for row in ledger]),
        ]

    def _print(self, lines: Sequence[reckoning.Line], checks: Sequence[tuple[str, Sequence[str]]]) -> None:
        table = Table(
            title="Reconciliation: sent = stored + rejected",
            box=box.SIMPLE_HEAD if self.console.is_terminal else box.ASCII2,
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
        for found, device in zip(lines, self.devices, strict=True):
            verdict = "[green]adds up[/green]" if not found.faults else "[red]WRONG[/red]"
            table.add_row(found.name, device.way, str(found.sent), str(found.stored), str(found.rejected), verdict)
        self.console.print(table)
        if again := sum(found.again for found in lines):
            self.say(f"stored more than once, as MQTT allows when a bridge is killed: {again}")
        reasons = Counter(reason for device in self.devices for reason in device.counts.numbers()[1].values())
        if reasons:
            self.say("rejected on purpose: " + ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items())))
        for text, faults in checks:
            self.console.print("[green]ok[/green]   " if not faults else "[red]WRONG[/red]", end="")
            self.say(text)
            for fault in faults:
                self.say(f"      {fault}")
        for found in lines:
            for fault in found.faults:
                self.say(f"{found.name}: {fault}")

    # ------------------------------------------------------------------------------------------------------------------ ending

    def close(self) -> None:
        """Take back what only this run could use: its logins, its devices, its broker."""
        self.stop_devices.set()
        self.stop_commands.set()
        self.stop_watching.set()
        for device in self.devices:
            if isinstance(device, PahoDevice | MosquittoDevice):
                device.leave()
        try:
            for credential_id in self.credential_ids:
                self.admin.do("revoke_mqtt_credentials", credential_id=credential_id)
            if self.external:
                self.admin.do(
                    "upsert_integration",
                    organization_id=self.organization["id"],
                    name=EXTERNAL,
                    integration_type="mqtt_external",
                    integration_id=self.external["id"],
                    status="inactive",
                )
        except (DemoError, requests.RequestException) as error:
            self.say(f"demo: tidying up failed: {error}")
        self.broker.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def farewell(self) -> None:
        env = self.stack.env
        for place, what in (
            ("\nThe stack goes on running. Look around:", ""),
            (f"{env['API_URL']}/", "the API, described by itself (OpenAPI)"),
            (f"{env['GATEWAY_URL']}/functions/v1/", "the gateway, with the URLs of the system that Topicbase replaces"),
            (env["MQTT_URL"], "the hosted broker"),
            (env["METRICS_URL"], "the bridge's metrics"),
            ("make psql", "SELECT topic, payload FROM mqtt.mqtt_messages ORDER BY received_at DESC LIMIT 9;"),
            ("make env", "addresses and keys, for the commands in README.md"),
            ("make status, make logs", "whether the parts run, and what they say"),
            ("make down", "stop it; its data stay (make clean removes them)"),
        ):
            self.say(f"  {place:<40} {what}" if what else place)


def until(seconds: float, is_done: Callable[[], bool]) -> None:
    """Wait for it, at most so long."""
    deadline = time.monotonic() + seconds
    while not is_done() and time.monotonic() < deadline:
        time.sleep(0.05)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    def seconds(text: str) -> float:
        value = float(text)
        if not 2 <= value <= 86400:
            raise ValueError
        return value

    parser = argparse.ArgumentParser(prog="bin/demo", description="Start the local stack and watch devices, broker and database at work.")
    default = os.environ.get("TOPICBASE_DEMO_SECONDS", "30")
    parser.add_argument(
        "--seconds", type=seconds, default=default, help="how long the devices send, 2 to 86400 (default: TOPICBASE_DEMO_SECONDS or 30)"
    )
    parser.add_argument("--kill-bridge", action="store_true", help="end the bridge with SIGKILL in the middle, and start it again")
    parser.add_argument("--plain", action="store_true", help="plain lines instead of the live table, as without a terminal")
    return parser.parse_args(arguments)


def main() -> int:
    options = parse()
    console = Console()
    is_live = console.is_terminal and not options.plain and not console.is_dumb_terminal
    if not console.is_terminal:
        console = Console(width=160)
    try:
        demo = Demo(find_stack(), options.seconds, console, is_live=is_live, kills_bridge=options.kill_bridge)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    try:
        demo.provision()
        demo.make_devices()
        _, commander = demo.watch()
        adds_up = demo.reconcile(commander)
    except (DemoError, requests.RequestException) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    finally:
        demo.close()
    demo.say("Everything adds up." if adds_up else "It does NOT add up; see above.")
    demo.farewell()
    return 0 if adds_up else 1


if __name__ == "__main__":
    sys.exit(main())
