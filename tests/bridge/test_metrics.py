"""/metrics: names by Prometheus' conventions, queues and books, and few questions to the database however often it is scraped."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import psycopg
import requests
from prometheus_client.parser import text_string_to_metric_families

from bridge import metrics
from tests.bridge.support import publish, receipts
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
# What `promtool check metrics` finds fault with: units that are not base units, abbreviations, and the type in the name.
NOT_BASE = (
    "milliseconds",
    "microseconds",
    "minutes",
    "hours",
    "days",
    "kilobytes",
    "megabytes",
    "kibibytes",
    "mebibytes",
    "bits",
    "percent",
)
ABBREVIATED = ("s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "m", "h", "d")
TYPES = ("counter", "gauge", "histogram", "summary")


def families(stack: Stack) -> dict[str, Any]:
    return {found.name: found for found in text_string_to_metric_families(requests.get(stack.metrics_url, timeout=PATIENCE).text)}


def sample(stack: Stack, name: str, **labels: str) -> float | None:
    for family in families(stack).values():
        for one in family.samples:
            if one.name == name and labels.items() <= one.labels.items():
                return float(one.value)
    return None


def test_names_and_help(stack: Stack) -> None:
    text = requests.get(stack.metrics_url, timeout=PATIENCE).text
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    ours = {name: found for name, found in families(stack).items() if name.startswith("topicbase_")}
    assert len(ours) > 20
    for name, found in ours.items():
        full = f"{name}_total" if found.type == "counter" else name
        assert re.fullmatch(r"[a-z_]+", name), name
        # prometheus_client tells when each counter was made by gauges of their own.
        assert helps[full].endswith("."), full
        assert types[full] == found.type, full
        words = name.removeprefix("topicbase_").split("_")
        assert not {"total", *NOT_BASE, *ABBREVIATED, *TYPES}.intersection(words), name
        # A unit is the last word, but for counters, where _total follows it.
        assert not {"seconds", "bytes", "ratio", "info"}.intersection(words[:-1]) or (found.type == "gauge" and words[-1] == "created"), (
            name
        )
        if found.type == "histogram":
            assert words[-1] in ("seconds", "messages"), name
            assert {one.name.removeprefix(name) for one in found.samples} <= {"_bucket", "_sum", "_count", "_created"}, name
        if found.type != "histogram":
            assert not any("le" in one.labels for one in found.samples), name
        # A label with a value for each tenant would grow without end; those of integrations and organizations are bounded.
        labels = {label for one in found.samples for label in one.labels}
        assert labels <= {"state", "result", "part", "queue", "le", "version", "integration", "organization", "kind"}, name


def test_counters_are_there_before_they_count(stack: Stack) -> None:
    for name, label, value in (
        ("published_messages", "state", "failed"),
        ("received_messages", "result", "repeated"),
        ("processed_messages", "result", "dead"),
        ("callbacks", "result", "dead"),
        ("database_failures", "part", "coordinator"),
        ("database_failures", "part", "worker"),
    ):
        assert sample(stack, f"topicbase_{name}_total", **{label: value}) is not None, name


def test_the_state_of_each_integration(stack: Stack, tenant: Callable[..., Tenant]) -> None:
    owner = tenant()
    down, up = owner.integration(broker_url="127.0.0.1", port=1), owner.integration_id
    wait_until(lambda: sample(stack, "topicbase_integration_up", integration=down) == 0, what="the one that is down")
    wait_until(lambda: sample(stack, "topicbase_integration_up", integration=up) == 1, what="the one that is up")
    owner.api.ok("delete_integration", {"integration_id": down}, token=owner.admin)
    wait_until(lambda: sample(stack, "topicbase_integration_up", integration=down) is None, what="what is gone is not shown")


def test_integrations_are_shown_up_to_a_limit() -> None:
    def shown() -> dict[str, float]:
        return {one.labels["integration"]: one.value for one in next(iter(metrics.LINK_UP.collect())).samples}

    states = {f"i{number}": number != 3 for number in range(6)}
    metrics.show_links(states, 2)
    assert shown() == {"i3": 0, "i0": 1}, "those that are down first"
    metrics.show_links({"i5": True}, 2)
    assert shown() == {"i5": 1}
    metrics.show_links({"i5": True}, 0)
    assert shown() == {}


def test_each_is_documented(stack: Stack) -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    named = {name.removesuffix("_total") for name in re.findall(r"`(topicbase_[a-z_]+)", page)}
    served = {name for name in families(stack) if name.startswith("topicbase_") and not name.endswith("_created")}
    assert served <= named


def test_queues_and_their_age(stack: Stack, db: Connection, tenant: Callable[..., Tenant]) -> None:
    owner = tenant()
    waiting = owner.integration(broker_url="127.0.0.1", port=1)
    db.execute(
        "INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id) "
        "SELECT now() - interval '1000 s', '{\"topic\": \"a\"}', %s, %s FROM generate_series(1, 7)",
        (owner.organization_id, waiting),
    )
    # Another test's may have waited before these were there.
    wait_until(lambda: (sample(stack, "topicbase_queue_oldest_seconds", queue="outbound") or 0) >= 1000, what="their age")
    assert (sample(stack, "topicbase_queue_messages", queue="outbound") or 0) >= 7
    assert sample(stack, "topicbase_queue_messages", queue="ingest") is not None
    assert sample(stack, "topicbase_ingest_open") == 1
    owner.api.ok("delete_integration", {"integration_id": waiting}, token=owner.admin)


def test_answers_of_the_broker_are_timed(stack: Stack, tenant: Callable[..., Tenant]) -> None:
    owner = tenant()
    before = sample(stack, "topicbase_broker_answer_seconds_count") or 0
    ids = publish(owner, [{"topic": f"org_{owner.slug}/devices/d/c", "payload": 1, "qos": qos} for qos in (0, 1, 2)])
    receipts(owner, ids)
    assert (sample(stack, "topicbase_broker_answer_seconds_count") or 0) >= before + 2
    assert (sample(stack, "topicbase_broker_answer_seconds_bucket", le="+Inf") or 0) >= before + 2
    assert (sample(stack, "topicbase_broker_answer_seconds_sum") or 0) > 0


def test_from_due_to_acknowledged(stack: Stack, db: Connection, tenant: Callable[..., Tenant]) -> None:
    owner = tenant()
    name = "topicbase_publish_seconds"

    def seen() -> tuple[float, float]:
        return sample(stack, f"{name}_count") or 0, sample(stack, f"{name}_sum") or 0

    topic = f"org_{owner.slug}/devices/d/c"
    count, total = seen()
    began = time.monotonic()
    receipts(owner, publish(owner, [{"topic": topic, "payload": 1, "qos": qos} for qos in (0, 1, 2)]))
    assert seen()[0] == count + 2, "QoS 0 is not acknowledged"
    assert 0 < seen()[1] - total < 2 * (time.monotonic() - began)
    count, total = seen()
    message = {"topic": topic, "payload": 1, "qos": 1}
    began = time.monotonic()
    db.execute(
        "INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id) VALUES (now() - interval '100 s', %s, %s, %s)",
        (json.dumps(message), owner.organization_id, owner.integration_id),
    )
    wait_until(lambda: seen()[0] > count, what="its acknowledgement")
    assert 100 <= seen()[1] - total < 101 + time.monotonic() - began, "it counts how long the message has waited, too"


def test_a_storm_of_scrapes_asks_the_database_no_more(stack: Stack, db: Connection) -> None:
    db.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    wait_until(lambda: sample(stack, "topicbase_queue_messages", queue="ingest") is not None, what="the first look")

    def asked() -> int:
        row = db.execute(
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query LIKE '%bridge.gauges%' AND query NOT LIKE '%calls%'"
        ).fetchone()
        return int(row[0]) if row else 0

    before, began = asked(), time.monotonic()
    for _ in range(200):
        assert requests.get(stack.metrics_url, timeout=PATIENCE).ok
    assert asked() - before <= 2 + (time.monotonic() - began) / 10
