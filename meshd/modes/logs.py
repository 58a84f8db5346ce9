"""Log lines on stderr: one line an event, for people or for programs."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from meshd.modes.settings import Logging

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def fields(record: logging.LogRecord) -> dict[str, object]:
    """What came with ``extra``."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def when(record: logging.LogRecord) -> str:
    """RFC 3339, UTC, milliseconds."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def one_line(text: str) -> str:
    """What a stranger may have put into a message stays on its line and moves no cursor."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class TextFormatter(logging.Formatter):
    """``2026-11-23T08:00:00.000Z INFO message key=value`` (values with spaces in quotes)."""

    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {key}={self._value(value)}" for key, value in fields(record).items())
        line = f"{when(record)} {record.levelname} {one_line(record.getMessage())}{pairs}"
        # Only a bug of ours comes with a traceback.
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line

    @staticmethod
    def _value(value: object) -> str:
        text = one_line(str(value))
        return json.dumps(text, ensure_ascii=False) if not text or " " in text or '"' in text else text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": when(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {key: value for key, value in fields(record).items() if key not in entry}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def set_up(settings: Logging, stream: TextIO | None = None) -> None:
    """Let the program's loggers write to ``stream`` (stderr)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("meshd").setLevel(settings.level.upper())
