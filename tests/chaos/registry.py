"""What a fault is, and how a module lists its own."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.chaos.world import World

Harm = Callable[[World, random.Random], None]


@dataclass(frozen=True)
class Fault:
    """`number`: in docs/explanation/faults.md, if it has one; `cycles` of it are a long run; `bridges` is how many it takes;
    `place` is where (make_place); `is_short`: whether the tests run it, too."""

    name: str
    harm: Harm
    number: int = 0
    cycles: int = 100
    bridges: int = 1
    constants: tuple[tuple[str, Any], ...] = ()
    producers: tuple[str, ...] = ("single", "batch", "publish", "inbound", "broker")
    place: str = "plain"
    is_short: bool = True

    @property
    def test_name(self) -> str:
        return f"fault_{self.number:02}_{self.name}" if self.number else self.name


def into(faults: dict[str, Fault]) -> Callable[..., Callable[[Harm], Harm]]:
    """A decorator that enters a function into these faults, by its name; its arguments are those of Fault."""

    def fault(**options: Any) -> Callable[[Harm], Harm]:
        def register(harm: Harm) -> Harm:
            faults[harm.__name__] = Fault(harm.__name__, harm, **options)
            return harm

        return register

    return fault


WITHOUT_MOSQUITTO = ("single", "batch", "publish", "inbound")
