"""A new key pair: what was sealed to the old one is opened meanwhile, sealed anew, and the old key is needed no more."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nacl.public
import pytest

from bridge import sealing
from tests.support.api import Api
from tests.support.stack import ROOT, Stack, start_stack
from tests.support.tenant import make_tenant


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    running = start_stack(without=("bridge", "mosquitto", "gateway"))
    yield running
    running.down()


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[Api]:
    client = Api(stack.api_url)
    with client.session:
        yield client


def topicbase(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    secrets = dict(line.split("=", 1) for line in (stack.run_dir / "secrets").read_text().splitlines())
    with stack.connect() as db:
        database = {"PGHOST": db.info.host, "PGPORT": str(db.info.port), "PGDATABASE": db.info.dbname}
    login = {"PGUSER": "mqtt_bridge", "PGPASSWORD": secrets["MQTT_BRIDGE_PASSWORD"]}
    command = [sys.executable, "-m", "bridge", *arguments]
    environment = {**os.environ, **database, **login}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def boxes(db: Any) -> list[str]:
    return [row[0] for row in db.execute("SELECT sealed FROM bridge.sealed_secrets() ORDER BY 1")]


def test_secrets_are_sealed_to_the_new_key_and_once_only(stack: Stack, api: Api, tmp_path: Path) -> None:
    path, fourth = tmp_path / "private.key", tmp_path / "other.key"
    tell = "UPDATE mqtt.configuration SET sealing_public_key = decode(%s, 'base64')"
    with stack.connect() as db:
        db.execute(tell, (topicbase(stack, "keygen", str(path)).stdout.strip(),))
        tenant = make_tenant(stack, api)
        for n in range(3):
            tenant.integration("mqtt_external", broker_url="broker.example.com", username="u", password=f"secret-{n}")
        callback = {"integration_id": tenant.integration_id, "topic": f"org_{tenant.slug}/x", "callback_url": "https://app.example.com/in"}
        secret = api.ok("mqtt_subscribe", callback, token=tenant.admin)["callback_secret"]
        first = boxes(db)
        plain = {"secret-0", "secret-1", "secret-2", secret}
        rotated = topicbase(stack, "keygen", "--rotate", str(path))
        assert rotated.returncode == 0, rotated.stderr
        db.execute(tell, (rotated.stdout.strip(),))
        keys = sealing.read_key_file(path)
        assert {sealing.unseal(keys, {"sealed": box}) for box in first} == plain
        # One that no key of the file opens is named and left, and keeps no other from being sealed anew.
        lost = tenant.integration("mqtt_external", broker_url="broker.example.com")
        topicbase(stack, "keygen", str(fourth))
        foreign = sealing.read_key_file(fourth)[0].public_key
        box = base64.b64encode(nacl.public.SealedBox(foreign).encrypt(b"lost")).decode()
        value = "jsonb_build_object('password', jsonb_build_object('sealed', %s::text))"
        db.execute(f"UPDATE mqtt.device_integrations SET settings = settings || {value} WHERE id = %s", (box, lost))
        result = topicbase(stack, "reseal", str(path))
        assert (result.returncode, result.stdout) == (1, "4 sealed anew, 1 left\n"), result.stderr
        assert lost in result.stderr
        api.ok("delete_integration", {"integration_id": lost}, token=tenant.admin)
        again = topicbase(stack, "reseal", str(path))
        assert (again.returncode, again.stdout) == (0, "0 sealed anew, 0 left\n"), again.stderr
        assert not set(boxes(db)) & set(first)
        assert {sealing.unseal(keys[:1], {"sealed": each}) for each in boxes(db)} == plain
        log = str(db.execute("SELECT array_agg(a::text) FROM mqtt.integration_activity_log AS a").fetchone())
        assert not [word for word in plain if word in log + result.stdout + result.stderr + rotated.stdout + rotated.stderr]


def test_a_box_that_was_changed_meanwhile_is_left_alone(stack: Stack, api: Api) -> None:
    with stack.connect() as db:
        row = db.execute("SELECT kind, owner_id FROM bridge.sealed_secrets() WHERE kind = 'password' LIMIT 1").fetchone()
        assert row is not None
        before = boxes(db)
        for kind in (row[0], "callback_secret", "username"):
            assert db.execute("SELECT bridge.replace_sealed_secret(%s, %s, 'other', %s)", (kind, row[1], "QUJD" * 30)).fetchone() == (
                False,
            )
        assert boxes(db) == before
