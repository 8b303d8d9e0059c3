"""How much nine quiet organizations notice of one that floods."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from bench.harness import Bench
from bench.load.threads import threads
from bench.load.wrk import wrk_command
from bench.samples import Sample, percentiles
from bench.setup.messages import clear, settle
from bench.setup.tenants import Tenant, bearer, make_tenants

QUIET = 9
PAUSE = 0.05  # seconds between two messages of a quiet organization
CLIENTS = 4  # the flood's connections
QUERIES = 60  # at a time, of a member
QUOTA = 20  # messages per second that are accepted from the flood


def neighbours(bench: Bench) -> None:
    """The p99 of nine organizations' single ingests beside one that sends as fast as it can, above its quota."""
    settle(bench)
    with bench.connect() as db:
        noisy, *quiet = make_tenants(db, QUIET + 1)
        db.execute("UPDATE mqtt.organizations SET max_per_second = %s, max_burst = %s WHERE id = %s", (QUOTA, QUOTA, noisy.organization_id))
    seconds = 4 * bench.options.seconds

    def beside_a_flood() -> Sample:
        with tempfile.TemporaryDirectory() as folder, flood(bench, noisy, seconds + 1, Path(folder)):
            return calm(bench, quiet, seconds)

    try:
        sides = bench.alternate(
            "neighbours", {"flood": beside_a_flood, "alone": lambda: calm(bench, quiet, seconds)}, before=lambda: clear(bench)
        )
    finally:
        with bench.connect() as db:
            db.execute("UPDATE mqtt.organizations SET max_per_second = NULL, max_burst = NULL WHERE id = %s", (noisy.organization_id,))
    bench.compare(
        "neighbours", f"p99 of {QUIET} quiet organizations' ingest beside one that floods", "the same without it", sides["flood"],
        sides["alone"], target=2.0, at_least=False, unit="ms",
        setting=f"100 B JSON, {1 / PAUSE:.0f} messages a second each; the flood: {CLIENTS} connections, quota {QUOTA} a second",
    )  # fmt: skip


def pool_neighbours(bench: Bench) -> None:
    """The p99 of nine organizations' single ingests, beside one whose members' slow queries hold the API's connections."""
    settle(bench)
    bench.stack("start", "intake", "gateway")
    gateway = dict(line.split("=", 1) for line in bench.stack("env").splitlines())["GATEWAY_URL"]
    with bench.connect() as db:
        noisy, *quiet = make_tenants(db, QUIET + 1)
        db.execute("CREATE FUNCTION api.bench_slow() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(1)'")
        db.execute("GRANT EXECUTE ON FUNCTION api.bench_slow() TO authenticated")
        db.execute("NOTIFY pgrst, 'reload schema'")
    seconds = 4 * bench.options.seconds

    def ingest() -> Sample:
        return calm(bench, quiet, seconds, f"{gateway}/functions/v1/mqtt-ingest")

    def beside_queries() -> Sample:
        with queries(bench, noisy, f"{gateway}/rest/v1/rpc/bench_slow"):
            return ingest()

    try:
        sides = bench.alternate("neighbours-pool", {"queries": beside_queries, "alone": ingest}, before=lambda: clear(bench))
    finally:
        bench.stack("stop", "gateway", "intake")
        with bench.connect() as db:
            db.execute("DROP FUNCTION api.bench_slow")
    bench.compare(
        "neighbours-pool", f"p99 of {QUIET} organizations' ingest beside {QUERIES} slow queries of another's", "the same without them",
        sides["queries"], sides["alone"], target=2.0, at_least=False, unit="ms",
        setting=f"{1 / PAUSE:.0f} messages a second each, through the gateway; queries of 1 s, a pool of 20",
    )  # fmt: skip


@contextlib.contextmanager
def queries(bench: Bench, tenant: Tenant, url: str) -> Iterator[None]:
    """As many at a time as hold the API's connections, until the end."""
    done, address = threading.Event(), urlsplit(url)
    headers = {"Authorization": f"Bearer {bearer(bench, tenant)}"}

    def ask() -> None:
        while not done.is_set():
            connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=70)
            with contextlib.closing(connection):
                connection.request("GET", address.path, headers=headers)
                connection.getresponse().read()

    with ThreadPoolExecutor(QUERIES) as pool:
        for _ in range(QUERIES):
            pool.submit(ask)
        time.sleep(1)  # until they hold them
        try:
            yield
        finally:
            done.set()


def calm(bench: Bench, tenants: list[Tenant], seconds: float, url: str | None = None) -> Sample:
    """Each tenant sends messages one after another, with pauses, on a kept connection; the cost is the p99."""
    address = urlsplit(url or f"{bench.api}/rpc/mqtt_ingest")
    end = time.perf_counter() + seconds

    def work(number: int) -> list[float]:
        tenant, latencies = tenants[number], []
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        body, headers = tenant.message(), {"Content-Type": "application/json", **tenant.headers}
        while (start := time.perf_counter()) < end:
            connection.request("POST", address.path, body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 202:
                raise RuntimeError(f"a quiet organization is answered {answer.status}")
            latencies.append(time.perf_counter() - start)
            time.sleep(PAUSE)
        connection.close()
        return latencies

    latencies, _ = threads(len(tenants), work)
    p50, p99 = percentiles(latencies)
    return Sample(p99 or 0.0, p50, p99, count=len(latencies), messages=len(latencies))


def flood(bench: Bench, tenant: Tenant, seconds: int, folder: Path) -> subprocess.Popen[bytes]:
    """Sends as much as the connections can, whatever the answers are."""
    url, body = f"{bench.api}/rpc/mqtt_ingest", tenant.message().encode()
    command = wrk_command(folder, url, body, tenant.headers, clients=CLIENTS, seconds=seconds)
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
