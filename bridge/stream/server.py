"""Runs the stream under uvicorn."""

import logging

import uvicorn

from bridge.stream.app import Streams
from bridge.stream.database import Database
from bridge.stream.hub import Hub
from bridge.stream.login import Verifier

MOST_FRAME_BYTES = 64 * 1024


def run(address: tuple[str, int], secret: str, audience: str) -> None:
    """Serve until SIGTERM or SIGINT. Raises ValueError for a secret that is none."""
    name = "topicbase stream"
    database = Database(name)
    streams = Streams(Verifier(secret, audience), database, Hub(database, name))
    logging.getLogger("uvicorn").propagate = True
    uvicorn.run(
        streams.app(),
        host=address[0],
        port=address[1],
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=MOST_FRAME_BYTES,
        ws_per_message_deflate=False,  # its state would be most of a connection's memory
        ws_ping_interval=20.0,
        ws_ping_timeout=40.0,
        log_config=None,
        access_log=False,  # a URL may have a ticket
        server_header=False,
        date_header=True,
        backlog=2048,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=2,
    )
