"""bin/spell: a misspelled word turns it red wherever people read, and nowhere else; the word list holds what is used."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def spell(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tree / "bin/spell", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree without a fault: the script itself and a word list that holds no more than it needs."""
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "bin/spell", tmp_path / "bin")
    spell(tmp_path, "--write")
    assert spell(tmp_path).returncode == 0
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("deploy/topics/a.sql", "SELECT 1;\nCOMMENT ON FUNCTION mqtt.f() IS 'Whether the mesage is stored.';\n", "deploy/topics/a.sql:2"),
        ("deploy/api/b.sql", "COMMENT ON FUNCTION api.f() IS\n$md$Store it\n\nEvery mesage.$md$;\n", "deploy/api/b.sql:4"),
        ("deploy/api/c.sql", "-- One\n-- mesage only.\n", "deploy/api/c.sql:2"),
        ("deploy/api/d.sql", "RAISE EXCEPTION 'x' USING DETAIL = 'The mesage holds NUL.';\n", "deploy/api/d.sql:1"),
        ("docs/a.md", "# A page\n\nOne [mesage](b.md).\n", "docs/a.md:3"),
        ("README.md", "A *mesage's* fate\n", "README.md:1"),
        ("bridge/cli/a.py", 'say("no such mesage here")\n', "bridge/cli/a.py:1"),
        ("tests/test_a.py", '"""A page."""\n\n# a mesage\n', "tests/test_a.py:3"),
        ("bin/a", "#!/usr/bin/env bash\n# Store a mesage.\n", "bin/a:2"),
        ("bin/b", '#!/usr/bin/env bash\ndie "there is no mesage"\n', "bin/b:2"),
        ("Makefile", "help: ## Store a mesage\n", "Makefile:1"),
        ("sqitch.plan", "a [b] 2026-01-01T00:00:00Z A <a@example.com> # a mesage\n", "sqitch.plan:1"),
        ("conf/a.conf", "# a mesage\n", "conf/a.conf:1"),
    ],
)
def test_a_misspelled_word_is_found_where_people_read(tree: Path, name: str, text: str, place: str) -> None:
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(text)
    checked = spell(tree)
    assert checked.returncode == 1
    assert [line for line in checked.stdout.splitlines() if "unknown word" in line] == [f"{place}: unknown word: mesage"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "a.md",
            "`mesage`, mesage_id, mesage.sql, $mesage, mesage2, docs/mesage.md, MESAGE, MeSage, [here](mesage.md), https://mesage.example\n",
        ),
        ("a.md", "```sh\nmesage\n```\n<a name=mesage>\n"),
        ("a.sql", 'SELECT mesage FROM mesages WHERE kind = \'mesage\' AND "mesage" = \'{"retian": 1, "mesage": 2}\';\n'),
        ("a.py", 'mesage = {"mesage": f"{mesage}"}\nrun("SELECT mesage FROM mesages")\n'),
        ("tests/a.py", 'assert answer == "no such mesage here"\n'),
        ("deploy/base/py_mesage.sql", "-- rendered: a mesage\n"),
    ],
)
def test_code_is_left_alone(tree: Path, name: str, text: str) -> None:
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(text)
    assert spell(tree).stdout == ""


def test_one_spelling_is_used(tree: Path) -> None:
    (tree / "a.md").write_text("The colour and behaviour of an organization, normalized and cancelled.\n")
    assert spell(tree).stdout == ""
    (tree / "a.md").write_text("The color and behavior of an organisation, normalised and canceled.\n")
    assert spell(tree, "--list-unknown").stdout.split() == ["behavior", "canceled", "color", "normalised", "organisation"]


def test_the_word_list_is_sorted_and_holds_only_what_is_used(tree: Path) -> None:
    words = (tree / ".spelling").read_text().split()
    (tree / ".spelling").write_text("\n".join(["zzz", *words, "mesage", "behaviour"]))
    assert spell(tree).stdout.splitlines()[:4] == [
        ".spelling: not used, or known to the dictionary: behaviour",
        ".spelling: not used, or known to the dictionary: mesage",
        ".spelling: not used, or known to the dictionary: zzz",
        ".spelling: not sorted, or a word twice",
    ]
    spell(tree, "--write")
    assert (tree / ".spelling").read_text().split() == words
