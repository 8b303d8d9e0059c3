"""The documentation's site, opened as files in a browser that reaches no other host."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.stack import ROOT
from tests.support.waiting import PROGRAM_PATIENCE


@pytest.fixture(scope="module")
def site() -> Path:
    built = subprocess.run([ROOT / "bin/docs"], stdout=subprocess.PIPE, text=True, timeout=PROGRAM_PATIENCE, check=True)
    return Path(built.stdout.strip()).parent


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab whose pages log nothing wrong and ask for files only."""
    faults: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.on("console", lambda message: faults.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else faults.append(f"it asked {request.url}"))
    yield page
    context.close()
    assert faults == []


def test_the_site_shows_every_operation_of_the_openapi_document(site: Path, page: Page) -> None:
    document = json.loads((ROOT / "docs/reference/openapi.json").read_text())
    page.goto((site / "docs/reference/openapi.html").as_uri())
    shown = page.locator("#openapi")
    expect(shown.locator(".version-stamp", has_text="OAS 3.1")).to_be_visible()
    operations = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
    expect(shown.locator(".opblock")).to_have_count(len(operations))
    methods = shown.locator(".opblock-summary-method").all_inner_texts()
    paths = shown.locator(".opblock-summary-path").evaluate_all("nodes => nodes.map((node) => node.dataset.path)")
    assert sorted(zip(methods, paths, strict=True)) == sorted(operations)
    expect(shown.locator(".errors-wrapper")).to_have_count(0)


def test_a_call_in_the_site_opens_to_its_examples_and_schemas(site: Path, page: Page) -> None:
    page.goto((site / "docs/reference/openapi.html").as_uri())
    call = page.locator("#operations-default-mqtt_publish")
    call.locator(".opblock-summary-control").click()
    request, answer = call.locator(".opblock-section-request-body"), call.locator(".response[data-code='202']")
    expect(request.get_by_role("tabpanel", name="Example Value")).to_contain_text("org_demo/devices/sensor01/telemetry")
    expect(answer.get_by_role("tabpanel", name="Example Value")).to_contain_text("receipt_id")
    request.get_by_role("tab", name="Schema").click()
    schema = request.get_by_role("tabpanel", name="Schema")
    messages = schema.locator(".json-schema-2020-12-property", has_text="messages")
    expect(messages).not_to_contain_text("payload_encoding")
    messages.get_by_role("button", name="Expand all").click()
    expect(messages).to_contain_text("payload_encoding")
    expect(call.locator(".response[data-code='429']")).to_contain_text("queue_paused")


def test_the_site_is_searched_without_a_network(site: Path, page: Page) -> None:
    page.goto((site / "index.html").as_uri())
    page.get_by_role("textbox", name="Search").press_sequentially("mqtt_test_connection")
    expect(page.locator(".md-search-result__link").first).to_be_visible()
