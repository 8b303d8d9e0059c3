"""The database is away while devices go on at 5,000 messages a second, QoS 1: nothing is lost, and the bridge stays small.

TOPICBASE_SOAK=SECONDS is how long (600: the long form, for which the broker holds about 2 GB); for a few seconds otherwise.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bridge.mosquitto import Mosquitto
from tests.bridge.test_hostile import resident
from tests.bridge.test_inbound import subscribed
from tests.bridge.test_outbound import foreign
from tests.support.api import Api
from tests.support.stack import Stack, start_stack
from tests.support.tenant import make_tenant
from tests.support.waiting import PROGRAM_PATIENCE, wait_until

SECONDS = float(os.environ.get("TOPICBASE_SOAK") or 2)
RATE = 5000
MEGABYTES = 300


@pytest.fixture
def own() -> Iterator[Stack]:
    running = start_stack(without=("gateway",))
    yield running
    running.down()


def publish(port: int, seconds: float, own: Stack) -> tuple[int, int]:
    """Messages numbered from 0, by a client in C; returns how many the broker took, and the bridge's size at its largest."""
    command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), "-t", "flood/devices/d/telemetry", "-q", "1", "-l", "-V", "5"]
    began, sent, largest = time.monotonic(), 0, 0
    with subprocess.Popen(command, stdin=subprocess.PIPE) as client:
        assert client.stdin is not None
        while (passed := time.monotonic() - began) < seconds:
            due = int(passed * RATE)
            lines = (json.dumps({"n": number, "fill": "x" * 78}).encode() + b"\n" for number in range(sent, due))
            client.stdin.write(b"".join(lines))
            client.stdin.flush()
            sent = due
            largest = max(largest, resident(own))
            time.sleep(0.02)  # the rate, not a wait
        client.stdin.close()
        assert client.wait(60 + seconds) == 0
    return sent, largest


@pytest.mark.timeout(600 + 6 * SECONDS)
def test_a_flood_while_the_database_is_away(own: Stack, tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, max_queued=0)
    try:
        owner = make_tenant(own, Api(own.api_url))
        integration_id = foreign(owner, broker.port)
        with own.connect() as db:
            subscribed(db, owner, integration_id, "flood/#", 1)
        own.stop("postgres")
        try:
            sent, largest = publish(broker.port, SECONDS, own)
        finally:
            own.start("postgres")
        numbers = "SELECT count(DISTINCT payload ->> 'n'), count(*) FROM mqtt.mqtt_messages WHERE integration_id = %s"
        with own.connect() as db:

            def counts() -> tuple[int, int]:
                nonlocal largest
                largest = max(largest, resident(own))
                row = db.execute(numbers, (integration_id,)).fetchone()
                assert row is not None
                return row[0], row[1]

            try:
                wait_until(lambda: counts()[0] >= sent, PROGRAM_PATIENCE + 3 * SECONDS, f"{sent} messages")
            finally:
                distinct, stored = counts()
                print(
                    f"{sent} messages in {SECONDS:.0f} s: {sent - distinct} lost, {stored - distinct} stored twice; "
                    f"the bridge took {largest} MiB at most"
                )
        assert distinct == sent
        assert largest < MEGABYTES
    finally:
        broker.stop()
