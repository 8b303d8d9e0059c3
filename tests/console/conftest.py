"""A real Chromium, and two organizations for it to look at."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, expect, sync_playwright

from tests.support.api import Api, Device
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import PATIENCE, wait_until

# Chromium asks its maker for updates and more, unless it is told not to.
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-default-apps", "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
AXE = (ROOT / "node_modules/axe-core/axe.min.js").read_text()
expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="package")  # while playwright is there, no other test of the process can have an event loop
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        yield browser
        browser.close()


@dataclass
class Visit:
    """A tab in which somebody is signed in; `faults` is what a page must not do."""

    page: Page
    stack: Stack
    token: str
    slug: str
    faults: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.stack.env["CONSOLE_URL"]

    def to(self, path: str) -> Page:
        """Another page of the organization."""
        self.page.goto(f"{self.url}#/{self.slug}/{path}")
        expect(self.page.locator("main h1")).to_be_visible()
        return self.page

    def curl(self, within: Page | Locator, name: str) -> str:
        """Opens the curl command of an action, runs it in a shell, and returns what it prints."""
        within.get_by_role("button", name=f"Show “{name}” as curl").click()
        command = within.get_by_test_id("curl").last.inner_text()
        run = subprocess.run(
            ["bash", "-c", command], env={"TOKEN": self.token, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
        )
        # What was deleted may have left the page meanwhile, and its button with it.
        within.get_by_role("button", name=f"Show “{name}” as curl").evaluate_all("(buttons) => buttons.forEach((each) => each.click())")
        self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as when its reader comes back from the shell
        return run.stdout

    def watch(self) -> None:
        origin = urlsplit(self.url).netloc

        def heard(message: ConsoleMessage) -> None:
            # What a call of the API answers is the page's to handle; Chromium notes it as an error all the same.
            if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
                self.faults.append(message.text)

        def asked(request: Request) -> None:
            if urlsplit(request.url).netloc != origin:
                self.faults.append(f"it asked {request.url}")

        self.page.on("console", heard)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", asked)


def offences(page: Page) -> list[str]:
    """What axe-core finds serious or worse."""
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations)")
    return [
        f"{page.url.partition('#')[2]}: {rule['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for rule in found
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"]
    ]


@pytest.fixture
def visit(browser: Browser, stack: Stack) -> Iterator[Callable[..., Visit]]:
    """`visit(token, slug, path="overview", **context)`: signs in; no page may break the policy, fail, or ask another host."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def start(token: str, slug: str = "-", path: str = "overview", **options: Any) -> Visit:
        contexts.append(browser.new_context(**{"locale": "en-GB", "viewport": {"width": 1280, "height": 900}, **options}))
        made = Visit(contexts[-1].new_page(), stack, token, slug)
        made.watch()
        visits.append(made)
        made.page.goto(f"{made.url}#token={token}")
        expect(made.page.locator("main h1")).to_be_visible()
        if slug != "-":
            made.to(path)
        return made

    yield start
    for context in contexts:
        context.close()
    assert [fault for made in visits for fault in made.faults] == []


@pytest.fixture(scope="module")
def home(stack: Stack, api: Api) -> Tenant:
    return make_tenant(stack, api)


@pytest.fixture(scope="module")
def strangers(stack: Stack, api: Api) -> Tenant:
    tenant = make_tenant(stack, api)
    assert tenant.device().send({"secret": 42}, f"org_{tenant.slug}/devices/stranger/telemetry").ok
    return tenant


@pytest.fixture
def operator(stack: Stack) -> Callable[[str], str]:
    """`operator(user_id)`: a token of a user whom SQL has made an operator."""

    def make(user_id: str) -> str:
        with stack.connect() as connection:
            connection.execute("INSERT INTO mqtt.operators (user_id) VALUES (%s) ON CONFLICT DO NOTHING", (user_id,))
        return stack.token("authenticated", user_id)

    return make


@pytest.fixture
def dead_letters(stack: Stack) -> Callable[[Tenant, int], str]:
    """`dead_letters(tenant, count)`: messages that a mistake in an operator's trigger kept from being stored; their topic."""

    def make(tenant: Tenant, count: int) -> str:
        once = tenant.integration("mqtt_hosted", max_attempts=1)
        row = tenant.api.ok("generate_mqtt_credentials", {"integration_id": once}, token=tenant.admin)
        device = Device(tenant.api, row["username"], row["password"], row["client_id"], row["topic_prefix"])
        topic = device.topic("boiler", "poison")
        with stack.connect() as db:
            db.execute("""
                CREATE FUNCTION public.console_stumble() RETURNS trigger LANGUAGE plpgsql AS $$
                DECLARE
                    v_topic text := (SELECT t.topic FROM mqtt.topics AS t WHERE t.number = new.topic);
                BEGIN
                    IF v_topic LIKE '%/poison' THEN
                        RAISE EXCEPTION 'stumbled over %', v_topic;
                    END IF;
                    RETURN new;
                END $$;
                CREATE TRIGGER console_stumble BEFORE INSERT ON mqtt.history FOR EACH ROW EXECUTE FUNCTION public.console_stumble();
            """)
            try:
                assert device.send_batch([{"topic": topic, "payload": {"n": n}} for n in range(count)]).ok
                wait_until(lambda: len(tenant.api.rows("mqtt_dead_letters", token=tenant.member)) >= count, what="the dead letters")
            finally:
                db.execute("DROP TRIGGER console_stumble ON mqtt.history; DROP FUNCTION public.console_stumble();")
        return topic

    return make
