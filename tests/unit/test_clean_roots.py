"""bin/clean-root finds in the documents the commands that it follows."""

import re
import shlex

from tests.support.stack import ROOT

CALLS = [shlex.split(line) for line in re.findall(r"^ +words (.+)$", (ROOT / "bin/clean-root").read_text(), re.MULTILINE)]
# A word of each block, so that one more block before it is noticed.
WORDS = {
    "demo-command": "make demo",
    "look": "topicbase tail",
    "build": "bin/package-deb",
    "short-wheel": "pip install .",
    "short-deb": "apt-get install ./topicbase_",
    "deploy-1": "pip download",
    "deploy-2": "sqitch deploy",
    "deploy-3": r"\password authenticator",
    "deploy-4": "topicbase org add",
    "postgrest.conf": "db-pre-request",
    "bridge": "topicbase.service",
}


def blocks_below(page: str, heading: str) -> list[str]:
    blocks: list[str] = []
    is_below = is_code = False
    for line in (ROOT / page).read_text().splitlines():
        if line.lstrip().startswith("```"):
            is_code = not is_code
            if is_code and is_below:
                blocks.append("")
        elif is_code and is_below:
            blocks[-1] += f"{line}\n"
        elif not is_code and line.startswith("#"):
            is_below = line == heading
    return blocks


def test_the_documents_have_what_is_followed() -> None:
    assert {call[0] for call in CALLS} == set(WORDS)
    for name, page, heading, *number in CALLS:
        assert WORDS[name] in blocks_below(page, heading)[int(number[0]) - 1 if number else 0], name
