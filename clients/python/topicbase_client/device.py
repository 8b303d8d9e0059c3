"""A device that sends over HTTP or MQTT and loses nothing while the other side is away."""

import base64
import logging
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self

from topicbase_client.buffer import Buffer, Message
from topicbase_client.http_sender import HttpSender
from topicbase_client.mqtt_sender import PORTS, MqttSender
from topicbase_client.outbox import Outbox, Rejected
from topicbase_client.urls import HTTP, checked

logger = logging.getLogger("topicbase_client")


class Sender(Protocol):
    """A transport; the device's own thread calls `step`."""

    def step(self, stop: threading.Event) -> None:
        """Send what waits, or wait for `wake`. Returns soon once `stop` is set and `wake` was called."""

    def wake(self) -> None: ...

    def close(self) -> None: ...


class Device:
    """Sends messages in the order in which they were given, each stored once.

    `send` puts a message into a buffer, and a thread sends what is in there until the other side has it. What could not be sent is tried
    again, with pauses that grow to a minute, or are as long as `Retry-After` says. Each message has an id, so a repeat within 24 hours is
    not stored twice.
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        client_id: str | None = None,
        *,
        buffer: str | Path | None = None,
        max_messages: int = 10_000,
        on_rejected: Rejected | None = None,
    ) -> None:
        """`url` is that of the API (`https://host/rest/v1` at the gateway, else PostgREST's) or of the hosted broker (`mqtts://host`).

        `buffer` is a file for what was not sent, which the next Device with that file goes on with; without it the buffer is in memory.
        `send` raises BufferFullError at `max_messages`. `on_rejected` is called, on the sending thread, with a message that was refused for
        good and the slug of the reason, or the broker's words. Raises ValueError for any other URL.
        """
        is_mqtt = checked(url, (*HTTP, *PORTS)).scheme in PORTS
        login = (username, password, username if client_id is None else client_id)
        self._outbox = Outbox(Buffer(buffer, max_messages), on_rejected)
        self._sender: Sender = (MqttSender if is_mqtt else HttpSender)(url, login, self._outbox)
        self._stop, self._is_closed = threading.Event(), False
        self._thread = threading.Thread(target=self._work, name="topicbase-device", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """How many messages are not known to have arrived."""
        return len(self._outbox.buffer)

    @property
    def error(self) -> Exception | None:
        """Why the last attempt to send failed; None after one that did not."""
        return self._outbox.error

    def send(
        self,
        topic: str,
        payload: Any,
        *,
        qos: int = 1,
        content_type: str | None = None,
        timestamp: datetime | None = None,
        message_id: str | None = None,
    ) -> str:
        """Take a message to be sent; its id.

        `payload` is anything that JSON has, or bytes, of which `content_type` says what they are. `timestamp` is when it was measured:
        now, unless given. `message_id` is a UUID of your own.
        """
        if self._is_closed:
            raise RuntimeError("The device is closed.")
        message: Message = {
            "topic": topic,
            "payload": payload,
            "qos": qos,
            "message_id": message_id or str(uuid.uuid4()),
            "timestamp": (timestamp or datetime.now(UTC)).astimezone(UTC).isoformat(),
        }
        if isinstance(payload, bytes):
            message |= {"payload": base64.b64encode(payload).decode(), "payload_encoding": "base64"}
        if content_type is not None:
            message["content_type"] = content_type
        self._outbox.buffer.add(message)
        self._sender.wake()
        return str(message["message_id"])

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything has arrived; False if it has not within `timeout` seconds."""
        with self._outbox.changed:
            return self._outbox.changed.wait_for(lambda: not self.pending, timeout)

    def close(self, timeout: float = 30.0) -> int:
        """Flush and end; how many messages have not arrived. Those stay in the buffer's file; without one they are lost."""
        if self._is_closed:
            return 0
        self._is_closed = True
        deadline = time.monotonic() + timeout
        self.flush(timeout)
        self._stop.set()
        self._sender.wake()
        self._thread.join(max(5.0, deadline - time.monotonic()))
        self._sender.close()
        left = self.pending
        self._outbox.buffer.close()
        if left:
            logger.warning("closed with %s messages that have not arrived", left)
        return left

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self) -> None:
        while not self._stop.is_set():
            self._sender.step(self._stop)
