"""This machine's own readings, by psutil. What the kernel does not report is left out; nothing is made up."""

import time
from collections.abc import Callable
from typing import TypeVar

import psutil

Reading = dict[str, float]
Found = TypeVar("Found")


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


def reported(read: Callable[[], Found | None]) -> Found | None:
    """What psutil finds; None where this kernel or container does not report it."""
    try:
        return read()
    except (OSError, NotImplementedError):
        return None


class Machine:
    """Each method is one reading: names with units, and numbers. A machine object belongs to one thread."""

    def __init__(self) -> None:
        self._disk = Rates()
        self._network = Rates()
        self._kernel = Rates()
        self._cpu_last: tuple[float, float] | None = None
        self.cpu(), self.disk(), self.network(), self.kernel()  # the first call of each has nothing to compare with

    def cpu(self) -> Reading:
        # Not psutil.cpu_percent(): it compares with the last call of the same thread, and the first call is made in another one.
        times = reported(psutil.cpu_times)
        if times is None:
            return {}
        idle = times.idle + times.iowait
        total = sum(times[:8])  # user to steal; guest time is part of user time
        last, self._cpu_last = self._cpu_last, (idle, total)
        if last is None or total <= last[1]:
            return {}
        busy = 1 - (idle - last[0]) / (total - last[1])
        return {"busy_percent": round(100 * min(max(busy, 0), 1), 1)}

    def memory(self) -> Reading:
        memory = reported(psutil.virtual_memory)
        if memory is None or not memory.total:
            return {}
        return {
            "used_percent": round(100 * (1 - memory.available / memory.total), 2),
            "available_mib": round(memory.available / 1024**2, 1),
        }

    def disk(self) -> Reading:
        space, moved = psutil.disk_usage("/"), reported(lambda: psutil.disk_io_counters(nowrap=False))
        counters: Reading = {}
        if moved is not None:
            counters = {"read_bytes_per_second": moved.read_bytes, "write_bytes_per_second": moved.write_bytes}
        return {"used_percent": round(100 * (1 - space.free / max(space.total, 1)), 2), **self._disk.of(counters)}

    def network(self) -> Reading:
        # The loopback is included: this demo's own traffic goes there.
        moved = reported(lambda: psutil.net_io_counters(nowrap=False))
        if moved is None:
            return {}
        return self._network.of({"received_bytes_per_second": moved.bytes_recv, "sent_bytes_per_second": moved.bytes_sent})

    def kernel(self) -> Reading:
        counts = reported(psutil.cpu_stats)
        if counts is None:
            return {}
        return self._kernel.of({"context_switches_per_second": counts.ctx_switches, "interrupts_per_second": counts.interrupts})

    def system(self) -> Reading:
        load_1m, load_5m, _ = psutil.getloadavg()
        reading: Reading = {"processes": len(psutil.pids()), "load_1m": round(load_1m, 2), "load_5m": round(load_5m, 2)}
        if (booted := reported(psutil.boot_time)) is not None:
            reading["uptime_seconds"] = round(time.time() - booted, 1)
        return reading
