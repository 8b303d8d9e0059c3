"""HTTP POST to a URL that a tenant chose: its address is checked before connecting, redirects are not followed, time is limited.

The standard library's http.client speaks HTTP over a socket that it is given, so the connection is made by bridge.mqtt.sockets: one guard
for brokers and webhooks (docs/decisions/0036-the-poster.md). Connections are kept a while for the next request to the same
place.
"""

import contextlib
import email.utils
import http.client
import select
import socket
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from bridge.mqtt.sockets import DialError, Report, open_socket
from bridge.mqtt.target import Target

SECONDS = 10.0  # from the start to the end of the answer
IDLE_SECONDS = 30.0
MAX_IDLE = 32  # connections kept for one place: as many requests as one organization makes at once
MAX_IDLE_IN_ALL = 256
MAX_READ = 1 << 16  # of an answer; a longer one costs the connection
EXCERPT = 200


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    excerpt: str
    retry_after: int | None  # seconds


class PostError(Exception):
    """No answer; the message says why in words."""


_Place = tuple[str, str, int]


class Poster:
    """May be used from many threads."""

    def __init__(self, *, private_allowed: bool) -> None:
        self.private_allowed = private_allowed
        self._lock = threading.Lock()
        self._idle: dict[_Place, list[tuple[float, http.client.HTTPConnection]]] = {}
        self._idle_count = 0
        self._under_way: dict[socket.socket, float] = {}

    def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """The answer, whatever its status. Raises PostError."""
        deadline = time.monotonic() + SECONDS
        try:
            parts = urlsplit(url)
            scheme, host = parts.scheme.lower(), parts.hostname or ""
            port = parts.port or {"https": 443, "http": 80}.get(scheme, 0)
        except ValueError:
            raise PostError("callback_url is not a URL") from None
        if scheme != "https" and not (scheme == "http" and self.private_allowed):
            raise PostError("callback_url must start with https://")
        place = (scheme, host, port)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Host": parts.netloc, "Content-Type": "application/json", "Accept": "*/*", **headers}
        connection = self._take(place)
        if connection is not None:
            # The other end may have closed it while it was idle: that is not a failure, but a reason for a new one.
            with contextlib.suppress(OSError):
                return self._exchange(place, connection, path, headers, body, deadline)
        connection = self._dial(place, deadline)
        try:
            return self._exchange(place, connection, path, headers, body, deadline)
        except OSError:
            raise PostError("the receiver closed the connection without an answer") from None

    def enforce(self) -> None:
        """End requests that are over their time, also where a receiver sends byte by byte. To be called about once a second."""
        now = time.monotonic()
        with self._lock:
            late = [sock for sock, deadline in self._under_way.items() if now > deadline]
            for place, idle in list(self._idle.items()):
                for entry in [entry for entry in idle if now - entry[0] > IDLE_SECONDS]:
                    idle.remove(entry)
                    self._idle_count -= 1
                    entry[1].close()
                if not idle:
                    del self._idle[place]
        self._end(late)

    def close(self) -> None:
        """End what is under way, and keep no connection."""
        with self._lock:
            sockets = list(self._under_way)
            for idle in self._idle.values():
                for _, connection in idle:
                    connection.close()
            self._idle.clear()
            self._idle_count = 0
        self._end(sockets)

    def _end(self, sockets: list[socket.socket]) -> None:
        for sock in sockets:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS, which another thread is in the middle of

    def _take(self, place: _Place) -> http.client.HTTPConnection | None:
        with self._lock:
            idle = self._idle.get(place)
            while idle:
                since, connection = idle.pop()
                self._idle_count -= 1
                if time.monotonic() - since < IDLE_SECONDS and not _is_readable(connection.sock):
                    return connection
                connection.close()
        return None

    def _dial(self, place: _Place, deadline: float) -> http.client.HTTPConnection:
        scheme, host, port = place
        target = Target(host=host, port=port, client_id="", tls=scheme == "https", trusted=self.private_allowed)
        try:
            sock = open_socket(target, deadline, Report())
        except DialError as error:
            raise PostError(str(error)) from None
        connection = http.client.HTTPConnection(host, port)
        connection.sock = sock
        return connection

    def _exchange(
        self, place: _Place, connection: http.client.HTTPConnection, path: str, headers: dict[str, str], body: bytes, deadline: float
    ) -> Answer:
        is_kept = False
        sock = connection.sock
        with self._lock:
            self._under_way[sock] = deadline
        try:
            sock.settimeout(max(deadline - time.monotonic(), 0.001))
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            begin = response.read(MAX_READ)
            if time.monotonic() >= deadline:
                raise TimeoutError  # what was cut off may look like a short answer
            is_kept = response.isclosed() and not response.will_close
            return Answer(response.status, _excerpt(begin), _retry_after(response.headers.get("Retry-After")))
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, TimeoutError) or time.monotonic() >= deadline:
                raise PostError(f"no answer within {SECONDS:.0f} s") from None
            if isinstance(error, OSError):
                raise
            raise PostError("the answer is not HTTP") from None
        finally:
            with self._lock:
                del self._under_way[sock]
                idle = self._idle.setdefault(place, [])
                is_kept = is_kept and connection.sock is not None and len(idle) < MAX_IDLE and self._idle_count < MAX_IDLE_IN_ALL
                if is_kept:
                    idle.append((time.monotonic(), connection))
                    self._idle_count += 1
            if not is_kept:
                connection.close()


def _is_readable(sock: socket.socket) -> bool:
    """Although nothing was asked: it is closed, or the receiver speaks out of turn."""
    poll = select.poll()  # select() takes no more than 1,024 open files
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _excerpt(body: bytes) -> str:
    text = body[: EXCERPT * 4].decode(errors="replace")
    return "".join(character if character.isprintable() else " " for character in text)[:EXCERPT]


def _retry_after(value: str | None) -> int | None:
    """Seconds, from either form of the header (RFC 9110 section 10.2.3); None if it is missing or nonsense."""
    value = (value or "").strip()
    if value.isascii() and value.isdigit():
        return min(int(value[:10]), 86400)
    try:
        seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(int(seconds), 0), 86400)
