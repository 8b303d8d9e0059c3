"""The page of commands has those that the program has."""

import re
from pathlib import Path

import click
import typer

from bridge.cli import app

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def _commands() -> dict[str, click.Command]:
    """`delete list` and so on, each with its command."""
    found = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]  # it is a group
        inner = getattr(command, "commands", None)
        found.update({name: command} if inner is None else {f"{name} {other}": one for other, one in inner.items()})
    return found


def test_the_page_has_a_row_for_each_command() -> None:
    listed = []
    for row in re.findall(r"^\| (`topicbase [^|]*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        first, *others = [cell.split() for cell in re.findall(r"`([^`]+)`", row)]
        name = f"{first[1]} {first[2]}" if first[1] not in _commands() else first[1]
        listed += [name, *(f"{first[1]} {other[0]}" for other in others)]
    assert sorted(listed) == sorted(_commands())


def test_the_page_says_which_commands_have_no_json() -> None:
    without = {name for name, command in _commands().items() if "--json" not in {opt for one in command.params for opt in one.opts}}
    said = re.search(r"^All commands except (.*?) have `--json`", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert said
    assert set(re.findall(r"`([^`]*)`", said[1])) == without
