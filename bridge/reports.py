"""What the main thread reports to the database for the other threads: states of links, results of subscriptions, connection tests."""

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import UUID

import psycopg

from bridge.database.connection import Database
from bridge.mqtt.probe import Probe
from bridge.mqtt.sink import LinkState
from bridge.settings import Settings
from bridge.values import Origin, Request

PROBES = 16

T = TypeVar("T")


class Reports:
    """Links report from the network thread, which wakes the main thread."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._states: deque[tuple[UUID, LinkState, str | None]] = deque()
        self._results: deque[tuple[UUID, int, str]] = deque()
        self._ended: deque[tuple[UUID, str]] = deque()
        self.given_up_links: deque[Origin] = deque()

    def state_changed(self, integration_id: UUID, state: LinkState, detail: str | None) -> None:
        self._states.append((integration_id, state, detail))
        self._wake()

    def subscribed(self, results: list[tuple[UUID, int, str]]) -> None:
        self._results.extend(results)
        self._wake()

    def unsubscribed(self, integration_id: UUID, topics: Sequence[str]) -> None:
        self._ended.extend((integration_id, topic) for topic in topics)
        self._wake()

    def given_up(self, link: Origin) -> None:
        self.given_up_links.append(link)
        self._wake()

    def send(self, database: Database) -> None:
        """The last state and result of each."""
        _send(self._states, lambda states: database.integration_states(list({state[0]: state for state in states}.values())))
        _send(self._results, lambda results: database.subscription_results(list({result[0]: result for result in results}.values())))
        _send(self._ended, database.forget_filters)


class ConnectionTests:
    """Each runs on a thread of its own."""

    def __init__(self, settings: Settings, wake: Callable[[], None]) -> None:
        self.settings = settings
        self.is_due = False
        self._wake = wake
        self._probers = ThreadPoolExecutor(PROBES, thread_name_prefix="probe")
        self._running: list[Future[None]] = []
        self._answers: deque[tuple[UUID, dict[str, Any], bool]] = deque()  # the last one of each test is its verdict

    def turn(self, database: Database) -> None:
        """Tell how far they are; begin what is asked for."""
        _send(self._answers, lambda answers: _answer(database, answers))
        self._running = [test for test in self._running if not test.done()]
        if self.is_due and len(self._running) < PROBES:
            self.is_due = False
            for request in database.claim_requests(PROBES - len(self._running)):
                with contextlib.suppress(RuntimeError):  # ending
                    self._running.append(self._probers.submit(self._run, request))

    def end(self) -> None:
        self._probers.shutdown(wait=False, cancel_futures=True)

    def _run(self, request: Request) -> None:
        self._answer(request, Probe(request, self.settings, lambda result: self._answer(request, result, is_done=False)).run())
        self.is_due = True  # another one may have its turn
        self._wake()

    def _answer(self, request: Request, result: dict[str, Any], *, is_done: bool = True) -> None:
        self._answers.append((request.id, result, is_done))
        self._wake()


def _answer(database: Database, answers: list[tuple[UUID, dict[str, Any], bool]]) -> None:
    for request_id, result, is_done in answers:
        database.answer_request(request_id, result, is_done=is_done)


def _send(pending: deque[T], send: Callable[[list[T]], None]) -> None:
    """Send what is pending, and keep it when the connection is lost."""
    taken = [pending.popleft() for _ in range(len(pending))]
    if taken:
        try:
            send(taken)
        except psycopg.OperationalError:
            pending.extendleft(reversed(taken))
            raise
