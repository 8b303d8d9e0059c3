"""Readings are the kernel's own numbers, and what it does not report is left out."""

from pathlib import Path

import psutil
import pytest

from demo.readings import Machine, Rates


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that psutil reads instead of /proc."""
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    return tmp_path


def test_cpu_counts_between_two_looks(proc: Path) -> None:
    (proc / "stat").write_text("cpu  100 0 100 800 0 0 0 0 0 0\n")
    machine = Machine()
    (proc / "stat").write_text("cpu  130 0 120 840 10 0 0 0 0 0\n")
    assert machine.cpu() == {"busy_percent": 50.0}
    assert machine.cpu() == {}, "no time has passed since, so there is nothing to say"


def test_memory(proc: Path) -> None:
    sizes = {"MemTotal": 1000, "MemFree": 100, "MemAvailable": 250, "Buffers": 10, "Cached": 100, "Shmem": 10, "Active": 10, "Inactive": 10}
    (proc / "meminfo").write_text("".join(f"{name}: {size} kB\n" for name, size in {**sizes, "Slab": 10, "SReclaimable": 5}.items()))
    assert Machine().memory() == {"used_percent": 75.0, "available_mib": 0.2}


def test_network_adds_all_interfaces(proc: Path) -> None:
    def receive_and_send(lo: tuple[int, int], eth0: tuple[int, int]) -> None:
        (proc / "net" / "dev").write_text(
            "Inter-| Receive | Transmit\n face |bytes packets |bytes\n"
            f"    lo: {lo[0]} 0 0 0 0 0 0 0 {lo[1]} 0 0 0 0 0 0 0\n  eth0:{eth0[0]} 0 0 0 0 0 0 0 {eth0[1]} 0 0 0 0 0 0 0\n"
        )

    (proc / "net").mkdir()
    receive_and_send((0, 0), (1000, 500))
    machine = Machine()
    receive_and_send((50, 70), (2000, 900))
    reading = machine.network()
    assert reading["received_bytes_per_second"] > 0
    assert reading["sent_bytes_per_second"] / reading["received_bytes_per_second"] == pytest.approx(470 / 1050, rel=0.01)


@pytest.mark.usefixtures("proc")
def test_what_the_kernel_does_not_report_is_left_out() -> None:
    machine = Machine()
    assert machine.cpu() == machine.memory() == machine.network() == machine.kernel() == {}
    assert 0 < machine.disk()["used_percent"] < 100  # of the file system itself


def test_rates_of_counters() -> None:
    times = iter([10.0, 12.0, 14.0])
    rates = Rates(lambda: next(times))
    assert rates.of({"a": 5}) == {}
    assert rates.of({"a": 9, "b": 1}) == {"a": 2.0}
    assert rates.of({"a": 3, "b": 2}) == {"b": 0.5}, "a counter that went backwards gives no rate"


def test_this_machine() -> None:
    machine = Machine()
    assert 0 < machine.memory()["used_percent"] < 100
    assert machine.system()["processes"] > 0
    assert machine.system()["load_1m"] >= 0
    assert machine.system()["uptime_seconds"] > 0
