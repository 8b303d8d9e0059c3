"""MQTT over WebSockets (RFC 6455, MQTT 5 section 6): the handshake, frames that are read as they come, and masked ones that are written.

docs/decisions/0010-websocket-frames-by-hand.md says why no library does this.
"""

import base64
import contextlib
import hashlib
import os
import struct
from typing import Protocol

CONTINUATION, BINARY, CLOSE, PING, PONG = 0x0, 0x2, 0x8, 0x9, 0xA
FINAL, MASKED = 0x80, 0x80
MAX_CONTROL = 125  # bytes (RFC 6455 section 5.5)
MAX_IDLE_FRAMES = 1000  # without payload, one after another
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


class FrameError(Exception):
    """What came is not what a server may send; the message says what."""


class HandshakeError(Exception):
    """The server did not accept the handshake; the message says how."""


class Stream(Protocol):
    """A socket, or what buffers one."""

    def recv(self, size: int, /) -> bytes: ...
    def send(self, data: bytes | bytearray, /) -> int: ...
    def close(self) -> None: ...
    def fileno(self) -> int: ...
    def setblocking(self, flag: bool, /) -> None: ...


def shake_hands(stream: Stream, host: str, port: int, path: str, *, tls: bool) -> None:
    """The client's opening handshake (RFC 6455 section 4.1). Raises HandshakeError, OSError."""
    authority = f"[{host}]" if ":" in host else host
    if port != (443 if tls else 80):
        authority += f":{port}"
    key = base64.b64encode(os.urandom(16)).decode()
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {authority}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Origin: {'https' if tls else 'http'}://{authority}",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: mqtt",
    )
    stream.send("\r\n".join((*lines, "", "")).encode())
    status, *fields = _read_head(stream)
    code = status.partition(" ")[2][:3]
    if code != "101":
        raise HandshakeError(f"the server answered {code}" if code.isdigit() else "the server does not answer as HTTP does")
    headers = {name.strip().lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in headers.get("connection", "").lower():
        raise HandshakeError("the server did not upgrade the connection")
    accepted = hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()
    if headers.get("sec-websocket-accept") != base64.b64encode(accepted).decode():
        raise HandshakeError("the server answered another handshake")


def _read_head(stream: Stream) -> list[str]:
    """The lines of an HTTP head; what follows it stays unread."""
    head = bytearray()
    while not head.endswith((b"\n\r\n", b"\n\n")):
        byte = stream.recv(1)
        if not byte:
            raise HandshakeError("the server closed the connection")
        head += byte
    return head.decode("latin-1").split("\n")


class WebSocket:
    """A socket for the MQTT client: what it reads and writes is the payload of binary frames."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._head = bytearray()  # of the frame that begins, or a whole control frame
        self._opcode = BINARY
        self._left = 0  # bytes of the frame that are not read yet
        self._idle = 0
        self._unsent = bytearray()

    # ---------------------------------------------------------------------------------------------------------------- reading

    def recv(self, length: int) -> bytes:
        """At most length bytes of payload; raises BlockingIOError when there are none now, FrameError, returns b"" at the end."""
        while True:
            if self._left and self._opcode < CLOSE:
                data = self._stream.recv(min(length, self._left))
                self._left -= len(data)
                self._idle = 0
                return data
            # The head, and a control frame's payload, may come in pieces.
            while (missing := self._missing()) > 0:
                data = self._stream.recv(missing)
                if not data:
                    return b""
                self._head += data
            frame, self._head = self._head, bytearray()
            self._idle += 1
            if self._idle > MAX_IDLE_FRAMES:
                raise FrameError(f"{MAX_IDLE_FRAMES} WebSocket frames without payload")
            if self._opcode in (CLOSE, PING):
                answer = _frame(CLOSE if self._opcode == CLOSE else PONG, frame[2:])
                with contextlib.suppress(BlockingIOError):
                    self._stream.send(answer)
            if self._opcode == CLOSE:
                return b""

    def _missing(self) -> int:
        """Bytes until the frame's head is complete, or a whole control frame; then opcode and length are noted."""
        got = self._head
        if len(got) < 2:
            return 2 - len(got)
        opcode, size = got[0] & 0x0F, got[1] & 0x7F
        if got[0] & 0x70 or got[1] & MASKED or opcode not in (CONTINUATION, BINARY, CLOSE, PING, PONG):
            raise FrameError(f"a WebSocket frame that begins with {got[0]:02x} {got[1]:02x}")
        head = 2 + {126: 2, 127: 8}.get(size, 0)
        if opcode >= CLOSE:
            if size > MAX_CONTROL:
                raise FrameError("a WebSocket control frame of more than 125 bytes")
            head += size
        elif len(got) >= head:
            size = int.from_bytes(got[2:head], "big") if head > 2 else size
        if len(got) == head:
            self._opcode, self._left = opcode, 0 if opcode >= CLOSE else size
        return head - len(got)

    # ---------------------------------------------------------------------------------------------------------------- writing

    def send(self, data: bytes | bytearray) -> int:
        """All of data, or 0 when the socket does not take all of its frame now: the next call, with the same data, goes on with it."""
        if not self._unsent:
            self._unsent += _frame(BINARY, data)
        sent = self._stream.send(self._unsent)
        del self._unsent[:sent]
        return 0 if self._unsent else len(data)

    def close(self) -> None:
        self._stream.close()

    def fileno(self) -> int:
        return self._stream.fileno()

    def setblocking(self, flag: bool) -> None:  # the socket's own signature
        self._stream.setblocking(flag)


def _frame(opcode: int, payload: bytes | bytearray) -> bytes:
    """A frame under a mask, as a client's must be (RFC 6455 section 5.3)."""
    size = len(payload)
    if size < 126:
        head = bytes((FINAL | opcode, MASKED | size))
    elif size < 1 << 16:
        head = struct.pack("!BBH", FINAL | opcode, MASKED | 126, size)
    else:
        head = struct.pack("!BBQ", FINAL | opcode, MASKED | 127, size)
    mask = os.urandom(4)
    # One number for the whole payload: for a kilobyte some twenty times as fast as byte by byte.
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
