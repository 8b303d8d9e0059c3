"""Messages that do harm to whatever processes them."""

import threading

from tests.chaos.world import World

TRIGGER = """
CREATE OR REPLACE FUNCTION public.poison() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
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
CREATE OR REPLACE TRIGGER poison
BEFORE INSERT ON mqtt.history
FOR EACH ROW WHEN (NEW.flags & 8 = 0) EXECUTE FUNCTION public.poison();
"""


def install_poison(world: World) -> None:
    """Payloads `{"poison": "hang" | "terminate" | "kill" | "refuse"}` do that to the session that stores them, from now on."""
    if not world.query("SELECT 1 FROM pg_trigger WHERE tgname = 'poison'"):
        world.query(TRIGGER)


class Hurry:
    """Lets the waits between attempts pass in a moment: a single attempt may be made again at once, though no batch takes it yet."""

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
