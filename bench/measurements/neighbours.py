"""How much nine quiet organizations notice of one that does its worst within its rights: what all such rows share, and the API."""

from __future__ import annotations

import contextlib
import http
import http.client
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from bench.harness import Bench, Connection
from bench.load.threads import threads
from bench.load.wrk import wrk_command
from bench.samples import Sample, percentiles
from bench.setup.messages import clear, settle
from bench.setup.tenants import Tenant, bearer, make_tenants
from bench.waiting import until

Harm: TypeAlias = Callable[[], contextlib.AbstractContextManager[object]]
Request: TypeAlias = tuple[str, str, str | None, dict[str, str]]  # method, path, body, headers
QUIET = 9
PAUSE = 0.05  # seconds between two messages of a quiet organization
ROUNDS = 3
TARGET = 2.0
CLIENTS = 4  # the flood's connections
QUERIES = 60  # at a time, of a member
QUOTA = 20  # messages per second that are accepted from the flood
RATE = 2_000  # what an operator may allow each of those whom it does not know
# From when a quiet one had sent a message until its row was committed.
STORED = """
SELECT extract(EPOCH FROM pg_xact_commit_timestamp(h.xmin)) - (h.payload ->> 'sent')::float8
FROM mqtt.history AS h JOIN mqtt.organizations AS o ON o.number = h.organization
WHERE h.payload ? 'sent' AND h.received_at >= %s AND o.id = ANY (%s)
"""


def quota_neighbours(bench: Bench) -> None:
    """Pool: nine organizations' ingest beside one that sends as fast as it can, above its quota."""
    settle(bench)
    noisy, quiet = tenants(bench)
    with limited(bench, noisy, QUOTA):
        compare(
            bench, "pool, quota", "messages over HTTP, answered", f"a flood on {CLIENTS} connections, above its quota of {QUOTA} a second",
            lambda: posted(f"{bench.api}/rpc/mqtt_ingest", noisy.message().encode(), noisy.headers, CLIENTS),
            lambda: calm(bench, quiet), "a pool of 20",
        )  # fmt: skip


def pool_neighbours(bench: Bench) -> None:
    """Pool: nine organizations' messages and reads beside another's slow calls, through the gateway."""
    settle(bench)
    bench.stack("start", "intake", "gateway")
    bench.read_env()
    gateway = bench.env["GATEWAY_URL"]
    noisy, quiet = tenants(bench)
    with bench.connect() as db:
        db.execute("CREATE OR REPLACE FUNCTION api.bench_slow() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(1)'")
        db.execute("GRANT EXECUTE ON FUNCTION api.bench_slow() TO authenticated")
        db.execute("NOTIFY pgrst, 'reload schema'")
    worst = f"{QUERIES} calls of a second at a time, those that are refused sent again at once"
    limits = "members: 10 calls at a time of a pool of 20 (max_calls_per_organization); devices: a pool of their own"

    def slow() -> contextlib.AbstractContextManager[None]:
        headers = {"Authorization": f"Bearer {bearer(bench, noisy)}"}
        return posted(f"{gateway}/rest/v1/rpc/bench_slow", b"{}", headers, QUERIES)

    def ingest() -> Sample:
        return calm(bench, quiet, f"{gateway}/functions/v1/mqtt-ingest")

    try:
        compare(bench, "pool, devices", "messages over HTTP, answered", worst, slow, ingest, limits)
        compare(bench, "pool, members", "reads of their last 100 messages", worst, slow, lambda: reads(bench, quiet, gateway), limits)
    finally:
        bench.stack("stop", "gateway", "intake")
        with bench.connect() as db:
            db.execute("DROP FUNCTION api.bench_slow")


# ------------------------------------------------------------------------------------------------------------------------- shared


def tenants(bench: Bench) -> tuple[Tenant, list[Tenant]]:
    with bench.connect() as db:
        noisy, *quiet = make_tenants(db, QUIET + 1)
    return noisy, quiet


def compare(bench: Bench, resource: str, what: str, worst: str, harm: Harm, sample: Callable[[], Sample], limits: str) -> None:
    """A row: the p99 of nine organizations beside another's worst, against the same without it, and what of theirs was lost."""

    def beside() -> Sample:
        with harm():
            return sample()

    sides = bench.alternate(f"neighbours: {resource}", {"beside": beside, "alone": sample}, before=lambda: clear(bench), most_rounds=ROUNDS)
    bench.compare(
        f"neighbours-{resource.replace(', ', '-')}", f"{resource}: p99 of {QUIET} organizations' {what}", "the same alone",
        sides["beside"], sides["alone"], target=TARGET, at_least=False, unit="ms", setting=limits, note=worst,
    )  # fmt: skip


@contextlib.contextmanager
def limited(bench: Bench, tenant: Tenant, rate: int) -> Iterator[None]:
    with bench.connect() as db:
        db.execute("UPDATE mqtt.organizations SET max_per_second = %s, max_burst = %s WHERE id = %s", (rate, rate, tenant.organization_id))
        try:
            yield
        finally:
            db.execute("UPDATE mqtt.organizations SET max_per_second = NULL, max_burst = NULL WHERE id = %s", (tenant.organization_id,))


def compare_limited(
    bench: Bench, noisy: Tenant, resource: str, what: str, worst: str, harm: Harm, sample: Callable[[], Sample], limits: str
) -> None:
    """A row as it is by default, and one with a limit of messages a second, which says what is left when there is processor for all."""
    compare(bench, resource, what, worst, harm, sample, limits)
    with limited(bench, noisy, RATE):
        compare(bench, f"{resource}, limited", what, worst, harm, sample, f"max_per_second of {RATE:,}, which is no default; {limits}")


def sample_of_times(seconds: list[float], sent: int) -> Sample:
    """The cost is the p99; of `sent` as many arrived as there are times."""
    p50, p99 = percentiles(seconds)
    return Sample(p99 or 0.0, p50, p99, count=len(seconds), messages=sent)


def arrived(db: Connection, query: str, since: object, quiet: list[Tenant], sent: int) -> Sample:
    """What became of the messages that were sent since then: waits for all of them, and counts those that are not there as lost."""
    ids = [tenant.organization_id for tenant in quiet]

    def found() -> list[float]:
        return [float(each) for (each,) in db.execute(query, (since, ids)).fetchall()]

    with contextlib.suppress(RuntimeError):
        until(lambda: len(found()) >= sent, "all of their messages", 0.05, 20.0)
    return sample_of_times(found(), sent)


def clock(db: Connection) -> object:
    row = db.execute("SELECT clock_timestamp()").fetchone()
    return row[0] if row else None


# ------------------------------------------------------------------------------------------------------------------ the quiet ones


def calm(bench: Bench, quiet: list[Tenant], url: str | None = None) -> Sample:
    """Each tenant sends messages one after another."""
    address = url or f"{bench.api}/rpc/mqtt_ingest"

    def message(tenant: Tenant) -> Request:
        body = json.dumps({"topic": tenant.topic(0), "payload": {"sent": time.time(), "filler": "x" * 60}})
        return "POST", urlsplit(address).path, body, {"Content-Type": "application/json", **tenant.headers}

    return asked(bench, address, [partial(message, tenant) for tenant in quiet], http.HTTPStatus.ACCEPTED)


def reads(bench: Bench, quiet: list[Tenant], gateway: str) -> Sample:
    """Each tenant's member reads its last messages, one request after another."""

    def last(headers: dict[str, str]) -> Request:
        return "GET", "/rest/v1/mqtt_messages?order=received_at.desc&limit=100", None, headers

    headers = [{"Authorization": f"Bearer {bearer(bench, tenant)}"} for tenant in quiet]
    return asked(bench, gateway, [partial(last, each) for each in headers], http.HTTPStatus.OK)


def asked(bench: Bench, url: str, askers: list[Callable[[], Request]], wanted: http.HTTPStatus) -> Sample:
    """Each asks again and again, with pauses, on a connection that it keeps; what is answered otherwise is lost."""
    address, end, lost = urlsplit(url), time.perf_counter() + bench.options.seconds, [0] * len(askers)

    def work(number: int) -> list[float]:
        latencies = []
        with contextlib.closing(http.client.HTTPConnection(address.hostname or "", address.port, timeout=70)) as connection:
            while (start := time.perf_counter()) < end:
                connection.request(*askers[number]())
                answer = connection.getresponse()
                answer.read()
                if answer.status == wanted:
                    latencies.append(time.perf_counter() - start)
                else:
                    lost[number] += 1
                time.sleep(PAUSE)
        return latencies

    latencies, _ = threads(len(askers), work)
    return sample_of_times(latencies, len(latencies) + sum(lost))


def stored(bench: Bench, quiet: list[Tenant]) -> Sample:
    """Each tenant's device sends messages over HTTP: from sent to stored."""
    with bench.connect() as db:
        since = clock(db)
        sent = calm(bench, quiet)
        return arrived(db, STORED, since, quiet, sent.messages)


# ------------------------------------------------------------------------------------------------------------------ the noisy one


@contextlib.contextmanager
def posted(url: str, body: bytes, headers: dict[str, str], clients: int) -> Iterator[None]:
    """Sent as fast as so many connections can, whatever the answers are, by a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = wrk_command(Path(folder), url, body, headers, clients=clients, seconds=600)
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1)  # until it is at its worst
            yield
        finally:
            running.terminate()
            running.wait()
