"""What is waiting to be written to a connection: bounded, and in the form of its protocol."""

import asyncio
import json
from collections import deque

from bridge.stream.database import Row
from bridge.stream.hub import Subscription

MOST_BYTES = 256 * 1024  # beyond what the socket holds


class Buffer:
    """Frames in order. Messages find room or not; what is said of the stream itself always does."""

    def __init__(self) -> None:
        self._frames: deque[str] = deque()
        self._size = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self.is_closed = False

    def put(self, frames: list[str], *, is_bounded: bool) -> bool:
        if is_bounded and self._size >= MOST_BYTES:
            self._drained.clear()
            return False
        self._frames.extend(frames)
        self._size += sum(map(len, frames))
        self._filled.set()
        return True

    async def take(self, seconds: float | None = None) -> list[str]:
        """All that is waiting; empty after so many seconds, or when it is closed."""
        if not self._frames and not self.is_closed:
            try:
                await asyncio.wait_for(self._filled.wait(), seconds)
            except TimeoutError:
                return []
        frames = list(self._frames)
        self._frames.clear()
        self._filled.clear()
        self._size = 0
        self._drained.set()
        return frames

    async def has_room(self) -> None:
        await self._drained.wait()

    def close(self) -> None:
        """After what is waiting, nothing comes."""
        self.is_closed = True
        self._filled.set()


class EventSource(Buffer):
    """Server-sent events (WHATWG HTML, section 9.2), for one subscription."""

    def send(self, subscription: Subscription, event: str, cursor: str | None, body: str, row: Row | None = None) -> bool:
        del row
        bodies = body.split("\n") if event not in ("message", "gap", "error") else [body]
        head = f"event: {event}\n" if cursor is None else f"id: {cursor}\nevent: {event}\n"
        sent = self.put([f"{head}data: {line}\n\n" for line in bodies], is_bounded=event not in ("gap", "error", "subscribed"))
        if event == "error":
            self.close()
        return sent


class Socket(Buffer):
    """Frames of a WebSocket: JSON objects, each with the id of its subscription."""

    def send(self, subscription: Subscription, event: str, cursor: str | None, body: str, row: Row | None = None) -> bool:
        del row
        name = json.dumps(subscription.name, ensure_ascii=False)
        if event in ("gap", "error", "subscribed"):
            extra = "" if cursor is None else f',"cursor":"{cursor}"'
            rest = "" if body == "{}" else f",{body[1:-1]}"
            return self.put([f'{{"type":"{event}","id":{name}{extra}{rest}}}'], is_bounded=False)
        return self.put(
            [
                f'{{"type":"{event}","id":{name},"cursor":"{cursor}","{event}":{line}}}'
                for line in ([body] if event == "message" else body.split("\n"))
            ],
            is_bounded=True,
        )
