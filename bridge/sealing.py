"""Secrets that only the bridge opens: libsodium sealed boxes, {"sealed": "<base64>"} in an integration's settings."""

import base64
import binascii
import contextlib
import os
from pathlib import Path
from typing import Any

import nacl.exceptions
import nacl.public

HEAD = "topicbase-private-key-1"
# What a key file holds: the key that new secrets are sealed to, then older ones that some may still be sealed to.
Keys = tuple[nacl.public.PrivateKey, ...]


class KeyFileError(ValueError):
    """The private key file cannot be used; the message says why."""


def make_key_file(path: Path) -> str:
    """Write a new private key, readable by its owner alone, where no file is yet; returns the public key in base64."""
    key = nacl.public.PrivateKey.generate()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{HEAD}\n{base64.b64encode(bytes(key)).decode()}\n")
    return public_key(key)


def rotate_key_file(path: Path) -> str:
    """Put a new private key before those that the file holds; returns its public key in base64."""
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


def read_key_file(path: Path) -> Keys:
    try:
        mode = path.stat().st_mode
        lines = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"cannot be read: {error}") from None
    if mode & 0o077:
        raise KeyFileError(f"may be read by others (mode {mode & 0o777:o}); make it 600")
    if len(lines) < 2 or lines[0] != HEAD:
        raise KeyFileError("holds no key that `topicbase keygen` wrote")
    try:
        return tuple(nacl.public.PrivateKey(base64.b64decode(line, validate=True)) for line in lines[1:])
    except (ValueError, binascii.Error, nacl.exceptions.CryptoError, TypeError):
        raise KeyFileError("holds no key that `topicbase keygen` wrote") from None


def public_key(key: nacl.public.PrivateKey) -> str:
    return base64.b64encode(bytes(key.public_key)).decode()


def is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("sealed"), str)


def unseal(keys: Keys | None, value: Any) -> str:
    """Open one sealed value, with whichever key does.

    Raises ValueError, without the value, when there is no key, or the value was sealed to another.
    """
    if not keys:
        raise ValueError("it is sealed, and this bridge has no private key (TOPICBASE_PRIVATE_KEY_FILE)")
    for key in keys:
        with contextlib.suppress(binascii.Error, nacl.exceptions.CryptoError, UnicodeDecodeError, ValueError, TypeError):
            return nacl.public.SealedBox(key).decrypt(base64.b64decode(value["sealed"], validate=True)).decode()
    raise ValueError("it cannot be opened with this bridge's private key")


def resealed(keys: Keys, sealed: str) -> str | None:
    """The same secret, sealed to the first of the keys; None where it is so already. Raises ValueError where no key opens it."""
    with contextlib.suppress(ValueError):
        unseal(keys[:1], {"sealed": sealed})
        return None
    secret = unseal(keys[1:], {"sealed": sealed}) if keys[1:] else unseal(keys, {"sealed": sealed})
    return base64.b64encode(nacl.public.SealedBox(keys[0].public_key).encrypt(secret.encode())).decode()
