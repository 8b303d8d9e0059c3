"""A stack whose queue is worked off by hand."""

from collections.abc import Iterator

import pytest

from tests.support.stack import Stack, start_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    running = start_stack(without=("bridge", "mosquitto"))
    yield running
    running.down()
