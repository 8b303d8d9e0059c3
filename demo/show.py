"""The live table, and plain lines where there is no terminal."""

import sys
from collections.abc import Sequence

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from demo.commands import Commander
from demo.devices import Device
from demo.watch import Watcher, percentile

BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.-=+*%#"


def sparkline(values: Sequence[float], width: int = 20) -> str:
    """The newest values, each one character high in proportion; averaged where there are more than fit."""
    if not values:
        return ""
    per = max(1, -(-len(values) // width))
    points = [sum(values[i : i + per]) / len(values[i : i + per]) for i in range(0, len(values), per)]
    low, high = min(points), max(points)
    marks = BLOCKS if (sys.stdout.encoding or "").lower().replace("-", "") == "utf8" else ASCII
    return "".join(marks[int((point - low) / (high - low) * (len(marks) - 1))] if high > low else marks[0] for point in points)


def milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.0f}"


def quantity(name: str, value: float) -> str:
    """A value with its unit, from the reading's name."""
    label = name
    for ending, unit in (
        ("_percent", "%"),
        ("_bytes_per_second", " B/s"),
        ("_per_second", "/s"),
        ("_mib", " MiB"),
        ("_kib", " KiB"),
        ("_seconds", " s"),
    ):
        if name.endswith(ending):
            label = name.removesuffix(ending)
            if unit == " B/s" and value >= 10_000:
                return f"{label.replace('_', ' ')} {value / 1000:,.0f} kB/s"
            return f"{label.replace('_', ' ')} {value:,.{0 if value >= 100 else 1}f}{unit}"
    return f"{label.replace('_', ' ')} {value:g}"


class Show:
    def __init__(self, devices: Sequence[Device], watcher: Watcher, commander: Commander, console: Console) -> None:
        self._devices = devices
        self._watcher = watcher
        self._commander = commander
        self._console = console

    def table(self, seconds_left: float) -> Group:
        width = self._console.width
        table = Table(expand=width < 130, pad_edge=False, title=None)
        table.add_column("device", no_wrap=True)
        table.add_column("sends by", no_wrap=True)
        for column in ("sent", "answered", "refused", "stored"):
            table.add_column(column, justify="right", no_wrap=True)
        if width >= 90:
            table.add_column("ms p50", justify="right", no_wrap=True)
            table.add_column("p99", justify="right", no_wrap=True)
        if width >= 76:
            table.add_column("last value", no_wrap=True)
        if width >= 120:
            table.add_column("", no_wrap=True, style="cyan")
        for device in self._devices:
            seen = self._watcher.devices[device.device_id]
            accepted, rejected = device.counts.numbers()
            cells = [device.device_id, device.way, str(device.counts.sent), str(len(accepted)), str(len(rejected) or ""), str(seen.stored)]
            if width >= 90:
                cells += [milliseconds(percentile(seen.latencies, 0.5)), milliseconds(percentile(seen.latencies, 0.99))]
            if width >= 76:
                cells.append(next((quantity(name, value) for name, value in seen.reading.items()), ""))
            if width >= 120:
                cells.append(sparkline(list(seen.values)))
            table.add_row(*cells, style="red" if device.counts.errors else None)
        return Group(
            table,
            Text(self.line(), no_wrap=True, overflow="ellipsis"),
            Text(f"{seconds_left:.0f} s left; Ctrl-C ends it early", style="dim"),
        )

    def line(self) -> str:
        watcher, commands = self._watcher, self._commander.commands
        trip = milliseconds(percentile(watcher.round_trips, 0.5))
        parts = [
            f"{watcher.rate:.0f} msg/s stored {sparkline(list(watcher.rates), 16)}",
            f"{watcher.pending} in the queue (most {watcher.most_pending})",
            f"commands: {len(commands.sent)} sent, {len(watcher.answered)} answered" + (f", p50 {trip} ms there and back" if trip else ""),
        ]
        if watcher.error:
            parts.append(watcher.error.splitlines()[0])
        return " | ".join(parts)

    def plain(self) -> str:
        """One line for a log."""
        devices = []
        for device in self._devices:
            seen = self._watcher.devices[device.device_id]
            value = next((quantity(name, value) for name, value in seen.reading.items()), "")
            devices.append(f"{device.device_id} {device.counts.sent}/{seen.stored} {value}".rstrip())
        latency = [seconds for seen in self._watcher.devices.values() for seconds in seen.latencies]
        p50, p99 = milliseconds(percentile(latency, 0.5)), milliseconds(percentile(latency, 0.99))
        return f"{self.line()} | device to row p50 {p50} ms, p99 {p99} ms | sent/stored: " + ", ".join(devices)
