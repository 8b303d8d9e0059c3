"""The benchmarks' own stack, alternating runs, and the results on disk."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.samples import TIMES, Point, Row, Sample, Side, point_of

ROOT = Path(__file__).absolute().parent.parent
RUN = ROOT / ".run" / "bench"
RESULTS = ROOT / "bench" / "results"
Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Options:
    quick: bool = False
    rounds: int = 5
    seconds: int = 3
    scale: int = 10_000_000


class Bench:
    """A running stack, what it holds, and the results so far."""

    def __init__(self, options: Options, console: Console, name: str) -> None:
        self.options = options
        self.console = console
        self.name = name
        self.root = ROOT
        self.run_dir = RUN / "stack"
        self.env: dict[str, str] = {}
        self.rows: dict[str, Row] = {}
        self.plots: dict[str, dict[str, Any]] = {}
        self.skipped: dict[str, str] = {}
        self.progress: Progress | None = None
        self.commit = git_commit()

    # ------------------------------------------------------------------------------------------------------------ stack

    def stack(self, *arguments: str) -> str:
        environment = {
            **os.environ,
            "TOPICBASE_RUN_DIR": str(self.run_dir),
            "TOPICBASE_PG_CONF": str(Path(__file__).with_name("postgresql.conf")),
        }
        done = subprocess.run([self.root / "bin" / "stack", *arguments], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"bin/stack {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def up(self) -> None:
        """Start from scratch, without the bridge: it would empty the queues under benchmarks that do not ask for it."""
        self.stack("down", "--clean")
        self.stack("up", "--free-ports", "--without", "gateway,bridge")
        self.read_env()

    def read_env(self) -> None:
        """What `bin/stack env` says, of the parts that run now."""
        self.env = dict(line.split("=", 1) for line in self.stack("env").splitlines() if "=" in line)

    def port(self, name: str) -> int:
        """Of a part's listener, as the run directory's file of ports names it."""
        return int(dict(line.split("=", 1) for line in (self.run_dir / "ports").read_text().splitlines())[name])

    def down(self) -> None:
        self.stack("down", "--clean")

    def connect(self, **options: Any) -> Connection:
        """A superuser's connection, in autocommit."""
        return psycopg.connect(self.env["DATABASE_URL"], autocommit=True, **options)

    @property
    def api(self) -> str:
        return self.env["API_URL"]

    # ---------------------------------------------------------------------------------------------------------- measuring

    def alternate(
        self, title: str, contenders: Mapping[str, Callable[[], Sample]], *, before: Callable[[], None] | None = None, warm: bool = True,
        cpu: bool = False, most_rounds: int | None = None,
    ) -> dict[str, Side]:  # fmt: skip
        """A B A B …, after one uncounted run of each; every other round is reversed, so that drift cancels out.

        cpu: also measure the CPU time of PostgreSQL and PostgREST per message, which neighbours on the machine disturb least.
        """
        sides = {name: Side(name) for name in contenders}
        rounds = min(self.options.rounds, most_rounds or self.options.rounds)
        task = self.progress.add_task(title, total=len(contenders) * (rounds + warm)) if self.progress else None
        for number in range(-1 if warm else 0, rounds):
            names = list(contenders) if number % 2 == 0 else list(contenders)[::-1]
            for name in names:
                if before:
                    before()
                used = self.server_cpu() if cpu else 0.0
                sample = contenders[name]()
                if cpu and sample.messages:
                    sample = replace(sample, cpu=(self.server_cpu() - used) / sample.messages * 1e6)
                if number >= 0:
                    sides[name].samples.append(sample)
                if self.progress and task is not None:
                    self.progress.advance(task)
        if self.progress and task is not None:
            self.progress.remove_task(task)
        return sides

    def growth(self, title: str, sizes: Sequence[int], measure: Callable[[int], Mapping[str, Sample]]) -> dict[str, list[Point]]:
        """The lines of plots: sizes are measured in turn, up and down; each point is the median and the spread of its rounds."""
        sizes = sizes[:3] if self.options.quick else sizes
        rounds = 1 if self.options.quick else 3
        found: dict[str, dict[int, list[Sample]]] = {}
        task = self.progress.add_task(title, total=len(sizes) * rounds) if self.progress else None
        for number in range(rounds):
            for size in sizes if number % 2 == 0 else sizes[::-1]:
                for name, sample in measure(size).items():
                    found.setdefault(name, {}).setdefault(size, []).append(sample)
                if self.progress and task is not None:
                    self.progress.advance(task)
        if self.progress and task is not None:
            self.progress.remove_task(task)
        return {name: [point_of(size, samples) for size, samples in line.items()] for name, line in found.items()}

    def server_cpu(self, parts: Sequence[str] = ("postgres", "postgrest")) -> float:
        """Seconds of CPU that PostgreSQL, with all its backends past and present, and PostgREST have used, or one of them."""
        pids = {name: int((self.run_dir / f"{name}.pid").read_text()) for name in parts}
        ticks = 0
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = entry.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            pid, parent = int(entry.parent.name), int(fields[1])
            if pid in pids.values() or parent == pids.get("postgres"):
                ticks += int(fields[11]) + int(fields[12])
            if pid == pids.get("postgres"):
                ticks += int(fields[13]) + int(fields[14])
        return ticks / os.sysconf("SC_CLK_TCK")

    def compare(
        self,
        key: str,
        what: str,
        against: str,
        ours: Side,
        theirs: Side,
        *,
        target: float,
        setting: str,
        at_least: bool = True,
        unit: str = "msg/s",
        factor: float = 1.0,
        note: str = "",
    ) -> Row:
        """A row whose ratio is the median of the rounds' own ratios, with the smallest and the largest. Costs: at_least=False."""
        ratios = [factor * a.rate / b.rate for a, b in zip(ours.samples, theirs.samples, strict=True) if b.rate]
        return self.add(
            Row(
                key, what, against, target, at_least, statistics.median(ratios), min(ratios), max(ratios), unit, setting,
                ours.summary(), theirs.summary(), len(ratios), note,
            )
        )  # fmt: skip

    def absolute(
        self,
        key: str,
        what: str,
        values: Sequence[float],
        *,
        target: float,
        setting: str,
        unit: str,
        at_least: bool = False,
        side: Side | None = None,
        note: str = "",
    ) -> Row:
        """A row without a peer: the median of the rounds."""
        middle, low, high = statistics.median(values), min(values), max(values)
        summary = {**(side.summary() if side else {"name": ""}), "median": middle, "low": low, "high": high}
        return self.add(Row(key, what, "", target, at_least, middle, low, high, unit, setting, summary, None, len(values), note))

    def add(self, row: Row) -> Row:
        row.measured_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        row.commit = self.commit
        self.rows[row.key] = row
        mark = "[green]met[/]" if row.is_met else "[red]short[/]"
        sign = "≥" if row.at_least else "≤"
        theirs = f" against {row.theirs['median']:,.6g}" if row.theirs else ""
        server = f"; server CPU {row.ours['cpu_us']:.0f} / {row.theirs['cpu_us']:.0f} µs" if row.theirs and row.ours.get("cpu_us") else ""
        shown = f"{row.ratio:.3g}{' ' + TIMES if row.theirs else ' ' + row.unit}"
        self.console.print(
            f"{mark} {row.what} / {row.against or 'absolute'}: [bold]{shown}[/] ({row.low:.3g} to {row.high:.3g}; {sign} {row.target:g});"
            f" {row.ours['median']:,.6g}{theirs} {row.unit}; {row.setting}{server}"
        )
        self.save()
        return row

    def plot(self, key: str, title: str, labels: tuple[str, str], lines: Mapping[str, Sequence[Point]], note: str = "") -> None:
        self.plots[key] = {
            "title": title, "x": labels[0], "y": labels[1], "note": note, "commit": self.commit,
            "measured_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "lines": {name: [asdict(p) for p in points] for name, points in lines.items()},
        }  # fmt: skip
        for name, points in lines.items():
            self.console.print(f"{title}: {name}: " + ", ".join(f"{p.x:g} → {p.y:.4g}" for p in points))
        self.save()

    def skip(self, key: str, reason: str) -> None:
        self.skipped[key] = reason
        self.console.print(f"[yellow]left out[/] {key}: {reason}")

    # ------------------------------------------------------------------------------------------------------------ results

    def save(self) -> None:
        """New rows and plots replace those of the same key in the file; the others stay, each with its own time and commit."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        path = RESULTS / f"{self.name}.json"
        document = json.loads(path.read_text()) if path.exists() else {"rows": {}, "plots": {}}
        document["machine"] = machine(self)
        for key, row in self.rows.items():
            document["rows"][key] = {**asdict(row), "met": row.is_met}
        document["plots"].update(self.plots)
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def machine(bench: Bench) -> dict[str, Any]:
    """The machine and settings of the figures."""
    cpu = first_of("/proc/cpuinfo", "model name")
    memory = int(first_of("/proc/meminfo", "MemTotal").split()[0]) // 1024**2
    with bench.connect() as db:
        version = db.execute("SELECT current_setting('server_version')").fetchone()
        settings: dict[str, str] = dict(
            db.execute(
                "SELECT name, current_setting(name) FROM pg_settings WHERE name IN ('synchronous_commit', 'fsync', 'shared_buffers',"
                " 'max_wal_size', 'full_page_writes', 'wal_compression', 'data_checksums')"
            ).fetchall()
        )
    # The runtime options that PostgREST was started with, from the process itself.
    variables = Path(f"/proc/{(bench.run_dir / 'postgrest.pid').read_text().strip()}/environ").read_text().split("\0")
    return {
        "postgrest": next((v for v in variables if v.startswith("GHCRTS=")), "GHCRTS unset"),
        "cpu": cpu, "cores": os.cpu_count(), "memory_gib": memory, "kernel": platform.release(), "python": platform.python_version(),
        "postgresql": version[0] if version else "", "settings": settings,
    }  # fmt: skip


def first_of(path: str, name: str) -> str:
    return next((line.split(":", 1)[1].strip() for line in Path(path).read_text().splitlines() if line.startswith(name)), "")


def git_commit() -> str:
    done = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


@contextmanager
def progress_bar(bench: Bench) -> Iterator[Progress]:
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=bench.console, transient=True
    ) as progress:
        bench.progress = progress
        yield progress
        bench.progress = None
