"""docs/explanation/architecture.md names every layer and room, and no file that is not there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
PATH = re.compile(r"`((?:bench|bin|bridge|conf|deploy|plpython|tests)/[\w./-]*)`")


def section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_every_file_that_it_names_is_there() -> None:
    named = PATH.findall(PAGE)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_layer_is_named_in_the_order_of_the_plan() -> None:
    layers = dict.fromkeys(re.findall(r"^([a-z_]+)/\S+ ", (ROOT / "sqitch.plan").read_text(), re.MULTILINE))
    assert re.findall(r"^\| `deploy/(\w+)` \|", section("The layers of `deploy/`"), re.MULTILINE) == list(layers)


def test_every_module_of_the_bridge_is_in_a_room() -> None:
    rooms = section("The rooms of `bridge/`")
    named = set(PATH.findall(rooms))
    files: set[str] = set()
    for row in rooms.splitlines():
        if (room := re.match(r"\| `(bridge/\w+)` \|", row)) is not None:
            files |= {f"{room[1]}/{name}" for name in re.findall(r"`(\w+\.py)`", row)}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "bridge").rglob("*.py") if not path.name.startswith("__")}
    commands = {path for path in modules if path.startswith("bridge/cli/")}
    assert modules - commands - {path for path in named if path.endswith(".py")} == files


def test_the_walk_passes_no_file_twice() -> None:
    walk = section("A walk through the files").partition("\nA message from a broker")[0]
    steps = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |^\*\*|\Z)", walk, re.MULTILINE | re.DOTALL)
    files = [path for _, step in steps for path in PATH.findall(step)]
    assert len(steps) > 40
    assert len(files) == len(set(files)) == len(steps)
