"""This machine's own readings, from /proc. What the kernel does not tell is left out; nothing is made up."""

import os
import time
from collections.abc import Callable
from pathlib import Path

Reading = dict[str, float]

PROC = Path("/proc")
SECTOR_BYTES = 512  # of /proc/diskstats, whatever the disk's own sectors are


class Rates:
    """Turns counters that only grow into rates per second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at: float | None = None
        self._last: Reading = {}

    def of(self, counters: Reading) -> Reading:
        """Rates since the last call; none at the first call, and none for a counter that went backwards."""
        now = self._clock()
        rates = {}
        if self._at is not None and now > self._at:
            for name, value in counters.items():
                if name in self._last and value >= self._last[name]:
                    rates[name] = round((value - self._last[name]) / (now - self._at), 1)
        self._at, self._last = now, counters
        return rates


class Machine:
    """Each method is one reading: names with units, and numbers. A machine object belongs to one thread."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._disk = Rates()
        self._network = Rates()
        self._kernel = Rates()
        self._cpu_last: tuple[int, int] | None = None
        self.cpu(), self.disk(), self.network(), self.kernel()  # the first look of each has nothing to compare with

    def _lines(self, name: str) -> list[list[str]]:
        try:
            return [line.split() for line in (self._proc / name).read_text().splitlines()]
        except OSError:
            return []

    def cpu(self) -> Reading:
        reading: Reading = {}
        for words in self._lines("stat"):
            if words[:1] == ["cpu"]:
                ticks = [int(word) for word in words[1:9]]  # user … steal; guest time is part of user time
                idle, total = ticks[3] + ticks[4], sum(ticks)
                if self._cpu_last is not None and total > self._cpu_last[1]:
                    busy = 1 - (idle - self._cpu_last[0]) / (total - self._cpu_last[1])
                    reading["busy_percent"] = round(100 * min(max(busy, 0), 1), 1)
                if self._cpu_last is None or total > self._cpu_last[1]:
                    self._cpu_last = (idle, total)
        for words in self._lines("loadavg"):
            reading["load_1m"] = float(words[0])
        return reading

    def memory(self) -> Reading:
        kib = {words[0].rstrip(":"): int(words[1]) for words in self._lines("meminfo") if len(words) > 1}
        reading: Reading = {}
        if kib.get("MemTotal") and "MemAvailable" in kib:
            reading["used_percent"] = round(100 * (1 - kib["MemAvailable"] / kib["MemTotal"]), 2)
            reading["available_mib"] = round(kib["MemAvailable"] / 1024, 1)
        if "Dirty" in kib:
            reading["dirty_kib"] = kib["Dirty"]
        return reading

    def disk(self) -> Reading:
        counters: Reading = {}
        for words in self._lines("diskstats"):
            # Whole disks only, or a partition's bytes would count twice.
            if len(words) >= 10 and not words[2].startswith(("loop", "ram")) and Path("/sys/block", words[2]).exists():
                counters["read_bytes_per_second"] = counters.get("read_bytes_per_second", 0) + int(words[5]) * SECTOR_BYTES
                counters["write_bytes_per_second"] = counters.get("write_bytes_per_second", 0) + int(words[9]) * SECTOR_BYTES
        space = os.statvfs("/")
        return {"used_percent": round(100 * (1 - space.f_bavail / max(space.f_blocks, 1)), 2), **self._disk.of(counters)}

    def network(self) -> Reading:
        counters: Reading = {}
        for line in self._lines("net/dev"):
            name, colon, rest = " ".join(line).partition(":")
            if colon and name:
                numbers = rest.split()
                # The loopback counts too: it is where this demo's own traffic goes.
                counters["received_bytes_per_second"] = counters.get("received_bytes_per_second", 0) + int(numbers[0])
                counters["sent_bytes_per_second"] = counters.get("sent_bytes_per_second", 0) + int(numbers[8])
        return self._network.of(counters)

    def kernel(self) -> Reading:
        counters: Reading = {}
        for words in self._lines("stat"):
            name = {"ctxt": "context_switches_per_second", "intr": "interrupts_per_second", "processes": "forks_per_second"}.get(words[0])
            if name:
                counters[name] = int(words[1])
        return self._kernel.of(counters)

    def system(self) -> Reading:
        reading: Reading = {}
        for words in self._lines("loadavg"):
            running, _, threads = words[3].partition("/")
            reading |= {"running": int(running), "threads": int(threads), "load_5m": float(words[1])}
        for words in self._lines("uptime"):
            reading["uptime_seconds"] = float(words[0])
        return reading
