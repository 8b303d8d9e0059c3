"""The console in a browser: what changes shows by the stream, and where there is none by asking."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect, sync_playwright

from tests.console.conftest import QUIET
from tests.stream.support import settle
from tests.stream.test_states import acknowledge, enqueue, set_presence
from tests.support.stack import ROOT
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
MOST_CHANGES = 6
HOW_TO = (ROOT / "docs/how-to/follow-messages-live.md").read_text()
expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        yield browser
        browser.close()


class Console:
    """A tab in which a member is signed in; `asked` names the API's calls and views."""

    def __init__(self, page: Page, home: Tenant) -> None:
        self.page, self.home = page, home
        self.asked: list[str] = []
        page.on("request", self._note)
        page.goto(f"{self.url}#token={home.member}")
        expect(page.locator("main h1")).to_be_visible()
        expect(self.dot("Live")).to_be_visible()

    @property
    def url(self) -> str:
        return self.home.stack.env["CONSOLE_URL"]

    def _note(self, request: Request) -> None:
        self.asked.append(request.url.partition("?")[0].rpartition("/")[2])

    def dot(self, label: str) -> Locator:
        return self.page.get_by_role("img", name=re.compile(f"^{label}"))

    def to(self, path: str) -> Page:
        self.page.goto(f"{self.url}#/{self.home.slug}/{path}")
        expect(self.page.locator("main h1")).to_be_visible()
        return self.page

    def told(self, call: str, change: Callable[[int], None], shown: Callable[[int], None]) -> None:
        """A change shows that nobody has asked for; the first ones may meet what a page asks when it opens."""
        for n in range(1, MOST_CHANGES + 1):
            before = self.asked.count(call)
            change(n)
            shown(n)
            if before and self.asked.count(call) == before:
                return
        raise AssertionError(f"{call} was asked for every change, or never")


@pytest.fixture
def console(home: Tenant, browser: Browser) -> Iterator[Console]:
    context = browser.new_context()
    yield Console(context.new_page(), home)
    context.close()


def shows(page: Page, text: str, n: int) -> None:
    expect(page.get_by_text(text.format(n))).to_be_visible()


def has_text(locator: Locator, n: int) -> None:
    expect(locator).to_have_text(str(n))


def device_id(home: Tenant) -> str:
    (row,) = home.api.rows("devices", token=home.member, external_id="eq.d1")
    return str(row["id"])


def test_messages(console: Console, home: Tenant) -> None:
    page = console.to("messages")
    console.told(
        "list_messages",
        lambda n: settle(home, [f"message {n}"]),
        lambda n: expect(page.get_by_role("cell", name=f"message {n}")).to_be_visible(),
    )
    settle(home, ["another"], topic="devices/d2/status")
    expect(page.get_by_role("cell", name="devices/d2/status")).to_be_visible()


def test_a_device(console: Console, home: Tenant, db: Connection) -> None:
    settle(home, [{"temperature": 20}])
    page = console.to(f"devices/{device_id(home)}")
    plot = page.get_by_role("region", name="temperature")
    expect(plot.locator(".now")).to_have_text("20")
    console.told(
        "get_device",
        lambda n: settle(home, [{"temperature": 20 + n}]),
        lambda n: expect(plot.locator(".now")).to_have_text(f"{20 + n}"),
    )
    expect(plot.locator("figcaption")).not_to_contain_text(re.compile("last 20( |$)"))  # but an average with the others
    console.told(
        "get_device",
        lambda n: set_presence(db, home, "d1", ("offline", "online")[n % 2]),
        lambda n: expect(page.locator(".head")).to_contain_text(("offline since", "online since")[n % 2]),
    )
    page = console.to("devices")
    row = page.get_by_role("row", name="d1")
    for state in ("offline", "online"):
        set_presence(db, home, "d1", state)
        expect(row).to_contain_text(f"{state} since")


def test_commands(console: Console, home: Tenant, db: Connection) -> None:
    settle(home, [{"temperature": 20}])
    page = console.to(f"devices/{device_id(home)}/commands")
    prefix = f"org_{home.slug}/devices/d1/commands"

    def row(name: str, n: int) -> Locator:
        return page.get_by_role("row", name=f"{prefix}/{name}{n}")

    for n in range(1, MOST_CHANGES + 1):
        enqueue(db, home, f"{prefix}/b{n}")
    console.told(
        "mqtt_publish_receipts",
        lambda n: enqueue(db, home, f"{prefix}/a{n}"),
        lambda n: expect(row("a", n)).to_contain_text("queued"),
    )
    console.told(
        "mqtt_publish_receipts",
        lambda n: acknowledge(db, home, f"{prefix}/b{n}", ("acknowledged", "failed")[n % 2]),
        lambda n: expect(row("b", n)).to_contain_text(("acknowledged", "failed")[n % 2]),
    )
    page.get_by_role("button", name="Publish", exact=True).click()
    receipts = page.get_by_role("list", name="Receipts")
    expect(receipts).to_contain_text("queued")
    acknowledge(db, home, prefix)
    expect(receipts).to_contain_text("acknowledged")


def test_integrations(console: Console, home: Tenant, db: Connection) -> None:
    def change(n: int) -> None:
        db.execute(
            "UPDATE mqtt.device_integrations SET status = 'error', status_detail = %s WHERE id = %s", (f"fault {n}", home.integration_id)
        )

    for path in ("overview", "integrations", f"integrations/{home.integration_id}"):
        change(0)
        page = console.to(path)
        expect(page.get_by_text("fault 0")).to_be_visible()
        console.told("device_integrations", change, partial(shows, page, "fault {}"))


def test_rates(console: Console, home: Tenant, db: Connection) -> None:
    minute = datetime.now(UTC).replace(second=0, microsecond=0)

    def change(n: int) -> None:
        db.execute(
            "INSERT INTO mqtt.ledger (organization_id, bucket, shard, accepted) VALUES (%s, %s, 0, %s)"
            " ON CONFLICT (organization_id, bucket, shard) DO UPDATE SET accepted = excluded.accepted",
            (home.organization_id, minute, n),
        )

    for path, label in (("overview", "Queue"), ("queue", "Pending")):
        page = console.to(path)
        stat = page.locator(".stat", has=page.get_by_text(label, exact=True)).locator("dd").first
        console.told("get_mqtt_queue_stats", change, partial(has_text, stat))


def test_without_the_stream_it_asks(console: Console, home: Tenant) -> None:
    settle(home, [{"temperature": 20}])
    page = console.to(f"devices/{device_id(home)}")
    now = page.get_by_role("region", name="temperature").locator(".now")
    home.stack.stop("stream")
    try:
        expect(console.dot("Without the live stream")).to_be_visible()
        settle(home, [{"temperature": 21}])
        expect(now).to_have_text("21")
        console.to("messages")
        settle(home, ["asked for"])
        expect(page.get_by_role("cell", name="asked for")).to_be_visible()
    finally:
        home.stack.start("stream")
    expect(console.dot("Live")).to_be_visible()
    console.told(
        "list_messages",
        lambda n: settle(home, [f"message {n}"]),
        lambda n: expect(page.get_by_role("cell", name=f"message {n}")).to_be_visible(),
    )


def test_signing_out_while_it_connects(browser: Browser, home: Tenant) -> None:
    """A stream that is slow to answer: Chromium warns of a socket that is closed before it is open."""
    page = browser.new_context().new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    pid = home.stack.pid("stream")
    os.kill(pid, signal.SIGSTOP)
    try:
        with page.expect_websocket():
            page.goto(f"{home.stack.env['CONSOLE_URL']}#token={home.member}")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()
    finally:
        os.kill(pid, signal.SIGCONT)
    page.get_by_label("Token").fill(home.member)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("img", name=re.compile("^Live"))).to_be_visible()
    assert [text for text in said if "WebSocket" in text] == []
    page.context.close()


def test_the_how_tos_code_in_a_browser(console: Console, home: Tenant) -> None:
    """EventSource with a ticket, across a restart of the stream; and WebSocket."""
    with_event_source, with_socket = re.findall(r"^```js\n(.*?)^```", HOW_TO, re.MULTILINE | re.DOTALL)[:2]
    page, env = console.page, home.stack.env
    place = {"API_URL": f"{home.stack.gateway_url}/rest/v1", "STREAM_URL": env["STREAM_URL"], "token": home.member}
    follow = with_event_source + "window.seen = []; follow('#', ({payload}) => seen.push(payload));"
    page.evaluate(f"({{API_URL, STREAM_URL, token}}) => {{ {follow} }}", place)
    sent: list[int] = []

    def seen() -> list[Any]:
        found: list[Any] = page.evaluate("seen")
        return found

    def send() -> bool:
        sent.append(len(sent))
        settle(home, [sent[-1]])
        return bool(seen())

    wait_until(send, what="the first message in the page, which begins with what comes next")
    home.stack.stop("stream")
    try:
        settle(home, ["meanwhile"])
    finally:
        home.stack.start("stream")
    wait_until(lambda: seen()[-1:] == ["meanwhile"], what="what came meanwhile")
    assert seen() == [*sent[sent.index(seen()[0]) :], "meanwhile"]

    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    settle(home, [{"temperature": 0}], topic="devices/boiler/telemetry")
    page.evaluate(f"({{STREAM_URL, token}}) => {{ {with_socket} }}", place)

    def measure() -> bool:
        settle(home, [{"temperature": 21.5}], topic="devices/boiler/telemetry")
        page.wait_for_timeout(50)  # its events come while playwright waits
        return any(text.startswith("{temperature: 21.5}") for text in said)

    wait_until(measure, what="a reading by the WebSocket")
