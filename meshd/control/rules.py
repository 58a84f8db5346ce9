"""Which rules hold for a host: the look-ups of VirtualServices and DestinationRules. Pure.

Source: Istio's ``pilot/pkg/model/{push_context,destination_rule,virtualservice}.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import attrs

from meshd.api.networking.destination_rule import DestinationRule
from meshd.api.networking.virtual_service import VirtualService
from meshd.control.hosts import MESH, gateway_name, is_wildcard, resolve, specificity, visible
from meshd.control.mesh import Mesh
from meshd.control.name_index import NameIndex
from meshd.control.owned import Owned
from meshd.control.services import Service

__all__ = ["MESH", "Bound", "DestinationRules", "HostIndex", "gateway_name", "gateways_of", "virtual_services"]

Rule = TypeVar("Rule")


class HostIndex(Generic[Rule]):
    """Rules by host. A host has the rules of its most specific pattern. Never changes once filled."""

    def __init__(self, pairs: Iterable[tuple[str, Rule]]) -> None:
        self.exact: dict[str, list[Rule]] = {}
        wild: dict[str, list[Rule]] = {}
        for host, rule in pairs:
            (wild if is_wildcard(host) else self.exact).setdefault(host, []).append(rule)
        self._wild = NameIndex(wild.items()) if wild else None

    def first(self, host: str) -> tuple[Rule, ...]:
        """The rules of the most specific pattern that covers ``host``."""
        return tuple(next(self.candidates(host), ()))

    def candidates(self, host: str) -> Iterator[list[Rule]]:
        """The rules of each pattern that covers ``host``, most specific pattern first."""
        if host in self.exact:
            yield self.exact[host]
        if self._wild is not None:
            found = sorted(self._wild.covering_names(host), key=lambda each: specificity(each[0]))
            yield from (rules for _, rules in found)


class DestinationRules:
    """The DestinationRules of a mesh, looked up as Istio does. Never changes."""

    def __init__(self, mesh: Mesh) -> None:
        self._root = mesh.root_namespace
        own: dict[str, list[tuple[str, Owned[DestinationRule]]]] = {}
        exported: dict[str, list[tuple[str, Owned[DestinationRule]]]] = {}
        for rule in mesh.destination_rules:
            host = resolve(rule.resource.host, rule.namespace, mesh.domain)
            private = _is_private(rule)
            # Everyone sees the rules of the root namespace as the last resort; only the private ones are its own.
            if private or rule.namespace != self._root:
                own.setdefault(rule.namespace, []).append((host, rule))
            if not private:
                exported.setdefault(rule.namespace, []).append((host, rule))
        self._own = {namespace: HostIndex(each) for namespace, each in own.items()}
        self._exported = {namespace: HostIndex(each) for namespace, each in exported.items()}

    def find(
        self, service: Service, viewer: str, labels: tuple[tuple[str, str], ...]
    ) -> tuple[Owned[DestinationRule], ...]:
        """The rules for a service, as a client of namespace ``viewer`` with these labels sees it.

        The client's namespace is asked first, then the service's, then the root;
        the first that has rules for the host ends the search, even when none of
        them is for this client. Of one namespace the most specific host counts.
        Several rules for it are all returned, the one whose policy counts first.
        """
        index = self._own.get(viewer)
        found = index.first(service.host) if index is not None else ()
        for namespace in dict.fromkeys((service.namespace, self._root)):
            if found:
                break
            index = self._exported.get(namespace)
            listed = index.first(service.host) if index is not None else ()
            found = tuple(rule for rule in listed if visible(rule.export_to, rule.namespace, viewer))
        return _merged(found, viewer, dict(labels)) if found else ()


def _is_private(rule: Owned[DestinationRule]) -> bool:
    """Nobody outside of its namespace sees it; a rule for some workloads is always so."""
    return rule.resource.workloadSelector is not None or all(
        each in {".", rule.namespace} for each in rule.export_to or ("*",)
    )


def _merged(
    found: tuple[Owned[DestinationRule], ...], viewer: str, labels: dict[str, str]
) -> tuple[Owned[DestinationRule], ...]:
    """The rule that counts for a client and those of equal visibility that are joined to it.

    The oldest one for the client's workload counts, else the last group of those for everyone
    (rules of different visibility are not joined, and the younger group replaces the older).
    """
    chosen: Owned[DestinationRule] | None = None
    for rule in found:
        selector = rule.resource.workloadSelector
        if selector is None:
            same = chosen is not None and _audience(chosen) == _audience(rule)
            chosen = chosen if same else rule
        elif rule.namespace == viewer and all(labels.get(key) == value for key, value in selector.matchLabels.items()):
            chosen = rule
            break
    if chosen is None:
        return ()
    return (chosen, *(rule for rule in found if rule is not chosen and _joins(rule, chosen)))


def _joins(rule: Owned[DestinationRule], chosen: Owned[DestinationRule]) -> bool:
    own, wanted = rule.resource.workloadSelector, chosen.resource.workloadSelector
    if own is not None:
        return own == wanted
    return wanted is not None or _audience(rule) == _audience(chosen)


def _audience(rule: Owned[DestinationRule]) -> frozenset[str]:
    return frozenset(rule.export_to or ("*",))


def gateways_of(rule: Owned[VirtualService]) -> tuple[str, ...]:
    """The gateways a VirtualService is bound to; none given means the sidecars."""
    names = tuple(gateway_name(name, rule.namespace) for name in rule.resource.gateways)
    return names or (MESH,)


@attrs.frozen
class Bound:
    """A VirtualService that a proxy sees, with its hosts in full."""

    rule: Owned[VirtualService]
    hosts: tuple[str, ...]


def virtual_services(mesh: Mesh, viewer: str, gateway: str = MESH) -> tuple[Bound, ...]:
    """The VirtualServices that one gateway (or the sidecars) of a namespace sees.

    First those for this namespace alone, then those exported to it by name,
    then those for all, where routes of the Gateway API that are the namespace's
    own precede; of each, older first (Istio).
    """
    found = [
        Bound(rule, _hosts(rule, mesh.domain, everything=gateway != MESH))
        for rule in mesh.virtual_services
        if gateway in gateways_of(rule) and visible(rule.export_to, rule.namespace, viewer)
    ]
    return tuple(sorted(found, key=lambda bound: _publicity(bound.rule, viewer)))


def _publicity(rule: Owned[VirtualService], viewer: str) -> int:
    if not rule.export_to or "*" in rule.export_to:
        return 2 if rule.gateway_api and rule.namespace == viewer else 3
    return 0 if rule.namespace == viewer else 1


def _hosts(rule: Owned[VirtualService], domain: str, *, everything: bool) -> tuple[str, ...]:
    """Its hosts in full. ``*`` is for gateways: sidecars would take every service for it (Istio refuses it there)."""
    hosts: Iterable[str] = rule.resource.hosts
    if not rule.gateway_api:
        hosts = (resolve(host, rule.namespace, domain) for host in hosts)
    return tuple(host for host in hosts if everything or host != "*")
