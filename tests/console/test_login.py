"""Signing in with OpenID Connect, at a provider that is certified, with PostgREST and the stream checking its keys."""

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from tests.console.conftest import offences
from tests.console.oidc.installation import Installation, installation
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until


@pytest.fixture(scope="module")
def installed(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    directory = tmp_path_factory.mktemp("oidc")
    directory.chmod(0o711)  # for the gateway's workers
    with installation(stack, directory) as made:
        yield made


@dataclass
class Guest:
    """A browser without a session anywhere; `grants` are the kinds of the token requests, `tokens` those that the API was asked with."""

    page: Page
    installed: Installation
    grants: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def asked(self, request: Request) -> None:
        if request.url == f"{self.installed.issuer}/token" and request.method == "POST":
            self.grants += parse_qs(request.post_data or "")["grant_type"]
        elif token := request.headers.get("authorization"):
            self.tokens.append(token.removeprefix("Bearer "))

    def heard(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.faults.append(message.text)

    def sign_in(self, user: str) -> None:
        """From the sign-in page through the provider's."""
        self.page.get_by_role("button", name="Sign in", exact=True).click()
        self.page.get_by_placeholder("Enter any login").fill(user)
        self.page.get_by_placeholder("and password").fill("anything")
        self.page.get_by_role("button", name="Sign-in").click()
        self.page.get_by_role("button", name="Continue").click()


@pytest.fixture
def guest(browser: Browser, installed: Installation) -> Iterator[Callable[[], Guest]]:
    made: list[Guest] = []

    def start() -> Guest:
        page = browser.new_context(locale="en-GB").new_page()
        made.append(Guest(page, installed))
        page.on("request", made[-1].asked)
        page.on("console", made[-1].heard)
        return made[-1]

    yield start
    for one in made:
        one.page.context.close()
    assert [fault for one in made for fault in one.faults] == []


def signed_in(page: Page, home: Tenant) -> None:
    expect(page.get_by_label("Organization").locator("option")).to_have_text(f"Organization {home.slug}")


def test_signing_in_staying_and_signing_out(guest: Callable[[], Guest], installed: Installation, home: Tenant) -> None:
    visitor = guest()
    page = visitor.page
    page.goto(f"{installed.console}#/{home.slug}/devices")
    visitor.sign_in(home.admin_id)
    expect(page.get_by_role("heading", level=1, name="Devices")).to_be_visible()
    signed_in(page, home)
    assert urlsplit(page.url)[2:] == ("/console/", "", f"/{home.slug}/devices")  # neither code nor state
    page.get_by_role("searchbox").fill("kept")
    first = f"Bearer {visitor.tokens[0]}"
    with page.expect_request(lambda request: request.headers.get("authorization", first) != first, timeout=PATIENCE * 1000):
        pass  # it asks with another token
    assert visitor.grants == ["authorization_code", "refresh_token"]
    expect(page.get_by_role("searchbox")).to_have_value("kept")
    for storage in ("sessionStorage", "localStorage"):
        assert not re.search(r"eyJ|refresh", page.evaluate(f"JSON.stringify({storage})")), f"a token is in {storage}"
    page.reload()
    signed_in(page, home)  # without a click
    assert visitor.grants.count("authorization_code") == 2
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Yes, sign me out").click()
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    assert offences(page) == []
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_placeholder("Enter any login")).to_be_visible()


def test_links_sign_nobody_in(guest: Callable[[], Guest], installed: Installation, home: Tenant) -> None:
    visitor = guest()
    page = visitor.page
    button = page.get_by_role("button", name="Sign in", exact=True)
    token = installed.stack.token("authenticated", home.admin_id, aud="urn:topicbase")
    page.goto(f"{installed.console}#token={token}")
    expect(button).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    page.goto(f"{installed.console}?code=stolen&state=stolen")
    expect(button).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    page.evaluate("sessionStorage.setItem('topicbase.login', JSON.stringify({state: 'mine', nonce: 'n', verifier: 'v', hash: ''}))")
    page.goto(f"{installed.console}?code=stolen&state=stolen")
    expect(page.get_by_role("alert")).to_contain_text("login_failed")
    assert visitor.grants == []
    page.get_by_text("Sign in with a token", exact=True).click()
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Use the token").click()
    signed_in(page, home)


def test_a_rotation_of_keys(guest: Callable[[], Guest], installed: Installation, home: Tenant) -> None:
    visitor = guest()
    page = visitor.page
    page.goto(installed.console)
    visitor.sign_in(home.member_id)
    signed_in(page, home)
    old = visitor.tokens[-1]
    assert installed.status(old) == (200, 200)
    assert installed.rotate(signal.SIGUSR1) == "key-2 key-1"
    # The next renewal brings a token of a key that PostgREST does not have yet.
    expect(page.get_by_role("alert")).to_contain_text("401")
    new = visitor.tokens[-1]
    assert installed.status(new) == (401, 401)
    before = installed.keys.stat()
    subprocess.run(installed.fetch_keys(), env=installed.environment, check=True, cwd=ROOT)
    assert installed.keys.stat().st_ino != before.st_ino
    assert installed.keys.stat().st_mode & 0o777 == 0o600
    wait_until(lambda: installed.status(new) == (200, 200), what="the new key")
    page.get_by_role("button", name="Sign in", exact=True).click()
    signed_in(page, home)  # the provider still knows the user
    assert installed.rotate(signal.SIGUSR2) == "key-2"
    own = installed.stack.token("authenticated", home.member_id, aud="urn:topicbase")
    following = subprocess.Popen(installed.fetch_keys("--every", "5"), env=installed.environment, cwd=ROOT)
    try:
        wait_until(lambda: installed.status(old) == (401, 401), what="the end of the old key")
        assert installed.status(own) == (200, 200)
    finally:
        following.terminate()
        following.wait(20)
