"""Between two bridges: what the one may no longer hand in, the broker keeps for the other."""

import uuid
from collections.abc import Callable

import pytest

from tests.chaos.world import World
from tests.support.waiting import wait_until


@pytest.mark.parametrize("has_id", [False, True], ids=["without an id", "with message_id"])
def test_row_22_what_another_bridge_is_to_have_stays_at_the_broker(world: Callable[..., World], *, has_id: bool) -> None:
    """A bridge that lost an integration without knowing it yet must acknowledge nothing of what it still receives."""
    playground = world()
    other = str(uuid.uuid4())
    playground.query("INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (%s, 'test', '1', 1)", other)
    with playground.stack.connect() as connection:
        # As if it had taken over: it lives, and the lease is its.
        connection.execute("SELECT pg_advisory_lock(mqtt.bridge_lock(%s))", (other,))
        connection.execute("UPDATE mqtt.bridge_leases SET bridge_id = %s WHERE integration_id = %s", (other, playground.external))
        offers = [playground.load.offer(number, has_id=has_id) for number in range(1, 6)]
        wait_until(lambda: "integration_not_held" in playground.bridge.log, 20, "the bridge finding out")
    # The other is gone again, and the messages with it would be, had they been acknowledged.
    wait_until(lambda: all(offer.is_acknowledged for offer in offers), 40, "the acknowledgements")
    wait_until(lambda: playground.waiting() == (0, 0), 20, "an empty queue")
    rows = playground.query(
        "SELECT payload ->> 'n', count(*) FROM mqtt.mqtt_messages WHERE organization_id = %s GROUP BY 1 ORDER BY 1",
        playground.tenant.organization_id,
    )
    assert rows == [(str(number), 1) for number in range(1, 6)]
