"""Log lines: `time level event key=value …`, to stderr."""

import logging
import re
import sys
from typing import Any

_PLAIN = re.compile(r"[\w.:/@+-]+\Z")
_logger = logging.getLogger("topicbase")


def _quoted(value: Any) -> str:
    text = str(value)
    if _PLAIN.match(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r") + '"'


def _line(event: str, fields: dict[str, Any]) -> str:
    return " ".join([event, *(f"{key}={_quoted(value)}" for key, value in fields.items() if value is not None)])


def set_up(level: str = "INFO") -> None:
    """Send the bridge's lines, and its libraries' warnings, to stderr; level is a name from the logging module."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    set_level(level)


def set_level(level: str) -> None:
    _logger.setLevel(level)


def debug(event: str, **fields: Any) -> None:
    if _logger.isEnabledFor(logging.DEBUG):
        _logger.debug("%s", _line(event, fields))


def info(event: str, **fields: Any) -> None:
    _logger.info("%s", _line(event, fields))


def warning(event: str, **fields: Any) -> None:
    _logger.warning("%s", _line(event, fields))


def error(event: str, *, exc_info: bool = False, **fields: Any) -> None:
    _logger.error("%s", _line(event, fields), exc_info=exc_info)
