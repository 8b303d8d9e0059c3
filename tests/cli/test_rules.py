"""topicbase rules try: what becomes of a message, without storing it."""

import json
from collections.abc import Callable

from tests.cli.conftest import Cli
from tests.support.tenant import Tenant


def test_what_rules_make_of_a_message(tenant: Callable[..., Tenant], app: Callable[[str], Cli]) -> None:
    owner = tenant("mqtt_external", broker_url="broker.example.com")
    owner.api.ok("apply_device_preset", {"integration_id": owner.integration_id, "preset": "tasmota"}, token=owner.admin)
    attempt = app(owner.member)
    shown = attempt("rules", "try", owner.integration_id, "tele/plug1/SENSOR", '{"Time": "2026-11-01T07:00:00", "ENERGY": {"Power": 95}}')
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[1:] == ["  telemetry of plug1 at 2026-11-01T07:00:00+00:00", "    ENERGY.Power = 95"]
    exact = ("rules", "try", owner.integration_id, "tele/plug1/SENSOR", '{"ENERGY": {"Power": 12345678901234567890.250}}')
    assert "    ENERGY.Power = 12345678901234567890.250\n" in attempt(*exact).stdout
    assert '"ENERGY.Power": 12345678901234567890.250' in attempt(*exact, "--json").stdout
    piped = attempt("rules", "try", owner.integration_id, "tele/plug1/LWT", "--json", input="Online")
    assert json.loads(piped.stdout)["samples"][0]["presence"] == "online"
    assert attempt("rules", "try", owner.integration_id, "other/topic", "1").returncode == 1
    rule = {"integration_id": owner.integration_id, "topic": "means", "device": "d", "transform": "{mean: avg(v)}"}
    owner.api.ok("upsert_payload_rule", rule, token=owner.admin)
    transformed = attempt("rules", "try", owner.integration_id, "means", '{"v": [1, 2]}')
    assert transformed.stdout.splitlines()[1:] == ['  transformed: {"mean": 1.5}', "  telemetry of d", "    mean = 1.5"]
    missing = attempt("rules", "try", owner.integration_id, "means", "--file", "/nowhere/x")
    assert (missing.returncode, missing.stderr) == (2, "topicbase: /nowhere/x cannot be read: No such file or directory\n")
