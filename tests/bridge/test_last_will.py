"""status_topic: what says at a real Mosquitto whether the bridge is there, also when it had no chance to say so itself."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.bridge.support import Peer, status
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until


@pytest.fixture
def watcher(own: Stack) -> Iterator[Callable[[str], Peer]]:
    peers: list[Peer] = []

    def watch(topic: str) -> Peer:
        peers.append(Peer(own.mqtt_host, own.mqtt_port, "topicbase_bridge", own.broker_password))
        peers[-1].subscribe(topic)
        return peers[-1]

    yield watch
    for peer in peers:
        peer.close()


def plant(own: Stack, owner: Tenant, **settings: Any) -> str:
    return owner.integration(
        broker_url=own.mqtt_host, port=own.mqtt_port, username="topicbase_bridge", password=own.broker_password, **settings
    )


def switch(owner: Tenant, integration_id: str, state: str) -> None:
    body = {"organization_id": owner.organization_id, "name": "plant", "integration_type": "mqtt_external"}
    owner.api.ok("upsert_integration", {**body, "integration_id": integration_id, "status": state}, token=owner.admin)


def heard(peer: Peer) -> tuple[bytes, bool]:
    message = peer.next()
    return bytes(message.payload), message.retain


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_online_offline_and_gone(own: Stack, owner: Tenant, watcher: Callable[[str], Peer], version: str) -> None:
    topic = f"status/{owner.slug}/{version}"
    early = watcher(topic)
    integration_id = plant(own, owner, status_topic=topic, mqtt_version=version)
    assert heard(early) == (b"online", False)
    assert heard(watcher(topic)) == (b"online", True)  # kept for those who come later

    switch(owner, integration_id, "inactive")
    assert heard(early) == (b"offline", False)
    assert heard(watcher(topic)) == (b"offline", True)
    switch(owner, integration_id, "active")
    assert heard(early)[0] == b"online"

    own.kill("bridge")  # it says nothing any more: the will does
    try:
        assert heard(early)[0] == b"offline"
        assert heard(watcher(topic)) == (b"offline", True)
    finally:
        own.start("bridge")
    assert heard(early)[0] == b"online"
    own.stop("bridge")
    try:
        assert heard(early)[0] == b"offline"
    finally:
        own.start("bridge")
    assert heard(early)[0] == b"online"
    assert early.messages.empty()


def test_at_the_hosted_broker_below_ones_own_prefix_only(own: Stack, owner: Tenant, watcher: Callable[[str], Peer]) -> None:
    topic = f"org_{owner.slug}/bridge"
    peer = watcher(topic)
    body = {
        "organization_id": owner.organization_id,
        "name": "hosted",
        "integration_type": "mqtt_hosted",
        "integration_id": owner.integration_id,
    }
    for wrong in ("status", f"org_{owner.slug}x/bridge", f"org_{owner.slug}/#", f"org_{owner.slug}"):
        answer = owner.api.call("upsert_integration", {**body, "settings": {"status_topic": wrong}}, token=owner.admin)
        assert (answer.status_code, answer.json()["message"]) == (400, "setting_invalid"), wrong
        assert "settings.status_topic" in answer.json()["details"]
    owner.api.ok("upsert_integration", {**body, "settings": {"status_topic": topic}}, token=owner.admin)
    assert heard(peer) == (b"online", False)


def test_a_status_that_is_refused_costs_nothing_else(own: Stack, owner: Tenant, watcher: Callable[[str], Peer]) -> None:
    """A device's login may not publish outside its prefix: the connection stays, and the log says why there is no status."""
    device = owner.device()
    integration_id = owner.integration(
        broker_url=own.mqtt_host, port=own.mqtt_port, username=device.username, password=device.password, client_id=device.client_id,
        status_topic="elsewhere/status",
    )  # fmt: skip
    wait_until(lambda: f"status_refused integration={integration_id}" in own.log("bridge"), what="it is refused")
    wait_until(lambda: status(own, integration_id)[0] == "active")
    line = next(line for line in own.log("bridge").splitlines() if "status_refused" in line)
    assert "topic=elsewhere/status" in line
