"""The files that mosquitto/access.c reads and writes: who may log in, kept in step with the database, and who did."""

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bridge.settings import Settings
from bridge.values import Sessions

SALT_BYTES = 16
LAST_LINE = "end\t\n"


def account_line(username: str, password: str, previous: str = "") -> str:
    """The line of an account that may do everything, with any client id; that in `previous` if it still fits, lest the file change."""
    for line in previous.splitlines(keepends=True):
        fields = line.split("\t")
        if fields[0] == username and _fits(fields[3], password):
            return line
    salt = secrets.token_bytes(SALT_BYTES)
    return "\t".join((username, "", "0", f"{salt.hex()}:{_hash(salt, password)}", "p#", "s#", "s$SYS/#", "\n"))


def _hash(salt: bytes, password: str) -> str:
    return hashlib.sha256(salt + password.encode()).hexdigest()


def _fits(stored: str, password: str) -> bool:
    salt, _, wanted = stored.partition(":")
    return hmac.compare_digest(wanted, _hash(bytes.fromhex(salt), password))


def read_sessions(path: Path) -> Sessions | None:
    """What the plugin wrote; None where it wrote nothing. Raises OSError, and ValueError for another file."""
    try:
        *lines, last = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    if f"{last}\n" != LAST_LINE:
        raise ValueError(f"{path} is not a whole file of sessions")
    found = [line.split("\t") for line in lines]
    return Sessions([fields[0] for fields in found], [int(fields[1]) for fields in found], [int(fields[2]) for fields in found])


@dataclass(slots=True)
class AccessFile:
    settings: Settings

    @property
    def is_wanted(self) -> bool:
        return self.settings.mosquitto_access_file is not None

    def write(self, logins: str) -> tuple[bool, bool]:
        """Replace the file where it differs; returns whether it did, and whether the bridge's own account did.

        Raises OSError when it cannot be written.
        """
        path = self.settings.mosquitto_access_file
        if path is None:
            return False, False
        before = _read(path)
        username, password = self.settings.hosted_username, self.settings.hosted_password
        own = account_line(username, password, before) if username and password is not None else ""
        text = logins + own + LAST_LINE
        if text == before:
            return False, False
        _replace(path, text)
        return True, own not in before


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _replace(path: Path, text: str) -> None:
    # The new file is complete before it gets the name, and belongs to the owner of the old one.
    old = path.stat() if path.exists() else None
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o600 if old is None else old.st_mode & 0o640 | 0o600)
            if old is not None:
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
