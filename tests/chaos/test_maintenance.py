"""What maintenance does beside a session that will not end: name it when it holds back vacuum, and do the rest when it holds a lock."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString

from psycopg import sql

from tests.chaos.world import World
from tests.support.api import Api
from tests.support.stack import TEMPLATE, Stack, start_stack
from tests.support.tenant import make_tenant
from tests.support.waiting import wait_until


def test_fault_31_a_session_that_holds_back_vacuum_is_named(world: Callable[..., World], stack: Stack) -> None:
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
            playground.new_bridge(constants={"bridge.work.maintenance.MAINTENANCE_SECONDS": 1}).start()
            wait_until(lambda: "vacuum_held_back" in playground.bridge.log, what="the bridge telling")
            assert any("vacuum_held_back" in line and "night report" in line for line in playground.bridge.log.splitlines())
            assert f"vacuum is held back by session {pid}" in stack.log("postgres")
        finally:
            playground.query("UPDATE mqtt.configuration SET vacuum_alarm_after = DEFAULT")


def test_fault_31_prepared_transactions_and_slots_are_named(tmp_path: Path) -> None:
    conf = tmp_path / "server.conf"
    conf.write_text("max_prepared_transactions = 2\nwal_level = logical\n")
    stack = start_stack(without=("mosquitto", "gateway", "bridge"), TOPICBASE_PG_CONF=str(conf), TOPICBASE_TEMPLATE=TEMPLATE)
    try:
        api, service = Api(stack.api_url), stack.token("service_role")
        with api.session, stack.connect() as db, stack.connect(autocommit=False) as session:
            # First, since it would wait for the end of the other.
            db.execute("SELECT pg_create_logical_replication_slot('left_behind', 'pgoutput')")
            session.execute("SELECT pg_current_xact_id()")
            session.execute("PREPARE TRANSACTION 'half done'")
            found = {row["kind"]: row for row in api.ok("get_vacuum_holders", {"older_than": "0"}, token=service)}
            assert found["prepared transaction"]["name"].endswith("half done")
            assert (found["prepared transaction"]["state"], found["prepared transaction"]["pid"]) == ("prepared", None)
            assert (found["replication slot"]["name"], found["replication slot"]["state"]) == ("left_behind", "inactive")
            assert found["replication slot"]["held_seconds"] is None
            assert api.ok("get_vacuum_holders", token=service) == [], "not for long yet"
            db.execute("UPDATE mqtt.configuration SET vacuum_alarm_after = '1 microsecond'")
            told = db.execute("SELECT mqtt.check_health() -> 'vacuum_held_by'").fetchone()
            assert told is not None
            assert (told[0]["kind"], told[0]["name"]) == ("prepared transaction", found["prepared transaction"]["name"])
            assert "vacuum is held back by prepared transaction" in stack.log("postgres"), "although it has no pid"
            db.execute("ROLLBACK PREPARED 'half done'")
            db.execute("SELECT pg_drop_replication_slot('left_behind')")
            # PostgreSQL's own workers hold it back for a moment, too.
            wait_until(lambda: api.ok("get_vacuum_holders", {"older_than": "0"}, token=service) == [], what="nobody holding it back")
    finally:
        stack.down()


def test_fault_39_retention_waits_for_a_long_reader_and_the_other_maintenance_does_not(stack: Stack) -> None:
    day = datetime.now(UTC).date() - timedelta(days=400)  # the same also when another begins
    with stack.connect() as db, stack.connect(autocommit=False) as reader:
        db.execute("SELECT mqtt.create_partition('mqtt.history', %s)", (day,))
        reader.execute("LOCK TABLE mqtt.history IN ACCESS SHARE MODE")
        done = db.execute("SELECT mqtt.run_maintenance()").fetchone()
        assert done is not None
        assert "lock" in done[0]["postponed"]
        assert {"queued", "ledger_differences", "ledger_rows_rolled_up"} <= done[0].keys()
        reader.rollback()
        done = db.execute("SELECT mqtt.run_maintenance()").fetchone()
        assert done is not None
        assert "postponed" not in done[0]
        gone = db.execute("SELECT to_regclass('mqtt.history_' || to_char(%s, 'YYYYMMDD'))", (day,))
        assert gone.fetchone() == (None,)


HINDER = """
CREATE OR REPLACE FUNCTION public.hinder() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.raw_since > OLD.raw_since THEN
        RAISE EXCEPTION 'no retention';
    END IF;
    PERFORM pg_sleep(3600) FROM mqtt.organizations AS o
    WHERE o.id = NEW.organization_id AND o.name = 'hangs' AND NEW.rolled_until > OLD.rolled_until;
    RETURN NEW;
END;
$$;
CREATE OR REPLACE TRIGGER hinder BEFORE UPDATE ON mqtt.rollup_progress FOR EACH ROW EXECUTE FUNCTION public.hinder();
"""


def test_steps_that_fail_or_hang_keep_no_other_from_being_done(world: Callable[..., World]) -> None:
    """Retention that fails as a whole, and rollups of one organization that never end: the bridge does all else, and names both."""
    constants = {"MAINTENANCE_SECONDS": 1.0, "STATEMENT_TIMEOUT": 1.0, "REST_SECONDS": 1.0}
    playground = world(bridges=0, constants={f"bridge.work.maintenance.{name}": value for name, value in constants.items()})
    playground.hostile = other = make_tenant(playground.stack, playground.api)
    own, hanging = playground.tenant.organization_id, other.organization_id
    playground.query("UPDATE mqtt.organizations SET name = 'hangs' WHERE id = %s", hanging)
    playground.query(
        "INSERT INTO mqtt.rollup_progress (organization_id, closed_until, rolled_until, rolling_until)"
        " SELECT o, x.hour, x.hour - interval '2 hours', x.hour - interval '2 hours'"
        " FROM unnest(%s::uuid[]) AS o, date_trunc('hour', now() - interval '1 hour') AS x (hour)"
        " ON CONFLICT (organization_id) DO UPDATE SET rolled_until = excluded.rolled_until, rolling_until = excluded.rolled_until",
        [own, hanging],
    )
    playground.query("UPDATE mqtt.rollup_progress SET raw_since = '-infinity'")
    playground.query(HINDER)

    def is_told(*words: str) -> bool:
        return any(all(word in line for word in words) for line in playground.bridge.log.splitlines())

    is_rolled_up = "SELECT rolled_until = closed_until FROM mqtt.rollup_progress WHERE organization_id = %s"
    try:
        playground.start()
        wait_until(lambda: playground.query(is_rolled_up, own) == [(True,)], what="the neighbour's rollups")
        wait_until(lambda: is_told("retention_failed", "no retention"), what="the bridge telling of retention")
        wait_until(lambda: is_told("rollups_failed", hanging), what="the bridge telling of the one that hangs")
        # What follows these failures.
        playground.query("UPDATE mqtt.mqtt_credentials SET expires_at = now() WHERE organization_id = %s", own)
        logged = (
            "SELECT count(*) > 0 FROM mqtt.integration_activity_log WHERE activity_type = 'credential_expired' AND organization_id = %s"
        )
        wait_until(lambda: playground.query(logged, own) == [(True,)], what="the other periodic steps")
        assert playground.query(is_rolled_up, hanging) == [(False,)]
        assert "database_lost" not in playground.bridge.log
    finally:
        playground.query("DROP TRIGGER hinder ON mqtt.rollup_progress")
    playground.query("UPDATE mqtt.maintenance_failures SET retry_at = now()")
    wait_until(lambda: playground.query(is_rolled_up, hanging) == [(True,)], what="its rollups, once they can be made")
    raw_since = "SELECT raw_since > '-infinity' FROM mqtt.rollup_progress WHERE organization_id = %s"
    wait_until(lambda: playground.query(raw_since, own) == [(True,)], what="retention, once it succeeds")
    failing = "SELECT count(*) FROM mqtt.maintenance_failures WHERE step = 'rollups'"
    wait_until(lambda: playground.query(failing) == [(0,)], what="no failure any longer")


def test_fault_39_rows_of_a_packed_day_wait_for_a_long_reader_and_no_message_waits_for_them(
    world: Callable[..., World], stack: Stack
) -> None:
    """As many tries as it takes, each in a transaction that does nothing else."""
    playground = world(bridges=0)
    is_over = threading.Event()

    def pack() -> list[dict[str, Any]]:
        done: list[dict[str, Any]] = []
        with stack.connect() as db:
            while not is_over.is_set():
                row = db.execute("SELECT bridge.pack_days()").fetchone()
                assert row is not None
                done.append(row[0])
        return done

    day = f"date '{datetime.now(UTC).date() - timedelta(days=300)}'"
    suffix = f"to_char({day}, 'YYYYMMDD')"
    playground.query(f"SELECT mqtt.create_partition('mqtt.history', {day})")
    playground.query(
        "INSERT INTO mqtt.packed_days (day, state, packed_by, packed_at)"
        f" VALUES ({day}, 'packed', pg_current_xact_id(), now()) RETURNING day"
    )
    partition = f"SELECT to_regclass('mqtt.history_' || {suffix}) IS NOT NULL"
    try:
        with stack.connect(autocommit=False) as reader, ThreadPoolExecutor() as pool:
            reader.execute("LOCK TABLE mqtt.history IN ACCESS SHARE MODE")
            packing = pool.submit(pack)
            try:
                for number in range(20):
                    # It would fail with the time limit of PostgREST's sessions if the dropping did not let it pass.
                    assert playground.device.send(number, playground.device.topic()).status_code == 202
                    playground.query("SELECT mqtt.process_batch()")
                assert playground.query(partition) == [(True,)]
                reader.rollback()
                wait_until(lambda: packing.done() or playground.query(partition) == [(False,)], what="the rows being dropped")
            finally:
                is_over.set()
            steps = [step for step in packing.result() if "rows_dropped_of" in step]
        assert [step["messages_packed"] for step in steps] == [0]
    finally:
        playground.query(f"DELETE FROM mqtt.packed_days WHERE day = {day} RETURNING day")


def drop_partitions(stack: Stack, tables: tuple[str, ...]) -> None:
    """As they are when nobody made new ones for longer than they were made ahead."""
    with stack.connect() as db:
        for table in tables:
            for (partition,) in db.execute("SELECT partition::text FROM mqtt.partition_ranges(%s)", (table,)).fetchall():
                db.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(*partition.split("."))))


def test_fault_39_partitions_are_made_while_messages_arrive_and_a_reader_stays(world: Callable[..., World], stack: Stack) -> None:
    """Today's is missing and the default partition fills, beside a session that reads the table for long, then without it."""
    playground = world(bridges=0)
    drop_partitions(stack, ("mqtt.history", "mqtt.integration_activity_log"))
    sent, is_over = [0], threading.Event()

    def send() -> None:
        messages = [{"topic": playground.device.topic(f"d{n % 10}"), "payload": {"fill": "x" * 400, "n": n}} for n in range(500)]
        assert playground.device.send_batch(messages).status_code == 202
        playground.query("SELECT mqtt.process_batch()")
        sent[0] += len(messages)

    def send_on() -> None:
        while not is_over.is_set():
            send()

    def value(query: LiteralString) -> Any:
        (row,) = playground.query(query)
        return row[0]

    def prepare() -> dict[str, Any]:
        made: dict[str, Any] = value("SELECT to_jsonb(p) FROM mqtt.prepare_partitions() AS p")
        return made

    def has_today(table: str) -> bool:
        query = "SELECT count(*) FROM mqtt.partition_ranges(%s) AS r WHERE now() >= r.first_at AND now() < r.end_at"
        return bool(playground.query(query, table)[0][0])

    with stack.connect(autocommit=False) as reader, ThreadPoolExecutor() as pool:
        while value("SELECT pg_relation_size('mqtt.history_default')") <= 1024 * 1024:
            send()
        reader.execute("SELECT count(*) FROM mqtt.history")
        done = prepare()
        assert "lock" in done["postponed"]
        assert has_today("mqtt.integration_activity_log"), "what one table meets costs no other its partitions"
        send()
        reader.rollback()
        load = pool.submit(send_on)
        try:
            wait_until(lambda: prepare() and has_today("mqtt.history"), what="today's partition")
            before = sent[0]
            wait_until(lambda: sent[0] > before or load.done(), what="more messages")
        finally:
            is_over.set()
        load.result()
    assert value("SELECT count(*) FROM mqtt.history_default") == 0, "neither what came before nor what came then"
    own = "SELECT count(*) FROM mqtt.mqtt_messages WHERE organization_id = %s"
    assert playground.query(own, playground.tenant.organization_id) == [(sent[0],)]
    assert playground.query("SELECT * FROM mqtt.check_ledger()") == []
    wait_until(lambda: prepare() == {"made": 0, "postponed": None}, what="the days ahead")


def test_fault_31_while_vacuum_is_held_back_rows_are_not_updated_with_each_batch(world: Callable[..., World], stack: Stack) -> None:
    playground = world(bridges=0)
    sent = 0
    with stack.connect() as worker, stack.connect(autocommit=False) as report:

        def value(query: LiteralString, *parameters: object) -> object:
            row = worker.execute(query, parameters).fetchone()
            assert row is not None
            return row[0]

        def work() -> None:
            while value("SELECT (mqtt.process_batch() ->> 'more')::boolean"):
                pass

        def send_and_work() -> None:
            """One message over HTTP from each of 50 devices, and a batch."""
            nonlocal sent
            sent += 1
            messages = [{"topic": playground.device.topic(f"d{n}"), "payload": {"n": sent}} for n in range(50)]
            assert playground.device.send_batch(messages).status_code == 202
            work()

        def is_deferred() -> object:
            send_and_work()
            return value("SELECT current_setting('topicbase.is_update_deferred')::boolean")

        def newest() -> list[object]:
            work()
            devices = playground.api.rows("devices", token=playground.tenant.member, external_id="in.(d0,d49)")
            return [device["last_data"] for device in devices]

        def uses() -> object:
            return value("SELECT connection_count FROM mqtt.mqtt_credentials WHERE username = %s", playground.device.username)

        report.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        report.execute("SELECT count(*) FROM mqtt.devices")
        wait_until(is_deferred, what="updates being deferred")
        versions, began = set(), time.monotonic()
        for _ in range(20):
            send_and_work()
            versions.add(value("SELECT xmin::text FROM mqtt.devices WHERE external_id = 'd0'"))
        assert len(versions) <= 2 + (time.monotonic() - began) / 5
        wait_until(lambda: newest() == [{"n": sent}] * 2, what="the devices showing the newest data")
        assert uses() == 50 * sent
        report.rollback()
        wait_until(lambda: not is_deferred(), what="vacuum being let go")
        assert newest() == [{"n": sent}] * 2, "at once again"
