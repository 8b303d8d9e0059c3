"""The local stack itself: it starts, starts again, survives a bad port, leaks no secret, and the gateway speaks JSON in every fault."""

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.conftest import DATABASE_ONLY
from tests.support.stack import ROOT, Stack, files_below, start_stack
from tests.support.waiting import PATIENCE, wait_until

PARTS = ("postgres", "mosquitto", "postgrest", "intake", "gateway", "bridge", "stream")
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def database() -> Iterator[Stack]:
    """PostgreSQL alone, which a test may stop and break, and leaves running."""
    running = start_stack(without=DATABASE_ONLY)
    yield running
    running.down()


def secrets(stack: Stack) -> dict[str, str]:
    lines = (stack.run_dir / "secrets").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_up_again_changes_nothing(stack: Stack) -> None:
    before = {name: stack.pid(name) for name in PARTS}
    keys = secrets(stack)
    stack.run("up")
    assert {name: stack.pid(name) for name in PARTS} == before
    assert secrets(stack) == keys


def test_up_gives_the_demo_its_admin_back(stack: Stack) -> None:
    user = stack.env["DEMO_USER_ID"]
    left = json.loads(stack.run("topicbase", "members", "remove", user, "--yes", "--json").stdout)
    assert (left["user_id"], left["role"]) == (user, "admin")
    stack.run("up")
    assert user in stack.run("topicbase", "members", "list").stdout
    assert f"DEMO_USER_ID={user}" in stack.run("env").stdout
    token = stack.run("console").stdout.strip().split("#token=")[1]
    headers = {"Authorization": f"Bearer {token}"}
    found = requests.get(f"{stack.api_url}/organizations", headers=headers, timeout=PATIENCE).json()
    assert [(one["slug"], one["role"]) for one in found] == [("demo", "admin")]


def test_env_names_everything(stack: Stack) -> None:
    assert set(stack.env) == {
        "DATABASE_URL",
        "API_URL",
        "GATEWAY_URL",
        "CONSOLE_URL",
        "STREAM_URL",
        "MQTT_URL",
        "MQTT_WS_URL",
        "METRICS_URL",
        "JWT_SECRET",
        "JWT_AUDIENCE",
        "DEMO_ORGANIZATION_ID",
        "DEMO_INTEGRATION_ID",
        "DEMO_USER_ID",
    }
    assert all(stack.env.values())
    assert len(stack.env["JWT_SECRET"]) >= 32


def test_status_names_every_part(stack: Stack) -> None:
    lines = stack.run("status").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(PARTS)
    assert all("running" in line and "does not answer" not in line for line in lines)


@pytest.mark.parametrize("name", PARTS)
def test_no_secret_in_process_arguments(stack: Stack, name: str) -> None:
    arguments = Path(f"/proc/{stack.pid(name)}/cmdline").read_bytes().decode()
    assert not [key for key, value in secrets(stack).items() if value in arguments]


def test_secrets_are_private_files(stack: Stack) -> None:
    values = [value.encode() for value in secrets(stack).values()]

    def is_open_to_others(path: Path) -> bool:
        with suppress(FileNotFoundError):  # one that the bridge has just replaced
            return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)) and any(value in path.read_bytes() for value in values)
        return False

    assert [path for path in files_below(stack.run_dir) if path.is_file() and is_open_to_others(path)] == []


@pytest.mark.parametrize("name", PARTS)
def test_no_secret_in_logs(stack: Stack, name: str) -> None:
    log = stack.log(name)
    assert not [key for key, value in secrets(stack).items() if value in log]


def test_taken_port_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = {**os.environ, "TOPICBASE_RUN_DIR": str(tmp_path / "run"), "TOPICBASE_PG_PORT": str(port)}
        up = subprocess.run(
            [ROOT / "bin/stack", "up", "--without", ",".join(DATABASE_ONLY)], env=environment, capture_output=True, text=True, check=False
        )
        made = sorted(path.name for path in (tmp_path / "run").iterdir())
        subprocess.run([ROOT / "bin/stack", "down", "--clean"], env=environment, check=True)
    assert up.returncode == 1
    assert made == ["lock", "log"]
    assert f"port {port}" in up.stderr
    assert "TOPICBASE_PG_PORT" in up.stderr


def test_down_leaves_nothing_running_and_up_finds_its_data(database: Stack) -> None:
    stack = database
    with stack.connect() as connection:
        connection.execute("CREATE TABLE public.kept AS SELECT 1 AS value")
    pid = stack.pid("postgres")
    stack.run("down")
    wait_until(lambda: not Path(f"/proc/{pid}/exe").exists(), what="the end of PostgreSQL")
    assert stack.run("status", check=False).stdout.count("stopped") == len(PARTS)
    stack.run("up", "--without", ",".join(DATABASE_ONLY))
    with stack.connect() as connection:
        assert connection.execute("SELECT value FROM public.kept").fetchone() == (1,)


def test_a_killed_server_is_started_again(database: Stack) -> None:
    """Its lock file, and processes that end a moment after it, are in the way of the next at first."""
    for _ in range(3):
        database.kill("postgres")
        database.run("start", "postgres")
        with database.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


# A process whose first thread has ended while another, which ends with its input, still listens.
HALF_ENDED = """
import ctypes, socket, sys, threading
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=sys.stdin.read).start()
print(server.getsockname()[1], flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_part_runs_until_its_last_thread_has_ended() -> None:
    """Killed under load, PostgREST's first thread ends some time before the one that closes its port: a start in between found it taken."""
    look = f"root={ROOT}; source {ROOT}/bin/lib/stack-processes.sh; start_time_of"

    def is_running(pid: int) -> bool:
        return subprocess.run(["bash", "-c", f"{look} {pid}"], capture_output=True, check=False).returncode == 0

    with subprocess.Popen([sys.executable, "-c", HALF_ENDED], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        port = int(process.stdout.readline())
        wait_until(lambda: ") Z " in Path(f"/proc/{process.pid}/stat").read_text(), what="the end of the first thread")
        socket.create_connection(("127.0.0.1", port)).close()
        assert is_running(process.pid)
        process.stdin.close()
        wait_until(lambda: not is_running(process.pid), what="the end of the last thread")


def test_a_part_that_ends_at_once_is_no_running_part(database: Stack) -> None:
    stack = database
    stack.stop("postgres")
    (stack.run_dir / "postgres/postgresql.auto.conf").write_text("nonsense = 1\n")
    started = stack.run("start", "postgres", check=False)
    assert started.returncode == 1
    assert "postgres ended at its start" in started.stderr
    assert "nonsense" in started.stderr
    assert "running" not in next(line for line in stack.run("status", check=False).stdout.splitlines() if line.startswith("postgres"))
    (stack.run_dir / "postgres/postgresql.auto.conf").write_text("")
    stack.start("postgres")


def test_a_port_that_another_program_took_is_replaced(database: Stack) -> None:
    """The last one to use this stack, whose address it changes."""
    database.run("down")
    url = database.run("env").stdout.splitlines()[0]
    port = int(url.rpartition(":")[2].partition("/")[0])
    with socket.create_server(("127.0.0.1", port)):
        up = database.run("up", "--without", ",".join(DATABASE_ONLY))
    assert f"other programs have port {port}; using " in up.stderr
    moved = database.run("env").stdout
    assert f":{port}/" not in moved.splitlines()[0]
    database.run("up", "--without", ",".join(DATABASE_ONLY))
    assert database.run("env").stdout == moved


class TestGateway:
    """What the gateway answers by itself has the shape of the API's own errors."""

    @staticmethod
    def fault(response: requests.Response, status: int, slug: str) -> None:
        assert response.status_code == status
        assert response.headers["Content-Type"].startswith("application/json")
        body = json.loads(response.text)
        assert set(body) == {"code", "message", "details", "hint"}
        assert body["message"] == slug
        assert body["code"] == f"PT{status}"

    def test_body_too_large(self, stack: Stack) -> None:
        response = requests.post(f"{stack.gateway_url}/functions/v1/mqtt-ingest", data=b"x" * (2 * MIB + 1), timeout=PATIENCE)
        self.fault(response, 413, "body_too_large")

    def test_unknown_path(self, stack: Stack) -> None:
        self.fault(requests.get(f"{stack.gateway_url}/functions/v1/other", timeout=PATIENCE), 404, "route_not_found")

    def test_headers_too_large(self, stack: Stack) -> None:
        response = requests.get(f"{stack.gateway_url}/rest/v1/", headers={"X-Username": "x" * 40_000}, timeout=PATIENCE)
        self.fault(response, 431, "headers_too_large")

    def test_malformed_request(self, stack: Stack) -> None:
        port = int(stack.gateway_url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            connection.sendall(b"POST /functions/v1/mqtt-ingest HTTP/1.1\r\nHost: a\r\nContent-Length: minus one\r\n\r\n")
            answer = connection.makefile("rb").read().decode()
        assert answer.startswith("HTTP/1.1 400 ")
        assert json.loads(answer.partition("\r\n\r\n")[2])["message"] == "bad_request"

    def test_unreachable_api(self, stack: Stack) -> None:
        stack.stop("intake")
        try:
            response = requests.post(f"{stack.gateway_url}/functions/v1/mqtt-ingest", json={}, auth=("a", "b"), timeout=PATIENCE)
        finally:
            stack.start("intake")
        self.fault(response, 503, "upstream_unavailable")
        assert response.headers["Retry-After"] == "1"

    def test_security_headers(self, stack: Stack) -> None:
        headers = requests.get(f"{stack.gateway_url}/rest/v1/", timeout=PATIENCE).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"] == "nginx"
