"""Addresses that a client is given."""

from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

HTTP = ("http", "https")


def checked(url: str, schemes: Collection[str] = HTTP) -> SplitResult:
    """The URL in parts. Raises ValueError where it could never be reached, rather than that it is tried for ever."""
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        *others, last = (f"{scheme}://" for scheme in schemes)
        raise ValueError(f"The URL must begin with {', '.join(others)} or {last}, and name a host.")
    _ = parts.port  # raises ValueError itself
    return parts
