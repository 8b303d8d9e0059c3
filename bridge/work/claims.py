"""Messages that the bridge has claimed and not settled yet: shared by the thread that claims and the one that settles."""

import threading
from collections.abc import Iterable
from uuid import UUID


class Claims:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[int, tuple[UUID, int, float]] = {}  # message: integration, batch, and when it was due by time.monotonic()
        self._counts: dict[UUID, int] = {}  # integration: messages under way
        self._queued: dict[UUID, set[int]] = {}  # integration: messages that are still in the queue, under way or being settled
        self._batches: dict[int, int] = {}  # batch: messages under way
        self._ended: set[int] = set()  # batches without any, which the database has not been told of

    def __len__(self) -> int:
        return len(self._under_way)

    def count(self, integration_id: UUID) -> int:
        """Messages of the integration that are under way."""
        return self._counts.get(integration_id, 0)

    def has(self, integration_ids: Iterable[UUID]) -> bool:
        """Whether messages of these integrations are under way or being settled."""
        return any(key in self._queued for key in integration_ids)

    def queued(self, integration_ids: Iterable[UUID]) -> list[int]:
        """Those that a claim for these integrations would find again."""
        with self._lock:
            return [msg_id for key in integration_ids for msg_id in self._queued.get(key, ())]

    def take(self, integration_id: UUID, batch: int, msg_id: int, due_at: float) -> None:
        with self._lock:
            self._under_way[msg_id] = integration_id, batch, due_at
            self._counts[integration_id] = self._counts.get(integration_id, 0) + 1
            self._queued.setdefault(integration_id, set()).add(msg_id)
            self._batches[batch] = self._batches.get(batch, 0) + 1

    def end(self, msg_id: int) -> tuple[UUID, float, int | None] | None:
        """The message is no longer under way: its integration, when it was due, and its batch when it was the last of that.

        None when it was not under way.
        """
        with self._lock:
            found = self._under_way.pop(msg_id, None)
            if found is None:
                return None
            key, batch, due_at = found
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]
            self._batches[batch] -= 1
            if self._batches[batch]:
                return key, due_at, None
            del self._batches[batch]
            self._ended.add(batch)
            return key, due_at, batch

    def batches(self) -> list[int]:
        """All that the database may still have."""
        with self._lock:
            return [*self._batches, *self._ended]

    def finished(self, batches: Iterable[int]) -> None:
        """The database no longer has them."""
        with self._lock:
            self._ended.difference_update(batches)

    def forget(self, messages: Iterable[tuple[UUID, int]]) -> None:
        """The queue no longer holds them, or may give them out again."""
        with self._lock:
            for key, msg_id in messages:
                queued = self._queued.get(key)
                if queued is not None:
                    queued.discard(msg_id)
                    if not queued:
                        del self._queued[key]
