"""A fresh organization with an admin, a member and an integration, made through the API."""

import uuid
from dataclasses import dataclass
from typing import Any

from tests.support.api import Api, Device, one
from tests.support.stack import Stack


@dataclass(frozen=True)
class Tenant:
    stack: Stack
    api: Api
    organization_id: str
    slug: str
    admin_id: str
    member_id: str
    integration_id: str

    @property
    def admin(self) -> str:
        """A token of the admin."""
        return self.stack.token("authenticated", self.admin_id)

    @property
    def member(self) -> str:
        """A token of the plain member."""
        return self.stack.token("authenticated", self.member_id)

    def device(self, **arguments: Any) -> Device:
        """A device with new credentials; arguments go to `generate_mqtt_credentials`."""
        row = one(self.api.ok("generate_mqtt_credentials", {"integration_id": self.integration_id, **arguments}, token=self.admin))
        return Device(self.api, row["username"], row["password"], row["client_id"], row["topic_prefix"])

    def integration(self, integration_type: str = "mqtt_external", name: str | None = None, **settings: Any) -> str:
        """The id of a further integration."""
        body = {
            "organization_id": self.organization_id,
            "name": name or f"integration {uuid.uuid4().hex[:8]}",
            "integration_type": integration_type,
            "settings": settings,
        }
        return str(one(self.api.ok("upsert_integration", body, token=self.admin))["id"])


def make_tenant(stack: Stack, api: Api, integration_type: str = "mqtt_hosted", **settings: Any) -> Tenant:
    slug = f"t{uuid.uuid4().hex[:12]}"
    admin_id, member_id = str(uuid.uuid4()), str(uuid.uuid4())
    service = stack.token("service_role")
    organization = one(
        api.ok("create_organization", {"name": f"Organization {slug}", "slug": slug, "admin_user_id": admin_id}, token=service)
    )
    organization_id = str(organization["id"])
    with stack.connect() as connection:
        connection.execute(
            "INSERT INTO mqtt.organization_members (organization_id, user_id, role) VALUES (%s, %s, 'member')", (organization_id, member_id)
        )
    integration = one(
        api.ok(
            "upsert_integration",
            {"organization_id": organization_id, "name": "main", "integration_type": integration_type, "settings": settings},
            token=stack.token("authenticated", admin_id),
        )
    )
    return Tenant(stack, api, organization_id, slug, admin_id, member_id, str(integration["id"]))
