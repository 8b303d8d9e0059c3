"""topicbase doctor: each fault is made for real, found, named, and said how to fix."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge import sealing
from bridge.cli.doctor import _functions, _maintenance
from tests.bridge.pgbouncer import pgbouncer
from tests.bridge.support import status as status_of
from tests.cli.conftest import Cli, bridge_environment, run
from tests.support.api import Api
from tests.support.stack import ROOT, TEMPLATE, Stack, start_stack
from tests.support.tenant import make_tenant
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose database is broken on purpose."""
    conf = tmp_path_factory.mktemp("conf") / "more.conf"
    conf.write_text("max_prepared_transactions = 2\n")
    running = start_stack(TOPICBASE_PG_CONF=str(conf), TOPICBASE_TEMPLATE=TEMPLATE, without=("gateway",))
    yield running
    running.down()


@pytest.fixture
def doctor(own: Stack) -> Callable[..., dict[str, dict[str, Any]]]:
    """The findings that are not ok, by check."""
    base = bridge_environment(own)

    def examine(**changes: str | None) -> dict[str, dict[str, Any]]:
        environment = {key: value for key, value in {**base, **changes}.items() if value is not None}
        ended = run("doctor", "--json", environment=environment)
        assert ended.stdout, ended.stderr
        found = {one["check"]: one for one in json.loads(ended.stdout) if one["state"] != "ok"}
        assert all(one["fix"] for one in found.values())
        assert ended.returncode == any(one["state"] == "fault" for one in found.values())
        return found

    return examine


Doctor = Callable[..., dict[str, dict[str, Any]]]


def undone(own: Stack, statement: str) -> None:
    with own.connect() as db:
        db.execute(statement)


def test_a_healthy_installation(cli: Cli) -> None:
    ended = cli("doctor")
    assert ended.returncode == 0, ended.stdout
    lines = ended.stdout.splitlines()
    checks = {line.split(":")[0].split(None, 1)[1] for line in lines if line.startswith("ok")}
    assert checks >= {
        "settings",
        "database",
        "pooler",
        "clock",
        "schema",
        "migrations",
        "role",
        "pgmq",
        "partitions",
        "keys",
        "bridge",
        "broker",
        "ingest",
    }
    assert not [line for line in lines if line.startswith("fault")]
    assert "\x1b[" not in ended.stdout


def test_a_setting_that_is_wrong(doctor: Doctor) -> None:
    found = doctor(TOPICBASE_LOG_LEVEL="LOUD")
    assert "TOPICBASE_LOG_LEVEL=LOUD" in found["settings"]["words"]


def test_a_database_that_is_not_there(doctor: Doctor) -> None:
    found = doctor(PGHOST="127.0.0.1,127.0.0.2", PGPORT="1")
    assert found["database"]["state"] == "fault"
    assert {"127.0.0.1", "127.0.0.2"} <= set(re.findall(r"127[.0-9]+", found["database"]["words"])), "libpq's message, whole"
    assert "PGHOST" in found["database"]["fix"]


def test_a_pooler_in_the_way(own: Stack, doctor: Doctor, tmp_path: Path) -> None:
    environment = bridge_environment(own)
    pgpass = tmp_path / "pgpass"
    pgpass.write_text(Path(environment["PGPASSFILE"]).read_text().replace(f":{environment['PGPORT']}:", ":*:"))
    pgpass.chmod(0o600)
    with pgbouncer(own, tmp_path) as port:
        found = doctor(PGHOST="127.0.0.1", PGPORT=str(port), PGPASSFILE=str(pgpass))
    assert found["pooler"]["state"] == "fault"
    assert "PGHOST and PGPORT" in found["pooler"]["fix"]


def test_a_role_that_may_too_much_or_too_little(own: Stack, doctor: Doctor) -> None:
    with own.connect() as db:
        db.execute(
            "GRANT SELECT ON mqtt.mqtt_messages TO mqtt_bridge; GRANT USAGE ON SCHEMA mqtt TO mqtt_bridge; ALTER ROLE mqtt_bridge CREATEDB"
        )
        db.execute("GRANT service_role TO mqtt_bridge")
        try:
            words = doctor()["role"]["words"]
            assert "has CREATEDB" in words
            assert "is a member of service_role" in words
            assert "may use table" in words
        finally:
            db.execute("REVOKE service_role FROM mqtt_bridge; REVOKE SELECT ON mqtt.mqtt_messages FROM mqtt_bridge")
            db.execute("REVOKE USAGE ON SCHEMA mqtt FROM mqtt_bridge; ALTER ROLE mqtt_bridge NOCREATEDB")
        db.execute("REVOKE EXECUTE ON FUNCTION bridge.wake(text) FROM mqtt_bridge")
        try:
            assert "bridge.wake(text)" in doctor()["role"]["words"]
        finally:
            db.execute("GRANT EXECUTE ON FUNCTION bridge.wake(text) TO mqtt_bridge")
    assert "role" not in doctor()


@pytest.mark.parametrize(
    "statement", ["USAGE ON SCHEMA bridge", "EXECUTE ON ALL FUNCTIONS IN SCHEMA bridge", "EXECUTE ON FUNCTION bridge.wake(text)"]
)
def test_rights_that_were_revoked(own: Stack, doctor: Doctor, statement: str) -> None:
    undone(own, f"REVOKE {statement} FROM mqtt_bridge")
    found = doctor()["role"]
    assert found["state"] == "fault"
    undone(own, found["fix"].removeprefix("as a superuser: "))
    assert "role" not in doctor()


def test_a_database_without_the_schema(doctor: Doctor) -> None:
    assert "sqitch deploy" in doctor(PGDATABASE="postgres")["schema"]["fix"]


@pytest.mark.parametrize(
    ("facts", "words"), [('{"schema_version": 0}', "version 0 of schema bridge"), ('{"schema_version": 1}', "is older")]
)
def test_the_schema_of_another_release(own: Stack, doctor: Doctor, facts: str, words: str) -> None:
    with own.connect() as db:
        row = db.execute("SELECT pg_get_functiondef('bridge.diagnose()'::regprocedure)").fetchone()
    assert row is not None
    undone(own, f"CREATE OR REPLACE FUNCTION bridge.diagnose() RETURNS jsonb LANGUAGE sql AS $$SELECT '{facts}'::jsonb$$")
    try:
        found = doctor()["schema"]
        assert (found["state"], words in found["words"]) == ("fault", True), found
    finally:
        undone(own, row[0])
    assert "schema" not in doctor()


def test_changes_that_are_not_deployed(own: Stack, doctor: Doctor) -> None:
    aside = "CREATE TABLE aside AS SELECT * FROM sqitch.changes WHERE change IN ('bridge/status', 'bridge/reseal')"
    undone(own, f"{aside}; SET session_replication_role = replica; DELETE FROM sqitch.changes WHERE change IN (SELECT change FROM aside)")
    try:
        found = doctor()["migrations"]
        assert found["state"] == "fault"
        assert re.search(r"^2 of this release's \d+ changes are not deployed: bridge/reseal, bridge/status$", found["words"])
        assert "sqitch deploy" in found["fix"]
    finally:
        undone(own, "SET session_replication_role = replica; INSERT INTO sqitch.changes SELECT * FROM aside; DROP TABLE aside")
    undone(own, "UPDATE sqitch.changes SET change = 'of_a_later_release' WHERE change = 'bridge/status'")
    try:
        assert "bridge/status" in doctor()["migrations"]["words"]
    finally:
        undone(own, "UPDATE sqitch.changes SET change = 'bridge/status' WHERE change = 'of_a_later_release'")
    undone(own, "REVOKE USAGE ON SCHEMA sqitch FROM mqtt_owner")
    try:
        assert doctor()["migrations"]["state"] == "note"
    finally:
        undone(own, "GRANT USAGE ON SCHEMA sqitch TO mqtt_owner")
    assert "migrations" not in doctor()


def test_a_change_that_is_deployed_as_an_earlier_release_had_it(own: Stack, doctor: Doctor) -> None:
    name = min(str(path.relative_to(ROOT / "deploy")) for path in (ROOT / "deploy").glob("*/*@*.sql")).split("@")[0]
    newest = f"SELECT * FROM sqitch.changes WHERE change = '{name}' ORDER BY committed_at DESC LIMIT 1"
    aside = f"CREATE TABLE aside AS {newest}; SET session_replication_role = replica"
    undone(own, f"{aside}; DELETE FROM sqitch.changes AS c USING aside AS a WHERE c.change_id = a.change_id")
    try:
        found = doctor()["migrations"]
        assert (found["state"], found["words"].endswith(f"are not deployed: {name}")) == ("fault", True), found
        assert "sqitch deploy --verify" in found["fix"]
    finally:
        undone(own, "SET session_replication_role = replica; INSERT INTO sqitch.changes SELECT * FROM aside; DROP TABLE aside")
    assert "migrations" not in doctor()


def test_functions_of_a_release_that_is_not_deployed_yet() -> None:
    found = _functions({"functions": [{"name": "api.gone", "signature": "api.gone()", "body": None}], "changes": {}})
    assert (found.state, str(found.fix).startswith("sqitch deploy --verify")) == ("fault", True)


def test_a_script_that_was_edited_after_its_deploy(own: Stack, doctor: Doctor) -> None:
    undone(own, "UPDATE sqitch.changes SET script_hash = reverse(script_hash) WHERE change IN ('bridge/status', 'api/views')")
    try:
        found = doctor()["migrations"]
        assert (found["state"], found["words"].endswith(": bridge/status, api/views")) == ("fault", True), found
        said = own.run("up", "--without", "gateway").stderr
        assert "this database has other versions of 2 scripts, and keeps them: bridge/status, api/views" in said
    finally:
        undone(own, "UPDATE sqitch.changes SET script_hash = reverse(script_hash) WHERE change IN ('bridge/status', 'api/views')")
    assert "migrations" not in doctor()
    assert "other versions" not in own.run("up", "--without", "gateway").stderr


def test_functions_that_are_not_those_of_the_release(own: Stack, doctor: Doctor) -> None:
    with own.connect() as db:
        row = db.execute("SELECT pg_get_functiondef('mqtt.host_reason(text, boolean)'::regprocedure)").fetchone()
    assert row is not None
    undone(own, row[0].replace("'has no host'", "NULL"))
    undone(own, "CREATE FUNCTION api.left_over() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
    undone(own, "ALTER FUNCTION mqtt.callback_url_reason(text, boolean) RENAME TO gone")
    try:
        found = doctor()["functions"]
        assert found["state"] == "fault"
        words = {
            "mqtt.host_reason(text,boolean) of base/outward_addresses differs",
            "api.left_over() is not of this release",
            "mqtt.gone(text,boolean) is not of this release",
            "mqtt.callback_url_reason of base/outward_addresses is missing",
        }
        assert set(found["words"].split(" and 1 more")[0].split(", ")) < words
        said = own.run("up", "--without", "gateway").stderr
        assert set(said.partition("has 4 functions that are not as in this checkout: ")[2].splitlines()[0].split(", ")) == words
        assert "`bin/apply NAME` runs the script" in said
    finally:
        undone(own, "ALTER FUNCTION mqtt.gone(text, boolean) RENAME TO callback_url_reason; DROP FUNCTION api.left_over()")
        undone(own, row[0])
    assert "functions" not in doctor()
    assert "not as in" not in own.run("up", "--without", "gateway").stderr


def test_pg_cron_that_may_not_be_seen(own: Stack, doctor: Doctor) -> None:
    undone(own, "CREATE SCHEMA cron CREATE TABLE job (active boolean, command text)")
    try:
        assert "schema" not in doctor(), "the diagnosis goes on"
    finally:
        undone(own, "DROP SCHEMA cron CASCADE")
    assert "migrations" not in doctor()


@pytest.mark.parametrize(
    ("live", "jobs", "waiting", "state"),
    [
        (1, 0, 4000.0, "ok"),  # what waits waits for something else
        (0, 0, None, "fault"),
        (0, 2, None, "ok"),
        (0, 2, 59.0, "ok"),
        (0, 2, 4000.0, "fault"),
        (0, None, None, "note"),
        (0, None, 4000.0, "fault"),
    ],
)
def test_who_does_the_work(live: int, jobs: int | None, waiting: float | None, state: str) -> None:
    assert _maintenance({"live_bridges": live, "maintenance_jobs": jobs, "waiting_seconds": waiting}).state == state


def test_partitions_that_are_missing(own: Stack, doctor: Doctor) -> None:
    with own.connect() as db:
        names = [
            row[0]
            for row in db.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'mqtt.mqtt_dead_letters'::regclass")
        ]
        later = [name for name in sorted(names) if re.search(r"_\d{8}$", name)][1:]
        own.stop("bridge")  # or its maintenance makes them again
        try:
            for name in later:
                db.execute(f"DROP TABLE {name}")
            found = doctor()
            assert "mqtt_dead_letters" in found["partitions"]["words"]
            assert found["partitions"]["state"] == "fault"
            assert "no bridge is running" in found["maintenance"]["words"]
            assert "none answers" in found["bridge"]["words"]
            assert "systemctl" in found["bridge"]["fix"]
            said = own.run("topicbase", "doctor", check=False).stdout
            assert (said.count("-> bin/stack start bridge"), "systemctl" in said) == (2, False), said
            db.execute("SELECT mqtt.run_maintenance()")
            assert "partitions" not in doctor()
        finally:
            own.start("bridge")


def test_keys_that_do_not_fit(own: Stack, doctor: Doctor, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    public = sealing.make_key_file(other)
    right = bridge_environment(own)["TOPICBASE_PRIVATE_KEY_FILE"]
    found = doctor(TOPICBASE_PRIVATE_KEY_FILE=str(other))
    assert found["keys"]["state"] == "fault"
    assert public in found["keys"]["fix"]
    assert doctor(TOPICBASE_PRIVATE_KEY_FILE=str(other), TOPICBASE_OLD_PRIVATE_KEY_FILES=right)["keys"]["state"] == "note"
    assert doctor(TOPICBASE_PRIVATE_KEY_FILE=None)["keys"]["state"] == "fault"
    missing = doctor(TOPICBASE_PRIVATE_KEY_FILE=str(tmp_path / "none"))["keys"]
    assert "topicbase keygen" in missing["words"]
    assert "keys" not in doctor()


def test_what_holds_vacuum_back(own: Stack, doctor: Doctor) -> None:
    with own.connect() as db:
        db.execute("UPDATE mqtt.configuration SET vacuum_alarm_after = '1 ms'")
    with own.connect(autocommit=False) as db:
        db.execute("CREATE TABLE held (x int)")
        db.execute("PREPARE TRANSACTION 'forgotten'")
    try:
        found = doctor()["vacuum"]
        assert "prepared transaction" in found["words"]
        assert "forgotten" in found["words"]
        assert "ROLLBACK PREPARED" in found["fix"]
        undone(own, "REVOKE pg_read_all_stats FROM mqtt_owner; UPDATE mqtt.configuration SET vacuum_alarm_after = '5 minutes'")
        assert "pg_read_all_stats" in doctor()["vacuum"]["fix"]
    finally:
        undone(own, "ROLLBACK PREPARED 'forgotten'")
        undone(own, "GRANT pg_read_all_stats TO mqtt_owner; UPDATE mqtt.configuration SET vacuum_alarm_after = '5 minutes'")
    assert "vacuum" not in doctor()


def test_an_integration_in_error(own: Stack, doctor: Doctor) -> None:
    assert "integrations" not in doctor()
    owner = make_tenant(own, Api(own.api_url))
    broken = owner.integration(name="[red]plant[/]", broker_url="127.0.0.1", port=1)
    wait_until(lambda: status_of(own, broken)[0] == "error", what="the bridge has tried")
    found = doctor()["integrations"]
    assert (found["state"], found["words"].startswith(f"1 in error: {owner.slug}/[red]plant[/] (")) == ("note", True), found
    assert "refused" in found["words"]
    owner.api.ok("delete_integration", {"integration_id": broken}, token=owner.admin)
    assert "integrations" not in doctor()


def test_ingest_that_is_stopped(own: Stack, doctor: Doctor) -> None:
    own.stop("bridge")  # or its maintenance opens it again
    undone(own, "UPDATE mqtt.configuration SET ingest_pause = 'The disk is full.', publish_pause = 'Too many.'")
    try:
        found = doctor()
        assert (found["ingest"]["words"], found["publish"]["words"]) == ("The disk is full.", "Too many.")
        assert "lower mqtt.configuration.min_free_bytes" in found["ingest"]["fix"]
        assert "raise mqtt.configuration.max_queued" in found["publish"]["fix"]
    finally:
        undone(own, "UPDATE mqtt.configuration SET ingest_pause = NULL, publish_pause = NULL")
        own.start("bridge")


def test_rollups_that_fail_or_are_behind(own: Stack, doctor: Doctor) -> None:
    own.stop("bridge")  # or it rolls up
    undone(
        own,
        "INSERT INTO mqtt.rollup_progress (organization_id, closed_until, rolled_until, rolling_until)"
        " SELECT o.id, now(), now() - interval '4 hours', now() FROM mqtt.organizations AS o LIMIT 1"
        " ON CONFLICT (organization_id) DO UPDATE SET closed_until = excluded.closed_until, rolled_until = excluded.rolled_until",
    )
    try:
        found = doctor()["rollups"]
        assert (found["state"], found["words"]) == ("note", "up to 4.0 h behind")
        undone(own, "SELECT mqtt.note_failure('rollups', 'organization x', 'XX000', 'no numbers')")
        found = doctor()["maintenance steps"]
        assert (found["state"], found["words"]) == ("fault", "these fail: rollups of organization x (1 in a row): no numbers")
    finally:
        undone(own, "UPDATE mqtt.rollup_progress SET rolled_until = closed_until")
        undone(own, "DELETE FROM mqtt.maintenance_failures")
        own.start("bridge")
    assert "maintenance steps" not in doctor()


def test_a_broker_that_is_not_reached_or_refuses(own: Stack, doctor: Doctor, tmp_path: Path) -> None:
    found = doctor(TOPICBASE_HOSTED_BROKER_URL="mqtt://127.0.0.1:1")["broker"]
    assert "stage tcp" in found["words"]
    found = doctor(TOPICBASE_HOSTED_BROKER_URL="mqtt://no-such-host.invalid:1883")["broker"]
    assert "stage dns" in found["words"]
    found = doctor(TOPICBASE_HOSTED_BROKER_URL=f"mqtts://127.0.0.1:{own.mqtt_port}")["broker"]
    assert "stage tls" in found["words"]
    wrong = tmp_path / "password"
    wrong.write_text("not-the-password")
    found = doctor(TOPICBASE_HOSTED_BROKER_PASSWORD_FILE=str(wrong))["broker"]
    assert "stage connack" in found["words"]
    assert "not-the-password" not in json.dumps(found)


def test_a_bridge_that_is_not_ready(own: Stack, doctor: Doctor) -> None:
    assert "bridge" not in doctor()
    own.stop("postgres")
    try:
        wait_until(lambda: "no database connection" in doctor()["bridge"]["words"], what="the bridge notices")
    finally:
        own.start("postgres")
    wait_until(lambda: "bridge" not in doctor(), what="the bridge is well again")
