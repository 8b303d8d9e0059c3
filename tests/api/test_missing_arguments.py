"""A call that is told of no row says so, by the argument's name, instead of that there is no row null."""

import pytest
import requests

from tests.support.api import Api
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE

# What PostgREST lets pass: an argument that may be omitted, or is null.
CALLS = {
    "get_device": ({}, "device_id"),
    "delete_device": ({"device_id": None}, "device_id"),
    "mqtt_publish": ({"integration_id": None, "messages": []}, "integration_id"),
    "mqtt_subscribe": ({"integration_id": None, "topic": "a"}, "integration_id"),
    "mqtt_unsubscribe": ({"subscription_id": None}, "subscription_id"),
    "mqtt_test_connection": ({"integration_id": None}, "integration_id"),
    "get_mqtt_request": ({"request_id": None}, "request_id"),
    "generate_mqtt_credentials": ({"integration_id": None}, "integration_id"),
    "rotate_mqtt_credentials": ({"credential_id": None}, "credential_id"),
    "revoke_mqtt_credentials": ({"credential_id": None}, "credential_id"),
    "explain_mqtt_access": ({"credential_id": None, "topic": "a", "action": "publish"}, "credential_id"),
    "delete_integration": ({"integration_id": None}, "integration_id"),
    "upsert_integration": ({"organization_id": None, "name": "a", "integration_type": "mqtt_hosted"}, "organization_id"),
    "delete_payload_rule": ({"rule_id": None}, "rule_id"),
    "get_deletion": ({"deletion_id": None}, "deletion_id"),
    "revoke_api_key": ({"key_id": None}, "key_id"),
    "revoke_broker_key": ({"key_id": None}, "key_id"),
    "accept_organization_invitation": ({"organization_id": None}, "organization_id"),
    "delete_organization": ({"organization_id": None}, "organization_id"),
}


@pytest.mark.parametrize("call", CALLS)
def test_the_answer_names_it(home: Tenant, api: Api, call: str) -> None:
    body, name = CALLS[call]
    answer = api.call(call, body, token=home.admin)
    assert (answer.status_code, answer.json()["message"]) == (400, "argument_missing"), answer.text
    assert f" {name}," in answer.json()["details"]


@pytest.mark.parametrize(("call", "name"), [("process_mqtt_queue_message", "message_id"), ("set_organization_limits", "organization_id")])
def test_the_answer_to_the_operator_names_it(stack: Stack, api: Api, call: str, name: str) -> None:
    answer = api.call(call, {name: None}, token=stack.token("service_role"))
    assert (answer.status_code, answer.json()["message"]) == (400, "argument_missing"), answer.text
    assert f" {name}," in answer.json()["details"]


def test_the_gateway_s_own_paths_name_it(home: Tenant, stack: Stack) -> None:
    url, headers = f"{stack.gateway_url}/functions/v1/mqtt-hybrid/publish", {"Authorization": f"Bearer {home.admin}"}
    answer = requests.post(url, json={}, headers=headers, timeout=PATIENCE)
    assert (answer.status_code, answer.json()["message"]) == (400, "argument_missing"), answer.text
    assert " integration_id," in answer.json()["details"]
