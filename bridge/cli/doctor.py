"""What is wrong with an installation, and how to fix it."""

import os
import re
import shutil
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import psycopg
import typer

from bridge import SCHEMA_VERSION, __version__, sealing, shipped
from bridge.api import ApiError, RefusedError, UnreachableError, bare, look
from bridge.cli import common
from bridge.database import pooler
from bridge.database.calls import OperatorCalls
from bridge.settings import Settings, SettingsError
from bridge.values import Request

SKEW_NOTE, SKEW_FAULT = 1.0, 5.0
HELD_FAULT = 3600.0
BEHIND_NOTE = 10800.0
STACK = "TOPICBASE_STACK"  # set by bin/stack of a checkout: the command that starts and stops its parts
TOLD = 5  # of what fails
WAITING_FAULT = 300.0  # pg_cron runs every minute
_GRANTS = "GRANT USAGE ON SCHEMA bridge TO {role}; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA bridge TO {role}"
_MARKS = {"ok": "[green]ok[/]   ", "note": "[yellow]note[/] ", "fault": "[red]fault[/]"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: ok, note (it works, but could be better) or fault; and how to fix it."""

    check: str
    state: str
    words: str
    fix: str | None = None


def doctor(
    json: Annotated[bool, typer.Option("--json", help='A list of {"check", "state", "words", "fix"}.')] = False,
) -> None:
    """Check this installation, and say how to fix what is wrong.

    Checks the settings, the database (version, schema, deployed changes, privileges of the role, clock, pgmq, partitions, keys, PL/Python,
    pg_cron, integrations in error, an archive, rollups, steps of maintenance that fail, what holds vacuum back), whether a pooler is in the
    way, the bridge on this machine, the hosted broker (name, address, TLS, login, round trip) and which one devices are told, and, with
    TOPICBASE_API_URL and TOPICBASE_STREAM_URL, whether the API and the live stream answer. It changes nothing. Run it with the bridge's own
    settings, as the bridge's user.

    Exit code 0 if there is no fault (notes do not count), otherwise 1.

    \b
    Examples:
      topicbase --config /etc/topicbase/bridge.env doctor
      topicbase doctor --json | jq -r '.[] | select(.state == "fault") | .fix'
    """
    console = common.console()
    findings = []
    for finding in examine():
        findings.append(finding)
        if not json:
            console.print(f"{_MARKS[finding.state]} {finding.check}: {common.text(finding.words)}")
            if finding.fix:
                console.print(f"      -> {common.text(finding.fix)}")
    if json:
        common.as_json([{"check": one.check, "state": one.state, "words": one.words, "fix": one.fix} for one in findings])
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(common.NO)


def examine() -> Iterator[Finding]:
    settings, values = Settings(), common.values()
    try:
        settings = common.source().read()
    except SettingsError as error:
        yield Finding("settings", "fault", str(error), "docs/reference/bridge.md lists the settings")
    else:
        yield Finding("settings", "ok", f"topicbase {__version__}" + (f", settings of {path}" if (path := common.source().path) else ""))
    yield from _database(settings)
    if url := values.get("TOPICBASE_API_URL"):
        yield _api(url)
    if url := values.get("TOPICBASE_STREAM_URL"):
        yield _stream(url)
    if settings.metrics_address is not None:
        yield _bridge(*settings.metrics_address)
    if settings.hosted_broker_url is not None:
        yield from _broker(settings)


def _database(settings: Settings) -> Iterator[Finding]:
    try:
        connection = common.connect("doctor")
    except psycopg.OperationalError as error:
        yield Finding(
            "database",
            "fault",
            common.whole(error),
            "check PGHOST, PGPORT, PGDATABASE, PGUSER and PGPASSFILE, and pg_hba.conf on the server",
        )
        return
    with connection:
        version = connection.info.server_version
        yield _judged(
            "database", version >= 150000, f"PostgreSQL {version // 10000}.{version % 10000} at {connection.info.host or 'its socket'}",
            "PostgreSQL 15 or newer is required",
        )  # fmt: skip
        is_direct = False
        try:
            pooler.check(connection)
        except pooler.PoolerError as error:
            yield Finding("pooler", "fault", str(error).split(";")[0], pooler.HINT)
        else:
            is_direct = True
            yield Finding("pooler", "ok", "the connection is direct")
        database = OperatorCalls(connection)
        yield _clock(database)
        try:
            facts = database.diagnose()
        except psycopg.Error as error:
            yield _without_diagnosis(error, connection.info.user)
            return
        # Through a pooler, the lock of a bridge would outlast this session.
        told = list(_told_broker(database, settings)) if is_direct else []
    if facts["schema_version"] != SCHEMA_VERSION or "functions" not in facts:  # facts of another release cannot be judged
        yield _schema(facts)
        return
    for check in (_schema, _changes, _functions, _role, _pgmq, _partitions, _codecs, _maintenance, _vacuum, _notices, _integrations):
        yield check(facts)
    yield from _archive(facts)
    yield _rollups(facts["rollups"])
    yield _failures(facts["maintenance_failures"])
    yield from _capacity(facts)
    yield from _keys(settings, facts["sealing"])
    yield from told
    if settings.allow_private_addresses != facts["allow_private_addresses"]:
        yield Finding(
            "addresses", "note", "the bridge and the database disagree on whether brokers may be at private addresses",
            "TOPICBASE_ALLOW_PRIVATE_ADDRESSES and mqtt.configuration.allow_private_addresses should say the same",
        )  # fmt: skip


def _judged(check: str, is_well: bool, words: str, fix: str, state: str = "fault") -> Finding:
    return Finding(check, "ok", words) if is_well else Finding(check, state, words, fix)


def _without_diagnosis(error: psycopg.Error, role: str) -> Finding:
    if isinstance(error, psycopg.errors.InvalidSchemaName | psycopg.errors.UndefinedFunction):
        return Finding(
            "schema", "fault", "this database lacks the schema of this release", "sqitch deploy --verify, from the release of this program"
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        words = f"role {role} may not call the functions of schema bridge: {error.diag.message_primary}"
        fix = f"as a superuser: {_GRANTS.format(role=role)}" if role == "mqtt_bridge" else "PGUSER=mqtt_bridge"
        return Finding("role", "fault", words, fix)
    return Finding("schema", "fault", common.whole(error), "see the server's log")


def _clock(database: OperatorCalls) -> Finding:
    began = time.time()
    now = database.clock()
    ended = time.time()
    skew = now - (began + ended) / 2
    state = "ok" if abs(skew) < SKEW_NOTE else "note" if abs(skew) < SKEW_FAULT else "fault"
    fix = (
        None
        if state == "ok"
        else "run an NTP client (chrony, systemd-timesyncd) on both machines: tokens and certificates expire by the clock"
    )
    return Finding("clock", state, f"the database's clock is {abs(skew):.2f} s {'ahead of' if skew > 0 else 'behind'} this machine's", fix)


def _schema(facts: dict[str, Any]) -> Finding:
    found = facts["schema_version"]
    if found == SCHEMA_VERSION and "functions" not in facts:
        return Finding(
            "schema", "fault", "schema bridge is older than this program", "sqitch deploy --verify, from the release of this program"
        )
    return _judged(
        "schema", found == SCHEMA_VERSION, f"version {found} of schema bridge; this program needs {SCHEMA_VERSION}",
        "sqitch deploy, or install the bridge of the database's release; upgrade the database first",
    )  # fmt: skip


def _changes(facts: dict[str, Any]) -> Finding:
    if facts.get("changes") is None:
        return Finding(
            "migrations", "note", "sqitch's registry is not in schema sqitch, or mqtt_owner may not read its names",
            "sqitch status, as the deployer; GRANT USAGE ON SCHEMA sqitch TO mqtt_owner, and "
            "SELECT (project, change, script_hash, committed_at) ON sqitch.changes",
        )  # fmt: skip
    planned, deployed = shipped.changes(), facts["changes"]
    if missing := shipped.missing(deployed):
        return Finding(
            "migrations", "fault", f"{len(missing)} of this release's {len(planned)} changes are not deployed: {_some(missing)}",
            "sqitch deploy --verify, from the release of this program",
        )  # fmt: skip
    if altered := shipped.altered(deployed):
        return Finding(
            "migrations", "fault", f"{len(altered)} changes were deployed from other scripts than this release's: {_some(altered)}",
            "sqitch does not deploy them again: go by a release (docs/how-to/upgrade.md); in a checkout, `bin/apply` or `make clean up`",
        )  # fmt: skip
    if surplus := sorted(set(deployed).difference(planned)):
        return Finding(
            "migrations",
            "note",
            f"all {len(planned)} of this release are deployed, and {len(surplus)} unknown to it: {surplus[0]} …",
            "the database is from a newer release: install its bridge as well",
        )
    return Finding("migrations", "ok", f"all {len(planned)} changes of this release are deployed, from its scripts")


def _functions(facts: dict[str, Any]) -> Finding:
    found = shipped.differences(facts["functions"])
    if found and facts.get("changes") is not None and shipped.missing(facts["changes"]):
        return Finding("functions", "fault", _some(found), "sqitch deploy --verify: it replaces what changes of this release replace")
    return _judged(
        "functions", not found, _some(found) if found else f"all {len(facts['functions'])} are those of this release",
        "someone changed them by hand, or they are left from another release: run again the scripts that are named, drop what is left over",
    )  # fmt: skip


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _role(facts: dict[str, Any]) -> Finding:
    role, surplus, missing = facts["role"], facts["surplus_privileges"], facts["missing_privileges"]
    if missing:
        return Finding("role", "fault", f"{role} may not call {_some(missing)}", f"as a superuser: {_GRANTS.format(role=role)}")
    if surplus:
        return Finding(
            "role",
            "fault",
            f"{role} has more privileges than a bridge needs: it {_some(surplus)}",
            "PGUSER=mqtt_bridge, or revoke them",
        )
    return Finding("role", "ok", f"{role} may call the functions of schema bridge, and nothing else")


def _pgmq(facts: dict[str, Any]) -> Finding:
    kind = f"extension {facts['pgmq']}" if facts["pgmq"] else "from its SQL file"
    return _judged(
        "pgmq",
        len(facts["queues"]) == 2,
        f"{kind}; queues: {', '.join(facts['queues']) or 'none'}",
        "sqitch verify; restore the missing queue",
    )


def _partitions(facts: dict[str, Any]) -> Finding:
    fix = "SELECT mqtt.run_maintenance() as a superuser; a running bridge does that every minute, and its log says why it could not"
    late = [one["parent"] for one in facts["partitions"] if one["days_ahead"] is None or one["days_ahead"] < 1]
    if late:
        return Finding("partitions", "fault", f"none for tomorrow: {', '.join(late)}; rows will go to the default partition", fix)
    strays = [f"{one['parent']} ({one['in_default']} rows)" for one in facts["partitions"] if one["in_default"]]
    if strays:
        return Finding(
            "partitions",
            "note",
            f"rows are in the default partition: {', '.join(strays)}",
            "retention removes them; maintenance ran late, or a clock was wrong",
        )
    return Finding("partitions", "ok", f"ready {min(one['days_ahead'] for one in facts['partitions'])} days ahead")


def _codecs(facts: dict[str, Any]) -> Finding:
    reasons: dict[str, list[str]] = {}
    for one in facts["codecs"]:
        if not one["available"]:
            # What follows is a command, which differs from one to the next.
            reasons.setdefault(re.split(r"[:;]", one["reason"])[0], []).append(one["codec"])
    if reasons:
        words = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())
        return Finding("PL/Python", "note", f"left out: {words}", "docs/how-to/install.md, Without PL/Python; everything else works")
    return Finding("PL/Python", "ok", f"{', '.join(one['codec'] for one in facts['codecs'])} work")


def _maintenance(facts: dict[str, Any]) -> Finding:
    jobs, live, waiting = facts["maintenance_jobs"], facts["live_bridges"], facts["waiting_seconds"]
    words = f"running bridges: {live}" + (f", and {jobs} jobs of pg_cron do a bridge's work" if jobs else "")
    # Jobs that are there need not work.
    if not live and jobs != 0 and waiting is not None and waiting > WAITING_FAULT:
        return Finding(
            "maintenance",
            "fault",
            f"no bridge is running, and no scheduler does its work: a message has waited for {common.seconds(waiting)}",
            "topicbase run; or SELECT * FROM cron.job_run_details ORDER BY start_time DESC LIMIT 10 says why pg_cron's jobs fail",
        )
    if jobs is None:
        return Finding(
            "maintenance",
            "note",
            f"running bridges: {live}; whether pg_cron does the same work is not visible",
            "SELECT * FROM cron.job as a superuser",
        )
    if jobs and live:
        return Finding("maintenance", "note", words, "harmless but redundant: SELECT cron.unschedule(jobname) FROM cron.job WHERE …")
    if not jobs and not live:
        return Finding(
            "maintenance",
            "fault",
            "no bridge is running: nothing is stored, published or cleaned up",
            f"{stack} start bridge" if (stack := os.environ.get(STACK)) else "topicbase run, or pg_cron (docs/how-to/install.md)",
        )
    return Finding("maintenance", "ok", words)


def _vacuum(facts: dict[str, Any]) -> Finding:
    holders = facts["vacuum_holders"]
    if holders:
        words = "; ".join(
            f"{one['kind']} {one['pid'] or ''} ({one['name']}), {one['state']}"
            + (f", for {common.seconds(one['held_seconds'])}" if one["held_seconds"] is not None else "")
            for one in holders[:3]
        )
        is_long = any((one["held_seconds"] or HELD_FAULT) >= HELD_FAULT for one in holders)
        return Finding(
            "vacuum", "fault" if is_long else "note", f"held back by {words}",
            "end it: SELECT pg_terminate_backend(pid), ROLLBACK PREPARED, pg_drop_replication_slot; queues grow and slow down meanwhile",
        )  # fmt: skip
    if not facts["sees_all_sessions"]:
        return Finding(
            "vacuum", "note", "nothing that mqtt_owner may see holds it back", "as a superuser: GRANT pg_read_all_stats TO mqtt_owner"
        )
    return Finding("vacuum", "ok", "nothing holds it back")


def _notices(facts: dict[str, Any]) -> Finding:
    ratio = facts["notify_queue_ratio"]
    return _judged(
        "NOTIFY queue",
        ratio < 0.1,
        f"{ratio:.0%} full",
        "a listening session that stays in a transaction fills it; once it is full, commits fail",
    )


def _integrations(facts: dict[str, Any]) -> Finding:
    # A note: at an installation of many organizations the broker of one of them may be down, and nothing is wrong here.
    failing = [f"{one['organization']}/{one['name']} ({one['reason'] or 'no reason is known'})" for one in facts["failing_integrations"]]
    return _judged(
        "integrations",
        not failing,
        f"{len(failing)} in error: {_some(failing)}" if failing else "none is in error",
        "see to its broker, or correct its settings: mqtt_test_connection says at which stage it fails, topicbase status shows all",
        "note",
    )


def _archive(facts: dict[str, Any]) -> Iterator[Finding]:
    if archive := facts.get("archive"):
        failure = archive["failure"]
        yield _judged(
            "archive",
            failure is None,
            f"it is down: {failure}; what reads packed days is answered with 503, rollups and deletions wait" if failure else "it answers",
            "start its server; SELECT * FROM pg_foreign_server says where Topicbase looks for it",
        )


def _rollups(state: dict[str, Any]) -> Finding:
    behind = state["behind_seconds"]
    return _judged(
        "rollups",
        behind < BEHIND_NOTE,
        f"up to {common.seconds(behind)} behind",
        "after an import or a long stop they catch up by themselves; if they do not, the bridge's log (rollups_failed) says why",
        "note",
    )


def _failures(failures: list[dict[str, Any]]) -> Finding:
    words = "; ".join(
        f"{' of '.join(filter(None, (one['step'], one['subject'])))} ({one['failures']} in a row): {one['failure']}"
        for one in failures[:TOLD]
    )
    more = f"; and {len(failures) - TOLD} more" if len(failures) > TOLD else ""
    return _judged(
        "maintenance steps",
        not failures,
        f"these fail: {words}{more}" if failures else "none fails",
        "they are tried again by themselves (mqtt.maintenance_failures says when), and all others are done meanwhile;"
        " messages that retention removes before rollups succeed will not be in these",
    )


def _capacity(facts: dict[str, Any]) -> Iterator[Finding]:
    for name, stop in (("ingest", facts["ingest_pause"]), ("publish", facts["publish_pause"])):
        is_disk = stop is not None and "disk" in stop
        fix = (
            "free space on the database's data disk, or lower mqtt.configuration.min_free_bytes"
            if is_disk
            else "find out why the queue does not get shorter (topicbase status), or raise mqtt.configuration.max_queued"
        )
        yield _judged(name, stop is None, stop or "open", fix)


def _keys(settings: Settings, state: dict[str, Any]) -> Iterator[Finding]:
    keys, sealed = settings.private_keys, state["sealed"]
    if keys is None:
        if settings.private_key_fault or state["key"] or sealed:
            why = settings.private_key_fault or "TOPICBASE_PRIVATE_KEY_FILE is not set, and the database seals secrets"
            yield Finding("keys", "fault", why, "store the private key that belongs to the database's public key there")
        else:
            yield Finding(
                "keys", "note", "none: passwords of external brokers cannot be stored", "topicbase keygen, and the UPDATE that it prints"
            )
        return
    statement = sealing.statement(keys.public_key)
    if state["key"] is None:
        yield Finding("keys", "fault", "the database has no public key", f"as a superuser: {statement}")
    elif state["key"] not in keys.ids:
        yield Finding(
            "keys",
            "fault",
            "the database's public key belongs to another private key: new secrets stay sealed",
            f"use the right key file, or: {statement}",
        )
    elif state["key"] != keys.current:
        yield Finding("keys", "note", "the database still seals to an old key", statement)
    else:
        yield Finding("keys", "ok", f"the private key belongs to the database's public key ({keys.current})")
    lost = sum(count for name, count in sealed.items() if name and name not in keys.ids)
    if lost:
        yield Finding(
            "secrets",
            "fault",
            f"{lost} are sealed to keys that this bridge lacks",
            "TOPICBASE_OLD_PRIVATE_KEY_FILES, then topicbase reseal",
        )
    elif old := sum(count for name, count in sealed.items() if name != keys.current):
        yield Finding("secrets", "note", f"{old} are not known to be sealed to the current key", "topicbase reseal")


def _told_broker(database: OperatorCalls, settings: Settings) -> Iterator[Finding]:
    """What the logins of devices say of the hosted broker, if there is an integration of that kind."""
    try:
        told = database.told_broker_url()
        integrations = database.status()["integrations"]
    except psycopg.Error:
        return  # what the role may not call, another check says
    if not any(one["integration_type"] == "mqtt_hosted" for one in integrations):
        return
    if not common.is_own_machine(told):
        yield Finding("devices", "ok", f"they are told that the hosted broker is at {told}")
        return
    words = f"they are told that the hosted broker is at {told}, where only those on its own machine reach it"
    fix = "as a superuser: UPDATE mqtt.configuration SET hosted_broker_url = 'mqtts://mqtt.example.com:8883', its address for devices"
    if settings.hosted_broker_url is None:
        words = f"they are told that the hosted broker is at {told}, and this bridge serves none: what they send over HTTP is stored"
        fix = f"docs/how-to/brokers says how to have one; then TOPICBASE_HOSTED_BROKER_URL and, {fix}"
    yield Finding("devices", "note", words, fix)


def _api(url: str) -> Finding:
    """Whether PostgREST answers a call that needs the database, and no login."""
    place, answer = _asked("TOPICBASE_API_URL", url, "/rpc/get_api_version")
    version = answer.get("version") if isinstance(answer, dict) else None
    if isinstance(version, str):
        return Finding("API", "ok", f"{place} answers, with release {version}")
    start = f"{stack} start postgrest" if (stack := os.environ.get(STACK)) else "systemctl start topicbase-postgrest"
    fix = f"{start}, or see its log; TOPICBASE_API_URL is PostgREST's URL, or the gateway's with /rest/v1"
    return Finding("API", "fault", _reason(place, answer), fix)


def _stream(url: str) -> Finding:
    """Whether the live stream asks for a login: no gateway passes its /healthz on."""
    place, answer = _asked("TOPICBASE_STREAM_URL", url)
    if isinstance(answer, RefusedError) and str(answer).startswith("token_missing"):
        return Finding("live stream", "ok", f"{place} answers, and asks for a login")
    start = f"{stack} start gateway stream" if (stack := os.environ.get(STACK)) else "systemctl start topicbase-stream"
    fix = f"{start}, or see its log; TOPICBASE_STREAM_URL is the gateway's URL with /stream"
    return Finding("live stream", "fault", _reason(place, answer), fix)


def _asked(name: str, url: str, path: str = "") -> tuple[str, Any]:
    """Where a setting leads, without secrets; and what is answered there, or the error in place of it."""
    try:
        place = bare(url)
    except ValueError:
        place = ""
    if not re.match(r"https?://[^/\s]", place):
        return name, UnreachableError(f"{name} is not a URL: it must begin with `http://` or `https://`")
    try:
        return place, look(place + path)
    except (ApiError, UnreachableError) as error:
        return place, error


def _reason(place: str, answer: Any) -> str:
    if not isinstance(answer, Exception):
        return f"{place} does not answer as Topicbase does"
    if isinstance(answer, ApiError) and 300 <= answer.status < 400:
        return f"{place} redirects (HTTP {answer.status}), which no command follows"
    words = str(answer).splitlines()[0]
    return words if words.startswith(place) else f"{place}: {words}"


def _bridge(host: str, port: int) -> Finding:
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/readyz"
    stack = os.environ.get(STACK)
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # of the settings' own address
            return Finding("bridge", "ok", f"{url} says {answer.read(200).decode(errors='replace').strip()}")
    except urllib.error.HTTPError as error:
        fix = f"see its log: {f'{stack} logs bridge' if stack else 'journalctl -u topicbase'}"
        return Finding("bridge", "fault", error.read(500).decode(errors="replace").strip(), fix)
    except OSError:
        return Finding("bridge", "note", f"none answers at {url}", f"{stack} start bridge" if stack else "systemctl start topicbase")


def _broker(settings: Settings) -> Iterator[Finding]:
    from bridge.mqtt.probe import Probe  # noqa: PLC0415  # the other checks need no sockets

    request = Request(uuid.uuid4(), "test_connection", uuid.uuid4(), "mqtt_hosted", {}, "topicbase")
    verdict = Probe(request, settings).run()
    stage, reason = verdict.get("stage", "?"), str(verdict.get("reason", ""))
    if verdict["ok"] and stage == "round_trip":
        times = ", ".join(
            f"{name} {verdict[f'{key}_ms']:.0f} ms"
            for key, name in (("tcp", "TCP"), ("tls", "TLS"), ("round_trip", "round trip"))
            if f"{key}_ms" in verdict
        )
        yield Finding("broker", "ok", f"{settings.hosted_broker_url}: {times}")
    else:
        yield Finding(
            "broker", "fault", f"{settings.hosted_broker_url}, stage {stage}: {reason}", _FIXES.get(stage, "see the broker's log")
        )
    if (
        settings.mosquitto_access_file is not None
        and shutil.which("mosquitto") is None
        and shutil.which("mosquitto", path="/usr/sbin") is None
    ):
        yield Finding(
            "broker",
            "note",
            "Mosquitto's access file is maintained, but no mosquitto is installed here",
            "it only works for a Mosquitto on this machine",
        )


_FIXES = {
    "settings": "check TOPICBASE_HOSTED_BROKER_URL and …_USERNAME, …_PASSWORD_FILE",
    "dns": "check the host name in TOPICBASE_HOSTED_BROKER_URL, and this machine's resolver",
    "tcp": "is the broker running, is the port right, is there a firewall in between?",
    "tls": "the certificate must be signed by an authority of the system's store, for the host name in the URL",
    "websocket": "check the path in the URL, and whether that listener speaks WebSockets",
    "connack": "check the bridge's account at the broker: TOPICBASE_HOSTED_BROKER_USERNAME, …_PASSWORD_FILE",
    "subscribe": "the bridge's account must be allowed to read every topic (topic readwrite #)",
    "publish": "the bridge's account must be allowed to write every topic (topic readwrite #)",
}
