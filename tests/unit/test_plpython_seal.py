"""plpython/seal.py: what is sealed opens with the private key alone, and no error tells the secret."""

import nacl.exceptions
import nacl.public
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plpython import seal

PRIVATE_KEY = nacl.public.PrivateKey(bytes(range(32)))
PUBLIC_KEY = bytes(PRIVATE_KEY.public_key)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_round_trip(secret: str) -> None:
    sealed = seal.run(PUBLIC_KEY, secret)
    assert len(sealed) == 48 + len(secret.encode())
    assert nacl.public.SealedBox(PRIVATE_KEY).decrypt(sealed).decode() == secret


def test_no_two_are_alike() -> None:
    assert seal.run(PUBLIC_KEY, "same") != seal.run(PUBLIC_KEY, "same")


def test_no_other_key_opens() -> None:
    with pytest.raises(nacl.exceptions.CryptoError):
        nacl.public.SealedBox(nacl.public.PrivateKey.generate()).decrypt(seal.run(PUBLIC_KEY, "secret"))


@pytest.mark.parametrize(
    "key", [b"", bytes(31), bytes(33), bytes(32), b"\x01" + bytes(31)], ids=["empty", "short", "long", "zero", "low order"]
)
def test_bad_keys(key: bytes) -> None:
    with pytest.raises(ValueError, match="public key") as caught:
        seal.run(key, "correct horse")
    assert "horse" not in repr(caught.value)


@pytest.mark.parametrize("secret", ["horse\udc80", "horse" * 20_000], ids=["surrogate", "long"])
def test_bad_secrets(secret: str) -> None:
    with pytest.raises(ValueError, match="secret") as caught:
        seal.run(PUBLIC_KEY, secret)
    assert type(caught.value) is ValueError
    assert caught.value.__cause__ is None
    assert "horse" not in repr(caught.value)
    assert len(str(caught.value)) < 100
