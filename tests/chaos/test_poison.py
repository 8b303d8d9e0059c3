"""Messages that crash or hang whatever processes them: dead letters after their attempts, and nobody else's trouble."""

from collections.abc import Callable

import psycopg
import pytest

from tests.chaos.faults import PATIENT, QUICK, SLOW
from tests.chaos.poison import Hurry, install_poison
from tests.chaos.world import World
from tests.support.broker import Broker
from tests.support.stack import Stack
from tests.support.tenant import make_tenant
from tests.support.waiting import wait_until


def forget_workers(world: World) -> None:
    """A bridge of an earlier test that was killed before it had worked the queue off would be cause for caution from the beginning."""
    world.query("DELETE FROM mqtt.workers")


@pytest.mark.parametrize(("poison", "attempts"), [("hang", 2), ("terminate", 3), ("kill", 1), ("refuse", 3)])
def test_poison_becomes_a_dead_letter_and_its_neighbours_are_stored_once(world: Callable[..., World], poison: str, attempts: int) -> None:
    playground = world(bridges=0, producers=("single", "batch"), constants=dict(SLOW if poison == "kill" else QUICK))
    install_poison(playground)
    organization = playground.tenant.organization_id
    playground.query(
        "UPDATE mqtt.device_integrations SET settings = settings || jsonb_build_object('max_attempts', %s::integer) WHERE id = %s",
        attempts,
        playground.tenant.integration_id,
    )
    # A backlog, with the poison in the middle of it.
    playground.load.resume()
    playground.load.wait_accepted(150)
    playground.load.poison(poison)
    playground.load.wait_accepted(150)
    playground.load.pause()
    forget_workers(playground)
    playground.start()
    with Hurry(playground):
        wait_until(
            lambda: playground.query("SELECT 1 FROM mqtt.mqtt_dead_letters WHERE organization_id = %s", organization),
            what=f"the dead letter; waiting {playground.waiting()}",
        )
    rows = playground.query("SELECT attempts, errors, error_message FROM mqtt.mqtt_dead_letters WHERE organization_id = %s", organization)
    assert len(rows) == 1
    assert rows[0][0] == attempts
    assert [error["code"] for error in rows[0][1]] == ["P0001" if poison == "refuse" else "interrupted"] * attempts
    assert rows[0][2]
    playground.load.resume()
    playground.load.wait_accepted(50)
    count = playground.oracle.check()
    assert count.dead == 1
    assert count.stored == count.accepted - 1
    if poison == "hang":
        assert "a batch of its own reached its limits" in playground.bridge.log
    elif poison != "refuse":
        assert 'messages="those of the batch"' in playground.bridge.log


def test_beside_a_message_that_hangs_the_others_go_on_in_batches(world: Callable[..., World]) -> None:
    """One by one, a few dozen a second, they would fall behind for as long as more come."""
    playground = world(producers=("batch",), constants=dict(QUICK))
    install_poison(playground)
    playground.load.poison("hang")
    wait_until(lambda: "attempt_interrupted" in playground.bridge.log, what="the end of an attempt")
    playground.load.resume()
    playground.load.wait_accepted(400)
    playground.load.pause()
    wait_until(lambda: playground.waiting() == (1, 0), what="nothing waiting but the one that hangs")
    assert "attempts_ended" not in playground.bridge.log
    ((messages, transactions),) = playground.query(
        "SELECT count(*), count(DISTINCT h.xmin::text) FROM mqtt.history AS h JOIN mqtt.organizations AS o ON o.number = h.organization"
        " WHERE o.id = %s AND h.flags & 8 = 0",
        playground.tenant.organization_id,
    )
    assert messages >= 400
    assert transactions < messages / 5


def test_a_hanging_message_does_not_cost_others_their_attempts_with_two_bridges(world: Callable[..., World]) -> None:
    playground = world(bridges=0, producers=("single", "batch"), constants=dict(PATIENT))
    install_poison(playground)
    playground.query(
        "UPDATE mqtt.device_integrations SET settings = settings || '{\"max_attempts\": 1}' WHERE id = %s", playground.tenant.integration_id
    )
    playground.load.resume()
    playground.load.wait_accepted(100)
    playground.load.poison("hang")
    playground.load.wait_accepted(100)
    playground.load.pause()
    playground.start(2)
    with Hurry(playground):
        playground.settle()
    assert playground.oracle.check().dead == 1


def test_without_a_bridge_a_scheduler_counts_attempts_that_end_its_session(world: Callable[..., World], stack: Stack) -> None:
    playground = world(bridges=0, producers=("single", "batch"))
    install_poison(playground)
    playground.load.resume()
    playground.load.wait_accepted(100)
    playground.load.poison("terminate")
    playground.load.wait_accepted(100)
    playground.load.pause()
    forget_workers(playground)
    ended = 0
    while playground.waiting() != (0, 0):
        try:
            with stack.connect() as scheduler:
                scheduler.execute("CALL mqtt.work_queue()")
        except psycopg.errors.AdminShutdown:
            ended += 1
        # The next call comes when the next attempt is due.
        playground.query(
            "UPDATE pgmq.q_mqtt_messages SET vt = clock_timestamp() WHERE organization_id = %s AND attempts > 0",
            playground.tenant.organization_id,
        )
    assert ended == 4, "the batch, and three attempts"
    query = "SELECT attempts, errors FROM mqtt.mqtt_dead_letters WHERE organization_id = %s"
    ((attempts, errors),) = playground.query(query, playground.tenant.organization_id)
    assert (attempts, [error["code"] for error in errors]) == (3, ["interrupted"] * 3)
    count = playground.oracle.check()
    assert (count.dead, count.stored) == (1, count.accepted - 1)
    assert playground.query("SELECT count(*) FROM mqtt.workers") == [(0,)]


def test_messages_that_hang_keep_no_other_organization_waiting(world: Callable[..., World]) -> None:
    """Forty that each take until a time limit, in the same batches as another organization's: that one's are all stored before them."""
    playground = world(bridges=0, producers=("single", "batch"), constants=dict(QUICK))
    install_poison(playground)
    playground.hostile = other = make_tenant(playground.stack, playground.api)
    device = other.device()
    for _ in range(40):
        assert device.send({"poison": "hang"}).ok
    playground.load.resume()
    playground.load.wait_accepted(300)
    playground.load.pause()
    forget_workers(playground)
    playground.start()
    wait_until(lambda: playground.waiting() == (0, 0), what="the other organization's messages in the history")
    queued = "SELECT count(*) FROM pgmq.q_mqtt_messages WHERE organization_id = %s"
    assert playground.query(queued, other.organization_id) == [(40,)]
    assert playground.oracle.check().dead == 0


SLOW_TO_ACCEPT = """
CREATE TABLE IF NOT EXISTS public.slow (organization_id uuid);
CREATE OR REPLACE FUNCTION public.be_slow() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM pg_sleep(3600) FROM public.slow AS s WHERE s.organization_id = NEW.organization_id;
    RETURN NEW;
END;
$$;
CREATE OR REPLACE TRIGGER be_slow BEFORE INSERT ON pgmq.q_mqtt_messages FOR EACH ROW EXECUTE FUNCTION public.be_slow();
"""


def test_what_is_slow_to_accept_keeps_no_other_organization_waiting(world: Callable[..., World]) -> None:
    """Accepting what one organization's broker delivers ends at the time limit: another's is accepted, and nothing is lost."""
    limits = {"BATCH_TIMEOUT": 2.0, "SLOW_TIMEOUT": 1.0, "SLOW_REST_SECONDS": 1.0}
    playground = world(constants={f"bridge.work.inbound.{name}": value for name, value in limits.items()})
    playground.hostile = other = make_tenant(playground.stack, playground.api)
    with Broker() as broker:
        integration = other.integration("mqtt_external", broker_url=playground.host, port=broker.port, protocol="mqtt", keepalive=5)
        other.api.ok("mqtt_subscribe", {"integration_id": integration, "topic": "in/#", "qos": 1}, token=other.admin)
        wait_until(lambda: broker.has_subscriber("in/x"), what="the bridge's subscription")
        playground.query(SLOW_TO_ACCEPT)
        playground.query("INSERT INTO public.slow VALUES (%s)", other.organization_id)
        try:
            slow = [broker.offer("in/x", str(number).encode()) for number in range(30)]
            quick = [playground.load.offer(number) for number in range(1, 31)]
            wait_until(lambda: all(offer.is_acknowledged for offer in quick), what="the other's acknowledgements")
            assert not any(offer.is_acknowledged for offer in slow)
            wait_until(lambda: "ingest_slow" in playground.bridge.log, what="the bridge naming who is slow")
        finally:
            playground.query("DELETE FROM public.slow")
        wait_until(lambda: all(offer.is_acknowledged for offer in slow), what="the rest")
        history = "SELECT payload FROM mqtt.mqtt_messages WHERE organization_id = %s ORDER BY received_at, position"
        wait_until(lambda: len(playground.query(history, other.organization_id)) >= 30, what="the rest in the history")
        assert [row[0] for row in playground.query(history, other.organization_id)] == list(range(30))
        playground.query("DROP TRIGGER be_slow ON pgmq.q_mqtt_messages")
