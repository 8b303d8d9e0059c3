"""Run in network and mount namespaces of its own by test_rebinding.py: a name server whose answer changes, two receivers, and one POST.

Arguments: a directory with receiver.pem, receiver.key and ca.pem. Prints what became of it as JSON.
"""

import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dnslib import QTYPE, RR, A, DNSRecord

from bridge.work import poster as poster_module
from bridge.work.poster import Poster, PostError
from tests.bridge.receiver import Receiver

PUBLIC, PRIVATE, NAME_SERVER = "93.184.216.34", "127.0.0.1", "127.0.0.53"


class NameServer:
    """Answers the first query for an A record with one list of addresses and later ones with another; the TTL of 0 forbids caching."""

    def __init__(self) -> None:
        self.first: list[str] = []
        self.later: list[str] = []
        self.asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((NAME_SERVER, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def answers(self, first: list[str], later: list[str]) -> None:
        self.first, self.later, self.asked = first, later, 0

    def _serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(512)
            query = DNSRecord.parse(data)
            reply = query.reply()
            if query.q.qtype == QTYPE.A:
                addresses = self.later if self.asked else self.first
                self.asked += 1
                for address in addresses:
                    reply.add_answer(RR(query.q.qname, QTYPE.A, rdata=A(address), ttl=0))
            self._socket.sendto(reply.pack(), peer)


def main(directory: Path) -> dict[str, Any]:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "address", "add", f"{PUBLIC}/32", "dev", "lo"], check=True)
    server = NameServer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "receiver.pem", directory / "receiver.key")

    def post(port: int) -> str:
        poster = Poster(private_allowed=False)
        try:
            return str(poster.post(f"https://rebind.test:{port}/", {}, b"{}").code)
        except PostError as error:
            return str(error)
        finally:
            poster.close()

    found: dict[str, Any] = {}
    with Receiver(context=context, host=PUBLIC) as outside, Receiver(context=context, host=PRIVATE, port=outside.port) as inside:
        for name, first, later in (
            ("public, then private", [PUBLIC], [PRIVATE]),
            ("private, then public", [PRIVATE], [PUBLIC]),
            ("both at once", [PUBLIC, PRIVATE], [PUBLIC]),
            ("no such name", [], []),
        ):
            server.answers(first, later)
            found[name] = {"outcome": post(outside.port), "asked": server.asked, "outside": len(outside.hits), "inside": len(inside.hits)}
    server.answers([PUBLIC], [PUBLIC])
    found["closed"] = post(9)
    with full_listener(PUBLIC, 9):
        poster_module.SECONDS = 0.5
        found["filtered"] = post(9)
    return found


@contextlib.contextmanager
def full_listener(host: str, port: int) -> Iterator[None]:
    """Linux drops what comes when the queue of connections that nobody takes is full."""
    with contextlib.ExitStack() as ends:
        listener = ends.enter_context(socket.socket())
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(3):
            waiting = ends.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((host, port))
        yield


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
