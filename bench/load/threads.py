"""The same work in several threads at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


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
