"""Fixtures: a stack for each worker of pytest, and what speaks to it."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest

from tests.support.api import Api
from tests.support.schedule import Schedule
from tests.support.stack import Stack, start_stack
from tests.support.tenant import Tenant, make_tenant

DATABASE_ONLY = ("mosquitto", "postgrest", "gateway", "bridge")

hypothesis.settings.register_profile("dev", max_examples=50, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_configure(config: pytest.Config) -> None:
    """Give a run without --basetemp a root of its own: every pytest that starts closes the shared one to other users."""
    if config.option.basetemp is None and "PYTEST_DEBUG_TEMPROOT" not in os.environ:
        root = tempfile.mkdtemp(prefix="tbp.", dir=os.environ.get("TOPICBASE_TEST_DIR"))
        os.environ["PYTEST_DEBUG_TEMPROOT"] = root
        config.add_cleanup(lambda: shutil.rmtree(root, ignore_errors=True))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Schedule:
    return Schedule(config, log)


@pytest.fixture(scope="session", autouse=True)
def _reachable_temporary_directories(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let the users that the parts of a stack run as reach what a test opens to them below its `tmp_path`."""
    base = tmp_path_factory.getbasetemp()
    for directory in (base, *base.parents):
        if directory == Path(tempfile.gettempdir()) or directory.stat().st_uid != os.getuid():
            break
        directory.chmod(0o711)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A full stack of this worker's own, for the whole session."""
    running = start_stack(stream=True)
    yield running
    running.down()


@pytest.fixture
def fresh_stack() -> Iterator[Callable[..., Stack]]:
    """`fresh_stack(without=(…), **environment)`: a stack for this test alone, for tests that break things."""
    started: list[Stack] = []

    def start(**options: Any) -> Stack:
        started.append(start_stack(**options))
        return started[-1]

    yield start
    for running in started:
        running.down()


@pytest.fixture(scope="module")
def own() -> Iterator[Stack]:
    """A stack for one file of tests, since others should not notice what it stops and restarts."""
    running = start_stack()
    yield running
    running.down()


@pytest.fixture
def owner(own: Stack) -> Tenant:
    """A new organization there."""
    return make_tenant(own, Api(own.api_url))


@pytest.fixture
def db(stack: Stack) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A superuser's connection, in autocommit."""
    with stack.connect() as connection:
        yield connection


@pytest.fixture(scope="session")
def jwt(stack: Stack) -> Callable[..., str]:
    """`jwt(role, sub, **claims)`: a token that the stack takes."""
    return stack.token


@pytest.fixture(scope="session")
def api(stack: Stack) -> Iterator[Api]:
    """PostgREST, directly."""
    client = Api(stack.api_url)
    with client.session:
        yield client


@pytest.fixture(scope="session")
def gateway(stack: Stack) -> Iterator[Api]:
    """The same API through the gateway's `/rest/v1`."""
    client = Api(f"{stack.gateway_url}/rest/v1")
    with client.session:
        yield client


@pytest.fixture
def tenant(stack: Stack, api: Api) -> Callable[..., Tenant]:
    """`tenant(integration_type="mqtt_hosted", **settings)`: a new organization with admin, member and integration."""

    def make(integration_type: str = "mqtt_hosted", **settings: Any) -> Tenant:
        return make_tenant(stack, api, integration_type, **settings)

    return make
