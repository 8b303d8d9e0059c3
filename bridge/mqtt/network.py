"""All broker connections, on one thread: a selector over their sockets, and for each integration a Link that keeps it connected."""

import contextlib
import math
import select
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from uuid import UUID

from bridge import log
from bridge.mqtt.dialers import Dialers
from bridge.mqtt.link import Link
from bridge.mqtt.rate import Rate
from bridge.mqtt.sink import Sink
from bridge.mqtt.sockets import DialError, dial
from bridge.mqtt.target import Target

DIAL_SECONDS = 10.0
DIALERS = 128


class Network(threading.Thread):
    """Runs the links. Other threads give it work by call(); it tells the sink."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(name="network", daemon=True)
        self._sink = sink
        self.connect_until = math.inf  # time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._calls: deque[Callable[[], None]] = deque()
        self._awake, self._wake = socket.socketpair()
        self._awake.setblocking(False)
        self._wake.setblocking(False)
        self._is_woken = False
        self._selector.register(self._awake, selectors.EVENT_READ, None)
        self._links: dict[UUID, Link] = {}
        self._rates: dict[UUID, tuple[Rate, Rate]] = {}  # by organization: messages and bytes
        self._wanted: dict[Link, int] = {}  # events, were the link always read
        self._registered: dict[Link, tuple[int, int]] = {}  # descriptor and events that the selector knows
        self._dialers = Dialers(DIALERS)
        self._ending = threading.Event()
        self.is_reading = True
        self.turned_at = time.monotonic()

    @property
    def may_connect(self) -> bool:
        return time.monotonic() < self.connect_until

    # ----------------------------------------------------------------------------------------------------- from other threads

    def call(self, function: Callable[[], None]) -> None:
        """Have function called on the network thread, soon and in order."""
        self._calls.append(function)
        if not self._is_woken:
            self._is_woken = True
            try:
                self._wake.send(b"\0")
            except BlockingIOError:
                pass
            except OSError:
                return

    def add(self, integration_id: UUID, organization_id: UUID, target: Target) -> Link:
        link = Link(self, self._sink, integration_id, organization_id, target, self._rates_of(organization_id))

        def start() -> None:
            self._links[integration_id] = link
            link.tick(time.monotonic())

        self.call(start)
        return link

    def limit(self, organization_id: UUID, per_second: float | None, burst: float | None, bytes_per_second: float | None) -> None:
        """How many messages and bytes a second the brokers of an organization may deliver together."""
        messages, size = self._rates_of(organization_id)

        def change() -> None:
            if messages.set(per_second, burst) | size.set(bytes_per_second):
                for link in self._links.values():
                    if link.organization_id == organization_id:
                        link.read_on()  # it may wait for what the old rates demanded

        self.call(change)

    def _rates_of(self, organization_id: UUID) -> tuple[Rate, Rate]:
        return self._rates.setdefault(organization_id, (Rate(), Rate()))

    def remove(self, links: list[Link], patience: float = 2.0, timeout: float = 5.0) -> None:
        """Close links, once what they have under way is acknowledged or patience is over, and wait until they are.

        That goes for both directions: what was stored and not acknowledged would come again, and be stored again.
        """
        for link in links:
            self.call(link.drain)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and (
            any(link.is_up and link.outgoing.unacked for link in links) or self._sink.store.is_storing_from(links)
        ):
            time.sleep(0.005)
        done = threading.Event()

        def end() -> None:
            for link in links:
                link.close()
                if self._links.get(link.integration_id) is link:
                    del self._links[link.integration_id]
            done.set()

        self.call(end)
        done.wait(timeout)

    def stop(self, timeout: float = 5.0) -> None:
        self._ending.set()
        self.call(lambda: None)
        self.join(timeout)
        self._dialers.end()

    # ------------------------------------------------------------------------------------------------------------ from links

    def dial(self, link: Link) -> None:
        def work() -> None:
            connection, error = None, None
            if link.is_closed:
                return
            try:
                connection = dial(link.target, DIAL_SECONDS)
            except DialError as fault:
                error = fault
            except Exception as fault:  # noqa: BLE001  # reported as the reason; a dialer must not die silently
                error = DialError("tcp", f"the connection failed: {fault}")
            self.call(lambda: link.dialed(connection, error))

        self._dialers.submit(link.organization_id, work)

    def register(self, link: Link) -> None:
        self._wanted[link] = selectors.EVENT_READ
        self.apply(link)

    def unregister(self, link: Link) -> None:
        self._wanted.pop(link, None)
        if (registered := self._registered.pop(link, None)) is not None:
            self._selector.unregister(registered[0])

    def want(self, link: Link, *, write: bool) -> None:
        if link in self._wanted:
            self._wanted[link] = selectors.EVENT_READ | (selectors.EVENT_WRITE if write else 0)
            self.apply(link)

    def apply(self, link: Link) -> None:
        """Have the selector wait for what the link wants."""
        client = link.client
        if client is None or client.connection is None:
            return
        events = self._wanted.get(link, 0) & ~(0 if link.may_read else selectors.EVENT_READ)
        registered = self._registered.get(link)
        if events == (registered[1] if registered else 0):
            return
        descriptor = client.connection.buffer.fileno()
        if not events:
            self._selector.unregister(descriptor)
            del self._registered[link]
            return
        if registered:
            self._selector.modify(descriptor, events, link)
        else:
            self._selector.register(descriptor, events, link)
        self._registered[link] = descriptor, events

    # ---------------------------------------------------------------------------------------------------------------- running

    def run(self) -> None:
        next_tick = 0.0
        while not self._ending.is_set():
            try:
                next_tick = self._turn(next_tick)
            except Exception:  # noqa: BLE001  # one link's fault must not end all others
                log.error("network_fault", exc_info=True)
                time.sleep(0.1)
        for link in list(self._links.values()):
            link.close()

    def _turn(self, next_tick: float) -> float:
        if (pause := self._sink.store.may_wait()) > 0:
            # Fewer and larger reads; a call ends the wait. Not by the selector, which rounds up to milliseconds.
            select.select([self._awake], [], [], pause)
        self.turned_at = now = time.monotonic()
        for key, events in self._selector.select(max(0.0, min(next_tick - now, 1.0))):
            if key.data is None:
                self._is_woken = False
                with contextlib.suppress(BlockingIOError):
                    self._awake.recv(4096)
            else:
                key.data.on_ready(events)
        self._is_woken = False
        for _ in range(len(self._calls)):
            self._calls.popleft()()
        may_read = self._sink.store.may_read()
        if may_read != self.is_reading:
            self.is_reading = may_read
            log.info("reading_resumed" if may_read else "reading_paused")
            for link in list(self._wanted):
                self.apply(link)
        now = time.monotonic()
        if now >= next_tick:
            for link in list(self._links.values()):
                link.tick(now)
            due = [at for link in self._links.values() if (at := link.due_at()) is not None]
            return max(now + 0.02, min([now + 0.5, *due]))
        return next_tick
