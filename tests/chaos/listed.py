"""All faults, by name."""

from tests.chaos import faults, neighbours
from tests.chaos.registry import Fault

FAULTS: dict[str, Fault] = {**faults.FAULTS, **neighbours.FAULTS}
