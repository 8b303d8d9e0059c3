"""topicbase org, members, integration, devices, credentials and token: the first things, through the API, with its own errors."""

import json
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cli.conftest import Cli
from tests.support.api import Api, Device
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

Apps = Callable[[str], Cli]


def row(cli: Cli, *arguments: str) -> dict[str, Any]:
    ended = cli(*arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def rows(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    ended = cli(*arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_from_an_organization_to_a_message(stack: Stack, app: Apps, api: Api) -> None:
    slug, admin_id, member_id = f"c{uuid.uuid4().hex[:10]}", str(uuid.uuid4()), str(uuid.uuid4())
    service, admin = app(stack.token("service_role")), app(stack.token("authenticated", admin_id))
    organization = row(service, "org", "add", f"Firm {slug}", "--slug", slug, "--admin", admin_id)
    assert row(service, "org", "add", f"Café & Söhne {slug}")["slug"] == f"cafe-sohne-{slug}"
    assert organization["topic_prefix"] == f"org_{slug}"
    assert [one["slug"] for one in rows(admin, "org", "list")] == [slug], "and only the caller's own"
    assert row(service, "org", "show", slug)["id"] == organization["id"]

    assert row(admin, "members", "add", member_id)["status"] == "invited"
    assert {one["user_id"]: one["status"] for one in rows(admin, "members", "list")} == {admin_id: "member", member_id: "invited"}
    member = app(stack.token("authenticated", member_id))
    assert [one["organization_id"] for one in rows(member, "members", "invitations")] == [organization["id"]]
    row(member, "members", "accept", organization["id"])
    assert {one["user_id"]: one["role"] for one in rows(admin, "members", "list")} == {admin_id: "admin", member_id: "member"}
    assert row(admin, "members", "show", member_id)["role"] == "member"
    assert [one["user_id"] for one in rows(member, "members", "list")] == [admin_id, member_id], "whom members see, too"
    assert admin("members", "remove", member_id).returncode == 2, "not without being asked"
    row(admin, "members", "remove", member_id, "--yes")
    row(admin, "members", "add", member_id)
    row(member, "members", "remove", member_id, "--organization", organization["id"], "--yes")
    assert rows(member, "members", "invitations") == [], "it was declined"
    last = admin("members", "add", admin_id, "--role", "member")
    assert (last.returncode, last.stderr.splitlines()[0].startswith("topicbase: last_admin: ")) == (1, True)

    integration = row(admin, "integration", "add", "Greenhouse", "--set", "max_attempts=7")
    assert integration["settings"] == {"max_attempts": 7}
    login = row(admin, "credentials", "add", "Greenhouse", "--device", "sensor01")
    sensor = Device(api, login["username"], login["password"], login["client_id"], login["topic_prefix"])
    assert sensor.send({"temperature": 21}, f"org_{slug}/devices/sensor01/telemetry").status_code == 202
    row(admin, "devices", "add", "Greenhouse", "sensor02", "--name", "Spare")
    assert [one["external_id"] for one in rows(admin, "devices", "list", "--integration", "Greenhouse")] == ["sensor01", "sensor02"]
    assert row(admin, "devices", "show", "sensor02")["name"] == "Spare"

    key = row(admin, "keys", "add", "dashboard", "--scope", "publish", "--integration", "Greenhouse")
    assert (key["scope"], key["integration_ids"]) == ("publish", [integration["id"]])
    assert api.call("list_devices", headers={"X-API-Key": key["key"]}).status_code == 200
    assert [one["id"] for one in rows(admin, "keys", "list")] == [key["id"]]
    assert key["key"] not in admin("keys", "list").stdout
    wait_until(lambda: rows(admin, "keys", "list")[0]["last_used_at"], what="the bridge to note that the key was used")
    row(admin, "keys", "remove", key["id"])
    assert api.call("list_devices", headers={"X-API-Key": key["key"]}).status_code == 401

    assert row(admin, "credentials", "show", login["username"])["status"] == "active"
    assert row(admin, "credentials", "rotate", login["username"])["password"] != login["password"]
    assert row(admin, "credentials", "remove", login["username"])["status"] == "revoked"
    assert [one["status"] for one in rows(admin, "credentials", "list", "Greenhouse")] == ["revoked"]
    assert row(admin, "credentials", "delete", login["username"])["deleted"] == 1
    assert admin("delete", "messages", "--device", "sensor01").returncode == 2, "not without being asked"
    assert row(admin, "delete", "messages", "--device", "sensor01", "--yes", "--wait")["deleted"]["messages"] == 1
    gone = row(admin, "devices", "remove", "sensor01", "--with-data", "--yes", "--wait")
    assert (gone["state"], gone["subject"]) == ("done", "sensor01")
    assert [one["kind"] for one in rows(admin, "delete", "list")] == ["device", "messages"]
    assert row(admin, "delete", "show", gone["id"]) == gone
    assert [one["external_id"] for one in rows(admin, "devices", "list")] == ["sensor02"]
    assert admin("integration", "remove", "Greenhouse").returncode == 2, "not without being asked"
    row(admin, "integration", "remove", "Greenhouse", "--yes")
    assert rows(admin, "integration", "list") == []
    assert admin("org", "remove", slug, "--confirm", slug).returncode == 2, "not without its name"
    gone = row(admin, "org", "remove", slug, "--confirm", f"Firm {slug}")
    assert row(admin, "delete", "show", gone["id"], "--wait")["state"] == "done"
    assert service("org", "show", slug).returncode == 1


def test_devices_of_several_organizations(tenant: Callable[..., Tenant], app: Apps, stack: Stack, tmp_path: Path) -> None:
    owner, other = tenant(), tenant()
    with stack.connect() as db:
        db.execute(
            "INSERT INTO mqtt.organization_members (organization_id, user_id, role) VALUES (%s, %s, 'member')",
            (other.organization_id, owner.member_id),
        )
    for one, name in ((owner, "mine"), (other, "theirs")):
        row(app(one.admin), "devices", "add", one.integration_id, name)
    member = app(owner.member)
    assert {one["external_id"] for one in rows(member, "devices", "list")} == {"mine", "theirs"}
    assert [one["external_id"] for one in rows(member, "devices", "list", "--organization", other.slug)] == ["theirs"]
    assert [one["external_id"] for one in rows(member, "devices", "list", "--integration", owner.integration_id)] == ["mine"]
    ended = member("export", "readings", "--organization", other.slug, "-o", str(tmp_path / "readings.csv"))
    assert (ended.returncode, ended.stderr) == (0, "topicbase: 0 rows exported\n")


def test_devices_show_every_digit(tenant: Callable[..., Tenant], app: Apps) -> None:
    owner = tenant()
    device, member = owner.device(), app(owner.member)
    text = '{"n": 12345678901234567890.250}'
    body = f'{{"topic": "{device.topic("meter")}", "payload": {text}}}'
    assert device.api.call("mqtt_ingest", data=body, headers=device.headers).ok
    wait_until(lambda: "meter" in member("devices", "list").stdout, what="the device")
    for command in (("devices", "list"), ("devices", "show", "meter")):
        assert text in member(*command).stdout, "for people"
        assert f'"last_data": {text}' in member(*command, "--json").stdout, "for scripts"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("members", "add", "foo"), "USER foo is not an id"),
        (("members", "show", "foo"), "USER foo is not an id"),
        (("members", "remove", "foo", "--yes"), "USER foo is not an id"),
        (("members", "accept", "demo"), "ORGANIZATION demo is not an id"),
        (("org", "add", "Acme", "--admin", "foo"), "--admin foo is not an id"),
        (("org", "usage", "--since", "1h"), "--since 1h is not a time"),
        (("keys", "remove", "nope"), "KEY nope is not an id"),
        (("keys", "add", "dashboard", "--expires-at", "tomorrow"), "--expires-at tomorrow is not a time"),
        (("credentials", "add", "main", "--expires-at", "tomorrow"), "--expires-at tomorrow is not a time"),
        (("delete", "show", "nope"), "DELETION nope is not an id"),
        (("delete", "messages", "#", "--since", "1h", "--yes"), "--since 1h is not a time"),
        (("replay", "messages", "main", "#", "--since", "1h"), "--since 1h is not a time"),
        (("replay", "dead-letters", "{slug}", "--until", "1h"), "--until 1h is not a time"),
        (("replay", "dead-letters", "{slug}", "--id", "7"), "--id 7 is not an id"),
        (("publish", "main", "a", "1", "--deliver-at", "tomorrow"), "--deliver-at tomorrow is not a time"),
        (("integration", "show", "greenhou-name-that-look-likeanidbut1"), "there is no greenhou"),
    ],
)
def test_what_is_no_id_and_no_time_is_named(tenant: Callable[..., Tenant], app: Apps, arguments: tuple[str, ...], said: str) -> None:
    owner = tenant()
    ended = app(owner.admin)(*(one.format(slug=owner.slug) for one in arguments))
    assert (ended.returncode, said in ended.stderr) == (1 if said.startswith("there") else 2, True), ended.stderr


def test_people_get_a_table(tenant: Callable[..., Tenant], app: Apps) -> None:
    owner = tenant()
    listed = app(owner.admin)("integration", "list")
    assert owner.integration_id in listed.stdout
    assert "\x1b" not in listed.stdout
    shown = app(owner.admin)("integration", "show", owner.integration_id)
    assert "mqtt_hosted" in shown.stdout


def test_a_token(stack: Stack, app: Apps, tmp_path: Path) -> None:
    secret, user = tmp_path / "secret", str(uuid.uuid4())
    secret.write_text(stack.env["JWT_SECRET"] + "\n")
    made = tmp_path / "token"
    cli = app("")
    ended = cli("token", "add", "--user", user, "--file", str(made), TOPICBASE_JWT_SECRET_FILE=str(secret))
    assert ended.returncode == 0, ended.stderr
    assert made.stat().st_mode & 0o777 == 0o600
    shown = row(app(made.read_text().strip()), "token", "show")
    assert (shown["role"], shown["sub"], shown["aud"]) == ("authenticated", user, "topicbase")
    secret.write_text("another secret, which is long enough for HS256\n")
    forged = cli("token", "add", "--user", user, TOPICBASE_JWT_SECRET_FILE=str(secret)).stdout.strip()
    refused = app(forged)("org", "list")
    assert (refused.returncode, "another secret" in refused.stderr) == (3, True), refused.stderr


def test_libpq_is_quoted_whole(cli: Cli) -> None:
    ended = cli("status", PGHOST="127.0.0.1,127.0.0.2", PGPORT="1,2")
    assert ended.returncode == 3
    assert "127.0.0.1" in ended.stderr
    assert "127.0.0.2" in ended.stderr


def test_tail_says_where_it_found_nothing(tenant: Callable[..., Tenant], app: Apps) -> None:
    owner = tenant()
    ended = app(owner.member)("tail", "nowhere/#", "--no-follow")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert f"your organizations ({owner.slug}), filter nowhere/#" in ended.stderr


def test_bin_topicbase_is_the_admin_of_the_local_stack(stack: Stack) -> None:
    listed = stack.run("topicbase", "org", "list", "--json")
    assert json.loads(listed.stdout)["slug"] == "demo"
    assert stack.run("topicbase", "devices", "list", "--json").returncode == 0
    limited = stack.run("topicbase", "org", "limit", "demo", "max_calls=500", "--json")
    assert json.loads(limited.stdout)["max_calls"] == 500
    assert stack.run("topicbase", "org", "limit", "demo", "max_calls=none").returncode == 0
    assert (ROOT / "bin/topicbase").exists()


def test_what_an_organization_uses_and_may_use(stack: Stack, app: Apps, api: Api) -> None:
    service, slug = app(stack.token("service_role")), f"c{uuid.uuid4().hex[:10]}"
    row(service, "org", "add", "Firm", "--slug", slug)
    assert row(service, "org", "limit", slug, "max_calls=5", "max_processing_seconds=1.5")["max_calls"] == 5
    changed = row(service, "org", "limit", slug, "max_calls=none", "max_bytes_per_second=100000")
    assert [changed[name] for name in ("max_calls", "max_processing_seconds", "max_bytes_per_second")] == [None, 1.5, 100000]
    assert row(service, "org", "show", slug)["max_bytes_per_second"] == 100000
    (used,) = (one for one in rows(service, "org", "usage") if one["slug"] == slug)
    assert (used["accepted"], used["limits"]["max_processing_seconds"]) == (0, 1.5)
    assert slug in service("org", "usage").stdout
    for wrong in ("max_calls", "calls=5", "max_calls=many"):
        ended = service("org", "limit", slug, wrong)
        assert (ended.returncode, ended.stderr.startswith(f"topicbase: {wrong} is not NAME=VALUE")) == (2, True)


def test_operators(stack: Stack, cli: Cli, app: Apps, api: Api) -> None:
    user, server = str(uuid.uuid4()), urlsplit(stack.database_url)
    superuser = {"PGUSER": server.username, "PGPASSWORD": server.password, "PGHOST": server.hostname, "PGPASSFILE": None}
    operators, token = partial(cli, "operators", **superuser), stack.token("authenticated", user)

    def may_operate() -> bool:
        return bool(api.ok("get_caller", token=token)["is_operator"])

    assert not may_operate()
    added = row(operators, "add", user)
    assert added["user_id"] == user
    assert row(operators, "add", user) == added, "twice is once"
    assert may_operate()
    assert api.rows("organizations", token=token) == [], "and a member of nothing"
    assert row(app(token), "org", "add", "Firm", "--slug", f"c{uuid.uuid4().hex[:10]}")["name"] == "Firm"
    assert added in rows(operators, "list")
    listed = stack.run("topicbase", "operators", "list").stdout
    assert user in listed
    assert stack.env["DEMO_USER_ID"] in listed
    assert row(operators, "remove", user) == added
    assert not may_operate()
    for ended, code, words in (
        (operators("remove", user), 1, f"{user} is not an operator"),
        (operators("add", "me"), 2, "valid UUID"),
        (cli("operators", "list"), 3, "role mqtt_bridge may not do that"),
        (cli("operators", "list", **superuser, PGPORT="1"), 3, "the database cannot be reached"),
    ):
        assert (ended.returncode, words in ended.stderr) == (code, True), ended.stderr
