"""What the bridge stores at once of what brokers delivered."""

import threading
from collections.abc import Sequence
from uuid import UUID

from bridge.values import Backlog, Incoming
from bridge.work.inbound import BATCH_BYTES, SHARED_BATCH_BYTES, Inbound

LARGE, SMALL = b"x" * 259_000, b"21.5"


class Link:
    is_full = will_be_redelivered = False

    def __init__(self, number: int, inbound: Inbound) -> None:
        self.organization_id = self.integration_id = UUID(int=number)
        self.backlog: Backlog = inbound.backlog(self.organization_id)

    def read_on(self) -> None: ...

    def give_up(self) -> None: ...

    def acknowledge(self, generation: int, packets: Sequence[tuple[int, int]]) -> None: ...


def taken(organizations: int) -> list[list[bytes]]:
    """The payloads of each batch, where the first of them has a hundred large messages, and the others a small one each."""
    inbound = Inbound(UUID(int=0), threading.Event())
    links = [Link(number, inbound) for number in range(organizations)]
    for link, payload in [*[(links[0], LARGE)] * 100, *[(link, SMALL) for link in links[1:]]]:
        inbound.arrived(Incoming(link, 1, 0, 0, False, b"a", payload, None, None))
    batches: list[list[bytes]] = []
    while sum(map(len, batches)) < 100 + organizations - 1:
        inbound._take()
        batches.append([message.payload for message in inbound._batch])
        inbound._batch.clear()
    return batches


def test_large_messages_of_one_organization_alone_are_stored_together() -> None:
    assert [sum(map(len, batch)) // BATCH_BYTES for batch in taken(1)][:3] == [1, 1, 1]


def test_the_others_wait_for_few_large_messages() -> None:
    batches = taken(3)
    assert batches[0].count(SMALL) == 2
    assert max(sum(map(len, batch)) for batch in batches) < SHARED_BATCH_BYTES + len(LARGE)
