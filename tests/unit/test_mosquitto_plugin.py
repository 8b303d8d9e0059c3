"""Mosquitto's access plugin, in a real Mosquitto with an access file of the test's own."""

import ctypes
import hashlib
import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.mosquitto import account_line
from tests.bridge.mosquitto import Mosquitto
from tests.bridge.support import Peer
from tests.support.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parents[2]
REFUSED = 0x87
HEAD = "topicbase-access\t1\t100\t100000\t\n"


def line(username: str, *filters: str, password: str = "secret", client_id: str | None = None) -> str:  # noqa: S107
    salt = hashlib.sha256(username.encode()).digest()[:16]
    hashed = f"{salt.hex()}:{hashlib.sha256(salt + password.encode()).hexdigest()}"
    return "\t".join((username, username if client_id is None else client_id, "100", hashed, *filters, "\n"))


class Broker(Mosquitto):
    """With the plugin, and the file that it reads."""

    def __init__(self, directory: Path) -> None:
        plugin = subprocess.run([ROOT / "bin" / "mosquitto-plugin"], check=True, capture_output=True, text=True).stdout.strip()
        self.access = directory / "access"
        self.log = directory / "log"
        self.peers: list[Peer] = []
        super().__init__(
            directory,
            settings=("allow_anonymous false", f"plugin {plugin}", f"plugin_opt_access_file {self.access}", f"log_dest file {self.log}"),
        )

    def write(self, text: str) -> None:
        """Replace the file, and wait until the broker has looked at it."""
        before = self.log.read_text().count("topicbase: ")
        new = self.access.with_suffix(".new")
        new.write_text(text)
        new.replace(self.access)
        wait_until(lambda: self.log.read_text().count("topicbase: ") > before, what="the broker looks at the new file")

    def peer(self, username: str, password: str = "secret", client_id: str | None = None, **options: int) -> Peer:  # noqa: S107
        self.peers.append(
            Peer("127.0.0.1", self.port, username, password, client_id=username if client_id is None else client_id, **options)
        )
        return self.peers[-1]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    running = Broker(tmp_path_factory.mktemp("mosquitto"))
    yield running
    running.stop()


@pytest.fixture
def broker(running: Broker) -> Iterator[Broker]:
    yield running
    while running.peers:
        running.peers.pop().close()


def test_without_a_file_nobody_gets_in(broker: Broker) -> None:
    assert broker.peer("device").code == REFUSED
    broker.write(HEAD + line("device", "pa/+/#") + "end\t\n")
    assert broker.peer("device").code == 0
    assert broker.peer("device", "wrong").code == REFUSED
    assert broker.peer("device", "").code == REFUSED
    assert broker.peer("").code == REFUSED


def test_a_connection_test_has_a_client_id_and_a_subscription(broker: Broker) -> None:
    broker.write(HEAD + line("device", "pa/+/#", "sa/#") + line("any", "sa/#", client_id="") + "end\t\n")
    device, test = broker.peer("device"), broker.peer("device", client_id="device~test")
    assert (device.code, test.code, broker.peer("device", client_id="device~tests").code, broker.peer("any", client_id="~test").code) == (
        0, 0, REFUSED, 0
    )  # fmt: skip
    assert [device.subscribe(f"a/{number}") for number in range(101)] == [2] * 100 + [REFUSED]
    assert [test.subscribe(topic) for topic in ("$share/g/a/x", "a/x", "a/y", "b")] == [REFUSED, 2, REFUSED, REFUSED]
    # What it does leaves the count of the session's subscriptions alone.
    test.client.unsubscribe("a/0")
    assert broker.peer("device", client_id="device~test").subscribe("a/x") == 2
    assert device.subscribe("a/x") == REFUSED
    assert not device.disconnected.is_set()


def test_a_file_that_is_not_whole_changes_nothing(broker: Broker) -> None:
    good, other = line("device", "pa/+/#", "sa/#"), line("other", "pb/+/#")
    broker.write(HEAD + good + "end\t\n")
    session = broker.peer("device")
    bad = (
        *(
            "",
            "end\t\n",
            HEAD,
            HEAD + other,
            HEAD + other + "end",
            HEAD + other + "end\t\nmore\t\n",
            HEAD.replace("1", "2", 1) + other + "end\t\n",
        ),
        *(HEAD + other + other + "end\t\n", HEAD + other.replace("\tp", "\tx") + "end\t\n", HEAD + "other\tother\t\n" + "end\t\n"),
        *(HEAD + other.replace("\t100\t", "\tmany\t") + "end\t\n", HEAD + other + "\0" + "end\t\n"),
    )
    for count, text in enumerate(bad, 1):
        broker.write(text)
        assert broker.log.read_text().count("the logins stay as they were") == count, text
    assert session.publish("a/x", "1") in (0, 16)
    assert not session.disconnected.is_set()
    broker.write(HEAD + other + "end\t\n")
    assert session.disconnected.wait(PATIENCE)
    assert broker.peer("other").code == 0
    assert broker.peer("device").code == REFUSED


def test_rights_change_without_a_new_login(broker: Broker) -> None:
    broker.write(HEAD + line("device", "pa/+/#", "sa/#") + account_line("bridge", "secret") + "end\t\n")
    session, bridge = broker.peer("device"), broker.peer("bridge", client_id="any")
    assert session.subscribe("a/#") == 2
    assert session.publish("a/x", "1") == 0
    assert session.next().payload == b"1"
    broker.write(HEAD + line("device", "pa/x", "sa/x") + account_line("bridge", "secret") + "end\t\n")
    assert session.publish("a/y", "2") == REFUSED
    # The subscription is still there, and brings no more than is allowed now.
    assert bridge.publish("a/y", "3") in (0, 16)
    assert bridge.publish("a/x", "4") == 0
    assert session.next().payload == b"4"
    assert session.subscribe("a/#") == REFUSED


def test_a_bound_counts_what_is_retained_and_not_what_was(broker: Broker) -> None:
    """Removed messages make room, however many there were."""
    broker.write(HEAD.replace("\t100\t", "\t10\t") + line("device", "pc/+/#") + "end\t\n")
    session = broker.peer("device")
    for number in range(300):
        assert session.publish(f"c/{number}", "x", retain=True) == 16
        assert session.publish(f"c/{number}", "", retain=True) == 16
    assert [session.publish(f"c/{number}", "x", retain=True) for number in range(11)] == [16] * 10 + [REFUSED]


@pytest.fixture(scope="module")
def covers(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    directory = tmp_path_factory.mktemp("topics")
    source = directory / "topics.c"
    source.write_text(
        '#include "topics.h"\n'
        "bool covers(const char *filter, const char *wanted) { return filter_covers(filter, wanted); }\n"
        "const char *heard(const char *subscription) { return subscribed_filter(subscription); }\n"
    )
    library = directory / "topics.so"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-std=gnu17", "-fPIC", "-shared", "-I", ROOT / "mosquitto", "-o", library, source], check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.covers.restype = ctypes.c_bool
    loaded.heard.restype = ctypes.c_char_p
    return loaded


LEVELS = ("", "a", "b", "aa")


def matches(pattern: str, topic: str) -> bool:
    """Section 4.7 of MQTT 5, level by level."""
    parts, levels = pattern.split("/"), topic.split("/")
    if topic.startswith("$") and parts[0] in ("+", "#"):
        return False
    if parts[-1] == "#":
        parts.pop()
        levels = levels[: len(parts)]
    return len(parts) == len(levels) and all(part in ("+", level) for part, level in zip(parts, levels, strict=True))


def topics(depth: int) -> Iterator[str]:
    for count in range(1, depth + 1):
        for levels in itertools.product((*LEVELS, "z", "$s"), repeat=count):
            yield "/".join(levels)


TOPICS = tuple(topics(4))
FILTERS = st.lists(st.sampled_from((*LEVELS, "+", "$s")), min_size=1, max_size=3).flatmap(
    lambda levels: st.sampled_from(("/".join(levels), "/".join((*levels, "#")), "#"))
)


@given(FILTERS, FILTERS)
@example("a/#", "a")
@example("a/+", "a/#")
@example("+/#", "#")
@example("#", "$s/a")
def test_a_filter_covers_another(covers: ctypes.CDLL, pattern: str, wanted: str) -> None:
    """Where it says so, each topic of the other is one of its own; where not, there is a topic that is not."""
    if "" in (pattern, wanted):
        return
    is_subset = all(matches(pattern, topic) for topic in TOPICS if matches(wanted, topic))
    if (pattern, wanted) == ("+/#", "#"):  # as text, it does not
        is_subset = False
    assert covers.covers(pattern.encode(), wanted.encode()) == is_subset, (pattern, wanted)


@given(FILTERS, st.sampled_from(TOPICS))
def test_a_filter_covers_a_topic(covers: ctypes.CDLL, pattern: str, topic: str) -> None:
    if "" in (pattern, topic):
        return
    assert covers.covers(pattern.encode(), topic.encode()) == matches(pattern, topic)


@pytest.mark.parametrize(
    ("subscription", "heard"),
    [
        ("a/#", b"a/#"),
        ("$share/g/a/#", b"a/#"),
        ("$share/g", None),
        ("$share/g/", None),
        ("$share//a", None),
        ("$shared/g/a", b"$shared/g/a"),
    ],
)
def test_what_a_shared_subscription_listens_to(covers: ctypes.CDLL, subscription: str, heard: bytes | None) -> None:
    assert covers.heard(subscription.encode()) == heard
