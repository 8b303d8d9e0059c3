"""The bridge works with the oldest versions that pyproject.toml allows: installed from the package index, against a real stack."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.bridge.support import Peer, publish, receipts, stored
from tests.bridge.test_inbound import subscription
from tests.cli.conftest import bridge_environment
from tests.support.api import Api
from tests.support.stack import ROOT, Stack, start_stack
from tests.support.tenant import make_tenant
from tests.support.waiting import PATIENCE, PROGRAM_PATIENCE, wait_until


def lower_bounds() -> list[str]:
    """`name==version` for each dependency, all of which must have a lower bound."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    found = []
    for dependency in declared:
        match = re.fullmatch(r"([\w.-]+(?:\[\w+\])?)>=([\d.]+)(?:,<[\d.]+)?", dependency)
        assert match is not None, f"{dependency} has no lower bound"
        found.append(f"{match[1]}=={match[2]}")
    return found


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the lower bounds of all dependencies."""
    place = tmp_path_factory.mktemp("oldest") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True, timeout=PROGRAM_PATIENCE)
    python = place / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *lower_bounds()]
    ended = subprocess.run(install, capture_output=True, text=True, check=False, timeout=PROGRAM_PATIENCE)
    assert ended.returncode == 0, ended.stderr
    return python


@pytest.fixture(scope="module")
def own() -> Iterator[Stack]:
    running = start_stack()
    yield running
    running.down()


@contextmanager
def bridge(python: Path, settings: dict[str, str], log: Path) -> Iterator[None]:
    ready = f"http://{settings['TOPICBASE_METRICS_ADDRESS']}/readyz"
    with (
        log.open("wb") as output,
        subprocess.Popen([python, "-m", "bridge", "run"], cwd=ROOT, env=settings, stdin=subprocess.DEVNULL, stderr=output) as process,
    ):

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return requests.get(ready, timeout=PATIENCE).ok
            except requests.ConnectionError:
                return False

        try:
            wait_until(is_ready, what="the bridge is ready")
            yield
        finally:
            process.terminate()
            assert process.wait(20) == 0, log.read_text()


def test_the_lower_bounds_of_the_dependencies_work(oldest: Path, own: Stack, tmp_path: Path) -> None:
    settings = bridge_environment(own)
    own.stop("bridge")
    owner = make_tenant(own, Api(own.api_url))
    topic = f"org_{owner.slug}/devices/d/telemetry"
    with bridge(oldest, settings, tmp_path / "log"), own.connect() as db:
        wait_until(
            lambda: (subscription(db, owner.integration_id, f"org_{owner.slug}/#") or ("pending",))[0] == "active", 30, "a subscription"
        )
        device = Peer(own.mqtt_host, own.mqtt_port, "topicbase_bridge", own.broker_password)
        try:
            for qos in (0, 1, 2):
                assert device.publish(topic, f'{{"qos": {qos}}}', qos, ContentType="application/json") in (0, 16)
        finally:
            device.close()
        wait_until(lambda: len(stored(own, owner.organization_id)) >= 3, what="three stored messages")
        messages = [
            {"topic": f"org_{owner.slug}/devices/d/c", "payload": {"n": qos}, "qos": qos, "content_type": "a/b"} for qos in (0, 1, 2)
        ]
        assert [row["state"] for row in receipts(owner, publish(owner, messages))] == ["sent", "acknowledged", "acknowledged"]
        page = requests.get(f"http://{settings['TOPICBASE_METRICS_ADDRESS']}/metrics", timeout=PATIENCE).text
        assert 'topicbase_published_messages_total{state="acknowledged"}' in page
        user = {**settings, "TOPICBASE_API_URL": own.api_url, "TOPICBASE_TOKEN": owner.admin}
        for command, environment in (
            (["status"], settings),
            (["doctor"], settings),
            (["reseal"], settings),
            (["publish", owner.integration_id, topic, "1"], user),
            (["tail", "--no-follow", f"org_{owner.slug}/#"], user),
        ):
            ended = subprocess.run(
                [oldest, "-m", "bridge", *command],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=PROGRAM_PATIENCE,
            )
            assert (ended.returncode, ended.stderr) == (0, ""), (command, ended.stdout, ended.stderr)
            assert ended.stdout
