"""What holds of every page: accessibility, the policy, its size; light and dark, wide and narrow, German and English."""

import re
import subprocess
from collections.abc import Callable

import pytest
import requests
from playwright.sync_api import Response, expect

from tests.console.conftest import Visit, offences
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

Visits = Callable[..., Visit]
PAGES = ("overview", "devices", "messages", "integrations", "dead-letters", "webhooks", "access", "queue", "start", "installation")


@pytest.fixture(scope="module")
def boiler(home: Tenant) -> str:
    """Path of a device that has sent a reading."""
    device = home.device()
    assert device.send({"temperature": 1234.5, "state": "on"}, device.topic("boiler")).ok
    (row,) = wait_until(lambda: home.api.rows("devices", token=home.member, latest="neq.{}"), what="the device's reading")
    return f"devices/{row['id']}"


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1280), ("light", 390)], ids=["dark", "narrow"])
def test_axe_finds_nothing_serious(
    visit: Visits, home: Tenant, boiler: str, operator: Callable[[str], str], scheme: str, width: int
) -> None:
    visitor = visit(operator(home.admin_id), home.slug, color_scheme=scheme, viewport={"width": width, "height": 800})
    found = []
    paths = (*PAGES, boiler, f"{boiler}/commands", f"{boiler}/credentials", f"integrations/{home.integration_id}")
    for path in paths:
        page = visitor.to(path)
        expect(page.get_by_text("Loading…")).to_have_count(0)
        found += offences(visitor.page)
        if width < 800:
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} is wider than the screen"
    page.get_by_role("button", name="Edit", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert found + offences(visitor.page) == []


def test_the_sign_in_page(visit: Visits, home: Tenant) -> None:
    visitor = visit(home.member, home.slug)
    visitor.page.get_by_role("button", name="Sign out").click()
    expect(visitor.page.get_by_label("Token")).to_be_visible()
    assert offences(visitor.page) == []


def test_by_keyboard_alone(visit: Visits, home: Tenant, boiler: str) -> None:
    page = visit(home.member, home.slug, "messages").page
    page.locator("body").press("Tab")
    page.get_by_role("link", name="Skip to the page").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    row = page.get_by_role("button", name=re.compile("boiler"))
    row.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert "boiler" in page.evaluate("document.activeElement.textContent")


@pytest.mark.parametrize(("locale", "number", "month"), [("de-DE", "1.234,5", r"\d\d\.\d\d\.\d{4}"), ("en-GB", "1,234.5", r"\d Nov \d{4}")])
def test_numbers_and_times_follow_the_browser(visit: Visits, home: Tenant, boiler: str, locale: str, number: str, month: str) -> None:
    page = visit(home.member, home.slug, boiler, locale=locale).page
    expect(page.locator(".now")).to_have_text(number)
    page.get_by_text("About this device").click()
    month = month.replace("Nov", "[A-Z][a-z]+")
    expect(page.locator("details")).to_contain_text(re.compile(month))


def test_the_first_load_is_small(visit: Visits, home: Tenant) -> None:
    visitor = visit(home.member, home.slug)
    came: list[Response] = []

    def heard(response: Response) -> None:  # playwright takes no builtin
        came.append(response)

    visitor.page.on("response", heard)
    visitor.page.reload()
    expect(visitor.page.locator(".plot canvas").first).to_be_visible()
    parts = {response.url: response.request.sizes() for response in came if "/console/" in response.url}
    sizes = {url: part["responseBodySize"] + part["responseHeadersSize"] for url, part in parts.items()}
    assert any(url.endswith("vendor/uplot.js") for url in sizes)
    assert sum(sizes.values()) <= 300_000, sizes


def test_its_files_are_served_with_a_strict_policy(stack: Stack) -> None:
    url = stack.env["CONSOLE_URL"]
    for path, kind in (("", "text/html"), ("app.js", "text/javascript"), ("console.css", "text/css"), ("logo.svg", "image/svg+xml")):
        response = requests.get(f"{url}{path}", timeout=60)
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith(kind)
        policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert requests.get(url.rstrip("/"), timeout=60, allow_redirects=False).headers["Location"].endswith("/console/")
    for path in ("nothing.js", "../nginx.conf", "%2e%2e/nginx.conf"):
        assert requests.get(f"{url}{path}", timeout=60).status_code in {400, 404}


def test_vendored_files_are_what_the_lock_makes() -> None:
    check = subprocess.run([ROOT / "bin/console-vendor", "--check"], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stderr


def test_no_page_fetches_from_elsewhere() -> None:
    """Neither the markup nor the code names another host."""
    for path in [*(ROOT / "console").glob("*.*"), *(ROOT / "console/pages").glob("*.js")]:
        named = re.findall(r"""["'`(]((?:https?:)?//[a-z0-9.-]+)""", path.read_text())
        assert [host for host in named if "w3.org" not in host and "example.com" not in host] == [], path
