"""One run: devices send, an app sends commands, a table shows it, until the time is up and nothing more arrives."""

import secrets
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.live import Live

from demo.commands import Commander
from demo.devices.base import Device
from demo.outage import Outage
from demo.reconciliation import Reconciliation
from demo.show import Show
from demo.stack import DemoError, Stack
from demo.tenant import Tenant
from demo.watch import Watcher


class Run:
    def __init__(self, stack: Stack, seconds: float, console: Console, *, is_live: bool, kills_bridge: bool) -> None:
        self._stack = stack
        self._kills_bridge = kills_bridge
        self._seconds = seconds
        self._console = console
        self._is_live = is_live
        self._id = secrets.token_hex(4)
        self._started_at = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        self._tenant = Tenant(stack, self._id, self.say)
        self._devices: list[Device] = []
        self._stop_devices = threading.Event()
        self._stop_commands = threading.Event()
        self._stop_watching = threading.Event()
        self._ended_early = threading.Event()
        self._directory = Path(tempfile.mkdtemp(prefix="topicbase-demo."))

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def __call__(self) -> bool:
        """Provisions, runs, reconciles; true if everything adds up."""
        self._tenant.provision()
        self._devices = self._tenant.devices(self._stop_devices, self._directory)
        for device in self._devices:
            device.prepare()
        self.say("devices        " + ", ".join(f"{device.device_id} ({device.way})" for device in self._devices))
        commander = self._watch()
        books = Reconciliation(self._stack, self._tenant, self._id, self._started_at, self._devices, again_allowed=self._kills_bridge)
        return books.print(commander, self._console, self.say)

    def _watch(self) -> Commander:
        """Lets everything run for the given time; returns when all that was sent is stored, or nothing more arrives."""
        admin, organization_id = self._tenant.admin, self._tenant.organization["id"]
        watcher = Watcher(admin, self._id, organization_id, self._devices, since=self._started_at, stop=self._stop_watching)
        listeners = [device for device in self._devices if device.takes_commands]
        commander = Commander(admin, self._id, listeners, 0.4, self._stop_commands)
        halfway = time.monotonic() + self._seconds / 2
        commander.misbehave_at = halfway
        for device in self._devices:
            device.misbehave_at = halfway
            device.start()
        commander.start()
        watcher.start()
        outage = Outage(self._stack, self._seconds / 3, self._stop_commands) if self._kills_bridge else None
        if outage is not None:
            outage.start()
        self._show(Show(self._devices, watcher, commander, outage, self._console), watcher, commander)
        self._wind_down(watcher, commander, outage)
        return commander

    def _show(self, show: Show, watcher: Watcher, commander: Commander) -> None:
        """The live table, or a line every few seconds, until the time is up or the run is ended early."""
        deadline = time.monotonic() + self._seconds

        def go_on() -> bool:
            watcher.issued = {number: command.issued_at for number, command in list(commander.commands.sent.items())}
            return time.monotonic() < deadline and not self._ended_early.is_set()

        with self._early_end():
            if self._is_live:
                with Live(show.table(self._seconds), console=self._console, refresh_per_second=4, transient=False) as live:
                    while go_on():
                        self._ended_early.wait(0.25)
                        live.update(show.table(max(0.0, deadline - time.monotonic())))
            else:
                pause = min(3.0, self._seconds / 5)
                next_line = time.monotonic() + pause
                while go_on():
                    if time.monotonic() >= next_line:
                        self.say(show.plain())
                        next_line += pause
                    self._ended_early.wait(0.1)

    @contextmanager
    def _early_end(self) -> Iterator[None]:
        """The first Ctrl-C (or SIGTERM) ends the run, not the reconciliation; the second ends everything."""

        def end(_number: int, _frame: Any) -> None:
            if self._ended_early.is_set():
                raise KeyboardInterrupt
            self._ended_early.set()

        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _wind_down(self, watcher: Watcher, commander: Commander, outage: Outage | None) -> None:
        self.say("stopping; waiting for the last answers and rows ...")
        self._stop_commands.set()
        if outage is not None:
            outage.join(90)
            if outage.error:
                commander.commands.errors.append(outage.error)
        commander.join(35)
        commander.receipts(10)
        until(10, lambda: sum(len(device.commands) for device in self._devices) >= len(commander.commands.sent))
        self._stop_devices.set()
        for device in self._devices:
            device.join(30)
            if device.is_alive():
                device.counts.error("did not stop within 30 s")
        expected = sum(len(device.counts.numbers()[0]) for device in self._devices)
        until(20, lambda: watcher.stored >= expected)
        self._stop_watching.set()
        watcher.join(35)

    def close(self) -> None:
        """Takes back what only this run could use: its connections, its logins, its broker."""
        for stop in (self._stop_devices, self._stop_commands, self._stop_watching):
            stop.set()
        for device in self._devices:
            device.leave()
        try:
            self._tenant.retire()
        except (DemoError, requests.RequestException) as error:
            self.say(f"demo: tidying up failed: {error}")
        self._tenant.stop_broker()
        shutil.rmtree(self._directory, ignore_errors=True)


def until(seconds: float, is_done: Callable[[], bool]) -> None:
    """Waits for it, at most this long."""
    deadline = time.monotonic() + seconds
    while not is_done() and time.monotonic() < deadline:
        time.sleep(0.05)
