"""What is measured: samples, the two sides of a comparison, rows of the table, points of a plot."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

TIMES = "\u00d7"  # the multiplication sign


@dataclass(frozen=True, slots=True)
class Sample:
    """One short run. rate: per second (for cost rows: the cost); p50 and p99: milliseconds per operation."""

    rate: float
    p50: float | None = None
    p99: float | None = None
    count: int = 0
    messages: int = 0
    cpu: float | None = None  # microseconds of server CPU per message


def sample_of(count: int, seconds: float, latencies: Sequence[float] = ()) -> Sample:
    """A sample from a count, the seconds it took, and the seconds of each operation."""
    return Sample(count / seconds, *percentiles(latencies), count=count, messages=count)


def percentiles(seconds: Sequence[float]) -> tuple[float | None, float | None]:
    """p50 and p99 in milliseconds; None where there are no values."""
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
            "messages": sum(s.messages for s in self.samples),
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
    """The median of each figure of the samples, and the spread of their rates."""

    def middle(values: list[float]) -> float | None:
        return statistics.median(values) if values else None

    rates = [s.rate for s in samples]
    p50, p99 = middle([s.p50 for s in samples if s.p50 is not None]), middle([s.p99 for s in samples if s.p99 is not None])
    return Point(x, statistics.median(rates), p50, p99, min(rates), max(rates))
