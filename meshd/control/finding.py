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

CODES: dict[str, str] = {
    "IST0101": "ReferencedResourceNotFound",
    "IST0106": "SchemaValidationError",
    "IST0109": "ConflictingMeshGatewayVirtualServiceHosts",
    "IST0112": "VirtualServiceDestinationPortSelectorRequired",
    "IST0130": "VirtualServiceUnreachableRule",
    "IST0132": "VirtualServiceHostNotFoundInGateway",
    "IST0133": "SchemaWarning",
    "IST0134": "ServiceEntryAddressesRequired",
    "IST0173": "DestinationRuleSubsetNotSelectPods",
    "IST0174": "UnknownDestinationRuleHost",
    "MD0001": "SyntaxError",
    "MD0002": "FieldNotSupported",
    "MD0003": "KindNotSupported",
    "MD0004": "KindOfNoConcern",
    "MD0005": "FieldWithoutEffect",
    "MD0006": "DefinedTwice",
    "MD0007": "CannotBeRead",
    "MD0008": "LastGoodInForce",
    "MD0009": "NoSuchPort",
}
"""Every code that is in use, and its name."""

DEFINED_TWICE = "MD0006"
CANNOT_BE_READ = "MD0007"
LAST_GOOD_IN_FORCE = "MD0008"

ISTIO_DOCUMENTATION = "https://istio.io/latest/docs/reference/config/analysis/"

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
        return CODES.get(self.code, "")

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
    """Where a code is explained; "" when it has no page."""
    return f"{ISTIO_DOCUMENTATION}{code.lower()}/" if code.startswith("IST") else ""


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
