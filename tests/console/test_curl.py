"""Each action's curl command, run in a shell, does what its button does."""

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from tests.console.conftest import Visit
from tests.support.stack import ROOT
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

MEMBER = "12345678-1234-4234-8234-00000000c001"


def rows(tenant: Tenant, view: str, **filters: str) -> list[dict[str, Any]]:
    return tenant.api.rows(view, token=tenant.admin, organization_id=f"eq.{tenant.organization_id}", **filters)


class Walk:
    """One visitor who runs the commands instead of pressing the buttons, and counts them."""

    def __init__(self, visitor: Visit, tenant: Tenant) -> None:
        self.visitor, self.tenant, self.ran = visitor, tenant, 0

    @property
    def page(self) -> Page:
        return self.visitor.page

    @property
    def dialog(self) -> Any:
        return self.page.get_by_role("dialog")

    def run(self, name: str, *, in_dialog: bool = False) -> str:
        self.ran += 1
        answer = self.visitor.curl(self.dialog if in_dialog else self.page, name)
        assert '"code"' not in answer, answer
        return answer

    def open(self, name: str) -> None:
        self.page.get_by_role("button", name=name).first.click()
        expect(self.dialog).to_be_visible()

    def close(self) -> None:
        self.dialog.get_by_role("button", name="Close").click()
        expect(self.dialog).to_have_count(0)

    def integrations(self) -> None:
        self.visitor.to("integrations")
        self.open("New integration")
        self.dialog.get_by_label("Name", exact=True).fill('It\'s "quoted" $HOME')
        self.dialog.get_by_label("Broker URL").fill("mqtt://127.0.0.1:9")
        self.run("Create", in_dialog=True)
        (made,) = rows(self.tenant, "device_integrations", name='eq.It\'s "quoted" $HOME')
        self.visitor.to(f"integrations/{made['id']}")
        self.open("Edit")
        self.dialog.get_by_label("Name", exact=True).fill("Renamed")
        self.run("Save", in_dialog=True)
        self.close()
        expect(self.page.get_by_role("heading", level=1, name="Renamed")).to_be_visible()
        assert "request_id" in self.run("Test the connection")
        self.run("Switch off")
        expect(self.page.locator(".head").get_by_text("inactive")).to_be_visible()
        self.run("Switch on")
        expect(self.page.get_by_role("button", name="Switch off", exact=True)).to_be_visible()
        self.open("New subscription")
        self.dialog.get_by_label("Topic filter").fill("plant/+/x")
        self.run("Subscribe", in_dialog=True)
        self.close()
        expect(self.page.get_by_role("row", name="plant/+/x")).to_be_visible()
        self.run("Unsubscribe from plant/+/x")
        expect(self.page.get_by_role("row", name="plant/+/x")).to_have_count(0)
        self.run("Delete the integration")
        assert rows(self.tenant, "device_integrations", id=f"eq.{made['id']}") == []

    def rules(self) -> None:
        plant = self.tenant.integration(broker_url="mqtt://127.0.0.1:9")
        mine = {"integration_id": f"eq.{plant}"}
        self.visitor.to(f"integrations/{plant}")
        self.open("Apply a preset")
        self.dialog.get_by_label("Preset", exact=True).select_option("owntracks")
        self.run("Apply", in_dialog=True)
        assert {row["preset"] for row in rows(self.tenant, "payload_rules", **mine)} == {"owntracks"}
        self.dialog.get_by_role("button", name="Apply", exact=True).click()
        self.run("Subscribe to owntracks/#", in_dialog=True)
        assert rows(self.tenant, "mqtt_subscriptions", **mine, topic="eq.owntracks/#")
        self.close()
        self.open("New rule")
        self.dialog.get_by_label("Topic filter").fill("it's/+")
        self.dialog.get_by_label("Position").fill("1")
        self.dialog.get_by_label("Device").fill("{topic[2]}")
        self.dialog.get_by_label("Metrics (JSON)").fill('{"Größe": "$.t / 10"}')
        self.run("Add", in_dialog=True)
        self.close()
        (rule,) = rows(self.tenant, "payload_rules", **mine, position="eq.1")
        assert (rule["topic"], rule["metrics"]) == ("it's/+", {"Größe": "$.t / 10"})
        self.page.get_by_label("Topic", exact=True).fill("it's/a")
        self.page.get_by_label("Payload", exact=True).fill('{"t": 215}')
        assert '"Größe": 21.5' in self.run("Try")
        self.run("Delete rule 1")
        assert rows(self.tenant, "payload_rules", **mine, position="eq.1") == []

    def device(self) -> None:
        prefix = f"org_{self.tenant.slug}/devices/pump"
        self.visitor.to("start")
        self.page.get_by_label("Id of the device in its topics").fill("pump")
        self.run("Register the device")
        (pump,) = rows(self.tenant, "devices", external_id="eq.pump")
        self.page.get_by_role("button", name="Register the device", exact=True).click()
        self.run("Make a login for it")
        assert [row["topic_prefix"] for row in rows(self.tenant, "mqtt_credentials", device_id=f"eq.{pump['id']}")] == [prefix]
        self.visitor.to(f"devices/{pump['id']}/commands")
        self.open("Edit")
        self.dialog.get_by_label("Name").fill("Pümpe")
        self.run("Save", in_dialog=True)
        assert rows(self.tenant, "devices", external_id="eq.pump")[0]["name"] == "Pümpe"
        self.close()
        self.page.get_by_label("Payload", exact=True).fill('{"text": "it\'s 5 \\\\ o\'clock $(date) `id`"}')
        self.run("Publish")
        (sent,) = wait_until(lambda: rows(self.tenant, "mqtt_messages", direction="eq.outgoing"), what="the command")
        assert (sent["topic"], sent["payload"]) == (f"{prefix}/commands", {"text": "it's 5 \\ o'clock $(date) `id`"})
        self.visitor.to(f"devices/{pump['id']}")
        assert '"id"' in self.run("Delete the messages")
        self.visitor.to(f"devices/{pump['id']}/commands")
        self.run("Delete the device")
        assert rows(self.tenant, "devices", external_id="eq.pump") == []

    def access(self, start: Callable[..., Visit]) -> None:
        self.visitor.to("access")
        before = {row["id"] for row in rows(self.tenant, "mqtt_credentials")}
        self.open("New login")
        assert '"password"' in self.run("Generate", in_dialog=True)
        self.close()
        (login,) = [row for row in rows(self.tenant, "mqtt_credentials") if row["id"] not in before]
        name = login["username"]
        self.open(f"Explain the access of {name}")
        assert '"allowed"' in self.run("Explain", in_dialog=True)
        self.close()
        self.open(f"Rotate the password of {name}")
        self.run("Rotate", in_dialog=True)
        self.close()
        self.run(f"Revoke {name}")
        (login,) = rows(self.tenant, "mqtt_credentials", id=f"eq.{login['id']}")
        assert login["rotated_at"]
        assert login["status"] == "revoked"
        self.page.get_by_label("Also those that were revoked or have expired").check()
        self.run(f"Delete {name}")
        assert rows(self.tenant, "mqtt_credentials", id=f"eq.{login['id']}") == []
        self.page.get_by_label("App", exact=True).fill("It's mine")
        self.page.get_by_label("Scope").select_option("publish")
        assert '"tbk_' in self.run("Create key")
        self.page.reload()
        self.run("Revoke It's mine")
        organization = {"organization_id": self.tenant.organization_id}
        assert self.tenant.api.ok("list_api_keys", organization, token=self.tenant.admin) == []
        self.page.get_by_label("User id").fill(MEMBER)
        self.page.get_by_label("Role").select_option("admin")
        self.run("Invite or change member")
        guest = start(self.visitor.stack.token("authenticated", MEMBER))
        self.ran += 1
        guest.curl(guest.page, f"Join Organization {self.tenant.slug}")
        assert [row["role"] for row in rows(self.tenant, "organization_members", user_id=f"eq.{MEMBER}")] == ["admin"]
        self.page.reload()
        self.run(f"Remove {MEMBER}")
        assert rows(self.tenant, "organization_members", user_id=f"eq.{MEMBER}") == []

    def webhook(self) -> None:
        topic = f"org_{self.tenant.slug}/devices/pump/hook"
        body = {"integration_id": self.tenant.integration_id, "topic": topic, "callback_url": "http://127.0.0.1:9/in"}
        hook = self.tenant.api.ok("mqtt_subscribe", body, token=self.tenant.admin)
        assert self.tenant.device().send({"n": 1}, topic).ok
        mine = {"subscription_id": f"eq.{hook['id']}"}
        wait_until(lambda: rows(self.tenant, "mqtt_callback_deliveries", **mine, attempts="gt.0"), what="an attempt")
        with self.visitor.stack.connect() as db:  # as after its last attempt, which is a day away
            db.execute(
                "UPDATE mqtt.mqtt_callback_deliveries SET status = 'dead', finished_at = now() WHERE subscription_id = %s", (hook["id"],)
            )
        self.visitor.to(f"webhooks/{hook['id']}")
        assert self.run("Post dead ones again").replace(" ", "") == '{"replayed":1}'
        with self.visitor.stack.connect() as db:
            db.execute(
                "UPDATE mqtt.mqtt_callback_deliveries SET status = 'dead', finished_at = now() WHERE subscription_id = %s", (hook["id"],)
            )
        expect(self.page.get_by_role("row", name="dead")).to_be_visible()
        self.page.get_by_role("row", name="dead").get_by_role("button").click()
        assert self.run("Post again", in_dialog=True).replace(" ", "") == '{"replayed":1}'
        self.close()
        self.open("Rotate secret…")
        assert "whsec_" in self.run("Rotate", in_dialog=True)
        self.close()

    def dead_letter(self, topic: str) -> None:
        self.visitor.to("dead-letters")
        self.open(topic)
        assert '"replayed":0' in self.run("Dry run", in_dialog=True).replace(" ", "")
        assert '"replayed":1' in self.run("Replay", in_dialog=True).replace(" ", "")
        self.close()
        expect(self.page.get_by_text("replayed", exact=True)).to_be_visible()


def test_every_action_as_curl(
    visit: Callable[..., Visit], home: Tenant, operator: Callable[[str], str], dead_letters: Callable[[Tenant, int], str]
) -> None:
    visitor = visit(operator(home.admin_id), home.slug)
    walk = Walk(visitor, home)
    walk.integrations()
    walk.rules()
    walk.device()
    walk.access(visit)
    walk.webhook()
    walk.dead_letter(dead_letters(home, 1))
    new = f"c{home.slug}"
    visitor.to("installation")
    visitor.page.get_by_label("Name", exact=True).fill("Made by curl")
    visitor.page.get_by_label("Slug").fill(new)
    walk.run("Create the organization")
    visitor.page.reload()
    visitor.page.get_by_role("banner").get_by_label("Organization").select_option(new)
    visitor.slug = new
    visitor.to("start")
    walk.run("Use the hosted broker")
    visitor.page.reload()
    expect(visitor.page.get_by_role("button", name="Register the device", exact=True)).to_be_visible()
    # One form creates and saves; two create an organization.
    actions = sum(len(re.findall(r"<\$\{Action\}", path.read_text())) for path in (ROOT / "console/pages").glob("*.js"))
    assert walk.ran == actions
