"""DestinationRule alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from meshd.api.document import Document, Path
from meshd.api.networking.destination_rule import (
    ClientTLSmode,
    ClientTLSSettings,
    ConnectionPoolSettings,
    DestinationRule,
    HTTPSettings,
    PortTrafficPolicy,
    Subset,
    TCPSettings,
    TrafficPolicy,
)
from meshd.api.problem import Problem, error, warning
from meshd.control.analysis import checks


def validate(document: Document) -> Iterator[Problem]:
    """Istio's rules for a DestinationRule."""
    rule: DestinationRule = document.resource
    path: Path = ("spec",)
    if not checks.is_address(rule.host):
        yield from checks.wildcard_host(rule.host, (*path, "host"))
    private = rule.workloadSelector is not None and bool(rule.workloadSelector.matchLabels)
    if rule.trafficPolicy is not None:
        yield from _policy(rule.trafficPolicy, (*path, "trafficPolicy"), private=private)
    seen: set[str] = set()
    for index, subset in enumerate(rule.subsets):
        here = (*path, "subsets", index)
        yield from _subset(subset, here, private=private)
        if subset.name in seen:
            yield warning((*here, "name"), f'the subset "{subset.name}" is here twice: only the first counts')
        seen.add(subset.name)
    if rule.workloadSelector is not None:
        yield from checks.selector(rule.workloadSelector.matchLabels, (*path, "workloadSelector", "matchLabels"))
    yield from checks.export_to(rule.exportTo, (*path, "exportTo"), document.namespace)
    if private and any(each not in (".", document.namespace) for each in rule.exportTo):
        yield error(
            (*path, "exportTo"), 'with a workloadSelector it is for its own namespace: write "."', at_value=False
        )


def _subset(subset: Subset, path: Path, *, private: bool) -> Iterator[Problem]:
    if not checks.LABEL.fullmatch(subset.name):
        yield error((*path, "name"), f'"{subset.name}" is not a subset\'s name: letters, digits and "-", 63 at most')
    yield from checks.labels(subset.labels, (*path, "labels"))
    if subset.trafficPolicy is not None:
        yield from _policy(subset.trafficPolicy, (*path, "trafficPolicy"), private=private)


def _policy(policy: TrafficPolicy, path: Path, *, private: bool) -> Iterator[Problem]:
    yield from _blocks(policy, path, private=private)
    seen: set[int] = set()
    for index, settings in enumerate(policy.portLevelSettings):
        here = (*path, "portLevelSettings", index)
        if settings.port is None or not settings.port.number:
            yield error(here, 'the field "port.number" is missing', at_value=False)
        else:
            yield from checks.port(settings.port.number, (*here, "port", "number"))
            if settings.port.number in seen:
                yield warning((*here, "port"), f"port {settings.port.number} is here twice: only the first counts")
            seen.add(settings.port.number)
        yield from _blocks(settings, here, private=private)


def _blocks(policy: TrafficPolicy | PortTrafficPolicy, path: Path, *, private: bool) -> Iterator[Problem]:
    if policy.connectionPool is not None:
        yield from _pool(policy.connectionPool, (*path, "connectionPool"))
    if policy.tls is not None:
        yield from _tls(policy.tls, (*path, "tls"), private=private)


def _pool(pool: ConnectionPoolSettings, path: Path) -> Iterator[Problem]:
    if pool.tcp is None and pool.http is None:
        yield error(path, "tcp or http is needed", at_value=False)
    if pool.tcp is not None:
        yield from _tcp(pool.tcp, (*path, "tcp"))
    if pool.http is not None:
        yield from _http(pool.http, (*path, "http"))


def _tcp(tcp: TCPSettings, path: Path) -> Iterator[Problem]:
    yield from checks.not_negative(tcp.maxConnections, (*path, "maxConnections"))
    yield from checks.duration(tcp.connectTimeout, (*path, "connectTimeout"))
    yield from checks.duration(tcp.maxConnectionDuration, (*path, "maxConnectionDuration"))
    yield from checks.duration(tcp.idleTimeout, (*path, "idleTimeout"), least=0.0)


def _http(http: HTTPSettings, path: Path) -> Iterator[Problem]:
    for name in ("http1MaxPendingRequests", "http2MaxRequests", "maxRequestsPerConnection", "maxRetries"):
        yield from checks.not_negative(getattr(http, name), (*path, name))
    yield from checks.duration(http.idleTimeout, (*path, "idleTimeout"), least=0.0)


def _tls(tls: ClientTLSSettings, path: Path, *, private: bool) -> Iterator[Problem]:
    files = {
        name: getattr(tls, name) for name in ("clientCertificate", "privateKey", "caCertificates") if getattr(tls, name)
    }
    if tls.credentialName and files:
        yield error(
            (*path, "credentialName"), f"credentialName and {' and '.join(files)} cannot both be given: choose one"
        )
    if tls.mode is ClientTLSmode.ISTIO_MUTUAL:
        for name in (*files, *(("credentialName",) if tls.credentialName else ())):
            yield error((*path, name), "ISTIO_MUTUAL uses the workload's own certificate: leave this field out")
    elif tls.mode is ClientTLSmode.MUTUAL and not tls.credentialName:
        for name in ("clientCertificate", "privateKey"):
            if name not in files:
                yield error(path, f"MUTUAL needs {name} (a file), or credentialName", at_value=False)
    if tls.insecureSkipVerify:
        unused = ["caCertificates", "subjectAltNames"]
        if tls.mode is ClientTLSmode.SIMPLE:
            unused.append("credentialName")
        for name in unused:
            if getattr(tls, name):
                yield error((*path, name), f"{name} is not looked at with insecureSkipVerify: choose one")
    if tls.credentialName and tls.mode is not ClientTLSmode.ISTIO_MUTUAL and not private:
        yield warning(
            (*path, "credentialName"),
            "sidecars ignore credentialName unless the DestinationRule has a workloadSelector; gateways use it",
        )
    for index, name in enumerate(tls.subjectAltNames):
        if not name:
            yield error((*path, "subjectAltNames", index), "the name is empty")
    if tls.sni:
        yield from checks.fqdn(tls.sni, (*path, "sni"))
