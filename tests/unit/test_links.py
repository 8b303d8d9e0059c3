"""Every relative link of the documentation leads to a file, and its anchor to a heading of it."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")]
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


def anchor(heading: str) -> str:
    """As GitHub and GitLab make it of a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


@cache
def anchors(page: Path) -> frozenset[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found: list[str] = []
    for heading in re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE):
        name = anchor(heading)
        same = sum(1 for other in found if re.fullmatch(rf"{re.escape(name)}(-\d+)?", other))
        found.append(f"{name}-{same}" if same else name)
    return frozenset(found)


def broken(page: Path) -> list[str]:
    faults: list[str] = []
    for target, fragment in LINK.findall(CODE.sub("", page.read_text())):
        if "://" in target or target.startswith("mailto:"):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists():
            faults.append(target)
        elif fragment and path.suffix == ".md" and fragment not in anchors(path):
            faults.append(f"{target}#{fragment}")
    return faults


@pytest.mark.parametrize("page", sorted(str(path.relative_to(ROOT)) for path in PAGES))
def test_links_lead_somewhere(page: str) -> None:
    assert broken(ROOT / page) == []


def test_every_page_is_linked_from_the_index_of_the_documentation() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / target).resolve() for target, _ in LINK.findall(index.read_text()) if target and "://" not in target}
    brokers = ROOT / "docs" / "how-to" / "brokers"  # listed by a page of its own, as are devices
    devices = ROOT / "docs" / "devices"
    decisions = ROOT / "docs" / "decisions"
    pages = {path for path in ROOT.glob("docs/**/*.md") if not {brokers, devices, decisions} & set(path.parents) and path != index}
    assert pages - linked == set()


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One two\n## One two\n[a](#one-two) [b](#one-two-1) [c](#three) [d](page.md#one-two) [e](gone.md) `[f](no)` [g](https://h)\n"
    )
    assert broken(page) == ["#three", "gone.md"]
