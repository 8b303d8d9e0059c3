"""TCP, TLS and WebSocket connections to brokers and callback URLs, with the guard on where they may lead."""

import hashlib
import ipaddress
import os
import queue
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.mqtt.target import Target
from bridge.mqtt.websockets import HandshakeError, WebSocket, shake_hands

# Where no tenant's target may be: the same list as in mqtt.is_private_address (base/outward_addresses), which says what they are.
SPECIAL_NETWORKS = tuple(
    ipaddress.ip_network(net)
    for net in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
        "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
        "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "::/3", "4000::/2", "8000::/1", "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
    )
)  # fmt: skip
READ_BYTES = 1 << 18
MAX_BUFFERED = 1 << 20
HANDSHAKE_BYTES = 1 << 16
CONTEXT_SECONDS = 3600.0
MAX_CONTEXTS = 32  # of up to a megabyte each
_contexts: dict[tuple[Any, ...], ssl.SSLContext] = {}
_contexts_lock = threading.Lock()


class DialError(OSError):
    """No connection; stage is dns, tcp, tls or websocket, the message says why in words."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


@dataclass(slots=True)
class Report:
    """What a dial found out; times in milliseconds. `tell` hears of each stage that was passed."""

    tell: Callable[[str], None] | None = None
    addresses: list[str] = field(default_factory=list)
    address: str | None = None
    dns_ms: float | None = None
    tcp_ms: float | None = None
    tls_ms: float | None = None
    websocket_ms: float | None = None
    tls: dict[str, Any] | None = None

    def passed(self, stage: str, began: float) -> None:
        setattr(self, f"{stage}_ms", _ms(began))
        if self.tell is not None:
            self.tell(stage)


def is_private(address: str) -> bool:
    """Whether an address is loopback, link-local, private, multicast, reserved or of a special purpose, or may embed one."""
    ip = ipaddress.ip_address(address.split("%", 1)[0])
    return any(ip.version == net.version and ip in net for net in SPECIAL_NETWORKS)


class BufferedSocket:
    """A socket that reads and writes in large pieces, for a client that asks byte by byte.

    Until `buffered` is set, writes go out at once. After that send() takes all it is given, up to a limit, and flush() writes it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffered = False
        self.deadline: float | None = None
        self.allowance = 0  # bytes that may be read until the deadline is taken away
        self.turn: int | None = None  # bytes that are left to be read in this turn; None is without limit
        self._read = b""
        self._position = 0
        self._write = bytearray()
        self.written = 0  # bytes that were buffered, and that the socket has taken

    def recv(self, size: int) -> bytes:
        """At most size bytes; raises BlockingIOError when there are none now, returns b"" at the end."""
        available = len(self._read) - self._position
        if not available:
            if self.deadline is not None:
                if self.allowance <= 0:
                    raise OSError("more than a handshake takes")
                self.sock.settimeout(max(self.deadline - time.monotonic(), 0.001))
            elif self.turn is not None and self.turn <= 0:
                raise BlockingIOError
            self.fill()
            self.allowance -= len(self._read)
            available = len(self._read)
        start = self._position
        self._position += min(size, available)
        return self._read[start : self._position]

    def fill(self) -> None:
        """Read ahead what there is, once all that was read has been taken; raises what the socket does."""
        self._read, self._position = self.sock.recv(READ_BYTES if self.turn is None else min(READ_BYTES, max(self.turn, 4096))), 0
        if self.turn is not None:
            self.turn -= len(self._read)

    def peek(self) -> tuple[bytes, int]:
        """What was read ahead, and up to where it has been taken."""
        return self._read, self._position

    def skip_to(self, position: int) -> None:
        self._position = position

    def has_read_ahead(self) -> bool:
        return self._position < len(self._read) or (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0)

    def send(self, data: bytes | bytearray) -> int:
        if not self.buffered:
            return self.sock.send(data)
        if len(self._write) > MAX_BUFFERED:
            raise BlockingIOError
        self._write += data
        return len(data)

    def flush(self) -> bool:
        """Write what is buffered; false when the socket does not take all of it now."""
        while self._write:
            try:
                sent = self.sock.send(self._write)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            del self._write[:sent]
            self.written += sent
        return True

    def pending_bytes(self) -> int:
        return len(self._write)

    def close(self) -> None:
        self.sock.close()

    def fileno(self) -> int:
        return self.sock.fileno()

    def setblocking(self, flag: bool) -> None:  # the socket's own signature
        self.sock.setblocking(flag)

    def settimeout(self, timeout: float | None) -> None:
        self.sock.settimeout(timeout)


@dataclass(slots=True)
class Connection:
    """An open way to a broker: `outer` is what the MQTT client reads and writes, `buffer` the buffer below it."""

    outer: Any
    buffer: BufferedSocket


def tls_context(target: Target) -> ssl.SSLContext:
    """TLS 1.2 or newer as the integration wants it: verified against the system's or its own CAs unless switched off.

    Targets with the same settings share a context: reading the system's CAs takes 30 ms, in which no other thread runs. After an hour, they
    are read again. Raises DialError when a certificate or key cannot be used.
    """
    client = hashlib.sha256(f"{target.client_certificate}\n{target.client_key}".encode()).digest()
    system = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"), int(time.monotonic() // CONTEXT_SECONDS)
    key = (target.verify_certificate, target.ca_certificate, target.alpn, client, *system)
    with _contexts_lock:  # or many at once would each make its own
        context = _contexts.pop(key, None) or _make_context(target)
        _contexts[key] = context  # as the last, the one to be dropped last
        while len(_contexts) > MAX_CONTEXTS:
            del _contexts[next(iter(_contexts))]
    return context


def _make_context(target: Target) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not target.verify_certificate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif target.ca_certificate:
        try:
            context.load_verify_locations(cadata=target.ca_certificate)
        except (ssl.SSLError, ValueError) as error:
            raise DialError("tls", f"settings.ca_certificate cannot be used: {error}") from None
    else:
        context.load_default_certs()
    if target.alpn:
        context.set_alpn_protocols(list(target.alpn))
    if target.client_certificate and target.client_key:
        # Python's ssl reads these from files only: memory-backed where possible, and deleted before use.
        place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
        with tempfile.TemporaryDirectory(dir=place, prefix="topicbase") as directory:
            path = Path(directory, "client.pem")
            path.touch(mode=0o600)
            path.write_text(f"{target.client_certificate}\n{target.client_key}\n")
            try:
                # There is nobody to ask for a password: an encrypted key is an error.
                context.load_cert_chain(path, password=lambda: "")
            except (ssl.SSLError, OSError, ValueError) as error:
                raise DialError("tls", f"settings.client_certificate and client_key cannot be used: {error}") from None
    return context


def _ms(since: float) -> float:
    return round((time.monotonic() - since) * 1000, 3)


def _look_up(host: str, port: int, timeout: float) -> list[tuple[Any, ...]]:
    """getaddrinfo with a time limit: with silent name servers it waits for as long as /etc/resolv.conf says, whatever its caller wants."""
    answer: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def work() -> None:
        try:
            answer.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.put(error)

    threading.Thread(target=work, name="resolve", daemon=True).start()
    try:
        found = answer.get(timeout=max(timeout, 0.001))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(found, Exception):
        raise found
    return list(found)


UNLESS = "others must be allowed by the operator: mqtt.configuration.allow_private_addresses and TOPICBASE_ALLOW_PRIVATE_ADDRESSES"


def _resolve(target: Target, deadline: float, report: Report) -> list[tuple[Any, ...]]:
    began = time.monotonic()
    try:
        found = _look_up(target.host, target.port, deadline - began)
    except (OSError, UnicodeError) as error:
        if not target.trusted:
            raise _not_public(target) from None
        reason = "it is not a host name" if isinstance(error, UnicodeError) else error.strerror or "no answer in time"
        raise DialError("dns", f"{target.host} cannot be resolved: {reason}") from None
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    if not target.trusted and any(is_private(address) for address in addresses):
        raise _not_public(target)
    report.addresses = addresses
    report.passed("dns", began)
    return list(found)


def _not_public(target: Target) -> DialError:
    """The same for a name that does not exist and one of the network behind the bridge: answers must not map that network."""
    return DialError("dns", f"{target.host} does not lead to a public address; {UNLESS}")


def _connect(target: Target, found: list[tuple[Any, ...]], deadline: float, report: Report) -> socket.socket:
    fault = "it has no address"
    for place, (family, kind, protocol, _, address) in enumerate(found):
        # Each has its part: of several addresses, the first one may be silent each time.
        left = (deadline - time.monotonic()) / (len(found) - place)
        if left <= 0:
            break
        began = time.monotonic()
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(left)
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError:
            fault = "no answer in time"
            sock.close()
        except OSError as error:
            fault = (error.strerror or str(error)).lower()
            sock.close()
        else:
            report.address = str(address[0])
            report.passed("tcp", began)
            return sock
    if not target.trusted:
        # A closed port and a filtered one look the same: the bridge is not a port scanner.
        fault = f"{target.host} does not accept one at port {target.port}"
    raise DialError("tcp", f"the connection failed: {fault}")


def _certificate_facts(sock: ssl.SSLSocket) -> dict[str, Any]:
    certificate = sock.getpeercert() or {}

    def name(field_name: str) -> str | None:
        pairs: list[str] = []
        for group in certificate.get(field_name, ()):
            pairs.extend("=".join(map(str, item)) for item in group)
        return ", ".join(pairs) or None

    facts = {
        "version": sock.version(),
        "cipher": (sock.cipher() or (None,))[0],
        "alpn": sock.selected_alpn_protocol(),
        "subject": name("subject"),
        "issuer": name("issuer"),
        "not_before": certificate.get("notBefore"),
        "not_after": certificate.get("notAfter"),
        "names": [str(pair[1]) for pair in certificate.get("subjectAltName", ())] or None,
    }
    return {key: value for key, value in facts.items() if value is not None}


def _tls_fault(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate was not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time to the TLS handshake"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"the TLS handshake failed: {error.reason.replace('_', ' ').lower()}"
    return f"the TLS handshake failed: {(getattr(error, 'strerror', None) or str(error)).lower()}"


def dial(target: Target, timeout: float = 10, report: Report | None = None) -> Connection:
    """Connect to a broker, all stages within timeout seconds; `report` takes what was found out. Raises DialError."""
    return _dial(target, time.monotonic() + timeout, report or Report())


def open_socket(target: Target, deadline: float, report: Report) -> socket.socket:
    """A connection to a checked address, with TLS if the target has it. Raises DialError."""
    sock = _connect(target, _resolve(target, deadline, report), deadline, report)
    if not target.tls:
        return sock
    began = time.monotonic()
    try:
        context = tls_context(target)
        sock.settimeout(max(deadline - time.monotonic(), 0.001))
        wrapped = context.wrap_socket(sock, server_hostname=target.server_name or target.host)
    except DialError:
        sock.close()
        raise
    except (OSError, ValueError) as error:
        sock.close()
        raise DialError("tls", _tls_fault(error)) from None
    report.tls = _certificate_facts(wrapped)
    report.passed("tls", began)
    return wrapped


def _dial(target: Target, deadline: float, report: Report) -> Connection:
    sock = open_socket(target, deadline, report)
    try:
        buffer = BufferedSocket(sock)
        outer: Any = buffer
        if target.websockets:
            began = time.monotonic()
            sock.settimeout(max(deadline - began, 0.001))
            # A peer that sends a byte now and then, or endless bytes, counts as a silent one.
            buffer.deadline, buffer.allowance = deadline, HANDSHAKE_BYTES
            try:
                shake_hands(buffer, target.host, target.port, target.path, tls=target.tls)
            except (HandshakeError, OSError) as error:
                raise DialError("websocket", f"the WebSocket handshake failed: {str(error).lower() or 'no answer'}") from None
            outer = WebSocket(buffer)
            buffer.deadline = None
            report.passed("websocket", began)
        buffer.buffered = True
        return Connection(outer, buffer)
    except BaseException:
        sock.close()
        raise
