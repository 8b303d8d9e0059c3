"""The documentation leaves out no function, argument, view, setting and error that the deploy scripts have."""

import re
from pathlib import Path

from tests.support.migrations import deploy_scripts

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/reference/api.md").read_text()
DEPLOY = {name: path.read_text() for name, path in deploy_scripts().items()}
EVERYTHING = "\n".join(DEPLOY.values())
WORDS = set(re.findall(r"[a-z_][a-z0-9_]*", "\n".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))))
# What a broker calls has its pages under docs/how-to/brokers, and arguments that the broker chose.
FOR_BROKERS = ("rabbitmq_", "emqx_")


def test_every_function_is_named() -> None:
    assert set(re.findall(r"CREATE OR REPLACE FUNCTION api\.(\w+)", EVERYTHING)) <= WORDS


def test_every_view_is_named() -> None:
    views = set(re.findall(r"CREATE OR REPLACE VIEW api\.(\w+)", EVERYTHING))
    table = PAGE.split("## Views", 1)[1].split("\n## ", 1)[0]
    assert views == {name for line in table.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)`", line.split("|")[1])}


def test_every_argument_is_named() -> None:
    arguments: set[str] = set()
    for name, signature in re.findall(r"CREATE OR REPLACE FUNCTION api\.(\w+)\((.*?)\)\s+RETURNS", EVERYTHING, re.DOTALL):
        if not name.startswith(FOR_BROKERS):
            arguments |= set(
                re.findall(r'(?:^|,)\s*"?(\w+)"? (?:uuid|text|jsonb?|integer|bigint|boolean|numeric|interval|timestamptz)', signature)
            )
    assert arguments <= WORDS


def test_every_id_is_in_the_table_of_names() -> None:
    table = PAGE.split("## Names", 1)[1].split("\n## ", 1)[0]
    names = {name for line in table.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)`", line)}
    ids = set()
    for name, signature in re.findall(r"CREATE OR REPLACE FUNCTION api\.(\w+)\((.*?)\)\s+RETURNS", EVERYTHING, re.DOTALL):
        if not name.startswith(FOR_BROKERS):
            ids |= set(re.findall(r"(?:^|,)\s*(ids|\w+_ids?) (?:uuid|text)", signature))
    assert ids <= names


def test_the_settings_are_those_that_there_are() -> None:
    rules = DEPLOY["integrations/setting_rules"].split("BEGIN ATOMIC", 1)[1].split("END;", 1)[0]
    names = set(re.findall(r"'(\w+)'", rules)) - {"mqtt_hosted"}
    section = PAGE.split("### Settings", 1)[1].split("\n## ", 1)[0]
    assert names == set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_every_error_is_named() -> None:
    slugs = set()
    for name, script in DEPLOY.items():
        if not name.startswith(("bridge/", "base/pgmq")):
            slugs |= set(re.findall(r"RAISE EXCEPTION '(\w+)'", script))
    assert slugs - {"read_only"} <= WORDS


def test_the_table_of_errors_has_each_and_no_other() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text()
    table = set(re.findall(r"^\| `(\w+)` \| 4\d\d \|", page, re.MULTILINE))
    raised = {
        slug
        for name, script in DEPLOY.items()
        if not name.startswith(("bridge/", "base/pgmq"))
        for slug in re.findall(r"(?:RAISE EXCEPTION |refuse_for_now\('\d+', )'(\w+)'", script)
    }
    assert raised - {"read_only"} - table == set()
    assert {slug for slug in table if f"'{slug}'" not in EVERYTHING} == set()


def test_every_object_that_a_page_names_is_there() -> None:
    made = set(
        re.findall(
            r"^CREATE (?:OR REPLACE |UNLOGGED )*(?:FUNCTION|PROCEDURE|TABLE|VIEW|TYPE|DOMAIN) ((?:api|mqtt|bridge|broker)\.\w+)",
            EVERYTHING,
            re.MULTILINE,
        )
    )
    others = {"mqtt.message", "mqtt.allow_anonymous", "mqtt.exchange", "mqtt.vhost"}  # a webhook's type, and RabbitMQ's settings
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        named = set(re.findall(r"(?<![\w./-])((?:api|mqtt|bridge|broker)\.(?!md\b|env\b|example\b)[a-z_]\w+)", page.read_text()))
        assert named - made - others == set(), page
