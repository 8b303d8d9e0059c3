"""The connection of a link, as its two directions see it."""

from typing import Protocol

from bridge.mqtt.client import Client, Limits


class Wire(Protocol):
    @property
    def client(self) -> Client | None:
        """The one that is connected, if any."""

    @property
    def is_up(self) -> bool:
        """Whether the broker has accepted the connection."""

    @property
    def generation(self) -> int:
        """Number of the connection, from 1."""

    @property
    def limits(self) -> Limits:
        """What the broker said about itself."""

    def flush(self) -> None:
        """Write what waits; wait for the socket where it takes no more."""
