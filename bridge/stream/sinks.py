"""What is waiting to be written to a connection: bounded, and in the form of its protocol."""

import asyncio
import json
from functools import lru_cache
from typing import Any, AnyStr, Generic

from bridge.stream.login import RefusedError
from bridge.stream.subscriptions import Subscription

MOST_BYTES = 256 * 1024  # beyond what the socket holds
LOGIN_CLOSES = 4401
CONTROL = ("gap", "error", "subscribed", "current")
COMMENT = b":\n\n"


class Buffer(Generic[AnyStr]):
    """Frames in order. Messages find room or not; what is said of the stream itself always does."""

    def __init__(self) -> None:
        self._frames: list[AnyStr] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None  # of its one writer; an event would cost a delivery a third more
        self._drained = asyncio.Event()
        self._drained.set()
        self.is_closed = False

    def put(self, frames: list[AnyStr], *, is_bounded: bool) -> bool:
        if self.is_closed:
            return True
        if is_bounded and self._size >= MOST_BYTES:
            self._drained.clear()
            return False
        self._frames += frames
        self._size += sum(map(len, frames))
        self._wake()
        return True

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> list[AnyStr]:
        """All that is waiting, or will be; empty when it is closed."""
        if not self._frames and not self.is_closed:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        frames, self._frames = self._frames, []
        self._size = 0
        self._drained.set()
        return frames

    async def has_room(self) -> None:
        await self._drained.wait()

    def close(self) -> None:
        """After what is waiting, nothing comes."""
        self.is_closed = True
        self._wake()


@lru_cache(maxsize=32)
def _event(event: str, cursor: str | None, body: str) -> bytes:
    """Most viewers of a message get the same bytes."""
    head = f"event: {event}\n" if cursor is None else f"id: {cursor}\nevent: {event}\n"
    bodies = body.split("\n") if event == "readings" else [body]
    return "".join([f"{head}data: {line}\n\n" for line in bodies]).encode()


class EventSource(Buffer[bytes]):
    """Server-sent events (WHATWG HTML, section 9.2), for one subscription."""

    def __init__(self) -> None:
        super().__init__()
        self._beat: asyncio.TimerHandle | None = None
        self._taken_at = 0.0

    def send(self, subscription: Subscription, event: str, cursor: str | None, body: str) -> bool:
        del subscription  # a connection has one
        if event == "subscribed" and cursor is not None:
            body = json.dumps({"cursor": cursor})
        sent = self.put([_event(event, cursor, body)], is_bounded=event not in CONTROL)
        if event == "error":
            self.close()
        return sent

    def refuse(self, error: RefusedError) -> None:
        body = json.dumps({"code": error.slug, "detail": error.detail, "hint": error.hint}, ensure_ascii=False)
        self.put([_event("error", None, body)], is_bounded=False)
        self.close()

    async def take(self) -> list[bytes]:
        frames = await super().take()
        self._taken_at = asyncio.get_running_loop().time()
        return frames

    def begin_heartbeats(self, seconds: float) -> None:
        """Put a comment wherever nothing was taken for so long."""
        loop = asyncio.get_running_loop()
        self._taken_at = loop.time()

        def beat() -> None:
            due = self._taken_at + seconds
            if due <= loop.time():
                due = loop.time() + seconds
                if not self._frames:
                    self.put([COMMENT], is_bounded=False)
            self._beat = loop.call_at(due, beat)

        self._beat = loop.call_later(seconds, beat)

    def end_heartbeats(self) -> None:
        if self._beat is not None:
            self._beat.cancel()


class Socket(Buffer[str]):
    """Frames of a WebSocket: JSON objects, each with the id of its subscription."""

    close_code = 1000

    def say(self, **frame: Any) -> None:
        self.put([json.dumps(frame, ensure_ascii=False, separators=(",", ":"))], is_bounded=False)

    def end(self, error: RefusedError, code: int) -> None:
        self.say(type="error", code=error.slug, detail=error.detail, hint=error.hint)
        self.close_code = code
        self.close()

    def refuse(self, error: RefusedError) -> None:
        if not self.is_closed:
            self.end(error, LOGIN_CLOSES)

    def send(self, subscription: Subscription, event: str, cursor: str | None, body: str) -> bool:
        name = json.dumps(subscription.name, ensure_ascii=False)
        if event in CONTROL:
            extra = "" if cursor is None else f',"cursor":"{cursor}"'
            rest = "" if body == "{}" else f",{body[1:-1]}"
            return self.put([f'{{"type":"{event}","id":{name}{extra}{rest}}}'], is_bounded=False)
        place = "" if cursor is None else f'"cursor":"{cursor}",'
        return self.put(
            [f'{{"type":"{event}","id":{name},{place}"{event}":{line}}}' for line in (body.split("\n") if event == "readings" else [body])],
            is_bounded=True,
        )
