"""`bin/demo` on a stack: it adds up and says so, and it says so when it does not."""

import os
import re
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import ROOT, Stack, files_below
from tests.support.waiting import PROGRAM_PATIENCE, wait_until

ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "TERM": "dumb"}


def start(stack: Stack, *options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, **ENVIRONMENT, "TOPICBASE_RUN_DIR": str(stack.run_dir)}
    return subprocess.Popen(
        [ROOT / "bin" / "demo", *options],
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(demo: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = demo.communicate(timeout=PROGRAM_PATIENCE)
    except subprocess.TimeoutExpired:
        demo.kill()
        raise
    return demo.returncode, out, err


def brokers_of(stack: Stack) -> list[str]:
    """Processes of the demo's own broker."""
    listed = subprocess.run(["pgrep", "-f", f"{stack.run_dir}.*demo-broker"], capture_output=True, text=True, check=False)
    return listed.stdout.split()


def test_it_adds_up_again_and_again(stack: Stack) -> None:
    for _ in range(2):
        status, out, err = finish(start(stack, "--seconds", "3"))
        assert status == 0, out + err
        assert "Everything adds up." in out
        assert f"{stack.env['CONSOLE_URL']}#token=" in out.splitlines()[-2], "its last word is where to look"
        assert "\x1b" not in out, "colours only on a terminal"
        total = re.search(r"\| all +\| +\| +(\d+) \| +(\d+) \| +(\d+) \|", out)
        assert total is not None, out
        sent, stored, rejected = map(int, total.groups())
        assert sent == stored + rejected
        assert rejected >= 15
    assert stack.run("status").returncode == 0, "the stack goes on running"
    assert brokers_of(stack) == []
    assert not [file for file in files_below(stack.run_dir) if "demo-broker" in file.parts]
    with stack.connect() as connection:
        found = connection.execute(
            "SELECT array_agg(d.external_id ORDER BY d.external_id)"
            " FROM mqtt.devices AS d JOIN mqtt.organizations AS o ON o.id = d.organization_id"
            " WHERE o.slug = 'demo' AND d.last_data ? 'at'"
        ).fetchone()
        live = connection.execute(
            "SELECT count(*) FROM mqtt.mqtt_credentials AS c JOIN mqtt.organizations AS o ON o.id = c.organization_id"
            " WHERE o.slug = 'demo' AND c.revoked_at IS NULL AND c.topic_prefix ~ '/(cpu|disk|memory|network|system)$'"
        ).fetchone()
    assert found == (["cpu", "disk", "kernel", "memory", "network", "system"],)
    assert live == (0,), "the logins of a run end with it"


def test_a_row_that_is_gone_is_found_missing(stack: Stack) -> None:
    began = datetime.now(UTC)
    demo = start(stack, "--seconds", "6")
    deleted: list[Any] = []

    def delete_one() -> bool:
        with stack.connect() as connection:
            row = connection.execute(
                "DELETE FROM mqtt.mqtt_messages AS m USING (SELECT x.id, x.received_at FROM mqtt.mqtt_messages AS x"
                " WHERE x.topic = 'org_demo/devices/cpu/telemetry' AND x.received_at > %s LIMIT 1) AS one"
                " WHERE m.id = one.id AND m.received_at = one.received_at RETURNING m.payload ->> 'seq', m.organization_id, m.received_at",
                (began,),
            ).fetchone()
        deleted.extend(row or [])
        return bool(row)

    wait_until(delete_one, what="a message of the demo")
    status, out, _ = finish(demo)
    assert status == 1, out
    assert f"cpu: 1 accepted and not stored: number {deleted[0]}" in out
    assert "It does NOT add up" in out
    assert re.search(r"WRONG\s*api.check_mqtt_ledger", out), out
    with stack.connect() as connection:  # so that nobody else misses it
        connection.execute(
            "INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, deleted)"
            " VALUES (%s, date_trunc('minute', %s), mqtt.ledger_level_outcomes(), 1)"
            " ON CONFLICT (organization_id, bucket, shard) DO UPDATE SET deleted = l.deleted + 1",
            deleted[1:],
        )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ending_it_early_still_reconciles(stack: Stack, number: signal.Signals) -> None:
    demo = start(stack, "--seconds", "600")
    lines: list[str] = []
    assert demo.stdout is not None
    for line in demo.stdout:
        lines.append(line)
        if line.startswith("devices"):
            break
    time.sleep(2)
    demo.send_signal(number)
    status, out, err = finish(demo)
    assert status == 0, "".join(lines) + out + err
    assert "Everything adds up." in out


def test_nothing_is_lost_when_the_bridge_is_killed(stack: Stack) -> None:
    pid = stack.pid("bridge")
    status, out, err = finish(start(stack, "--seconds", "8", "--kill-bridge"))
    assert status == 0, out + err
    assert "bridge killed" in out
    assert stack.pid("bridge") != pid


def test_without_a_bridge_it_says_what_is_missing(stack: Stack) -> None:
    stack.stop("bridge")
    try:
        run = subprocess.run(
            [ROOT / ".venv/bin/python", "-m", "demo", "--seconds", "2"],
            env={**os.environ, **ENVIRONMENT, "TOPICBASE_RUN_DIR": str(stack.run_dir)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=PROGRAM_PATIENCE,
        )
    finally:
        stack.start("bridge")
    assert run.returncode == 1
    assert "the bridge did not answer" in run.stderr
    assert "Traceback" not in run.stderr
    assert brokers_of(stack) == []


@pytest.mark.parametrize("seconds", ["0", "-5", "soon", "nan"])
def test_seconds_are_checked(seconds: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [ROOT / ".venv/bin/python", "-m", "demo", "--seconds", seconds],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PROGRAM_PATIENCE,
    )
    assert run.returncode == 2
    assert "--seconds" in run.stderr
