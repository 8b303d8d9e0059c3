"""What keeps the console quick under load, as causes: rows on the page, and redraws for each frame. `bin/console-load` measures times."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.console.conftest import Visit
from tests.support.api import Device
from tests.support.tenant import Tenant

ROWS = 100
# Counts redraws of the page's table between two frames, and the rows that it has after each.
WATCH = """
window.most = {redraws: 0, rows: 0};
let redraws = 0;
(function frame() {
    redraws = 0;
    requestAnimationFrame(frame);
})();
new MutationObserver((records) => {
    if (!records.some((record) => record.target.nodeName === 'TBODY')) return;
    most.redraws = Math.max(most.redraws, ++redraws);
    most.rows = Math.max(most.rows, document.querySelectorAll('main tbody tr').length);
}).observe(document, {subtree: true, childList: true});
"""


@pytest.fixture
def devices(home: Tenant) -> Device:
    """A login for all of the organization's devices."""
    return home.device()


def test_a_flood_is_drawn_once_a_frame(visit: Callable[..., Visit], home: Tenant, devices: Device) -> None:
    page = visit(home.member, home.slug, "messages").page
    expect(page.get_by_text("New ones appear here").or_(page.get_by_role("table"))).to_be_visible()
    page.evaluate(WATCH)
    for batch in range(3):
        messages = [{"topic": devices.topic(f"d{n % 120:03}"), "payload": {"n": 1000 * batch + n}} for n in range(1000)]
        assert devices.send_batch(messages).ok
    expect(page.get_by_text(f"1,000 messages, the newest {ROWS} shown")).to_be_visible()
    expect(page.get_by_role("row").nth(1)).to_contain_text('{"n":2999}')
    most = page.evaluate("most")
    assert most["redraws"] == 1
    assert most["rows"] == ROWS


def test_many_devices_come_in_pages(visit: Callable[..., Visit], home: Tenant, devices: Device) -> None:
    assert devices.send_batch([{"topic": devices.topic(f"many{n:03}"), "payload": {"n": n}} for n in range(120)]).ok
    page = visit(home.member, home.slug, "devices").page
    rows = page.locator("main tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("button", name="Previous")).to_be_enabled()
    expect(rows).to_have_count(50)
    page.get_by_role("searchbox").fill("many119")
    expect(rows).to_have_count(1)
    page.get_by_role("searchbox").fill("many")
    expect(rows.first).to_contain_text("many000")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Next").click()
    expect(rows.first).to_contain_text("many050")
    rows.first.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1, name="many050")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("searchbox")).to_have_value("many")
    expect(rows.first).to_contain_text("many050")
    page.get_by_role("button", name="Next").click()
    expect(rows).to_have_count(20)
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Devices").click()
    expect(page.get_by_role("searchbox")).to_have_value("")
    expect(rows.first).not_to_contain_text("many050")
