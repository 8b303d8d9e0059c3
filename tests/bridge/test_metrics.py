"""/metrics: names by Prometheus' conventions, queues and books, and few questions to the database however often it is scraped."""

from collections.abc import Callable
from typing import Any

import psycopg
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.bridge.support import publish, receipts
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
UNITS = (
    "_total",
    "_callbacks",
    "_in_flight",
    "_differences",
    "_seconds",
    "_messages",
    "_bytes",
    "_ratio",
    "_info",
    "_open",
    "_integrations",
    "_failures",
    "_created",
)


def families(stack: Stack) -> dict[str, Any]:
    return {found.name: found for found in text_string_to_metric_families(requests.get(stack.metrics_url, timeout=10).text)}


def sample(stack: Stack, name: str, **labels: str) -> float | None:
    for family in families(stack).values():
        for one in family.samples:
            if one.name == name and labels.items() <= one.labels.items():
                return float(one.value)
    return None


def test_names_and_help(stack: Stack) -> None:
    ours = {name: found for name, found in families(stack).items() if name.startswith("topicbase_")}
    assert ours
    for name, found in ours.items():
        assert found.documentation.endswith("."), name
        assert name.endswith(UNITS), name
        if found.type == "counter":
            assert all(one.name.endswith(("_total", "_created")) for one in found.samples), name
        # A label with a value for each tenant would grow without end.
        labels = {label for one in found.samples for label in one.labels}
        assert labels <= {"state", "result", "part", "queue", "le", "version"}, name


def test_queues_and_their_age(stack: Stack, db: Connection, tenant: Callable[..., Tenant]) -> None:
    owner = tenant()
    waiting = owner.integration(broker_url="127.0.0.1", port=1)
    db.execute(
        "INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id) "
        "SELECT now() - interval '1000 s', '{\"topic\": \"a\"}', %s, %s FROM generate_series(1, 7)",
        (owner.organization_id, waiting),
    )
    wait_until(lambda: (sample(stack, "topicbase_queue_messages", queue="outbound") or 0) >= 7, 40, "the depth")
    assert (sample(stack, "topicbase_queue_oldest_seconds", queue="outbound") or 0) >= 1000
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


def test_a_storm_of_scrapes_asks_the_database_no_more(stack: Stack, db: Connection) -> None:
    db.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    wait_until(lambda: sample(stack, "topicbase_queue_messages", queue="ingest") is not None, 20, "the first look")

    def asked() -> int:
        row = db.execute(
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query LIKE '%bridge.gauges%' AND query NOT LIKE '%calls%'"
        ).fetchone()
        return int(row[0]) if row else 0

    before = asked()
    for _ in range(200):
        assert requests.get(stack.metrics_url, timeout=10).ok
    assert asked() - before <= 5
