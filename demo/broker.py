"""A second, real Mosquitto: the broker of an external integration."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time

import psutil

from demo.stack import DemoError, Stack

ACCOUNTS = ("bridge", "kernel")


class Broker:
    """Runs on a free port, in its own directory under the stack's; `stop` removes both."""

    def __init__(self, stack: Stack) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.passwords = {name: secrets.token_urlsafe(18) for name in ACCOUNTS}
        self._dir = stack.place / "demo-broker"
        self._log = stack.run_dir / "log" / "demo-broker.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://{self.host}:{self.port}"

    def start(self) -> None:
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
        if program is None:
            raise DemoError("mosquitto is not installed; bin/install installs it")
        self._end_leftover()
        shutil.rmtree(self._dir, ignore_errors=True)
        self._dir.mkdir(mode=0o700)
        passwords = self._dir / "passwords"
        passwords.touch(mode=0o600)
        passwords.write_text("".join(f"{name}:{password}\n" for name, password in self.passwords.items()))
        subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True)
        user = self._user()
        for _ in range(5):
            self.port = _free_port()
            (self._dir / "mosquitto.conf").write_text(
                f"listener {self.port} {self.host}\n"
                f"allow_anonymous false\npassword_file {passwords}\n"
                f"{'' if user is None else f'user {user.pw_name}'}\n"
                "set_tcp_nodelay true\nlog_dest stderr\nlog_type error\nlog_type warning\nlog_type notice\n"
            )
            if user is not None:
                for path in (self._dir, *self._dir.iterdir()):
                    os.chown(path, user.pw_uid, user.pw_gid)
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [program, "-c", str(self._dir / "mosquitto.conf")],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            (self._dir / "pid").write_text(str(self._process.pid))
            if self._answers():
                return
        raise DemoError(f"the second Mosquitto did not start; see {self._log}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        shutil.rmtree(self._dir, ignore_errors=True)

    @staticmethod
    def _user() -> pwd.struct_passwd | None:
        """The user that Mosquitto switches to when it is started as root; its files must belong to that user."""
        if os.geteuid() != 0:
            return None
        try:
            return pwd.getpwnam("mosquitto")
        except KeyError:
            return pwd.getpwnam("root")

    def _answers(self) -> bool:
        deadline = time.monotonic() + 10
        while self._process is not None and self._process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return True
        return False

    def _end_leftover(self) -> None:
        """End the broker that a killed demo left behind: the process in our pid file, if it still is that broker."""
        try:
            leftover = psutil.Process(int((self._dir / "pid").read_text()))
            if str(self._dir / "mosquitto.conf") in leftover.cmdline():
                leftover.terminate()
                leftover.wait(10)
        except (OSError, ValueError, psutil.Error):
            return


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
