"""What the database wants this bridge to hold: integrations with their filters, and Mosquitto's accounts."""

import time
from datetime import UTC, datetime
from uuid import UUID

from bridge import log, mosquitto
from bridge.database.connection import Database
from bridge.mqtt.link import Link
from bridge.mqtt.network import Network
from bridge.mqtt.target import TargetError, of_integration
from bridge.reports import Reports
from bridge.settings import Settings
from bridge.values import Integration
from bridge.work.settler import Settler

SETTLE_SECONDS = 2.0
ACCOUNT_SECONDS = 0.5  # in which Mosquitto has read the file; a connection that is refused is tried again slowly


class Configuration:
    """Used on the main thread, except for `pause`."""

    def __init__(self, settings: Settings, network: Network, settler: Settler, reports: Reports, links: dict[UUID, Link]) -> None:
        self.links = links
        self._settings = settings
        self._network = network
        self._settler = settler
        self._reports = reports
        self._access = mosquitto.AccessFile(settings)
        self._stamps: dict[UUID, str] = {}
        self._faults: dict[UUID, str] = {}
        self._filters_stamp: str | None = None
        self._accounts_stamp: str | None = None
        self._accounts_change_at: datetime | None = None

    def use(self, settings: Settings) -> None:
        """Apply these settings from now on. Everything is compared again; connections whose settings have not changed stay up."""
        self._settings = settings
        self._access = mosquitto.AccessFile(settings)
        self._accounts_stamp = None
        self._stamps.clear()

    def pause(self, reasons: dict[UUID, str]) -> None:
        """Stop reading from the brokers of these integrations, and read from all others. May be called from any thread."""
        for integration_id, link in list(self.links.items()):
            link.pause(reasons.get(integration_id))

    def is_change_due(self) -> bool:
        """Whether an account becomes valid or expires now."""
        return self._accounts_change_at is not None and datetime.now(UTC) >= self._accounts_change_at

    def forget_filters(self) -> None:
        """Set all filters again at the next synchronization."""
        self._filters_stamp = None

    def synchronize(self, database: Database) -> None:
        """Hold links to the brokers of this bridge's integrations, and no others."""
        self._accounts_change_at = None
        if self._access.is_wanted:
            self._write_accounts(database)
        database.take_integrations()
        held = database.integrations(self._stamps)
        ids = {found.id for found in held}
        if gone := [key for key in [*self.links, *self._faults] if key not in ids]:
            self.drop(database, gone)
        for found in held:
            self._network.limit(found.organization_id, found.max_per_second, found.max_burst, found.max_bytes_per_second)
            if found.is_changed:
                self._stamps[found.id] = found.stamp
                self._change(found)

    def _change(self, found: Integration) -> None:
        self._faults.pop(found.id, None)
        target, fault = None, None
        try:
            target = of_integration(found.id, found.integration_type, found.settings, self._settings)
        except TargetError as error:
            fault = str(error)
        old = self.links.get(found.id)
        if old is not None:
            if old.target == target:
                return  # what changed is not the connection's: a limit, a secret in a new box
            del self.links[found.id]
            old.is_moved = target is not None and target.session() != old.target.session()
            self._network.remove([old])
        if target is not None:
            self.links[found.id] = self._network.add(found.id, found.organization_id, target)
        elif fault is not None:
            self._faults[found.id] = fault
            self._reports.state_changed(found.id, "error", fault)
        self.forget_filters()

    def set_filters(self, database: Database) -> None:
        answer = database.subscriptions(self._filters_stamp)
        if answer is None:
            return
        self._filters_stamp, filters = answer
        ended = database.ended_filters()
        for key, link in self.links.items():
            link.set_filters(filters.get(key, {}), ended.get(key, set()))

    def drop_given_up(self, database: Database) -> bool:
        """Release the integrations whose links turned out to be held by another bridge; whether there were any."""
        links = list(self._reports.given_up_links)
        if ids := [link.integration_id for link in links if link in self.links.values()]:
            self.drop(database, ids)
        for _ in links:
            self._reports.given_up_links.popleft()
        return bool(ids)

    def drop(self, database: Database, ids: list[UUID]) -> None:
        """Close the links of these integrations, and release them for another bridge."""
        links = [self.links.pop(key) for key in ids if key in self.links]
        for key in ids:
            self._stamps.pop(key, None)
            self._faults.pop(key, None)
        self._network.remove(links)
        # What these links sent and had acknowledged is settled before another bridge may send it again.
        deadline = time.monotonic() + SETTLE_SECONDS
        while self._settler.is_settling(ids) and time.monotonic() < deadline:
            time.sleep(0.005)
        database.release_integrations(ids)
        log.info("integrations_released", count=len(ids))

    def count_sessions(self, database: Database) -> None:
        """Count the sessions that Mosquitto has had since the last time."""
        path = self._settings.mosquitto_sessions_file
        if path is None:
            return
        try:
            sessions = mosquitto.read_sessions(path)
            if sessions is not None:
                # Were the bridge killed between the two, these would be counted twice.
                database.count_sessions(sessions)
                path.unlink()
        except (OSError, ValueError, IndexError) as error:
            log.error("mosquitto_sessions_not_counted", reason=error)

    def _write_accounts(self, database: Database) -> None:
        stamp, change_at, count, logins = database.mosquitto_accounts(self._accounts_stamp)
        self._accounts_change_at = change_at
        if logins is None:
            return
        try:
            is_written, is_own_new = self._access.write(logins)
            self._accounts_stamp = stamp
            if is_written:
                log.info("mosquitto_accounts_written", accounts=count)
            if is_own_new:
                time.sleep(ACCOUNT_SECONDS)
        except OSError as error:
            log.error("mosquitto_accounts_not_written", reason=error)
