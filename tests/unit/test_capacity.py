"""docs/how-to/scale.md says what the results of the benchmarks say."""

import json

import pytest

from bench.report.capacity import PAGE, ROOT, Limits, machines, rendered, size, together


def test_the_page_is_up_to_date() -> None:
    """`python -m bench.report.capacity` writes it."""
    document = json.loads((ROOT / "bench" / "results" / "latest.json").read_text())
    assert rendered(PAGE.read_text(), document) == PAGE.read_text()


def test_steps_that_share_the_cores() -> None:
    assert together(100, 100) == pytest.approx(50)
    assert together(1000, 1e12) == pytest.approx(1000)


def test_half_of_a_machine_is_planned_with() -> None:
    assert [machines(rate, 1000) for rate in (1, 500, 501, 5000)] == [1, 1, 2, 10]


def test_sizes_are_readable() -> None:
    assert [size(count) for count in (578, 1_500_000, 49_900_000_000, 5e15)] == ["578 B", "1.5 MB", "49.9 GB", "5,000 TB"]


def test_the_rows_it_needs_are_measured_with_its_payload() -> None:
    rows = json.loads((ROOT / "bench" / "results" / "latest.json").read_text())["rows"]
    for key in ("listening", "batch-100-floor", "worker-rate", "inbound-paho", "outbound-1", "storage", "wal"):
        assert rows[key]["setting"].startswith("100 B JSON"), key
    assert all(value > 0 for value in vars(Limits.of(rows)).values())
