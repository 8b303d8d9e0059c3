"""Secrets that only the bridge can open: libsodium sealed boxes, {"sealed": "<base64>", "key": "<key id>"} in the database."""

import base64
import binascii
import hashlib
import os
from pathlib import Path
from typing import Any

import nacl.exceptions
import nacl.public

HEAD = "topicbase-private-key-1"


class KeyFileError(ValueError):
    """The private key file cannot be used; the message says why."""


class Keyring:
    """Private keys: the current one, to which new secrets are sealed, and older ones to which some may still be sealed."""

    def __init__(self, current: nacl.public.PrivateKey, *old: nacl.public.PrivateKey) -> None:
        self._keys = {key_id(bytes(key.public_key)): key for key in (current, *old)}
        self.current = key_id(bytes(current.public_key))

    @property
    def ids(self) -> list[str]:
        """The current key's id first."""
        return list(self._keys)

    @property
    def public_key(self) -> str:
        return public_key(self._keys[self.current])

    def open(self, value: Any) -> bytes:
        """The secret. Raises ValueError, without the value, when none of the keys opens it."""
        try:
            box = base64.b64decode(value["sealed"], validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("it is not a sealed box") from None
        # A box sealed by its sender may name no key, or the wrong one.
        for name in sorted(self._keys, key=lambda name: name != value.get("key")):
            try:
                return bytes(nacl.public.SealedBox(self._keys[name]).decrypt(box))
            except nacl.exceptions.CryptoError:
                continue
        raise ValueError("it cannot be opened with this bridge's private key")

    def reseal(self, value: Any) -> dict[str, str]:
        """The same secret, sealed to the current key. Raises ValueError when it cannot be opened."""
        box = nacl.public.SealedBox(self._keys[self.current].public_key).encrypt(self.open(value))
        return {"sealed": base64.b64encode(box).decode(), "key": self.current}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keyring) and self._keys == other._keys and self.current == other.current

    def __hash__(self) -> int:
        return hash(self.current)


def key_id(public: bytes) -> str:
    """As mqtt.sealing_key_id in the database."""
    return hashlib.sha256(public).hexdigest()[:16]


def make_key_file(path: Path) -> str:
    """Write a new private key, readable by its owner only, to a new file; returns the public key in base64."""
    key = nacl.public.PrivateKey.generate()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{HEAD}\n{base64.b64encode(bytes(key)).decode()}\n")
    return public_key(key)


def rotate_key_file(path: Path) -> str:
    """Put a new private key before those in the file; returns its public key in base64. Raises KeyFileError."""
    keys = (nacl.public.PrivateKey.generate(), *read_key_file(path))
    new, owner = path.with_name(f"{path.name}.new"), path.stat()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write("\n".join([HEAD, *(base64.b64encode(bytes(key)).decode() for key in keys), ""]))
        file.flush()
        os.fsync(descriptor)
    new.replace(path)
    return public_key(keys[0])


def read_key_file(path: Path) -> tuple[nacl.public.PrivateKey, ...]:
    """The keys in the file, the current one first. Raises KeyFileError."""
    try:
        mode = path.stat().st_mode
        lines = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"cannot be read: {error}") from None
    if mode & 0o077:
        raise KeyFileError(f"may be read by others (mode {mode & 0o777:o}); make it 600")
    if len(lines) < 2 or lines[0] != HEAD:
        raise KeyFileError("does not hold a key written by `topicbase keygen`")
    try:
        return tuple(nacl.public.PrivateKey(base64.b64decode(line, validate=True)) for line in lines[1:])
    except (ValueError, binascii.Error, nacl.exceptions.CryptoError, TypeError):
        raise KeyFileError("does not hold a key written by `topicbase keygen`") from None


def public_key(key: nacl.public.PrivateKey) -> str:
    return base64.b64encode(bytes(key.public_key)).decode()


def statement(public: str) -> str:
    """What a superuser runs to tell the database its public key."""
    return f"UPDATE mqtt.configuration SET sealing_public_key = decode('{public}', 'base64')"  # noqa: S608  # for people, and base64


def is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("sealed"), str)


def unseal(keys: Keyring | None, value: Any) -> str:
    """Open a sealed value.

    Raises ValueError, without the value, when there is no key, or the value was sealed to another.
    """
    if keys is None:
        raise ValueError("it is sealed, and this bridge has no private key (TOPICBASE_PRIVATE_KEY_FILE)")
    try:
        return keys.open(value).decode()
    except UnicodeDecodeError:
        raise ValueError("it cannot be opened with this bridge's private key") from None
