"""The README and the tutorials tell the truth: their commands run as they stand, and the tables leave nothing out."""

import os
import re
import signal
import subprocess

import pytest

from tests.support.stack import ROOT, Stack
from tests.support.waiting import PROGRAM_PATIENCE, wait_until

README = (ROOT / "README.md").read_text()
TOUR = (ROOT / "docs" / "tutorials" / "tour.md").read_text()
SETTINGS = "".join((ROOT / "docs" / "reference" / name).read_text() for name in ("bridge.md", "local-stack.md"))
FOLLOWING = (ROOT / "docs" / "how-to" / "follow-messages-live.md").read_text()
TUTORIAL = (ROOT / "docs" / "tutorials" / "first-device.md").read_text()
CONFIGURATION = (ROOT / "docs" / "reference" / "configuration.md").read_text()


def printed(page: str, stack: Stack) -> str:
    """What the commands of a page print, run in one shell."""
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    environment = {**os.environ, "TOPICBASE_RUN_DIR": str(stack.run_dir)}
    run = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=script,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PROGRAM_PATIENCE,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def tour(stack: Stack) -> str:
    return printed(TOUR, stack)


@pytest.mark.parametrize(
    "expected",
    [
        r'"status" : "queued"',
        r'"accepted" : 1, "rejected" : \[\{"index" : 1, "code" : "topic_not_allowed"',
        r'"deviceId":"sensor01","metrics":\{"temperature": ',
        r'"temperature": \{"avg": 23',
        r'"external_id": "sensor01"',
        r'^\{"led": "on"\}$',
        r'"state":"acknowledged"',
        r'[0-9a-f-]{36} \{"type" : "mqtt.message", .*"payload" : \{"temperature": 24.1\}',
        r'"status":"(waiting|delivered)","attempts":\d+,"status_code":',
        r'"ok": true.*"round_trip_ms": ',
        r'"has_password": true',
        r'"pending": ',
        r"^\[\]topicbase_processed|^\[\]$",
        r"^1 acknowledged$",
        r"telemetry \{\"temperature\": 24\.1\}$",
        r"^\d+ messages match$",
        r'"message" ?: ?"invalid_credentials"',
    ],
)
def test_the_tours_commands_print_what_it_says(tour: str, expected: str) -> None:
    assert re.search(expected, tour, re.MULTILINE), tour


def test_the_readme_leads_to_a_message(stack: Stack) -> None:
    out = printed(README, stack)
    assert re.search(r'"status" : "queued"', out)
    assert re.search(r'<- org_demo/devices/sensor01/telemetry \{"temperature": 23\.5\}', out), out

    def temperatures() -> set[float]:
        with stack.connect() as connection:
            rows = connection.execute("SELECT m.payload -> 'temperature' FROM mqtt.mqtt_messages AS m WHERE m.topic LIKE '%/sensor01/%'")
            return {value for (value,) in rows}

    wait_until(lambda: {23.5, 23.9} <= temperatures(), what="both messages")


def test_the_readme_is_short() -> None:
    assert len(README.split()) < 1250


@pytest.mark.parametrize("time", ["first", "second"])
def test_the_tutorial_prints_what_it_says(stack: Stack, time: str) -> None:
    del time  # a second time on the same stack, it does the same
    lines = printed(TUTORIAL, stack).splitlines()
    for line in (
        "org_acme/#|active",
        'org_acme/devices/sensor01/telemetry|{"temperature": 21.7}',
        'sensor01|{"temperature": 21.7}',
        "acknowledged",
        '{"fan": "on"}',
        "revoked",
    ):
        assert f"# {line}\n" in TUTORIAL
        assert line in lines
    assert any("topic_not_allowed" in line for line in lines)


@pytest.mark.parametrize("block", re.findall(r"^```sh\n(.*?)^```$", FOLLOWING, re.MULTILINE | re.DOTALL))
def test_its_commands_follow_what_comes(stack: Stack, block: str) -> None:
    script = f"echo begun\n{block}"
    environment = {**os.environ, "TOPICBASE_RUN_DIR": str(stack.run_dir), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as follower:
        assert follower.stdout is not None
        try:
            # A stream shows what comes after it has begun, and says that it has.
            begun = "event: subscribed" if "curl" in block else "begun"
            assert any(begun in line for line in follower.stdout)
            stack.run("topicbase", "publish", stack.env["DEMO_INTEGRATION_ID"], "org_demo/devices/live/telemetry", '{"followed": 1}')
            assert any("followed" in line for line in follower.stdout)
        finally:
            os.killpg(follower.pid, signal.SIGTERM)


def test_its_commands_show_the_messages_of_every_way(tour: str, stack: Stack) -> None:
    del tour
    with stack.connect() as connection:
        found = connection.execute(
            "SELECT array_agg(DISTINCT m.payload -> 'temperature') FROM mqtt.mqtt_messages AS m"
            " WHERE m.topic = 'org_demo/devices/sensor01/telemetry' AND m.direction = 'incoming'"
        ).fetchone()
    assert found is not None
    assert sorted(found[0]) == [23.5, 23.59375, 23.6, 23.7, 23.9, 24.1]


def test_it_names_every_variable() -> None:
    sources = [*ROOT.glob("bridge/**/*.py"), *ROOT.glob("bin/*"), *ROOT.glob("demo/**/*.py"), *ROOT.glob("deploy/*/*.sql")]
    used = {name for path in sources if path.is_file() for name in re.findall(r"\bTOPICBASE_[A-Z_]*[A-Z]\b", path.read_text())}
    internal = {
        "TOPICBASE_MATRIX",  # set by bin/test-matrix
        "TOPICBASE_STACK",  # set by bin/stack for topicbase
        "TOPICBASE_TEMPLATE",  # set by the test runner for its own stacks
        "TOPICBASE_TEST_DIR",
        "TOPICBASE_WITH_STACK",
    }
    built = {name for name in used if any(other != name and other.startswith(name) for other in used)}  # prefixes of names put together
    missing = {name for name in used - internal - built if name not in SETTINGS}
    assert missing == set()


def test_the_reference_describes_every_configuration_column(stack: Stack) -> None:
    with stack.connect() as connection:
        rows = connection.execute(
            "SELECT a.attname FROM pg_attribute AS a"
            " WHERE a.attrelid = 'mqtt.configuration'::regclass AND a.attnum > 0 AND NOT a.attisdropped"
        ).fetchall()
    columns = {name for (name,) in rows} - {"is_only_row"}
    assert {name for name in columns if f"| `{name}` |" not in CONFIGURATION} == set()
