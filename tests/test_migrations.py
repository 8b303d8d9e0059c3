"""The migrations as a whole: back to nothing and forth again, and what a DBA needs to know of the plan."""

import hashlib
import re
from collections.abc import Callable

import pytest

from tests.conftest import DATABASE_ONLY
from tests.support.stack import ROOT, Stack

CHANGES = re.findall(r"^([a-z_]+/[a-z_]+) ", (ROOT / "sqitch.plan").read_text(), re.MULTILINE)

# Everything outside the registry of sqitch and the extensions that PostgreSQL ships, by schema, kind and name.
LEFT_OVERS = """
    SELECT format('%s %s', d.type, d.identity) AS object
    FROM (
        SELECT 'pg_class'::regclass AS classid, oid AS objid, relnamespace AS namespace FROM pg_class WHERE relkind NOT IN ('t', 'i')
        UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace FROM pg_proc
        UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace FROM pg_type WHERE typtype IN ('d', 'e')
        UNION ALL SELECT 'pg_namespace'::regclass, oid, oid FROM pg_namespace
    ) AS o
    INNER JOIN pg_namespace AS n ON o.namespace = n.oid
    CROSS JOIN pg_identify_object(o.classid, o.objid, 0) AS d
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'sqitch', 'public') AND n.nspname !~ '^pg_'
        AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = o.classid AND e.objid = o.objid AND e.deptype = 'e')
    ORDER BY 1
"""


def dump(stack: Stack) -> str:
    """The schema, without what pg_dump says of itself, and what packaging/restrict-public.sql does to PostgreSQL's own functions."""
    text = stack.run("exec", "pg_dump", "--schema-only", "--exclude-schema=sqitch").stdout
    lines = (line for line in text.splitlines(keepends=True) if not line.startswith((r"\restrict", r"\unrestrict", "--")))
    return re.sub(r"\n{3,}", "\n\n", "".join(line for line in lines if " ON FUNCTION pg_catalog." not in line))


def left_overs(stack: Stack) -> list[str]:
    with stack.connect() as connection:
        return [row[0] for row in connection.execute(LEFT_OVERS)]


@pytest.mark.timeout(900)
def test_deploy_revert_deploy(fresh_stack: Callable[..., Stack]) -> None:
    # In a run of all tests the first deploy, each change verified as it lands, is the one that every stack is a copy of.
    stack = fresh_stack(without=DATABASE_ONLY)
    first = dump(stack)
    assert "CREATE TABLE mqtt.history" in first
    # without a terminal to ask on, it must be told
    stack.run("sqitch", "revert", check=False)
    assert dump(stack) == first
    # the demo's tenant holds no roles and no schema, only rows
    stack.run("sqitch", "revert", "-y")
    assert left_overs(stack) == []
    stack.run("sqitch", "deploy", "--no-verify")
    assert stack.verify() == ""
    assert dump(stack) == first


@pytest.mark.parametrize("kind", ["deploy", "revert", "verify"])
def test_every_change_has_its_three_scripts_and_no_more(kind: str) -> None:
    scripts = {path.relative_to(ROOT / kind).with_suffix("").as_posix() for path in (ROOT / kind).rglob("*.sql")}
    # As a release had a change that was reworked since, it stands beside it, as NAME@TAG.sql.
    assert {script for script in scripts if "@" not in script} == set(CHANGES)
    assert {script.partition("@")[0] for script in scripts} == set(CHANGES)


def test_a_change_is_one_intent() -> None:
    sizes = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "deploy").glob("*/*.sql")}
    assert {name: lines for name, lines in sizes.items() if lines > 250 and not name.startswith("py_")} == {}  # those are rendered


def test_released_scripts_are_frozen() -> None:
    """By checksums, since an archive has no tags of Git; a reworked change's released script stands beside it, as NAME@TAG.sql."""
    tags = re.findall(r"^@(v[^ ]+)", (ROOT / "sqitch.plan").read_text(), re.MULTILINE)
    assert {path.name for path in ROOT.glob("releases/*.sha256")} == {f"{tag}.sha256" for tag in tags}
    changed = []
    for tag in tags:
        for line in (ROOT / f"releases/{tag}.sha256").read_text().splitlines():
            checksum, name = line.split()
            script = ROOT / name
            kept = [script, *script.parent.glob(f"{script.stem}@*.sql")]
            if checksum not in {hashlib.sha256(path.read_bytes()).hexdigest() for path in kept if path.exists()}:
                changed.append(f"{tag} {name}")
    assert changed == []
