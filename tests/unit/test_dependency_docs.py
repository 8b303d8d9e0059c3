"""docs/reference/dependencies.md names whatever is installed: Debian's packages, Python's and npm's."""

import json
import re
from collections.abc import Callable

import pytest

from tests.support.stack import ROOT

PAGE = (ROOT / "docs/reference/dependencies.md").read_text().lower()
# Where the page has another name, or a package is a part of what it names.
KNOWN_AS = {
    "aspell-en": "aspell with its english dictionaries",
    "libtap-parser-sourcehandler-pgtap-perl": "pgtap",
    "mqtt": "mqtt.js",
    "paho-mqtt": "paho-mqtt 2",
    "postgresql": "postgresql 15+",
    "postgresql-pgtap": "pgtap",
    "postgresql-plpgsql-check": "plpgsql_check",
    "postgresql-plpython3": "plpython3u",
    "preact": "`preact`",
    "psycopg[binary]": "psycopg",
    "python3": "python3-venv",
    "rabbitmq-server": "rabbitmq",
    "sqlfluff[rs]": "sqlfluff",
    "squawk-cli": "squawk",
}


def debian() -> set[str]:
    script = (ROOT / "bin/install").read_text()
    lists = re.findall(r"^(?:dev_)?packages=\((.*?)\)", script, re.MULTILINE | re.DOTALL) + re.findall(r"packages\+=\(([a-z -]+)\)", script)
    words = {word.strip('"').replace("-$pg", "") for words in lists for word in words.split()}
    return words - {"$compiler"} | set(re.findall(r"compiler=(\w+)", script))


def python() -> set[str]:
    names = re.sub(r"^# (?:no-deps|docs): ", "", (ROOT / "requirements.in").read_text(), flags=re.MULTILINE)
    return set(re.findall(r"^([A-Za-z][\w.\[\]-]*)", names, re.MULTILINE))


def npm() -> set[str]:
    described = json.loads((ROOT / "package.json").read_text())
    return {*described["optionalDependencies"], *described["devDependencies"]}


@pytest.mark.parametrize("installed", [debian, python, npm])
def test_what_is_installed_is_named(installed: Callable[[], set[str]]) -> None:
    names = {name.lower() for name in installed()}
    assert len(names) > 10
    assert [name for name in sorted(names) if not re.search(rf"(?<![\w-]){re.escape(KNOWN_AS.get(name, name))}(?![\w-])", PAGE)] == []
