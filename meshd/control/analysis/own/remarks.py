"""Problems of meshd's own codes, at the level that ``codes`` gives them. Pure."""

from __future__ import annotations

from meshd.api.document import Path
from meshd.api.problem import Problem
from meshd.control.analysis.codes import CODES


def remark(code: str, path: Path, message: str, *, at_value: bool = False) -> Problem:
    """Something to say about a field; what happens, and what to do about it."""
    return Problem(code, CODES[code].level, path, message, at_value)
