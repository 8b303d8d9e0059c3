"""Sending by `mqtt_ingest_batch`."""

import random
import threading

import httpx

from topicbase_client.buffer import Message
from topicbase_client.errors import TopicbaseError, answer_of, unreachable
from topicbase_client.outbox import Outbox

MOST_MESSAGES = 500
LONGEST_PAUSE = 60.0
TIMEOUT = 30.0


class HttpSender:
    """One batch at a time, so that messages arrive in their order."""

    def __init__(self, url: str, login: tuple[str, str, str], outbox: Outbox) -> None:
        username, password, client_id = login
        self._http = httpx.Client(
            headers={"X-Username": username, "X-Password": password, "X-Client-ID": client_id, "Content-Type": "application/json"},
            timeout=TIMEOUT,
        )
        # `columns` lets PostgREST pass the body on unread.
        self._url = f"{url.rstrip('/')}/rpc/mqtt_ingest_batch?columns=messages"
        self._outbox = outbox
        self._news = threading.Event()
        self._most, self._failures = MOST_MESSAGES, 0

    def wake(self) -> None:
        self._news.set()

    def step(self, stop: threading.Event) -> None:
        self._news.clear()
        batch = self._outbox.buffer.first(self._most)
        if not batch:
            self._news.wait()
            return
        try:
            self._send(batch)
            self._failures = 0
        except TopicbaseError as error:
            # What somebody else on the way refuses, a proxy or a portal, says nothing of the message; but it may be too large for them.
            if error.status == 413 or (error.status == 400 and error.slug != "answer_invalid"):
                self._divide(batch, error)
                return
            self._outbox.failed(error)
            stop.wait(self._pause(error))

    def _send(self, batch: list[tuple[int, Message]]) -> None:
        try:
            response = self._http.post(self._url, json={"messages": [message for _, message in batch]})
        except httpx.HTTPError as error:
            raise unreachable(error) from error
        answer = answer_of(response)
        if not isinstance(answer, dict) or "rejected" not in answer:
            raise TopicbaseError(response.status_code, "answer_invalid", "The answer is not that of mqtt_ingest_batch.")
        refused = {fault["index"]: fault["code"] for fault in answer["rejected"]}
        self._most = min(MOST_MESSAGES, 2 * self._most)
        for index, slug in refused.items():
            number, message = batch[index]
            self._outbox.rejected(number, message, slug)
        self._outbox.done([number for index, (number, _) in enumerate(batch) if index not in refused])

    def _divide(self, batch: list[tuple[int, Message]], error: TopicbaseError) -> None:
        """The batch as a whole was refused, as it is too large or cannot be read: the fault is in one half of it."""
        if len(batch) == 1:
            number, message = batch[0]
            self._outbox.rejected(number, message, error.slug)
        else:
            self._most = len(batch) // 2

    def _pause(self, error: TopicbaseError) -> float:
        pause = min(LONGEST_PAUSE, 0.5 * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        # Apart from others that failed at the same moment.
        spread = random.uniform(0.5, 1.0)  # noqa: S311
        return pause * spread if error.retry_after is None else error.retry_after + spread

    def close(self) -> None:
        self._http.close()
