"""What upkeep does beside a session that will not end: name it when it holds back vacuum, and do the rest when it holds a lock."""

from collections.abc import Callable

from tests.chaos.world import World
from tests.support.stack import Stack
from tests.support.waiting import wait_until


def test_row_31_a_session_that_holds_back_vacuum_is_named(world: Callable[..., World], stack: Stack) -> None:
    playground = world(bridges=0)
    service = stack.token("service_role")
    with stack.connect(autocommit=False, application_name="night report") as session:
        session.execute("SELECT pg_current_xact_id()")
        pid = session.info.backend_pid
        found = {row["pid"]: row for row in playground.api.ok("get_vacuum_holders", {"older_than": "0"}, token=service)}
        assert found[pid]["kind"] == "session"
        assert found[pid]["name"].endswith("night report")
        assert found[pid]["state"] == "idle in transaction"
        assert found[pid]["held_seconds"] is not None
        assert pid not in [row["pid"] for row in playground.api.ok("get_vacuum_holders", token=service)], "not for long yet"
        playground.query("UPDATE mqtt.configuration SET vacuum_alarm_after = '1 second'")
        try:
            playground.new_bridge(constants={"bridge.upkeep.UPKEEP_SECONDS": 1}).start()
            wait_until(lambda: "vacuum_held_back" in playground.bridge.log, 40, "the bridge telling")
            assert any("vacuum_held_back" in line and "night report" in line for line in playground.bridge.log.splitlines())
            assert f"vacuum is held back by session {pid}" in stack.log("postgres")
        finally:
            playground.query("UPDATE mqtt.configuration SET vacuum_alarm_after = DEFAULT")


def test_row_39_retention_waits_for_a_long_reader_and_the_rest_of_upkeep_does_not(stack: Stack) -> None:
    with stack.connect() as db, stack.connect(autocommit=False) as reader:
        db.execute("SELECT mqtt.create_partition('mqtt.mqtt_messages', current_date - 400)")
        reader.execute("LOCK TABLE mqtt.mqtt_messages IN ACCESS SHARE MODE")
        done = db.execute("SELECT mqtt.upkeep()").fetchone()
        assert done is not None
        assert "lock" in done[0]["postponed"]
        assert {"queued", "ledger_differences", "ledger_rows_rolled_up"} <= done[0].keys()
        reader.rollback()
        done = db.execute("SELECT mqtt.upkeep()").fetchone()
        assert done is not None
        assert "postponed" not in done[0]
        gone = "SELECT to_regclass('mqtt.mqtt_messages_' || to_char(current_date - 400, 'YYYYMMDD'))"
        assert db.execute(gone).fetchone() == (None,)
