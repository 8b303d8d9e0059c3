"""A server that accepts connections and never says anything."""

import asyncio
from typing import Self

from tests.support.loop import Loop, close_server


class Tarpit:
    def __init__(self, loop: Loop | None = None) -> None:
        self.open = self.most = 0
        self._is_own = loop is None
        self._loop = loop or Loop()
        self._server = self._loop.run(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            while await reader.read(4096):
                pass
        finally:
            self.open -= 1
            writer.close()

    def close(self) -> None:
        self._loop.run(close_server(self._server))
        if self._is_own:
            self._loop.close()
