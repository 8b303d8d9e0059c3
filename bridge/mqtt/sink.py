"""The interfaces through which the network reports events. They are called on its thread, so they must return at once."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from bridge.values import Backlog, Incoming, Origin, Outcome

LinkState = Literal["active", "error"]


class Store(Protocol):
    """Stores what brokers deliver."""

    def arrived(self, message: Incoming) -> None: ...
    def backlog(self, organization_id: UUID) -> Backlog:
        """The one of a new link."""

    def has_room(self, backlog: Backlog) -> bool:
        """Whether more may come of a link with this backlog."""

    def may_read(self) -> bool: ...
    def turn_bytes(self) -> int:
        """How much of a connection is read before the others have their turns."""

    def may_wait(self) -> float: ...
    def is_storing_from(self, links: Collection[Origin]) -> bool: ...


class Reporter(Protocol):
    """Reports the states of links."""

    def state_changed(self, integration_id: UUID, state: LinkState, detail: str | None) -> None: ...
    def subscribed(self, results: list[tuple[UUID, int, str]]) -> None: ...
    def unsubscribed(self, integration_id: UUID, topics: Sequence[str]) -> None:
        """The broker no longer holds these."""

    def given_up(self, link: Origin) -> None: ...


@dataclass(frozen=True, slots=True)
class Sink:
    store: Store
    reporter: Reporter
    settled: Callable[[Outcome], None]
    takes_more: Callable[[], None]  # called when a link can take more messages again
