"""An app's own HTTP server, which notes what is posted to it and answers as the test says."""

import base64
import contextlib
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.support.ports import Port
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Hit:
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    client: tuple[str, int]

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def is_signed_with(self, secret: str) -> bool:
        """As the Standard Webhooks specification tells a receiver to check."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return any(hmac.compare_digest(wanted, given) for given in self.headers["webhook-signature"].split(" "))


@dataclass(frozen=True)
class Reply:
    code: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Behaviour = Callable[[Hit], Reply]


class Receiver:
    """Answers 200, or what `behave` returns, which may take its time."""

    def __init__(
        self,
        behave: Behaviour = lambda _: Reply(),
        *,
        context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int | None = None,
    ) -> None:
        self.behave = behave
        self.hits: list[Hit] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                hit = Hit(self.path, headers, body, self.client_address)
                receiver.hits.append(hit)
                reply = receiver.behave(hit)
                with contextlib.suppress(OSError):
                    self.send_response(reply.code)
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(reply.body)))
                    self.end_headers()
                    self.wfile.write(reply.body)

            def log_message(self, *_: object) -> None:
                """The test tells what it sees."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: object) -> None:
                """A peer that hangs up is what some tests are about."""

        self._server = Server((host, Port().number if port is None else port), Handler)
        self.is_https = context is not None
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self.is_https else 'http'}://127.0.0.1:{self.port}/in?from=topicbase"

    def wait_for(self, count: int) -> list[Hit]:
        wait_until(lambda: len(self.hits) >= count, what=f"{count} requests")
        return list(self.hits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
