"""The bridge as a whole: starts and ends its threads, holds the locks, sends heartbeats and hears the notifications."""

import contextlib
import dataclasses
import math
import os
import platform
import select
import socket
import threading
import time
import uuid
from uuid import UUID

import psycopg

from bridge import __version__, log, metrics
from bridge.configuration import Configuration
from bridge.database.connection import Database, Watchdog
from bridge.database.pooler import PoolerError
from bridge.database.thread import DatabaseThread, keep_connected
from bridge.mqtt.link import Link
from bridge.mqtt.network import Network
from bridge.mqtt.sink import Sink
from bridge.reports import ConnectionTests, Reports
from bridge.settings import Settings, SettingsError, Source
from bridge.systemd import Notifier
from bridge.work.claims import Claims
from bridge.work.heavy import HeavyWorker
from bridge.work.inbound import Inbound
from bridge.work.maintenance import Maintenance
from bridge.work.outbound import Outbound
from bridge.work.queue_worker import QueueWorker
from bridge.work.settler import Settler
from bridge.work.webhooks import Webhooks

HEARTBEAT_SECONDS = 2.0
LEASE_SECONDS = 6.0  # after a heartbeat, in which no other bridge can have taken over: that takes 8 s of silence (bridge.heartbeat)
SYNC_SECONDS = 10.0
DEBOUNCE_SECONDS = 0.03
DRAIN_SECONDS = 5.0
STUCK_SECONDS = 15.0


class Coordinator:
    """Runs on the main thread. It and the other threads communicate through queues and events."""

    def __init__(self, settings: Settings, source: Source | None = None) -> None:
        self.settings = settings
        self._source = source or Source()
        self._notifier = Notifier()
        self._reload_due = False
        self.bridge_id = uuid.uuid4()
        self.name = f"{platform.node()}:{os.getpid()}"
        self.stop_event = threading.Event()
        self._first_stop = threading.Event()
        self._last_stop = threading.Event()
        self._awake, self._wake = socket.socketpair()
        self._awake.setblocking(False)
        self._wake.setblocking(False)
        self.links: dict[UUID, Link] = {}
        self.reports = Reports(self._wake_up)
        self.tests = ConnectionTests(settings, self._wake_up)
        self.claims = Claims()
        has_room = threading.Event()
        self.inbound = Inbound(self.bridge_id, self._last_stop)
        self.settler = Settler(self.bridge_id, self._last_stop, self.claims, has_room)
        self.outbound = Outbound(self.bridge_id, self._last_stop, self.claims, self.links, has_room, self.settler.settled)
        self.network = Network(Sink(self.inbound, self.reports, self.settler.settled, has_room.set))
        self.configuration = Configuration(settings, self.network, self.settler, self.reports, self.links)
        self.heavy = HeavyWorker(self.bridge_id, self._first_stop)
        self.worker = QueueWorker(self.bridge_id, self._first_stop, self.heavy)
        self.heavy.released = self.worker.event.set
        self.maintenance = Maintenance(self.bridge_id, self._first_stop, settings, self.configuration.pause)
        self.webhooks = Webhooks(self.bridge_id, self._last_stop, settings)
        self.watchdog = Watchdog(self._last_stop)
        self._threads: tuple[DatabaseThread, ...] = (
            self.worker, self.heavy, self.maintenance, self.inbound, self.outbound, self.settler, self.webhooks
        )  # fmt: skip
        self._config_due: float | None = None
        self._used_api_keys: set[UUID] = set()
        self.is_ready = False
        self.fault: str | None = None
        self.exit_code = 0

    # ----------------------------------------------------------------------------------------------------------- life and end

    def request_stop(self) -> None:
        """End cleanly; may be called from a signal handler or another thread."""
        self.stop_event.set()
        self._wake_up()

    def request_reload(self) -> None:
        """Read the settings again; may be called from a signal handler or another thread."""
        self._reload_due = True
        self._wake_up()

    def _wake_up(self) -> None:
        with contextlib.suppress(OSError):
            self._wake.send(b"\0")

    def run(self) -> None:
        """Work until request_stop(), or until `fault` is set."""
        log.info("bridge_started", version=__version__, bridge=self.bridge_id, name=self.name)
        if self.settings.private_key_fault:
            log.warning("no_private_key", reason=self.settings.private_key_fault)
        server = None
        if self.settings.metrics_address is not None:
            host, port = self.settings.metrics_address
            try:
                server = metrics.Server(host, port, self.live_fault, self.ready_fault)
            except OSError as error:
                raise OSError(f"it cannot listen on {host}:{port} (TOPICBASE_METRICS_ADDRESS): {error.strerror}") from None
        for thread in (self.watchdog, self.network, *self._threads):
            thread.start()
        keep_connected(
            "coordinator",
            self.stop_event,
            lambda: Database(self.bridge_id, statement_timeout=10),
            self._serve,
            failed=self._failed,
            ended=self._end,
        )
        if server is not None:
            server.stop()
        log.info("bridge_stopped")

    def _failed(self, error: Exception) -> bool:
        if isinstance(error, PoolerError):
            # Waiting does not help, and going on through it would leave locks on sessions that other clients use.
            self.fault, self.exit_code = str(error), 2
            log.error("pooler_in_the_way", reason=error)
            self.stop_event.set()
            return True
        if not isinstance(error, psycopg.Error):
            raise error
        self.is_ready = False
        self.network.connect_until = 0.0
        self._turn()
        return False

    def _turn(self) -> None:
        """Done in each turn of the main thread, whether the database is connected or not."""
        if self._reload_due:
            self._reload_due = False
            self._reload()
        live, ready = self.live_fault(), self.ready_fault()
        up = sum(link.is_up for link in list(self.links.values()))
        status = ready or f"{len(self.links)} integrations held, {up} connected"
        self._notifier.turn(is_ready=ready is None, is_live=live is None, status=status)

    def _reload(self) -> None:
        """Apply the settings that can change while the bridge runs; if the settings are invalid, nothing changes."""
        self._notifier.reloading()
        before = self.settings
        try:
            now = self._source.read()
            moved = self._source.moved()
        except SettingsError as error:
            log.error("reload_failed", reason=error)
            self._notifier.reloaded()
            return
        if now.metrics_address != before.metrics_address:
            moved.append("TOPICBASE_METRICS_ADDRESS")
            now = dataclasses.replace(now, metrics_address=before.metrics_address)
        self.settings = now
        log.set_up(now.log_level, now.log_format)
        self.webhooks.use(now)
        self.tests.settings = self.maintenance.settings = now
        self.configuration.use(now)
        self._config_due = time.monotonic()
        log.info("reloaded", changed=",".join(_changed(before, now)) or "nothing", needs_restart=",".join(moved) or None)
        self._notifier.reloaded()

    def live_fault(self) -> str | None:
        dead = [thread.name for thread in (self.network, *self._threads) if not thread.is_alive()]
        if dead:
            return f"ended: {', '.join(dead)}"
        stuck = time.monotonic() - self.network.turned_at
        return f"the network thread has been stuck for {stuck:.0f} s" if stuck > STUCK_SECONDS else None

    def ready_fault(self) -> str | None:
        if fault := self.live_fault():
            return fault
        waiting = [thread.name for thread in self._threads if not thread.is_connected]
        if not self.is_ready or waiting:
            return f"no database connection: {', '.join(waiting) or 'coordinator'}"
        return None

    def _is_all_settled(self) -> bool:
        return not len(self.claims) and self.settler.is_idle()

    def _end(self, database: Database | None) -> None:
        """Accept nothing new, and finish what is in progress, within seconds."""
        self._notifier.stopping()
        self.is_ready = False
        deadline = time.monotonic() + DRAIN_SECONDS
        self.outbound.is_draining = True
        self.webhooks.is_draining = True
        self._first_stop.set()
        self.worker.event.set()
        self.outbound.event.set()
        while time.monotonic() < deadline and not (self._is_all_settled() and self.webhooks.is_idle()):
            time.sleep(0.02)
        self.network.remove(list(self.links.values()), patience=1)
        last = time.monotonic() + 2
        while time.monotonic() < last and not (self._is_all_settled() and self.inbound.is_idle()):
            time.sleep(0.01)
        self._last_stop.set()
        self.outbound.event.set()
        self.settler.event.set()
        self.webhooks.event.set()
        self.network.stop(1)
        for thread in (self.outbound, self.settler, self.inbound, self.worker, self.heavy, self.webhooks):
            thread.join(1)
        self.webhooks.close()
        self.tests.end()
        if database is not None and not database.connection.closed:
            try:
                database.release_integrations(list(self.links))
            except psycopg.Error:
                log.warning("leases_not_released")

    # ---------------------------------------------------------------------------------------------------------- with a database

    def _serve(self, database: Database) -> None:
        database.connection.add_notify_handler(lambda notice: self._noticed(notice.payload))
        # The lock of an earlier session of this bridge goes with that session, which the server may notice late.
        self._hello(database)
        database.listen()
        database.sleep("request")
        self.tests.is_due = True
        self._config_due = time.monotonic()
        self.configuration.forget_filters()
        next_beat = time.monotonic() + HEARTBEAT_SECONDS
        next_sync = time.monotonic() + SYNC_SECONDS
        # Work that was announced while nobody listened is found by looking.
        self.worker.event.set()
        self.outbound.event.set()
        self.webhooks.event.set()
        while not self.stop_event.is_set():
            now = time.monotonic()
            if now >= next_beat:
                if fault := self.live_fault():
                    self._break(fault)
                    break
                self._beat(database)
                next_beat = now + HEARTBEAT_SECONDS
                self.tests.is_due = True
            if now >= next_sync or self.configuration.is_change_due():
                self._config_due = self._config_due or now
            if self._config_due is not None and now >= self._config_due:
                self._config_due = None
                next_sync = now + SYNC_SECONDS
                self._synchronize(database)
            self._turn()
            if self.configuration.drop_given_up(database):
                self._config_due = time.monotonic()
            self.reports.send(database)
            self.tests.turn(database)
            due = [next_beat, next_sync, *([self._config_due] if self._config_due is not None else [])]
            self._wait(database, max(0.0, min(due) - time.monotonic()))

    def _break(self, fault: str) -> None:
        """Only a new process helps; the supervisor starts it."""
        self.fault, self.exit_code = fault, 70
        log.error("bridge_broken", reason=fault)
        self.stop_event.set()

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
        poll = select.poll()  # select() takes no more than 1,024 open files
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(math.ceil(timeout * 1000))}
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
            self.webhooks.event.set()
        elif subject == "request":
            self.tests.is_due = True
        elif subject == "config" and self._config_due is None:
            self._config_due = time.monotonic() + DEBOUNCE_SECONDS
        elif subject.startswith("api_key "):
            with contextlib.suppress(ValueError):  # anyone with a login may notify
                self._used_api_keys.add(UUID(subject.removeprefix("api_key ")))

    def _beat(self, database: Database) -> None:
        silent = database.heartbeat()
        if silent is None:
            log.warning("bridge_unknown")
            raise psycopg.OperationalError("the database no longer knows this bridge")
        if self.is_ready:
            self.network.connect_until = time.monotonic() + LEASE_SECONDS
        for other in silent:
            ended = database.end_bridge(other)
            log.warning("silent_bridge_ended", bridge=other, sessions=ended)
        if self._used_api_keys:
            database.note_api_keys(list(self._used_api_keys))
            self._used_api_keys.clear()
        self.configuration.count_sessions(database)
        if database.take_integrations():
            self._config_due = time.monotonic()
        surplus = database.surplus_integrations()
        if surplus:
            self.configuration.drop(database, surplus)
        metrics.show_links({str(integration): link.is_up for integration, link in self.links.items()}, self.settings.metrics_integrations)

    def _synchronize(self, database: Database) -> None:
        self.configuration.synchronize(database)
        self.network.connect_until = time.monotonic() + LEASE_SECONDS
        self.reports.send(database)  # or what was unsubscribed a moment ago would be read as still to be
        self.configuration.set_filters(database)
        self.is_ready = True


def _changed(before: Settings, now: Settings) -> list[str]:
    """The names of the settings that differ; their values may be secret."""
    return [field.name for field in dataclasses.fields(now) if getattr(before, field.name) != getattr(now, field.name)]
