"""The figures of docs/how-to/scale.md, from the benchmarks' results: what one machine does, and how many machines a fleet needs.

`make bench` rewrites them; `python -m bench.report.capacity` does so from the existing results.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report.markers import place

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "scale.md"
PAYLOAD = 100  # bytes; the rows used are measured with it
HEADROOM = 0.5  # share of the measured rate that plans may use
CHECKPOINT = 300  # seconds between two (checkpoint_timeout), where max_wal_size is large enough
PAGE_IMAGES = 8_000  # bytes of WAL per device and checkpoint: its page of the index by device, written whole (docs/decisions/0027)
KEPT_DAYS = 7  # completed_days, unless configured
FLEETS = ((1_000, 60), (10_000, 60), (10_000, 10), (100_000, 60), (100_000, 10), (1_000_000, 60))  # devices, seconds between messages


@dataclass(frozen=True)
class Limits:
    """Messages per second that one machine accepts and stores, by the way they arrive, and what a message costs."""

    single: float
    batch: float
    mqtt: float
    outbound: float
    worker: float
    stored_bytes: float
    wal_bytes: float

    @classmethod
    def of(cls, rows: dict[str, Any]) -> Limits:
        def ours(key: str) -> float:
            return float(rows[key]["ours"]["median"])

        return cls(
            single=ours("listening"),  # measured with the worker at work
            batch=together(ours("batch-100-floor"), ours("worker-rate")),
            mqtt=ours("inbound-paho"),  # likewise
            outbound=ours("outbound-1"),
            worker=ours("worker-rate"),
            stored_bytes=ours("storage") * PAYLOAD,
            wal_bytes=ours("wal"),
        )


def together(one: float, other: float) -> float:
    """The rate of two steps that share the cores but were measured alone."""
    return 1 / (1 / one + 1 / other)


def page_images(devices: int, seconds: float) -> float:
    """Bytes of WAL per second for pages written whole after a checkpoint: one for each device that has sent since."""
    return devices * PAGE_IMAGES / max(CHECKPOINT, seconds)


def machines(rate: float, limit: float) -> int:
    return math.ceil(rate / (limit * HEADROOM))


def size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:,.3g} {unit}" if count < 1000 else f"{count:,.0f} {unit}"
        count /= 1000
    raise AssertionError


def limits_table(document: dict[str, Any]) -> str:
    limits, rows, machine = Limits.of(document["rows"]), document["rows"], document["machine"]
    lines = [
        ("HTTP, one message a request, and stored", limits.single, "listening"),
        ("HTTP, 100 a request, and stored", limits.batch, "batch-100-floor, worker-rate"),
        ("MQTT QoS 1 through one bridge, and stored", limits.mqtt, "inbound-paho"),
        ("published QoS 1 through one bridge, with receipts", limits.outbound, "outbound-1"),
        ("stored by one worker, nothing else going on", limits.worker, "worker-rate"),
    ]
    used = sorted({key for *_, keys in lines for key in keys.split(", ")} | {"storage", "wal"})
    text = "| way | messages a second | from the benchmark's rows |\n|---|--:|---|\n"
    text += "".join(f"| {what} | {rate:,.0f} | {keys} |\n" for what, rate, keys in lines)
    text += (
        f"\nA stored message takes {limits.stored_bytes:,.0f} bytes of disk, indexes included (storage), and {limits.wal_bytes:,.0f}\n"
        "bytes of WAL from its acceptance to the history (wal), without the pages that are written whole after a checkpoint.\n"
        f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gib']} GiB; "
    )
    times = sorted(rows[key]["measured_at"] for key in used)
    return text + f"measured from {times[0]} to {times[-1]}.\n"


def capacity_table(document: dict[str, Any]) -> str:
    limits = Limits.of(document["rows"])
    text = (
        "| devices | a message each | messages/s | machines: HTTP single | HTTP by 100 | MQTT | history a day | "
        f"history, {KEPT_DAYS} days | WAL a day | WAL/s |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
    )
    for devices, seconds in FLEETS:
        rate = devices / seconds
        disk, wal = rate * 86400 * limits.stored_bytes, rate * limits.wal_bytes + page_images(devices, seconds)
        cells = (
            f"{devices:,}",
            f"{seconds} s",
            f"{rate:,.0f}",
            *(str(machines(rate, limit)) for limit in (limits.single, limits.batch, limits.mqtt)),
            size(disk),
            size(disk * KEPT_DAYS),
            size(wal * 86400),
            size(wal),
        )
        text += f"| {' | '.join(cells)} |\n"
    return text


def rendered(text: str, document: dict[str, Any]) -> str:
    """The page with both tables filled in."""
    return place(place(text, "limits", limits_table(document)), "capacity", capacity_table(document))


def write(document: dict[str, Any]) -> None:
    PAGE.write_text(rendered(PAGE.read_text(), document))


if __name__ == "__main__":
    write(json.loads((ROOT / "bench" / "results" / "latest.json").read_text()))
