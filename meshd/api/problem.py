"""What is wrong with a piece of a document, before anybody knows its file. Pure values."""

from __future__ import annotations

from enum import StrEnum

import attrs

from meshd.api.document import Path, format_path, printable


class Level(StrEnum):
    """How bad it is. An Error keeps a document out; a Warning and an Info do not."""

    ERROR = "Error"
    WARNING = "Warning"
    INFO = "Info"


@attrs.frozen
class Problem:
    """One thing to say about one field.

    ``at_value``: the place to show is the value's rather than the key's.
    """

    code: str
    level: Level
    path: Path
    message: str
    at_value: bool = False

    @property
    def text(self) -> str:
        """``spec.http[0].timeout: what is wrong``."""
        where = format_path(self.path)
        return printable(f"{where}: {self.message}" if where else self.message)


SCHEMA_ERROR = "IST0106"
SCHEMA_WARNING = "IST0133"
SYNTAX_ERROR = "MD0001"
FIELD_NOT_SUPPORTED = "MD0002"
KIND_NOT_SUPPORTED = "MD0003"
KIND_OF_NO_CONCERN = "MD0004"
FIELD_WITHOUT_EFFECT = "MD0005"


def error(path: Path, message: str, *, at_value: bool = True, code: str = SCHEMA_ERROR) -> Problem:
    """A field that cannot be used as it is."""
    return Problem(code, Level.ERROR, path, message, at_value)


def warning(path: Path, message: str, *, at_value: bool = False, code: str = SCHEMA_WARNING) -> Problem:
    """A field that can be used and does not do what its author may think."""
    return Problem(code, Level.WARNING, path, message, at_value)


def info(path: Path, message: str, *, code: str = FIELD_WITHOUT_EFFECT) -> Problem:
    """Something to know."""
    return Problem(code, Level.INFO, path, message)
