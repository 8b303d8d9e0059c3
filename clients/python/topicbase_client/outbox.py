"""What the transports tell of the messages that they send."""

import logging
import threading
from collections.abc import Callable

from topicbase_client.buffer import Buffer, Message

logger = logging.getLogger("topicbase_client")
Rejected = Callable[[Message, str], None]


class Outbox:
    """The buffer as the transports see it."""

    def __init__(self, buffer: Buffer, on_rejected: Rejected | None) -> None:
        self.buffer, self._on_rejected = buffer, on_rejected
        self.changed = threading.Condition()
        self.error: Exception | None = None

    def done(self, numbers: list[int]) -> None:
        self.buffer.remove(numbers)
        self.error = None
        with self.changed:
            self.changed.notify_all()

    def rejected(self, number: int, message: Message, slug: str) -> None:
        """The message was refused for good."""
        logger.warning("message %s to %s was rejected: %s", message["message_id"], message["topic"], slug)
        if self._on_rejected is not None:
            try:
                self._on_rejected(message, slug)
            except Exception:
                logger.exception("on_rejected failed")
        self.done([number])

    def failed(self, error: Exception) -> None:
        """Nothing was refused for good: it will be tried again."""
        if str(error) != str(self.error):
            logger.warning("sending failed, and is tried again: %s", error)
        self.error = error
