"""A new key: everything is sealed to it, whatever happens in between, and no secret shows on the way."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from psycopg.types.json import Jsonb

from bridge import sealing
from tests.bridge.support import publish, receipts, status
from tests.cli.conftest import PROGRAM, bridge_environment, run
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

COUNT = 600


def key_of(environment: dict[str, str], directory: Path, name: str) -> tuple[str, str]:
    """A new key file that the bridge's user can read, made by the program; its path and public key."""
    path = directory / name
    made = run("keygen", str(path), environment=environment)
    assert made.returncode == 0, made.stderr
    owner = Path(environment["TOPICBASE_PRIVATE_KEY_FILE"]).stat()
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)
    return str(path), made.stdout.strip()


def boxes(stack: Stack) -> dict[str, int]:
    with stack.connect() as db:
        return dict(db.execute("SELECT coalesce(value ->> 'key', ''), count(*) FROM mqtt.sealed_values GROUP BY 1").fetchall())


def killed_at(own: Stack, place: int, environment: dict[str, str]) -> None:
    """Kill a reseal that waits for the row at a place in its order, which is that of the ids."""
    row = "SELECT FROM mqtt.device_integrations WHERE name LIKE 'many %%' ORDER BY id OFFSET %s LIMIT 1 FOR UPDATE"
    waiting = "SELECT pid FROM pg_stat_activity WHERE usename = 'mqtt_bridge' AND wait_event_type = 'Lock' AND query LIKE '%bridge.reseal%'"
    with own.connect() as db, own.connect(autocommit=False) as holder:
        holder.execute(row, (place,))
        with subprocess.Popen(
            [PROGRAM, "reseal", "--batch", "5"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            [(pid,)] = wait_until(lambda: db.execute(waiting).fetchall(), what="it comes to that row")
            process.send_signal(signal.SIGKILL)
        holder.rollback()
        gone = "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)"
        wait_until(lambda: db.execute(gone, (pid,)).fetchall(), what="the end of its session")


def install(stack: Stack, public: str) -> None:
    with stack.connect() as db:
        db.execute("UPDATE mqtt.configuration SET sealing_public_key = decode(%s, 'base64')", (public,))


def test_a_new_key_takes_over_while_all_goes_on(own: Stack, owner: Tenant) -> None:
    """Step by step as `reseal --help` says, killed in the middle, with a bridge that is connected by a sealed password all the time."""
    environment = bridge_environment(own)
    directory = Path(environment["TOPICBASE_PRIVATE_KEY_FILE"]).parent
    planted = f"planted-{os.urandom(12).hex()}"
    with own.connect() as db:
        # Many, and of addresses that would be refused today: new boxes must not fail on that.
        db.execute(
            "INSERT INTO mqtt.device_integrations (organization_id, name, integration_type, status, settings) "
            "SELECT %s, 'many ' || n, 'mqtt_external', 'inactive', jsonb_build_object('broker_url', '10.0.0.1', 'password', %s || n) "
            "FROM generate_series(1, %s) AS n",
            (owner.organization_id, planted, COUNT),
        )
    live = owner.integration(broker_url=own.mqtt_host, port=own.mqtt_port, username="topicbase_bridge", password=own.broker_password)
    wait_until(lambda: status(own, live)[0] == "active" and held(own, live), what="connected by a sealed password")
    (row,) = receipts(owner, publish(owner, [{"topic": "a", "payload": 1, "qos": 1}], live))
    assert row["state"] == "acknowledged"
    (old_id,) = boxes(own)

    old_path = environment["TOPICBASE_PRIVATE_KEY_FILE"]
    new_path, public = key_of(environment, directory, "new.key")
    both = {**environment, "TOPICBASE_PRIVATE_KEY_FILE": new_path, "TOPICBASE_OLD_PRIVATE_KEY_FILES": old_path}
    early = run("reseal", environment=both)
    assert early.returncode == 2
    assert public in early.stderr
    install(own, public)
    with own.connect() as db:
        db.execute("UPDATE mqtt.configuration SET allow_private_addresses = false")

    # Killed in the middle: what was done stays done, and the rest is found again.
    for place in (COUNT // 4, COUNT // 2):
        before = boxes(own)[old_id]
        killed_at(own, place, both)
        assert boxes(own)[old_id] < before
    left = boxes(own)
    assert left[old_id] > 0, left
    assert sum(left.values()) == COUNT + 1

    ended = run("reseal", "--json", environment=both)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert (result["resealed"], result["unopened"], result["left"]) == (left[old_id], [], {})
    assert set(boxes(own)) == {result["key"]}
    assert result["key"] != old_id
    again = run("reseal", environment=both)
    assert again.stdout.splitlines()[-1] == "no other key is in use"

    # The secrets are what they were, and the old key opens none of them.
    new, old = (sealing.Keyring(*sealing.read_key_file(Path(path))) for path in (new_path, old_path))
    with own.connect() as db:
        rows = db.execute("SELECT name, settings -> 'password' FROM mqtt.device_integrations WHERE name LIKE 'many %%'", ()).fetchall()
        db.execute("UPDATE mqtt.configuration SET allow_private_addresses = true")
    assert len(rows) == COUNT
    assert {sealing.unseal(new, value) for _, value in rows} == {f"{planted}{number}" for number in range(1, COUNT + 1)}
    with pytest.raises(ValueError, match="cannot be opened"):
        sealing.unseal(old, rows[0][1])

    # Nothing in clear: not in what was printed, logged or stored, nor in an argument.
    dump = own.run("exec", "pg_dump", "--inserts").stdout
    assert '"sealed"' in dump
    texts = [dump, early.stderr, ended.stdout, ended.stderr, again.stdout, *(own.log(part) for part in ("postgres", "bridge", "postgrest"))]
    assert [len(text) for text in texts if planted in text or own.broker_password in text] == []


def held(stack: Stack, integration_id: str) -> bool:
    with stack.connect() as db:
        return db.execute("SELECT 1 FROM mqtt.bridge_leases WHERE integration_id = %s", (integration_id,)).fetchone() is not None


def test_the_statement_that_keygen_prints(own: Stack, tmp_path: Path) -> None:
    """Word for word, alone or with the key that goes to the standard output, as psql takes it; the bridge then opens what is sealed."""
    path = tmp_path / "private.key"
    before = "SELECT translate(encode(sealing_public_key, 'base64'), E'\\n', '') FROM mqtt.configuration"
    with own.connect() as db:
        kept = db.execute(before).fetchone()
        for options, errors in ((), subprocess.PIPE), (("--rotate",), subprocess.PIPE), (("--rotate",), subprocess.STDOUT):
            made = subprocess.run([PROGRAM, "keygen", *options, path], stdout=subprocess.PIPE, stderr=errors, text=True, check=True)
            told = subprocess.run(
                ["psql", "--no-psqlrc", "--dbname", own.database_url],
                input=made.stderr or made.stdout, capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
            assert told.stdout == "UPDATE 1\n", told
            ring = sealing.Keyring(*sealing.read_key_file(path))
            assert db.execute(before).fetchone() == (ring.public_key,)
            sealed = db.execute("SELECT mqtt.sealed('x', 'of the device')").fetchone()
            assert sealed is not None
            assert (sealed[0]["key"], sealing.unseal(ring, sealed[0])) == (ring.current, "of the device")
        assert len(ring.ids) == 3
        assert kept is not None
        install(own, kept[0])


def test_a_secret_that_no_key_opens_is_named(own: Stack, owner: Tenant, tmp_path: Path) -> None:
    environment = bridge_environment(own)
    path, public = key_of(environment, Path(environment["TOPICBASE_PRIVATE_KEY_FILE"]).parent, "other.key")
    install(own, public)
    lost = owner.integration(broker_url="127.0.0.1", port=1, password="sealed-to-other")
    third = tmp_path / "third.key"
    install(own, sealing.make_key_file(third))
    ended = run("reseal", environment={**environment, "TOPICBASE_PRIVATE_KEY_FILE": str(third)})
    assert ended.returncode == 1
    assert f"device_integrations.settings.password of {lost}" in ended.stderr
    assert "still sealed to other keys" in ended.stderr
    assert "sealed-to-other" not in ended.stdout + ended.stderr
    ended = run("reseal", environment={**environment, "TOPICBASE_PRIVATE_KEY_FILE": str(third), "TOPICBASE_OLD_PRIVATE_KEY_FILES": path})
    assert lost not in ended.stderr


def test_a_change_of_its_owner_wins(own: Stack, owner: Tenant, tmp_path: Path) -> None:
    """Between the look and the write, an admin has changed the password: the new box must not bring the old one back."""
    first, second = tmp_path / "first.key", tmp_path / "second.key"
    install(own, sealing.make_key_file(first))
    changed = owner.integration(broker_url="127.0.0.1", port=1, password="before")
    install(own, sealing.make_key_file(second))
    keys = sealing.Keyring(*sealing.read_key_file(second), *sealing.read_key_file(first))
    with own.connect(user="mqtt_bridge", password=password_of(own)) as bridge:
        rows = bridge.execute(
            "SELECT place, id, value FROM bridge.sealed_otherwise('', '00000000-0000-0000-0000-000000000000', 10000)"
        ).fetchall()
        (place, _, value) = next(row for row in rows if str(row[1]) == changed)
        with own.connect() as db:
            db.execute('UPDATE mqtt.device_integrations SET settings = settings || \'{"password": "after"}\' WHERE id = %s', (changed,))
        new = Jsonb(keys.reseal(value))
        answer = bridge.execute(
            "SELECT bridge.reseal(%s, %s::uuid[], %s::jsonb[], %s::jsonb[])", ([place], [changed], [Jsonb(value)], [new])
        )
        assert answer.fetchone() == (0,)
    with own.connect() as db:
        row = db.execute("SELECT settings -> 'password' FROM mqtt.device_integrations WHERE id = %s", (changed,)).fetchone()
    assert row is not None
    assert sealing.unseal(keys, row[0]) == "after"


def password_of(stack: Stack) -> str:
    return dict(line.split("=", 1) for line in (stack.run_dir / "secrets").read_text().splitlines())["MQTT_BRIDGE_PASSWORD"]
