"""Messages that crash or hang whatever processes them: dead letters after their attempts, and nobody else's trouble."""

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.chaos.world import World
from tests.support.stack import Stack
from tests.support.waiting import wait_until

QUICK = {
    "bridge.worker.BATCH_TIMEOUT": 3.0,
    "bridge.worker.CAREFUL_TIMEOUT": 2.0,
    "bridge.worker.AGAIN_SECONDS": 2.0,
}
# While the server recovers, time passes too.
SLOW = {"bridge.worker.AGAIN_SECONDS": 10.0}

TRIGGER = """
CREATE FUNCTION public.poison() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF NEW.payload ->> 'poison' = 'hang' THEN
        PERFORM pg_sleep(3600);
    ELSIF NEW.payload ->> 'poison' = 'terminate' THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
        PERFORM pg_sleep(1);
    ELSIF NEW.payload ->> 'poison' = 'kill' THEN
        EXECUTE format($q$COPY (SELECT 1) TO PROGRAM 'kill -9 %s'$q$, pg_backend_pid());
        PERFORM pg_sleep(10);
    ELSIF NEW.payload ->> 'poison' = 'refuse' THEN
        RAISE EXCEPTION 'no_poison';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER poison BEFORE INSERT ON mqtt.mqtt_messages FOR EACH ROW WHEN (NEW.direction = 'incoming') EXECUTE FUNCTION public.poison();
"""


@pytest.fixture
def poisonous(stack: Stack) -> Iterator[None]:
    """Payloads `{"poison": "hang" | "terminate" | "kill" | "refuse"}` do that to the session that stores them."""
    with stack.connect() as connection:
        connection.execute(TRIGGER)
    yield
    with stack.connect() as connection:
        connection.execute("DROP TRIGGER poison ON mqtt.mqtt_messages; DROP FUNCTION public.poison()")


class Hurry:
    """Lets the waits between attempts pass in a moment: a careful attempt may be made again at once, though no batch takes it yet."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._ended.wait(0.2):
            self._world.query(
                "UPDATE pgmq.q_mqtt_messages SET vt = clock_timestamp() + CASE WHEN errors -> -1 ->> 'code' = 'interrupted'"
                " THEN interval '29 seconds' ELSE '0' END WHERE msg_id IN ("
                "SELECT msg_id FROM pgmq.q_mqtt_messages WHERE organization_id = %s AND attempts > 0 FOR UPDATE SKIP LOCKED)",
                self._world.tenant.organization_id,
            )


@pytest.mark.parametrize(("poison", "attempts"), [("hang", 2), ("terminate", 3), ("kill", 1), ("refuse", 3)])
@pytest.mark.usefixtures("poisonous")
def test_poison_becomes_a_dead_letter_and_its_neighbours_are_stored_once(world: Callable[..., World], poison: str, attempts: int) -> None:
    playground = world(bridges=0, producers=("single", "batch"), constants={**QUICK, **(SLOW if poison == "kill" else {})})
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
    playground.start()
    with Hurry(playground):
        wait_until(
            lambda: playground.query("SELECT 1 FROM mqtt.mqtt_dead_letters WHERE organization_id = %s", organization),
            60,
            f"the dead letter; waiting {playground.waiting()}",
        )
    rows = playground.query("SELECT attempts, errors, error_message FROM mqtt.mqtt_dead_letters WHERE organization_id = %s", organization)
    assert len(rows) == 1
    assert rows[0][0] == attempts
    assert [error["code"] for error in rows[0][1]] == ["P0001" if poison == "refuse" else "interrupted"] * attempts
    assert rows[0][2]
    playground.load.resume()
    playground.load.wait_accepted(50)
    count = playground.check()
    assert count.dead == 1
    assert count.stored == count.accepted - 1
    if poison != "refuse":
        assert "worker_careful" in playground.bridge.log


@pytest.mark.usefixtures("poisonous")
def test_a_hanging_message_does_not_cost_others_their_attempts_with_two_bridges(world: Callable[..., World]) -> None:
    playground = world(bridges=0, producers=("single", "batch"), constants=QUICK)
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
        playground.settle(60)
    assert playground.check().dead == 1
