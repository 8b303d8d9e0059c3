"""The part of a link that its incoming and outgoing halves use."""

from typing import Protocol

from bridge.mqtt.client import Client, Limits


class Wire(Protocol):
    @property
    def client(self) -> Client | None:
        """The client that is connected, if any."""

    @property
    def is_up(self) -> bool:
        """Whether the broker has accepted the connection."""

    @property
    def generation(self) -> int:
        """Number of the connection, from 1."""

    @property
    def limits(self) -> Limits:
        """What the broker announced in its CONNACK."""

    def flush(self) -> None:
        """Write what is buffered; if the socket takes no more, wait until it does."""
