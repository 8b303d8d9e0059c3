"""Alert rules and the operators' dashboard, in a real Prometheus that scrapes a real bridge."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.ports import held_port
from tests.support.stack import ROOT, Stack
from tests.support.waiting import PATIENCE, wait_until

RULES = ROOT / "packaging/prometheus/alerts.yml"
BOARD: dict[str, Any] = json.loads((ROOT / "packaging/grafana/operators.json").read_text())


def answered(url: str, path: str, **parameters: str) -> dict[str, Any]:
    answer = requests.get(f"{url}/api/v1/{path}", params=parameters, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


@pytest.fixture(scope="module")
def prometheus(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("prometheus")
    configuration = re.search(r"^```yaml\n(.*?)^```", (ROOT / "docs/how-to/use-grafana.md").read_text(), re.MULTILINE | re.DOTALL)
    assert configuration is not None
    text = configuration[1].replace("bridge.example.com:9188", urlsplit(stack.metrics_url).netloc).replace("alerts.yml", str(RULES))
    (directory / "prometheus.yml").write_text("global: {scrape_interval: 1s, evaluation_interval: 1s}\n" + text)
    with held_port() as port, (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address=127.0.0.1:{port.number}",
            ],
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            wait_until(lambda: port.is_served() or process.poll() is not None, what="Prometheus listens")
            url = f"http://127.0.0.1:{port.number}"
            wait_until(lambda: requests.get(f"{url}/-/ready", timeout=PATIENCE).ok, what=(directory / "log").read_text)  # type: ignore[arg-type]
            yield url
        finally:
            process.terminate()
            process.wait(PATIENCE)


def test_each_alert_fires_on_what_it_is_for(tmp_path: Path) -> None:
    ran = subprocess.run(
        ["promtool", "test", "rules", ROOT / "tests/monitoring/alerts.test.yml"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_each_alert_leads_to_a_section_that_exists() -> None:
    links = re.findall(r"^ *runbook_url: (\S+)$", RULES.read_text(), re.MULTILINE)
    assert len(links) == len(re.findall(r"^ *- alert:", RULES.read_text(), re.MULTILINE))
    for link in links:
        page, _, anchor = link.partition("#")
        headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
        assert not anchor or anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, link


def test_promtool_finds_no_fault_with_the_metrics(stack: Stack) -> None:
    text = requests.get(stack.metrics_url, timeout=PATIENCE).text
    ran = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert [line for line in ran.stderr.splitlines() if line.startswith("topicbase")] == []


@pytest.mark.parametrize("expression", [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]])
def test_a_query_of_the_dashboard_has_an_answer(prometheus: str, expression: str) -> None:
    query = expression.replace("$__rate_interval", "1m")
    assert "$" not in query
    wait_until(lambda: answered(prometheus, "query", query=query)["result"], what=query)


def test_the_rules_are_evaluated(prometheus: str) -> None:
    def rules() -> list[dict[str, Any]]:
        return [rule for group in answered(prometheus, "rules")["groups"] for rule in group["rules"]]

    wait_until(lambda: all(rule["health"] == "ok" for rule in rules()), what="each rule was evaluated")
    wait_until(lambda: answered(prometheus, "query", query='up{job="topicbase"} == 1')["result"], what="the bridge was scraped")
    assert [rule["name"] for rule in rules() if rule["name"] == "TopicbaseNoBridge" and rule["state"] == "firing"] == []
