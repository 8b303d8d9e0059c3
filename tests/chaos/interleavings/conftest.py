"""The two sessions of a test, and messages that cannot be stored."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.chaos.interleavings.scene import PROCESS, Scene, Session
from tests.support.api import Api
from tests.support.stack import Stack
from tests.support.tenant import make_tenant

LEFT = (
    "pgmq.q_mqtt_messages",
    "pgmq.q_mqtt_outbound",
    "mqtt.ledger",
    "mqtt.deferred_device_updates",
    "mqtt.deferred_credential_updates",
)


@pytest.fixture
def scene(stack: Stack) -> Iterator[Scene]:
    """A tenant of the test's own, an empty queue, and two sessions."""
    with ExitStack() as ends:
        api = Api(stack.api_url)
        ends.callback(api.session.close)
        tenant = make_tenant(stack, api)
        db = ends.enter_context(stack.connect())
        # What a test left that failed, or whose bridge was killed, is none of this one's counts.
        for table in LEFT:
            db.execute(f"DELETE FROM {table}".encode())
        a, b = Session(stack), Session(stack)
        ends.callback(a.close)
        ends.callback(b.close)
        yield Scene(stack, tenant, tenant.device(), db, a, b)
        a.rollback()
        b.rollback()
        while json.loads(json.dumps(db.execute("SELECT mqtt.process_batch(1000)").fetchone()))[0]["more"]:
            pass
        assert db.execute("SELECT * FROM mqtt.check_ledger()").fetchall() == []


@pytest.fixture
def poison(stack: Stack) -> Iterator[Callable[[], Any]]:
    """`poison()`: a payload that cannot be stored."""
    with stack.connect() as connection:
        connection.execute(
            "ALTER TABLE mqtt.history ADD CONSTRAINT no_poison CHECK (payload ->> 'poison' IS NULL OR flags & 8 = 8) NOT VALID"
        )
    yield lambda: {"poison": True}
    with stack.connect() as connection:
        connection.execute("ALTER TABLE mqtt.history DROP CONSTRAINT IF EXISTS no_poison")


@pytest.fixture
def one_dead_letter(scene: Scene, poison: Callable[[], Any]) -> str:
    """A message that became a dead letter, and could be stored now; sessions a and b are operators."""
    scene.db.execute("UPDATE mqtt.configuration SET max_attempts = 1")
    (message_id,) = scene.send(payload=poison())
    assert scene.a.do(PROCESS)["dead"] == 1
    scene.a.commit()
    scene.db.execute("UPDATE mqtt.configuration SET max_attempts = 3")
    scene.db.execute("ALTER TABLE mqtt.history DROP CONSTRAINT no_poison")
    claims = json.dumps({"role": "service_role"})
    for session in (scene.a, scene.b):
        session.do("SELECT set_config('request.jwt.claims', %s, false)", claims)
        session.commit()
    return message_id
