"""A TCP proxy that cuts, stalls, slows down or refuses what goes through it."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.loop import Loop, close_server

CHUNK = 65536
LATE_SECONDS = 1.0


@dataclass(frozen=True)
class Trap:
    """Harm at the first packet of a kind (the first four bits of MQTT's fixed header) from one side.

    reset, close: the connection ends instead of the packet, by RST or by FIN. half: after half of it. late: nothing goes either way for
    a second. slow: all goes on in small pieces. half-open: nothing goes this way any more, and nothing is closed.
    """

    kind: int
    from_broker: bool
    harm: str


class Proxy:
    def __init__(self, loop: Loop, host: str, port: int, *, listen: str = "127.0.0.1") -> None:
        self._loop = loop
        self._target = (host, port)
        self._flows = asyncio.Event()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refuses = False
        self._delay = 0.0
        self._chunk = CHUNK
        self.connections = 0
        self.trap: Trap | None = None
        self._server = loop.run(asyncio.start_server(self._accept, listen, 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        loop.call(self._flows.set)

    def cut(self, *, reset: bool = True) -> int:
        """End all connections, by RST or by FIN; new ones are taken. Returns how many there were."""

        return self._loop.call(lambda: self._cut(reset=reset))

    def _cut(self, *, reset: bool) -> int:
        pairs = list(self._pairs)
        for pair in pairs:
            for writer in pair:
                if reset:
                    with contextlib.suppress(OSError):
                        linger = struct.pack("ii", 1, 0)
                        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    writer.transport.abort()
                else:
                    writer.close()
        return len(pairs)

    def stall(self) -> None:
        """Forward nothing, in either direction, and close nothing: to each side the other looks frozen."""
        self._loop.call(self._flows.clear)

    def slow(self, delay: float, chunk: int = 512) -> None:
        """Forward at most `chunk` bytes every `delay` seconds, so that packets arrive in pieces."""
        self._delay, self._chunk = delay, chunk

    def refuse(self) -> None:
        """Take no new connections."""
        self._refuses = True

    def heal(self) -> None:
        self._refuses, self._delay, self._chunk = False, 0.0, CHUNK
        self._loop.call(self._flows.set)

    def close(self) -> None:
        async def work() -> None:
            self._refuses = True
            await close_server(self._server)
            for pair in list(self._pairs):
                for writer in pair:
                    writer.transport.abort()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._loop.run(work())

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._refuses:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, far_writer)
        self._pairs.add(pair)
        tasks = {
            asyncio.ensure_future(self._pump(reader, far_writer, from_broker=False)),
            asyncio.ensure_future(self._pump(far_reader, writer, from_broker=True)),
        }
        self._tasks |= tasks
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not self._flows.is_set():
                await self._flows.wait()
            await asyncio.wait(tasks, timeout=0.05)
        finally:
            for task in tasks:
                task.cancel()
            self._tasks -= tasks
            self._pairs.discard(pair)
            for each in pair:
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_broker: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(self._chunk):
                trap = self.trap
                if trap is not None and trap.from_broker == from_broker and trap.kind in _kinds(data):
                    self.trap = None
                    if trap.harm == "half-open":
                        await asyncio.get_running_loop().create_future()
                    if self._spring(trap.harm, data, writer):
                        return
                if not self._flows.is_set():
                    await self._flows.wait()
                if self._delay:
                    await asyncio.sleep(self._delay)
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

    def _spring(self, harm: str, data: bytes, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection is no more."""
        if harm == "late":
            self._flows.clear()
            self._loop.loop.call_later(LATE_SECONDS, self._flows.set)
        elif harm == "slow":
            self._delay, self._chunk = 0.01, 7
        else:
            if harm == "half":
                writer.write(data[: len(data) // 2])
            self._cut(reset=harm == "reset")
            return True
        return False


def _kinds(data: bytes) -> Iterator[int]:
    """Of the packets that begin in a piece that begins with one."""
    position = 0
    while position < len(data):
        yield data[position] >> 4
        length, shift = 0, 0
        position += 1
        while position < len(data):
            byte = data[position]
            length |= (byte & 127) << shift
            shift += 7
            position += 1
            if not byte & 128:
                break
        position += length
