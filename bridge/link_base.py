"""What both directions of a link share: what they carry, whom they tell, and the connection."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

from paho.mqtt.properties import Properties

from bridge.client import Client, Limits
from bridge.target import Target

if TYPE_CHECKING:
    from bridge.link import Link
    from bridge.network import Network


class Outgoing(NamedTuple):
    """A message to publish."""

    msg_id: int
    qos: int
    retain: bool
    topic: str
    payload: bytes
    properties: dict[str, Any] | None
    expires_in: int | None


class Incoming(NamedTuple):
    """A message that a broker delivered."""

    link: "Link"
    generation: int
    packet_id: int
    qos: int
    retain: bool
    topic: bytes
    payload: bytes
    properties: Properties | None
    subscription: int | None  # number of the filter that it came for; 0 unknown, None the only one


@dataclass(frozen=True, slots=True)
class Filter:
    """A subscription to hold."""

    id: UUID
    topic: str
    qos: int
    no_local: bool
    retain_handling: int
    number: int

    def terms(self) -> tuple[str, int, bool, int]:
        return self.topic, self.qos, self.no_local, self.retain_handling


class Sink(Protocol):
    """Who is told what happens on the network; called on its thread, and must only take note."""

    def settled(self, link: "Link", msg_id: int, state: str, code: int | None, reason: str | None) -> None:
        """state: sent, acknowledged, failed, or released (not sent after all)."""

    def arrived(self, message: Incoming) -> None: ...
    def may_read(self) -> bool: ...
    def may_wait(self) -> float: ...
    def is_storing_from(self, links: "list[Link]") -> bool: ...
    def state_changed(self, link: "Link", state: str, detail: str | None) -> None: ...
    def subscribed(self, results: list[tuple[UUID, int, str]]) -> None: ...
    def ready(self, link: "Link") -> None: ...
    def given_up(self, link: "Link") -> None: ...


class LinkBase:
    """The connection of one integration."""

    def __init__(self, network: "Network", integration_id: UUID, target: Target) -> None:
        self.network = network
        self.integration_id = integration_id
        self.target = target
        self.generation = 0
        self.is_up = False
        self.client: Client | None = None
        self.limits = Limits()
        self._draining = False

    def flush(self) -> None:
        """Write what waits; wait for the socket where it takes no more."""
        raise NotImplementedError
