"""The migrations where PL/Python is missing, comes later, or lacks a library: everything else stands, and each part says what it needs."""

import base64
import json
import re
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.migrations import planned
from tests.support.servers import PROGRAMS, copied_programs, extensions_of
from tests.support.stack import ROOT, Stack
from tests.test_managed import PASSWORD, deploy, server

# As docs/how-to/install.md has it: not those of earlier releases.
PLPYTHON_SCRIPTS = ["deploy/base/plpython.sql"]
PLPYTHON_SCRIPTS += [f"deploy/base/{path.name}" for path in sorted((ROOT / "deploy/base").glob("py_*[a-z].sql"))]
LIBRARY = PROGRAMS.parent / "lib/plpython3.so"
CODECS = ("cbor", "msgpack", "sparkplug", "influx", "csv", "cayenne", "senml", "binary", "protobuf", "decompress", "transform", "seal")
DATABASE_ONLY = ("mosquitto", "postgrest", "gateway", "bridge")
# Hides the module from the server's Python, and from no virtual environment that a part of the stack runs in.
WITHOUT = """\
import importlib, os, sys
if sys.prefix == sys.base_prefix:
    raise ModuleNotFoundError("No module named '{0}'")
sys.path.remove(os.path.dirname(__file__))
del sys.modules["{0}"]
importlib.import_module("{0}")
"""

Start = Callable[..., Stack]


def test_what_the_deploy_says_to_run_later_are_the_scripts_of_now() -> None:
    """Those of earlier releases, which sort behind them, would put the functions of then in their place."""
    pages = [(ROOT / page).read_text() for page in ("deploy/base/plpython.sql", "docs/how-to/install.md")]
    of_deploy, of_page = (re.findall(r"cat (deploy/base/plpython\.sql [^|]+?) \| psql", page) for page in pages)
    assert of_deploy == of_page
    listed = subprocess.run(["bash", "-c", f"ls {of_deploy[0]}"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert sorted(listed) == sorted(PLPYTHON_SCRIPTS)
    assert not [name for name in listed if "@" in name]


@pytest.fixture
def bare_postgres(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied_programs(tmp_path_factory.mktemp("postgres"), without="plpython")


def list_plpython(programs: Path) -> None:
    """Let that server offer the extension, without its library."""
    extensions = extensions_of(programs)
    for file in (Path("/usr/share/postgresql") / programs.parent.name / "extension").glob("plpython3u*"):
        (extensions / file.name).symlink_to(file)


def codecs(connection: psycopg.Connection[tuple[str, bool, str]]) -> dict[str, str | None]:
    return {codec: reason for codec, _, reason in connection.execute("SELECT * FROM mqtt.codecs()")}


def run_script(stack: Stack, *scripts: str) -> str:
    """Run deploy scripts as a DBA would, by psql as superuser; return what it says."""
    arguments = [argument for script in scripts for argument in ("--file", script)]
    command = ["psql", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", stack.database_url, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr


PLANTED = "planted-secret-of-a-broker"
SETTINGS = {"broker_url": "broker.example.com"}
CERTIFICATE = {"client_certificate": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"}


class Caller:
    """Calls as PostgREST would make them, as an admin or as the service, on a database that has a sealing key."""

    def __init__(self, connection: psycopg.Connection[Any], role: str) -> None:
        self.connection, self.role = connection, role
        self.organization, self.user = str(uuid.uuid4()), str(uuid.uuid4())
        connection.execute("UPDATE mqtt.configuration SET sealing_public_key = decode(repeat('09', 32), 'hex')")
        connection.execute("INSERT INTO mqtt.organizations (id, name, slug) VALUES (%s, 'x', %s)", (self.organization, self.user))
        connection.execute("INSERT INTO mqtt.organization_members VALUES (%s, %s, 'admin')", (self.organization, self.user))

    def run(self, statement: str, *parameters: Any) -> Any:
        with self.connection.transaction():
            claims = json.dumps({"role": self.role, "sub": self.user})
            self.connection.execute("SELECT set_config('request.jwt.claims', %s, true), set_config('role', %s, true)", (claims, self.role))
            row = self.connection.execute(statement.encode(), parameters).fetchone()
            return row and row[0]

    def insert(self, settings: dict[str, Any]) -> Any:
        return self.run(
            "INSERT INTO mqtt.device_integrations (organization_id, name, integration_type, settings)"
            " VALUES (%s, 'x', 'mqtt', %s) RETURNING id",
            self.organization, json.dumps(settings),
        )  # fmt: skip

    def upsert(self, settings: dict[str, Any], integration: str | None = None) -> Any:
        return self.run(
            "SELECT api.upsert_integration(%s, 'x', 'mqtt', %s, %s) ->> 'id'", self.organization, json.dumps(settings), integration
        )

    def update(self, integration: str, settings: dict[str, Any]) -> Any:
        return self.run("UPDATE mqtt.device_integrations SET settings = %s WHERE id = %s RETURNING id", json.dumps(settings), integration)

    def rotate(self, subscription: str, secret: dict[str, str] | None = None) -> Any:
        return self.run("SELECT api.rotate_mqtt_callback_secret(%s, callback_secret => %s)", subscription, secret and json.dumps(secret))

    def subscribe(self, integration: str, secret: dict[str, str] | None) -> Any:
        return self.run(
            "SELECT api.mqtt_subscribe(%s, 'a/#', callback_url => 'https://example.com/', callback_secret => %s) ->> 'id'",
            integration, secret and json.dumps(secret),
        )  # fmt: skip


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(psycopg.DatabaseError) as caught:
        call()
    assert (caught.value.sqlstate, caught.value.diag.message_primary) == ("PT400", "sealing_unavailable")
    told = f"{caught.value} {caught.value.diag.message_detail} {caught.value.diag.message_hint}"
    assert PLANTED not in told
    assert "the database has no PL/Python, and secrets are never stored in clear" in told
    assert "Seal it yourself (libsodium crypto_box_seal, public key CQkJ" in told
    return str(caught.value.diag.message_detail)


def secrets_in_clear_are_refused(stack: Stack, role: str) -> None:
    """By every door, in insert, update and upsert; what the caller sealed is taken."""
    with stack.connect() as connection:
        caller = Caller(connection, role)
        box = {"sealed": base64.b64encode(b"x" * 100).decode()}
        made = [caller.upsert(SETTINGS | {"password": box}), caller.insert(SETTINGS | CERTIFICATE | {"client_key": box})]
        for name, others in (("password", {}), ("client_key", CERTIFICATE)):
            clear = SETTINGS | others | {name: PLANTED}
            for call in (
                lambda clear=clear: caller.upsert(clear),
                lambda clear=clear: caller.upsert(clear, made[0]),
                lambda clear=clear: caller.insert(clear),
                lambda clear=clear: caller.update(made[1], clear),
            ):
                assert refused(call).startswith(f"settings.{name} cannot be sealed here")
        assert refused(lambda: caller.subscribe(made[0], None)).startswith("callback_secret cannot be sealed here")
        subscription = caller.subscribe(made[0], box)
        assert refused(lambda: caller.rotate(subscription)).startswith("callback_secret cannot be sealed here")
        rows = connection.execute(
            "SELECT settings FROM mqtt.device_integrations WHERE organization_id = %s", (caller.organization,)
        ).fetchall()
        assert sorted(json.dumps(row[0].get("password") or row[0].get("client_key")) for row in rows) == [json.dumps(box)] * 2


def payload_rules_read_what_needs_none(stack: Stack) -> None:
    """Rules for text and JSON work as ever; others say why not, and fail nobody else's messages; one with a transform is refused."""
    with stack.connect() as connection:
        caller = Caller(connection, "authenticated")
        integration = caller.insert(SETTINGS)
        caller.run("SELECT api.apply_device_preset(%s, 'homie-4')", integration)
        caller.run("SELECT api.upsert_payload_rule(%s, 'csv/+', '{topic[2]}', decode => 'csv')", integration)
        caller.run("SELECT api.upsert_payload_rule(%s, 'ttn', '{$.id}', decode => 'base64 cayenne of $.data')", integration)
        caller.run("SELECT api.upsert_payload_rule(%s, 'spBv1.0/#', '{$.device}', decode => 'sparkplug')", integration)
        caller.run("SELECT api.upsert_payload_rule(%s, 'text', '{$.id}', decode => 'hex json of $.data')", integration)
        with pytest.raises(psycopg.DatabaseError) as caught:
            caller.run("SELECT api.upsert_payload_rule(%s, 'means', '{$.id}', transform => '{mean: avg(v)}')", integration)
        assert (caught.value.sqlstate, caught.value.diag.message_primary) == ("PT400", "payload_rule_invalid")
        assert "transform needs PL/Python and JMESPath on the database server" in str(caught.value.diag.message_detail)
        connection.execute("SELECT mqtt.count_accepted(%s, 7)", (caller.organization,))
        for topic, body in (
            ("homie/d/node/t/$unit", b"\xc2\xb0C"), ("homie/d/node/t", b"21.5"), ("homie/d/$state", b"ready"), ("csv/d", b"a;b\n1;2"),
            ("spBv1.0/g/NDATA/e", b"\x08\x01"),
            ("ttn", b'{"id": "e", "data": "AWcA"}'), ("text", b'{"id": "f", "data": "7b2274223a20317d"}'),
        ):  # fmt: skip
            connection.execute(
                "INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, body)"
                " VALUES (clock_timestamp(), jsonb_build_object('topic', %s::text), %s, %s, %s)",
                (topic, caller.organization, integration, body),
            )
        connection.execute("SELECT mqtt.store_messages(ARRAY(SELECT q.ctid FROM pgmq.q_mqtt_messages AS q))")
        devices = connection.execute(
            "SELECT d.external_id, d.metadata, d.presence ->> 'state', jsonb_path_query_array(mqtt.latest_of(d), '$.*.value')"
            " FROM mqtt.devices AS d WHERE d.organization_id = %s ORDER BY 1", (caller.organization,)
        ).fetchall()  # fmt: skip
        assert devices == [
            ("d", {"metrics": {"node.t": {"unit": "°C"}}}, "online", [21.5]),
            ("f", {}, "unknown", ["f", 1]),
        ]
        reasons = connection.execute(
            "SELECT decode_error FROM mqtt.mqtt_messages WHERE integration_id = %s AND decode_error IS NOT NULL ORDER BY topic",
            (integration,),
        ).fetchall()
        assert [str(reason[0]).split(": ", 1)[1] for reason in reasons] == [
            "codec_unavailable: this server does not decode csv (see mqtt.codecs())",
            "it is no Sparkplug B payload, or too large with its names, or the server has no PL/Python",
            "codec_unavailable: this server does not decode cayenne (see mqtt.codecs())",
        ]


def verified(stack: Stack) -> None:
    # As sqitch, which does not verify what was replaced.
    run_script(stack, *(f"verify/{change}.sql" for change in planned() if "@" not in change))


@pytest.mark.timeout(900)
def test_a_server_without_pl_python_then_with(bare_postgres: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    cluster = tmp_path / "cluster"
    cluster.mkdir()
    hidden = [tmp_path / f"{module}.py" for module in ("nacl", "jmespath")]
    for file in hidden:
        file.write_text(WITHOUT.format(file.stem))
    with server(cluster, bare_postgres, PYTHONPATH=str(tmp_path)) as at:
        database = f"postgresql://cluster_root:{PASSWORD}@127.0.0.1:{at.port}/app"
        without_then_with(Stack(cluster, {"DATABASE_URL": database}), deploy(at, "cluster_root"), bare_postgres, hidden)
    assert PLANTED not in (cluster / "log").read_text(errors="replace")


def without_then_with(stack: Stack, log: str, bare_postgres: Path, hidden: list[Path]) -> None:
    assert "The parts in PL/Python are left out, since the server has no PL/Python" in log
    assert "kept byte for byte and flagged" in log
    with stack.connect() as connection:
        assert connection.execute("SELECT count(*) FROM pg_proc WHERE proname LIKE 'py\\_%'").fetchone() == (0,)
        for reason in codecs(connection).values():
            assert "not created, since the server has no PL/Python: install it (Debian: postgresql-plpython3-" in str(reason)
        verified(stack)
        for role in ("authenticated", "service_role"):
            secrets_in_clear_are_refused(stack, role)
        payload_rules_read_what_needs_none(stack)

    list_plpython(bare_postgres)
    library = bare_postgres.parent / "lib" / LIBRARY.name
    a_library_that_does_not_load(stack, library)
    library.symlink_to(LIBRARY)
    a_python_without_its_libraries(stack)
    for file in hidden:
        file.unlink()
    run_script(stack, *(f"deploy/base/{name}.sql" for name in ("py_seal", "py_check_transform", "py_transform")))
    with stack.connect() as connection:
        assert codecs(connection) == dict.fromkeys(CODECS)
    verified(stack)
    a_library_that_goes_away(stack, library)


def a_python_without_its_libraries(stack: Stack) -> None:
    said = run_script(stack, *PLPYTHON_SCRIPTS)
    assert "mqtt.py_seal(bytea, text) is not created, since the server's Python does not import nacl" in said
    assert "mqtt.py_transform(text [], text []) is not created, since the server's Python does not import jmespath" in said
    with stack.connect() as connection:
        reasons = codecs(connection)
    assert "install it (Debian: python3-nacl)" in str(reasons.pop("seal"))
    assert "install it (Debian: python3-jmespath)" in str(reasons.pop("transform"))
    assert set(reasons.values()) == {None}
    verified(stack)


def a_library_that_does_not_load(stack: Stack, library: Path) -> None:
    """The extension is listed, but its library is not there, or needs a Python that is not: that is said, and all else stands."""
    said = run_script(stack, *PLPYTHON_SCRIPTS)
    assert 'plpython3u cannot be created: could not access file "$libdir/plpython3"' in said
    assert "The parts in PL/Python are left out, since this database has no PL/Python" in said
    library.write_bytes(LIBRARY.read_bytes().replace(b"libpython3.", b"libpython9."))
    said = run_script(stack, *PLPYTHON_SCRIPTS)
    assert re.search(r"plpython3u cannot be created: could not load library .*: libpython9\.\S+: cannot open shared object file", said)
    library.unlink()
    with stack.connect() as connection:
        assert "CREATE EXTENSION plpython3u, which says why if it cannot" in str(codecs(connection)["cbor"])
    verified(stack)


def a_library_that_goes_away(stack: Stack, library: Path) -> None:
    """The functions are there, and nothing runs them: that is said, as where there are none, and stops nobody else's messages."""
    library.unlink()
    said = run_script(stack, *PLPYTHON_SCRIPTS)
    assert 'since the server does not load PL/Python (could not access file "$libdir/plpython3"' in said
    verified(stack)
    with stack.connect() as connection:
        assert {str(reason).split(":")[0] for reason in codecs(connection).values()} == {'could not access file "$libdir/plpython3"'}
    payload_rules_read_what_needs_none(stack)


def test_scripts_run_again(fresh_stack: Start) -> None:
    stack = fresh_stack(without=DATABASE_ONLY)
    assert "left out" not in run_script(stack, *PLPYTHON_SCRIPTS)
    with stack.connect() as connection:
        assert codecs(connection) == dict.fromkeys(CODECS)
        connection.execute("DROP FUNCTION mqtt.py_seal(bytea, text)")
        assert "mqtt.py_seal(bytea, text) is absent though nothing stands against it" in stack.verify()
        connection.execute("CREATE ROLE dba LOGIN PASSWORD 'dba' IN ROLE mqtt_owner")
        with stack.connect(user="dba", password="dba") as as_dba:
            assert "only a superuser creates functions in PL/Python" in str(codecs(as_dba)["seal"])
        run_script(stack, "deploy/base/py_seal.sql")
        assert stack.verify() == ""
