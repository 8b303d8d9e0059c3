"""Node-RED as people use it beside a database: MQTT nodes, and function nodes with node-postgres."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.harness import RUN, Bench, Connection
from bench.load.mqtt import Broker, Load
from bench.samples import Sample, sample_of
from bench.setup import peers
from bench.setup.payload import payload
from bench.waiting import scalar, until

SETTINGS = """
const {{ Pool }} = require("pg");
module.exports = {{
  uiPort: {port}, uiHost: "127.0.0.1", userDir: {folder}, flowFile: "flows.json", credentialSecret: false, disableEditor: true,
  logging: {{ console: {{ level: "warn" }} }},
  functionGlobalContext: {{ pool: new Pool({{ connectionString: {url}, max: 10 }}) }},
}};
"""
# The second output leads back to the node: the next page follows at once, and the tick only looks for new rows.
READ = """
const pool = global.get("pool");
const found = await pool.query(
  `DELETE FROM bench_outbox WHERE id IN (SELECT id FROM bench_outbox ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED)
   RETURNING topic, payload`);
return [found.rows.map((row) => ({ topic: row.topic, payload: row.payload })), found.rows.length ? {} : null];
"""
WRITE = """
await global.get("pool").query("INSERT INTO bench_naive (payload) VALUES ($1)", [msg.payload]);
return null;
"""
COMMITTED = """
SELECT extract(EPOCH FROM pg_xact_commit_timestamp(n.xmin)) - (n.payload ->> 'sent')::numeric
FROM public.bench_naive AS n WHERE n.payload ? 'sent'
"""


def flow(name: str, broker: Broker) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = [
        {"id": "tab", "type": "tab", "label": name},
        {
            "id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(broker.port), "protocolVersion": "5",
            "clientid": "", "keepalive": "60", "cleansession": True, "autoConnect": True,
            "credentials": {"user": broker.username, "password": broker.password},
        },
    ]  # fmt: skip
    function = {"type": "function", "z": "tab", "outputs": 1, "timeout": 0, "noerr": 0, "initialize": "", "finalize": "", "libs": []}
    if name == "out":
        inject = {"props": [], "repeat": "0.05", "crontab": "", "once": True, "onceDelay": "0.1", "topic": ""}
        return [
            *nodes,
            {"id": "tick", "type": "inject", "z": "tab", **inject, "wires": [["read"]]},
            {"id": "read", **function, "outputs": 2, "func": READ, "wires": [["mqtt"], ["read"]]},
            {"id": "mqtt", "type": "mqtt out", "z": "tab", "topic": "", "qos": "1", "retain": "", "broker": "broker", "wires": []},
        ]
    return [
        *nodes,
        {
            "id": "mqtt", "type": "mqtt in", "z": "tab", "topic": "bench/#", "qos": "1", "datatype": "utf8", "broker": "broker",
            "nl": False, "rap": True, "rh": 0, "inputs": 0, "wires": [["write"]],
        },
        {"id": "write", **function, "func": WRITE, "wires": [[]]},
    ]  # fmt: skip


def measure(bench: Bench, broker: Broker, place: Path, name: str, work: Callable[[], Sample]) -> Sample:
    """Runs Node-RED with the flow (out or in) while work runs; work waits until it is up before it measures."""
    folder = RUN / f"node-red-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "flows.json").write_text(json.dumps([{k: v for k, v in node.items() if k != "credentials"} for node in flow(name, broker)]))
    (folder / "flows_cred.json").write_text(
        json.dumps({node["id"]: node["credentials"] for node in flow(name, broker) if "credentials" in node})
    )
    (folder / "settings.js").write_text(
        SETTINGS.format(port=broker.port + 1000, folder=json.dumps(str(folder)), url=json.dumps(bench.env["DATABASE_URL"]))
    )
    with bench.connect() as db:
        db.execute("DROP TABLE IF EXISTS public.bench_outbox, public.bench_naive")
        db.execute("CREATE TABLE public.bench_naive (id bigserial PRIMARY KEY, at timestamptz DEFAULT now(), payload jsonb)")
        db.execute("CREATE TABLE public.bench_outbox (id bigserial PRIMARY KEY, topic text, payload jsonb)")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["node", place / "node_modules" / "node-red" / "red.js", "--settings", folder / "settings.js"],
            cwd=place, env={**peers.node_environment(place), "NODE_PATH": str(place / "node_modules")}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        return work()
    except RuntimeError as failure:
        raise RuntimeError(f"{failure}; {(folder / 'log').read_text()[-800:]}") from failure
    finally:
        process.terminate()
        process.wait(20)


def feed(db: Connection, count: int) -> None:
    """Rows for the outbound flow, a thousand per INSERT."""
    for _ in range(0, count, 1000):
        db.execute(
            "INSERT INTO public.bench_outbox (topic, payload) SELECT 'bench/devices/device-' || n %% 100 || '/commands', %s::jsonb"
            " FROM generate_series(1, %s) AS n",
            (payload(), min(count, 1000)),
        )


def receive(bench: Bench, broker: Broker, publish: Callable[[], Load]) -> Sample:
    """Until everything that publish sends is committed, the second time; p50 and p99 of stamped messages, from sending to commit."""
    with bench.connect() as db, broker.connected("bench-red") as client:

        def stored() -> int:
            return scalar(db, "SELECT count(*) FROM public.bench_naive")

        deadline = time.monotonic() + 60
        while not stored():
            client.publish("bench/devices/device-1/telemetry", payload(), 1)
            time.sleep(0.2)
            if time.monotonic() > deadline:
                raise RuntimeError("Node-RED stores nothing")
        time.sleep(1)
        db.execute("TRUNCATE public.bench_naive")
        load = publish()  # lets the JIT compiler warm up
        until(lambda: stored() >= load.total(), "Node-RED")
        load.finish()
        db.execute("TRUNCATE public.bench_naive")
        start = time.perf_counter()
        load = publish()
        until(lambda: stored() >= load.total(), "Node-RED")
        seconds = time.perf_counter() - start
        load.finish()
        return sample_of(load.total(), seconds, [float(found[0]) for found in db.execute(COMMITTED).fetchall()])
