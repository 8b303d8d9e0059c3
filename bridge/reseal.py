"""Sealing to a new key, in this process alone: boxes in, boxes out, in batches that each commit for themselves."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from bridge.sealing import Keyring, statement


class KeyMismatchError(ValueError):
    """The database seals to another key than the one at hand."""


@dataclass(slots=True)
class Result:
    count: int = 0
    unopened: list[dict[str, str]] = field(default_factory=list)


def reseal_all(connection: psycopg.Connection[Any], keys: Keyring, batch: int, done: Callable[[int], None]) -> Result:
    """Seal to the present key whatever is not; what was done stays done when this is interrupted.

    The connection is in autocommit. Raises KeyMismatchError, or psycopg.Error when the key changes meanwhile.
    """
    row = connection.execute("SELECT bridge.sealing_state()").fetchone()
    state = row[0] if row else {}
    if state.get("key") != keys.current:
        raise KeyMismatchError(
            f"the database seals to key {state.get('key') or 'none'}, and TOPICBASE_PRIVATE_KEY_FILE holds {keys.current}; "
            f"as a superuser: {statement(keys.public_key)}"
        )
    result = Result()
    place, last = "", UUID(int=0)
    while True:
        rows = connection.execute(
            "SELECT place, organization_id, id, value FROM bridge.sealed_otherwise(%s, %s, %s)", (place, last, batch)
        ).fetchall()
        if not rows:
            return result
        place, last = rows[-1][0], rows[-1][2]
        replacements = []
        for found_place, organization_id, found_id, value in rows:
            try:
                replacements.append((found_place, found_id, Jsonb(value), Jsonb(keys.reseal(value))))
            except ValueError as error:
                fault = {"place": found_place, "organization_id": str(organization_id), "id": str(found_id), "reason": str(error)}
                result.unopened.append(fault)
        if replacements:
            columns = [list(column) for column in zip(*replacements, strict=True)]
            answer = connection.execute("SELECT bridge.reseal(%s, %s, %s::jsonb[], %s::jsonb[])", columns).fetchone()
            result.count += answer[0] if answer else 0
        done(len(rows))
