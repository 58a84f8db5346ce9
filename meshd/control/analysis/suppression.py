"""Findings that somebody does not want to hear of. Pure.

Two ways, both istioctl's: ``-S CODE=RESOURCE`` for one run, and the annotation
``galley.istio.io/analyze-suppress`` on an object, which holds codes separated
by commas, or ``*``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import attrs

from meshd.api.document import Document
from meshd.control.analysis.codes import CODES
from meshd.control.analysis.istio.annotation_table import SUPPRESS
from meshd.control.finding import Finding
from meshd.errors import ConfigError


@attrs.frozen
class Suppression:
    """Findings of a code about some resources. Both may hold ``*``."""

    code: str
    resource: str = "*"

    @classmethod
    def parse(cls, text: str) -> Suppression:
        """``IST0118=Service default/*``; without ``=`` it is about all resources.

        Raises:
            ConfigError: it names no code.
        """
        code, _, resource = text.partition("=")
        code, resource = code.strip().upper(), resource.strip() or "*"
        if not any(fnmatchcase(known, code) for known in CODES):
            raise ConfigError(
                f"{text!r} suppresses nothing: expected CODE=KIND NAMESPACE/NAME, as in IST0118=Service */*"
            )
        return cls(code, resource)

    def covers(self, finding: Finding) -> bool:
        """Whether it is about this finding."""
        if not fnmatchcase(finding.code, self.code):
            return False
        return any(fnmatchcase(each, self.resource) for each in _names(finding.resource))


def _names(resource: str) -> tuple[str, ...]:
    """A resource as meshd names it, ``Pod default/x``, and as istioctl did once, ``Pod x.default``."""
    kind, _, name = resource.partition(" ")
    namespace, slash, plain = name.partition("/")
    return (resource, f"{kind} {plain}.{namespace}") if slash else (resource,)


def annotated(documents: Iterable[Document]) -> dict[str, frozenset[str]]:
    """The codes that objects want kept quiet, by object as findings name it."""
    found: dict[str, frozenset[str]] = {}
    for document in documents:
        said = document.annotations.get(SUPPRESS)
        if said:
            found[str(document.key)] = frozenset(code.strip() for code in said.split(","))
    return found


def is_quiet(finding: Finding, by_annotation: Mapping[str, frozenset[str]]) -> bool:
    """Whether the object itself wants a finding kept quiet."""
    codes = by_annotation.get(finding.resource, frozenset())
    return "*" in codes or finding.code in codes
