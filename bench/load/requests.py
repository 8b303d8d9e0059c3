"""HTTP requests of many tenants: a given number of them, over kept connections."""

from __future__ import annotations

import http.client
import itertools
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from bench.harness import Bench
from bench.load.threads import threads
from bench.setup.tenants import Tenant


def bodies(tenants: list[Tenant], count: int, devices: int = 100) -> list[tuple[str, bytes, dict[str, str]]]:
    """Path, body and headers of each tenant's request: one message, or count of them."""
    made = []
    for tenant in tenants:
        headers = {"Content-Type": "application/json", **tenant.headers}
        if count == 1:
            made += [("mqtt_ingest", tenant.message(n).encode(), headers) for n in range(0, devices, 10)]
        else:
            batch = "[" + ",".join(tenant.message(n % devices) for n in range(count)) + "]"
            made.append(("mqtt_ingest_batch?columns=messages", f'{{"messages":{batch}}}'.encode(), headers))
    return made


def send(bench: Bench, tenants: list[Tenant], count: int, go_on: Callable[[int], bool], clients: int = 4) -> tuple[int, list[float]]:
    """Sends requests of count messages, of one tenant after the other, while go_on(number of the request) holds.

    Returns how many messages were sent, and the seconds of each request.
    """
    url = urlsplit(bench.api)
    made = bodies(tenants, count)
    numbers = itertools.count()

    def client(_: int) -> list[float]:
        link = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=60)
        latencies = []
        while go_on(number := next(numbers)):
            path, body, headers = made[number % len(made)]
            start = time.perf_counter()
            link.request("POST", f"/rpc/{path}", body, headers)
            answer = link.getresponse()
            text = answer.read()
            latencies.append(time.perf_counter() - start)
            if answer.status != 202 or (count > 1 and b'"rejected":[]' not in text.replace(b" ", b"")):
                raise RuntimeError(f"{answer.status} {text[:300]!r}")
        link.close()
        return latencies

    latencies, _ = threads(clients, client)
    return len(latencies) * count, latencies
