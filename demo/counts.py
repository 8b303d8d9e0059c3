"""What a device itself knows about the messages it sent."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Counts:
    """Messages by their sequence number: each one that is sent ends up accepted, rejected with a reason, or unanswered."""

    sent: int = 0
    accepted: set[int] = field(default_factory=set)
    rejected: dict[int, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def next(self) -> int:
        """The number of a message that is about to be sent."""
        with self._lock:
            self.sent += 1
            return self.sent

    def accept(self, numbers: Iterable[int]) -> None:
        with self._lock:
            self.accepted.update(numbers)

    def reject(self, number: int, reason: str) -> None:
        with self._lock:
            self.rejected[number] = reason

    def error(self, text: str) -> None:
        with self._lock:
            if text not in self.errors:
                self.errors.append(text)

    @property
    def unanswered(self) -> int:
        with self._lock:
            return self.sent - len(self.accepted) - len(self.rejected)

    def numbers(self) -> tuple[set[int], dict[int, str]]:
        """The numbers accepted and rejected so far."""
        with self._lock:
            return set(self.accepted), dict(self.rejected)
