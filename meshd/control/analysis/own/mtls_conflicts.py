"""DestinationRules whose TLS the other side does not speak, and TLS inside what may be mTLS. Pure.

Source: Istio's ``core/cluster_tls.go`` and ``authn/policy_applier.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from meshd.api.document import Document, Path
from meshd.api.networking.destination_rule import ClientTLSmode, ClientTLSSettings, DestinationRule, TrafficPolicy
from meshd.api.problem import Problem
from meshd.api.security import AuthorizationPolicy, MutualTLSMode
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.policy_reach import reach_of
from meshd.control.analysis.own.remarks import remark
from meshd.control.finding import Finding
from meshd.control.hosts import is_wildcard
from meshd.control.name_index import NameIndex
from meshd.control.services import Port, Service, Source

if TYPE_CHECKING:
    from meshd.control.compiler.peer_authn import Decided

TLS_CONFLICT: Final = "MD0036"
APPLICATION_TLS: Final = "MD0059"

MESH_TLS: Final = frozenset({ClientTLSmode.ISTIO_MUTUAL})
NO_IDENTITY: Final = frozenset({ClientTLSmode.DISABLE, ClientTLSmode.SIMPLE})


def tls_conflicts(facts: Facts) -> Iterable[Finding]:
    """TLS settings towards services whose PeerAuthentication asks for the opposite."""
    if not facts.mesh.peer_authentications:
        return
    by_name: NameIndex[Service] | None = None
    for document in facts.all(DestinationRule):
        rule: DestinationRule = document.resource
        settings = list(_settings(rule))
        if not settings:
            continue
        host = facts.hosts.resolve(rule.host, document.namespace)
        if is_wildcard(host):
            by_name = by_name or NameIndex((each.host, each) for each in facts.mesh.services)
            services = tuple(by_name.covered(host))
        else:
            services = facts.mesh.by_host.get(host, ())
        own = [each for each in services if each.source is Source.WORKLOADS and not each.external]
        problems = [problem for path, tls, port in settings if (problem := _conflict(facts, own, path, tls, port))]
        yield from told(document, problems)


def _settings(rule: DestinationRule) -> Iterator[tuple[Path, ClientTLSSettings, int]]:
    """Every ``tls`` block with its place and port (0: all others)."""
    policies: list[tuple[Path, TrafficPolicy | None]] = [(("spec", "trafficPolicy"), rule.trafficPolicy)]
    policies += [
        (("spec", "subsets", index, "trafficPolicy"), subset.trafficPolicy) for index, subset in enumerate(rule.subsets)
    ]
    for path, policy in policies:
        if policy is None:
            continue
        if policy.tls is not None:
            yield (*path, "tls"), policy.tls, 0
        for index, settings in enumerate(policy.portLevelSettings):
            if settings.tls is not None and settings.port is not None:
                yield (*path, "portLevelSettings", index, "tls"), settings.tls, settings.port.number


def _conflict(
    facts: Facts, services: Iterable[Service], path: Path, tls: ClientTLSSettings, number: int
) -> Problem | None:
    for service in services:
        for port in service.ports:
            if number in {0, port.number}:
                opposed = _opposed(facts, service, port, tls.mode)
                if opposed is not None:
                    return _problem(service, port, path, tls, opposed)
    return None


def _opposed(facts: Facts, service: Service, port: Port, mode: ClientTLSmode) -> Decided | None:
    """What says the opposite, where all workloads behind a port are under it and it is surely enforced there."""
    decided = facts.workloads.behind(service, port)
    if mode in NO_IDENTITY and all(each.mode is MutualTLSMode.STRICT for each in decided):
        # A mesh-wide STRICT binds no workload that has no sidecar, and such rules are how one calls those.
        own = [each for each in decided if each.policy is not None and each.policy.namespace == service.namespace]
        return own[0] if own else (decided[0] if _has_sidecars(facts, service) else None)
    if mode in MESH_TLS and all(each.mode is MutualTLSMode.DISABLE for each in decided):
        return decided[0]
    return None


def _has_sidecars(facts: Facts, service: Service) -> bool:
    found = [each for _, row in facts.mesh.backends.get((service.host, service.namespace), ()) for each in row]
    return bool(found) and all(each.mtls for each in found)


def _problem(service: Service, port: Port, path: Path, tls: ClientTLSSettings, opposed: Decided) -> Problem:
    policy = f" (PeerAuthentication {opposed.policy.namespace}/{opposed.policy.name})" if opposed.policy else ""
    if opposed.mode is MutualTLSMode.STRICT:
        why = f"port {port.number} of {service.host} takes mTLS only{policy}, and {tls.mode.value} sends no certificate"
        remedy = "use ISTIO_MUTUAL, or leave tls out so that it is chosen automatically"
    else:
        why = f"port {port.number} of {service.host} takes plaintext only{policy}, and {tls.mode.value} sends mTLS"
        remedy = "use DISABLE, or leave tls out so that it is chosen automatically"
    return remark(TLS_CONFLICT, (*path, "mode"), f"every call is refused: {why}; {remedy}", at_value=True)


def application_tls(facts: Facts) -> Iterable[Finding]:
    """Ports on which the application itself speaks TLS, under policies that count on identities."""
    guarded: dict[tuple[str, str], Document] = {}
    for document in facts.all(AuthorizationPolicy):
        reach = reach_of(facts, document)
        for _, served in reach.ports if reach is not None else ():
            guarded.setdefault((served.service.namespace, served.service.name), document)
    for document in facts.kind("Service"):
        policy = guarded.get((document.namespace, document.name))
        if policy is not None:
            yield from told(document, _application_tls(facts, document, policy))


def _application_tls(facts: Facts, document: Document, policy: Document) -> Iterator[Problem]:
    host = facts.hosts.resolve(document.name, document.namespace)
    numbers = [port.port for port in document.resource.ports]
    for service in facts.mesh.by_host.get(host, ()):
        for port in service.ports:
            if not service.registry or not port.protocol.tls or port.number not in numbers:
                continue
            decided = facts.workloads.behind(service, port)
            if any(each.mode is MutualTLSMode.PERMISSIVE for each in decided):
                yield remark(
                    APPLICATION_TLS,
                    ("spec", "ports", numbers.index(port.number)),
                    f"the application speaks TLS itself on port {port.number}, and the port is PERMISSIVE: callers "
                    "without a sidecar reach it with TLS that the proxy cannot look into, so AuthorizationPolicy "
                    f"{policy.namespace}/{policy.name} sees neither who they are nor what they ask; make it STRICT, or "
                    "let the proxy do the TLS",
                )
