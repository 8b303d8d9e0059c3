"""What every benchmark needs: a stack of its own, samples, alternating runs, a load generator, results on disk."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

ROOT = Path(__file__).absolute().parent.parent
RUN = ROOT / ".run" / "bench"
RESULTS = ROOT / "bench" / "results"

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
TIMES = "\u00d7"  # the multiplication sign


@dataclass(frozen=True, slots=True)
class Sample:
    """One short run. rate: per second (for cost rows: the cost); p50 and p99: milliseconds per operation."""

    rate: float
    p50: float | None = None
    p99: float | None = None
    count: int = 0
    messages: int = 0
    cpu: float | None = None  # microseconds of the servers' CPU a message


def sample_of(count: int, seconds: float, latencies: Sequence[float] = ()) -> Sample:
    """A sample from a count, the seconds it took, and the seconds of each operation."""
    return Sample(count / seconds, *percentiles(latencies), count=count, messages=count)


def percentiles(seconds: Sequence[float]) -> tuple[float | None, float | None]:
    """p50 and p99 in milliseconds; None of nothing."""
    if not seconds:
        return None, None
    ordered = sorted(seconds)
    return ordered[len(ordered) // 2] * 1000, ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1000


@dataclass(slots=True)
class Side:
    """All samples of one contender."""

    name: str
    samples: list[Sample] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        rates = [s.rate for s in self.samples]
        p50 = [s.p50 for s in self.samples if s.p50 is not None]
        p99 = [s.p99 for s in self.samples if s.p99 is not None]
        return {
            "name": self.name,
            "median": statistics.median(rates),
            "low": min(rates),
            "high": max(rates),
            "p50_ms": statistics.median(p50) if p50 else None,
            "p99_ms": statistics.median(p99) if p99 else None,
            "count": sum(s.count for s in self.samples),
            "cpu_us": statistics.median(s.cpu for s in self.samples if s.cpu) if any(s.cpu for s in self.samples) else None,
        }


@dataclass(slots=True)
class Row:
    """One line of the table. ratio is ours / theirs, the median over rounds; for absolute rows `ratio` is the figure itself."""

    key: str
    what: str
    against: str
    target: float
    at_least: bool
    ratio: float
    low: float
    high: float
    unit: str
    setting: str
    ours: dict[str, Any]
    theirs: dict[str, Any] | None
    rounds: int
    note: str = ""
    measured_at: str = ""
    commit: str = ""

    @property
    def is_met(self) -> bool:
        return self.ratio >= self.target if self.at_least else self.ratio <= self.target


@dataclass(slots=True)
class Point:
    """One point of a growth plot."""

    x: float
    y: float
    p50: float | None = None
    p99: float | None = None
    low: float | None = None
    high: float | None = None


def point_of(x: float, samples: Sequence[Sample]) -> Point:
    """The median of the samples, each figure for itself, and the spread of their rates."""

    def middle(values: list[float]) -> float | None:
        return statistics.median(values) if values else None

    rates = [s.rate for s in samples]
    p50, p99 = middle([s.p50 for s in samples if s.p50 is not None]), middle([s.p99 for s in samples if s.p99 is not None])
    return Point(x, statistics.median(rates), p50, p99, min(rates), max(rates))


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
        done = subprocess.run([ROOT / "bin" / "stack", *arguments], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"bin/stack {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def up(self) -> None:
        """Start afresh; the bridge only where a benchmark asks for it, since it would empty the queues under the others."""
        self.stack("down", "--clean")
        self.stack("up", "--free-ports", "--without", "gateway,bridge")
        self.env = dict(line.split("=", 1) for line in self.stack("env").splitlines() if "=" in line)

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
        cpu: bool = False,
    ) -> dict[str, Side]:  # fmt: skip
        """A B A B …, after one run of each that does not count; every other round the other way round, so that drift cancels out.

        cpu: also the CPU time that PostgreSQL and PostgREST take a message, which neighbours on the machine disturb least.
        """
        sides = {name: Side(name) for name in contenders}
        rounds = self.options.rounds
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
        """The lines of plots: every size measured in turn, up and down again, the median and the spread of the rounds."""
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

    def server_cpu(self) -> float:
        """Seconds of CPU that PostgreSQL, with all its backends past and present, and PostgREST have used."""
        pids = {name: int((self.run_dir / f"{name}.pid").read_text()) for name in ("postgres", "postgrest")}
        ticks = 0
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = entry.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            pid, parent = int(entry.parent.name), int(fields[1])
            if pid in pids.values() or parent == pids["postgres"]:
                ticks += int(fields[11]) + int(fields[12])
            if pid == pids["postgres"]:
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
        """A row whose ratio is the median of the rounds' own ratios, with the smallest and the largest. Costs (at_least=False) likewise."""
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
        """A row that is a figure by itself: the median of the rounds."""
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
        """Rows and plots measured now replace those of the same key in the file; the others stay, each with its own time and commit."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        path = RESULTS / f"{self.name}.json"
        document = json.loads(path.read_text()) if path.exists() else {"rows": {}, "plots": {}}
        document["machine"] = machine(self)
        for key, row in self.rows.items():
            document["rows"][key] = {**asdict(row), "met": row.is_met}
        document["plots"].update(self.plots)
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def machine(bench: Bench) -> dict[str, Any]:
    """What the figures were taken on."""
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
    # What PostgREST's runtime was started with, from the process itself.
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


# ------------------------------------------------------------------------------------------------------------ load generators


def needs_wrk() -> None:
    """Installs wrk (Debian) where that can be done, else says what to run."""
    if shutil.which("wrk"):
        return
    if os.geteuid() == 0:
        subprocess.run(["apt-get", "install", "--yes", "--quiet", "wrk"], check=False, capture_output=True)
    if not shutil.which("wrk"):
        raise SystemExit("bench: the load generator wrk is missing: apt-get install wrk")


def wrk_command(folder: Path, url: str, body: bytes, headers: Mapping[str, str], *, clients: int, seconds: int) -> list[str | Path]:
    """wrk that POSTs the body over kept connections, one thread in C; what it sends lies in the folder."""
    body_file, header_file = folder / "body", folder / "headers"
    body_file.write_bytes(body)
    header_file.write_text("".join(f"{k}: {v}\n" for k, v in {"Content-Type": "application/json", **headers}.items()))
    script = Path(__file__).with_name("post.lua")
    return ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "-s", script, url, "--", body_file, header_file]


def wrk(url: str, body: bytes, headers: Mapping[str, str], *, clients: int, seconds: int, messages: int = 1) -> Sample:
    """POSTs the body for some seconds. rate counts messages, p50 and p99 are of requests.

    Raises when any answer is not 2xx: a fast error is no result.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = wrk_command(Path(folder), url, body, headers, clients=clients, seconds=seconds)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = next((line for line in done.stdout.splitlines() if line.startswith("{")), "")
    if not last:
        raise RuntimeError(f"wrk {url}: {done.stdout} {done.stderr}")
    answer = json.loads(last)
    if answer["status"] or answer["transport"] or not answer["requests"]:
        raise RuntimeError(f"wrk {url}: {answer}")
    return Sample(
        answer["requests"] * messages / (answer["microseconds"] / 1e6),
        answer["p50"] / 1000,
        answer["p99"] / 1000,
        answer["requests"],
        answer["requests"] * messages,
    )


def threads(count: int, work: Callable[[int], list[float]]) -> tuple[list[float], float]:
    """Runs work(0) … work(count - 1) at once; returns all their latencies and the seconds from start to end."""
    collected: list[list[float]] = [[] for _ in range(count)]
    failures: list[BaseException] = []
    ready = threading.Barrier(count + 1)

    def body(number: int) -> None:
        ready.wait()
        try:
            collected[number] = work(number)
        except BaseException as failure:  # noqa: BLE001  # handed to the caller below
            failures.append(failure)

    running = [threading.Thread(target=body, args=(n,)) for n in range(count)]
    for thread in running:
        thread.start()
    ready.wait()
    start = time.perf_counter()
    for thread in running:
        thread.join()
    seconds = time.perf_counter() - start
    if failures:
        raise failures[0]
    return [latency for part in collected for latency in part], seconds


def timed(work: Callable[[], object]) -> float:
    """Seconds that the call took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def payload(size: int = 100) -> str:
    """A JSON object of exactly that many bytes, such as a sensor sends."""
    text = '{"temperature":21.53,"humidity":48.2,"battery":3.71,"rssi":-67,"status":"ok","pad":""}'
    if size < len(text):
        raise ValueError(size)
    filler = re.sub(r"\s", "", "0123456789abcdef" * (size // 16 + 1))
    return text[:-2] + filler[: size - len(text)] + text[-2:]
