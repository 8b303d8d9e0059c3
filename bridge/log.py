"""Log lines, to stderr: `time level event key=value …`, or JSON. Times are UTC."""

import json
import logging
import re
import sys
import time
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


class _Text(logging.Formatter):
    def __init__(self) -> None:
        self.converter = time.gmtime
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")


class _Json(_Text):
    def format(self, record: logging.LogRecord) -> str:
        """One object: time, level, event and its fields; a library's words are the event `log` with a message."""
        fields = getattr(record, "fields", None)
        line = {
            "time": f"{self.formatTime(record, self.datefmt)}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            **({"event": "log", "message": record.getMessage()} if fields is None else fields),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up(level: str = "INFO", form: str = "text") -> None:
    """Send the bridge's lines, and its libraries' warnings, to stderr; level is a name from the logging module, form text or json."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    _logger.setLevel(level)


def _write(level: int, event: str, fields: dict[str, Any], *, exc_info: bool = False) -> None:
    if _logger.isEnabledFor(level):
        named = {"event": event, **{key: value for key, value in fields.items() if value is not None}}
        _logger.log(level, "%s", _line(event, fields), exc_info=exc_info, extra={"fields": named})


def debug(event: str, **fields: Any) -> None:
    _write(logging.DEBUG, event, fields)


def info(event: str, **fields: Any) -> None:
    _write(logging.INFO, event, fields)


def warning(event: str, **fields: Any) -> None:
    _write(logging.WARNING, event, fields)


def error(event: str, *, exc_info: bool = False, **fields: Any) -> None:
    _write(logging.ERROR, event, fields, exc_info=exc_info)
