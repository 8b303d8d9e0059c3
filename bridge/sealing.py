"""Secrets that only the bridge opens: libsodium sealed boxes, {"sealed": "<base64>"} in an integration's settings."""

import base64
import binascii
import os
from pathlib import Path
from typing import Any

import nacl.exceptions
import nacl.public

HEAD = "topicbase-private-key-1"


class KeyFileError(ValueError):
    """The private key file cannot be used; the message says why."""


def make_key_file(path: Path) -> str:
    """Write a new private key, readable by its owner alone, where no file is yet; returns the public key in base64."""
    key = nacl.public.PrivateKey.generate()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{HEAD}\n{base64.b64encode(bytes(key)).decode()}\n")
    return public_key(key)


def read_key_file(path: Path) -> nacl.public.PrivateKey:
    try:
        mode = path.stat().st_mode
        lines = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"cannot be read: {error}") from None
    if mode & 0o077:
        raise KeyFileError(f"may be read by others (mode {mode & 0o777:o}); make it 600")
    if len(lines) != 2 or lines[0] != HEAD:
        raise KeyFileError("holds no key that `topicbase keygen` wrote")
    try:
        return nacl.public.PrivateKey(base64.b64decode(lines[1], validate=True))
    except (ValueError, binascii.Error, nacl.exceptions.CryptoError, TypeError):
        raise KeyFileError("holds no key that `topicbase keygen` wrote") from None


def public_key(key: nacl.public.PrivateKey) -> str:
    return base64.b64encode(bytes(key.public_key)).decode()


def is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("sealed"), str)


def unseal(key: nacl.public.PrivateKey | None, value: Any) -> str:
    """Open one sealed value.

    Raises ValueError, without the value, when there is no key, or the value was sealed to another.
    """
    if key is None:
        raise ValueError("it is sealed, and this bridge has no private key (TOPICBASE_PRIVATE_KEY_FILE)")
    try:
        return nacl.public.SealedBox(key).decrypt(base64.b64decode(value["sealed"], validate=True)).decode()
    except (binascii.Error, nacl.exceptions.CryptoError, UnicodeDecodeError, ValueError):
        raise ValueError("it cannot be opened with this bridge's private key") from None
