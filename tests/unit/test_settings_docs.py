"""The table of the bridge's settings says what bridge/settings.py says."""

import os
from pathlib import Path

from bridge.settings import TABLE, Setting

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "bridge.md"


def _row(setting: Setting) -> str:
    see = f" [More]({os.path.relpath(ROOT / setting.see, PAGE.parent)})" if setting.see else ""
    return f"| `{setting.name}` | {setting.default} | {setting.help}{see} |"


def test_the_page_has_the_table_of_settings() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    begin = lines.index("| variable | default | meaning |") + 2
    found = lines[begin : begin + lines[begin:].index("")]
    expected = [_row(setting) for setting in TABLE]
    assert found == expected, f"{PAGE} should say:\n" + "\n".join(expected)


def test_pages_that_the_table_names_are_there() -> None:
    for setting in TABLE:
        if setting.see:
            page, _, section = setting.see.partition("#")
            headings = [line.lstrip("# ").lower().replace(" ", "-") for line in (ROOT / page).read_text().splitlines() if line[:1] == "#"]
            assert not section or section in headings, setting.see
