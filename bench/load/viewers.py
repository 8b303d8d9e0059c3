"""Viewers of the live stream: thousands in one loop, directly at its process, and one in Chromium, through the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import requests
import uvloop
from playwright.sync_api import Error, Page, sync_playwright

from bench.harness import Bench
from bench.setup.tenants import jwt_of

PARTS = ("intake", "gateway", "stream")
AT_ONCE = 100  # connections that are being opened
OPENING_SECONDS = 180.0
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
# An EventSource that notes when each message came, by the clock of the machine, as `came[payload.n]`.
FOLLOW = """
(url) => new Promise((resolve, reject) => {
    window.came = {};
    const source = new EventSource(url);
    source.addEventListener('subscribed', resolve);
    source.addEventListener('error', () => reject(new Error('the stream refused the ticket')));
    source.addEventListener('message', ({data}) => {
        const at = performance.timeOrigin + performance.now();
        came[JSON.parse(data).payload.n] = at;
    });
})
"""
T = TypeVar("T")


@contextlib.contextmanager
def stream(bench: Bench) -> Iterator[None]:
    """Runs the live stream behind the gateway while it is measured."""
    bench.stack("start", *PARTS)
    bench.read_env()
    try:
        yield
    finally:
        bench.stack("stop", *PARTS[::-1])


def pid_of(bench: Bench, part: str) -> int:
    return int((bench.run_dir / f"{part}.pid").read_text())


def seconds_of(pid: int) -> float:
    """CPU seconds of a process of one thread so far, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def ticks_of(pid: int) -> float:
    """The same of all its threads, to the hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def burnt(bench: Bench) -> dict[str, float]:
    """CPU seconds of each running part so far, of its children too: of PostgreSQL's, those that run now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children.setdefault(int(entry.read_text().rpartition(")")[2].split()[1]), []).append(int(entry.parent.name))

    def total(pid: int) -> float:
        with contextlib.suppress(OSError):
            return ticks_of(pid) + sum(total(child) for child in children.get(pid, []))
        return 0.0

    parts = {path.stem: total(int(path.read_text())) for path in bench.run_dir.glob("*.pid")}
    return parts | {"clients": time.process_time()}


def shares(before: dict[str, float], after: dict[str, float], seconds: float) -> str:
    """What each process used meanwhile, of one core."""
    used = {name: 100 * (after[name] - before.get(name, 0.0)) / seconds for name in after}
    return "CPU of one core: " + ", ".join(f"{name} {share:.0f} %" for name, share in used.items() if share >= 0.5)


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Viewer(asyncio.Protocol):
    """Counts events."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.count = 0
        self.answer = b""
        self.came = asyncio.Event()
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.count += data.count(b"\nevent: ")
        if not self.came.is_set():
            self.answer += data
            if self.count or b" 200 " not in self.answer[:20]:
                self.came.set()


class Crowd:
    """Viewers of one organization in a loop on a thread of its own."""

    def __init__(self, bench: Bench, organization_id: str, token: str) -> None:
        self._port = bench.port("STREAM")
        head = f"GET /stream?organization_id={organization_id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        self._request = head.encode()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._viewers: list[Viewer] = []
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(OPENING_SECONDS + 10)

    def open(self, count: int) -> float:
        """Opens so many connections, and waits for their first event; returns the seconds that it took."""
        began = time.perf_counter()
        self._run(asyncio.wait_for(self._open(count), OPENING_SECONDS))
        return time.perf_counter() - began

    async def _open(self, count: int) -> None:
        room = asyncio.Semaphore(AT_ONCE)

        async def enter() -> None:
            async with room:
                _, viewer = await self._loop.create_connection(lambda: Viewer(self._request), "127.0.0.1", self._port)
                self._viewers.append(viewer)
                await viewer.came.wait()
            if not viewer.count:
                raise RuntimeError(f"the stream refused a connection: {viewer.answer!r}")

        await asyncio.gather(*(enter() for _ in range(count)))

    @property
    def count(self) -> int:
        """Events that have come, to all of them."""
        return sum(viewer.count for viewer in self._viewers)

    def close(self) -> None:
        async def leave() -> None:
            for viewer in self._viewers:
                viewer.transport.close()

        self._run(leave())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@contextlib.contextmanager
def crowd(bench: Bench, organization_id: str, token: str, count: int) -> Iterator[Crowd]:
    made = Crowd(bench, organization_id, token)
    try:
        made.open(count)
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def chromium(bench: Bench, topic: str) -> Iterator[Page | None]:
    """A page that follows the topic through the gateway; None where there is no Chromium."""
    if not Path(CHROMIUM).exists():
        yield None
        return
    api, user = bench.api, bench.env["DEMO_USER_ID"]
    answer = requests.post(f"{api}/rpc/create_stream_ticket", headers={"Authorization": f"Bearer {jwt_of(bench, user)}"}, timeout=30)
    answer.raise_for_status()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        page.goto(bench.env["CONSOLE_URL"])
        try:
            page.evaluate(FOLLOW, f"{bench.env['STREAM_URL']}?topic={topic}&ticket={answer.json()['ticket']}")
        except Error as error:
            raise RuntimeError(str(error)) from None
        yield page
        browser.close()
