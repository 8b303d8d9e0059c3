"""What the stream counts, for Prometheus."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from bridge import __version__

STREAMS = ("messages", "readings", "receipts", "presence", "integrations", "statistics")
GAPS = ("slow_reader", "history_removed")
_BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Lag:
    """Seconds, in buckets."""

    def __init__(self) -> None:
        self.counts = [0] * (len(_BOUNDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(_BOUNDS, seconds)] += 1
        self.sum += seconds


class Counts:
    """Plain numbers, since there may be tens of thousands of deliveries a second."""

    def __init__(self) -> None:
        self.deliveries: Counter[str] = Counter()  # by stream
        self.gaps: Counter[str] = Counter()  # by reason
        self.lag = Lag()


class Metrics(Collector):
    """The counts, and what there is now."""

    def __init__(self, counts: Counts, connections: Callable[[], int], subscriptions: Callable[[], Counter[str]]) -> None:
        self._counts, self._connections, self._subscriptions = counts, connections, subscriptions
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(self)

    def page(self) -> tuple[bytes, str]:
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def describe(self) -> Iterator[Metric]:
        yield from ()

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("topicbase_stream_build", "The program.", {"version": __version__})
        yield GaugeMetricFamily("topicbase_stream_connections", "Connections with a subscription.", self._connections())
        open_now = self._subscriptions()
        subscriptions = GaugeMetricFamily("topicbase_stream_subscriptions", "Subscriptions, by stream.", labels=["stream"])
        deliveries = CounterMetricFamily("topicbase_stream_deliveries", "Rows sent to subscriptions, by stream.", labels=["stream"])
        for stream in STREAMS:
            subscriptions.add_metric([stream], open_now[stream])
            deliveries.add_metric([stream], self._counts.deliveries[stream])
        yield subscriptions
        yield deliveries
        gaps = CounterMetricFamily("topicbase_stream_gaps", "Gaps that subscriptions were told of, by reason.", labels=["reason"])
        for reason in GAPS:
            gaps.add_metric([reason], self._counts.gaps[reason])
        yield gaps
        total, buckets = 0, []
        for bound, count in zip((*map(str, _BOUNDS), "+Inf"), self._counts.lag.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        yield HistogramMetricFamily(
            "topicbase_stream_lag_seconds",
            "How long ago the newest messages of an organization had been settled when they were sent, once a reading.",
            buckets=buckets,
            sum_value=self._counts.lag.sum,
        )
