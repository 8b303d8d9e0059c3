"""A bridge in a network namespace of its own, whose one cable is pulled: packets vanish, and nobody is told."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.chaos.world import World
from tests.support.stack import Stack
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Cable:
    """`host` is this end's address; `prefix` runs a command at the other end."""

    name: str
    host: str
    prefix: tuple[str, ...]

    def pull(self) -> None:
        _ip("link", "set", self.name, "down")

    def plug_in(self) -> None:
        _ip("link", "set", self.name, "up")


def _ip(*arguments: str, prefix: tuple[str, ...] = ()) -> None:
    subprocess.run([*prefix, "ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def cable() -> Iterator[Cable]:
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo && exec sleep 3600"], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    if holder.stdout.readline() != b"\n":
        pytest.skip("this root may not make a network namespace (a container without CAP_SYS_ADMIN)")
    number = os.getpid() % 16000
    near, far, net = f"tbc{number}", f"tbf{number}", f"10.211.{number % 256}"
    prefix = ("nsenter", f"--target={holder.pid}", "--net")
    try:
        _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", str(holder.pid))
        _ip("address", "add", f"{net}.1/30", "dev", near)
        _ip("link", "set", near, "up")
        _ip("address", "add", f"{net}.2/30", "dev", far, prefix=prefix)
        _ip("link", "set", far, "up", prefix=prefix)
        _ip("link", "set", "lo", "up", prefix=prefix)
        yield Cable(near, f"{net}.1", prefix)
    finally:
        subprocess.run(["ip", "link", "delete", near], check=False, capture_output=True)
        holder.kill()
        holder.communicate()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a network namespace")
def test_row_08_and_09_a_partition(stack: Stack, cable: Cable, world: Callable[..., World], seed: int) -> None:
    """Found out within the keep alive and the connection's own time limits; meanwhile ingest goes on; then all is made up for."""
    playground = world(bridges=0, host=cable.host)
    playground.new_bridge(prefix=cable.prefix).start()
    playground.wait_subscribed()
    playground.load.pause_seconds = 0.1
    playground.load.run("single", "batch", "publish", "inbound")
    playground.load.wait_accepted(60)
    cable.pull()
    pulled = time.monotonic()
    wait_until(lambda: " broker_lost " in playground.bridge.log, 30, "the broker's loss being noticed")
    assert time.monotonic() - pulled < 2 * 5 + 5, "twice the keep alive"
    wait_until(lambda: " database_lost " in playground.bridge.log, 40, "the database's loss being noticed")
    playground.load.wait_accepted(60)
    assert playground.bridge.is_alive()
    cable.plug_in()
    playground.recover()
    count = playground.check()
    assert count.accepted > 120
