#!/usr/bin/env python3
"""Measures the live stream of a running local stack: `bin/stack up`, then `.venv/bin/python bench/live_stream.py`.

From the commit of a batch to a subscriber, idle (p50, p99); deliveries a second to many connections, with the CPU of the stream's process;
its memory for each connection; and the queue worker's CPU for each message with no viewer and with 100. It takes about 40 seconds. The
clients are in one Python process, directly at the stream: where they are the limit, their CPU is near 100 %.
"""

import asyncio
import json
import os
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import jwt
import psycopg

ROOT = Path(__file__).resolve().parents[1]
LATENCIES = 300
CONNECTIONS = 2000
SECONDS = 8.0
BATCH = 2
WORKER_MESSAGES = 20_000
VIEWERS = 100


def environment() -> dict[str, str]:
    lines = subprocess.run([ROOT / "bin/stack", "env"], capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines)


class Stack:
    def __init__(self) -> None:
        self.env = environment()
        run = Path(os.environ.get("TOPICBASE_RUN_DIR", ROOT / ".run"))
        self.pid = int((run / "stream.pid").read_text())
        ports = dict(line.split("=", 1) for line in (run / "ports").read_text().splitlines())
        self.port = int(ports["STREAM"])
        claims = {"role": "authenticated", "aud": self.env["JWT_AUDIENCE"], "exp": int(time.time()) + 3600, "sub": self.env["DEMO_USER_ID"]}
        self.token = jwt.encode(claims, self.env["JWT_SECRET"], algorithm="HS256")
        # A user has 200 connections at most; the service, half of all.
        self.service = jwt.encode({**claims, "role": "service_role", "sub": ""}, self.env["JWT_SECRET"], algorithm="HS256")
        self.db = psycopg.connect(self.env["DATABASE_URL"], autocommit=True)

    def enqueue(self, count: int) -> None:
        self.db.execute(
            "INSERT INTO pgmq.q_mqtt_messages (vt, organization_id, integration_id, message)"
            " SELECT now(), %s, %s, jsonb_build_object('topic', 'org_demo/devices/bench/telemetry', 'payload',"
            " jsonb_build_object('n', n, 'temperature', 21.5, 'humidity', 40, 'filler', repeat('x', 50))) FROM generate_series(1, %s) AS n",
            (self.env["DEMO_ORGANIZATION_ID"], self.env["DEMO_INTEGRATION_ID"], count),
        )

    def process(self) -> int:
        row: Any = self.db.execute("SELECT (mqtt.process_batch(1000) ->> 'processed')::integer").fetchone()
        return int(row[0])

    def drain(self) -> int:
        done = 0
        while count := self.process():
            done += count
        return done


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Viewer(asyncio.Protocol):
    """Counts events, and notes when the last one came."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.count = 0
        self.came = asyncio.Event()
        self.at = 0.0
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.at = time.perf_counter()
        self.count += data.count(b"\nevent: ")
        self.came.set()


async def view(stack: Stack, count: int, token: str | None = None) -> list[Viewer]:
    organization = f"?organization_id={stack.env['DEMO_ORGANIZATION_ID']}"
    request = f"GET /stream{organization} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token or stack.token}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    viewers = []
    for _ in range(count):
        _, viewer = await loop.create_connection(lambda: Viewer(request), "127.0.0.1", stack.port)
        viewers.append(viewer)
    for viewer in viewers:
        while viewer.count < 1:
            viewer.came.clear()
            await asyncio.wait_for(viewer.came.wait(), 30)
    return viewers


def leave(viewers: list[Viewer]) -> None:
    for viewer in viewers:
        viewer.transport.close()


async def latency(stack: Stack) -> dict[str, float]:
    (viewer,) = await view(stack, 1)
    found = []
    for _ in range(LATENCIES):
        stack.enqueue(1)
        viewer.came.clear()
        await asyncio.to_thread(stack.process)
        committed = time.perf_counter()
        await viewer.came.wait()
        found.append(max(0.0, viewer.at - committed) * 1000)
        await asyncio.sleep(0.005)
    leave([viewer])
    found.sort()
    return {"p50_ms": round(statistics.median(found), 2), "p99_ms": round(found[int(len(found) * 0.99)], 2)}


async def deliveries(stack: Stack) -> dict[str, float]:
    before = resident(stack.pid)
    viewers = await view(stack, CONNECTIONS, stack.service)
    memory = (resident(stack.pid) - before) / len(viewers)
    began, burnt, ours = time.perf_counter(), cpu(stack.pid), time.process_time()
    counted = sum(viewer.count for viewer in viewers)
    while time.perf_counter() - began < SECONDS:
        stack.enqueue(BATCH)
        await asyncio.to_thread(stack.process)
        await asyncio.sleep(0.01)
    took = time.perf_counter() - began
    sent = sum(viewer.count for viewer in viewers) - counted
    result: dict[str, float] = {
        "connections": len(viewers),
        "deliveries_per_second": round(sent / took),
        "stream_cpu_percent": round(100 * (cpu(stack.pid) - burnt) / took),
        "client_cpu_percent": round(100 * (time.process_time() - ours) / took),
        "bytes_per_connection": round(memory),
    }
    leave(viewers)
    return result


async def worker(stack: Stack) -> dict[str, float]:
    backend = stack.db.info.backend_pid
    found: dict[int, list[float]] = {0: [], VIEWERS: []}
    for _ in range(3):
        for count in (0, VIEWERS):
            viewers = await view(stack, count)
            await asyncio.to_thread(stack.enqueue, WORKER_MESSAGES)
            burnt = cpu(backend)
            done = await asyncio.to_thread(stack.drain)
            found[count].append((cpu(backend) - burnt) / done * 1e6)
            leave(viewers)
            await asyncio.sleep(1.5)
    without, watched = (statistics.median(found[count]) for count in (0, VIEWERS))
    return {"us_without_viewers": round(without, 1), "us_with_100_viewers": round(watched, 1), "ratio": round(without / watched, 3)}


async def main() -> None:
    stack = Stack()
    stack.drain()
    for measure in (latency, deliveries, worker):
        print(json.dumps({measure.__name__: await measure(stack)}), flush=True)
        await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main())
