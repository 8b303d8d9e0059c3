"""Faults that take a PostgreSQL of their own: a clock that jumps, a disk that is full."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.faults import faketime, has_faketime
from tests.chaos.world import World
from tests.support.stack import ROOT, Stack, start_stack
from tests.support.waiting import wait_until

TEMPLATE = os.environ.get("TOPICBASE_TEMPLATE", "")


@pytest.fixture
def clock(tmp_path: Path, seed: int) -> Iterator[tuple[World, Path]]:
    """A world whose PostgreSQL lives by a clock of its own: write `+3600` to the file, and it is an hour later."""
    tmp_path.chmod(0o711)
    if not has_faketime():
        pytest.skip("libfaketime is not installed (Debian package libfaketime)")
    with faketime(tmp_path) as (programs, file):
        stack = start_stack(without=("gateway", "bridge", "mosquitto"), TOPICBASE_PG_BIN=str(programs), TOPICBASE_TEMPLATE=TEMPLATE)
        try:
            world = World(stack, seed=seed)
            try:
                world.start()
                world.load.pause_seconds = 0.1
                world.load.run("single", "batch", "publish", "inbound")
                yield world, file
            finally:
                world.close()
        finally:
            stack.down()


def set_clock(world: World, file: Path, seconds: int) -> None:
    """Jump; returns when the server has."""
    following = file.with_suffix(".new")
    following.write_text(f"{seconds:+d}")
    following.chmod(0o644)
    following.replace(file)
    query = "SELECT extract(epoch FROM clock_timestamp())::float"
    wait_until(lambda: abs(world.query(query)[0][0] - time.time() - seconds) < 30, 10, f"the server's clock {seconds:+d} s")


def test_row_36_and_37_the_database_clock_jumps(clock: tuple[World, Path]) -> None:
    """Three hours on, back again, and an hour back: nothing is lost or doubled, and all goes on."""
    world, file = clock
    for seconds in (10800, 0, -3600, 0):
        world.load.resume()
        world.load.wait_accepted(60)
        set_clock(world, file, seconds)
        # What was accepted in what is now the future would be due only then; each minute's upkeep finds it.
        world.load.wait_accepted(60)
        world.query("SELECT mqtt.upkeep()")
        world.load.wait_accepted(60)
        world.recover()
        count = world.check()
        assert count.accepted >= 120


@dataclass(frozen=True)
class HiddenStack(Stack):
    """A stack whose files are in the mount namespace of a process."""

    holder: int = 0

    def run(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.inside(str(ROOT / "bin" / "stack"), *arguments, check=check, **environment)

    def inside(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            ["nsenter", f"--target={self.holder}", "--mount", *command],
            env={**os.environ, **environment, "TOPICBASE_RUN_DIR": str(self.run_dir)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert result.returncode == 0 or not check, f"{command}: {result.stdout}{result.stderr}"
        return result

    def _secrets(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.inside("cat", str(self.run_dir / "secrets")).stdout.splitlines())

    def log(self, name: str) -> str:
        return self.inside("cat", str(self.run_dir / "log" / f"{name}.log")).stdout


@contextmanager
def small_disk(megabytes: int) -> Iterator[HiddenStack]:
    """A stack all of whose data are on a tmpfs of that size, in a mount namespace that ends with it."""
    base = Path(tempfile.mkdtemp(prefix="tb.", dir=os.environ.get("TOPICBASE_TEST_DIR")))
    base.chmod(0o711)
    conf = base / "small.conf"
    conf.write_text("max_wal_size = '48MB'\nmin_wal_size = '32MB'\ncheckpoint_timeout = '30s'\n")
    disk = base / "disk"
    disk.mkdir(mode=0o711)
    mount = f"mount -t tmpfs -o size={megabytes}m,mode=711 tmpfs '{disk}' && echo && exec sleep 3600"
    holder = subprocess.Popen(["unshare", "--mount", "--propagation=private", "sh", "-c", mount], stdout=subprocess.PIPE)
    stack = HiddenStack(run_dir=disk / "run", env={}, holder=holder.pid)
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != b"\n":
            pytest.skip("this root may not mount a tmpfs (a container without CAP_SYS_ADMIN)")
        arguments = ("up", "--free-ports", "--without", "gateway,bridge,mosquitto")
        stack.run(*arguments, TOPICBASE_PG_CONF=str(conf), TOPICBASE_TEMPLATE=TEMPLATE)
        env = dict(line.split("=", 1) for line in stack.run("env").stdout.splitlines())
        stack = HiddenStack(run_dir=stack.run_dir, env=env, holder=holder.pid)
        yield stack
    finally:
        stack.run("down", "--clean", check=False)
        holder.kill()
        holder.communicate()
        shutil.rmtree(base, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_row_33_the_disk_is_full(seed: int) -> None:
    """First intake is closed while there is room. Filled all the same: refused with 5xx, and nothing acknowledged is lost."""
    with small_disk(420) as stack:
        world = World(stack, seed=seed)
        try:
            world.start()
            world.load.run("single", "batch", "publish", "inbound")
            world.load.wait_accepted(200)
            ballast = stack.run_dir.parent / "ballast"
            # The alarm: below min_free_bytes ingest answers 503, and what was accepted is worked off.
            world.query("UPDATE mqtt.configuration SET min_free_bytes = %s", 200 << 20)
            fill(stack, ballast, 100)
            world.query("SELECT mqtt.check_intake()")
            response = world.device.send({"n": -1})
            assert response.status_code == 503, response.text
            assert response.json()["message"] == "intake_stopped"
            assert "Retry-After" in response.headers
            stack.inside("rm", str(ballast))
            world.query("SELECT mqtt.check_intake()")
            world.recover()
            world.check()
            # No alarm: it fills under load.
            world.query("UPDATE mqtt.configuration SET min_free_bytes = 0")
            world.load.resume()
            world.load.wait_accepted(100)
            fill(stack, ballast, 1)
            refused = sum(world.load.refused.values()) + world.load.errors
            wait_until(lambda: sum(world.load.refused.values()) + world.load.errors > refused + 5, 60, "refused messages")
            assert all(status.startswith(("5", "400 ")) for status in world.load.refused), world.load.refused
            stack.inside("rm", str(ballast))
            if stack.run("status", check=False).stdout.splitlines()[0].endswith("stopped"):
                stack.start("postgres")  # as its supervisor would
            world.recover()
            count = world.check()
            assert count.accepted > 100
        finally:
            world.close()


def fill(stack: HiddenStack, ballast: Path, megabytes_left: int) -> None:
    """Leave so much free."""
    free = int(stack.inside("df", "--output=avail", "--block-size=1M", str(ballast.parent)).stdout.split()[-1])
    stack.inside("fallocate", "--length", f"{free - megabytes_left}MiB", str(ballast))
