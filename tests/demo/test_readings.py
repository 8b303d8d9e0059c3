"""Readings are the kernel's own numbers, and what it does not tell is left out."""

from pathlib import Path

import pytest

from demo.readings import Machine, Rates


def proc(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        path = directory / name.replace("net_dev", "net/dev")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return directory


def test_cpu_counts_between_two_looks(tmp_path: Path) -> None:
    machine = Machine(proc(tmp_path, stat="cpu  100 0 100 800 0 0 0 0 0 0\n", loadavg="0.50 0.25 0.10 2/345 678\n"))
    proc(tmp_path, stat="cpu  130 0 120 840 10 0 0 0 0 0\n")
    assert machine.cpu() == {"busy_percent": 50.0, "load_1m": 0.5}
    assert machine.cpu() == {"load_1m": 0.5}, "no time has passed since, so there is nothing to say"


def test_memory(tmp_path: Path) -> None:
    machine = Machine(proc(tmp_path, meminfo="MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 250 kB\nDirty: 12 kB\n"))
    assert machine.memory() == {"used_percent": 75.0, "available_mib": 0.2, "dirty_kib": 12}


def test_network_adds_all_interfaces(tmp_path: Path) -> None:
    head = "Inter-| Receive | Transmit\n face |bytes packets |bytes\n"
    machine = Machine(proc(tmp_path, net_dev=head + "    lo: 0 0 0 0 0 0 0 0 0 0\n  eth0:1000 0 0 0 0 0 0 0 500 0\n"))
    proc(tmp_path, net_dev=head + "    lo: 50 0 0 0 0 0 0 0 70 0\n  eth0:2000 0 0 0 0 0 0 0 900 0\n")
    reading = machine.network()
    assert reading["received_bytes_per_second"] > 0
    assert reading["sent_bytes_per_second"] / reading["received_bytes_per_second"] == pytest.approx(470 / 1050, rel=0.01)


def test_what_the_kernel_does_not_tell_is_left_out(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert machine.cpu() == machine.memory() == machine.network() == machine.kernel() == machine.system() == {}
    assert set(machine.disk()) == {"used_percent"}  # of the file system itself


def test_rates_of_counters() -> None:
    times = iter([10.0, 12.0, 14.0])
    rates = Rates(lambda: next(times))
    assert rates.of({"a": 5}) == {}
    assert rates.of({"a": 9, "b": 1}) == {"a": 2.0}
    assert rates.of({"a": 3, "b": 2}) == {"b": 0.5}, "a counter that went backwards gives no rate"


def test_this_machine() -> None:
    machine = Machine()
    assert 0 < machine.memory()["used_percent"] < 100
    assert machine.system()["threads"] > 0
    assert machine.cpu()["load_1m"] >= 0
