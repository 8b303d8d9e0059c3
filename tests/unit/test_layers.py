"""The migrations lie in folders by layer: a change requires what it names, and nothing of a later layer."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = (
    "base", "topics", "tenants", "tables", "integrations", "ingest", "process", "publish", "maintenance", "brokers", "bridge", "api",
    "readings",
)  # fmt: skip
NAME = r'(?:mqtt|api|bridge|broker|pgmq|readings)\.(?:"[^"]+"|\w+)'
# Every release may rework a change: the plan then has a line more of its name, which requires the change as the release had it.
RELEASES = [
    re.findall(r"^([a-z_]+/[a-z_]+) (?:\[([^]]*)\] )?\d{4}-", section, re.MULTILINE)
    for section in re.split(r"^@.*$", (ROOT / "sqitch.plan").read_text(), flags=re.MULTILINE)
]
LINES = [line for section in RELEASES for line in section]
REWORKED = {change for change, requires in LINES if f"{change}@" in requires}
PLAN: dict[str, list[str]] = {}
for change, requires in LINES:
    needed = [name for name in requires.split() if not name.startswith(f"{change}@")]
    PLAN[change] = [*PLAN.get(change, []), *needed]
SCRIPTS = {change: (ROOT / f"deploy/{change}.sql").read_text() for change in PLAN}
CREATE = re.compile(
    rf"^CREATE (?:OR REPLACE |UNLOGGED )*(?:FUNCTION|PROCEDURE|TABLE|VIEW|TYPE|DOMAIN|SEQUENCE) ({NAME})", re.MULTILINE
)  # fmt: skip
# What says something of an object to a reader does not use it.
PROSE = re.compile(
    r"--[^\n]*|^COMMENT ON .*? IS\s+(?:'(?:[^']|'')*'\s*|\$md\$.*?\$md\$\s*)+;|\$python\$.*?\$python\$", re.DOTALL | re.MULTILINE
)
MADE_BY = {name: change for change, script in SCRIPTS.items() for name in CREATE.findall(script)} | {
    f"pgmq.{kind}_{queue}": "tables/queues" for kind in "qa" for queue in ("mqtt_messages", "mqtt_outbound")
}


def layer(change: str) -> int:
    return LAYERS.index(change.partition("/")[0])


def all_required(change: str) -> set[str]:
    return {change}.union(*(all_required(needed) for needed in PLAN[change]))


def maker(name: str) -> str | None:
    return MADE_BY.get(name, "base/pgmq" if name.startswith("pgmq.") else None)


def test_the_plan_goes_from_layer_to_layer() -> None:
    # What later releases add comes at the end, whatever its layer.
    places = [layer(change) for change, _ in RELEASES[0]]
    assert places == sorted(places)
    assert {layer(change) for change in PLAN} == set(range(len(LAYERS)))


def test_no_change_requires_a_later_layer() -> None:
    assert [(change, needed) for change in PLAN for needed in PLAN[change] if layer(needed) > layer(change)] == []


def test_the_scripts_say_what_the_plan_says() -> None:
    said = {change: re.findall(r"^-- requires: (\S+)$", SCRIPTS[change], re.MULTILINE) for change in PLAN if change not in REWORKED}
    assert {change: sorted(names) for change, names in said.items()} == {change: sorted(PLAN[change]) for change in said}


@pytest.mark.parametrize("change", PLAN)
def test_a_change_requires_what_it_names(change: str) -> None:
    named = set(re.findall(rf"\b{NAME}", PROSE.sub("", SCRIPTS[change])))
    needed = {name: made_by for name in named if (made_by := maker(name)) is not None}
    assert {name: made_by for name, made_by in needed.items() if made_by not in all_required(change)} == {}


def test_functions_stand_apart_from_tables_and_types_and_can_be_replaced() -> None:
    mixed, fixed = [], []
    for change, script in SCRIPTS.items():
        kinds = set(
            re.findall(
                r"^CREATE (?:OR REPLACE |UNLOGGED )*(FUNCTION|PROCEDURE|TABLE|TYPE|DOMAIN|SCHEMA|VIEW|INDEX|POLICY)\b", script, re.MULTILINE
            )
        )
        if kinds & {"FUNCTION", "PROCEDURE", "VIEW"} and kinds & {"TABLE", "TYPE", "DOMAIN", "SCHEMA", "INDEX", "POLICY"}:
            mixed.append(change)
        if re.search(r"^CREATE (FUNCTION|PROCEDURE|VIEW|TRIGGER)\b", script, re.MULTILINE):
            fixed.append(change)
    assert (mixed, fixed) == ([], [])
