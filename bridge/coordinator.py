"""The bridge as a whole: holds the locks, hears the notifications, and keeps links and files as the database wants them."""

import contextlib
import dataclasses
import os
import platform
import select
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import psycopg

from bridge import __version__, log, metrics, mosquitto, pooler, probe
from bridge.callbacks import Callbacks
from bridge.database import TELL_SECONDS, Database, Part, Watchdog, backoff, first_line
from bridge.in_hand import InHand
from bridge.inbound import Inbound
from bridge.link import Link
from bridge.link_base import Filter, Incoming
from bridge.network import Network
from bridge.outbound import Outbound
from bridge.settings import Settings, SettingsError, Source
from bridge.settler import Settler
from bridge.systemd import Notifier
from bridge.target import TargetError, of_integration
from bridge.upkeep import Upkeep
from bridge.worker import Worker

HEARTBEAT_SECONDS = 2.0
LEASE_SECONDS = 6.0  # after a heartbeat, in which no other bridge can have taken over: that takes 8 s of silence (bridge.heartbeat)
SYNC_SECONDS = 10.0
DEBOUNCE_SECONDS = 0.03
DRAIN_SECONDS = 5.0
PROBES = 8
STUCK_SECONDS = 15.0


class Coordinator:
    """Runs on the main thread. The other parts have their own; they meet in queues and events."""

    def __init__(self, settings: Settings, source: Source | None = None) -> None:
        self.settings = settings
        self._source = source or Source()
        self._notifier = Notifier()
        self._reload_due = False
        self.bridge_id = uuid.uuid4()
        self.name = f"{platform.node()}:{os.getpid()}"
        self.stop_event = threading.Event()
        self._parts_stop = threading.Event()
        self._last_stop = threading.Event()
        self.worker = Worker(self.bridge_id, self._parts_stop)
        self.upkeep = Upkeep(self.bridge_id, self._parts_stop, self.pause)
        self.inbound = Inbound(self.bridge_id, self._last_stop)
        self.in_hand = InHand()
        has_room = threading.Event()
        self.settler = Settler(self.bridge_id, self._last_stop, self.in_hand, has_room)
        self.outbound = Outbound(self.bridge_id, self._last_stop, self.in_hand, has_room, self.settler.settled)
        self.callbacks = Callbacks(self.bridge_id, self._last_stop, settings)
        self.network = Network(self)
        self.watchdog = Watchdog(self._last_stop)
        self.inbound.network = self.network
        self.outbound.network = self.network
        self.files = mosquitto.Files(settings)
        self._probers = ThreadPoolExecutor(PROBES, thread_name_prefix="probe")
        self._awake, self._wake = socket.socketpair()
        self._awake.setblocking(False)
        self._wake.setblocking(False)
        self._reports: deque[tuple[str, Any]] = deque()
        self._links: dict[UUID, Link] = {}
        self._stamps: dict[UUID, str] = {}
        self._faults: dict[UUID, str] = {}
        self._filters_stamp: str | None = None
        self._accounts_stamp: str | None = None
        self._accounts_change_at: datetime | None = None
        self._config_due: float | None = None
        self._requests_due = False
        self._probing = 0
        self.is_ready = False
        self._server: metrics.Server | None = None
        self.fault: str | None = None
        self.exit_code = 0

    # ---------------------------------------------------------------------------------------- the network's sink (its thread)

    def settled(self, link: Link, msg_id: int, state: str, code: int | None, reason: str | None) -> None:
        self.settler.settled(link, msg_id, state, code, reason)

    def arrived(self, message: Incoming) -> None:
        self.inbound.arrived(message)

    def may_read(self) -> bool:
        return self.inbound.may_read()

    def may_wait(self) -> float:
        return self.inbound.may_wait()

    def is_storing_from(self, links: list[Link]) -> bool:
        return self.inbound.is_storing_from(links)

    def state_changed(self, link: Link, state: str, detail: str | None) -> None:
        if state in ("active", "error"):
            self._report("state", (link.integration_id, state, detail))

    def subscribed(self, results: list[tuple[UUID, int, str]]) -> None:
        self._report("subscribed", results)

    def ready(self, link: Link) -> None:
        self.outbound.event.set()

    def given_up(self, link: Link) -> None:
        self._report("given up", link)

    def pause(self, reasons: dict[UUID, str]) -> None:
        """Leave the brokers of these integrations unread, and read those of all others. From the upkeep's thread."""
        for integration_id, link in list(self._links.items()):
            reason = reasons.get(integration_id)
            if link.is_paused != (reason is not None):
                self.network.call(partial(link.pause, reason))

    def _report(self, kind: str, what: Any) -> None:
        self._reports.append((kind, what))
        with contextlib.suppress(OSError):
            self._wake.send(b"\0")

    # ----------------------------------------------------------------------------------------------------------- life and end

    def request_stop(self) -> None:
        """End cleanly; may be called from a signal handler or another thread."""
        self.stop_event.set()
        with contextlib.suppress(OSError):
            self._wake.send(b"\0")

    def request_reload(self) -> None:
        """Read the settings again; may be called from a signal handler or another thread."""
        self._reload_due = True
        with contextlib.suppress(OSError):
            self._wake.send(b"\0")

    def run(self) -> None:
        """Work until request_stop(), or until `fault` says why that is no use."""
        log.info("bridge_started", version=__version__, bridge=self.bridge_id, name=self.name)
        if self.settings.private_key_fault:
            log.warning("no_private_key", reason=self.settings.private_key_fault)
        if self.settings.metrics_port is not None:
            self._server = metrics.Server(self.settings.metrics_host, self.settings.metrics_port, self.live_fault, self.ready_fault)
        for part in (self.watchdog, self.network, self.worker, self.upkeep, self.inbound, self.outbound, self.settler, self.callbacks):
            part.start()
        failures = 0
        told_at = -TELL_SECONDS
        while not self.stop_event.is_set():
            began = time.monotonic()
            database = None
            try:
                database = Database(self.bridge_id, statement_timeout=10)
                self._serve(database)
            except pooler.PoolerError as error:
                # Waiting does not mend it, and going on through it would leave locks on sessions that are someone else's.
                self.fault, self.exit_code = str(error), 2
                log.error("pooler_in_the_way", reason=error)
                self.stop_event.set()
            except psycopg.Error as error:
                self.is_ready = False
                self.network.connect_until = 0.0
                metrics.DATABASE_FAILURES.labels("coordinator").inc()
                failures = 0 if time.monotonic() - began > 10 else failures + 1
                if time.monotonic() - told_at >= TELL_SECONDS:
                    told_at = time.monotonic()
                    log.warning("database_lost", part="coordinator", sqlstate=error.sqlstate, reason=first_line(error))
                self._turn()
                self.stop_event.wait(backoff(failures))
            finally:
                if self.stop_event.is_set():
                    self._notifier.stopping()
                    self._end(database)
                if database is not None:
                    database.close()
        if self._server is not None:
            self._server.stop()
        log.info("bridge_stopped")

    def _turn(self) -> None:
        """What is done in each turn of the main thread, with a database and without."""
        if self._reload_due:
            self._reload_due = False
            self._reload()
        live, ready = self.live_fault(), self.ready_fault()
        up = sum(link.is_up for link in list(self._links.values()))
        status = ready or f"{len(self._links)} integrations held, {up} connected"
        self._notifier.turn(is_ready=ready is None, is_live=live is None, status=status)

    def _reload(self) -> None:
        """Take over the settings that can change while the bridge runs; what is wrong changes nothing."""
        self._notifier.reloading()
        before = self.settings
        try:
            now = self._source.read()
            moved = self._source.moved()
        except SettingsError as error:
            log.error("reload_failed", reason=error)
            self._notifier.reloaded()
            return
        if (now.metrics_host, now.metrics_port) != (before.metrics_host, before.metrics_port):
            moved.append("TOPICBASE_METRICS_ADDRESS")
            now = dataclasses.replace(now, metrics_host=before.metrics_host, metrics_port=before.metrics_port)
        self.settings = now
        log.set_level(now.log_level)
        self.callbacks.use(now)
        self.files = mosquitto.Files(now)
        self._accounts_stamp = None
        # All are looked at again; connections whose terms are the same stay.
        self._stamps.clear()
        self._config_due = time.monotonic()
        log.info("reloaded", changed=",".join(_changed(before, now)) or "nothing", needs_restart=",".join(moved) or None)
        self._notifier.reloaded()

    def live_fault(self) -> str | None:
        parts = (self.network, self.worker, self.upkeep, self.inbound, self.outbound, self.settler, self.callbacks)
        dead = [part.name for part in parts if not part.is_alive()]
        if dead:
            return f"ended: {', '.join(dead)}"
        stuck = time.monotonic() - self.network.turned_at
        return f"the network thread has been stuck for {stuck:.0f} s" if stuck > STUCK_SECONDS else None

    def ready_fault(self) -> str | None:
        if fault := self.live_fault():
            return fault
        parts: tuple[Part, ...] = (self.worker, self.upkeep, self.inbound, self.outbound, self.settler, self.callbacks)
        waiting = [part.name for part in parts if not part.is_connected]
        if not self.is_ready or waiting:
            return f"no database connection: {', '.join(waiting) or 'coordinator'}"
        return None

    def _is_all_settled(self) -> bool:
        return not len(self.in_hand) and self.settler.is_idle()

    def _end(self, database: Database | None) -> None:
        """Take no more, finish what is under way, within seconds."""
        self.is_ready = False
        deadline = time.monotonic() + DRAIN_SECONDS
        self.outbound.is_draining = True
        self.callbacks.is_draining = True
        self._parts_stop.set()
        self.worker.event.set()
        self.outbound.event.set()
        while time.monotonic() < deadline and not (self._is_all_settled() and self.callbacks.is_idle()):
            time.sleep(0.02)
        self.network.remove(list(self._links.values()), patience=1)
        last = time.monotonic() + 2
        while time.monotonic() < last and not (self._is_all_settled() and self.inbound.is_idle()):
            time.sleep(0.01)
        self._last_stop.set()
        self.outbound.event.set()
        self.settler.event.set()
        self.callbacks.event.set()
        self.network.stop(1)
        for part in (self.outbound, self.settler, self.inbound, self.worker, self.callbacks):
            part.join(1)
        self.callbacks.close()
        self._probers.shutdown(wait=False, cancel_futures=True)
        if database is not None and not database.connection.closed:
            try:
                database.release_integrations(list(self._links))
            except psycopg.Error:
                log.warning("leases_not_released")

    # ---------------------------------------------------------------------------------------------------------- with a database

    def _serve(self, database: Database) -> None:
        connection = database.connection
        connection.add_notify_handler(lambda notice: self._noticed(notice.payload))
        # The lock of an earlier session of this bridge goes with that session, which the server may notice late.
        self._hello(database)
        database.listen()
        database.sleep("request")
        self._requests_due = True
        self._config_due = time.monotonic()
        self._filters_stamp = None
        next_beat = time.monotonic() + HEARTBEAT_SECONDS
        next_sync = time.monotonic() + SYNC_SECONDS
        # What was told while nobody listened is found by looking.
        self.worker.event.set()
        self.outbound.event.set()
        self.callbacks.event.set()
        while not self.stop_event.is_set():
            now = time.monotonic()
            if now >= next_beat:
                self.fault = self.live_fault()
                if self.fault:
                    self.exit_code = 70
                    # A new process is the way out; whoever runs this one starts it.
                    log.error("bridge_broken", reason=self.fault)
                    self.stop_event.set()
                    break
                self._beat(database)
                next_beat = now + HEARTBEAT_SECONDS
                self._requests_due = True
            if now >= next_sync or (self._accounts_change_at is not None and datetime.now(UTC) >= self._accounts_change_at):
                self._config_due = self._config_due or now
                self._accounts_change_at = None
            if self._config_due is not None and now >= self._config_due:
                self._config_due = None
                next_sync = now + SYNC_SECONDS
                self._synchronize(database)
            self._turn()
            self._send_reports(database)
            if self._requests_due and self._probing < PROBES:
                self._requests_due = False
                self._take_requests(database)
            due = [next_beat, next_sync, *([self._config_due] if self._config_due is not None else [])]
            self._wait(database, max(0.0, min(due) - time.monotonic()))

    def _hello(self, database: Database) -> None:
        for attempt in range(50):
            try:
                answer = database.hello(self.name)
            except psycopg.Error as error:
                if error.sqlstate != "PT409" or attempt == 49:
                    raise
                self.stop_event.wait(0.1)
            else:
                keys = self.settings.private_keys
                wanted = "".join((answer["sealing_public_key"] or "").split())
                if keys is not None and wanted and wanted != keys.public_key:
                    log.warning(
                        "sealing_key_differs", reason="the database's public key belongs to another private key; new secrets stay sealed"
                    )
                log.info("database_connected", server=database.connection.info.server_version, max_payload=answer["max_payload_bytes"])
                return

    def _wait(self, database: Database, timeout: float) -> None:
        connection = database.connection
        descriptors = (connection.fileno(), self._awake.fileno())
        ready, _, _ = select.select(descriptors, [], [], timeout)
        if descriptors[1] in ready:
            with contextlib.suppress(BlockingIOError):
                self._awake.recv(4096)
        if descriptors[0] in ready:
            connection.pgconn.consume_input()
            while notice := connection.pgconn.notifies():
                self._noticed(notice.extra.decode())

    def _noticed(self, subject: str) -> None:
        if subject == "ingest":
            self.worker.event.set()
        elif subject == "outbound":
            self.outbound.event.set()
        elif subject == "callback":
            self.callbacks.event.set()
        elif subject == "request":
            self._requests_due = True
        elif subject == "config" and self._config_due is None:
            self._config_due = time.monotonic() + DEBOUNCE_SECONDS

    def _beat(self, database: Database) -> None:
        silent = database.heartbeat()
        if silent is None:
            log.warning("bridge_unknown")
            raise psycopg.OperationalError("this bridge is not known to the database any more")
        if self.is_ready:
            self.network.connect_until = time.monotonic() + LEASE_SECONDS
        for other in silent:
            ended = database.end_bridge(other)
            log.warning("silent_bridge_ended", bridge=other, sessions=ended)
        if database.take_integrations():
            self._config_due = time.monotonic()
        surplus = database.surplus_integrations()
        if surplus:
            self._drop(database, surplus)
        states: dict[str, int] = {"up": 0, "down": 0}
        for link in self._links.values():
            states["up" if link.is_up else "down"] += 1
        for state, count in states.items():
            metrics.LINKS.labels(state).set(count)

    # ------------------------------------------------------------------------------------------------------------- configuration

    def _synchronize(self, database: Database) -> None:
        if self.files.is_wanted:
            self._write_accounts(database)
        database.take_integrations()
        held = database.integrations(self._stamps)
        gone = [key for key in [*self._links, *self._faults] if key not in {found.id for found in held}]
        if gone:
            self._drop(database, gone)
        for found in held:
            if not found.is_changed:
                continue
            self._stamps[found.id] = found.stamp
            self._faults.pop(found.id, None)
            target, fault = None, None
            try:
                target = of_integration(found.id, found.integration_type, found.settings, self.settings)
            except TargetError as error:
                fault = error
            old = self._links.get(found.id)
            if old is not None and old.target == target:
                continue  # what changed is not the connection's: a limit, a secret in a new box
            if old is not None:
                del self._links[found.id]
                self.outbound.links.pop(found.id, None)
                old.is_moved = target is not None and target.session() != old.target.session()
                self.network.remove([old])
                self._filters_stamp = None
            if target is None:
                self._faults[found.id] = str(fault)
                self._reports.append(("state", (found.id, "error", str(fault))))
                continue
            link = self.network.add(found.id, target)
            self._links[found.id] = link
            self.outbound.links[found.id] = link
            self._filters_stamp = None
        self.network.connect_until = time.monotonic() + LEASE_SECONDS
        self._set_filters(database)
        self.is_ready = True

    def _set_filters(self, database: Database) -> None:
        answer = database.subscriptions(self._filters_stamp)
        if answer is None:
            return
        self._filters_stamp, filters = answer
        for key, link in self._links.items():
            self._later(link, filters.get(key, {}))

    def _later(self, link: Link, filters: dict[str, Filter]) -> None:
        self.network.call(lambda: link.set_filters(filters))

    def _drop(self, database: Database, ids: list[UUID]) -> None:
        links = [self._links.pop(key) for key in ids if key in self._links]
        for key in ids:
            self.outbound.links.pop(key, None)
            self._stamps.pop(key, None)
            self._faults.pop(key, None)
        self.network.remove(links)
        # What these links sent and had acknowledged is settled before anyone else may send it again.
        deadline = time.monotonic() + 2
        while self.settler.is_settling(ids) and time.monotonic() < deadline:
            time.sleep(0.005)
        database.release_integrations(ids)
        log.info("integrations_released", count=len(ids))

    def _write_accounts(self, database: Database) -> None:
        stamp, change_at, passwords, acl = database.mosquitto_accounts(self._accounts_stamp)
        self._accounts_change_at = change_at
        if passwords is None or acl is None:
            return
        try:
            if self.files.write(passwords, acl):
                log.info("mosquitto_accounts_written", accounts=passwords.count("\n"))
            self._accounts_stamp = stamp
        except OSError as error:
            log.error("mosquitto_accounts_not_written", reason=error)

    # ---------------------------------------------------------------------------------------------------- reports and requests

    def _send_reports(self, database: Database) -> None:
        states: dict[UUID, tuple[UUID, str, str | None]] = {}
        results: dict[UUID, tuple[UUID, int, str]] = {}
        given_up: list[UUID] = []
        taken = []
        while self._reports:
            report = self._reports.popleft()
            taken.append(report)
            kind, what = report
            if kind == "state":
                states[what[0]] = what
            elif kind == "subscribed":
                results.update({result[0]: result for result in what})
            elif kind == "given up" and what in self._links.values():
                given_up.append(what.integration_id)
        try:
            if given_up:
                self._config_due = time.monotonic()
                self._drop(database, given_up)
            if states:
                database.integration_states(list(states.values()))
            if results:
                database.subscription_results(list(results.values()))
            for kind, what in taken:
                if kind == "answer":
                    self._probing -= 1
                    database.answer_request(*what)
        except psycopg.OperationalError:
            self._reports.extendleft(reversed(taken))
            raise

    def _take_requests(self, database: Database) -> None:
        for request in database.claim_requests():
            self._probing += 1
            self._submit(lambda request=request: self._report("answer", probe.answer(request, self.settings)))  # type: ignore[misc]

    def _submit(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # ending
            self._probers.submit(work)


def _changed(before: Settings, now: Settings) -> list[str]:
    """The names of the settings that differ; their values are nobody's business."""
    return [field.name for field in dataclasses.fields(now) if getattr(before, field.name) != getattr(now, field.name)]
