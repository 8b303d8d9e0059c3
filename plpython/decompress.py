"""gzip (RFC 1952) and zlib (RFC 1950) data to the bytes within, at most 1 MiB of them: it stops there, whatever the data would grow to."""

# /// plpython
# returns = "bytea"
# volatility = "immutable"
# ///

import zlib

from plpython.json_text import MAX_BYTES

WINDOW_BITS = {"gzip": 31, "zlib": 15}


def run(data: bytes, format: str) -> bytes:  # noqa: A002
    """Decompress gzip or zlib

    At most 1 MiB comes out. Raises 38000 (external_routine_exception) with a short reason when the bytes are not exactly one stream.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    stream = zlib.decompressobj(WINDOW_BITS[format])
    try:
        content = stream.decompress(data, MAX_BYTES + 1)
    except zlib.error:
        raise ValueError("the bytes are damaged, or in another format") from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes come out")
    if not stream.eof:
        raise ValueError("the bytes end early")
    if stream.unused_data:
        raise ValueError("bytes follow the stream")
    return content
