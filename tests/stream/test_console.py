"""The console's live tail in a browser, from the stream."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.console.conftest import QUIET
from tests.stream.support import settle
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        yield browser
        browser.close()


def test_a_message_appears(home: Tenant, browser: Browser) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2].partition("?")[0]))
    with page.expect_response(lambda response: response.url.partition("?")[0].endswith("/stream"), timeout=PATIENCE * 1000) as stream:
        page.goto(f"{home.stack.env['CONSOLE_URL']}#token={home.member}")
        page.goto(f"{home.stack.env['CONSOLE_URL']}#/{home.slug}/messages")
    assert stream.value.status == 200
    settle(home, ["first"])
    expect(page.get_by_role("cell", name="first")).to_be_visible()
    before = asked.count("list_messages")
    settle(home, ["second"], topic="devices/d2/status")
    expect(page.get_by_role("cell", name="second")).to_be_visible()
    expect(page.get_by_role("cell", name="devices/d2/status")).to_be_visible()
    assert asked.count("list_messages") == before, "it is told, and does not ask"
