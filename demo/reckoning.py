"""The books: what devices and app counted themselves, compared with the rows in the database."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sender:
    """What one device counted."""

    name: str
    prefix: str
    sent: int
    accepted: frozenset[int]
    rejected: frozenset[int]
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    name: str
    sent: int
    stored: int
    rejected: int
    again: int  # stored more than once
    faults: tuple[str, ...]


@dataclass(frozen=True)
class CommandBooks:
    sent: frozenset[int]
    receipts: Counter[str]
    heard: Counter[int]
    outgoing: Counter[int]
    answered: Counter[int]
    errors: tuple[str, ...] = ()


def some(numbers: Iterable[int]) -> str:
    """The first numbers and how many more there are."""
    ordered = sorted(numbers)
    return ", ".join(str(number) for number in ordered[:5]) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")


def line(sender: Sender, rows: Sequence[dict[str, Any]], *, again_allowed: bool = False) -> Line:
    """A device's line: sent = stored + rejected, message by message; rows are its incoming ones, each with `seq`.

    A message may be stored again only where MQTT's "at least once" was put to the test by killing a bridge.
    """
    seen = Counter(row["seq"] for row in rows)
    stored = frozenset(number for number in seen if isinstance(number, int))
    faults = list(sender.errors)

    def fault(numbers: Iterable[int], text: str) -> None:
        if numbers := sorted(numbers):
            faults.append(f"{len(numbers)} {text}: number {some(numbers)}")

    everything = frozenset(range(1, sender.sent + 1))
    fault(everything - sender.accepted - sender.rejected, "never answered")
    fault(sender.accepted - stored, "accepted and not stored")
    fault(stored & sender.rejected, "rejected and stored all the same")
    fault(stored - everything, "stored and never sent")
    fault(sender.accepted & sender.rejected, "both accepted and rejected")
    again = [number for number in stored if seen[number] > 1]
    if not again_allowed:
        fault(again, "stored twice")
    if len(stored) != len(seen):
        faults.append("a row without a number of ours")
    if sender.sent != len(stored) + len(sender.rejected) and not faults:
        faults.append(f"{sender.sent} sent, but {len(stored)} stored and {len(sender.rejected)} rejected")
    return Line(sender.name, sender.sent, len(stored), len(sender.rejected), len(again), tuple(faults))


def command_faults(books: CommandBooks, *, again_allowed: bool = False) -> tuple[str, ...]:
    """Each command: one receipt, acknowledged; one row; heard by its device once; answered once."""
    faults = list(books.errors)
    if books.receipts != Counter({"acknowledged": len(books.sent)}) and books.sent:
        faults.append(f"receipts for {len(books.sent)} commands: {dict(books.receipts)}")
    for found, what in (
        (books.outgoing, "in the history"),
        (books.heard, "heard by its device"),
        (books.answered, "answered by its device"),
    ):
        if missing := books.sent - set(found):
            faults.append(f"{len(missing)} commands not {what}: {some(missing)}")
        if extra := set(found) - books.sent:
            faults.append(f"{len(extra)} {what} that were never sent: {some(extra)}")
        if (twice := {number for number in found if found[number] > 1}) and not again_allowed:
            faults.append(f"{len(twice)} commands {what} more than once: {some(twice)}")
    return tuple(faults)
