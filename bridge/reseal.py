"""Sealing to a new key, in this process alone: boxes in, boxes out, in batches that commit one by one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from bridge.database.calls import OperatorCalls
from bridge.sealing import Keyring, statement


class KeyMismatchError(ValueError):
    """The database seals to a key other than the one given."""


@dataclass(slots=True)
class Result:
    count: int = 0
    unopened: list[dict[str, str]] = field(default_factory=list)


def reseal_all(database: OperatorCalls, keys: Keyring, batch: int, done: Callable[[int], None]) -> Result:
    """Seal to the current key whatever is not; what was done stays done when this is interrupted.

    Raises KeyMismatchError, or psycopg.Error when the key changes meanwhile.
    """
    state = database.sealing_state()
    if state.get("key") != keys.current:
        raise KeyMismatchError(
            f"the database seals to key {state.get('key') or 'none'}, and TOPICBASE_PRIVATE_KEY_FILE holds {keys.current}; "
            f"as a superuser: {statement(keys.public_key)}"
        )
    result = Result()
    place, last = "", UUID(int=0)
    while rows := database.sealed_otherwise(place, last, batch):
        place, _, last, _ = rows[-1]
        replacements = []
        for found_place, organization_id, found_id, value in rows:
            try:
                replacements.append((found_place, found_id, value, keys.reseal(value)))
            except ValueError as error:
                fault = {"place": found_place, "organization_id": str(organization_id), "id": str(found_id), "reason": str(error)}
                result.unopened.append(fault)
        if replacements:
            result.count += database.reseal(replacements)
        done(len(rows))
    return result
