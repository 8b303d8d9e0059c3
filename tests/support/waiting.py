"""Waiting for something to become true, the only place where a test sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
# A test that passes never waits for so long, and one on a slow or busy machine must not fail for being late.
PATIENCE = 60.0
# The same of a program that does much more than answer: it compiles, installs, deploys, or runs others.
PROGRAM_PATIENCE = 300.0


def wait_until(predicate: Callable[[], T], timeout: float = PATIENCE, what: str = "the condition") -> T:
    """Call `predicate` until it returns something true, and return that; fail with its last answer after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    pause = 0.005
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what} did not come true within {timeout:g} s; the last answer was {answer!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
