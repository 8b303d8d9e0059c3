"""The version is the same wherever it is written, and the plan's last tag is not ahead of it."""

import json
import re
import tomllib
from pathlib import Path

from bridge import SCHEMA_VERSION, __version__
from tests.support.migrations import planned

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_it_is_the_same_everywhere() -> None:
    written = {
        "bridge": __version__,
        "clients/python": tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text())["project"]["version"],
        "clients/typescript": json.loads((ROOT / "clients/typescript/package.json").read_text())["version"],
        "database": re.findall(r"SELECT '([0-9.]+)';", (ROOT / "deploy/base/api_version.sql").read_text())[0],
        "clients/typescript/README.md": re.findall(r"topicbase-client-([0-9.]+)\.tgz", (ROOT / "clients/typescript/README.md").read_text())[
            0
        ],
        "docs/how-to/install.md": re.findall(r"topicbase_([0-9.]+)~deb12_amd64", (ROOT / "docs/how-to/install.md").read_text())[0],
    }
    assert written == dict.fromkeys(written, VERSION)


def test_the_version_of_schema_bridge_is_the_same_everywhere() -> None:
    hello, diagnose = ((ROOT / f"deploy/bridge/{name}.sql").read_text() for name in ("hello", "diagnose"))
    written = re.findall(r"schema_version IS DISTINCT FROM (\d+)|this database has version (\d+)|'schema_version', (\d+)", hello + diagnose)
    assert [int("".join(one)) for one in written] == [SCHEMA_VERSION] * 3


def calls_gone(released: str, present: str) -> set[str]:
    """Functions of schema bridge that a bridge of the release calls, and that are not there any longer with these arguments and result."""
    ours = re.compile(r"^CREATE OR REPLACE FUNCTION (bridge\.\w+\([^)]*\) RETURNS .+)$", re.MULTILINE)
    return set(ours.findall(released)) - set(ours.findall(present))


def test_the_version_of_schema_bridge_moves_with_it() -> None:
    """By what the last release has: its bridges go on until they are told otherwise."""
    before = re.split(r"^@v.*$", (ROOT / "sqitch.plan").read_text(), flags=re.MULTILINE)[:-1]
    released = planned()[: sum(len(re.findall(r"^[a-z_]+/[a-z_]+ ", part, re.MULTILINE)) for part in before)]
    of_release, of_now = (
        "".join((ROOT / f"deploy/{name}.sql").read_text() for name in names if name.startswith("bridge/"))
        for names in (released, [name for name in planned() if "@" not in name])
    )
    last = re.findall(r"schema_version IS DISTINCT FROM (\d+)", of_release)
    assert not calls_gone(of_release, of_now) or int(last[-1]) < SCHEMA_VERSION
    one = "CREATE OR REPLACE FUNCTION bridge.wake(subject text) RETURNS void\n"
    assert calls_gone(one, one.replace("subject", "subject text, more")) == {"bridge.wake(subject text) RETURNS void"}
    assert of_now.count("CREATE OR REPLACE FUNCTION bridge.wake(") == 1


def test_a_tag_has_its_section_in_the_changelog_and_its_wheel_is_kept() -> None:
    tags = re.findall(r"^@v(\S+)", (ROOT / "sqitch.plan").read_text(), re.MULTILINE)
    sections = re.findall(r"^## (\d\S*), \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections == tags[::-1]
    # The next release's test runs the last one's bridge from it.
    assert [path.name.split("-")[1] for path in ROOT.glob("releases/*.whl")] == tags[-1:]
