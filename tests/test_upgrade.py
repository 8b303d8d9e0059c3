"""A release is deployed over the last one while devices send and that release's bridge works, and taken back.

The last release is the last tag in the plan, and its bridge comes from its wheel in releases/. The present one is a copy of what is here
with some reworked changes on top.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.support.api import Api, Device
from tests.support.mqtt import disconnect
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import PATIENCE, wait_until
from tests.support.wheel import build_wheel, unpacked
from tests.test_migrations import dump

AUTHOR = os.environ | {"SQITCH_FULLNAME": "Topicbase", "SQITCH_EMAIL": "topicbase@users.noreply.github.com", "EDITOR": "true"}
TAG = "v9.9.9"
# The plan after the last release's tag; without one, there is only what REWORKS adds.
PLAN = re.split(r"^@(v\S+).*$", (ROOT / "sqitch.plan").read_text(), flags=re.MULTILINE)
LAST, SINCE = (PLAN[-2], re.findall(r"^(\w+/\w+) ", PLAN[-1], re.MULTILINE)) if len(PLAN) > 1 else (TAG, [])
TAGS = PLAN[1::2]
# A change, a text of its script, what replaces it, and how pg_dump shows that: an answer, a view, the two ends of a message's way in,
# and one that bin/embed-plpython renders.
REWORKS = (
    ("api/get_capabilities", "'supportsTelemetry', true", "'supportsTelemetry', false", "'supportsTelemetry', false"),
    (
        "brokers/broker_integrations",
        "i.status <> 'inactive'",
        "i.status = 'active'",
        "(i.status = 'active'::text) AND (o.moving_to IS NULL)",
    ),
    ("api/mqtt_ingest", "AS $$\nDECLARE\n", "AS $$\nDECLARE\n    -- reworked ingest\n", "-- reworked ingest"),
    ("process/store_messages", "AS $$\nDECLARE\n", "AS $$\nDECLARE\n    -- reworked storing\n", "-- reworked storing"),
    ("base/py_decompress", "\ndef run(", "\n# reworked unpacking\ndef run(", "# reworked unpacking"),
)
# What readers and writers of a table hold: a change that takes no more waits for nobody, and nobody for it.
HARMLESS = {"AccessShareLock", "RowShareLock", "RowExclusiveLock"}
# A change that needs more on a table that is there waits for it within a limit, and takes tables in the worker's order.
DEFINES = re.compile(
    r"^(?:CREATE|ALTER|DROP) (?:UNLOGGED |OR REPLACE (?=TRIGGER))?(?:TABLE|(?:UNIQUE )?INDEX|TYPE|POLICY|TRIGGER)\b", re.MULTILINE
)
ORDER = re.compile(r"^ALTER TABLE (?:ONLY )?(pgmq\.q_mqtt_messages|mqtt\.devices|mqtt\.history)\b", re.MULTILINE)
LOCKS = r"""
SELECT format('%s %s', l.relation::regclass, l.mode) FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_class AS c ON c.oid = l.relation JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE l.pid = pg_backend_pid() AND c.relkind IN ('r', 'p') AND n.nspname IN ('api', 'mqtt', 'bridge', 'broker', 'pgmq');
ROLLBACK;
"""


class Load:
    """A device that sends numbered messages one after the other, odd ones by HTTP, even ones by MQTT, and remembers which were accepted."""

    def __init__(self, device: Device, stack: Stack) -> None:
        self.device, self.accepted, self.refused = device, set[int](), list[str]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=device.client_id, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.username_pw_set(device.username, device.password)
        self._client.connect(stack.mqtt_host, stack.mqtt_port)

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            if number % 2:
                answer = self.device.send({"number": number})
                is_accepted, said = answer.status_code == 202, answer.text
            else:
                told = self._client.publish(self.device.topic(), json.dumps({"number": number}), qos=1)
                told.wait_for_publish(PATIENCE)
                is_accepted, said = told.is_published(), f"{number}: the broker did not acknowledge it"
            if is_accepted:
                self.accepted.add(number)
            else:
                self.refused.append(said)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._client.loop_start()
        wait_until(self._client.is_connected, what="a login that the broker knows")
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(2 * PATIENCE)
            disconnect(self._client)

    def wait_for_more(self) -> None:
        """Messages are accepted now."""
        goal = len(self.accepted) + 6
        wait_until(lambda: len(self.accepted) >= goal, what="accepted messages")


def sqitch(directory: Path, *arguments: str) -> None:
    done = subprocess.run(["sqitch", *arguments], cwd=directory, env=AUTHOR, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def present(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with a release that has reworked changes after the last one."""
    copy = tmp_path_factory.mktemp("upgrade") / "present"
    shutil.copytree(
        ROOT,
        copy,
        ignore=shutil.ignore_patterns(".git", ".venv", ".run", ".cache", "node_modules", "*_cache", "__pycache__"),
        symlinks=True,
    )
    freeze = re.findall(r"^mkdir -p releases && (\(.*\)) >", (ROOT / "docs/releasing.md").read_text(), re.MULTILINE)
    (copy / "releases").mkdir(exist_ok=True)
    (copy / f"releases/{TAG}.sha256").write_text(
        subprocess.run(["bash", "-c", freeze[0]], cwd=copy, check=True, capture_output=True, text=True).stdout
    )
    sqitch(copy, "tag", TAG, "--note", "a release")
    for change, old, new, _ in REWORKS:
        sqitch(copy, "rework", change, "--note", "a change of a released function")
        source = copy / (f"plpython/{change.removeprefix('base/py_')}.py" if "/py_" in change else f"deploy/{change}.sql")
        assert old in source.read_text()
        source.write_text(source.read_text().replace(old, new, 1))
    subprocess.run(["bin/embed-plpython"], cwd=copy, check=True)
    # Everyone may reach it: another user runs sqitch against the stack.
    for path in [copy.parent, *copy.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    return copy


@pytest.fixture(scope="module")
def old_bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The bridge of the last release, unpacked from its wheel where the bridge's user may read it; the version that it tells says so."""
    base = Path(tempfile.mkdtemp(prefix="old.", dir=os.environ.get("TOPICBASE_TEST_DIR")))
    base.chmod(0o711)
    wheels = tmp_path_factory.mktemp("old")
    wheel = build_wheel(wheels) if LAST == TAG else next((ROOT / "releases").glob(f"topicbase-{LAST[1:]}-*.whl"))
    site = unpacked(wheel, base / "site")
    with (site / "bridge/__init__.py").open("a") as module:
        module.write('__version__ += ".last"\n')
    yield site
    shutil.rmtree(base)


def locks_of(stack: Stack, script: Path) -> list[str]:
    """What a deploy script holds on tables at its end."""
    text = script.read_text()
    if DEFINES.search(text):
        order = ORDER.findall(text)
        assert "lock_timeout" in text, f"{script} waits for its locks without a limit"
        assert order == sorted(order, key=("pgmq.q_mqtt_messages", "mqtt.devices", "mqtt.history").index), f"{script}: {order}"
        return []
    held = script.parent / f"{script.stem}.locks.sql"
    held.write_text(text[: text.rindex("COMMIT;")] + "RESET ROLE;\n" + LOCKS)
    told = stack.run("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", f"--file={held}").stdout
    held.unlink()
    return sorted({line for line in told.splitlines() if line and line.split()[-1] not in HARMLESS})


def results(tenant: Tenant) -> dict[str, Any]:
    """What readers see of the messages that were there before the load began."""
    calls: dict[str, dict[str, Any]] = {
        "list_devices": {}, "get_device": {"device_id": "before"}, "query_telemetry": {"device_id": "before"},
    }  # fmt: skip
    return {name: tenant.api.ok(name, body, token=tenant.member) for name, body in calls.items()} | {
        "messages": tenant.api.rows("mqtt_messages", token=tenant.member, topic="like.*before*", order="id"),
    }


def supports_telemetry(tenant: Tenant) -> bool:
    return bool(tenant.api.ok("get_capabilities", token=tenant.member)["supportsTelemetry"])


def replay_while_paused(tenant: Tenant) -> tuple[int, Any]:
    topic = f"org_{tenant.slug}/hooked/#"
    body = {"integration_id": tenant.integration_id, "topic": topic, "callback_url": "https://receiver.example/", "is_paused": True}
    subscription = tenant.api.ok("mqtt_subscribe", body, token=tenant.admin)
    answer = tenant.api.call("replay_mqtt_callback_deliveries", {"subscription_id": subscription["id"]}, token=tenant.admin)
    return answer.status_code, answer.json() if answer.ok else answer.json()["message"]


# What a release changed: a call, and how it is answered before and after.
CHANGED = {"v0.1.1": (replay_while_paused, (200, {"replayed": 0}), (409, "callback_paused"))}


def numbers(tenant: Tenant) -> list[int]:
    with tenant.stack.connect() as db:
        found = db.execute(
            "SELECT (m.payload ->> 'number')::integer FROM mqtt.mqtt_messages AS m WHERE m.organization_id = %s AND m.payload ? 'number'",
            (tenant.organization_id,),
        )
        return sorted(number for (number,) in found)


def version_of(release: Path) -> str:
    return str(re.findall(r'^__version__ = "(.*)"', (release / "bridge/__init__.py").read_text(), re.MULTILINE)[0])


def judged(stack: Stack, release: Path) -> list[str]:
    """What doctor of that release says of the scripts and functions of the database."""
    with stack.connect() as db:
        facts = db.execute("SELECT jsonb_build_array(mqtt.deployed_changes(), mqtt.present_functions())").fetchone()
    assert facts is not None
    code = (
        "import json, sys; from bridge import shipped; changes, functions = json.load(sys.stdin); "
        "print(json.dumps(shipped.altered(changes) + shipped.differences(functions)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=release, env=os.environ | {"PYTHONPATH": str(release), "PYTHONSAFEPATH": "1"},
        input=json.dumps(facts[0]), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: list[str] = json.loads(told.stdout)
    return found


def deploy(stack: Stack, present: Path, tenant: Tenant, before: str, seen: dict[str, Any]) -> None:
    """Deploys the present release, and sees its results and what its tools say of it."""
    stack.run("sqitch", "--chdir", str(present), "deploy", "--verify")
    reworked, changes = dump(stack), [*SINCE, *(change for change, *_ in REWORKS)]
    assert all(shown in reworked and shown not in before for *_, shown in REWORKS)
    assert (supports_telemetry(tenant), tenant.api.ok("get_api_version")) == (False, {"version": version_of(present)})
    assert {**results(tenant), "list_devices": None} == {**seen, "list_devices": None}
    assert judged(stack, present) == []
    assert {change: locks_of(stack, present / f"deploy/{change}.sql") for change in changes} == {change: [] for change in changes}
    # bin/apply runs the new script, and leaves alone what the registry says of the released one
    applied = subprocess.run(
        [present / "bin/apply", "api/get_capabilities"],
        env=os.environ | {"TOPICBASE_RUN_DIR": str(stack.run_dir)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (applied.returncode, applied.stderr) == (0, "")
    assert judged(stack, present) == []


@pytest.mark.timeout(900)
def test_a_release_over_the_last_one(own: Stack, present: Path, old_bridge: Path) -> None:
    own.stop("bridge")
    if SINCE:
        own.run("sqitch", "--chdir", str(present), "revert", "-y", f"@{LAST}")
    own.run("start", "bridge", PYTHONPATH=str(old_bridge), PYTHONSAFEPATH="1")
    with own.connect() as db:
        query, alone = "SELECT b.version FROM mqtt.bridges AS b", [(f"{version_of(old_bridge)}.last",)]
        wait_until(lambda: db.execute(query).fetchall() == alone, what="the last release's bridge alone")
    before = dump(own)
    assert judged(own, old_bridge) == []
    tenant = make_tenant(own, Api(own.api_url))
    assert tenant.api.ok("get_api_version") == {"version": version_of(old_bridge)}
    device = tenant.device()
    for number in range(3):
        assert device.send({"temperature": number}, device.topic("before")).status_code == 202
    wait_until(lambda: len(tenant.api.rows("mqtt_messages", token=tenant.member)) == 3, what="the history")
    seen, bridge = results(tenant), own.pid("bridge")
    load = Load(device, own)
    with load.running():
        load.wait_for_more()
        deploy(own, present, tenant, before, seen)
        load.wait_for_more()
        own.run("sqitch", "--chdir", str(present), "revert", "-y", f"@{LAST}")
        load.wait_for_more()
    assert dump(own) == before
    assert (supports_telemetry(tenant), tenant.api.ok("get_api_version")) == (True, {"version": version_of(old_bridge)})
    # The bridge of the last release went on with either schema; nothing was lost, doubled or refused.
    assert (own.pid("bridge"), load.refused) == (bridge, [])
    wait_until(lambda: len(numbers(tenant)) >= len(load.accepted), what="the messages sent meanwhile")
    assert numbers(tenant) == sorted(load.accepted)
    assert tenant.api.rows("mqtt_dead_letters", token=tenant.member) == []


def test_what_looks_at_the_migrations_allows_for_a_rework(present: Path) -> None:
    tests = ("tests/unit/test_layers.py", "tests/unit/test_errors.py", "tests/unit/test_api_docs.py", "tests/test_migrations.py")
    checks = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", "not deploy_revert and not comment"]
    for command in (["bin/embed-plpython", "--check"], ["bin/error-docs", "--check"], checks):
        result = subprocess.run(command, cwd=present, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("release", CHANGED)
def test_what_a_release_changed(own: Stack, release: str) -> None:
    answer, before, after = CHANGED[release]
    own.stop("bridge")
    own.run("sqitch", "revert", "-y", f"@{TAGS[TAGS.index(release) - 1]}")
    tenant = make_tenant(own, Api(own.api_url))
    assert answer(tenant) == before
    own.run("sqitch", "deploy", "--verify", "--to", f"@{release}")
    assert answer(tenant) == after
    own.run("sqitch", "revert", "-y", "--to", f"@{TAGS[TAGS.index(release) - 1]}")
    assert answer(tenant) == before
