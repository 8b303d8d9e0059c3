"""The wheel alone leads from an empty database to a stored message: topicbase init, and what it says to do next."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
import requests

from bridge import __version__
from bridge.cli.init import UNITS, _unit, _units_to_copy
from tests.conftest import DATABASE_ONLY
from tests.support.ports import Port
from tests.support.stack import ROOT, postgrest_program, start_stack
from tests.support.waiting import PATIENCE, wait_until
from tests.support.wheel import build_wheel, unpacked

POSTGREST = postgrest_program()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the wheel, unpacked."""
    base = tmp_path_factory.mktemp("wheel")
    return unpacked(build_wheel(base), base / "site")


@pytest.fixture(scope="module", params=["this release", "the last release"])
def first(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release that the database is set up with."""
    if request.param == "this release":
        return wheel
    (last,) = (ROOT / "releases").glob("topicbase-*.whl")
    return unpacked(last, tmp_path_factory.mktemp("last") / "site")


@contextmanager
def running(*command: str, log: Path, **environment: str) -> Iterator[None]:
    with log.open("wb") as output, subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output) as process:
        try:
            yield
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


@pytest.mark.parametrize(
    ("place", "program", "wanted"),
    [
        ("/etc/topicbase", "/usr/lib/topicbase/bin/python3", "yes"),
        ("/home/ada/acme", "/usr/bin/python3", "read-only"),
        ("/etc/topicbase", "/home/ada/topicbase/bin/python", "read-only"),
    ],
)
def test_a_service_sees_the_home_that_it_runs_from(place: str, program: str, wanted: str) -> None:
    replaced = {"/etc/topicbase": place, "/opt/topicbase/bin/topicbase ": f"{program} -m bridge ", "/usr/local/bin/postgrest": program}
    for unit in UNITS.glob("*.service"):
        text = _unit(unit.read_text(), replaced)
        assert re.findall(r"^ProtectHome=(\S+)$", text, re.MULTILINE) == [wanted]


def test_the_packages_units_are_not_hidden_by_copies(tmp_path: Path) -> None:
    assert {unit.name for unit in _units_to_copy(Path("/etc/topicbase"), tmp_path)} >= {"topicbase.service", "topicbase-postgrest.service"}
    (tmp_path / "topicbase.service").touch()
    assert _units_to_copy(Path("/etc/topicbase"), tmp_path) == []
    assert _units_to_copy(Path("/home/ada/acme"), tmp_path)  # theirs name other files


@pytest.mark.timeout(900)
def test_an_empty_database_gets_a_message(wheel: Path, first: Path, tmp_path: Path) -> None:
    place, stack = tmp_path / "etc", start_stack(without=DATABASE_ONLY)
    api, metrics = Port(), Port()
    with ExitStack() as ending:
        ending.callback(stack.down)
        with stack.connect() as db:
            db.execute("CREATE DATABASE fresh")
            db.execute("ALTER ROLE authenticator PASSWORD NULL")
            db.execute("ALTER ROLE mqtt_bridge PASSWORD NULL")
            port = str(db.info.port)
        # a home that holds neither this checkout nor settings of sqitch
        base = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(wheel), "PYTHONSAFEPATH": "1", "POSTGREST": POSTGREST}
        superuser = {
            "PGHOST": "127.0.0.1",
            "PGPORT": port,
            "PGUSER": "postgres",
            "PGPASSFILE": str(stack.run_dir / "pgpass"),
            "PGDATABASE": "fresh",
        }

        def topicbase(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "bridge", *arguments]
            return subprocess.run(
                command, cwd=tmp_path, env={**base, **environment}, capture_output=True, text=True, check=False, timeout=600
            )

        options = ["init", str(place), "--organization", "Acme", "--api-port", str(api.number), "--metrics-port", str(metrics.number)]
        made = topicbase(*options, **superuser, PYTHONPATH=str(first))
        assert made.returncode == 0, made.stdout + made.stderr
        assert {path.name for path in place.iterdir()} >= {"postgrest.conf", "bridge.env", "cli.env", "private.key", "topicbase.service"}
        assert not [path.name for path in place.iterdir() if path.stat().st_mode & 0o077 and path.suffix not in (".service", ".log")]
        assert f"ExecStart={sys.executable} -m bridge run" in (place / "topicbase.service").read_text()
        before = {path.name: path.read_bytes() for path in place.iterdir() if path.name not in ("admin.token", "deploy.log")}
        with stack.connect(dbname="fresh") as listener:
            listener.execute("LISTEN pgrst")
            again = topicbase(*options, **superuser)
            assert again.returncode == 0, again.stdout + again.stderr
            assert [told.payload for told in listener.notifies(timeout=PATIENCE, stop_after=1)] == ["reload schema"]
        assert {name: (place / name).read_bytes() for name in before} == before
        assert "There is no broker: devices send over HTTP. Their logins name mqtt://localhost:1883 nevertheless" in again.stdout
        with psycopg.connect(f"host=127.0.0.1 port={port} user=postgres dbname=fresh passfile={stack.run_dir / 'pgpass'}") as db:
            assert db.execute("SELECT api.get_api_version() ->> 'version'").fetchone() == (__version__,)

        # The shell that set it up still has what it was set up with.
        exported = superuser | {"PGPASSWORD": "the superuser's", "PGHOSTADDR": "127.0.0.2", "TOPICBASE_TOKEN": "someone's"}
        bridge = [sys.executable, "-m", "bridge", "--config", str(place / "bridge.env"), "run"]
        ending.enter_context(running(POSTGREST, str(place / "postgrest.conf"), log=tmp_path / "postgrest.log"))
        ending.enter_context(running(*bridge, log=tmp_path / "bridge.log", **base, **exported))
        wait_until(lambda: answers(f"http://127.0.0.1:{api.number}/"), what="PostgREST")
        wait_until(lambda: answers(f"http://127.0.0.1:{metrics.number}/readyz"), what="the bridge")

        cli = ("--config", str(place / "cli.env"))
        login = json.loads(topicbase(*cli, "credentials", "add", "Hosted broker", "--device", "sensor01", "--json", **exported).stdout)
        url, data = re.findall(r"curl (\S+) .*?-d '(\{.*?\})'$", again.stdout, re.MULTILINE | re.DOTALL)[0]
        sent = requests.post(
            url,
            data=data,
            auth=(login["username"], login["password"]),
            headers={"X-Client-ID": login["client_id"], "Content-Type": "application/json"},
            timeout=PATIENCE,
        )
        assert sent.status_code == 202, sent.text
        wait_until(
            lambda: '{"temperature": 23.5}' in topicbase(*cli, "tail", "--no-follow", **exported).stdout, what="the message in the history"
        )
        doctor = topicbase("--config", str(place / "bridge.env"), "doctor", **exported)
        assert doctor.returncode == 0, doctor.stdout
        assert "note  devices: they are told that the hosted broker is at mqtt://localhost:1883" in doctor.stdout
        if first is wheel:
            assert f"ok    API: http://127.0.0.1:{api.number} answers, with release {__version__}" in doctor.stdout

        here = topicbase(*options, "--broker", "mqtt://127.0.0.1:1883", **superuser)
        assert "Devices are told that the broker is at mqtt://127.0.0.1:1883, where only those on this machine reach it" in here.stdout
        there = topicbase(*options, "--broker", "mqtts://mqtt.example.com:8883", **superuser)
        assert "Devices are told" not in there.stdout
        login = json.loads(topicbase(*cli, "credentials", "add", "Hosted broker", "--json", **exported).stdout)
        assert login["broker_url"] == "mqtts://mqtt.example.com:8883"
        kept = (place / "bridge.env").read_text()
        assert (kept.startswith(before["bridge.env"].decode()), kept.count("TOPICBASE_HOSTED_BROKER_URL=")) == (True, 1)
