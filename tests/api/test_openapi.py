"""The OpenAPI document: valid, whole, and true. That answers are as it says is tested wherever a test calls (tests/support/contract.py)."""

import json
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema_rs
import psycopg
import pytest
import requests
from openapi_spec_validator import validate
from psycopg.sql import SQL, Literal

from tests.support import contract
from tests.support.api import Api
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant


@pytest.fixture(scope="module")
def document(stack: Stack) -> dict[str, Any]:
    """With every call."""
    return contract.document(stack.api_url)


def test_it_is_valid(document: dict[str, Any]) -> None:
    validate(document)
    # Which does not look into every schema.
    for schema in (*parts_named("schema", document["paths"]), *document["components"]["schemas"].values()):
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def parts_named(name: str, node: Any) -> Iterator[Any]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key == name:
            yield value
        yield from parts_named(name, value)


def test_the_committed_one_is_up_to_date(document: dict[str, Any]) -> None:
    """`make snapshot` regenerates it."""
    assert json.loads((ROOT / "docs/reference/openapi.json").read_text()) == document


def schemas_of(node: Any) -> Iterator[dict[str, Any]]:
    """Everything in it that has examples, or a schema with an example beside it."""
    if isinstance(node, dict):
        if isinstance(node.get("examples"), list) or {"schema", "example"} <= node.keys():
            yield node
        for value in node.values():
            yield from schemas_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from schemas_of(value)


def test_its_examples_are_valid(document: dict[str, Any]) -> None:
    seen = 0
    for node in schemas_of(document):
        schema, examples = (node["schema"], [node["example"]]) if "schema" in node and "example" in node else (node, node["examples"])
        validator = jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]}, validate_formats=True)
        for example in examples:
            assert validator.is_valid(example), (example, schema)
            seen += 1
    assert seen > 100


def test_only_verbs_that_work(document: dict[str, Any], api: Api, db: psycopg.Connection[tuple[Any, ...]], stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {stack.token('service_role')}"}
    for name, volatility in db.execute("SELECT proname, provolatile FROM pg_proc WHERE pronamespace = 'api'::regnamespace"):
        verbs = document["paths"][f"/rpc/{name}"].keys()
        assert verbs == ({"post"} if volatility == "v" else {"get", "post"}), name
    views = [path for path in document["paths"] if not path.startswith("/rpc/")]
    assert len(views) >= 13
    for path in views:
        assert document["paths"][path].keys() == {"get"}
        assert api.session.get(f"{api.url}{path}", params={"limit": "0"}, headers=headers).status_code == 200, path


def test_it_is_made_for_who_asks_and_says_nothing_of_tenants(stack: Stack, api: Api, home: Tenant, tenant: Callable[..., Tenant]) -> None:
    def seen(token: str | None) -> requests.Response:
        return api.session.get(f"{api.url}/", headers={} if token is None else {"Authorization": f"Bearer {token}"})

    other = tenant()
    assert seen(home.admin).text == seen(home.member).text == seen(other.admin).text
    assert home.organization_id not in seen(home.admin).text
    for token in (None, home.member):
        assert not {"/rpc/process_mqtt_queue", "/rpc/set_organization_limits"} & seen(token).json()["paths"].keys()
    assert {path for path in seen(None).json()["paths"] if not path.startswith("/rpc/")} == set()
    assert len(seen(stack.token("service_role")).content) < 500_000


def test_every_call_names_errors_with_their_statuses(document: dict[str, Any]) -> None:
    catalogue = tomllib.loads((ROOT / "docs/reference/errors.toml").read_text())
    for path, operations in document["paths"].items():
        for status, answer in operations.get("post", {"responses": {}})["responses"].items():
            for slug in answer.get("content", {}).get("application/json", {}).get("examples", {}):
                assert str(catalogue[slug]["status"]) == status, (path, slug)
    said = document["paths"]["/rpc/mqtt_ingest_binary"]["post"]["responses"]["400"]["description"]
    assert "`topic_invalid`" in said  # of mqtt_ingest, to which it refers


def test_a_body_that_is_taken_whole(document: dict[str, Any]) -> None:
    def kinds(name: str) -> set[str]:
        return set(document["paths"][f"/rpc/{name}"]["post"]["requestBody"]["content"])

    assert kinds("mqtt_ingest_binary") == {"application/octet-stream"}
    assert kinds("mqtt_ingest_document") == {"application/octet-stream", "application/json", "text/plain", "text/xml"}
    assert kinds("mqtt_ingest") == {"application/octet-stream", "application/json", "text/plain", "text/xml"}
    by_name = document["paths"]["/rpc/mqtt_ingest"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert by_name["required"] == ["topic", "payload"]
    assert kinds("rabbitmq_auth_user") == {"application/x-www-form-urlencoded", "application/json"}


def test_the_version_can_be_asked_for(document: dict[str, Any], api: Api) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert api.ok("get_api_version") == {"version": version}
    assert document["info"]["version"] == version


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/openapi+json"])
def test_as_clients_ask_for_it(api: Api, accept: str | None) -> None:
    answer = api.session.get(f"{api.url}/", headers={"Accept": accept})
    wanted = "application/openapi+json" if accept == "application/openapi+json" else "application/json"
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, f"{wanted}; charset=utf-8")
    assert answer.json()["openapi"] == "3.1.0"


def test_a_stale_document_is_made_again(api: Api, db: psycopg.Connection[tuple[Any, ...]]) -> None:
    summary = "Tell the version of the API"
    comment = db.execute("SELECT obj_description('api.get_api_version()'::regprocedure, 'pg_proc')").fetchone()
    assert comment is not None

    def commented(text: str) -> None:
        db.execute(SQL("COMMENT ON FUNCTION api.get_api_version() IS {}").format(Literal(text)))

    def shown() -> str:
        return str(api.session.get(f"{api.url}/").json()["paths"]["/rpc/get_api_version"]["post"]["summary"])

    assert shown() == summary
    try:
        commented(comment[0].replace(summary, "Something else"))
        assert shown() == "Something else"
    finally:
        commented(comment[0])
    assert shown() == summary
    db.execute("SELECT mqtt.run_maintenance()")
    stored = db.execute("SELECT count(*) FROM mqtt.openapi_documents WHERE fingerprint = mqtt.api_fingerprint()").fetchone()
    assert stored == (3,)


def test_answers_of_tests_are_held_against_it(api: Api) -> None:
    answer = api.call("get_api_version")
    contract.check(answer)
    answer._content = b'{"version": "0.1.0", "more": 1}'
    with pytest.raises(AssertionError, match="not as the document says"):
        contract.check(answer)
    answer._content, answer.status_code = b'{"version": "0.1.0"}', 203
    with pytest.raises(AssertionError, match="not in the document"):
        contract.check(answer)
