"""A release is deployed over the last one while devices send and a bridge works, and taken back.

As long as no release is tagged, the last one is what is here, tagged in a copy, and the present one is that copy with reworked changes.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api, Device
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import PATIENCE, wait_until
from tests.test_migrations import dump

AUTHOR = os.environ | {"SQITCH_FULLNAME": "Topicbase", "SQITCH_EMAIL": "topicbase@users.noreply.github.com", "EDITOR": "true"}
TAG = "v9.9.9"
# A change, a text of its script, what replaces it, and how pg_dump shows that: an answer, a view, the two ends of a message's way in,
# and one that bin/embed-plpython renders.
REWORKS = (
    ("api/get_capabilities", "'supportsTelemetry', true", "'supportsTelemetry', false", "'supportsTelemetry', false"),
    ("brokers/broker_integrations", "i.status <> 'inactive'", "i.status = 'active'", "(i.status = 'active'::text) AS is_on"),
    ("api/mqtt_ingest", "AS $$\nDECLARE\n", "AS $$\nDECLARE\n    -- reworked ingest\n", "-- reworked ingest"),
    ("process/store_messages", "AS $$\nDECLARE\n", "AS $$\nDECLARE\n    -- reworked storing\n", "-- reworked storing"),
    ("base/py_decompress", "\ndef run(", "\n# reworked unpacking\ndef run(", "# reworked unpacking"),
)
# What readers and writers of a table hold: a change that takes no more waits for nobody, and nobody for it.
HARMLESS = {"AccessShareLock", "RowShareLock", "RowExclusiveLock"}
LOCKS = r"""
SELECT format('%s %s', l.relation::regclass, l.mode) FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_class AS c ON c.oid = l.relation JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE l.pid = pg_backend_pid() AND c.relkind IN ('r', 'p') AND n.nspname IN ('api', 'mqtt', 'bridge', 'broker', 'pgmq');
ROLLBACK;
"""


class Load:
    """A device that sends messages one after the other, each with its own number, and remembers which were accepted."""

    def __init__(self, device: Device) -> None:
        self.device, self.accepted, self.refused = device, set[int](), list[str]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            answer = self.device.send({"number": number})
            if answer.status_code == 202:
                self.accepted.add(number)
            else:
                self.refused.append(answer.text)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(PATIENCE)

    def wait_for_more(self) -> None:
        """Messages are accepted now."""
        goal = len(self.accepted) + 5
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


def locks_of(stack: Stack, script: Path) -> list[str]:
    """What a deploy script holds on tables at its end."""
    text = script.read_text()
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


def numbers(tenant: Tenant) -> list[int]:
    with tenant.stack.connect() as db:
        found = db.execute(
            "SELECT (m.payload ->> 'number')::integer FROM mqtt.mqtt_messages AS m WHERE m.organization_id = %s AND m.payload ? 'number'",
            (tenant.organization_id,),
        )
        return sorted(number for (number,) in found)


@pytest.mark.timeout(600)
def test_a_release_over_the_last_one(own: Stack, present: Path) -> None:
    before = dump(own)
    tenant = make_tenant(own, Api(own.api_url))
    device = tenant.device()
    for number in range(3):
        assert device.send({"temperature": number}, device.topic("before")).status_code == 202
    wait_until(lambda: len(tenant.api.rows("mqtt_messages", token=tenant.member)) == 3, what="the history")
    seen, bridge = results(tenant), own.pid("bridge")
    assert {change: locks_of(own, present / f"deploy/{change}.sql") for change, *_ in REWORKS} == {change: [] for change, *_ in REWORKS}
    load = Load(device)
    with load.running():
        load.wait_for_more()
        own.run("sqitch", "--chdir", str(present), "deploy", "--verify")
        load.wait_for_more()
        reworked = dump(own)
        assert all(shown in reworked and shown not in before for *_, shown in REWORKS)
        assert (supports_telemetry(tenant), {**results(tenant), "list_devices": None}) == (False, {**seen, "list_devices": None})
        own.run("sqitch", "--chdir", str(present), "revert", "-y", f"@{TAG}")
        load.wait_for_more()
    assert dump(own) == before
    assert supports_telemetry(tenant)
    # The bridge of the last release went on with either schema; nothing was lost, doubled or refused.
    assert (own.pid("bridge"), load.refused) == (bridge, [])
    wait_until(lambda: len(numbers(tenant)) >= len(load.accepted), what="the messages sent meanwhile")
    assert numbers(tenant) == sorted(load.accepted)
    assert tenant.api.rows("mqtt_dead_letters", token=tenant.member) == []


def test_what_looks_at_the_migrations_allows_for_a_rework(present: Path) -> None:
    checks = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/test_layers.py", "tests/test_migrations.py"]
    for command in (["bin/embed-plpython", "--check"], [*checks, "-k", "not deploy_revert"]):
        result = subprocess.run(command, cwd=present, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
