"""The live table, and plain lines where there is no terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from demo.commands import Commander
from demo.devices.base import Device
from demo.outage import Outage
from demo.watch import Watcher, percentile

BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.-=+*%#"


def sparkline(values: Sequence[float], width: int, marks: str = BLOCKS) -> str:
    """The newest values, one character each, of proportional height; averaged where there are more than fit."""
    if not values:
        return ""
    per = max(1, -(-len(values) // width))
    points = [sum(values[i : i + per]) / len(values[i : i + per]) for i in range(0, len(values), per)]
    low, high = min(points), max(points)
    return "".join(
        marks[int((point - low) / (high - low) * (len(marks) - 1))] if high > low else marks[len(marks) // 2] for point in points
    )


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
    def __init__(self, devices: Sequence[Device], watcher: Watcher, commander: Commander, outage: Outage | None, console: Console) -> None:
        self._devices = devices
        self._watcher = watcher
        self._commander = commander
        self._outage = outage
        self._console = console

    def table(self, seconds_left: float) -> Group:
        width = self._console.width
        has_values, has_answered = width >= 104, width >= 126
        spark = min(20, width - (104 if has_answered else 94 if has_values else 67))
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("device", no_wrap=True)
        table.add_column("sends by", no_wrap=True)
        for column in ("sent", "answered", "refused", "stored", "ms p50", "p99"):
            if column != "answered" or has_answered:
                table.add_column(column, justify="right", no_wrap=True, min_width=4)
        if has_values:
            table.add_column("last value", no_wrap=True, min_width=27, max_width=27)
        if spark >= 8:
            table.add_column("", no_wrap=True, style="cyan", min_width=spark)
        for device in self._devices:
            seen = self._watcher.devices[device.device_id]
            accepted, rejected = device.counts.numbers()
            cells = [device.device_id, device.way, str(device.counts.sent)]
            if has_answered:
                cells.append(str(len(accepted) + len(rejected)))
            cells += [str(len(rejected) or ""), str(seen.stored)]
            cells += [milliseconds(percentile(seen.latencies, share)) for share in (0.5, 0.99)]
            if has_values:
                cells.append(quantity(seen.metric, seen.values[-1]) if seen.values else "")
            if spark >= 8:
                cells.append(self._sparkline(list(seen.values), spark))
            table.add_row(*cells, style="red" if device.counts.errors else None)
        left = Text(f"{seconds_left:.0f} s left; Ctrl-C ends it early", style="dim")
        return Group(table, Text(self.line(), no_wrap=True, overflow="ellipsis"), left)

    def _sparkline(self, values: Sequence[float], width: int) -> str:
        return sparkline(values, width, BLOCKS if self._console.encoding.startswith("utf") else ASCII)

    def line(self) -> str:
        watcher, commands = self._watcher, self._commander.commands
        trip = milliseconds(percentile(watcher.round_trips, 0.5))
        parts = [
            f"{watcher.rate:.0f} msg/s stored {self._sparkline(list(watcher.rates), 16)}",
            f"{watcher.pending} in the queue (most {watcher.most_pending})",
            f"commands: {len(commands.sent)} sent, {len(watcher.answered)} answered" + (f", p50 {trip} ms there and back" if trip else ""),
        ]
        if self._outage is not None and self._outage.state:
            parts.insert(0, self._outage.state)
        if watcher.error:
            parts.append(watcher.error.splitlines()[0])
        return " | ".join(parts)

    def plain(self) -> str:
        """One line for a log."""
        devices = []
        for device in self._devices:
            seen = self._watcher.devices[device.device_id]
            value = quantity(seen.metric, seen.values[-1]) if seen.values else ""
            devices.append(f"{device.device_id} {device.counts.sent}/{seen.stored} {value}".rstrip())
        latency = [seconds for seen in self._watcher.devices.values() for seconds in seen.latencies]
        p50, p99 = milliseconds(percentile(latency, 0.5)), milliseconds(percentile(latency, 0.99))
        return f"{self.line()} | device to row p50 {p50} ms, p99 {p99} ms | sent/stored: " + ", ".join(devices)
