"""The threads that connect to brokers, shared by the organizations: one whose brokers keep silent delays its own connections."""

import contextlib
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from bridge.shares import fair_share


class Dialers:
    def __init__(self, total: int) -> None:
        self._threads = ThreadPoolExecutor(total, thread_name_prefix="dial")  # made as they are needed
        self._lock = threading.Lock()
        self._free = total
        self._busy: Counter[UUID] = Counter()
        self._waiting: dict[UUID, deque[Callable[[], None]]] = {}

    def submit(self, organization_id: UUID, work: Callable[[], None]) -> None:
        """Have it done, after what the organization submitted before."""
        with self._lock:
            self._waiting.setdefault(organization_id, deque()).append(work)
            self._begin()

    def end(self) -> None:
        """Begin nothing more."""
        with self._lock:
            self._waiting.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        while self._waiting:
            key = min(self._waiting, key=self._busy.__getitem__)
            if not fair_share(self._busy[key] + 1, self._free - 1):
                return
            queue = self._waiting[key]
            work = queue.popleft()
            if not queue:
                del self._waiting[key]
            self._busy[key] += 1
            self._free -= 1
            with contextlib.suppress(RuntimeError):  # ending
                self._threads.submit(self._run, key, work)

    def _run(self, key: UUID, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._lock:
                self._free += 1
                self._busy[key] -= 1
                if not self._busy[key]:
                    del self._busy[key]
                self._begin()
