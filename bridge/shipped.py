"""The migrations that this release ships, and how what a database has differs from them."""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

MIGRATIONS = Path(__file__).parent / "migrations"
_CHANGE = re.compile(r"^([a-z_0-9/]+) ", re.MULTILINE)
_FUNCTION = re.compile(
    r"^ *CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE) (?P<name>\w+\.\w+) ?\(.*?"
    r"(?:\bAS (?P<quote>\$\w*\$)(?P<body>.*?)(?P=quote)|\bBEGIN ATOMIC|^RETURN )",
    re.MULTILINE | re.DOTALL,
)


@cache
def changes() -> list[str]:
    """The changes in sqitch.plan, in its order; one that was reworked where it stands last."""
    found = _CHANGE.findall((MIGRATIONS / "sqitch.plan").read_text(encoding="utf-8"))
    return list(dict.fromkeys(reversed(found)))[::-1]


def script(change: str) -> bytes:
    return (MIGRATIONS / "deploy" / f"{change}.sql").read_bytes()


def _hash(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()  # noqa: S324  # sqitch's


def missing(deployed: dict[str, str]) -> list[str]:
    """The changes that are not deployed, or only as an earlier release had them; `deployed` has sqitch's hash of each."""

    def is_earlier(name: str) -> bool:
        # sqitch keeps the scripts of a change that was reworked under the tags of their releases.
        place = MIGRATIONS / "deploy" / name
        return any(_hash(path.read_bytes()) == deployed[name] for path in place.parent.glob(f"{place.name}@*.sql"))

    return [name for name in changes() if name not in deployed or (_hash(script(name)) != deployed[name] and is_earlier(name))]


def altered(deployed: dict[str, str]) -> list[str]:
    """The changes that were deployed from a script that no release had."""
    lacking = set(missing(deployed))
    return [name for name in changes() if name not in lacking and _hash(script(name)) != deployed[name]]


def functions() -> dict[str, tuple[str, set[str | None]]]:
    """By name, each function's change, and the hashes of its bodies as pg_proc has them: none for a body that is stored parsed."""
    found: dict[str, tuple[str, set[str | None]]] = {}
    for change in changes():
        made: dict[str, tuple[str, set[str | None]]] = {}
        text = script(change).decode()
        for match in _FUNCTION.finditer(text):
            body = match["body"]
            digest = None if body is None else hashlib.md5(body.encode()).hexdigest()  # noqa: S324  # no secret
            made.setdefault(match["name"], (change, set()))[1].add(digest)
        # a later change replaces what an earlier one made
        found.update(made)
    return found


def optional() -> set[str]:
    """The functions that a deploy may leave out: their scripts ask what the server has."""
    return {match["name"] for change in changes() if "\\if " in (text := script(change).decode()) for match in _FUNCTION.finditer(text)}


def differences(present: list[dict[str, Any]]) -> list[str]:
    """How the functions of a database differ from these, in words; `present` has the name, the signature and the body's hash of each."""
    shipped, words = functions(), []
    for one in present:
        if one["name"] not in shipped:
            words.append(f"{one['signature']} is not of this release")
            continue
        change, bodies = shipped[one["name"]]
        if one["body"] not in bodies:
            words.append(f"{one['signature']} of {change} differs")
    absent = set(shipped).difference(optional(), (one["name"] for one in present))
    return words + [f"{name} of {change} is missing" for name, (change, _) in shipped.items() if name in absent]
