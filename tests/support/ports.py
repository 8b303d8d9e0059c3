"""Ports that stay with the test that chose them."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager


class Port:
    """A port of 127.0.0.1 that nobody else is given until close(), or as long as this process lives.

    It is bound, and refuses connections until something listens there. A server that the test starts may take it, since servers set
    SO_REUSEADDR and this end never listens. Letting go of a free port and taking it again would leave it to whoever asks next; and
    letting go of it at the end of a test would leave it to a later one, whose broker the bridge of a shared stack would find where
    an integration of the earlier test has missed its own.
    """

    def __init__(self) -> None:
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        self.number: int = held.getsockname()[1]
        self._descriptor = held.detach()

    def close(self) -> None:
        """Leave it to others, for a test whose stack knows nothing of it."""
        os.close(self._descriptor)

    def is_served(self) -> bool:
        """Whether something listens there now."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.number)) == 0


@contextmanager
def held_port() -> Iterator[Port]:
    """A port that is held for as long as the block lasts."""
    port = Port()
    try:
        yield port
    finally:
        port.close()
