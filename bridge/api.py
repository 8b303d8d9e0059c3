"""Calls of the HTTP API, as any app makes them: PostgREST with a JWT. The standard library is enough for one caller and few calls."""

import http.client
import json
import queue
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from bridge import exact

# PostgREST without the database, and what it passes on of a database that is starting or stopping.
UNREACHED = ("PGRST00", "57P", "08")
MOST_LEVELS = 200  # of JSON that is shown; the parser's recursion ends at fewer than 1,000
BRACKETS_AND_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
TIMEOUT_SECONDS = 60.0  # above the longest long poll
LOOK_SECONDS = 5.0
MOST_LOOKED_AT = 65536  # bytes


# PostgREST's own words about tokens say nothing of a way out.
_WAYS = (
    ("JWSInvalidSignature", "The token was signed with another secret than PostgREST's `jwt-secret`."),
    ("JWT expired", "Get a new token from your login service; `topicbase token add` makes one for a test."),
    ("JWTNotInAudience", "The token's `aud` is not PostgREST's `jwt-aud`."),
    ("JW", "The token cannot be read: get a new one from your login service."),
)


class ApiError(Exception):
    """The API returned an error; the message has its slug, details and hint."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class RefusedError(ApiError):
    """The token is not accepted."""


class UnreachableError(Exception):
    """No answer, or one that is not from PostgREST."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Do not follow: the token is meant for the given address only."""


class Api:
    def __init__(self, url: str, token: str) -> None:
        self.token = token
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": "application/json"}
        self._opener = urllib.request.build_opener(_NoRedirect)

    def call(self, rpc: str, body: dict[str, Any]) -> Any:
        """POST to /rpc/<rpc>. Raises ApiError, UnreachableError."""
        data = exact.dumps({key: value for key, value in body.items() if value is not None}).encode()
        return self._send(f"/rpc/{rpc}", data)

    def rows(self, view: str, query: dict[str, str]) -> list[dict[str, Any]]:
        """Rows of a view, with PostgREST's filters."""
        return list(self._send(f"/{view}?{urllib.parse.urlencode(query)}", None))

    def _send(self, path: str, data: bytes | None) -> Any:
        request = urllib.request.Request(self._url + path, data, self._headers)  # noqa: S310  # the caller has checked the scheme
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            raise _refusal(error.code, error.read()) from None
        except (OSError, urllib.error.URLError) as error:
            raise UnreachableError(f"{self._url} cannot be reached: {getattr(error, 'reason', error)}") from None
        try:
            return loads(body) if body else None
        except ValueError:
            raise UnreachableError(f"{self._url} does not answer as PostgREST does") from None


def bare(url: str) -> str:
    """A URL without what may be a secret: the user and password before its host, and what follows its path. Raises ValueError."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def look(url: str) -> Any:
    """What a GET without a login is answered, within LOOK_SECONDS. Raises ApiError, UnreachableError."""
    answers: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_looked_at(url))
        except (ApiError, UnreachableError) as error:
            answers.put(error)

    # The time that a socket is given begins again with each byte, and asking for a name has none.
    threading.Thread(target=ask, daemon=True).start()
    try:
        found = answers.get(timeout=LOOK_SECONDS)
    except queue.Empty:
        raise UnreachableError(f"{url} has not answered within {LOOK_SECONDS:.0f} s") from None
    if isinstance(found, Exception):
        raise found
    try:
        return loads(found)
    except ValueError:
        raise UnreachableError(f"{url} does not answer as Topicbase does") from None


def _looked_at(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310  # the caller has checked the scheme
    try:
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=LOOK_SECONDS) as answer:
                return bytes(answer.read(MOST_LOOKED_AT))
        except urllib.error.HTTPError as error:
            raise _refusal(error.code, error.read(MOST_LOOKED_AT)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnreachableError(f"{url} cannot be reached: {getattr(error, 'reason', error)}") from None


def events(url: str, token: str, query: dict[str, str]) -> Iterator[tuple[str, str | None, Any]]:
    """Name, id and data of each event of the live stream, until it ends. Raises ApiError, UnreachableError."""
    request = urllib.request.Request(  # noqa: S310  # the caller has checked the scheme
        f"{url}?{urllib.parse.urlencode(query)}", headers={"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_SECONDS) as answer:
            fields: dict[str, str] = {}
            for line in answer:
                name, _, value = line.decode().rstrip("\r\n").partition(": ")
                if name and name[0] != ":":
                    fields[name] = value
                elif not name and "event" in fields:
                    yield fields["event"], fields.get("id"), loads(fields.get("data", "null").encode())
                    fields = {}
    except urllib.error.HTTPError as error:
        raise _refusal(error.code, error.read()) from None
    except (OSError, urllib.error.URLError, http.client.HTTPException, ValueError) as error:
        raise UnreachableError(f"{url} cannot be reached: {getattr(error, 'reason', error)}") from None


def loads(text: bytes) -> Any:
    """JSON, exact. In place of what is nested more than MOST_LEVELS deep, which older releases accepted, there is the string `…`."""
    try:
        return exact.loads(text)
    except RecursionError:
        return exact.loads(_without_depths(text.decode()))


def _without_depths(text: str) -> str:
    kept: list[str] = []
    level = start = 0
    for found in BRACKETS_AND_STRINGS.finditer(text):
        if found[0] in "[{":
            level += 1
            if level == MOST_LEVELS + 1:
                kept += [text[start : found.start()], '"…"']
        elif found[0] in "]}":
            level -= 1
            if level == MOST_LEVELS:
                start = found.end()
    return "".join([*kept, text[start:]])


def _refusal(status: int, body: bytes) -> Exception:
    try:
        said = json.loads(body)
        words = ": ".join(str(said[key]) for key in ("message", "details") if said.get(key))
        hint, code = said.get("hint"), str(said.get("code"))
    except (ValueError, AttributeError):
        words, hint, code = "", None, ""
    if status == 401 and not hint:
        hint = next((way for sign, way in _WAYS if sign in words), None)
    text = f"{words or 'no reason given'} (HTTP {status})" + (f"\n{hint}" if hint else "")
    if status == 401:
        return RefusedError(text, status)
    if code.startswith(UNREACHED):
        return UnreachableError(f"the API does not reach its database: {text}")
    return ApiError(text, status) if words or status < 500 else UnreachableError(f"the API fails: HTTP {status}")
