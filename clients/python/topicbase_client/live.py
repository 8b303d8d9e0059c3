"""The live stream: events of a subscription, which goes on by itself where a connection ended."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict, Unpack

import httpx

from topicbase_client.errors import TopicbaseError, answer_of
from topicbase_client.urls import checked

Stream = Literal["messages", "readings", "receipts", "presence", "integrations", "statistics"]

# A comment comes every 15 seconds where nothing else does.
SILENCE = 35.0
# What ends a connection and not the subscription: the next one may have another token.
_PASSING = ("token_expired", "upstream_unavailable", "stream_limit_reached")


class Event(NamedTuple):
    """What an iteration gives.

    `type` is `message` or `readings`, or the name of another stream: a row of it is in `data`, as docs/reference/stream.md describes it;
    `subscribed`, first and after each new connection; `current`, once all that there was has come; `gap`, with `reason` and `lost`:
    where something is lost, or comes later than it might have. `cursor` is where to begin again, null for presence, integrations and
    statistics.
    """

    type: str
    data: dict[str, Any]
    cursor: str | None


class LiveOptions(TypedDict):
    """What a subscription may be narrowed by; `since` is the cursor of an event, after which it begins."""

    stream: NotRequired[Stream]
    topic: NotRequired[str]
    device_id: NotRequired[str]
    organization_id: NotRequired[str]
    metrics: NotRequired[list[str]]
    since: NotRequired[str]


class _Connection:
    """A subscription over its connections: what to ask, what the lines say, and when to try again."""

    def __init__(self, url: str, token: str | Callable[[], str] | None, api_key: str | None, options: LiveOptions) -> None:
        self._url, self._token, self._key = url, token, api_key
        metrics = options.get("metrics")
        self._query = {name: str(value) for name, value in options.items() if name not in ("since", "metrics")}
        if metrics:
            self._query["metrics"] = ",".join(metrics)
        self._cursor = options.get("since")
        self._failures = 0
        self._fields: dict[str, str] = {}

    def request(self) -> dict[str, Any]:
        self._fields = {}
        token = self._token() if callable(self._token) else self._token
        headers = {"Accept": "text/event-stream"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if self._key is not None:
            headers["X-API-Key"] = self._key
        if self._cursor is not None:
            headers["Last-Event-ID"] = self._cursor
        return {"method": "GET", "url": self._url, "params": self._query, "headers": headers}

    def take(self, line: str) -> Event | None:
        """An event, once its lines are complete. Raises TopicbaseError."""
        name, _, value = line.partition(":")
        if line and name:
            self._fields[name] = value.removeprefix(" ")
        if line or "event" not in self._fields:
            return None
        fields, self._fields = self._fields, {}
        data = json.loads(fields.get("data", "{}"))
        if fields["event"] == "error":
            raise TopicbaseError(0, data["code"], data.get("detail"), data.get("hint"))
        self._failures = 0
        self._cursor = fields.get("id", self._cursor)
        return Event(fields["event"], data, fields.get("id"))

    def pause_after(self, error: Exception) -> float:
        """Seconds until the next attempt; raises what will not pass."""
        if isinstance(error, TopicbaseError):
            may_renew = error.slug != "token_expired" or (callable(self._token) and error.status == 0)
            if not may_renew or not (error.slug in _PASSING or error.status >= 500):
                raise error
        self._failures += 1
        return min(30.0, 0.25 * 2.0**self._failures) * random.uniform(0.5, 1)  # noqa: S311


_TIMEOUT = httpx.Timeout(10.0, read=SILENCE)


class _Live:
    def __init__(self, url: str, *, token: str | Callable[[], str] | None = None, api_key: str | None = None) -> None:
        """`url` is that of the stream, `https://host/stream` at the gateway.

        `token` is a JWT, or what gives one for each connection: then a subscription goes on after the old one has expired. `api_key` is
        sent instead of one.
        """
        checked(url)
        self.url, self._token, self._key = url, token, api_key


class Live(_Live):
    """The live stream, one connection for each subscription."""

    def subscribe(self, **options: Unpack[LiveOptions]) -> Iterator[Event]:
        """Events, for as long as they are asked for. Raises TopicbaseError where it is refused."""
        connection = _Connection(self.url, self._token, self._key, options)
        with httpx.Client(timeout=_TIMEOUT) as http:
            while True:
                try:
                    with http.stream(**connection.request()) as response:
                        if not response.is_success:
                            response.read()
                            answer_of(response)
                        for line in response.iter_lines():
                            if (event := connection.take(line)) is not None:
                                yield event
                    error: Exception = EOFError()
                except (httpx.HTTPError, TopicbaseError) as caught:
                    error = caught
                time.sleep(connection.pause_after(error))


class AsyncLive(_Live):
    """The same for asyncio."""

    async def subscribe(self, **options: Unpack[LiveOptions]) -> AsyncIterator[Event]:
        """Events, for as long as they are asked for. Raises TopicbaseError where it is refused."""
        connection = _Connection(self.url, self._token, self._key, options)
        async with httpx.AsyncClient(timeout=_TIMEOUT) as http:
            while True:
                try:
                    async with http.stream(**connection.request()) as response:
                        if not response.is_success:
                            await response.aread()
                            answer_of(response)
                        async for line in response.aiter_lines():
                            if (event := connection.take(line)) is not None:
                                yield event
                    error: Exception = EOFError()
                except (httpx.HTTPError, TopicbaseError) as caught:
                    error = caught
                await asyncio.sleep(connection.pause_after(error))
