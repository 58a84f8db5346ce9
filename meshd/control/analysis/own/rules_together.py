"""DestinationRules beside each other, and what VirtualServices see of them. Pure.

Source: Istio's ``pilot/pkg/model/destination_rule.go`` (``mergeDestinationRule``)
and ``push_context.go`` (in whose namespace a rule is looked for).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from meshd.api.document import Document, Path
from meshd.api.networking.destination_rule import DestinationRule
from meshd.api.networking.gateway import Gateway, ServerTLSmode
from meshd.api.networking.virtual_service import Destination, VirtualService
from meshd.api.problem import Problem
from meshd.control import hosts
from meshd.control.analysis.destinations import destinations
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.remarks import remark
from meshd.control.analysis.own.viewers import viewers
from meshd.control.finding import Finding
from meshd.control.rules import DestinationRules

SUBSET_UNUSED: Final = "MD0033"
MERGED: Final = "MD0034"
SUBSET_NOT_SEEN: Final = "MD0047"


def rules_together(facts: Facts) -> Iterable[Finding]:
    """DestinationRules of one host in one namespace: what of the later ones is not heeded."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[Document]] = {}
    for document in facts.all(DestinationRule):
        rule: DestinationRule = document.resource
        if rule.workloadSelector is None:
            host = facts.hosts.resolve(rule.host, document.namespace)
            groups.setdefault((document.namespace, host, tuple(sorted(rule.exportTo))), []).append(document)
    for (_, host, _), documents in groups.items():
        if len(documents) > 1:
            yield from _merged(host, sorted(documents, key=lambda each: each.seniority))


def _merged(host: str, documents: list[Document]) -> Iterator[Finding]:
    policy: Document | None = None
    subsets: dict[str, Document] = {}
    for document in documents:
        rule: DestinationRule = document.resource
        problems: list[Problem] = []
        if rule.trafficPolicy is not None and policy is not None:
            problems.append(_ignored(("spec", "trafficPolicy"), "this trafficPolicy is", host, policy))
        policy = policy or (document if rule.trafficPolicy is not None else None)
        for index, subset in enumerate(rule.subsets):
            first = subsets.setdefault(subset.name, document)
            if first is not document:
                problems.append(_ignored(("spec", "subsets", index), f'the subset "{subset.name}" is', host, first))
        yield from told(document, problems)


def _ignored(path: Path, what: str, host: str, first: Document) -> Problem:
    return remark(
        MERGED,
        path,
        f"{what} not heeded: DestinationRule {first.namespace}/{first.name} ({first.origin}) is for {host} as well, "
        "comes first (older, else first by name) and has one; make one rule of the two",
    )


def unused_subsets(facts: Facts) -> Iterable[Finding]:
    """Subsets that no route leads to, of hosts whose other subsets have routes."""
    passing = any(
        server.tls is not None and server.tls.mode is ServerTLSmode.AUTO_PASSTHROUGH
        for document in facts.all(Gateway)
        for server in document.resource.servers
    )
    if passing or facts.lost("VirtualService", "Gateway"):
        return  # Such a gateway leads to every subset, by server name.
    used: dict[str, set[str]] = {}
    for document in facts.all(VirtualService):
        for _, target in destinations(document.resource):
            if target.subset:
                used.setdefault(facts.hosts.resolve(target.host, document.namespace), set()).add(target.subset)
    for document in facts.all(DestinationRule):
        host = facts.hosts.resolve(document.resource.host, document.namespace)
        for index, subset in enumerate(document.resource.subsets):
            if host in used and subset.name not in used[host]:
                yield from told(
                    document,
                    [
                        remark(
                            SUBSET_UNUSED,
                            ("spec", "subsets", index),
                            f'no route leads to the subset "{subset.name}", though some do to others of {host}: '
                            "remove it, or give it a route",
                        )
                    ],
                )


@attrs.frozen(eq=False)
class _Seen:
    """Which DestinationRules are seen from where. Asked once for each host and namespace."""

    facts: Facts
    rules: DestinationRules
    private: frozenset[tuple[str, str]]
    """Namespaces and the subsets that rules for some of their workloads define."""
    known: dict[tuple[str, str], tuple[tuple[str, frozenset[str]], ...] | None] = attrs.field(factory=dict)

    def of(self, host: str, viewer: str) -> tuple[tuple[str, frozenset[str]], ...] | None:
        """The rules that hold for a host, by name, with their subsets; None when the host is not seen."""
        key = (host, viewer)
        if key not in self.known:
            service = self.facts.mesh.service(host, viewer)
            self.known[key] = (
                None
                if service is None
                else tuple(
                    (f"{rule.namespace}/{rule.name}", frozenset(subset.name for subset in rule.resource.subsets))
                    for rule in self.rules.find(service, viewer, ())
                )
            )
        return self.known[key]


def unseen_subsets(facts: Facts) -> Iterable[Finding]:
    """Subsets that are defined, but by a DestinationRule that the caller does not see, or not first."""
    if facts.lost("DestinationRule"):
        return
    private = frozenset(
        (document.namespace, subset.name)
        for document in facts.all(DestinationRule)
        if document.resource.workloadSelector is not None
        for subset in document.resource.subsets
    )
    seen = _Seen(facts, DestinationRules(facts.mesh), private)
    for document in facts.all(VirtualService):
        problems: list[Problem] = []
        for path, target in destinations(document.resource):
            if target.subset:
                problems += _unseen(seen, document, target, path)
        yield from told(document, problems)


def _unseen(seen: _Seen, document: Document, target: Destination, path: Path) -> Iterator[Problem]:
    facts = seen.facts
    host = facts.hosts.resolve(target.host, document.namespace)
    if hosts.is_wildcard(host) or not facts.hosts.has_subset(host, target.subset):
        return
    for viewer in viewers(facts, document):
        rules = seen.of(host, viewer)
        if rules is None or (viewer, target.subset) in seen.private or any(target.subset in own for _, own in rules):
            continue
        names = " and ".join(name for name, _ in rules)
        why = (
            f"there DestinationRule {names} holds for {host}, which does not define it: one in the caller's namespace "
            "takes the place of the service's own; define the subset there too"
            if rules
            else "the DestinationRule that defines it is not seen from there: a rule is looked for in the caller's "
            f"namespace, then the service's, then {facts.mesh.root_namespace}, and must be exported; move or export it"
        )
        yield remark(
            SUBSET_NOT_SEEN,
            (*path, "subset"),
            f'callers in namespace {viewer} get 503 for the subset "{target.subset}": {why}',
            at_value=True,
        )
        return
