"""Runs the stream under uvicorn."""

import logging
from pathlib import Path

import uvicorn

from bridge.stream.app import Streams
from bridge.stream.database import Database
from bridge.stream.hub import Hub
from bridge.stream.login import Verifier

MOST_FRAME_BYTES = 64 * 1024


def run(address: tuple[str, int], secret_file: Path, audience: str, heartbeat: float) -> None:
    """Serve until SIGTERM or SIGINT, with a sign of life after so many seconds of silence. Raises ValueError or OSError for no secret."""
    name = "topicbase stream"
    database = Database(name)
    streams = Streams(Verifier(secret_file, audience), database, Hub(database, name), heartbeat)
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
        ws_ping_interval=heartbeat,
        ws_ping_timeout=2 * heartbeat,
        log_config=None,
        access_log=False,  # a URL may have a ticket
        server_header=False,
        date_header=True,
        backlog=2048,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=2,
    )
