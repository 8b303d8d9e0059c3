"""Mosquitto's password and ACL files, kept in step with the database's credentials."""

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import signal
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bridge import log
from bridge.settings import Settings

ITERATIONS = 101  # what mosquitto_passwd itself takes


def password_line(username: str, password: str, previous: str = "") -> str:
    """The line of an account, `$7$` PBKDF2-SHA512; the one in `previous` if that still fits, so that the file does not change."""
    for line in previous.splitlines():
        if line.startswith(f"{username}:") and _fits(line[len(username) + 1 :], password):
            return line + "\n"
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return f"{username}:$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


def _fits(stored: str, password: str) -> bool:
    try:
        _, kind, iterations, salt, digest = stored.split("$")
        wanted = base64.b64decode(digest, validate=True)
        found = hashlib.pbkdf2_hmac("sha512", password.encode(), base64.b64decode(salt, validate=True), int(iterations))
    except (ValueError, TypeError):
        return False
    return kind == "7" and hmac.compare_digest(wanted, found)


# Mosquitto loses a SIGHUP that arrives while it reads its files: it clears its flag afterwards. With many accounts that takes seconds.
REPEAT_SECONDS = (1.0, 5.0, 20.0)  # after the last change


@dataclass(slots=True)
class Files:
    settings: Settings
    _repeats: list[float] = field(default_factory=list)  # when to send SIGHUP again, by time.monotonic()

    @property
    def is_wanted(self) -> bool:
        return self.settings.mosquitto_password_file is not None

    def write(self, passwords: str, acl: str) -> bool:
        """Replace both files where they differ, and have Mosquitto read them; returns whether anything changed.

        Raises OSError when they cannot be written.
        """
        password_file, acl_file = self.settings.mosquitto_password_file, self.settings.mosquitto_acl_file
        if password_file is None or acl_file is None:
            return False
        before = _read(password_file)
        username, password = self.settings.hosted_username, self.settings.hosted_password
        if username and password is not None:
            passwords = password_line(username, password, before) + passwords
            acl = f"user {username}\ntopic readwrite #\ntopic read $SYS/#\n\n{acl}"
        # Rights first: an account must never exist before its limits.
        changed = _replace(acl_file, acl)
        changed = _replace(password_file, passwords) or changed
        if changed:
            self._reload()
            self._repeats = [time.monotonic() + seconds for seconds in REPEAT_SECONDS]
        return changed

    def repeat(self) -> None:
        """Have Mosquitto read the files again, if that is due."""
        if self._repeats and time.monotonic() >= self._repeats[0]:
            del self._repeats[0]
            self._reload()

    def _reload(self) -> None:
        pid_file = self.settings.mosquitto_pid_file
        if pid_file is None:
            return
        try:
            pid = int(pid_file.read_text(encoding="ascii").strip())
            # A stale file may name an unrelated process, and SIGHUP ends most of those.
            if "mosquitto" not in Path(f"/proc/{pid}/comm").read_text(encoding="ascii"):
                raise ProcessLookupError(f"process {pid} is not a mosquitto")
            os.kill(pid, signal.SIGHUP)
        except (OSError, ValueError) as error:
            log.warning("mosquitto_not_reloaded", reason=error)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _replace(path: Path, text: str) -> bool:
    if path.exists() and _read(path) == text:
        return False
    # The new file is complete before it gets the name, and belongs to the owner of the old one.
    mode = path.stat().st_mode & 0o640 | 0o600 if path.exists() else 0o600
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), mode)
            if path.exists():
                owner = path.stat()
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return True
