"""The stream's HTTP: server-sent events and a WebSocket, both at /stream."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import psycopg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from bridge.stream.database import Database, Start
from bridge.stream.hub import MOST_SUBSCRIPTIONS_OF_A_CONNECTION, STREAMS, Hub, Subscription
from bridge.stream.login import Login, RefusedError, Verifier, login_of
from bridge.stream.sinks import EventSource, Socket

HEARTBEAT_SECONDS = 15.0
HELLO_SECONDS = 10.0
LOGIN_CLOSES = 4401
MOST_CURSORS = 20
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _wrong(slug: str, detail: str, hint: str) -> RefusedError:
    return RefusedError(400, slug, detail, hint)


class Wanted:
    """What a client wants to subscribe to, checked."""

    def __init__(self, values: dict[str, Any]) -> None:
        for name in ("stream", "topic", "device_id", "since", "organization_id"):
            if not isinstance(values.get(name), str | None):
                raise _wrong("frame_invalid", f"{name} is not a string.", "docs/reference/stream.md lists what a frame has.")
            if "\x00" in (values.get(name) or ""):
                raise _wrong("frame_invalid", f"{name} has U+0000.", "Send it without.")
        self.stream = values.get("stream") or "messages"
        if self.stream not in STREAMS:
            raise _wrong("stream_unknown", f"There is no such stream; there are {' and '.join(STREAMS)}.", "Omit it for messages.")
        self.topic, self.device_id, self.organization_id = values.get("topic"), values.get("device_id"), values.get("organization_id")
        if self.organization_id is not None and not _UUID.fullmatch(self.organization_id):
            raise RefusedError(404, "organization_not_found", "organization_id is not a UUID.", "GET /organizations lists yours.")
        self.cursors = since.split(".") if (since := values.get("since")) else []
        if len(self.cursors) > MOST_CURSORS:
            raise _wrong("cursor_invalid", "since is the cursor of an event of the stream.", "Omit it to begin with what comes next.")
        metrics = values.get("metrics")
        if metrics is not None and not (isinstance(metrics, list) and all(isinstance(name, str) for name in metrics)):
            raise _wrong("frame_invalid", "metrics is not an array of strings.", "Omit it for all metrics.")
        self.metrics: list[str] | None = metrics or None

    async def open(self, database: Database, login: Login) -> list[Start]:
        return await database.open(login.claims, self.organization_id, self.topic, self.device_id, self.cursors)


class EventsResponse(StreamingResponse):
    """Calls `leave` at its end, even where the client went before the first event."""

    def __init__(self, content: AsyncIterator[str], leave: Callable[[], None]) -> None:
        super().__init__(content, media_type="text/event-stream", headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"})
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


class Streams:
    def __init__(self, verifier: Verifier, database: Database, hub: Hub) -> None:
        self._verifier, self._database, self._hub = verifier, database, hub

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/stream", self.events, methods=["GET"]),
                WebSocketRoute("/stream", self.socket),
                Route("/healthz", self.health),
            ],
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work()) for work in (self._hub.listen, self._hub.follow, self._hub.check_members)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok" if self._hub.is_ready else "starting"}, 200 if self._hub.is_ready else 503)

    async def _login(self, token: str | None, ticket: str | None) -> Login:
        if ticket is not None and "\x00" not in ticket:
            claims = await self._database.redeem(ticket)
            return login_of({"exp": time.time() + 3600, **claims})
        if token is None:
            raise RefusedError(401, "token_missing", "The request has no token.", "Send Authorization: Bearer and a JWT, or a ticket.")
        return self._verifier.login(token)

    # ------------------------------------------------------------------------------------------- server-sent events

    async def events(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        query: dict[str, Any] = dict(request.query_params)
        if "metrics" in query:
            query["metrics"] = [name for name in query["metrics"].split(",") if name]
        query["since"] = request.headers.get("last-event-id") or query.get("since")
        try:
            login = await self._login(token.strip() if scheme.lower() == "bearer" else None, query.get("ticket"))
            wanted = Wanted(query)
            starts = await wanted.open(self._database, login)
            sink = EventSource()
            self._hub.admit(sink, login, {start.organization for start in starts})
        except RefusedError as error:
            return _refusal(error)
        except (psycopg.Error, OSError):
            return _refusal(RefusedError(503, "upstream_unavailable", "The database did not answer.", "Connect again after a second."))
        subscription = Subscription(sink, "", wanted.stream, login, wanted.metrics)
        return EventsResponse(self._sent(sink, subscription, starts), lambda: self._hub.leave(sink))

    async def _sent(self, sink: EventSource, subscription: Subscription, starts: list[Start]) -> AsyncIterator[str]:
        expiry = asyncio.get_running_loop().call_later(
            max(0.0, subscription.login.expires - time.time()), self._expire_events, sink, subscription
        )
        try:
            cursor = ".".join(start.cursor for start in starts)
            sink.send(subscription, "subscribed", cursor, json.dumps({"cursor": cursor}))
            await self._hub.subscribe(subscription, starts)
            while True:
                frames = await sink.take(HEARTBEAT_SECONDS)
                yield "".join(frames) if frames else ":\n\n"
                if sink.is_closed:
                    return
        finally:
            expiry.cancel()

    def _expire_events(self, sink: EventSource, subscription: Subscription) -> None:
        self._hub.end(subscription)
        subscription.fail(RefusedError(401, "token_expired", "The token has expired.", "Connect again with a new one, and Last-Event-ID."))
        sink.close()

    # ---------------------------------------------------------------------------------------------------- WebSocket

    async def socket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        session = Session(self._hub, self._database, self._login, websocket)
        await session.run()


def _refusal(error: RefusedError) -> Response:
    body = {"code": f"PT{error.status}", "message": error.slug, "details": error.detail, "hint": error.hint}
    headers = {"Cache-Control": "no-store"}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status in (429, 503):
        headers["Retry-After"] = "1"
    return JSONResponse(body, error.status, headers)


class Session:
    """One WebSocket, from hello to its end."""

    def __init__(self, hub: Hub, database: Database, login: Any, websocket: WebSocket) -> None:
        self._hub, self._database, self._log_in, self._websocket = hub, database, login, websocket
        self._sink = Socket()
        self._subscriptions: dict[str, Subscription] = {}
        self._login: Login | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._close_code = 1000

    async def run(self) -> None:
        writer = asyncio.create_task(self._write())
        reader = asyncio.create_task(self._receive())
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done() and not self._sink.is_closed:
                self._sink.close()
            with contextlib.suppress(TimeoutError):
                # What is said last, to a reader that takes it.
                await asyncio.wait_for(asyncio.shield(writer), 5.0)
        finally:
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            if self._expiry is not None:
                self._expiry.cancel()
            self._hub.leave(self._sink)

    async def _write(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
            while True:
                for frame in await self._sink.take():
                    await self._websocket.send_text(frame)
                if self._sink.is_closed:
                    await self._websocket.close(self._close_code)
                    return

    def _say(self, **frame: Any) -> None:
        self._sink.put([json.dumps(frame, ensure_ascii=False, separators=(",", ":"))], is_bounded=False)

    def _end(self, error: RefusedError, code: int) -> None:
        self._say(type="error", code=error.slug, detail=error.detail, hint=error.hint)
        self._close_code = code
        self._sink.close()

    async def _receive(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            try:
                first = await asyncio.wait_for(self._frame(), HELLO_SECONDS)
            except TimeoutError:
                self._end(
                    RefusedError(401, "hello_missing", "The first frame did not come in time.", "Send hello with a token."), LOGIN_CLOSES
                )
                return
            if first is None or first.get("type") != "hello":
                self._end(RefusedError(401, "hello_missing", "The first frame is not hello.", "Send hello with a token."), LOGIN_CLOSES)
                return
            if not await self._enter(first):
                return
            self._say(type="ready")
            while not self._sink.is_closed:
                frame = await self._frame()
                # Its answers are bounded like everything else.
                await self._sink.has_room()
                await self._act(frame)

    async def _frame(self) -> dict[str, Any] | None:
        """The next frame; null if it is not a JSON object in text."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or 1000)
        try:
            frame = json.loads(message.get("text") or "")
        except (ValueError, RecursionError):
            return None
        return frame if isinstance(frame, dict) else None

    async def _enter(self, frame: dict[str, Any]) -> bool:
        token, ticket = frame.get("token"), frame.get("ticket")
        try:
            login = await self._log_in(token if isinstance(token, str) else None, ticket if isinstance(ticket, str) else None)
            if self._login is not None and (login.role, login.user) != (self._login.role, self._login.user):
                raise RefusedError(401, "token_invalid", "The token is another user's.", "Open another connection for them.")  # noqa: TRY301
        except RefusedError as error:
            self._end(error, LOGIN_CLOSES)
            return False
        except (psycopg.Error, OSError):
            self._end(RefusedError(503, "upstream_unavailable", "The database did not answer.", "Connect again after a second."), 1013)
            return False
        self._login = login
        if self._expiry is not None:
            self._expiry.cancel()
        expired = RefusedError(401, "token_expired", "The token has expired.", "Send a token frame before it does, or connect again.")
        self._expiry = asyncio.get_running_loop().call_later(max(0.0, login.expires - time.time()), self._end, expired, LOGIN_CLOSES)
        return True

    async def _act(self, frame: dict[str, Any] | None) -> None:
        kind = None if frame is None else frame.get("type")
        name = None if frame is None else frame.get("id")
        try:
            if frame is not None and kind == "token":
                if await self._enter(frame):
                    self._say(type="ready")
            elif frame is not None and kind in ("subscribe", "unsubscribe"):
                if not isinstance(name, str) or not 0 < len(name) <= 100:
                    raise _wrong(
                        "frame_invalid", "id is not a string of 1 to 100 characters.", "Name each subscription, to tell its frames."
                    )
                if kind == "subscribe":
                    await self._subscribe(name, frame)
                else:
                    self._unsubscribe(name)
            else:
                raise _wrong(
                    "frame_invalid", "The frame is not an object whose type is subscribe, unsubscribe or token.", "Send JSON text."
                )
        except RefusedError as error:
            answer = {"type": "error", "code": error.slug, "detail": error.detail, "hint": error.hint}
            self._say(**answer, **({"id": name} if isinstance(name, str) else {}))
        except (psycopg.Error, OSError):
            self._say(type="error", id=name, code="upstream_unavailable", detail="The database did not answer.", hint="Subscribe again.")

    async def _subscribe(self, name: str, frame: dict[str, Any]) -> None:
        assert self._login is not None  # noqa: S101  # hello comes first
        self._subscriptions = {known: item for known, item in self._subscriptions.items() if not item.is_ended}
        if name in self._subscriptions:
            raise _wrong("subscription_exists", "There is a subscription with this id.", "Unsubscribe from it, or take another id.")
        if len(self._subscriptions) >= MOST_SUBSCRIPTIONS_OF_A_CONNECTION:
            raise RefusedError(429, "stream_limit_reached", "The connection has as many subscriptions as it may.", "Unsubscribe from some.")
        wanted = Wanted(frame)
        starts = await wanted.open(self._database, self._login)
        organizations = {start.organization for start in starts}
        for known in self._subscriptions.values():
            organizations.update(known.cursors)
        self._hub.admit(self._sink, self._login, organizations)
        subscription = Subscription(self._sink, name, wanted.stream, self._login, wanted.metrics)
        self._subscriptions[name] = subscription
        self._sink.send(subscription, "subscribed", ".".join(start.cursor for start in starts), "{}")
        await self._hub.subscribe(subscription, starts)

    def _unsubscribe(self, name: str) -> None:
        subscription = self._subscriptions.pop(name, None)
        if subscription is None or subscription.is_ended:
            raise RefusedError(
                404, "subscription_unknown", "There is no subscription with this id.", "Send the id that you subscribed with."
            )
        self._hub.end(subscription)
        self._say(type="unsubscribed", id=name)
