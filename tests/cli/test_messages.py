"""topicbase publish, tail and replay: through the API, with a user's own token."""

import json
import os
import queue
import subprocess
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
from typer.testing import CliRunner, Result

from bridge.api import Api as HttpApi
from bridge.api import UnreachableError
from bridge.cli import app as commands
from bridge.cli import replay
from tests.bridge.support import Peer, publish, receipts
from tests.bridge.test_inbound import history
from tests.bridge.test_outbound import prefix
from tests.cli.conftest import PROGRAM, ROOT, Cli
from tests.cli.conftest import run as program
from tests.support.api import Api
from tests.support.stack import Stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import PATIENCE, wait_until

Tenants = Callable[..., Tenant]
Apps = Callable[[str], Cli]


def test_a_message_is_published(tenant: Tenants, peer: Callable[..., Peer], app: Apps, tmp_path: Path) -> None:
    owner, device = tenant(), peer()
    topic = f"{prefix(owner)}/devices/d/commands"
    device.subscribe(topic)
    member = app(owner.member)
    assert member("publish", owner.integration_id, topic, '{"led": "on"}').stdout == "1 acknowledged\n"
    assert device.next().payload == b'{"led": "on"}'
    assert member("publish", owner.integration_id, topic, "hello", "--qos", "0").stdout == "1 sent\n"
    assert device.next().payload == b"hello"
    assert member("publish", owner.integration_id, topic, "7", "--text", "--retain").returncode == 0
    assert device.next().payload == b"7"
    assert member("publish", owner.integration_id, topic, input="from stdin").returncode == 0
    assert device.next().payload == b"from stdin"
    (tmp_path / "bytes").write_bytes(b"\x00\xff")
    assert member("publish", owner.integration_id, topic, "--file", str(tmp_path / "bytes"), "--qos", "2").returncode == 0
    assert device.next().payload == b"\x00\xff"
    (receipt,) = member("publish", owner.integration_id, topic, "1", "--json").stdout.splitlines()
    assert json.loads(receipt)["state"] == "acknowledged"


@pytest.mark.parametrize("option", [(), ("--lines",)])
def test_bytes_from_stdin_that_are_no_text(stack: Stack, tenant: Tenants, option: tuple[str, ...]) -> None:
    owner = tenant()
    environment = {"PATH": os.environ["PATH"], "TOPICBASE_API_URL": stack.api_url, "TOPICBASE_TOKEN": owner.member}
    topic = f"{prefix(owner)}/devices/d/commands"
    ended = program("publish", "main", topic, *option, environment=environment, input="\udcff", errors="surrogateescape")
    assert (ended.returncode, ended.stderr) == (2, "topicbase: standard input is not UTF-8: --file /dev/stdin publishes its bytes\n")


def test_lines_in_their_order(tenant: Tenants, peer: Callable[..., Peer], app: Apps) -> None:
    owner, device = tenant(), peer()
    topic = f"{prefix(owner)}/devices/d/numbers"
    device.subscribe(topic)
    ended = app(owner.member)("publish", owner.integration_id, topic, "--lines", input="".join(f"{n}\n" for n in range(2500)))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "2500 acknowledged\n", "")
    assert [int(message.payload) for message in device.take(2500)] == list(range(2500))


def test_what_was_not_published_is_said(tenant: Tenants, app: Apps) -> None:
    owner = tenant()
    dead = owner.integration(name="dead", broker_url="127.0.0.1", port=1)
    member = app(owner.member)
    ended = member("publish", "dead", "a", "1", "--wait", "0.2")
    assert (ended.returncode, ended.stdout) == (1, "1 queued\n")
    assert member("publish", dead, "a", "1", "--wait", "0").returncode == 0
    ended = member("publish", "dead", "a/#", "1")
    assert ended.returncode == 1
    assert "message_invalid" in ended.stderr
    ended = member("publish", owner.integration_id, "elsewhere/x", "1")
    assert ended.returncode == 1
    assert "topic_not_allowed" in ended.stderr
    assert member("publish", "no such", "a", "1").returncode == 1
    assert member("publish", "dead", "a", "1", "--lines").returncode == 2
    stranger = app(tenant().member)("publish", dead, "a", "1")
    assert stranger.returncode == 1
    assert "that you may see" in stranger.stderr


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"TOPICBASE_TOKEN": None}, 2, "never an argument"),
        ({"TOPICBASE_API_URL": None}, 2, "TOPICBASE_API_URL is not set"),
        ({"TOPICBASE_API_URL": "http://127.0.0.1:1"}, 3, "cannot be reached"),
        ({"TOPICBASE_TOKEN": "e30.e30.x"}, 3, "HTTP 401"),
        ({"TOPICBASE_TOKEN": "garbage"}, 2, "TOPICBASE_TOKEN is not a JWT"),
        ({"TOPICBASE_TOKEN": "a\nb.c.d"}, 2, "TOPICBASE_TOKEN is not a JWT"),
        ({"TOPICBASE_API_URL": "localhost:3000"}, 2, "such as `http://localhost:3000`"),
        ({"TOPICBASE_TOKEN": None, "TOPICBASE_TOKEN_FILE": "/nowhere"}, 2, "cannot be read"),
    ],
)
def test_a_way_in_that_is_none(app: Apps, changes: dict[str, str | None], code: int, words: str) -> None:
    ended = app("e30.e30.x")("tail", "--no-follow", **changes)
    assert ended.returncode == code
    assert words in ended.stderr


def test_the_token_from_a_file(tenant: Tenants, app: Apps, tmp_path: Path) -> None:
    owner = tenant()
    file = tmp_path / "token"
    file.write_text(owner.member + "\n")
    assert app("")("tail", "--no-follow", TOPICBASE_TOKEN=None, TOPICBASE_TOKEN_FILE=str(file)).returncode == 0


def test_tail_shows_ones_own_and_follows(stack: Stack, tenant: Tenants, app: Apps) -> None:
    owner, other = tenant(), tenant()
    device, stranger = owner.device(), other.device()
    for number in range(5):
        device.send({"number": number})
    stranger.send("of another organization")
    history(stack, owner, 5)
    history(stack, other, 1)
    member = app(owner.member)
    shown = [json.loads(line) for line in member("tail", "--no-follow", "--json").stdout.splitlines()]
    assert [row["payload"]["number"] for row in shown] == list(range(5))
    assert member("tail", "--no-follow", "-n", "2").stdout.count("\n") == 2
    assert member("tail", "--no-follow", f"{prefix(owner)}/+/sensor01/telemetry").stdout.count("\n") == 5
    assert member("tail", "--no-follow", f"{prefix(owner)}/+").stdout == ""
    assert member("tail", "--no-follow", "--direction", "outgoing").stdout == ""
    assert member("tail", "--no-follow", "a+/b").returncode == 2
    environment = {"PATH": os.environ["PATH"], "TOPICBASE_API_URL": stack.api_url, "TOPICBASE_TOKEN": owner.member, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([PROGRAM, "tail", "-n", "0", "--json"], env=environment, stdout=subprocess.PIPE, text=True) as following:
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        output = following.stdout
        assert output is not None
        reader = threading.Thread(target=note, args=(output, lines), daemon=True)
        reader.start()
        try:
            sent = iter(range(100, 1000))
            last = 0

            def one_more() -> bool:
                nonlocal last
                last = next(sent)
                device.send(last)
                return not lines.empty()

            # It may not have begun yet when the first are sent: they go on until it shows one.
            wait_until(one_more, what="tail shows something")
            received = [payload(lines)]
            while received[-1] < last:
                received.append(payload(lines))
            assert received == list(range(received[0], last + 1))
            # Accepted two minutes ago, and stored only now.
            with stack.connect() as db:
                db.execute(
                    "INSERT INTO mqtt.mqtt_messages "
                    "(received_at, measured_at, position, organization_id, id, integration_id, direction, topic, payload) "
                    "VALUES (now() - interval '2 minutes', now() - interval '2 minutes', 0, "
                    "%s, gen_random_uuid(), %s, 'incoming', 'late', '7')",
                    (owner.organization_id, owner.integration_id),
                )
            assert payload(lines) == 7
            device.send(last + 1)
            assert payload(lines) == last + 1, "each is shown once"
        finally:
            following.terminate()
            reader.join(PATIENCE)


def test_a_batch_is_shown_in_its_order(stack: Stack, tenant: Tenants, app: Apps) -> None:
    """All of a batch have one time of receipt; ids that the client chose have no order."""
    owner = tenant()
    device = owner.device()
    batch = [{"topic": device.topic(), "payload": n, "message_id": str(uuid.uuid4())} for n in range(300)]
    assert device.send_batch(batch).json()["accepted"] == len(batch)
    history(stack, owner, len(batch))
    shown = app(owner.member)("tail", "--no-follow", "--json", "-n", "250").stdout.splitlines()
    assert [json.loads(line)["payload"] for line in shown] == list(range(50, 300))
    plan = app(owner.admin)("replay", "messages", owner.integration_id, "#", "--since", "2020-01-01", "--dry-run", "--json")
    assert [message["id"] for message in json.loads(plan.stdout)["messages"]] == [message["message_id"] for message in batch[:100]]


def note(output: IO[str], lines: "queue.SimpleQueue[str]") -> None:
    for line in output:
        lines.put(line)


def payload(lines: "queue.SimpleQueue[str]") -> int:
    return int(json.loads(lines.get(timeout=PATIENCE))["payload"])


def test_tail_keeps_every_digit(stack: Stack, tenant: Tenants, app: Apps) -> None:
    owner = tenant()
    device, text = owner.device(), '{"n": 12345678901234567890.250}'
    body = f'{{"topic": "{device.topic()}", "payload": {text}}}'
    assert device.api.call("mqtt_ingest", data=body, headers=device.headers).ok
    history(stack, owner, 1)
    member = app(owner.member)
    assert text in member("tail", "--no-follow", "--json").stdout
    assert member("tail", "--no-follow").stdout.endswith(f" {text}\n")


def test_what_moves_the_cursor_is_shown_and_not_obeyed(stack: Stack, tenant: Tenants, app: Apps) -> None:
    owner = tenant()
    owner.device().send("\x1b[2Jgone\r\nline\u202e")
    history(stack, owner, 1)
    (line,) = app(owner.member)("tail", "--no-follow").stdout.splitlines()
    assert "\x1b" not in line
    assert "\\x1b[2Jgone\\r\\nline\\u202e" in line


def kill_letters(stack: Stack, owner: Tenant, count: int) -> None:
    """Dead letters, as a message leaves them that its organization could not process."""
    with stack.connect() as db:
        db.execute(
            "INSERT INTO mqtt.mqtt_dead_letters "
            "(organization_id, id, integration_id, direction, topic, message, attempts, error_message, received_at) "
            "SELECT %s, gen_random_uuid(), %s, 'incoming', %s, jsonb_build_object('topic', %s::text, 'payload', n), 3, 'made up', now() "
            "FROM generate_series(1, %s) AS n",
            (owner.organization_id, owner.integration_id, f"{prefix(owner)}/devices/d/x", f"{prefix(owner)}/devices/d/x", count),
        )


def test_dead_letters_are_replayed_once(stack: Stack, tenant: Tenants, app: Apps) -> None:
    owner = tenant()
    kill_letters(stack, owner, 2300)
    admin = app(owner.admin)
    ended = admin("replay", "dead-letters", owner.slug, "--dry-run")
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, "2300 messages match")
    ended = admin("replay", "dead-letters", owner.slug)
    assert ended.returncode == 2
    assert "--yes" in ended.stderr
    assert json.loads(admin("replay", "dead-letters", owner.slug, "--error", "something else", "--yes", "--json").stdout) == {"replayed": 0}
    assert app(owner.member)("replay", "dead-letters", owner.slug, "--yes").returncode == 1
    assert admin("replay", "dead-letters", owner.slug, "--yes").stdout == "2300 replayed\n"
    assert admin("replay", "dead-letters", owner.slug, "--yes").stdout == "0 replayed\n"
    assert len(history(stack, owner, 2300)) == 2300
    with stack.connect() as db:
        row = db.execute("SELECT id FROM mqtt.mqtt_dead_letters WHERE organization_id = %s LIMIT 1", (owner.organization_id,)).fetchone()
    assert row is not None
    assert admin("replay", "dead-letters", owner.slug, "--id", str(row[0]), "--yes").stdout == "1 replayed\n"
    assert admin("replay", "dead-letters", str(uuid.uuid4()), "--yes").returncode == 1


def replay_here(monkeypatch: pytest.MonkeyPatch, stack: Stack, owner: Tenant, *arguments: str) -> Result:
    """`topicbase replay ARGUMENTS`, by an admin and in this process, where what a call takes can be made less."""
    monkeypatch.setattr(replay, "MOST", 20)
    monkeypatch.setattr(replay, "BATCH", 7)
    environment = {"TOPICBASE_API_URL": stack.api_url, "TOPICBASE_TOKEN": owner.admin, "TOPICBASE_CONFIG": None}
    return CliRunner().invoke(commands, ["replay", *arguments], env=environment)


def test_more_dead_letters_than_a_call_takes(monkeypatch: pytest.MonkeyPatch, stack: Stack, tenant: Tenants) -> None:
    owner = tenant()
    kill_letters(stack, owner, 50)
    plan = replay_here(monkeypatch, stack, owner, "dead-letters", owner.slug, "--dry-run")
    assert plan.stdout.splitlines()[-1] == "20 or more messages match"
    call = HttpApi.call

    def another_dies(self: HttpApi, rpc: str, body: dict[str, Any]) -> Any:
        answer = call(self, rpc, body)
        kill_letters(stack, owner, 1)
        return answer

    monkeypatch.setattr(HttpApi, "call", another_dies)
    ended = replay_here(monkeypatch, stack, owner, "dead-letters", owner.slug, "--yes")
    assert (ended.exit_code, ended.stdout) == (0, "50 replayed\n"), "not those that die meanwhile, which could go on for ever"


def test_dead_letters_that_are_left_when_the_api_ends(monkeypatch: pytest.MonkeyPatch, stack: Stack, tenant: Tenants) -> None:
    owner = tenant()
    kill_letters(stack, owner, 30)
    call = HttpApi.call
    done: list[Any] = []

    def refuse_the_third(self: HttpApi, rpc: str, body: dict[str, Any]) -> Any:
        if len(done) == 3:
            raise UnreachableError("it is gone")
        done.append(call(self, rpc, body))
        return done[-1]

    monkeypatch.setattr(HttpApi, "call", refuse_the_third)
    ended = replay_here(monkeypatch, stack, owner, "dead-letters", owner.slug, "--yes")
    said = "topicbase: 14 replayed; the same command goes on with the rest\ntopicbase: it is gone\n"
    assert (ended.exit_code, ended.stderr) == (3, said)
    monkeypatch.setattr(HttpApi, "call", call)
    assert replay_here(monkeypatch, stack, owner, "dead-letters", owner.slug, "--yes").stdout == "16 replayed\n"


def test_a_replay_of_messages_says_when_there_may_be_more(monkeypatch: pytest.MonkeyPatch, stack: Stack, tenant: Tenants) -> None:
    owner = tenant()
    assert owner.device().send_batch([{"topic": f"{prefix(owner)}/devices/d/n", "payload": n} for n in range(21)]).ok
    history(stack, owner, 21)
    where = ("messages", owner.integration_id, "#", "--since", "2020-01-01", "--to-topic", f"{prefix(owner)}/again/x", "--yes", "--json")
    ended = replay_here(monkeypatch, stack, owner, *where)
    assert ended.exit_code == 0, ended.stderr
    assert "choose times with --since and --until" in ended.stderr
    assert (json.loads(ended.stdout)["replayed"], json.loads(ended.stdout)["more"]) == (20, True)


def test_dead_letters_are_mended_on_the_way(stack: Stack, tenant: Tenants, app: Apps) -> None:
    owner = tenant()
    kill_letters(stack, owner, 2)
    admin, topic = app(owner.admin), f"{prefix(owner)}/devices/d/mended"
    ended = admin("replay", "dead-letters", owner.slug, "--patch", "{topic", "--yes")
    assert (ended.returncode, "is not a JSON object" in ended.stderr) == (2, True)
    ended = admin("replay", "dead-letters", owner.slug, "--patch", '{"color": 1}', "--yes")
    assert (ended.returncode, "no keys other than topic, payload" in ended.stderr) == (1, True)
    to = owner.integration("mqtt_hosted")
    patch = json.dumps({"topic": topic, "payload": {"mended": True}})
    assert admin("replay", "dead-letters", owner.slug, "--patch", patch, "--to", to, "--yes").stdout == "2 replayed\n"
    found = history(stack, owner, 2)
    assert [(one["topic"], one["payload"]) for one in found] == [(topic, {"mended": True})] * 2
    assert {one["integration_id"] for one in owner.api.rows("mqtt_messages", token=owner.member, topic=f"eq.{topic}")} == {to}


def test_a_restart_of_the_database_does_not_end_tail(fresh_stack: Callable[..., Stack]) -> None:
    own = fresh_stack(without=("gateway",))
    owner = make_tenant(own, Api(own.api_url))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    environment |= {"TOPICBASE_API_URL": own.api_url, "TOPICBASE_TOKEN": owner.member}
    shown: queue.SimpleQueue[str] = queue.SimpleQueue()
    said: queue.SimpleQueue[str] = queue.SimpleQueue()
    with subprocess.Popen(
        [PROGRAM, "tail", "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        for output, lines in ((following.stdout, shown), (following.stderr, said)):
            threading.Thread(target=note, args=(output, lines), daemon=True).start()
        try:
            assert "waiting for the first" in said.get(timeout=PATIENCE)
            own.run("stop", "postgres")
            assert "does not reach its database" in said.get(timeout=PATIENCE)
            own.run("start", "postgres")
            wait_until(lambda: owner.api.call("get_caller", token=owner.member).ok, what="the API")
            assert owner.device().send({"n": 1}).ok
            assert json.loads(shown.get(timeout=PATIENCE))["payload"] == {"n": 1}
        finally:
            following.kill()


def test_stored_messages_are_published_once_more(stack: Stack, tenant: Tenants, peer: Callable[..., Peer], app: Apps) -> None:
    owner, device = tenant(), peer()
    (sent,) = publish(owner, [{"topic": f"{prefix(owner)}/devices/d/commands", "payload": 1}])
    receipts(owner, [sent])
    sender = owner.device()
    sender.send({"number": 1})
    history(stack, owner, 1)
    device.subscribe(f"{prefix(owner)}/again/#")
    where = ["--since", "2020-01-01", "--to-topic", f"{prefix(owner)}/again/x"]
    ended = app(owner.admin)("replay", "messages", owner.integration_id, f"{prefix(owner)}/#", *where, "--yes")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("1 queued")
    assert json.loads(device.next().payload) == {"number": 1}


@pytest.mark.parametrize(
    "command",
    ["", "run", "status", "doctor", "keygen", "reseal", "publish", "tail", "replay", "replay dead-letters", "replay messages"],
)
def test_help_teaches(command: str) -> None:
    ended = program(*command.split(), "--help", environment={"PATH": os.environ["PATH"]})
    assert ended.returncode == 0
    assert "topicbase" in ended.stdout
    assert "\x1b[" not in ended.stdout
    if command:
        assert "xample" in ended.stdout or "step by step" in ended.stdout
