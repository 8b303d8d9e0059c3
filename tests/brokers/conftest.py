"""A stack without bridge and broker of its own: the brokers here are others."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.stack import Stack, start_stack
from tests.support.tenant import Tenant, make_tenant


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    running = start_stack(without=("bridge", "mosquitto", "gateway"))
    yield running
    running.down()


@pytest.fixture(scope="session")
def api(stack: Stack) -> Iterator[Api]:
    client = Api(stack.api_url)
    with client.session:
        yield client


@pytest.fixture(scope="module")
def home(stack: Stack, api: Api) -> Tenant:
    tenant = make_tenant(stack, api)
    with stack.connect() as db:
        # As the bridge would, once it is subscribed: devices wait for that.
        granted = "UPDATE mqtt.mqtt_subscriptions SET granted_qos = 1, status = 'active' WHERE integration_id = %s"
        db.execute(granted, (tenant.integration_id,))
    return tenant


@pytest.fixture(scope="module")
def service(stack: Stack) -> str:
    return stack.token("service_role")


@pytest.fixture(scope="module")
def explain(home: Tenant, api: Api) -> Callable[..., dict[str, Any]]:
    """`explain(username, action, topic)`: what `explain_mqtt_access` says, the judge of what brokers do."""
    ids: dict[str, str] = {}

    def ask(username: str, action: str, topic: str) -> dict[str, Any]:
        if username not in ids:
            ids.update({row["username"]: row["id"] for row in api.ok("get_mqtt_credentials", token=home.admin)})
        body = {"credential_id": ids[username], "action": action, "topic": topic}
        answer: dict[str, Any] = api.ok("explain_mqtt_access", body, token=home.admin)
        return answer

    return ask
