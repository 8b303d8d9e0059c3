"""The stream's HTTP: server-sent events and a WebSocket, both at /stream."""

import asyncio
import contextlib
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import psycopg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from bridge.stream.database import Database, Start
from bridge.stream.hub import MOST_SUBSCRIPTIONS_OF_A_CONNECTION, Hub
from bridge.stream.login import Login, RefusedError, Verifier, login_of, login_of_key
from bridge.stream.metrics import STREAMS, Metrics
from bridge.stream.sinks import LOGIN_CLOSES, EventSource, Socket
from bridge.stream.states import Watch
from bridge.stream.subscriptions import Follower, Sink, Subscription

HELLO_SECONDS = 10.0
MOST_CURSORS = 20
MOST_METRICS = 500
MOST_FILTER_BYTES = 2048  # as mqtt_subscribe
# What each stream can be narrowed by, besides organization_id.
FILTERS = {
    "messages": ("topic", "device_id"),
    "readings": ("topic", "device_id", "metrics"),
    "receipts": ("topic",),
    "presence": ("device_id",),
    "integrations": (),
    "statistics": (),
}
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
            raise _wrong("stream_unknown", f"There is no such stream; there are {', '.join(STREAMS)}.", "Omit it for messages.")
        self.topic, self.device_id, self.organization_id = values.get("topic"), values.get("device_id"), values.get("organization_id")
        if self.organization_id is not None and not _UUID.fullmatch(self.organization_id):
            raise RefusedError(404, "organization_not_found", "organization_id is not a UUID.", "GET /organizations lists yours.")
        self.cursors = since.split(".") if (since := values.get("since")) else []
        if len(self.cursors) > MOST_CURSORS:
            raise _wrong("cursor_invalid", "since is the cursor of an event of the stream.", "Omit it to begin with what comes next.")
        metrics = values.get("metrics")
        if metrics is not None and not (isinstance(metrics, list) and all(isinstance(name, str) for name in metrics)):
            raise _wrong("frame_invalid", "metrics is not an array of strings.", "Omit it for all metrics.")
        if metrics is not None and len(metrics) > MOST_METRICS:
            raise _wrong("frame_invalid", f"metrics has more than {MOST_METRICS} names.", "Omit it for all metrics.")
        self.metrics: list[str] | None = metrics or None
        if len((self.topic or "").encode(errors="replace")) > MOST_FILTER_BYTES:
            raise _wrong("topic_invalid", f"topic has more than {MOST_FILTER_BYTES:,} bytes.", "Use wildcards.")
        for name in ("topic", "device_id", "metrics"):
            if getattr(self, name) is not None and name not in FILTERS[self.stream]:
                raise _wrong("frame_invalid", f"The stream {self.stream} has no {name}.", "Omit it.")


class Opened:
    """A subscription that the database allows, before anything is sent."""

    def __init__(self, wanted: Wanted, sink: Sink, name: str, login: Login) -> None:
        self.wanted, self.sink, self.name, self.login = wanted, sink, name, login
        self.subscription: Subscription
        self._starts: list[Start] = []

    async def open(self, database: Database, hub: Hub) -> None:
        """Raises RefusedError."""
        if self.wanted.stream in ("messages", "readings"):
            self._starts = await database.open(hub.process_id, self.login.claims, self.wanted)
            self.subscription = Follower(self.sink, self.name, self.wanted.stream, self.login, self.wanted.metrics)
            self.subscription.begin(self._starts)
            hub.check(self.subscription)
            hub.admission.admit(self.sink, self.login, {start.organization: start.free for start in self._starts})
        else:
            starts = await database.open_states(hub.process_id, self.login.claims, self.wanted.stream, self.wanted)
            self.subscription = Watch(self.sink, self.name, self.wanted.stream, self.login, starts, hub.counts)
            hub.admission.admit(self.sink, self.login, {start.organization: start.free for start in starts})

    async def begin(self, hub: Hub) -> None:
        if self.subscription.stands_at_once:
            self.subscription.stand()
        if isinstance(self.subscription, Watch):
            hub.watch(self.subscription)
        elif isinstance(self.subscription, Follower):
            await hub.subscribe(self.subscription, self._starts)


class Events:
    """An answer of server-sent events, until the subscription ends or the client goes.

    Starlette's StreamingResponse passes each event on through a generator, a task group and a copy of its headers.
    """

    def __init__(self, hub: Hub, opened: Opened, sink: EventSource, heartbeat: float) -> None:
        self._hub, self._opened, self._sink, self._heartbeat = hub, opened, sink, heartbeat

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        sink, expires = self._sink, self._opened.login.expires
        loop = asyncio.get_running_loop()
        gone = loop.create_task(self._until_gone(receive))
        expiry = None if expires is None else loop.call_later(max(0.0, expires - time.time()), self._expire)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _EVENT_HEADERS})
            sink.begin_heartbeats(self._heartbeat)
            await self._opened.begin(self._hub)
            while frames := await sink.take():
                await send({"type": "http.response.body", "body": b"".join(frames), "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            sink.end_heartbeats()
            if expiry is not None:
                expiry.cancel()
            self._hub.leave(sink)

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._sink.close()

    def _expire(self) -> None:
        self._hub.end(self._opened.subscription)
        self._opened.subscription.fail(
            RefusedError(401, "token_expired", "The token has expired.", "Connect again with a new one, and Last-Event-ID.")
        )


_EVENT_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]


class Streams:
    def __init__(self, verifier: Verifier, database: Database, hub: Hub, heartbeat: float) -> None:
        self._verifier, self._database, self._hub, self._heartbeat = verifier, database, hub, heartbeat
        self._metrics = Metrics(
            hub.counts, lambda: len(hub.admission), lambda: Counter(subscription.stream for subscription in hub.subscriptions())
        )

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/stream", self.events, methods=["GET"]),
                WebSocketRoute("/stream", self.socket),
                Route("/healthz", self.health),
                Route("/metrics", self.metrics),
            ],
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work()) for work in self._work()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

    def _work(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        hub = self._hub
        return [hub.listen, hub.follow, hub.unwatch, hub.states.follow, lambda: hub.admission.check(hub.subscriptions, hub.end)]

    async def metrics(self, _: Request) -> Response:
        body, content_type = self._metrics.page()
        return Response(body, headers={"Content-Type": content_type})

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok" if self._hub.is_ready else "starting"}, 200 if self._hub.is_ready else 503)

    async def _login(self, token: str | None, ticket: str | None, key: str | None) -> Login:
        if key is not None:
            if token is not None or ticket is not None:
                raise _wrong("login_conflict", "There is an API key beside a token or a ticket.", "Send one of them.")
            return login_of_key(await self._database.key(key.replace("\x00", "")))
        if ticket is not None and "\x00" not in ticket:
            claims = await self._database.redeem(ticket)
            return login_of({"exp": time.time() + 3600, **claims})
        if token is None:
            raise RefusedError(401, "token_missing", "The request has no token.", "Send Authorization: Bearer, X-API-Key, or a ticket.")
        return self._verifier.login(token)

    # ------------------------------------------------------------------------------------------- server-sent events

    async def events(self, request: Request) -> Response | Events:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        query: dict[str, Any] = dict(request.query_params)
        if "metrics" in query:
            query["metrics"] = [name for name in query["metrics"].split(",") if name]
        query["since"] = request.headers.get("last-event-id") or query.get("since")
        try:
            login = await self._login(
                token.strip() if scheme.lower() == "bearer" else None, query.get("ticket"), request.headers.get("x-api-key")
            )
            sink = EventSource()
            opened = Opened(Wanted(query), sink, "", login)
            await opened.open(self._database, self._hub)
        except RefusedError as error:
            return _refusal(error)
        except (psycopg.Error, OSError):
            return _refusal(RefusedError(503, "upstream_unavailable", "The database did not answer.", "Connect again after a second."))
        return Events(self._hub, opened, sink, self._heartbeat)

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
            while frames := await self._sink.take():
                for frame in frames:
                    await self._websocket.send_text(frame)
            await self._websocket.close(self._sink.close_code)

    async def _receive(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            try:
                first = await asyncio.wait_for(self._frame(), HELLO_SECONDS)
            except TimeoutError:
                self._sink.end(
                    RefusedError(401, "hello_missing", "The first frame did not come in time.", "Send hello with a token."),
                    LOGIN_CLOSES,
                )
                return
            if first is None or first.get("type") != "hello":
                self._sink.end(
                    RefusedError(401, "hello_missing", "The first frame is not hello.", "Send hello with a token."),
                    LOGIN_CLOSES,
                )
                return
            if not await self._enter(first):
                return
            self._sink.say(type="ready")
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
        logins = [value if isinstance(value := frame.get(name), str) else None for name in ("token", "ticket", "api_key")]
        if logins == [None, None, None]:
            logins = self._header_logins()
        try:
            login = await self._log_in(*logins)
            if self._login is not None and (login.role, login.user) != (self._login.role, self._login.user):
                raise RefusedError(401, "token_invalid", "The token is another user's.", "Open another connection for them.")  # noqa: TRY301
        except RefusedError as error:
            self._sink.end(error, LOGIN_CLOSES)
            return False
        except (psycopg.Error, OSError):
            self._sink.end(RefusedError(503, "upstream_unavailable", "The database did not answer.", "Connect again after a second."), 1013)
            return False
        self._login = login
        if self._expiry is not None:
            self._expiry.cancel()
        expired = RefusedError(401, "token_expired", "The token has expired.", "Send a token frame before it does, or connect again.")
        if login.expires is not None:
            self._expiry = asyncio.get_running_loop().call_later(
                max(0.0, login.expires - time.time()), self._sink.end, expired, LOGIN_CLOSES
            )
        return True

    def _header_logins(self) -> list[str | None]:
        """What the request for the WebSocket had, which browsers cannot send."""
        scheme, _, token = self._websocket.headers.get("authorization", "").partition(" ")
        return [token.strip() if scheme.lower() == "bearer" else None, None, self._websocket.headers.get("x-api-key")]

    async def _act(self, frame: dict[str, Any] | None) -> None:
        kind = None if frame is None else frame.get("type")
        name = None if frame is None else frame.get("id")
        try:
            if frame is not None and kind == "token":
                if await self._enter(frame):
                    self._sink.say(type="ready")
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
            self._sink.say(**answer, **({"id": name} if isinstance(name, str) else {}))
        except (psycopg.Error, OSError):
            self._sink.say(
                type="error", id=name, code="upstream_unavailable", detail="The database did not answer.", hint="Subscribe again."
            )

    async def _subscribe(self, name: str, frame: dict[str, Any]) -> None:
        assert self._login is not None  # noqa: S101  # hello comes first
        self._subscriptions = {known: item for known, item in self._subscriptions.items() if not item.is_ended}
        if name in self._subscriptions:
            raise _wrong("subscription_exists", "There is a subscription with this id.", "Unsubscribe from it, or take another id.")
        if len(self._subscriptions) >= MOST_SUBSCRIPTIONS_OF_A_CONNECTION:
            raise RefusedError(429, "stream_limit_reached", "The connection has as many subscriptions as it may.", "Unsubscribe from some.")
        opened = Opened(Wanted(frame), self._sink, name, self._login)
        await opened.open(self._database, self._hub)
        self._subscriptions[name] = opened.subscription
        await opened.begin(self._hub)

    def _unsubscribe(self, name: str) -> None:
        subscription = self._subscriptions.pop(name, None)
        if subscription is None or subscription.is_ended:
            raise RefusedError(
                404, "subscription_unknown", "There is no subscription with this id.", "Send the id that you subscribed with."
            )
        self._hub.end(subscription)
        self._sink.say(type="unsubscribed", id=name)
