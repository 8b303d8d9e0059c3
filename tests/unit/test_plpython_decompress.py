"""plpython/decompress.py: round trips against Python's gzip and zlib, bombs, damaged and arbitrary bytes."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plpython import decompress
from plpython.json_text import MAX_BYTES
from tests.support.storable import is_clean


@given(st.binary(max_size=500))
def test_what_was_compressed_comes_back(content: bytes) -> None:
    assert decompress.run(gzip.compress(content), "gzip") == content
    assert decompress.run(zlib.compress(content), "zlib") == content


@given(st.binary(max_size=100) | st.binary(min_size=1, max_size=50).map(lambda b: zlib.compress(b)[:-1]), st.sampled_from(["gzip", "zlib"]))
def test_other_bytes_are_refused_with_a_reason(data: bytes, kind: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011
        decompress.run(data, kind)
    is_clean(refusal.value)


def test_what_is_bounded() -> None:
    bomb = gzip.compress(bytes(64 * MAX_BYTES))
    with pytest.raises(ValueError, match="come out"):
        decompress.run(bomb, "gzip")
    assert decompress.run(gzip.compress(bytes(MAX_BYTES)), "gzip") == bytes(MAX_BYTES)
    with pytest.raises(ValueError, match="come out"):
        decompress.run(zlib.compress(bytes(MAX_BYTES + 1)), "zlib")
    with pytest.raises(ValueError, match="bytes"):
        decompress.run(bytes(MAX_BYTES + 1), "zlib")
    with pytest.raises(ValueError, match="follow"):
        decompress.run(gzip.compress(b"a") + b"b", "gzip")
