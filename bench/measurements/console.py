"""The console's main thread in Chromium, with 10,000 devices and 1,000 messages a second."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, Page, sync_playwright

from bench.harness import Bench
from bench.load.viewers import ARGUMENTS, CHROMIUM, stream
from bench.setup.bridge import bridge
from bench.setup.messages import clear, empty_history, settle
from bench.setup.tenants import Demo

DEVICES = 10_000
RATE, BATCH = 1_000, 100
MOST_MS = 200
WATCH = """
window.seen = {tasks: [], redraws: 0};
new PerformanceObserver((list) => seen.tasks.push(...list.getEntries().map((task) => task.duration))).observe({type: 'longtask'});
new MutationObserver(() => seen.redraws++).observe(document, {subtree: true, childList: true, characterData: true});
"""


class Sender(threading.Thread):
    """Sends until it is stopped; `sent` counts."""

    def __init__(self, bench: Bench, token: str) -> None:
        super().__init__(daemon=True)
        self.url = f"{bench.api}/rpc"
        body = {"integration_id": bench.env["DEMO_INTEGRATION_ID"]}
        answer = requests.post(f"{self.url}/generate_mqtt_credentials", json=body, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        answer.raise_for_status()
        login = answer.json()
        self.session = requests.Session()
        self.session.auth = (login["username"], login["password"])
        self.session.headers["X-Client-ID"] = login["client_id"]
        self.prefix = login["topic_prefix"]
        self.sent, self.ended = 0, threading.Event()

    def send(self, count: int) -> None:
        messages = [
            {
                "topic": f"{self.prefix}/devices/load{n % DEVICES:05}/telemetry",
                "payload": {"temperature": 20 + n % 7, "humidity": n % 100, "n": n},
            }
            for n in range(self.sent, self.sent + count)
        ]
        self.session.post(f"{self.url}/mqtt_ingest_batch?columns=messages", json={"messages": messages}, timeout=60).raise_for_status()
        self.sent += count

    def run(self) -> None:
        due = time.monotonic()
        while not self.ended.wait(max(0.0, due - time.monotonic())):
            self.send(BATCH)
            due = max(due + BATCH / RATE, time.monotonic() - 1)


def tasks_of(trace: bytes, page: str) -> list[float]:
    """Milliseconds of CPU of each task of the page's main thread, which other programs do not lengthen."""
    events = json.loads(trace)["traceEvents"]
    mains = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"}
    tasks = [e for e in events if e.get("ph") == "X" and (e["pid"], e["tid"]) in mains and e["name"].endswith("RunTask")]
    if not tasks:
        raise RuntimeError(f"{page}: Chromium's trace has no tasks")
    return [task.get("tdur", 0) / 1000 for task in tasks]


def pages(bench: Bench, token: str) -> Iterator[tuple[str, str]]:
    yield from (("overview", "overview"), ("devices", "devices"), ("messages", "messages"))
    query = {"organization_id": f"eq.{bench.env['DEMO_ORGANIZATION_ID']}", "external_id": "eq.load00000", "select": "id"}
    (row,) = requests.get(f"{bench.api}/devices", params=query, headers={"Authorization": f"Bearer {token}"}, timeout=60).json()
    yield from (("a device's plots", f"devices/{row['id']}"), ("queue", "queue"), ("access", "access"))


def measured(browser: Browser, page: Page, sender: Sender, url: str, seconds: float) -> dict[str, Any]:
    page.goto("about:blank")
    browser.start_tracing(categories=["toplevel", "disabled-by-default-devtools.timeline"])
    page.goto(url)  # as a visitor comes: with the page's own load
    page.locator("main h1").wait_for()
    sent, began = sender.sent, time.monotonic()
    page.wait_for_timeout(seconds * 1000)
    took, came = time.monotonic() - began, sender.sent - sent
    seen: dict[str, Any] = page.evaluate("seen")
    tasks = tasks_of(browser.stop_tracing(), url)
    return {"longest": max(tasks), "busy": sum(tasks) / 10 / took, "redraws": seen["redraws"] / took, "rate": came / took}


def console(bench: Bench) -> None:
    """Each page of the console is opened and stays, while messages come: its longest task."""
    if not Path(CHROMIUM).exists():
        bench.skip("console-task", "Chromium is not installed")
        return
    clear(bench)
    settle(bench)
    Demo(bench)
    found: dict[str, dict[str, Any]] = {}
    with bridge(bench), stream(bench):
        with bench.connect() as db:
            empty_history(db)
        address = bench.stack("console").strip()
        token = address.partition("#token=")[2]
        sender = Sender(bench, token)
        for _ in range(DEVICES // 1000):
            sender.send(1000)
        sender.start()
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
                page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
                page.add_init_script(WATCH)
                page.goto(address)
                page.locator("main h1").wait_for()
                for name, path in pages(bench, token):
                    url = f"{bench.env['CONSOLE_URL']}#/demo/{path}"
                    found[name] = measured(browser, page, sender, url, 3 if bench.options.quick else 10)
                browser.close()
        finally:
            sender.ended.set()
            sender.join(70)
    rate = min(page["rate"] for page in found.values())
    each = "; ".join(
        f"{name} {page['longest']:.0f} ms, thread {page['busy']:.0f} %, {page['redraws']:.0f} redraws/s" for name, page in found.items()
    )
    bench.absolute(
        "console-task", "the console's longest task, of CPU", [max(page["longest"] for page in found.values())], target=MOST_MS,
        unit="ms", setting=f"Chromium, {DEVICES:,} devices, {rate:,.0f} messages a second; of each page: {each}",
    )  # fmt: skip
