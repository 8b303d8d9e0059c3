"""topicbase export and import: out, in again, resumed, repeated."""

import csv
import io
import json
import sys
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer

from bridge.cli import parquet
from tests.cli.conftest import Cli
from tests.support.api import Api
from tests.support.stack import Stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import wait_until

Apps = Callable[[str], Cli]
AT = ("received_at", "measured_at", "sent_at")
COUNT = 2500  # more than two pages and two batches


@pytest.fixture(scope="module")
def owner(stack: Stack, api: Api) -> Tenant:
    return make_tenant(stack, api)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def result(cli: Cli, *arguments: str, code: int = 0, **options: Any) -> dict[str, int]:
    ended = cli("import", *arguments, "--json", **options)
    assert ended.returncode == code, ended.stderr
    answer: dict[str, int] = json.loads(ended.stdout)
    return answer


def history(path: Path, slug: str) -> None:
    """Four years ago, a reading a minute; among them what CSV must quote."""
    start = datetime.fromisoformat("2022-11-28T00:00:00+00:00").timestamp()
    with path.open("w", encoding="utf-8") as file:
        for number in range(COUNT):
            payload = {"t": number, "note": 'a "quoted", line\nbreak'} if number == 7 else {"t": number}
            message = {"topic": f"org_{slug}/devices/d{number % 3}/telemetry", "payload": payload, "timestamp": start + 60 * number}
            file.write(json.dumps(message) + "\n")


def test_there_and_back(owner: Tenant, app: Apps, stack: Stack, api: Api, tmp_path: Path) -> None:
    admin, member = app(owner.admin), app(owner.member)
    source = tmp_path / "history.jsonl"
    history(source, owner.slug)
    assert app(owner.member)("import", "main", str(source)).stderr.startswith("topicbase: admin_required"), "not a member"
    assert result(admin, "main", str(source)) == {"imported": COUNT, "repeated": 0, "rejected": 0}
    assert result(admin, "main", "-", "--format", "jsonl", input=source.read_text()) == {"imported": 0, "repeated": COUNT, "rejected": 0}

    # Out as CSV, interrupted, and resumed: as if it had been written at once.
    until = ("--until", "2100-01-01")
    whole, part, lines = tmp_path / "whole.csv", tmp_path / "part.csv", tmp_path / "whole.jsonl"
    assert member("export", "messages", "-o", str(whole), *until).returncode == 0
    assert [json.loads(row["payload"])["t"] for row in table(whole)] == list(range(COUNT)), "all, in order"
    assert json.loads(table(whole)[7]["payload"])["note"] == 'a "quoted", line\nbreak'
    part.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert member("export", "messages", "-o", str(part), *until).returncode == 2, "nothing is overwritten"
    assert member("export", "messages", "-o", str(part), "--resume", *until).returncode == 0
    assert part.read_bytes() == whole.read_bytes()
    assert "topicbase: 0 rows exported" in member("export", "messages", "-o", str(part), "--resume", *until).stderr
    ended = member("export", "messages", f"org_{owner.slug}/devices/d1/#", "--format", "jsonl", *until)
    lines.write_text(ended.stdout)
    assert [json.loads(line)["payload"]["t"] for line in ended.stdout.splitlines()] == list(range(1, COUNT, 3))

    # As Parquet, interrupted, and resumed.
    out = tmp_path / "out.parquet"
    (tmp_path / "out.parquet.partial").write_bytes(lines.read_bytes()[: lines.stat().st_size // 2])
    d1 = (f"org_{owner.slug}/devices/d1/#", "-o", str(out), *until)
    assert member("export", "messages", *d1).returncode == 2, "nothing is overwritten"
    assert member("export", "messages", *d1, "--resume").returncode == 0
    found = pq.read_table(out).to_pylist()
    assert [{**row, "payload": json.loads(row["payload"])} for row in found] == [
        {name: datetime.fromisoformat(row[name]) if name in AT and row[name] else row[name] for name in found[0]}
        for row in map(json.loads, lines.read_text().splitlines())
    ]
    kinds = {field.name: str(field.type) for field in pq.read_schema(out)}
    assert (kinds["received_at"], kinds["body"], kinds["qos"], kinds["retain"]) == ("timestamp[us, tz=UTC]", "binary", "int8", "bool")
    assert sorted(file.name for file in tmp_path.iterdir() if "parquet" in file.name) == ["out.parquet"]
    assert "exists already" in member("export", "messages", *d1, "--resume").stderr

    # Into another organization, whose devices have other topics.
    other = make_tenant(stack, api)
    moved = tmp_path / "moved.csv"
    moved.write_text(whole.read_text().replace(f"org_{owner.slug}/", f"org_{other.slug}/"))
    assert result(app(other.admin), "main", str(moved)) == {"imported": COUNT, "repeated": 0, "rejected": 0}
    again = tmp_path / "again.csv"
    assert app(other.member)("export", "messages", "-o", str(again), *until).returncode == 0
    kept = ("payload", "measured_at", "topic")
    assert [[row[name] for name in kept] for row in table(again)] == [[row[name] for name in kept] for row in table(moved)]
    refused = app(other.admin)("import", "main", str(whole))
    assert (refused.returncode, refused.stderr.count("topic_not_allowed")) == (1, 10), "another's topics are not stored"


KINDS: tuple[dict[str, Any], ...] = (
    {"payload": None}, {"payload": ""}, {"payload": "null"}, {"payload": "payload"}, {"payload": "NaN"}, {"payload": "two\nlines"},
    {"payload": {}}, {"payload": []}, {"payload": True}, {"payload": 0}, {"payload": {"t": None, "inf": "inf"}},
    {"payload": "/wA=", "payload_encoding": "base64", "content_type": "application/octet-stream"},
    {"payload": "1234", "payload_encoding": "base64", "content_type": "application/octet-stream"},
    {"payload": "", "payload_encoding": "base64", "content_type": "application/octet-stream"},
    {"payload": "17", "payload_encoding": "text", "content_type": "text/plain", "qos": 1, "retain": True},
    {
        "payload": 21.5, "payload_format": "utf-8", "response_topic": "answers/1", "correlation_data": "AAE=", "message_expiry": 60,
        "user_properties": [["unit", "°C"], ["unit", "K"], ["site", "a,b"]],
    },
    {"payload": 1, "user_properties": {"one": "1"}},
)  # fmt: skip
# As they are written: Python would round or not read them.
NUMBERS = ("0.12345678901234567890123456789", "123456789012345678901234567890", "23.400000000000002", "-1.50", "1000", "9" * 308)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_each_kind_of_message_survives_a_round(app: Apps, stack: Stack, api: Api, tmp_path: Path, form: str) -> None:
    old, new = make_tenant(stack, api), make_tenant(stack, api)
    source = tmp_path / "kinds.jsonl"
    places = [(f'"topic": "org_{old.slug}/devices/k/telemetry", "timestamp": {1735689600 + number}, ', number) for number in range(100)]
    lines = [f"{{{place}{json.dumps(kind)[1:]}" for (place, _), kind in zip(places, KINDS, strict=False)]
    lines += [f'{{{place}"payload": {{"n": {text}}}}}' for (place, _), text in zip(places[50:], NUMBERS, strict=False)]
    source.write_text("\n".join(lines))
    assert result(app(old.admin), "main", str(source)) == {"imported": len(lines), "repeated": 0, "rejected": 0}
    assert result(app(old.admin), "main", str(source)) == {"imported": 0, "repeated": len(lines), "rejected": 0}

    def exported(tenant: Tenant, name: str) -> str:
        out = tmp_path / f"{name}.{form}"
        assert app(tenant.member)("export", "messages", "-o", str(out), "--until", "2100-01-01").returncode == 0
        return out.read_text().replace(f"org_{tenant.slug}/", f"org_{new.slug}/")

    def rows(text: str) -> list[dict[str, Any]]:
        kept = ("topic", "payload", "body", "content_type", "decode_error", "qos", "retain", "properties", "measured_at")
        read = list(csv.DictReader(io.StringIO(text))) if form == "csv" else list(map(json.loads, text.splitlines()))
        return [{name: row[name] for name in kept} for row in read]

    first = exported(old, "first")
    assert all(f'"n": {text}' in first.replace('""', '"') for text in NUMBERS), first
    moved = tmp_path / f"moved.{form}"
    moved.write_text(first)
    assert result(app(new.admin), "main", str(moved)) == {"imported": len(lines), "repeated": 0, "rejected": 0}
    assert result(app(new.admin), "main", str(moved)) == {"imported": 0, "repeated": len(lines), "rejected": 0}
    second = exported(new, "second")
    assert rows(second) == rows(first)
    assert all(f'"n": {text}' in second.replace('""', '"') for text in NUMBERS), second


def test_a_bad_row_is_named_and_the_others_are_imported(owner: Tenant, app: Apps, tmp_path: Path) -> None:
    admin, topic = app(owner.admin), f"org_{owner.slug}/devices/bad/telemetry"
    table = tmp_path / "bad.csv"
    cells = ["1", "NaN", "2", "inf", "-Infinity", "1e999", "1" + "0" * 400, "3"]
    table.write_text("timestamp,t\n" + "".join(f"{1735689600 + at},{cell}\n" for at, cell in enumerate(cells)))
    ended = admin("import", "main", str(table), "--topic", topic, "--json")
    assert (ended.returncode, json.loads(ended.stdout)) == (1, {"imported": 3, "repeated": 0, "rejected": 5}), ended.stderr
    assert [line.split(": ")[1] for line in ended.stderr.splitlines()] == ["line 3", "line 5", "line 6", "line 7", "line 8"]

    # Those that only the API knows, too.
    file = tmp_path / "bad.jsonl"
    values = ["4", "NaN", "5", "-1e999", '"\\u0000"', "6", '"\\ud800"', "[" * 150 + "]" * 150, "1e-400", "7"]
    file.write_text("".join(f'{{"topic": "{topic}", "timestamp": {1735689700 + at}, "payload": {one}}}\n' for at, one in enumerate(values)))
    ended = admin("import", "main", str(file), "--json")
    assert (ended.returncode, json.loads(ended.stdout)) == (1, {"imported": 4, "repeated": 0, "rejected": 6}), ended.stderr
    lines = [f"line {number}" for number in (2, 4, 5, 7, 8, 9)]
    assert sorted(line.split(": ")[1] for line in ended.stderr.splitlines()) == lines, ended.stderr


def test_readings(owner: Tenant, app: Apps, tmp_path: Path) -> None:
    admin = app(owner.admin)
    source, out = tmp_path / "wide.csv", tmp_path / "readings.csv"
    source.write_text("device_id,timestamp,h,state\nw1,2025-01-01T00:00:00Z,40.5,on\nw1,2025-01-01T00:01:00Z,41,\n")
    topic = f"org_{owner.slug}/devices/{{device_id}}/telemetry"
    assert result(admin, owner.integration_id, str(source), "--topic", topic)["imported"] == 2
    assert admin("export", "readings", "--device", "w1", "--metrics", "h,state", "-o", str(out)).returncode == 0
    assert [[row[name] for name in ("device_id", "timestamp", "h", "state")] for row in table(out)] == [
        ["w1", "2025-01-01T00:01:00+00:00", "41", ""],
        ["w1", "2025-01-01T00:00:00+00:00", "40.5", "on"],
    ]

    # A row group is many rows, and each metric has one type: numbers, booleans, text, or JSON where it has several.
    source.write_text(
        '{"timestamp": 1735689720, "payload": {"h": 42, "state": true, "on": false, "id": 1e3}}\n'
        '{"timestamp": 1735689780, "payload": {"h": null, "state": {"a": [1]}, "on": true, "id": 123456789012345678}}\n'
    )
    assert result(admin, "main", str(source), "--topic", topic.replace("{device_id}", "w1"), "--format", "jsonl")["imported"] == 2
    out = tmp_path / "readings.parquet"
    assert admin("export", "readings", "--device", "w1", "--metrics", "h,state,on,none", "-o", str(out)).returncode == 0
    read = pq.read_table(out)
    assert [str(kind) for kind in read.schema.types] == ["string", "timestamp[us, tz=UTC]", "double", "string", "bool", "double"]
    assert read["h"].to_pylist() == [None, 42.0, 41.0, 40.5]
    assert read["state"].to_pylist() == ['{"a": [1]}', "true", None, '"on"']
    assert read["on"].to_pylist() == [True, False, None, None]
    assert read["timestamp"].to_pylist()[-1] == datetime.fromisoformat("2025-01-01T00:00:00+00:00")


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # Python's own way to say that there is none
    with pytest.raises(typer.Exit):
        parquet.require()
    assert "pip install pyarrow" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "messages", "--resume"), "--resume needs --output FILE"),
        (("export", "messages", "--format", "xlsx"), "none of csv, jsonl and parquet"),
        (("export", "messages", "--format", "parquet"), "Parquet needs --output FILE"),
        (("export", "messages", "--since", "yesterday"), "--since yesterday is not a time"),
        (("export", "messages", "--direction", "up"), "--direction must be"),
        (("export", "readings", "-o", "/nowhere/x.csv"), "/nowhere/x.csv cannot be written"),
        (("import", "main", "/nowhere/x.csv"), "/nowhere/x.csv cannot be read"),
    ],
)
def test_wrong_arguments(owner: Tenant, app: Apps, arguments: tuple[str, ...], said: str) -> None:
    ended = app(owner.admin)(*arguments)
    assert (ended.returncode, said in ended.stderr) == (2, True), ended.stderr


TOPIC = ("--topic", "x/{c}")


@pytest.mark.parametrize(
    ("text", "name", "options", "said"),
    [
        ("", "a.csv", TOPIC, "the file is empty"),
        ("a,b\n1\n", "a.csv", TOPIC, "line 2 has another number of columns"),
        ("[1]\n", "a.jsonl", TOPIC, "line 1 is not a JSON object"),
        ("a,b\n1,2\n", "a.csv", TOPIC, "names a column that the row does not have"),
        ("device_id,t\nd1,1\n", "a.csv", (), "there is no column topic, only device_id, t: say with --topic"),
        ("topic;timestamp;t\na;2025-01-01T00:00:00Z;1,5\n", "a.csv", (), "the columns are separated by `;`"),
        ("topic\ttimestamp\nx\ty\n", "a.csv", (), "the columns are separated by tabs"),
        ('{"timestamp": 1, "t": 1}\n', "a.jsonl", (), "line 1 has no topic: say with --topic"),
    ],
)
def test_wrong_files(owner: Tenant, app: Apps, tmp_path: Path, text: str, name: str, options: tuple[str, ...], said: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    ended = app(owner.admin)("import", "main", str(file), *options)
    assert (ended.returncode, said in ended.stderr) == (2, True), ended.stderr


def test_a_file_that_is_no_export_is_not_resumed(owner: Tenant, app: Apps, tmp_path: Path) -> None:
    file = tmp_path / f"{uuid.uuid4().hex}.csv"
    file.write_text("a,b\n1,2\n")
    ended = app(owner.member)("export", "messages", "-o", str(file), "--resume")
    assert (ended.returncode, "does not end with a row of an export" in ended.stderr) == (2, True)
    assert file.read_text() == "a,b\n1,2\n"


def test_what_is_stored_late_is_not_left_out(app: Apps, stack: Stack, api: Api, tmp_path: Path) -> None:
    """A message that waited, while one that came after it was stored, is in the file that the next run goes on with."""
    tenant, out = make_tenant(stack, api), tmp_path / "messages.csv"
    member = app(tenant.member)

    def accepted(number: int, minutes: int, due: str) -> None:
        values = {
            "organization": tenant.organization_id, "integration": tenant.integration_id, "minutes": minutes, "due": due,
            "message": json.dumps({"topic": f"org_{tenant.slug}/devices/d/telemetry", "payload": {"n": number}}),
        }  # fmt: skip
        with stack.connect(autocommit=False) as connection:
            connection.execute(
                "INSERT INTO mqtt.ledger (organization_id, bucket, shard, accepted)"
                " VALUES (%(organization)s, date_trunc('minute', now() - make_interval(mins => %(minutes)s)), 0, 1)",
                values,
            )
            connection.execute(
                "INSERT INTO pgmq.q_mqtt_messages (enqueued_at, vt, message, organization_id, integration_id) VALUES"
                " (now() - make_interval(mins => %(minutes)s), now() + %(due)s::interval, %(message)s, %(organization)s, %(integration)s)",
                values,
            )

    def stored() -> int:
        return len(api.ok("list_messages", {"integration_id": tenant.integration_id}, token=tenant.member))

    accepted(1, 10, "1 hour")
    accepted(2, 5, "0 s")
    wait_until(lambda: stored() == 1, what="the second message is stored")
    first = member("export", "messages", "-o", str(out))
    assert (first.returncode, table(out)) == (0, []), first.stderr
    assert "messages still wait to be stored" in first.stderr
    with stack.connect() as connection:
        connection.execute("UPDATE pgmq.q_mqtt_messages SET vt = now() WHERE organization_id = %s", (tenant.organization_id,))
    wait_until(lambda: stored() == 2, what="the first message is stored")
    assert member("export", "messages", "-o", str(out), "--resume").returncode == 0
    assert [json.loads(row["payload"])["n"] for row in table(out)] == [1, 2]
