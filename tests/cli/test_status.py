"""topicbase status: who lives, who holds what, which broker is not reached and why, how deep the queues are."""

import json
from collections.abc import Callable
from typing import Any

from tests.bridge.support import status as status_of
from tests.cli.conftest import Cli, bridge_environment, run
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until


def seen(cli: Cli) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(cli("status", "--json").stdout)
    return answer


def test_what_a_bridge_holds_and_why_a_broker_is_not_reached(stack: Stack, tenant: Callable[..., Tenant], cli: Cli) -> None:
    owner = tenant()
    broken = owner.integration(name="[red]plant[/]", broker_url="127.0.0.1", port=1)
    wait_until(lambda: status_of(stack, broken)[0] == "error", what="the bridge has tried")
    found = seen(cli)
    (bridge,) = [one for one in found["bridges"] if one["is_live"]]
    by_id = {one["id"]: one for one in found["integrations"]}
    assert by_id[owner.integration_id]["bridge"] == bridge["name"]
    assert (by_id[owner.integration_id]["status"], by_id[owner.integration_id]["organization"]) == ("active", owner.slug)
    assert "refused" in by_id[broken]["reason"]
    assert bridge["integrations"] >= 2
    shown = cli("status")
    assert shown.returncode == 1
    assert "[red]plant[/]" in shown.stdout  # a tenant's name is a name, not markup
    assert "refused" in shown.stdout
    assert "\x1b[" not in shown.stdout  # no colours where there is no terminal
    assert "password" not in json.dumps(found)


def test_queues(stack: Stack, tenant: Callable[..., Tenant], cli: Cli) -> None:
    owner = tenant()
    waiting = owner.integration(broker_url="127.0.0.1", port=1)
    wait_until(lambda: status_of(stack, waiting)[0] == "error", what="the bridge has tried")
    with stack.connect() as db:
        db.execute(
            "INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id) "
            "SELECT x.vt, '{\"topic\": \"a\"}', %s, %s FROM (VALUES (now() - interval '90 s'), (now() + interval '1 d')) AS x (vt)",
            (owner.organization_id, waiting),
        )
    found = seen(cli)
    assert next(one for one in found["integrations"] if one["id"] == waiting)["outbound_waiting"] == 2
    assert found["queues"]["outbound"]["messages"] >= 2
    assert 85 < found["queues"]["outbound"]["oldest_seconds"] < 3600
    assert cli("status").stdout.count("outbound") == 1
    owner.api.ok("delete_integration", {"integration_id": waiting}, token=owner.admin)


def test_all_is_well_until_the_bridge_is_killed(fresh_stack: Callable[..., Stack]) -> None:
    own = fresh_stack(without=("gateway",))
    environment = bridge_environment(own)
    wait_until(lambda: run("status", environment=environment).returncode == 0, what="the hosted broker is reached")
    own.kill("bridge")
    ended = run("status", environment=environment)
    assert ended.returncode == 1
    assert "gone" in ended.stdout
    own.stop("postgres")
    ended = run("status", environment=environment)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "cannot be reached" in ended.stderr


def test_another_role_is_told_so(cli: Cli, stack: Stack) -> None:
    secrets = dict(line.split("=", 1) for line in (stack.run_dir / "secrets").read_text().splitlines())
    ended = cli("status", PGUSER="authenticator", PGPASSWORD=secrets["AUTHENTICATOR_PASSWORD"], PGPASSFILE=None)
    assert ended.returncode == 3
    assert "PGUSER=mqtt_bridge" in ended.stderr


def test_a_second_bridge_names_the_address_that_is_taken(stack: Stack, cli: Cli) -> None:
    ended = cli("run")
    address = stack.env["METRICS_URL"].removeprefix("http://").removesuffix("/metrics")
    assert ended.returncode == 1
    said = f"topicbase: it cannot listen on {address} (TOPICBASE_METRICS_ADDRESS): Address already in use"
    assert ended.stderr.splitlines()[-1] == said
