"""The demo's books: what adds up passes, and each way of not adding up is named."""

from collections import Counter
from typing import Any

import pytest

from demo.reckoning import CommandBooks, Sender, command_faults, line


def rows(*numbers: int) -> list[dict[str, Any]]:
    return [{"seq": number} for number in numbers]


def sender(sent: int, accepted: set[int], rejected: set[int], *errors: str) -> Sender:
    return Sender("cpu", "org_a/devices/cpu", sent, frozenset(accepted), frozenset(rejected), errors)


def test_adds_up() -> None:
    found = line(sender(4, {1, 2, 4}, {3}), rows(4, 1, 2))
    assert (found.sent, found.stored, found.rejected, found.faults) == (4, 3, 1, ())


@pytest.mark.parametrize(
    ("device", "stored", "fault"),
    [
        (sender(3, {1, 2, 3}, set()), (1, 3), "accepted and not stored: number 2"),
        (sender(3, {1, 3}, set()), (1, 3), "never answered: number 2"),
        (sender(3, {1, 3}, {2}), (1, 2, 3), "rejected and stored all the same: number 2"),
        (sender(2, {1, 2}, set()), (1, 2, 7), "stored and never sent: number 7"),
        (sender(2, {1, 2}, set()), (1, 2, 2), "stored twice: number 2"),
        (sender(2, {1, 2}, {2}), (1,), "both accepted and rejected: number 2"),
        (sender(1, {1}, set(), "QoS 3: expected qos_invalid, was answered HTTP 202"), (1,), "expected qos_invalid"),
    ],
)
def test_names_what_does_not(device: Sender, stored: tuple[int, ...], fault: str) -> None:
    assert any(fault in text for text in line(device, rows(*stored)).faults)


def test_at_least_once_may_store_again_but_not_lose() -> None:
    found = line(sender(2, {1, 2}, set()), rows(1, 2, 2), again_allowed=True)
    assert (found.stored, found.again, found.faults) == (2, 1, ())
    assert line(sender(2, {1, 2}, set()), rows(2, 2), again_allowed=True).faults == ("1 accepted and not stored: number 1",)
    assert command_faults(books(heard=Counter([1, 2, 2])), again_allowed=True) == ()
    assert command_faults(books(heard=Counter([2, 2])), again_allowed=True) != ()


def test_a_row_without_a_number() -> None:
    assert line(sender(1, {1}, set()), [{"seq": 1}, {"seq": None}]).faults == ("a row without a number of ours",)


def test_long_lists_are_cut() -> None:
    found = line(sender(100, set(range(1, 101)), set()), [])
    assert found.faults == ("100 accepted and not stored: number 1, 2, 3, 4, 5 and 95 more",)


def books(**changed: Any) -> CommandBooks:
    numbers = Counter([1, 2])
    receipts = Counter({"acknowledged": 2})
    parts = {"sent": frozenset({1, 2}), "receipts": receipts, "heard": numbers, "outgoing": numbers, "answered": numbers}
    return CommandBooks(**{**parts, **changed})


def test_commands_add_up() -> None:
    assert command_faults(books()) == ()


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"receipts": Counter({"acknowledged": 1, "queued": 1})}, "receipts for 2 commands"),
        ({"heard": Counter([1])}, "1 commands not heard by its device: 2"),
        ({"heard": Counter([1, 2, 2])}, "heard by its device more than once: 2"),
        ({"outgoing": Counter([2])}, "1 commands not in the history: 1"),
        ({"answered": Counter([1, 2, 9])}, "that were never sent: 9"),
        ({"errors": ("ConnectionError: gone",)}, "ConnectionError: gone"),
    ],
)
def test_names_what_is_wrong_with_commands(changed: dict[str, Any], fault: str) -> None:
    assert any(fault in text for text in command_faults(books(**changed)))
