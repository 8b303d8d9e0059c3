"""What the bridge counts, for Prometheus, and the small HTTP server for that and for health checks."""

import socket
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from bridge import __version__

PUBLISHED = Counter("topicbase_published_messages", "Messages handed to brokers, by what became of them.", ["state"])
RECEIVED = Counter("topicbase_received_messages", "Messages that brokers delivered, by what became of them.", ["result"])
PROCESSED = Counter("topicbase_processed_messages", "Queued messages processed, by what became of them.", ["result"])
IN_FLIGHT = Gauge("topicbase_outbound_in_flight_messages", "Messages claimed and not settled.")
INBOUND_WAITING = Gauge("topicbase_inbound_waiting_messages", "Messages received and not stored yet.")
CALLBACKS = Counter("topicbase_callbacks", "Requests to callback URLs, by what became of them.", ["result"])
CALLBACK_SECONDS = Histogram(
    "topicbase_callback_seconds",
    "Time until a callback URL had answered or the request had failed.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20),
)
CALLBACKS_IN_FLIGHT = Gauge("topicbase_callbacks_in_flight", "Callbacks claimed and not settled.")
LINKS = Gauge("topicbase_integrations", "Integrations held, by state of their connection.", ["state"])
LINK_UP = Gauge(
    "topicbase_integration_up",
    "1 while the broker of an integration is connected, else 0; of a limited number, those that are down first.",
    ["integration"],
)
FREE_DISK = Gauge("topicbase_free_disk_bytes", "Free space on the database's data disk, where the server can tell.")
LEDGER = Gauge("topicbase_ledger_messages", "The ledger: messages accepted, and what became of them; updated every minute.", ["state"])
LEDGER_DIFFERENCES = Gauge("topicbase_ledger_differences", "Organization hours whose ledger does not balance; updated every minute.")
VACUUM_HELD = Gauge(
    "topicbase_vacuum_held_seconds",
    "How long vacuum has been held back, once beyond the alarm's threshold; otherwise 0. Updated every minute.",
)
CONNECT_FAILURES = Counter("topicbase_broker_connect_failures", "Failed attempts to connect to a broker.")
SESSIONS_LOST = Counter("topicbase_sessions_lost", "Reconnects where the broker had lost the session and its queued messages.")
DATABASE_FAILURES = Counter("topicbase_database_failures", "Lost or failed database connections.", ["part"])
BATCH = Histogram(
    "topicbase_batch_messages", "Messages in a batch.", ["part"], buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
)
BATCH_SECONDS = Histogram(
    "topicbase_batch_seconds",
    "Time that the database took for a batch.",
    ["part"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)

# From the start, or rate() would miss what makes each of them appear.
for counter, values in (
    (PUBLISHED, ("sent", "acknowledged", "failed", "expired")),
    (RECEIVED, ("queued", "dead", "passed_over", "repeated")),
    (PROCESSED, ("processed", "failed", "dead")),
    (CALLBACKS, ("delivered", "failed", "dead", "released")),
    (DATABASE_FAILURES, ("coordinator", "maintenance", "worker", "heavy", "webhooks", "settler", "inbound", "outbound")),
    (BATCH, ("claim", "settle", "ingest", "process", "heavy")),
    (BATCH_SECONDS, ("claim", "settle", "ingest", "process", "heavy")),
):
    for value in values:
        counter.labels(value)


Info("topicbase_build", "The program.").info({"version": __version__})


def show_links(states: dict[str, bool], most: int) -> None:
    """The state of each integration: of so many at most, since each is a series for Prometheus to keep."""
    up = sum(states.values())
    LINKS.labels("up").set(up)
    LINKS.labels("down").set(len(states) - up)
    shown = sorted(states, key=lambda name: (states[name], name))[:most]
    for (gone,) in _shown.difference((name,) for name in shown):
        LINK_UP.remove(gone)
    _shown.clear()
    for name in shown:
        LINK_UP.labels(name).set(states[name])
        _shown.add((name,))


_shown: set[tuple[str]] = set()


class OrganizationGauges(Collector):
    """What organizations use, of a limited number, since each is a few series for Prometheus to keep."""

    REFRESH_SECONDS = 60.0
    STALE_SECONDS = 180.0
    GAUGES = (
        ("messages", "Messages stored in the last whole minute, by organization."),
        ("bytes", "Bytes of their payloads."),
        ("processing_seconds", "Seconds that the workers took for them."),
        ("queued_messages", "Messages waiting, by organization."),
    )

    def __init__(self) -> None:
        self._due_at = 0.0
        self._taken_at: float | None = None
        self._rows: list[dict[str, Any]] = []
        REGISTRY.register(self)

    def refresh(self, ask: Callable[[], list[dict[str, Any]]]) -> None:
        """Ask if it is time to and the metrics are being scraped."""
        now = time.monotonic()
        if now >= self._due_at and DATABASE.is_scraped(now):
            self._due_at = now + self.REFRESH_SECONDS
            self._rows = ask()
            self._taken_at = time.monotonic()

    def describe(self) -> Iterator[Metric]:
        yield from ()

    def collect(self) -> Iterator[Metric]:
        rows = self._rows
        if self._taken_at is None or time.monotonic() - self._taken_at > self.STALE_SECONDS:
            return
        for name, documentation in self.GAUGES:
            gauge = GaugeMetricFamily(f"topicbase_organization_{name}", documentation, labels=["organization"])
            for row in rows:
                gauge.add_metric([row["organization"]], row[name])
            yield gauge
        connections = GaugeMetricFamily("topicbase_organization_connections", "Connections now.", labels=["organization", "kind"])
        limits = GaugeMetricFamily(
            "topicbase_organization_limit", "Limits that an operator has set for the organization alone.", labels=["organization", "limit"]
        )
        for row in rows:
            for kind in ("broker", "stream"):
                connections.add_metric([row["organization"], kind], row[f"{kind}_connections"])
            for limit, value in row["limits"].items():
                limits.add_metric([row["organization"], limit], value)
        yield connections
        yield limits


class FastHistogram(Collector):
    """A histogram that one thread writes to, once a message: it takes a tenth of the time of prometheus_client's own."""

    def __init__(self, name: str, documentation: str, bounds: tuple[float, ...]) -> None:
        self._name, self._documentation, self._bounds = name, documentation, bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        REGISTRY.register(self)

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def describe(self) -> Iterator[Metric]:
        yield HistogramMetricFamily(self._name, self._documentation)

    def collect(self) -> Iterator[Metric]:
        total, buckets = 0, []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), list(self._counts), strict=True):
            total += count
            buckets.append((bound, float(total)))
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=self._sum)


class DatabaseGauges(Collector):
    """What the database says about itself: one thread asks now and then, however often it is scraped."""

    REFRESH_SECONDS = 10.0
    STALE_SECONDS = 60.0  # what is older is not shown
    LISTENER_SECONDS = 300.0

    def __init__(self) -> None:
        self._scraped_at = self._due_at = 0.0
        self._taken_at: float | None = None
        self._facts: dict[str, Any] = {}
        REGISTRY.register(self)

    def refresh(self, ask: Callable[[], dict[str, Any]]) -> None:
        """Ask if it is time to and the metrics are being scraped."""
        now = time.monotonic()
        if now < self._due_at or not self.is_scraped(now):
            return
        self._due_at = now + self.REFRESH_SECONDS
        self._facts = ask()
        self._taken_at = time.monotonic()

    def is_scraped(self, now: float) -> bool:
        """Whether anyone has asked for the metrics lately, or might soon."""
        return self._taken_at is None or now - self._scraped_at <= self.LISTENER_SECONDS

    def describe(self) -> Iterator[Metric]:
        yield from ()

    def collect(self) -> Iterator[Metric]:
        self._scraped_at = time.monotonic()
        if self._taken_at is None or self._scraped_at - self._taken_at > self.STALE_SECONDS:
            return
        facts = self._facts
        depth = GaugeMetricFamily("topicbase_queue_messages", "Messages waiting, of all organizations.", labels=["queue"])
        age = GaugeMetricFamily(
            "topicbase_queue_oldest_seconds", "How long the oldest message has waited since it was due.", labels=["queue"]
        )
        for name, queue in facts["queues"].items():
            depth.add_metric([name], queue["messages"])
            age.add_metric([name], queue["oldest_seconds"])
        yield depth
        yield age
        yield GaugeMetricFamily(
            "topicbase_ingest_open", "1 while messages are accepted, 0 while they are refused.", facts["ingest_is_open"]
        )
        yield GaugeMetricFamily("topicbase_notify_queue_ratio", "How full the queue of NOTIFY is.", facts["notify_queue_ratio"])


ANSWER = FastHistogram(
    "topicbase_broker_answer_seconds",
    "Time that brokers took to answer a publish of QoS 1 or 2.",
    (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20),
)
PUBLISH = FastHistogram(
    "topicbase_publish_seconds",
    "Time from when a message of QoS 1 or 2 was due to be published until its broker had acknowledged it.",
    (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800),
)
DATABASE = DatabaseGauges()
ORGANIZATIONS = OrganizationGauges()


class Server:
    """GET /metrics, /healthz (the process works) and /readyz (it does its work)."""

    def __init__(self, host: str, port: int, is_live: Callable[[], str | None], is_ready: Callable[[], str | None]) -> None:
        checks = {"/healthz": is_live, "/readyz": is_ready}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
                elif path in checks:
                    fault = checks[path]()
                    self._answer(503 if fault else 200, "text/plain; charset=utf-8", f"{fault or 'ok'}\n".encode())
                else:
                    self._answer(404, "text/plain; charset=utf-8", b"/metrics, /healthz and /readyz are here\n")

            def _answer(self, status: int, content_type: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Scrapes are not worth a log line."""

        ThreadingHTTPServer.address_family = _family(host)
        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
