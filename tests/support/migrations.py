"""The scripts of the migrations, as tests read them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def deploy_scripts() -> dict[str, Path]:
    """The deploy script of each change; what a release had of one that was reworked since (NAME@TAG.sql) is frozen, and left out."""
    return {f"{path.parent.name}/{path.stem}": path for path in sorted((ROOT / "deploy").glob("*/*.sql")) if "@" not in path.name}


def planned() -> list[str]:
    """The scripts that the plan deploys, in its order; of a change that was reworked first those of earlier releases."""
    lines = re.findall(r"^([a-z_]+/[a-z_]+|@\S+) ", (ROOT / "sqitch.plan").read_text(), re.MULTILINE)
    found = []
    for place, name in enumerate(lines):
        if not name.startswith("@"):
            later = lines[place + 1 :]
            # sqitch names it after the last tag before it was replaced
            tags = [tag for tag in later[: later.index(name)] if tag.startswith("@")] if name in later else []
            found.append(next((f"{name}{tag}" for tag in tags if (ROOT / f"deploy/{name}{tag}.sql").exists()), name))
    return found
