"""The console in a browser: what each page shows and does, and that nobody sees another organization."""

import csv
import re
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from bridge.cli.export import MESSAGE
from tests.console.conftest import Visit
from tests.support.api import Device
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

Visits = Callable[..., Visit]


@pytest.fixture(scope="module")
def device(home: Tenant) -> Device:
    """It has sent some readings."""
    device = home.device()
    now = time.time()
    readings = [
        {"topic": device.topic("boiler"), "payload": {"temperature": 20 + n / 4, "pressure": 1234.5 + n}, "timestamp": now - 10 * (40 - n)}
        for n in range(40)
    ]
    assert device.send_batch(readings).ok
    wait_until(lambda: len(messages(home)) == len(readings), what="the readings being stored")
    return device


def messages(tenant: Tenant, **filters: str) -> list[dict[str, Any]]:
    return tenant.api.rows("mqtt_messages", token=tenant.member, organization_id=f"eq.{tenant.organization_id}", **filters)


def device_id(tenant: Tenant, external_id: str) -> str:
    (row,) = tenant.api.rows("devices", token=tenant.member, external_id=f"eq.{external_id}")
    return str(row["id"])


def dialog(page: Page) -> Any:
    return page.get_by_role("dialog")


def test_signing_in_and_out(visit: Visits, home: Tenant, stack: Stack) -> None:
    visitor = visit(home.admin, home.slug)
    page = visitor.page
    assert visitor.token not in page.url
    assert page.evaluate("sessionStorage.getItem('topicbase.token')") == visitor.token
    assert visitor.token not in page.evaluate("JSON.stringify(localStorage)")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Topicbase")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    page.get_by_label("Token").fill("not.a.token")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("401")
    page.get_by_label("Token").fill(home.member)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    nobody = visit(stack.token("authenticated", "00000000-0000-4000-8000-00000000abcd"))
    expect(nobody.page.locator("main")).to_contain_text("00000000-0000-4000-8000-00000000abcd")


def test_overview(visit: Visits, home: Tenant, device: Device) -> None:
    page = visit(home.member, home.slug).page
    expect(page.locator(".stat", has_text="Time in queue")).to_contain_text(re.compile(r"\d"))
    expect(page.get_by_text("balances")).to_be_visible()
    expect(page.locator(".card", has_text="Integrations").get_by_text("active")).to_be_visible()
    expect(page.locator("figcaption", has_text="60 points")).to_be_attached()
    expect(page.get_by_role("link", name="Installation")).to_have_count(0)


def test_a_ledger_that_does_not_balance(visit: Visits, tenant: Callable[..., Tenant], stack: Stack) -> None:
    other = tenant()
    with stack.connect() as db:
        db.execute(
            "INSERT INTO mqtt.ledger (organization_id, bucket, shard, completed) VALUES (%s, date_trunc('minute', now()), 0, 1300)",
            (other.organization_id,),
        )
        try:
            page = visit(other.member, other.slug).page
            expect(page.locator(".card", has_text="Ledger of 24 hours")).to_contain_text("1,300 more than accepted")
        finally:
            db.execute("DELETE FROM mqtt.ledger WHERE organization_id = %s", (other.organization_id,))


def test_another_organization_is_out_of_sight(visit: Visits, home: Tenant, strangers: Tenant, device: Device) -> None:
    wait_until(lambda: strangers.api.rows("devices", token=strangers.member), what="the stranger's device")
    visitor = visit(home.admin, home.slug, "devices")
    expect(visitor.page.get_by_role("link", name="boiler")).to_be_visible()
    expect(visitor.page.get_by_label("Organization").locator("option")).to_have_count(1)
    for path in ("devices", "messages", "integrations", "access"):
        page = visitor.to(path)
        expect(page.get_by_role("table").first).to_be_visible()
        assert "stranger" not in page.content()
        assert strangers.slug not in page.content()
    visitor.page.goto(f"{visitor.url}#/{home.slug}/devices/{device_id(strangers, 'stranger')}")
    expect(visitor.page.get_by_role("alert")).to_contain_text("device_not_found")
    visitor.page.goto(f"{visitor.url}#/{strangers.slug}/devices")
    expect(visitor.page.get_by_text("There is no organization")).to_be_visible()


def test_devices(visit: Visits, home: Tenant, device: Device) -> None:
    assert device.send({"level": 3}, device.topic("tank")).ok
    page = visit(home.member, home.slug, "devices").page
    row = page.get_by_role("row", name="boiler")
    expect(row).to_contain_text("29.75")
    expect(row.locator(".spark path")).to_be_attached()
    expect(page.get_by_role("link", name="tank")).to_be_visible()
    page.get_by_role("searchbox").fill("boi")
    expect(page.get_by_role("link", name="tank")).to_have_count(0)
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1, name="boiler")).to_be_visible()


def test_a_device_that_has_never_sent(visit: Visits, tenant: Callable[..., Tenant]) -> None:
    other = tenant()
    body = {"integration_id": other.integration_id, "external_id": "silent", "name": "Silent"}
    other.api.ok("sync_device", body, token=other.admin)
    page = visit(other.admin, other.slug, "devices").page
    expect(page.get_by_role("row", name="Silent")).to_contain_text("never")
    page.get_by_role("link", name="Silent").click()
    expect(page.get_by_text("last seen never")).to_be_visible()
    page.get_by_role("button", name="Edit", exact=True).click()
    dialog(page).get_by_label("Name").fill("")
    dialog(page).get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", level=1, name="silent", exact=True)).to_be_visible()


def test_the_history_of_a_device_is_saved_and_deleted(visit: Visits, tenant: Callable[..., Tenant]) -> None:
    other = tenant()
    device = other.device()
    for payload in ('{"t": 1.50, "n": 12345678901234567890.25}', '"a, \\"b\\"\\nc"', "null"):
        body = f'{{"topic": "{device.topic("meter")}", "payload": {payload}}}'
        assert device.api.call("mqtt_ingest", data=body, headers=device.headers).status_code == 202
    wait_until(lambda: len(messages(other)) == 3, what="the messages")
    assert device.send({"t": 1}, device.topic("other")).ok
    wait_until(lambda: len(messages(other)) == 4, what="the other's message")
    page = visit(other.admin, other.slug, f"devices/{device_id(other, 'meter')}").page
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV").click()
    assert saved.value.suggested_filename == "meter.csv"
    with saved.value.path().open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["payload"] for row in rows] == ['{"n":12345678901234567890.25,"t":1.50}', '"a, \\"b\\"\\nc"', "null"]
    assert set(rows[0]) == set(MESSAGE)
    page.get_by_role("button", name="Delete the messages", exact=True).click()
    page.get_by_role("button", name="Yes: Delete the messages").click()
    expect(page.get_by_text("3 messages deleted")).to_be_visible()
    expect(page.locator(".badge", has_text="done")).to_be_visible()
    assert [row["topic"] for row in messages(other)] == [device.topic("other")]
    page = visit(other.member, other.slug, "messages").page
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV").click()
    assert len(saved.value.path().read_text().splitlines()) == 2


def test_messages_on_a_phone(visit: Visits, home: Tenant, device: Device) -> None:
    page = visit(home.member, home.slug, "messages", viewport={"width": 390, "height": 844}).page
    place = page.locator("td", has_text="temperature").first.bounding_box()
    assert place is not None
    assert 0 <= place["x"] <= place["x"] + place["width"] <= 390


def test_long_names_and_texts_stay_within_the_page(visit: Visits, tenant: Callable[..., Tenant]) -> None:
    other = tenant()
    device = other.device()
    metric = "supply_fan_vibration_of_the_air_handling_unit_of_building_7_floor_3_db12_dbw44"
    assert device.send({metric: 1.5, "note": "x" * 300}, device.topic("verbose")).ok
    wait_until(lambda: other.api.rows("devices", token=other.member, external_id="eq.verbose"), what="the device")
    page = visit(other.member, other.slug, "devices").page
    expect(page.get_by_role("row", name="verbose")).to_contain_text("xxx…")
    assert page.evaluate("(({scrollWidth, clientWidth}) => scrollWidth - clientWidth)(document.querySelector('main .table'))") == 0
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("link", name="verbose").click()
    expect(page.get_by_role("button", name=metric)).to_be_visible()
    fits = "(({scrollWidth, clientWidth}) => scrollWidth === clientWidth)(document.documentElement)"
    wait_until(lambda: page.evaluate(fits), what="the page fitting the phone")


def test_readings_of_a_device_are_plotted_and_followed(visit: Visits, home: Tenant, device: Device) -> None:
    visitor = visit(home.member, home.slug, f"devices/{device_id(home, 'boiler')}")
    page = visitor.page
    plot = page.get_by_role("region", name="temperature")
    expect(plot.locator("figcaption")).to_contain_text("last 29")
    expect(plot.locator("canvas")).to_be_visible()
    assert device.send({"temperature": 77.5}, device.topic("boiler")).ok
    expect(plot.locator("figcaption")).to_contain_text("77")
    expect(plot.locator(".now")).to_have_text("77.5")
    page.get_by_role("button", name="pressure").click()
    expect(page.get_by_role("region", name="pressure")).to_have_count(0)
    # A plot that follows is drawn anew: then the element of a moment ago has no box.
    boxes: list[Any] = []

    def has_box() -> bool:
        boxes.append(plot.locator(".u-over").bounding_box())
        return boxes[-1] is not None

    wait_until(has_box, what="the plot's place")
    box = boxes[-1]
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + 40, steps=4)
    page.mouse.up()
    expect(page.get_by_test_id("range")).to_contain_text("Stands still")
    page.get_by_role("button", name="Zoom out").press("Enter")
    page.get_by_role("button", name="1 hour").click()
    expect(page.get_by_test_id("range")).to_contain_text("Live")
    page.get_by_role("link", name="Table").click()
    expect(page.get_by_role("cell", name=re.compile(r"^\d")).first).to_be_visible()
    page.get_by_role("link", name="Messages").last.click()
    expect(page.get_by_role("button", name=device.topic("boiler")).first).to_be_visible()


def test_thirty_days_of_a_device(visit: Visits, home: Tenant, device: Device) -> None:
    newest = time.time() - 60
    if newest // 7200 != (newest + 30) // 7200:
        newest -= 60  # it and the one that follows are of the same two hours
    topic = device.topic("gauge")
    assert device.send_batch([{"topic": topic, "payload": {"level": n}, "timestamp": newest - 43200 * n} for n in range(58)]).ok
    wait_until(lambda: len(messages(home, topic=f"eq.{topic}")) == 58, what="the readings being stored")
    page = visit(home.member, home.slug, f"devices/{device_id(home, 'gauge')}").page
    caption = page.get_by_role("region", name="level").locator("figcaption")
    expect(caption).to_contain_text("last 0")
    page.get_by_role("button", name="30 days").click()
    expect(page.get_by_test_id("range")).to_contain_text("averages of 2 h")
    expect(caption).to_contain_text("58 points")
    expect(caption).to_contain_text("between 0 and 57")
    assert device.send({"level": 99}, topic, timestamp=newest + 30).ok  # of the same two hours: their average, their greatest
    expect(caption).to_contain_text("last 49.5")


def test_commands_and_their_receipts(visit: Visits, home: Tenant, device: Device) -> None:
    visitor = visit(home.member, home.slug, f"devices/{device_id(home, 'boiler')}/commands")
    page = visitor.page
    assert "queued" in visitor.curl(page, "Publish")
    expect(page.get_by_role("row", name="acknowledged")).to_have_count(1)
    page.get_by_role("button", name="Publish", exact=True).click()
    expect(page.get_by_role("list", name="Receipts").get_by_text("acknowledged")).to_be_visible()
    expect(page.get_by_role("row", name="acknowledged")).to_have_count(2)
    page.get_by_label("Payload", exact=True).fill("{")
    page.get_by_role("button", name="Publish", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("is not JSON")


def test_messages_live(visit: Visits, home: Tenant, device: Device) -> None:
    visitor = visit(home.member, home.slug, "messages")
    page = visitor.page
    page.get_by_label("Topic filter").fill(f"{device.topic_prefix}/devices/+/tail")
    expect(page.get_by_text("No message matches yet")).to_be_visible()
    assert device.send({"n": 1, "x": "ä"}, device.topic("boiler", "tail"), user_properties={"floor": "two"}).ok
    first = page.get_by_role("button", name=device.topic("boiler", "tail"))
    expect(first).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    assert device.send({"n": 2}, device.topic("boiler", "tail")).ok
    expect(page.get_by_role("button", name="Resume (1 new)")).to_be_visible()
    expect(first).to_have_count(1)
    page.get_by_role("button", name="Resume (1 new)").click()
    expect(first).to_have_count(2)
    first.last.click()
    payload = dialog(page).get_by_test_id("payload")
    expect(payload).to_contain_text('"x": "ä"')
    dialog(page).get_by_role("button", name="Hex").click()
    expect(payload).to_contain_text("c3 a4")
    dialog(page).get_by_role("button", name="Text").click()
    expect(payload).to_contain_text("ä")
    expect(dialog(page).locator(".facts")).to_contain_text(re.compile("Properties.*floor.*two"))
    dialog(page).get_by_role("button", name="Publish again…").click()
    dialog(page).get_by_role("button", name="Publish", exact=True).click()
    expect(dialog(page).get_by_role("list", name="Receipts").get_by_text("sent")).to_be_visible()
    (sent,) = messages(home, direction="eq.outgoing", topic=f"eq.{device.topic('boiler', 'tail')}")
    assert sent["payload"] == {"n": 1, "x": "ä"}


def test_older_messages(visit: Visits, tenant: Callable[..., Tenant]) -> None:
    other = tenant()
    device = other.device()
    sent = device.send_batch([{"topic": device.topic("meter"), "payload": {"n": n}} for n in range(1, 251)])
    assert sent.ok
    wait_until(lambda: len(messages(other)) == 250, what="the messages")
    page = visit(other.member, other.slug, "messages").page
    rows = page.get_by_role("row").filter(has_text="meter")
    expect(rows).to_have_count(100)
    expect(rows.first).to_contain_text('{"n":250}')
    assert device.send({"n": 251}, device.topic("meter")).ok
    expect(rows.first).to_contain_text('{"n":251}')
    page.get_by_role("button", name="Older messages").click()
    expect(rows).to_have_count(201)
    expect(page.get_by_role("button", name="Resume")).to_be_visible()  # so that they stay where they are
    page.get_by_role("button", name="Older messages").click()
    expect(rows).to_have_count(251)
    assert re.findall(r"\d+}", "".join(rows.all_inner_texts())) == [f"{n}}}" for n in range(251, 0, -1)]
    expect(page.get_by_role("button", name="Older messages")).to_have_count(0)
    page.get_by_role("button", name="Resume").click()
    expect(rows).to_have_count(100)
    page.get_by_label("Received before").fill("2020-01-01T00:00")
    expect(page.get_by_text("No message matches.")).to_be_visible()
    page.get_by_label("Topic filter").fill("#")
    expect(page).to_have_url(re.compile(r"filter=%23.*before=2020"))
    page.reload()
    expect(page.get_by_label("Received before")).to_have_value("2020-01-01T00:00")


def test_messages_that_are_stored_while_the_page_is_loaded(visit: Visits, tenant: Callable[..., Tenant]) -> None:
    """They were received with what the page shows, longer ago than it looks back."""
    other = tenant()
    device = other.device()
    assert device.send_batch([{"topic": device.topic("meter"), "payload": {"n": n}} for n in range(1, 121)]).ok
    wait_until(lambda: len(messages(other)) == 120, what="the messages")
    received = datetime.fromisoformat(messages(other)[0]["received_at"])
    wait_until(lambda: datetime.now(UTC) - received > timedelta(seconds=3), what="a time that the page does not look back to")
    visitor = visit(other.member, other.slug, "start")

    listed: list[APIResponse] = []

    def late(route: Route) -> None:
        # The page's list, not what others ask for.
        if (route.request.post_data_json or {}).get("limit") != 100:
            route.continue_()
            return
        if not listed:
            listed.append(route.fetch())
            with other.stack.connect() as connection:
                connection.execute(
                    "INSERT INTO pgmq.q_mqtt_messages (vt, enqueued_at, organization_id, integration_id, message)"
                    " SELECT now(), max(h.received_at), %s, %s, jsonb_build_object('topic', %s::text, 'payload', '{\"n\":121}'::jsonb)"
                    " FROM mqtt.mqtt_messages AS h WHERE h.organization_id = %s",
                    (other.organization_id, other.integration_id, device.topic("meter"), other.organization_id),
                )
            wait_until(lambda: len(messages(other)) == 121, what="the late message")
        route.fulfill(response=listed[0])

    page = visitor.page
    page.route("**/rpc/list_messages", late)
    visitor.to("messages")
    rows = page.get_by_role("row").filter(has_text="meter")
    expect(rows.first).to_contain_text('{"n":121}')
    expect(rows.nth(1)).to_contain_text('{"n":120}')


def test_integrations(visit: Visits, home: Tenant, stack: Stack) -> None:
    visitor = visit(home.admin, home.slug, "integrations")
    page = visitor.page
    page.get_by_role("button", name="New integration").click()
    form = dialog(page)
    form.get_by_label("Name", exact=True).fill("Plant")
    form.get_by_label("Broker URL").fill("mqtt://user:password@127.0.0.1")
    form.get_by_role("button", name="Create", exact=True).click()
    expect(form.get_by_role("alert")).to_contain_text("setting_invalid")
    form.get_by_label("Broker URL").fill(stack.env["MQTT_URL"])
    form.get_by_label("Username").fill("topicbase_bridge")
    form.get_by_label("Password").fill(stack.broker_password)
    form.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", level=1, name="Plant")).to_be_visible()
    page.get_by_role("button", name="Test the connection", exact=True).click()
    expect(page.get_by_test_id("verdict")).to_contain_text("It works")
    expect(page.get_by_role("list", name="Stages").get_by_role("listitem")).to_have_text(
        [re.compile(f"^{stage}.*success$") for stage in ("Name", "Connection", "Login", "Subscribe", "Publish", "Round trip")]
    )
    page.get_by_role("button", name="New subscription").click()
    dialog(page).get_by_label("Topic filter").fill("plant/#")
    visitor.curl(dialog(page), "Subscribe")
    dialog(page).get_by_role("button", name="Close").click()
    expect(page.get_by_role("row", name="plant/#")).to_contain_text("active")
    page.get_by_role("button", name="Edit", exact=True).click()
    dialog(page).get_by_label("Name", exact=True).fill("Plant 2")
    dialog(page).get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", level=1, name="Plant 2")).to_be_visible()
    (row,) = home.api.rows("device_integrations", token=home.member, name="eq.Plant 2")
    assert (row["has_password"], row["settings"]["port"]) == (True, stack.mqtt_port)
    visitor.curl(page, "Switch off")
    expect(page.locator(".head").get_by_text("inactive")).to_be_visible()
    visitor.curl(page, "Delete the integration")
    assert home.api.rows("device_integrations", token=home.member, id=f"eq.{row['id']}") == []


def test_stages_of_a_connection_test_show_as_they_pass(visit: Visits, home: Tenant) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections wait to be accepted, so that the login comes to nothing
        plant = home.integration(broker_url="127.0.0.1", port=silent.getsockname()[1])
        page = visit(home.admin, home.slug, f"integrations/{plant}").page
        page.get_by_role("button", name="Test the connection", exact=True).click()
        stages = page.get_by_role("list", name="Stages").get_by_role("listitem")
        shown = ("^Name.*success$", "^Connection.*success$", "^Login.*running$", "^Subscribe$", "^Publish$", "^Round trip$")
        expect(stages).to_have_text([re.compile(text) for text in shown])
    expect(page.get_by_test_id("verdict")).to_contain_text("It fails")
    expect(stages.nth(2)).to_have_text(re.compile("^Login.*failed$"))
    expect(stages.nth(3)).to_have_text(re.compile("^Subscribe.*not tried$"))


def test_payload_rules_and_the_presence_that_they_tell(visit: Visits, home: Tenant, device: Device) -> None:
    visitor = visit(home.admin, home.slug, f"integrations/{home.integration_id}")
    page, prefix = visitor.page, device.topic_prefix
    page.get_by_role("button", name="Apply a preset").click()
    dialog(page).get_by_label("Preset", exact=True).select_option("tasmota")
    dialog(page).get_by_role("button", name="Apply", exact=True).click()
    topics = dialog(page).get_by_role("region", name="Topics of the preset")
    expect(topics.get_by_role("listitem").first).to_have_text(f"{prefix}/tele/#subscribed")  # by the hosted integration's own filter
    dialog(page).get_by_role("button", name="Close").click()
    rules = page.get_by_role("region", name="Payload rules")
    expect(rules.get_by_role("row").nth(1)).to_contain_text(re.compile(rf"^10{prefix}/tele/\+/LWTstatus.*tasmota"))
    page.get_by_role("button", name="New rule").click()
    form = dialog(page)
    form.get_by_label("Topic filter").fill(f"{prefix}/meter/+")
    form.get_by_label("Position").fill("5")
    form.get_by_label("Device").fill("{topic[3]}")
    form.get_by_label("Metrics (JSON)").fill('{"power": "$.p +"}')
    form.get_by_role("button", name="Add", exact=True).click()
    expect(form.get_by_role("alert")).to_contain_text("payload_rule_invalid")
    expect(form.get_by_role("alert")).to_be_in_viewport()
    form.get_by_label("Metrics (JSON)").fill('{"power": "$.p * 10"}')
    form.get_by_label("Transform").fill("{p: sum(to_array(p))}")
    form.get_by_label("Decode").fill("csv")
    form.get_by_label("Layout (JSON)").fill('["p"]')
    form.get_by_label("Offline after").fill("7200")
    form.get_by_role("button", name="Add", exact=True).click()
    expect(rules.get_by_role("row").nth(1)).to_contain_text("meter")
    page.get_by_role("button", name="Edit rule 5", exact=True).click()
    expect(form.get_by_label("Metrics (JSON)")).to_have_value('{"power":"$.p * 10"}')
    expect(form.get_by_label("Transform")).to_have_value("{p: sum(to_array(p))}")
    expect(form.get_by_label("Layout (JSON)")).to_have_value('["p"]')
    expect(form.get_by_label("Offline after")).to_have_value("7200")
    form.get_by_label("Decode").fill("")
    form.get_by_label("Layout (JSON)").fill("")
    form.get_by_label("Condition").fill("$.p > 1")
    form.get_by_role("button", name="Save", exact=True).click()
    expect(form).to_have_count(0)
    tried = page.get_by_test_id("tried")
    page.get_by_label("Topic", exact=True).fill(f"{prefix}/meter/kitchen")
    page.get_by_label("Payload", exact=True).fill('{"p": 4}')
    page.get_by_role("button", name="Try", exact=True).click()
    expect(tried.get_by_role("row", name="kitchen")).to_contain_text('{"power":40}')
    expect(tried).to_contain_text('Transformed: {"p":4}')
    page.get_by_label("Payload", exact=True).fill('{"p": 1}')
    page.get_by_role("button", name="Try", exact=True).click()
    expect(tried).to_contain_text("No rule matches")
    tried.get_by_text("Rules that were tried").click()
    expect(tried.get_by_role("row", name="no, by its condition")).to_contain_text("$.p > 1")
    page.get_by_role("button", name="Delete rule 5", exact=True).click()
    page.get_by_role("button", name="Yes: Delete").click()
    expect(rules.get_by_role("row", name="meter")).to_have_count(0)
    page.get_by_label("Topic", exact=True).fill(f"{prefix}/tele/plug/LWT")
    page.get_by_label("Payload", exact=True).fill("Online")
    page.get_by_role("button", name="Try", exact=True).click()
    expect(tried.get_by_role("row", name="plug")).to_contain_text("online")
    assert device.send("Online", f"{prefix}/tele/plug/LWT").ok
    page = visitor.to("devices")
    expect(page.get_by_role("row", name="plug")).to_contain_text("online since")
    expect(page.get_by_role("row", name="boiler")).not_to_contain_text("since")
    page.get_by_role("link", name="plug").click()
    expect(page.locator(".head")).to_contain_text("online since")


def test_dead_letters(visit: Visits, home: Tenant, dead_letters: Callable[[Tenant, int], str]) -> None:
    topic = dead_letters(home, 2)
    visitor = visit(home.admin, home.slug, "dead-letters")
    page = visitor.page
    expect(page.locator(".reasons")).to_contain_text("stumbled over")
    page.get_by_role("button", name=topic).first.click()
    opened = dialog(page)
    expect(opened.get_by_test_id("payload")).to_contain_text('"n"')
    opened.get_by_label("Patch (JSON)").fill('{"payload": {"n": "repaired"}}')
    opened.get_by_role("button", name="Dry run", exact=True).click()
    expect(opened.get_by_test_id("report")).to_have_text("1 match, 0 put back into the queue.")
    opened.get_by_role("button", name="Replay", exact=True).click()
    expect(opened.get_by_test_id("report")).to_have_text("1 match, 1 put back into the queue.")
    wait_until(lambda: [row["payload"] for row in messages(home, topic=f"eq.{topic}")] == [{"n": "repaired"}])
    opened.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Replay 1…").click()
    visitor.curl(dialog(page), "Replay")
    wait_until(lambda: len(messages(home, topic=f"eq.{topic}")) == 2, what="the replay by curl")


def test_dead_letters_of_one_reason_are_replayed_once(
    visit: Visits, tenant: Callable[..., Tenant], dead_letters: Callable[[Tenant, int], str]
) -> None:
    other = tenant()
    dead_letters(other, 2)
    page = visit(other.admin, other.slug, "dead-letters").page
    page.locator(".reasons button").click()
    page.get_by_role("button", name="Replay 2…").click()
    dialog(page).get_by_role("button", name="Replay", exact=True).click()
    expect(dialog(page).get_by_test_id("report")).to_contain_text("2 put back into the queue.")
    dialog(page).get_by_role("button", name="Close").click()
    expect(page.get_by_text("replayed", exact=True)).to_have_count(2)
    expect(page.get_by_role("button", name=re.compile(r"^Replay \d"))).to_have_count(0)


def test_webhooks(visit: Visits, home: Tenant, device: Device) -> None:
    url = "http://127.0.0.1:9/in"  # the discard port: nothing listens
    topic = device.topic("boiler", "hook")
    body = {"integration_id": home.integration_id, "topic": topic, "callback_url": url}
    home.api.ok("mqtt_subscribe", body, token=home.admin)
    assert device.send({"n": 1}, topic).ok
    visitor = visit(home.admin, home.slug, "webhooks")
    page = visitor.page
    page.get_by_role("link", name=url).click()
    expect(page.get_by_role("row", name="waiting")).to_be_visible()
    expect(page.get_by_text("receiver: failing")).to_be_visible()
    page.get_by_role("button", name=re.compile(r"\d{4}, \d")).first.click()
    expect(dialog(page)).to_contain_text(topic)
    dialog(page).get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Rotate secret…").click()
    dialog(page).get_by_role("button", name="Rotate", exact=True).click()
    expect(dialog(page).get_by_test_id("secret")).to_have_text(re.compile(r"^whsec_"))
    dialog(page).get_by_role("button", name="Close").click()
    assert '{"replayed": 0}' in visitor.curl(page, "Post dead ones again").replace('":', '": ').replace("  ", " ")
    home.api.ok("mqtt_subscribe", {**body, "is_paused": True}, token=home.admin)
    expect(page.get_by_text("receiver: paused")).to_be_visible()


def test_what_an_open_circuit_holds_up_is_due(visit: Visits, home: Tenant, device: Device, stack: Stack) -> None:
    topic = device.topic("boiler", "held")
    body = {"integration_id": home.integration_id, "topic": topic, "callback_url": "http://127.0.0.1:9/held"}
    hook = home.api.ok("mqtt_subscribe", body, token=home.admin)["id"]
    assert device.send_batch([{"topic": topic, "payload": {"n": n}} for n in range(5)]).ok
    failed = {"subscription_id": f"eq.{hook}", "error": "not.is.null", "token": home.member}
    wait_until(lambda: len(home.api.rows("mqtt_callback_deliveries", **failed)) == 5, what="five failures in a row")
    late = "UPDATE mqtt.mqtt_callback_deliveries SET due_at = now() - interval '3 minutes' WHERE subscription_id = %s AND bridge_id IS NULL"
    with stack.connect() as db:
        db.execute("UPDATE mqtt.callback_circuits SET open_until = now() + interval '1 hour' WHERE url = %s", (body["callback_url"],))
        wait_until(lambda: db.execute(late, (hook,)).rowcount == 5, what="the end of those under way")
    page = visit(home.admin, home.slug, f"webhooks/{hook}").page
    expect(page.get_by_text("receiver: open")).to_be_visible()
    expect(page.get_by_text("what is due waits until one request tries it again")).to_be_visible()
    expect(page.get_by_role("cell", name="now due", exact=True)).to_have_count(5)
    expect(page.get_by_role("main")).not_to_contain_text("ago")
    home.api.ok("mqtt_subscribe", {**body, "is_paused": True}, token=home.admin)
    expect(page.get_by_role("cell", name="when the subscription goes on", exact=True)).to_have_count(5)


def test_access(visit: Visits, home: Tenant, device: Device) -> None:
    visitor = visit(home.admin, home.slug, "access")
    page = visitor.page
    page.get_by_role("button", name="New login").click()
    dialog(page).get_by_label("Topic prefix").fill(f"{device.topic_prefix}/devices/pump")
    dialog(page).get_by_role("button", name="Generate", exact=True).click()
    password = dialog(page).get_by_test_id("Password").inner_text()
    username = dialog(page).get_by_test_id("Username").inner_text()
    expect(dialog(page).get_by_role("img", name="The login as an MQTT address")).to_be_visible()
    for language, part in (("Arduino", "PubSubClient"), ("Python (paho)", "paho.mqtt.client"), ("curl", "mqtt_ingest")):
        dialog(page).get_by_role("button", name=language, exact=True).click()
        expect(dialog(page).get_by_test_id("snippet")).to_contain_text(part)
        expect(dialog(page).get_by_test_id("snippet")).to_contain_text(password)
    dialog(page).get_by_role("button", name="Close").click()
    expect(dialog(page)).to_have_count(0)
    assert password not in page.content()
    page.get_by_role("button", name=f"Explain the access of {username}").click()
    dialog(page).get_by_label("Topic", exact=True).fill("elsewhere")
    dialog(page).get_by_role("button", name="Explain", exact=True).click()
    expect(dialog(page).get_by_test_id("explanation")).to_contain_text("does not match any filter")
    dialog(page).get_by_role("button", name="Close").click()
    visitor.curl(page, f"Revoke {username}")
    expect(page.get_by_role("row", name=username)).to_have_count(0)
    page.get_by_label("Also those that were revoked or have expired").check()
    expect(page.get_by_role("row", name=username)).to_contain_text("revoked")
    visitor.curl(page, f"Delete {username}")
    expect(page.get_by_role("row", name=username)).to_have_count(0)
    member = "12345678-1234-4234-8234-123456789abc"
    page.get_by_label("User id").fill(member)
    page.get_by_role("button", name="Invite or change member", exact=True).click()
    expect(page.get_by_role("row", name=member)).to_contain_text("invited")
    page.get_by_role("button", name=f"Remove {member}", exact=True).click()
    page.get_by_role("button", name=f"Remove {member}").or_(page.get_by_role("button", name="Yes: Remove")).first.click()
    expect(page.get_by_role("row", name=member)).to_have_count(0)


def test_who_leaves_an_organization_sees_it_no_longer(visit: Visits, tenant: Callable[..., Tenant]) -> None:
    other = tenant()
    page = visit(other.admin, other.slug, "access").page
    page.get_by_role("button", name=f"Remove {other.admin_id}", exact=True).click()
    page.get_by_role("button", name="Yes: Remove").click()
    expect(page.get_by_text("No organization yet")).to_be_visible()


def test_a_member_is_offered_what_a_member_may(visit: Visits, home: Tenant, device: Device) -> None:
    visitor = visit(home.member, home.slug, "integrations")
    expect(visitor.page.get_by_role("link", name="main")).to_be_visible()
    expect(visitor.page.get_by_role("button", name="New integration")).to_have_count(0)
    page = visitor.to("access")
    expect(page.get_by_role("table").first).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("New login|Revoke|Remove|Invite"))).to_have_count(0)
    page = visitor.to("installation")
    expect(page.get_by_role("alert")).to_contain_text("operator_required")


def test_queue(visit: Visits, home: Tenant, device: Device) -> None:
    page = visit(home.member, home.slug, "queue").page
    row = page.get_by_role("region", name="Ledger").get_by_role("row").nth(1)
    expect(row).to_contain_text(re.compile(r"\d\d:\d\d"))
    page.get_by_role("button", name="Minutes").click()
    expect(page.get_by_role("columnheader", name="Minute", exact=True)).to_be_visible()


def test_an_operator_goes_from_nothing_to_the_first_reading(
    visit: Visits, operator: Callable[[str], str], stack: Stack, strangers: Tenant
) -> None:
    user = "77777777-0000-4000-8000-000000000001"
    visitor = visit(operator(user))
    page = visitor.page
    page.get_by_label("Name").fill("Größe & Söhne")
    expect(page.get_by_label("Slug")).to_have_value("gro-e-so-hne")
    page.get_by_label("Slug").fill("first")
    page.get_by_role("button", name="Create the organization", exact=True).click()
    page.get_by_role("button", name="Use the hosted broker", exact=True).click()
    page.get_by_role("button", name="Register the device", exact=True).click()
    page.get_by_role("button", name="Make a login for it", exact=True).click()
    expect(page.get_by_text("Waiting for the first message…")).to_be_visible()
    command = page.get_by_test_id("snippet").inner_text()
    assert command.startswith("mosquitto_pub")

    def sent() -> bool:
        # The broker knows a new login a moment later.
        return visitor.stack.run("exec", "bash", "-c", command, check=False).returncode == 0

    wait_until(sent, what="the snippet")
    page.get_by_role("button", name="curl", exact=True).click()
    assert visitor.stack.run("exec", "bash", "-c", page.get_by_test_id("snippet").inner_text()).stdout.find("queued") > 0
    expect(page.get_by_role("region", name="temperature").locator("canvas")).to_be_in_viewport()
    page.get_by_role("link", name="Go to the device").click()
    expect(page.get_by_role("heading", level=1, name="sensor01")).to_be_visible()
    page.get_by_role("link", name="Installation").click()
    expect(page.get_by_role("row", name="live")).to_be_visible()
    page.get_by_label("Name").fill("Second")
    page.get_by_label("Slug").fill("second")
    visitor.curl(page, "Create the organization")
    expect(page.get_by_label("Organization").locator("option")).to_have_count(1)
    page.reload()
    expect(page.get_by_label("Organization").locator("option")).to_have_count(2)
