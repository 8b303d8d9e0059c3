"""Grafana's dashboards and their page: each query runs as the login that the page makes, and shows its organization alone."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.support.api import Api
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import wait_until

PAGE = (ROOT / "docs/how-to/use-grafana.md").read_text()
BOARD: dict[str, Any] = json.loads((ROOT / "packaging/grafana/readings.json").read_text())
Connection = psycopg.Connection[tuple[Any, ...]]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Site:
    own: Tenant
    other: Tenant
    login: str


def has_reading(tenant: Tenant) -> bool:
    rows: list[Any] = tenant.api.ok("query_telemetry", {"organization_id": tenant.organization_id}, token=tenant.member)
    return len(rows) == 1


@pytest.fixture(scope="module")
def site(stack: Stack, api: Api) -> Iterator[Site]:
    """Two organizations with a device `pump` each, and the login that the page makes for the first."""
    own, other = make_tenant(stack, api), make_tenant(stack, api)
    for tenant, temperature in ((own, 21.5), (other, 98765.4321)):
        device = tenant.device()
        assert device.send({"temperature": temperature, "energy": 4}, device.topic("pump")).status_code == 202
        wait_until(lambda tenant=tenant: has_reading(tenant))  # type: ignore[misc]
    login = f"grafana_{own.slug}"
    script = re.sub(r"\bgrafana\b", login, blocks("sql")[0]).replace("'demo'", f"'{own.slug}'")
    with stack.connect() as database:
        database.execute(script.encode())
        yield Site(own, other, login)
        database.execute(f"SELECT mqtt.revoke_reader('{login}', '{own.organization_id}')".encode())
        database.execute(f"DROP ROLE {login}".encode())


@pytest.fixture
def reader(stack: Stack, site: Site) -> Iterator[Connection]:
    with stack.connect(user=site.login, password="change me") as connection:
        yield connection


def expanded(query: str) -> str:
    """The query as Grafana sends it: macros and variables replaced, as its documentation of the data source says."""
    since, until = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(minutes=1)
    for name, value in (
        ("$__timeFrom()", f"'{since:%Y-%m-%dT%H:%M:%SZ}'"),
        ("$__timeTo()", f"'{until:%Y-%m-%dT%H:%M:%SZ}'"),
        ("${device:sqlstring}", "'pump'"),
        ("${metric:sqlstring}", "'temperature','energy'"),
    ):
        query = query.replace(name, value)
    assert "$" not in query, query
    return query


QUERIES = [variable["query"] for variable in BOARD["templating"]["list"] if variable["type"] == "query"] + [
    target["rawSql"] for panel in BOARD["panels"] for target in panel["targets"]
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_the_dashboard(reader: Connection, query: str) -> None:
    rows = reader.execute(expanded(query).encode()).fetchall()
    assert rows
    assert "98765.4321" not in str(rows)


@pytest.mark.parametrize("query", [line for block in blocks("sql")[1:] for line in block.splitlines()])
def test_a_query_of_the_page(reader: Connection, query: str) -> None:
    assert query.startswith("SELECT ")
    rows = reader.execute(query.encode()).fetchall()
    assert rows
    assert "98765.4321" not in str(rows)


def test_the_dashboard_shows_what_was_measured(reader: Connection) -> None:
    found = {panel["title"]: reader.execute(expanded(panel["targets"][0]["rawSql"]).encode()).fetchall() for panel in BOARD["panels"]}
    assert {(name, value) for _, name, value in found["Readings"]} == {("pump temperature", 21.5), ("pump energy", 4)}
    assert [row[:3] for row in found["Latest"]] == [("pump", "energy", "4"), ("pump", "temperature", "21.5")]
    assert [row[3] for row in found["Messages"]] == [{"temperature": 21.5, "energy": 4}]


def test_no_setting_and_no_role_opens_more(reader: Connection, site: Site) -> None:
    claims = json.dumps({"role": "service_role", "sub": site.other.admin_id})
    reader.execute("SELECT set_config('request.jwt.claims', %s, false)", (claims,))
    assert reader.execute("SELECT count(*) FROM readings.devices").fetchall() == [(1,)]
    for statement in (
        "SET SESSION AUTHORIZATION postgres",
        "SET ROLE authenticated",
        "SELECT set_config('role', 'service_role', false)",
        "SELECT * FROM mqtt.devices",
        "SELECT * FROM api.devices",
        "SELECT api.list_devices()",
        "CREATE TABLE readings.mine (id int)",
    ):
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
            reader.execute(statement.encode())


def test_the_request_of_the_infinity_data_source(site: Site) -> None:
    key = site.own.api.ok(
        "create_api_key", {"organization_id": site.own.organization_id, "name": "Grafana", "scope": "read"}, token=site.own.admin
    )
    body = blocks("json")[0]
    for name, at in (("__from", datetime.now(UTC) - timedelta(hours=1)), ("__to", datetime.now(UTC) + timedelta(minutes=1))):
        body = body.replace(f"${{{name}:date:iso}}", at.isoformat())
    answer = site.own.api.call("query_series", json.loads(body), headers={"X-API-Key": key["key"]})
    assert answer.status_code == 200
    (series,) = answer.json()
    assert (series["deviceId"], series["metric"]) == ("pump", "temperature")
    assert [point[1] for point in series["points"] if point[1] is not None] == [21.5]
