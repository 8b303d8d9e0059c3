"""One organization does its worst within its rights, to each thing that it shares with the one under load: that one loses nothing.

Each fault is over when the worst is withdrawn; what it left in the queues is stored like anything else, and the books include it.
"""

import contextlib
import json
import random
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import paho.mqtt.client as mqtt
import requests
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.chaos.registry import Fault, into
from tests.chaos.world import World
from tests.support.api import one
from tests.support.broker import Broker
from tests.support.mqtt import disconnect
from tests.support.tarpit import Tarpit
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import wait_until

FAULTS: dict[str, Fault] = {}
fault = into(FAULTS)
WIDE = json.dumps({f"member{number}": number for number in range(12_000)})
CYCLES = 30


@fault(cycles=CYCLES)
def neighbour_at_the_pool(world: World, rng: random.Random) -> None:
    """Sixty queries at a time that take long to plan, and long polls, sent again as soon as they are refused."""
    noisy = hostile(world)
    terms = ",".join(f"topic.like.*{number}*" for number in range(300))
    receipt = published(noisy, noisy.integration_id, 1)[0]
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {noisy.member}"

        def ask(number: int) -> None:
            if number % 4:
                session.get(f"{noisy.api.url}/mqtt_messages", params={"or": f"({terms})", "order": "received_at"}, timeout=70)
            else:
                session.post(f"{noisy.api.url}/rpc/get_mqtt_publish_receipts", json={"receipt_ids": [receipt], "wait": 1}, timeout=70)

        with crowd(60, ask):
            during(world, rng)


@fault(cycles=CYCLES)
def neighbour_at_the_worker(world: World, rng: random.Random) -> None:
    """Messages that are a thousand times as much work as others, on two connections, and batches of a thousand on a third."""
    device = hostile(world).device()
    headers = {**device.headers, "Content-Type": "application/json"}
    wide = f'{{"topic": "{device.topic("wide")}", "payload": {WIDE}}}'
    many = json.dumps([{"topic": device.topic(f"m{number % 50}"), "payload": {"t": number}} for number in range(1000)])

    def send(number: int) -> None:
        call, body = ("mqtt_ingest", wide) if number else ("mqtt_ingest_batch", many)
        requests.post(f"{device.api.url}/rpc/{call}", data=body, headers=headers, timeout=70)

    with crowd(3, send):
        during(world, rng)


@fault(cycles=CYCLES)
def neighbour_outbound(world: World, rng: random.Random) -> None:
    """Thousands of messages for a broker that acknowledges none."""
    noisy = hostile(world)
    with Broker(loop=world.loop, swallow=1 << 30) as silent, external(noisy, silent.port) as integration_id:
        published(noisy, integration_id, 5000)
        wait_until(lambda: len(silent.seen) >= 50, what="messages under way to the broker that is silent")
        during(world, rng)


@fault(cycles=CYCLES)
def neighbour_inbound(world: World, rng: random.Random) -> None:
    """A broker that delivers as fast as it can."""
    noisy = hostile(world)
    packet = publish_packet(b"flood/x", json.dumps("x" * 500).encode())
    with Broker(loop=world.loop) as flooding, external(noisy, flooding.port) as integration_id:
        noisy.api.ok("mqtt_subscribe", {"integration_id": integration_id, "topic": "flood/#"}, token=noisy.admin)
        wait_until(lambda: flooding.has_subscriber("flood/x"), what="a subscription at the broker that floods")
        for _ in range(4):
            flooding.send(packet * 2000)
            during(world, rng, 0.25)


@fault(cycles=CYCLES)
def neighbour_of_webhooks(world: World, rng: random.Random) -> None:
    """Forty subscriptions to receivers that never answer, with messages for all of them."""
    noisy = hostile(world)
    device = noisy.device()
    with Tarpit(world.loop) as silent:
        subscriptions = [
            one(
                noisy.api.ok(
                    "mqtt_subscribe",
                    {
                        "integration_id": noisy.integration_id,
                        "topic": device.topic(f"h{number}"),
                        "callback_url": f"http://127.0.0.1:{silent.port}/{uuid.uuid4()}",
                    },
                    token=noisy.admin,
                )
            )["id"]
            for number in range(40)
        ]
        try:
            for _ in range(5):
                device.send_batch([{"topic": device.topic(f"h{number}"), "payload": 1} for number in range(40)])
            waiting = "SELECT count(*) > 100 FROM mqtt.mqtt_callback_deliveries WHERE organization_id = %s"
            wait_until(lambda: world.query(waiting, noisy.organization_id)[0][0], what="requests to receivers that hang")
            during(world, rng)
        finally:
            for subscription in subscriptions:
                noisy.api.ok("mqtt_unsubscribe", {"subscription_id": subscription}, token=noisy.admin)


@fault(cycles=CYCLES)
def neighbour_of_dialers(world: World, rng: random.Random) -> None:
    """A hundred and fifty brokers that accept a connection and say nothing, and the bridge has to connect to the other's broker again."""
    noisy = hostile(world)
    with Tarpit(world.loop) as silent, contextlib.ExitStack() as ends:
        world.query(
            "SELECT api.upsert_integration(organization_id => %s, name => n::text, integration_type => 'mqtt_external', settings => %s)"
            " FROM generate_series(1, 150) AS n",
            noisy.organization_id,
            json.dumps({"broker_url": "127.0.0.1", "port": silent.port, "protocol": "mqtts"}),
        )
        ends.callback(
            world.query,
            "DELETE FROM mqtt.device_integrations WHERE organization_id = %s AND integration_type = 'mqtt_external'",
            noisy.organization_id,
        )
        during(world, rng)
        world.broker_proxy.cut(reset=True)
        during(world, rng)


@fault(cycles=CYCLES)
def neighbour_at_the_broker(world: World, rng: random.Random) -> None:
    """Ten connections that publish and retain as fast as they can, and share subscriptions to all of it."""
    noisy = hostile(world)
    clients = []
    for number in range(10):
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"{noisy.slug}{number}", protocol=MQTTProtocolVersion.MQTTv5)
        client.username_pw_set("topicbase_bridge", world.stack.broker_password)
        client.connect(world.stack.mqtt_host, world.stack.mqtt_port, keepalive=30)
        client.loop_start()
        clients.append(client)
    try:
        wait_until(lambda: all(client.is_connected() for client in clients), what="ten connections to the broker")
        for place, client in enumerate(clients):
            client.subscribe([(f"$share/g{number}/org_{noisy.slug}/#", 1) for number in range(20)])
            for number in range(200):
                topic = f"org_{noisy.slug}/devices/d{place}/m{number}"
                client.publish(topic, json.dumps({"x": number}), 1, retain=number % 10 == 0)
        during(world, rng)
    finally:
        for client in clients:
            disconnect(client)


@fault(cycles=CYCLES, place="disk", is_short=False)
def neighbour_on_the_disk(world: World, rng: random.Random) -> None:
    """It fills the disk: it is refused before that is full, and alone."""
    noisy = hostile(world)
    device = noisy.device()
    written = "SELECT coalesce(sum(accepted), 0)::bigint FROM mqtt.ledger WHERE organization_id = %s"
    target = 4 * world.query(written, world.tenant.organization_id)[0][0] + 5000
    while world.query(written, noisy.organization_id)[0][0] < target:
        device.send_batch([{"topic": device.topic(f"m{number % 50}"), "payload": {"t": number}} for number in range(5000)])
    world.query("UPDATE mqtt.configuration SET min_free_bytes = mqtt.free_disk_bytes() * 2 / 3")
    try:
        paused = "SELECT slug FROM mqtt.organizations WHERE ingest_pause IS NOT NULL"
        wait_until(lambda: world.query(paused) == [(noisy.slug,)], what="who fills the disk being stopped, and nobody else")
        refused = dict(world.load.refused)
        world.load.wait_accepted(100)
        assert world.load.refused == refused
        assert device.send(1).status_code == requests.codes.too_many_requests
    finally:
        world.query("UPDATE mqtt.configuration SET min_free_bytes = 0")
    wait_until(lambda: not world.query(paused), what="its being let in again")
    during(world, rng)


@fault(cycles=CYCLES)
def neighbour_of_upkeep(world: World, rng: random.Random) -> None:
    """It deletes all that it has, again and again, while maintenance runs all the time."""
    noisy = hostile(world)
    world.query(
        "INSERT INTO mqtt.mqtt_messages (received_at, position, organization_id, integration_id, direction, topic, payload)"
        " SELECT now() - n * interval '1 ms', -n, %s, %s, 'incoming', %s || (n %% 100), '{}' FROM generate_series(1, 20000) AS n",
        noisy.organization_id,
        noisy.integration_id,
        f"org_{noisy.slug}/devices/d",
    )

    def work(number: int) -> None:
        if number:
            body = {"integration_id": noisy.integration_id, "until": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
            noisy.api.call("delete_messages", body, token=noisy.admin)
        else:
            world.query("SELECT mqtt.run_maintenance()")

    with crowd(2, work):
        during(world, rng)


@fault(cycles=CYCLES, place="stream", is_short=False)
def neighbour_at_the_stream(world: World, rng: random.Random) -> None:
    """A hundred and ninety viewers that read nothing, with messages for all of them: the other's viewer gets each of its messages."""
    noisy = hostile(world)
    device = noisy.device()
    many = [{"topic": device.topic(f"m{number % 50}"), "payload": "x" * 200} for number in range(1000)]
    url, seen = world.stack.env["STREAM_URL"], set[int]()
    with contextlib.ExitStack() as opened:

        def view(tenant: Tenant) -> requests.Response:
            headers = {"Authorization": f"Bearer {tenant.member}"}
            return opened.enter_context(requests.get(url, headers=headers, stream=True, timeout=60))

        quiet = view(world.tenant)
        for _ in range(190):
            view(noisy)
        since = world.load.accepted()

        def look() -> None:
            rest = b""
            # Until the answer is closed, in the middle of a read.
            with contextlib.suppress(requests.RequestException, AttributeError, ValueError):
                for part in quiet.iter_content(chunk_size=None):  # as it comes: byte by byte, this viewer would be the slow one
                    *lines, rest = (rest + part).split(b"\n")
                    for line in lines:
                        if line.startswith(b"data: ") and isinstance(payload := json.loads(line[6:]).get("payload"), dict):
                            seen.add(payload.get("n", 0))

        viewer = threading.Thread(target=look, daemon=True)
        viewer.start()
        with crowd(2, lambda _: device.send_batch(many)):
            during(world, rng)
        wanted = set().union(*(channel.accepted for name, channel in world.load.channels.items() if name.startswith("single")))
        newest = sorted(wanted)[-(len(wanted) * (world.load.accepted() - since) // (2 * world.load.accepted())) - 1 :]
        wait_until(lambda: seen.issuperset(newest), what="the other's messages at its viewer")


# ------------------------------------------------------------------------------------------------------------------------- helpers


def hostile(world: World) -> Tenant:
    """The organization that does its worst, the same in each cycle."""
    if world.hostile is None:
        world.hostile = make_tenant(world.stack, world.api)
    return world.hostile


def during(world: World, rng: random.Random, seconds: float = 1.0) -> None:
    """The other's load goes on meanwhile."""
    time.sleep(rng.uniform(0, seconds))
    world.load.wait_accepted(20)


@contextmanager
def crowd(count: int, work: Callable[[int], object]) -> Iterator[None]:
    """So many threads that do it again and again, whatever comes of it."""
    ended = threading.Event()

    def repeat(number: int) -> None:
        while not ended.is_set():
            with contextlib.suppress(requests.RequestException):
                work(number)

    with ThreadPoolExecutor(count) as pool:
        for number in range(count):
            pool.submit(repeat, number)
        try:
            yield
        finally:
            ended.set()


def published(tenant: Tenant, integration_id: str, count: int) -> list[str]:
    messages = [{"topic": f"org_{tenant.slug}/x", "payload": number, "qos": 1} for number in range(count)]
    answer = tenant.api.ok("mqtt_publish", {"integration_id": integration_id, "messages": messages}, token=tenant.member)
    return [row["receipt_id"] for row in answer["receipts"]]


@contextmanager
def external(tenant: Tenant, port: int) -> Iterator[str]:
    integration_id = tenant.integration("mqtt_external", broker_url="127.0.0.1", port=port, protocol="mqtt")
    try:
        yield integration_id
    finally:
        tenant.api.ok("delete_integration", {"integration_id": integration_id}, token=tenant.admin)


def publish_packet(topic: bytes, payload: bytes) -> bytes:
    """A PUBLISH of QoS 0, MQTT 5."""
    body = struct.pack(f"!H{len(topic)}sB", len(topic), topic, 0) + payload
    return b"\x30" + bytes([len(body) & 127 | 128, len(body) >> 7]) + body
