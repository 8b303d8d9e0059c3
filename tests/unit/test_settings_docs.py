"""The README's table of the bridge's settings says what bridge/settings.py says."""

from pathlib import Path

from bridge.settings import TABLE, Setting

ROOT = Path(__file__).parents[2]


def _row(setting: Setting) -> str:
    see = f" [More]({setting.see})" if setting.see else ""
    return f"| `{setting.name}` | {setting.default} | {setting.help}{see} |"


def test_the_readme_has_the_table_of_settings() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    begin = lines.index("| variable | default | meaning |") + 2
    found = lines[begin : begin + lines[begin:].index("")]
    expected = [_row(setting) for setting in TABLE]
    assert found == expected, "README.md, Configuration, should say:\n" + "\n".join(expected)


def test_pages_that_the_table_names_are_there() -> None:
    for setting in TABLE:
        if setting.see:
            page, _, section = setting.see.partition("#")
            headings = [line.lstrip("# ").lower().replace(" ", "-") for line in (ROOT / page).read_text().splitlines() if line[:1] == "#"]
            assert not section or section in headings, setting.see
