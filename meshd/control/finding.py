"""Findings: what meshd has to say about documents. Pure values.

A finding has a stable code. ``IST....`` are Istio's, with Istio's level and
meaning; ``MD....`` are meshd's own. A code is never used for something else.
"""

from __future__ import annotations

from typing import Any

import attrs

from meshd.api.document import Document, Origin, format_path, printable
from meshd.api.load import Loaded
from meshd.api.problem import Level, Problem
from meshd.control.analysis.codes import CODES

DEFINED_TWICE = "MD0006"
CANNOT_BE_READ = "MD0007"
LAST_GOOD_IN_FORCE = "MD0008"

_ORDER = {Level.ERROR: 0, Level.WARNING: 1, Level.INFO: 2}


@attrs.frozen
class Finding:
    """One thing to say about one place.

    ``resource``: ``VirtualService default/reviews``, "" when no object is
    known. ``message`` is one line and says how to mend it where that is not
    obvious. ``path``: the field, ``spec.http[0].timeout``, or "".
    """

    code: str
    level: Level
    message: str = attrs.field(converter=printable)
    resource: str = attrs.field(default="", converter=printable)
    origin: Origin = Origin()
    path: str = attrs.field(default="", converter=printable)

    @property
    def name(self) -> str:
        """The code's name: ``ReferencedResourceNotFound``."""
        known = CODES.get(self.code)
        return known.name if known is not None else ""

    @property
    def sort_key(self) -> tuple[Any, ...]:
        """Errors first, then by place."""
        return (_ORDER[self.level], self.origin, self.code, self.resource, self.path, self.message)

    def __str__(self) -> str:
        head = f"{self.level.lower()} {self.code}"
        if self.resource:
            head = f"{head} {self.resource}"
        where = printable(str(self.origin))
        text = f"{self.path}: {self.message}" if self.path else self.message
        return f"{where}: {head}: {text}" if where else f"{head}: {text}"

    def to_json(self) -> dict[str, str]:
        """As ``istioctl analyze -o json`` has it."""
        return {
            "code": self.code,
            "level": self.level.value,
            "message": f"{self.path}: {self.message}" if self.path else self.message,
            "origin": self.resource,
            "reference": printable(str(self.origin)),
            "documentationUrl": documentation_url(self.code),
        }


def documentation_url(code: str) -> str:
    """Where a code is explained; "" when nobody knows it."""
    known = CODES.get(code)
    return known.documentation_url if known is not None else ""


def of_problem(problem: Problem, document: Document) -> Finding:
    """A problem in its document."""
    origin = document.origin_of(problem.path, value=problem.at_value)
    return Finding(problem.code, problem.level, problem.message, str(document.key), origin, format_path(problem.path))


def of_loading(loaded: Loaded) -> tuple[Finding, ...]:
    """What was found while a document was read."""
    return tuple(
        Finding(
            problem.code,
            problem.level,
            problem.message,
            loaded.named,
            loaded.origin_of(problem),
            format_path(problem.path),
        )
        for problem in loaded.problems
    )
