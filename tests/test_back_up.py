"""docs/how-to/back-up.md tells the truth: its commands, word for word, bring back everything that a dump of one database can have."""

import os
import re
import subprocess
from pathlib import Path

from tests.conftest import DATABASE_ONLY
from tests.support.stack import ROOT, Stack, start_stack
from tests.support.waiting import PROGRAM_PATIENCE

PAGE = (ROOT / "docs/how-to/back-up.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SETTINGS = """
    SELECT s.setrole::regrole::text, s.setconfig
    FROM pg_db_role_setting AS s JOIN pg_database AS d ON d.oid = s.setdatabase
    WHERE d.datname = %s ORDER BY 1
"""
ACCESS = "SELECT array(SELECT unnest(datacl)::text ORDER BY 1), datdba::regrole::text FROM pg_database WHERE datname = %s"


def ran(stack: Stack, checkout: Path, block: str) -> str:
    run = subprocess.run(
        [ROOT / "bin/stack", "exec", "bash", "-euo", "pipefail", "-c", block],
        cwd=checkout, env={**os.environ, "TOPICBASE_RUN_DIR": str(stack.run_dir)}, capture_output=True, text=True,
        check=False, timeout=PROGRAM_PATIENCE,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_its_commands_restore_under_the_same_name_and_another(tmp_path: Path) -> None:
    for name in ("sqitch.conf", "sqitch.plan", "deploy", "verify", "revert"):
        (tmp_path / name).symlink_to(ROOT / name)
    dump, same, other = BLOCKS
    stack = start_stack(without=DATABASE_ONLY)
    try:
        with stack.connect(dbname="postgres") as db:
            db.execute("ALTER DATABASE topicbase RENAME TO app")
            db.execute("ALTER DATABASE app SET work_mem = '5MB'")
            db.execute("ALTER ROLE authenticated IN DATABASE app SET idle_in_transaction_session_timeout = '7s'")
            db.execute("REVOKE TEMPORARY ON DATABASE app FROM PUBLIC")
            db.execute("ALTER DATABASE app OWNER TO mqtt_owner")
            settings, access = db.execute(SETTINGS, ("app",)).fetchall(), db.execute(ACCESS, ("app",)).fetchall()
            assert {"anon", "authenticator", "emqx_reader", "vernemq_reader", "-"} <= {role for role, _ in settings}
            ran(stack, tmp_path, dump)
            for name, block in (("restored", other), ("app", same)):
                if name == "app":
                    db.execute("DROP DATABASE app")
                assert "Verify successful" in ran(stack, tmp_path, block)
                assert db.execute(SETTINGS, (name,)).fetchall() == settings
                assert db.execute(ACCESS, (name,)).fetchall() == access
    finally:
        stack.down()
