"""A device made of Mosquitto's command line clients."""

import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from demo.devices.base import READY_SECONDS, Device, Login, Setup
from demo.stack import DemoError


class MosquittoDevice(Device):
    """What a shell script would do: mosquitto_pub reads lines and keeps its connection, mosquitto_sub receives the commands.

    A login has one connection at a time, so each of the programs has its own.
    """

    way = "mosquitto_pub"
    takes_commands = True

    def __init__(self, setup: Setup, *, address: tuple[str, int], directory: Path, listener: Login, single: Login) -> None:
        super().__init__(setup)
        self._address = address
        self._directory = directory
        self._listener = listener
        self._single = single  # for messages that are published alone
        self._publishing = threading.Lock()
        self._unanswered: deque[int] = deque()  # numbers of the lines; a broker acknowledges in order
        self._processes: list[subprocess.Popen[str]] = []
        self._input: IO[str] | None = None
        self._readers: list[threading.Thread] = []

    def _start(self, program: str, login: Login, *options: str, takes_input: bool = False) -> subprocess.Popen[str]:
        # stdbuf: lines must arrive as they are printed. The password is in an options file, not among the arguments.
        return subprocess.Popen(
            ["stdbuf", "-oL", program, "-h", self._address[0], "-p", str(self._address[1]), "-i", login.client_id, "-q", "1", *options],
            env={**os.environ, "XDG_CONFIG_HOME": str(self._directory / login.username)},
            stdin=subprocess.PIPE if takes_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _publish_one(self, topic: str, content: Mapping[str, Any], *options: str) -> tuple[int, int, str]:
        """Publishes one message with its own mosquitto_pub; its number, the exit status and the output."""
        number = self.counts.next()
        text = json.dumps(self.payload(number, **content))
        with self._publishing:
            publisher = self._start("mosquitto_pub", self._single, "-t", topic, "-m", text, *options)
            said, _ = publisher.communicate(timeout=15)
        return number, publisher.returncode, said.strip()

    def prepare(self) -> None:
        for program in ("mosquitto_pub", "mosquitto_sub"):
            if shutil.which(program) is None:
                raise DemoError(f"{program} is not installed; bin/install installs it")
            for login in (self.login, self._listener, self._single):
                options = self._directory / login.username / program
                options.parent.mkdir(exist_ok=True)
                options.touch(mode=0o600)
                options.write_text(f"-u {login.username}\n-P {login.password}\n")
        deadline = time.monotonic() + READY_SECONDS
        while True:
            subscriber = self._start("mosquitto_sub", self._listener, "-t", self.topic("commands"), "-d")
            lines = _lines(subscriber)
            said = ""
            for line in lines:
                said = line.strip() or said
                if line.startswith("Subscribed"):
                    break
            else:  # it exited: the broker does not know the login yet
                subscriber.wait()
                if time.monotonic() > deadline:
                    raise DemoError(f"mosquitto_sub could not log in: {said}")
                time.sleep(0.3)
                continue
            break
        publisher = self._start("mosquitto_pub", self.login, "-t", self.topic("telemetry"), "-l", "-d", takes_input=True)
        self._input = publisher.stdin
        self._processes = [publisher, subscriber]
        for hear, source in ((self._hear_answers, _lines(publisher)), (self._hear_commands, lines)):
            reader = threading.Thread(target=hear, args=(source,), daemon=True)
            reader.start()
            self._readers.append(reader)

    def _hear_answers(self, lines: Iterator[str]) -> None:
        for line in lines:
            if "received PUBACK" in line and "RC:0)" in line:
                self.counts.accept([self._unanswered.popleft()])
            elif "rror" in line:
                self.counts.error(line.strip())

    def _hear_commands(self, lines: Iterator[str]) -> None:
        for line in lines:
            if not line.startswith("{"):
                continue
            command = json.loads(line)
            if command.get("run") == self._run:
                self.commands.append(command["id"])
                number, status, said = self._publish_one(self.topic("acks"), {"command": command["id"]})
                if status == 0:
                    self.counts.accept([number])
                else:
                    self.counts.reject(number, said)

    def tick(self) -> None:
        if self._input is not None:
            number = self.counts.next()
            self._unanswered.append(number)
            self._input.write(json.dumps(self.payload(number, **self._read())) + "\n")
            self._input.flush()

    def misbehave(self) -> None:
        number, _, said = self._publish_one(f"org_other/devices/{self.device_id}/telemetry", {}, "-V", "5")
        self.refused(number, "a topic outside the prefix", "Not authorized", "Not authorized" if "Not authorized" in said else said)

    def finish(self) -> None:
        if self._input is not None:
            self._input.close()  # at the end of its input mosquitto_pub waits for the last PUBACK and disconnects
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._processes[0].wait(15)
            self._readers[0].join(5)

    def leave(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
                process.wait()


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    if process.stdout is None:
        raise DemoError("a program without output")
    return iter(process.stdout)
