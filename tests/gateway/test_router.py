"""What the router in front of several installations (conf/nginx-installations.conf) answers itself; tests/test_moving.py has its routes."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.ports import Port
from tests.support.stack import ROOT
from tests.support.waiting import PATIENCE, wait_until


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """In front of an installation that is away, and of one that is being moved."""
    place, port, nobody = tmp_path_factory.mktemp("router"), Port(), Port()
    (place / "organizations.map").write_text("guest moving;\n")
    text = (ROOT / "conf" / "nginx-installations.conf").read_text()
    values = {"DIR": place, "PORT": port.number, "MAP": place / "organizations.map", "DEFAULT": f"127.0.0.1:{nobody.number}"}
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    (place / "nginx.conf").write_text(text)
    url = f"http://127.0.0.1:{port.number}"
    with (place / "log").open("w") as log:
        process = subprocess.Popen(["nginx", "-e", "stderr", "-p", str(place), "-c", str(place / "nginx.conf")], stderr=log)
        try:
            wait_until(lambda: answers(process, place / "log", url), what="the router")
            yield url
        finally:
            process.terminate()
            process.wait(PATIENCE)


def answers(process: subprocess.Popen[bytes], log: Path, url: str) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        requests.get(url, timeout=PATIENCE)
    except requests.ConnectionError:
        return False
    return True


@pytest.mark.parametrize(
    ("method", "request_", "status", "slug"),
    [
        ("GET", {}, 503, "upstream_unavailable"),
        ("GET", {"headers": {"X-Organization": "guest"}}, 503, "organization_moving"),
        ("POST", {"data": b"x" * (2 * 1024 * 1024 + 1)}, 413, "body_too_large"),
        ("GET", {"headers": {"X-Filler": "x" * 40_000}}, 431, "headers_too_large"),
        ("GET", {"headers": {"Content-Length": "-1"}}, 400, "bad_request"),
        ("POST", {"headers": {"Transfer-Encoding": "gzip"}}, 501, "not_implemented"),
        ("TRACE", {}, 501, "not_implemented"),
    ],
)
def test_its_own_answers_are_json_that_any_page_may_read(
    router: str, method: str, request_: dict[str, object], status: int, slug: str
) -> None:
    headers = {"Origin": "https://app.example", **request_.pop("headers", {})}  # type: ignore[dict-item]
    response = requests.request(method, router, headers=headers, timeout=PATIENCE, **request_)  # type: ignore[arg-type]
    assert (response.status_code, json.loads(response.text)["message"]) == (status, slug)
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert ("Retry-After" in response.headers) == (status == 503)
