"""Plain values that the rooms pass to each other. This module imports nothing of the bridge."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Integration:
    """An integration that this bridge holds; settings are empty unless it is changed."""

    id: UUID
    organization_id: UUID
    stamp: str
    is_changed: bool
    integration_type: str
    settings: dict[str, Any]
    max_per_second: float | None  # messages that its organization's brokers may deliver
    max_burst: int | None
    max_bytes_per_second: int | None


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


@dataclass(frozen=True, slots=True)
class Sessions:
    """How often logins have connected since the last time, and when last, in seconds since 1970."""

    usernames: list[str]
    counts: list[int]
    last_at: list[int]


@dataclass(frozen=True, slots=True)
class Request:
    """A connection test that somebody waits for."""

    id: UUID
    request_type: str
    integration_id: UUID
    integration_type: str
    settings: dict[str, Any]
    topic_prefix: str


class Outgoing(NamedTuple):
    """A message to publish."""

    msg_id: int
    qos: int
    retain: bool
    topic: str
    payload: bytes
    properties: dict[str, Any] | None
    expires_at: float | None  # when its message_expiry will have passed, by time.monotonic()


@dataclass(frozen=True, slots=True)
class Claim:
    """A message to publish, unless it has a fault."""

    batch_id: int
    integration_number: int
    message: Outgoing
    attempts: int
    fault: str | None
    waited: float  # seconds since it was due


PublishState = Literal["sent", "acknowledged", "failed", "expired", "released"]


class Outcome(NamedTuple):
    """What became of a claimed message; released means not sent, so that it may be claimed again."""

    msg_id: int
    state: PublishState
    code: int | None  # the broker's reason code
    reason: str | None
    at: float  # time.monotonic()


class Backlog:
    """What has arrived and is not stored yet, of a link, of an organization or of all. Each counter has one writer."""

    __slots__ = ("came", "came_bytes", "parent", "went", "went_bytes")

    def __init__(self, parent: "Backlog | None" = None) -> None:
        self.parent = parent
        self.came = self.came_bytes = self.went = self.went_bytes = 0

    @property
    def count(self) -> int:
        return self.came - self.went

    @property
    def bytes(self) -> int:
        return self.came_bytes - self.went_bytes

    def add(self, size: int) -> None:
        """A message has arrived."""
        at: Backlog | None = self
        while at is not None:
            at.came += 1
            at.came_bytes += size
            at = at.parent

    def remove(self, count: int, size: int) -> None:
        """So many are stored, or are not to be."""
        at: Backlog | None = self
        while at is not None:
            at.went += count
            at.went_bytes += size
            at = at.parent


class Origin(Protocol):
    """The link that a message came on, as those who store the message see it; its methods may be called from any thread."""

    @property
    def integration_id(self) -> UUID: ...
    @property
    def organization_id(self) -> UUID: ...
    @property
    def backlog(self) -> Backlog: ...
    @property
    def is_full(self) -> bool:
        """Whether it is left unread until there is room for more of its messages; read_on() ends this."""

    def read_on(self) -> None: ...
    @property
    def will_be_redelivered(self) -> bool: ...
    def acknowledge(self, generation: int, packets: Sequence[tuple[int, int]]) -> None: ...
    def give_up(self) -> None: ...


class Incoming(NamedTuple):
    """A message that a broker delivered."""

    link: Origin
    generation: int  # of the connection it came on
    packet_id: int
    qos: int
    retain: bool
    topic: bytes
    payload: bytes
    properties: tuple[str | None, str | None] | None  # content type, and the other properties as JSON
    filter_number: int | None  # of the filter that it matched; 0 unknown, None the only one
    fault: str | None = None  # why it cannot be queued

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return len(self.payload) + (len(self.properties[1] or "") if self.properties else 0)


@dataclass(frozen=True, slots=True)
class Callback:
    """A request to make. body is None when the message is no longer in the history."""

    organization_id: UUID
    id: UUID
    attempt: int
    subscription_id: UUID
    url: str
    is_ordered: bool
    secrets: list[dict[str, str]] | None
    body: str | None


@dataclass(frozen=True, slots=True)
class CallbackOutcome:
    """What became of a request; one with neither code nor error was not made."""

    callback: Callback
    code: int | None = None
    error: str | None = None
    response: str | None = None
    retry_after: int | None = None
    is_final: bool = False
    seconds: float | None = None  # that the receiver took
