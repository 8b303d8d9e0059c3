"""The table on the terminal, bench/README.md and its plots, all from the results."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import zip_longest
from typing import Any

from rich.table import Table

from bench.harness import RESULTS, ROOT
from bench.report import capacity, svg
from bench.report.markers import place
from bench.samples import TIMES, Row

PAGE = ROOT / "bench" / "README.md"
QUOTING = ROOT / "docs" / "explanation" / "performance.md"
ORDER = (
    "single-pgmq", "single-insert", "single-noop", "login-cost", "batch-100-floor", "batch-1000-floor", "batch-100-columns",
    "batch-1000-columns", "batch-single", "whole-graphile", "whole-cpu", "whole-cpu-single", "whole-wal", "snapshot", "worker-floor",
    "worker-pgmq", "worker-procrastinate", "worker-graphile", "worker-rate", "workers-4", "rules-none", "rules-ingest", "rules-batch",
    "rules-one", "rules-transform", "rules-many", "rules-together", "rules-sparkplug", "outbound-0", "outbound-1", "outbound-2",
    "outbound-once", "outbound-node-red",
    "inbound-paho", "inbound-naive", "inbound-node-red", "latency-idle-p50", "latency-half-p50", "latency-half-p99", "latency-latest",
    "latency-webhook", "latency-publish-p50", "latency-publish-p99", "stream-browser-p50", "stream-browser-p99", "stream-peers-poll",
    "stream-peers-websocket", "stream-deliveries", "stream-memory", "stream-worker-idle", "stream-worker-watched", "stream-ingest-idle",
    "stream-ingest-watched", "console-task", "listening", "history-ingest", "history-read", "series-day",
    "series-month", "stats", "rls", "rls-client", "storage", "packed", "packing", "packed-read",
    "packing-minutes", "packing-ingest", "wal", "memory",
)  # fmt: skip
ELSEWHERE = "elsewhere"  # the results of another machine
NEIGHBOURS = "neighbours-"  # rows of a table of their own
# Rows that docs/explanation/performance.md quotes.
QUOTED = (
    "single-pgmq", "single-noop", "batch-100-floor", "batch-single", "worker-floor", "worker-rate", "worker-procrastinate",
    "worker-graphile", "whole-graphile", "outbound-1", "outbound-once", "inbound-paho", "inbound-naive", "latency-idle-p50",
    "latency-publish-p50", "listening", "stats", "storage", "memory",
)  # fmt: skip


def number(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def beside(row: dict[str, Any], key: str) -> str:
    """The figure, with enough digits to tell it from a goal that it misses."""
    value, target = float(row[key]), float(row["target"])
    if (value >= target if row["at_least"] else value <= target) or number(value) != number(target):
        return number(value)
    return next(text for digits in range(4, 18) if float(text := f"{value:.{digits}g}") != target)


def table(rows: dict[str, Row]) -> Table:
    """The rows of this run, for the terminal."""
    shown = Table(title="Topicbase beside its peers")
    for name in ("what", "against", "ratio", "spread", "goal", "ours", "theirs", "p50 ms", "p99 ms", ""):
        shown.add_column(name, justify="left" if name in {"what", "against"} else "right")
    for row in rows.values():
        sign = "≥" if row.at_least else "≤"
        shown.add_row(
            row.what, row.against, beside(asdict(row), "ratio"), f"{number(row.low)}-{number(row.high)}", f"{sign} {row.target:g}",
            number(row.ours["median"]), number(row.theirs["median"]) if row.theirs else "", number(row.ours.get("p50_ms")),
            number(row.ours.get("p99_ms")), "[green]met[/]" if row.is_met else "[red]short[/]",
        )  # fmt: skip
    return shown


def unit_of(row: dict[str, Any]) -> str:
    """What its ratio is in."""
    return f" {TIMES if row['theirs'] else row['unit']}"


def goal(row: dict[str, Any]) -> str:
    return f"{'≥' if row['at_least'] else '≤'} {number(row['target'])}{unit_of(row)}"


def in_order(rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The table's order; those of neighbours at the end."""
    places = {key: place for place, key in enumerate(ORDER)}
    return sorted(rows.values(), key=lambda row: (row["key"].startswith(NEIGHBOURS), places.get(row["key"], len(places)), row["key"]))


def both(row: dict[str, Any], key: str) -> str:
    ours, theirs = number(row["ours"].get(key)), number((row["theirs"] or {}).get(key))
    return f"{ours} / {theirs}" if theirs else ours


def markdown(document: dict[str, Any]) -> str:
    m = document["machine"]
    lines = [
        f"Machine: {m['cpu']}, {m['cores']} cores, {m['memory_gib']} GiB, Linux {m['kernel']}; PostgreSQL {m['postgresql']}, "
        + ", ".join(f"{k} {v}" for k, v in sorted(m["settings"].items()))
        + (f"; PostgREST with {m['postgrest']}" if "postgrest" in m else "") + ".",
        "CPU: of PostgreSQL and PostgREST together.",
        "",
        "| what | against | goal | measured | spread | met | rate or cost (ours / theirs) | p50 ms | p99 ms | CPU µs/msg | setting |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in in_order({key: row for key, row in document["rows"].items() if not key.startswith(NEIGHBOURS)}):
        cells = (
            row["what"],
            row["against"] or "(absolute)",
            goal(row),
            f"**{beside(row, 'ratio')}{unit_of(row)}**",
            f"{number(row['low'])} to {number(row['high'])}, {row['rounds']} rounds",
            "yes" if row["met"] else "**no**",
            f"{both(row, 'median')} {row['unit']}",
            both(row, "p50_ms"),
            both(row, "p99_ms"),
            both(row, "cpu_us"),
            "; ".join(filter(None, (row["setting"], row["note"]))),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def neighbours(document: dict[str, Any]) -> str:
    """What nine organizations notice of another's worst: a row for each resource that they share."""
    lines = [
        "| what the nine do | what the other does | p99, beside / alone | goal | ratio | spread | met | lost | default limits |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for key, row in sorted(document["rows"].items()):
        if key.startswith(NEIGHBOURS):
            sent = row["ours"].get("messages")
            lost = "" if sent is None else f"{sent - row['ours']['count']} of {sent:,}"
            cells = (
                row["what"],
                row["note"],
                f"{both(row, 'p99_ms')} ms",
                f"≤ {number(row['target'])} {TIMES}",
                f"**{beside(row, 'ratio')} {TIMES}**",
                f"{number(row['low'])} to {number(row['high'])}, {row['rounds']} rounds",
                "yes" if row["met"] else "**no**",
                lost,
                row["setting"],
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def growth(document: dict[str, Any]) -> str:
    """The plots, two side by side, each with its note."""
    cells = [
        " ".join(filter(None, (f"![{plot['title']}](plots/{key}.svg)", plot["note"]))) for key, plot in sorted(document["plots"].items())
    ]
    pairs = zip_longest(cells[::2], cells[1::2], fillvalue="")
    return "\n".join(("| | |", "|---|---|", *(f"| {left} | {right} |" for left, right in pairs)))


def quotation(document: dict[str, Any]) -> str:
    """The quoted rows, in short."""
    lines = ["| what | against | measured | goal |", "|---|---|---|---|"]
    for row in (document["rows"][key] for key in QUOTED if key in document["rows"]):
        told = goal(row) + ("" if row["met"] else ", not met")
        lines.append(f"| {row['what']} | {row['against'] or '(absolute)'} | **{beside(row, 'ratio')}{unit_of(row)}** | {told} |")
    return "\n".join(lines)


def draw(document: dict[str, Any]) -> None:
    folder = ROOT / "bench" / "plots"
    folder.mkdir(exist_ok=True)
    for key, plot in document["plots"].items():
        lines = {
            name: [(p["x"], p["y"], p.get("low") or p["y"], p.get("high") or p["y"]) for p in points]
            for name, points in plot["lines"].items()
        }
        (folder / f"{key}.svg").write_text(svg.chart(plot["title"], plot["x"], plot["y"], lines))


def elsewhere(document: dict[str, Any], other: dict[str, Any]) -> str:
    """The ratios of another machine's results beside those of the table, and its absolute figures."""
    m = other["machine"]
    lines = [
        f"{m['cpu']}, {m['cores']} cores, {m['memory_gib']} GiB, Linux {m['kernel']}; PostgreSQL {m['postgresql']}.",
        "",
        "| what | against | goal | table | there | spread | rate or cost there (ours / theirs) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in in_order(other["rows"]):
        here = document["rows"].get(row["key"])
        cells = (
            row["what"],
            row["note"] if row["key"].startswith(NEIGHBOURS) else row["against"] or "(absolute)",
            goal(row),
            f"{beside(here, 'ratio')}{unit_of(row)}" if here else "",
            f"**{beside(row, 'ratio')}{unit_of(row)}**",
            f"{number(row['low'])} to {number(row['high'])}, {row['rounds']} rounds",
            f"{both(row, 'median')} {row['unit']}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write() -> None:
    """The generated parts of bench/README.md, docs/explanation/performance.md and docs/how-to/scale.md, and one SVG per plot."""
    document, other = (json.loads((RESULTS / f"{name}.json").read_text()) for name in ("latest", ELSEWHERE))
    draw(document)
    page = place(place(PAGE.read_text(), "table", markdown(document)), "plots", growth(document))
    page = place(place(page, "neighbours", neighbours(document)), "elsewhere", elsewhere(document, other))
    PAGE.write_text(page)
    QUOTING.write_text(place(QUOTING.read_text(), "figures", quotation(document)))
    capacity.write(document)
