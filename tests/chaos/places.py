"""Places for faults that need more than processes: a server with a clock of its own, a small disk, a cable to pull."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.world import World
from tests.support.servers import PROGRAMS
from tests.support.stack import ROOT, TEMPLATE, Stack
from tests.support.waiting import wait_until


class NotHereError(RuntimeError):
    """This machine has not what the fault takes; the message says what."""


# ------------------------------------------------------------------------------------------------------------------------ a clock


def _faketime_library() -> Path | None:
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


@contextmanager
def faketime(directory: Path) -> Iterator[tuple[Path, Path]]:
    """A directory of PostgreSQL programs whose clock a file governs: yields both; write `+3600` to the file to jump."""
    library = _faketime_library()
    if library is None:
        raise NotHereError("libfaketime is not installed (Debian package libfaketime)")
    programs, clock = directory / "bin", directory / "clock"
    clock.write_text("+0")
    clock.chmod(0o644)
    programs.mkdir()
    for program in PROGRAMS.iterdir():
        (programs / program.name).symlink_to(program)
    (programs / "postgres").unlink()
    (programs / "postgres").write_text(
        "#!/bin/sh\n"
        f"export LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={clock} FAKETIME_CACHE_DURATION=1 FAKETIME_DONT_FAKE_MONOTONIC=1\n"
        f'exec {PROGRAMS}/postgres "$@"\n'
    )
    (programs / "postgres").chmod(0o755)
    yield programs, clock


def set_clock(world: World, file: Path, seconds: int) -> None:
    """Jump; returns when the server has, with all its sessions."""
    following = file.with_suffix(".new")
    following.write_text(f"{seconds:+d}")
    following.chmod(0o644)
    following.replace(file)
    query = "SELECT extract(epoch FROM clock_timestamp())::float"
    wait_until(lambda: abs(world.query(query)[0][0] - time.time() - seconds) < 30, what=f"the server's clock {seconds:+d} s")
    time.sleep(1.1)  # a session that is open already looks once a second (FAKETIME_CACHE_DURATION)


# ------------------------------------------------------------------------------------------------------------------- a small disk


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
    if os.geteuid() != 0:
        raise NotHereError("only root may mount a small disk")
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
            raise NotHereError("this root may not mount a tmpfs (a container without CAP_SYS_ADMIN)")
        arguments = ("up", "--free-ports", "--without", "gateway,bridge,mosquitto")
        # PostgREST answers 500 to whatever it cannot log; its log is on another disk, as a journal is.
        logs = base / "log"
        logs.mkdir()
        stack.inside("mkdir", "--mode=711", str(stack.run_dir))
        stack.inside("ln", "--symbolic", str(logs), str(stack.run_dir / "log"))
        stack.run(*arguments, TOPICBASE_PG_CONF=str(conf), TOPICBASE_TEMPLATE=TEMPLATE)
        env = dict(line.split("=", 1) for line in stack.run("env").stdout.splitlines())
        stack = HiddenStack(run_dir=stack.run_dir, env=env, holder=holder.pid)
        yield stack
    finally:
        stack.run("down", "--clean", check=False)
        holder.kill()
        holder.communicate()
        shutil.rmtree(base, ignore_errors=True)


def fill(stack: HiddenStack, ballast: Path, megabytes_left: int) -> None:
    """Leave so much free."""

    tries: list[int] = []

    def work() -> bool:
        free = int(stack.inside("df", "--output=avail", "--block-size=1M", str(ballast.parent)).stdout.split()[-1])
        if free <= megabytes_left:
            return True
        # The server has written more since; what this leaves it soon fills.
        tries.append(free)
        length = f"{max(1, free - megabytes_left - len(tries) + 1)}MiB"
        return stack.inside("fallocate", "--length", length, str(ballast), check=False).returncode == 0

    # The server writes too, meanwhile.
    wait_until(work, what="a full disk")


# ----------------------------------------------------------------------------------------------------------------------- a cable


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


@contextmanager
def cable() -> Iterator[Cable]:
    """A network namespace with one cable to it."""
    if os.geteuid() != 0:
        raise NotHereError("only root may make a network namespace")
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo && exec sleep 3600"], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    if holder.stdout.readline() != b"\n":
        raise NotHereError("this root may not make a network namespace (a container without CAP_SYS_ADMIN)")
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
