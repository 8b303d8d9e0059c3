"""MQTT over WebSockets (RFC 6455, MQTT 5 section 6): paho's handshake and writing, and a reader of its own.

Paho's reader keeps each frame whole, however large, copies it from its beginning for every few bytes that are asked for, and stops after a
ping although more has been read; and it answers without the mask that a client's frames must have (section 5.1). This one hands payload
on as it comes and keeps none.
"""

import contextlib

from paho.mqtt.client import _WebsocketWrapper

CONTINUATION, BINARY, CLOSE, PING, PONG = 0x0, 0x2, 0x8, 0x9, 0xA
MAX_CONTROL = 125  # bytes (RFC 6455 section 5.5)
MAX_IDLE_FRAMES = 1000  # without payload, one after another


class FrameError(Exception):
    """What came is not what a server may send; the message says what."""


class WebSocket(_WebsocketWrapper):
    _opcode = BINARY
    _left = 0  # bytes of the frame that are not read yet
    _idle = 0

    def recv(self, length: int) -> bytes:
        """At most length bytes of payload; raises BlockingIOError when there are none now, FrameError, returns b"" at the end."""
        while True:
            if self._left and self._opcode < CLOSE:
                data = self._socket.recv(min(length, self._left))
                self._left -= len(data)
                self._idle = 0
                return data
            # The head, and a control frame's payload, may come in pieces: what has come waits in paho's buffer.
            while (missing := self._missing()) > 0:
                data = self._socket.recv(missing)
                if not data:
                    return b""
                self._readbuffer += data
            frame, self._readbuffer = self._readbuffer, bytearray()
            self._idle += 1
            if self._idle > MAX_IDLE_FRAMES:
                raise FrameError(f"{MAX_IDLE_FRAMES} WebSocket frames without payload")
            if self._opcode in (CLOSE, PING):
                answer = self._create_frame(CLOSE if self._opcode == CLOSE else PONG, frame[2:])
                with contextlib.suppress(BlockingIOError):
                    self._socket.send(answer)
            if self._opcode == CLOSE:
                return b""

    def _missing(self) -> int:
        """Bytes until the frame's head is there, or all of a control frame; then it is taken note of."""
        got = self._readbuffer
        if len(got) < 2:
            return 2 - len(got)
        opcode, size = got[0] & 0x0F, got[1] & 0x7F
        if got[0] & 0x70 or got[1] & 0x80 or opcode not in (CONTINUATION, BINARY, CLOSE, PING, PONG):
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

    def read(self, length: int) -> bytes:
        return self.recv(length)
