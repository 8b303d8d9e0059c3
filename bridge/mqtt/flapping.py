"""Connections that brokers accept and soon end, again and again: usually two clients with one client id, which throw each other out."""

import random

TAKEN_OVER = 0x8E  # the reason code of MQTT 5 for it; MQTT 3.1.1 has none
LOST = "the connection was lost"  # and nothing said why
STABLE_SECONDS = 10.0
TAKEOVERS, LOSSES = 3, 5  # in a row, from which on it is a state of the integration
BACKOFF_CAP = 30.0
# What was lost without a reason is mostly made again soon: it may be the network, or a broker that restarts.
SHORT_CAP, SHORT_LOSSES = 2.0, 20


class Flapping:
    """What the last connections of a link were like."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._losses = self._takeovers = 0
        self._delay = 0.0
        self.reason: str | None = None  # while it flaps

    def lost(self, lived: float, reason: str, code: int) -> float:
        """A connection has ended after so many seconds; returns after how many to make the next."""
        if self.is_stable(lived):
            self.settled()
        else:
            self._losses += 1
            self._takeovers += code == TAKEN_OVER
            if self._takeovers >= TAKEOVERS:
                self.reason = f"another client with the client id {self._client_id} takes the session over again and again"
            elif self._losses >= LOSSES:
                hint = f"; another client may have the client id {self._client_id}" if reason == LOST else ""
                self.reason = f"each connection ends soon after the broker has accepted it: {reason}{hint}"
        is_short = not self._takeovers and self._losses < SHORT_LOSSES
        delay = min(SHORT_CAP if is_short else BACKOFF_CAP, 0.05 * 2 ** min(self._losses, 12))
        self._delay = delay * random.uniform(0.5, 1.5)  # noqa: S311
        return self._delay

    def is_stable(self, lived: float) -> bool:
        """Whether a connection has lasted: for longer than the other client, which waits alike, would have taken to return."""
        return lived > max(STABLE_SECONDS, 2 * self._delay)

    def settled(self) -> None:
        self._losses = self._takeovers = 0
        self.reason = None
