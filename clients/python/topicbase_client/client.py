"""Calls of the API, as a user, an app or a backend."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NotRequired, Self, TypedDict, Unpack

import httpx

from topicbase_client.calls import (
    WITH_ORGANIZATION,
    AsyncCalls,
    Calls,
    DevicesRow,
    ListDevicesArguments,
    ListMessages,
    ListMessagesArguments,
    QueryTelemetry,
    QueryTelemetryArguments,
)
from topicbase_client.errors import answer_of, unreachable
from topicbase_client.urls import checked

# More than the longest `wait` of a call.
TIMEOUT = 60.0


class Options(TypedDict):
    """What a client may be given.

    `token` is a JWT, or what gives one for each call; `api_key` is sent instead of one. `organization_id` goes with each call that takes
    one and is given none. `timeout` is in seconds.
    """

    token: NotRequired[str | Callable[[], str] | None]
    api_key: NotRequired[str | None]
    organization_id: NotRequired[str | None]
    timeout: NotRequired[float]


class _Caller:
    """What both clients send."""

    def __init__(self, url: str, **options: Unpack[Options]) -> None:
        checked(url)
        self.url, self.organization_id, self._token = url.rstrip("/"), options.get("organization_id"), options.get("token")
        self._timeout, key = options.get("timeout", TIMEOUT), options.get("api_key")
        self._headers = {} if key is None else {"X-API-Key": key}

    def _request(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.organization_id is not None and name in WITH_ORGANIZATION and arguments.get("organization_id") is None:
            arguments = {**arguments, "organization_id": self.organization_id}
        token = self._token() if callable(self._token) else self._token
        headers = self._headers if token is None else {**self._headers, "Authorization": f"Bearer {token}"}
        return {"url": f"{self.url}/rpc/{name}", "json": arguments, "headers": headers}


class Topicbase(_Caller, Calls):
    """A client whose calls wait for their answers. Use it in a `with` statement, or `close` it."""

    def __init__(self, url: str, **options: Unpack[Options]) -> None:
        """`url` is that of the API: `https://host/rest/v1` at the gateway, else PostgREST's."""
        super().__init__(url, **options)
        self._http = httpx.Client(timeout=self._timeout)

    def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        try:
            response = self._http.post(**self._request(name, arguments))
        except httpx.HTTPError as error:
            raise unreachable(error) from error
        return answer_of(response)

    def devices(self, **arguments: Unpack[ListDevicesArguments]) -> Iterator[DevicesRow]:
        """All devices, page by page, as `list_devices`; `limit` is the size of a page."""
        while True:
            page = self.call("list_devices", **arguments)
            yield from page["devices"]
            if page["next_cursor"] is None:
                return
            arguments["cursor"] = page["next_cursor"]

    def messages(self, **arguments: Unpack[ListMessagesArguments]) -> Iterator[ListMessages]:
        """Stored messages, newest first unless `oldest_first`, as `list_messages`."""
        return self._rows("list_messages", {**arguments})

    def telemetry(self, **arguments: Unpack[QueryTelemetryArguments]) -> Iterator[QueryTelemetry]:
        """Readings, newest first, as `query_telemetry`."""
        return self._rows("query_telemetry", {**arguments})

    def _rows(self, name: str, arguments: dict[str, Any]) -> Iterator[Any]:
        """Rows of a call whose next page begins after the `cursor` of the last row; it ends with an empty page."""
        while page := self._call(name, arguments):
            yield from page
            arguments["cursor"] = page[-1]["cursor"]

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncTopicbase(_Caller, AsyncCalls):
    """The same for asyncio. Use it in an `async with` statement, or `close` it."""

    def __init__(self, url: str, **options: Unpack[Options]) -> None:
        """`url` is that of the API: `https://host/rest/v1` at the gateway, else PostgREST's."""
        super().__init__(url, **options)
        self._http = httpx.AsyncClient(timeout=self._timeout)

    async def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        try:
            response = await self._http.post(**self._request(name, arguments))
        except httpx.HTTPError as error:
            raise unreachable(error) from error
        return answer_of(response)

    async def devices(self, **arguments: Unpack[ListDevicesArguments]) -> AsyncIterator[DevicesRow]:
        """All devices, page by page, as `list_devices`; `limit` is the size of a page."""
        while True:
            page = await self.call("list_devices", **arguments)
            for device in page["devices"]:
                yield device
            if page["next_cursor"] is None:
                return
            arguments["cursor"] = page["next_cursor"]

    def messages(self, **arguments: Unpack[ListMessagesArguments]) -> AsyncIterator[ListMessages]:
        """Stored messages, newest first unless `oldest_first`, as `list_messages`."""
        return self._rows("list_messages", {**arguments})

    def telemetry(self, **arguments: Unpack[QueryTelemetryArguments]) -> AsyncIterator[QueryTelemetry]:
        """Readings, newest first, as `query_telemetry`."""
        return self._rows("query_telemetry", {**arguments})

    async def _rows(self, name: str, arguments: dict[str, Any]) -> AsyncIterator[Any]:
        while page := await self._call(name, arguments):
            for row in page:
                yield row
            arguments["cursor"] = page[-1]["cursor"]

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
