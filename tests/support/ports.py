"""Ports that stay with the test that chose them."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


class Port:
    """A port of 127.0.0.1 that nobody else is given until close(): bound, and refusing connections until something listens there.

    A server that the test starts may take it, since servers set SO_REUSEADDR and this end never listens. Letting go of a free port and
    taking it again would leave it to whoever asks for one in between.
    """

    def __init__(self) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", 0))
        self.number: int = self.socket.getsockname()[1]

    def is_served(self) -> bool:
        """Whether something listens there now."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.number)) == 0

    def close(self) -> None:
        self.socket.close()


@contextmanager
def held_port() -> Iterator[Port]:
    """A port that is held for as long as the block lasts."""
    port = Port()
    try:
        yield port
    finally:
        port.close()
