"""The demo's organization: integrations, logins and devices, created as an app would create them, and retired at the end."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from paho.mqtt.enums import MQTTProtocolVersion

from demo.broker import Broker
from demo.devices.base import Device, Login, Setup
from demo.devices.http import BatchDevice, GatewayDevice, HttpDevice
from demo.devices.mosquitto import MosquittoDevice
from demo.devices.paho import PahoDevice
from demo.readings import Machine, Reading
from demo.stack import App, DemoError, Stack

HOSTED, EXTERNAL = "Hosted broker", "Plant broker"
PLANT = "plant"  # the first level of topics at the external broker


class Tenant:
    def __init__(self, stack: Stack, run_id: str, say: Callable[[str], None]) -> None:
        self.admin = App(stack, "authenticated", stack.env["DEMO_USER_ID"])
        self.organization: dict[str, Any] = {}
        self._stack = stack
        self._run_id = run_id
        self._say = say
        self._broker = Broker(stack)
        self._hosted: dict[str, Any] = {}
        self._external: dict[str, Any] = {}
        self._credential_ids: list[str] = []

    def provision(self) -> None:
        """Finds the stack's organization and its hosted integration, adds an external one, and starts the broker of the latter."""
        self._find_organization()
        existing = {
            row["name"]: row["id"] for row in self.admin.rows("device_integrations", organization_id=f"eq.{self.organization['id']}")
        }
        self._hosted = self._integration(HOSTED, "mqtt_hosted", existing, {})
        self._say(f"integration    {HOSTED}: Mosquitto of the stack, {self._stack.env['MQTT_URL']}")
        self._broker.start()
        settings = {
            "broker_url": self._broker.url,
            "username": "bridge",
            "password": self._broker.passwords["bridge"],
            "topic_pattern": f"{PLANT}/{{device_id}}/{{message_type}}",
        }
        self._external = self._integration(EXTERNAL, "mqtt_external", existing, settings)
        self._say(f"integration    {EXTERNAL}: a second Mosquitto, {self._broker.url}; connection test: {self._test_connection()}")
        self.admin.do("mqtt_subscribe", integration_id=self._external["id"], topic=f"{PLANT}/#", qos=2)
        self._wait_for_subscriptions()

    def _find_organization(self) -> None:
        """The local stack's own, which the README's commands look at, too."""
        self.organization = self.admin.rows("organizations", id=f"eq.{self._stack.env['DEMO_ORGANIZATION_ID']}")[0]
        self._say(f"organization   {self.organization['name']}: topics start with {self.organization['topic_prefix']}/")

    def _test_connection(self) -> str:
        request = self.admin.do("mqtt_test_connection", integration_id=self._external["id"])
        verdict = self.admin.do("get_mqtt_request", request_id=request["request_id"], wait=15)["result"] or {}
        if not verdict.get("ok"):
            raise DemoError(f"the external broker cannot be reached: {verdict.get('reason', 'the bridge did not answer')}")
        trip = next((value for key, value in verdict.items() if "round_trip" in key), None)
        return "ok" if trip is None else f"ok, {float(trip):.1f} ms there and back"

    def _integration(self, name: str, kind: str, existing: dict[str, str], settings: dict[str, Any]) -> dict[str, Any]:
        more = {"integration_id": existing[name]} if name in existing else {}
        row: dict[str, Any] = self.admin.do(
            "upsert_integration",
            organization_id=self.organization["id"],
            name=name,
            integration_type=kind,
            settings=settings,
            status="active",
            **more,
        )
        return row

    def _wait_for_subscriptions(self) -> None:
        """Waits until both brokers have granted the bridge's subscriptions: before that, nobody hears the devices."""
        ids = f"in.({self._hosted['id']},{self._external['id']})"
        deadline = time.monotonic() + 30
        while True:
            rows = self.admin.rows("mqtt_subscriptions", integration_id=ids)
            states = self.admin.rows("device_integrations", id=ids)
            if len(rows) >= 2 and all(row["status"] == "active" for row in [*rows, *states]):
                break
            if time.monotonic() > deadline:
                found = [(row["topic"], row["status"], row["status_detail"]) for row in rows]
                raise DemoError(f"the bridge's subscriptions were not granted within 30 s: {found}; see bin/stack logs bridge")
            time.sleep(0.1)

    def _login(self, name: str, part: str = "") -> tuple[str, Login]:
        """The topic prefix of a device, and a login for it, or for a part of it that has a connection of its own."""
        prefix = f"{self.organization['topic_prefix']}/devices/{name}"
        row = self.admin.do(
            "generate_mqtt_credentials", integration_id=self._hosted["id"], topic_prefix=prefix, client_id=f"{name}{part}-{self._run_id}"
        )
        self._credential_ids.append(row["id"])
        return prefix, Login(row["username"], row["password"], row["client_id"])

    def devices(self, stop: Event, directory: Path) -> list[Device]:
        """One device for each way of sending, each with its own login."""

        def setup(name: str, read: Callable[[], Reading], metric: str, interval: float) -> Setup:
            prefix, login = self._login(name)
            return Setup(name, self._run_id, self._hosted["id"], prefix, login, read, metric, interval, stop)

        address = self._stack.mqtt_address
        version_3, version_5 = MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5
        login = Login("kernel", self._broker.passwords["kernel"], f"kernel-{self._run_id}")
        plant = Setup(
            "kernel", self._run_id, self._external["id"], f"{PLANT}/kernel", login, Machine().kernel, "context_switches_per_second", 0.1,
            stop,
        )  # fmt: skip
        made: list[Device] = [
            HttpDevice(setup("cpu", Machine().cpu, "busy_percent", 0.2), self._stack.api_url),
            GatewayDevice(setup("memory", Machine().memory, "used_percent", 0.25), self._stack.gateway_url),
            BatchDevice(setup("disk", Machine().disk, "write_bytes_per_second", 0.05), self._stack.api_url),
            PahoDevice(setup("network", Machine().network, "received_bytes_per_second", 0.1), address=address, qos=1, version=version_5),
            MosquittoDevice(
                setup("system", Machine().system, "processes", 0.2),
                address=address,
                directory=directory,
                listener=self._login("system", "-listener")[1],
                single=self._login("system", "-single")[1],
            ),
            PahoDevice(plant, address=(self._broker.host, self._broker.port), qos=2, version=version_3),
        ]
        return made

    def retire(self) -> None:
        """Revokes this run's logins and deactivates its integration with the second broker."""
        for credential_id in self._credential_ids:
            self.admin.do("revoke_mqtt_credentials", credential_id=credential_id)
        if self._external:
            self.admin.do(
                "upsert_integration",
                organization_id=self.organization["id"],
                name=EXTERNAL,
                integration_type="mqtt_external",
                integration_id=self._external["id"],
                status="inactive",
            )

    def stop_broker(self) -> None:
        self._broker.stop()
