"""Arguments with two names, ours and the one of the system that this replaces: either will do, two values that differ are refused."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.api.support import Queue, accepted, refused
from tests.support.tenant import Tenant

CALLS = {
    "get_mqtt_queue_stats": ("organization_id", "org_id"),
    "process_mqtt_queue_message": ("message_id", "p_message_id"),
}


@dataclass(frozen=True)
class Call:
    """A call that some value of the argument makes succeed."""

    queue: Queue
    rpc: str
    names: tuple[str, str]
    value: str

    def __call__(self, **body: Any) -> requests.Response:
        return self.queue.api.call(self.rpc, body, token=self.queue.service)

    def answer(self, **body: Any) -> Any:
        response = self(**body)
        assert response.status_code == 200, response.text
        return response.json()[self.names[0]]


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest, home: Tenant, queue: Queue) -> Call:
    rpc: str = request.param
    if rpc == "get_mqtt_queue_stats":
        return Call(queue, rpc, CALLS[rpc], home.organization_id)
    return Call(queue, rpc, CALLS[rpc], accepted(home.device().send(1)))


def test_either_name_will_do(call: Call) -> None:
    name, alias = call.names
    assert call.answer(**{name: call.value}) == call.value
    assert call.answer(**{alias: call.value}) == call.value
    assert call.answer(**{name: call.value, alias: None}) == call.value
    assert call.answer(**{name: None, alias: call.value}) == call.value


def test_both_names_with_one_value(call: Call) -> None:
    name, alias = call.names
    assert call.answer(**{name: call.value, alias: call.value.upper()}) == call.value


def test_both_names_with_two_values(call: Call) -> None:
    name, alias = call.names
    for first, second in ((call.value, str(uuid.uuid4())), (str(uuid.uuid4()), call.value)):
        response = call(**{name: first, alias: second})
        refused(response, 400, "argument_conflict")
        assert response.json()["details"].startswith(f"{name} and {alias} ")
        assert name in response.json()["hint"]


def test_neither_name(call: Call) -> None:
    name, alias = call.names
    for body in ({}, {name: None}, {alias: None}, {name: None, alias: None}):
        response = call(**body)
        refused(response, 400, "argument_missing")
        assert name in response.json()["details"]


def test_an_alias_shows_no_more_than_the_name(home: Tenant, tenant: Callable[..., Tenant]) -> None:
    stranger = tenant()
    for name in CALLS["get_mqtt_queue_stats"]:
        body = {name: home.organization_id}
        assert home.api.ok("get_mqtt_queue_stats", body, token=home.member)["organization_id"] == home.organization_id
        response = home.api.call("get_mqtt_queue_stats", body, token=stranger.member)
        refused(response, 404, "organization_not_found")
