"""How fast brokers may deliver: more is left unread, so that they keep it."""

import math
import time


class Rate:
    """A bucket of tokens, one a message or a byte. It goes into debt, since what was read has arrived. Used on the network thread."""

    __slots__ = ("_burst", "_filled_at", "_per_second", "tokens")

    def __init__(self, per_second: float | None = None, burst: float | None = None) -> None:
        self._per_second: float | None = None
        self._burst = self._filled_at = 0.0
        self.tokens = math.inf
        self.set(per_second, burst)

    def set(self, per_second: float | None, burst: float | None = None) -> bool:
        """So many a second from now on, in bursts of two seconds' worth unless it is said otherwise; None is without limit.

        Returns whether that is a change.
        """
        burst = burst or max(1.0, 2 * (per_second or 0))
        if (per_second, burst) == (self._per_second, self._burst):
            return False
        self._per_second, self._burst = per_second, burst
        self._filled_at = time.monotonic()
        self.tokens = math.inf if per_second is None else min(self.tokens, burst)
        return True

    def wait(self, now: float) -> float:
        """Seconds until there is a token."""
        if self._per_second is None:
            return 0.0
        self.tokens = min(self._burst, self.tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        return max(0.0, (1 - self.tokens) / self._per_second)
