"""From what a step names to where it stands: ``VirtualService default/reviews``, rule 1, is ``vs.yaml:12``. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import attrs

from meshd.api.document import Document, Origin
from meshd.api.kinds import GATEWAY_API
from meshd.api.networking.virtual_service import VirtualService
from meshd.explain.decision import Decision, Mutual, RouteTaken, Seen

POLICY: Final = re.compile(r"ns\[([^\]]*)\]-policy\[([^\]]*)\]")
"""How a policy is named in response code details."""

NAMED: Final = re.compile(r"([A-Z][A-Za-z]+) ([^\s/]+)/([^\s:,;]+)")
"""How objects are named everywhere else."""

RULES: Final = {
    ("VirtualService", "http"): ("spec", "http"),
    ("VirtualService", "tls"): ("spec", "tls"),
    ("VirtualService", "tcp"): ("spec", "tcp"),
    ("AuthorizationPolicy", "http"): ("spec", "rules"),
    ("HTTPRoute", "http"): ("spec", "rules"),
    ("GRPCRoute", "http"): ("spec", "rules"),
    ("TLSRoute", "tls"): ("spec", "rules"),
    ("TLSRoute", "tcp"): ("spec", "rules"),
    ("TCPRoute", "tcp"): ("spec", "rules"),
}

OF_GATEWAY_API: Final = frozenset({"HTTPRoute", "GRPCRoute"})
"""Kinds whose rules have ``matches``; those of a VirtualService have a ``match``."""

Path = tuple[str | int, ...]


class Places:
    """The documents by kind and name. Never changes."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents: dict[tuple[str, str, str], Document] = {}
        for document in documents:
            key = (document.kind, document.namespace, document.name)
            # The Gateway API has kinds of the same name: Istio's go first.
            if key not in self._documents or self._documents[key].key.group == GATEWAY_API:
                self._documents[key] = document

    def document(self, resource: str) -> Document | None:
        """The document of ``Kind namespace/name``."""
        kind, _, name = resource.partition(" ")
        namespace, _, name = name.partition("/")
        return self._documents.get((kind, namespace, name))

    def of(self, resource: str, *paths: Path) -> str:
        """``file:line`` of the first of these paths that is written, else of the object; "" when it is not known."""
        document = self.document(resource)
        if document is None:
            return ""
        for path in paths:
            if document.has(path):
                return place(document.origin_of(path))
        return place(document.origin)

    def rule(self, resource: str, rule: int, match: int = -1, section: str = "http") -> str:
        """``file:line`` of a document's rule, or of a match block in it."""
        kind = resource.partition(" ")[0]
        at: Path = RULES.get((kind, section), ())
        if rule < 0 or not at:
            return self.of(resource)
        at = (*at, rule)
        matches = "matches" if kind in OF_GATEWAY_API else "match"
        return self.of(resource, (*at, matches, match), at) if match >= 0 else self.of(resource, at)

    def locate(self, decision: Decision) -> Decision:
        """A decision with the place of everything that it names."""
        route = decision.route
        return attrs.evolve(
            decision,
            reason=POLICY.sub(r"AuthorizationPolicy \1/\2", decision.reason),
            route=None if route is None else self._route(route),
            mtls=self._mutual(decision.mtls),
            steps=tuple(self._step(step) for step in decision.steps),
        )

    def _route(self, route: RouteTaken) -> RouteTaken:
        return attrs.evolve(route, file=self.rule(route.resource, route.rule, route.match, route.section))

    def _mutual(self, mutual: Mutual) -> Mutual:
        if mutual.file:
            return mutual
        resource = mutual.resource or named(mutual.because)
        return attrs.evolve(mutual, resource=resource, file=self.of(resource)) if resource else mutual

    def _step(self, step: Seen) -> Seen:
        policy = POLICY.fullmatch(step.resource)
        if policy is not None:
            resource = f"AuthorizationPolicy {policy[1]}/{policy[2]}"
            return attrs.evolve(step, resource=resource, file=self.rule(resource, step.rule))
        if not step.resource or step.file:
            return step
        return attrs.evolve(step, file=self.rule(step.resource, step.rule, step.match, step.section))

    def rules_of(self, resource: str) -> int:
        """How many HTTP rules a VirtualService has."""
        document = self.document(resource)
        spec = document.resource if document is not None else None
        return len(spec.http) if isinstance(spec, VirtualService) else 0


def place(origin: Origin) -> str:
    """``file:line``."""
    return f"{origin.file}:{origin.line}" if origin.line else origin.file


def named(text: str) -> str:
    """The first ``Kind namespace/name`` that a sentence speaks of, "" when it speaks of none."""
    found = NAMED.search(text)
    return f"{found[1]} {found[2]}/{found[3]}" if found else ""
