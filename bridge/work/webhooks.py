"""From the history to the URLs of subscribers: claims what is due, posts it signed, and settles what became of it."""

import base64
import binascii
import functools
import hashlib
import hmac
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from bridge import __version__, log, metrics, sealing
from bridge.database.connection import Database
from bridge.database.thread import POLL_SECONDS, DatabaseThread, Idler
from bridge.settings import Settings
from bridge.values import Callback, CallbackOutcome
from bridge.work.poster import Poster, PostError

REQUESTS = 64  # at once; the database shares them among the organizations
SLOTS = 8  # requests of a subscription at once
# A claim ends after a minute; what an ordered subscription has left by then goes back.
PATIENCE_SECONDS = 30.0
# What is claimed beyond the slots goes back when the receiver has become slow, so that shares are made again.
AHEAD_SECONDS = 1.0
QUICK_SECONDS = 0.25
MOST_QUICK = 1000  # subscriptions that are remembered to have quick receivers


class _Line:
    """Deliveries of a subscription that are claimed and not yet begun, and how many threads post them."""

    def __init__(self) -> None:
        self.waiting: deque[Callback] = deque()
        self.threads = 0
        self.claimed_at = 0.0


class Webhooks(DatabaseThread):
    def __init__(self, bridge_id: UUID, stop: threading.Event, settings: Settings) -> None:
        super().__init__("webhooks", bridge_id, stop)
        self.event = threading.Event()
        self.is_draining = False
        self._settings = settings
        self._poster = Poster(private_allowed=settings.allow_private_addresses)
        self._requests = ThreadPoolExecutor(REQUESTS, thread_name_prefix="callback")
        self._pending: deque[CallbackOutcome] = deque()
        self._outcomes: list[CallbackOutcome] = []
        self._busy: dict[UUID, int] = {}  # subscription: claimed and not settled
        self._ordered: set[UUID] = set()  # those of them that take one slot, however many are claimed
        self._lock = threading.Lock()
        self._lines: dict[UUID, _Line] = {}
        self._quick: dict[UUID, None] = {}  # subscriptions whose receiver answered the last request quickly

    def use(self, settings: Settings) -> None:
        """From now on, keys and the guard on addresses are those of these settings."""
        self._settings = settings
        self._poster.private_allowed = settings.allow_private_addresses

    def is_idle(self) -> bool:
        return not self._busy

    def close(self) -> None:
        """End the requests that are under way; the next bridge makes them again."""
        self._poster.close()
        self._requests.shutdown(wait=False, cancel_futures=True)

    def serve(self, database: Database) -> None:
        idler = Idler(database, "callback", self.event)
        enforced_at = 0.0
        while not self.stop_event.is_set():
            self.event.clear()
            settled = self._settle(database)
            claimed = 0 if self.is_draining else self._claim(database)
            now = time.monotonic()
            if now - enforced_at >= 1:
                enforced_at = now
                self._poster.enforce()
            if settled:
                idler.worked()
            if claimed:
                idler.found_work()
            if settled or self._pending:
                continue
            if self.is_draining:
                self.event.wait(POLL_SECONDS)
            else:
                # Asleep also while requests are under way: what becomes due meanwhile must not wait for a slow receiver.
                idler.wait()

    def _claim(self, database: Database) -> int:
        room = REQUESTS - sum(1 if key in self._ordered else min(count, SLOTS) for key, count in self._busy.items())
        if room <= 0:
            return 0
        began = time.monotonic()
        with self._lock:
            quick = list(self._quick)
        callbacks = database.claim_callbacks(room, self._busy, quick)
        ordered: dict[UUID, list[Callback]] = {}
        for callback in callbacks:
            self._busy[callback.subscription_id] = self._busy.get(callback.subscription_id, 0) + 1
            if callback.is_ordered:
                ordered.setdefault(callback.subscription_id, []).append(callback)
                self._ordered.add(callback.subscription_id)
            else:
                self._line_up(callback, began)
        for callbacks_in_order in ordered.values():
            self._requests.submit(self._post_all, callbacks_in_order, began)
        metrics.CALLBACKS_IN_FLIGHT.set(sum(self._busy.values()))
        return len(callbacks)

    def _line_up(self, callback: Callback, claimed_at: float) -> None:
        with self._lock:
            line = self._lines.setdefault(callback.subscription_id, _Line())
            line.waiting.append(callback)
            line.claimed_at = claimed_at
            if line.threads == SLOTS:
                return
            line.threads += 1
        self._requests.submit(self._post_line, callback.subscription_id, line)

    def _settle(self, database: Database) -> int:
        while self._pending:
            self._outcomes.append(self._pending.popleft())
        outcomes = self._outcomes
        if not outcomes:
            return 0
        # Kept until it is done: what a receiver has accepted must not be forgotten with a database connection.
        counts = database.settle_callbacks(outcomes)
        self._outcomes = []
        for outcome in outcomes:
            key = outcome.callback.subscription_id
            self._busy[key] -= 1
            if not self._busy[key]:
                del self._busy[key]
                self._ordered.discard(key)
        for result, count in counts.items():
            if count:
                metrics.CALLBACKS.labels(result).inc(count)
        metrics.CALLBACKS_IN_FLIGHT.set(sum(self._busy.values()))
        return len(outcomes)

    # ---------------------------------------------------------------------------------------------------- on the pool's threads

    def _post_all(self, callbacks: list[Callback], claimed_at: float) -> None:
        """One after the other, until one fails: the rest goes back."""
        is_over = False
        for callback in callbacks:
            if is_over or self.is_draining or time.monotonic() - claimed_at > PATIENCE_SECONDS:
                outcome = CallbackOutcome(callback)
            else:
                outcome = self._post(callback)
                is_over = outcome.code is None or not 200 <= outcome.code < 300
            self._pending.append(outcome)
            self.event.set()

    def _post_line(self, key: UUID, line: _Line) -> None:
        """What waits, beside other threads, until one fails or it takes long: then what is left for no other thread goes back."""
        is_over = False
        while taken := self._next_of(key, line, is_over=is_over or self.is_draining):
            if is_over or self.is_draining:
                outcomes = [CallbackOutcome(callback) for callback in taken]
            else:
                outcomes = [self._post(callback) for callback in taken]
                is_over = not self._is_good(outcomes[0]) or time.monotonic() - line.claimed_at > AHEAD_SECONDS
            self._pending.extend(outcomes)
            self.event.set()

    def _next_of(self, key: UUID, line: _Line, *, is_over: bool) -> list[Callback]:
        """The next one; when it is over, the last ones, but for one for each other thread. None: this thread ends."""
        with self._lock:
            if is_over:
                taken = [line.waiting.pop() for _ in range(len(line.waiting) - line.threads + 1)]
            else:
                taken = [line.waiting.popleft()] if line.waiting else []
            if not taken:
                line.threads -= 1
                if not line.threads:
                    del self._lines[key]
            return taken

    def _is_good(self, outcome: CallbackOutcome) -> bool:
        """Whether it was delivered; remembers whether that was quick."""
        key = outcome.callback.subscription_id
        is_good = outcome.code is not None and 200 <= outcome.code < 300
        with self._lock:
            self._quick.pop(key, None)
            if is_good and (outcome.seconds or 0) < QUICK_SECONDS:
                self._quick[key] = None
                if len(self._quick) > MOST_QUICK:
                    del self._quick[next(iter(self._quick))]
        return is_good

    def _post(self, callback: Callback) -> CallbackOutcome:
        began = time.monotonic()
        try:
            return self._exchange(callback)
        except PostError as error:
            return CallbackOutcome(callback, error=str(error))
        except Exception as error:  # noqa: BLE001  # a claim that is not settled would look like a bridge that died
            log.error("callback_failed", exc_info=True, delivery=callback.id)
            return CallbackOutcome(callback, error=f"the request failed: {type(error).__name__}")
        finally:
            metrics.CALLBACK_SECONDS.observe(time.monotonic() - began)

    def _exchange(self, callback: Callback) -> CallbackOutcome:
        if callback.body is None:
            return CallbackOutcome(callback, error="the message is no longer in the history", is_final=True)
        body = callback.body.encode()
        timestamp = str(int(time.time()))
        try:
            keys = [secret_key(self._settings.private_keys, secret["sealed"]) for secret in callback.secrets or []]
        except ValueError as error:
            return CallbackOutcome(callback, error=f"the request cannot be signed: {error}")
        if not keys:
            return CallbackOutcome(callback, error="the request cannot be signed: the subscription has no secret")
        headers = {
            "User-Agent": f"Topicbase/{__version__}",
            "webhook-id": str(callback.id),
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join(signature(key, str(callback.id), timestamp, body) for key in keys),
        }
        began = time.monotonic()
        answer = self._poster.post(callback.url, headers, body)
        seconds = time.monotonic() - began
        fault = None
        if not 200 <= answer.code < 300:
            fault = f"the receiver answered {answer.code}" + (", and redirects are not followed" if 300 <= answer.code < 400 else "")
        retry_after = answer.retry_after if answer.code in (429, 503) else None
        return CallbackOutcome(callback, answer.code, fault, answer.excerpt or None, retry_after, seconds=seconds)


@functools.lru_cache(1000)
def secret_key(private_keys: sealing.Keyring | None, sealed: str) -> bytes:
    """The key in a sealed secret of the form whsec_<base64>. Raises ValueError, without the secret."""
    text = sealing.unseal(private_keys, {"sealed": sealed})
    try:
        return base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("its secret is not whsec_<base64>") from None


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """The symmetric signature of Standard Webhooks 1.0: over id, timestamp and body, joined by dots."""
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
