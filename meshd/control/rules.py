"""Which rules hold for a host: the look-ups of VirtualServices and DestinationRules. Pure.

Source: Istio's ``pilot/pkg/model/{push_context,destination_rule,virtualservice}.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

import attrs

from meshd.api.networking.destination_rule import DestinationRule
from meshd.api.networking.virtual_service import VirtualService
from meshd.control.hosts import covers, is_wildcard, resolve, specificity, visible
from meshd.control.mesh import Mesh, Owned
from meshd.control.services import Service

MESH: Final = "mesh"
"""The gateway that stands for every sidecar."""

Rule = TypeVar("Rule")


class HostIndex(Generic[Rule]):
    """Rules by host. A host has the rules of its most specific pattern. Never changes once filled."""

    def __init__(self, pairs: Iterable[tuple[str, Rule]]) -> None:
        self.exact: dict[str, list[Rule]] = {}
        wild: dict[str, list[Rule]] = {}
        for host, rule in pairs:
            (wild if is_wildcard(host) else self.exact).setdefault(host, []).append(rule)
        self.wild = sorted(wild.items(), key=lambda item: specificity(item[0]))

    def candidates(self, host: str) -> Iterator[list[Rule]]:
        """The rules of each pattern that covers ``host``, most specific pattern first."""
        if host in self.exact:
            yield self.exact[host]
        for pattern, rules in self.wild:
            if covers(pattern, host):
                yield rules


class DestinationRules:
    """The DestinationRules of a mesh, looked up as Istio does. Never changes."""

    def __init__(self, mesh: Mesh) -> None:
        self._root = mesh.root_namespace
        pairs: dict[str, list[tuple[str, Owned[DestinationRule]]]] = {}
        # Rules for some workloads come before those for all, then the older.
        for rule in sorted(mesh.destination_rules, key=lambda each: each.resource.workloadSelector is None):
            host = resolve(rule.resource.host, rule.namespace, mesh.domain)
            pairs.setdefault(rule.namespace, []).append((host, rule))
        self._by_namespace = {namespace: HostIndex(each) for namespace, each in pairs.items()}

    def find(
        self, service: Service, viewer: str, labels: tuple[tuple[str, str], ...]
    ) -> tuple[Owned[DestinationRule], ...]:
        """The rules for a service, as a client of namespace ``viewer`` with these labels sees it.

        The client's namespace is asked first, then the service's, then the root;
        the first that has one ends the search. Several rules for one host in one
        namespace are all returned, the one whose policy counts first.
        """
        # A client in the root namespace has no rules of its own: those are everyone's.
        own = () if viewer == self._root else (viewer,)
        wanted = dict(labels)
        for namespace in dict.fromkeys((*own, service.namespace, self._root)):
            index = self._by_namespace.get(namespace)
            for candidates in index.candidates(service.host) if index else ():
                usable = tuple(rule for rule in candidates if _applies(rule, viewer, wanted))
                if usable:
                    return usable
        return ()


def _applies(rule: Owned[DestinationRule], viewer: str, labels: dict[str, str]) -> bool:
    selector = rule.resource.workloadSelector
    if selector is not None:
        # A rule for some workloads is private to its namespace.
        return rule.namespace == viewer and all(labels.get(k) == v for k, v in selector.matchLabels.items())
    return rule.namespace == viewer or visible(rule.resource.exportTo, rule.namespace, viewer)


def gateway_name(name: str, namespace: str) -> str:
    """A gateway as a VirtualService means it: ``ns/name``; ``name`` is of its own namespace."""
    if name == MESH or "/" in name:
        return name
    if name.count(".") >= 2 and ".svc." in name:
        # Its old form, a service's full name.
        short, _, rest = name.partition(".")
        return f"{rest.partition('.')[0]}/{short}"
    return f"{namespace}/{name}"


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
    """The VirtualServices that one gateway (or the sidecars) of a namespace sees, older first."""
    return tuple(
        Bound(rule, _hosts(rule, mesh.domain, everything=gateway != MESH))
        for rule in mesh.virtual_services
        if gateway in gateways_of(rule) and visible(rule.resource.exportTo, rule.namespace, viewer)
    )


def _hosts(rule: Owned[VirtualService], domain: str, *, everything: bool) -> tuple[str, ...]:
    """Its hosts in full. ``*`` is for gateways: sidecars would take every service for it (Istio refuses it there)."""
    hosts = (resolve(host, rule.namespace, domain) for host in rule.resource.hosts)
    return tuple(host for host in hosts if everything or host != "*")
