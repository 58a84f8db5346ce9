"""Blocks of a traffic policy alone: connection pool, outlier detection, client TLS, tunnel. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from meshd.api.document import Path
from meshd.api.networking.destination_rule import (
    ClientTLSmode,
    ClientTLSSettings,
    ConnectionPoolSettings,
    H2UpgradePolicy,
    HTTPSettings,
    OutlierDetection,
    RetryBudget,
    TCPSettings,
    TunnelSettings,
)
from meshd.api.problem import FIELD_WITHOUT_EFFECT, Problem, error, warning
from meshd.control.analysis import checks

_SNI = re.compile(r"[A-Za-z0-9._*-]{1,255}")
_FILES = ("clientCertificate", "privateKey", "caCertificates", "caCrl")
CONFIG_MAP = "configmap://"


def connection_pool(pool: ConnectionPoolSettings, path: Path) -> Iterator[Problem]:
    """Istio's rules for ConnectionPoolSettings."""
    if pool.tcp is None and pool.http is None:
        yield error(path, "the connection pool is empty: tcp or http is needed", at_value=False)
    if pool.tcp is not None:
        yield from _tcp(pool.tcp, (*path, "tcp"))
    if pool.http is not None:
        yield from _http(pool.http, (*path, "http"))


def _tcp(tcp: TCPSettings, path: Path) -> Iterator[Problem]:
    yield from checks.not_negative(tcp.maxConnections, (*path, "maxConnections"))
    yield from checks.duration(tcp.connectTimeout, (*path, "connectTimeout"))
    yield from checks.duration(tcp.maxConnectionDuration, (*path, "maxConnectionDuration"))
    # 0 turns the time off.
    yield from checks.duration(tcp.idleTimeout, (*path, "idleTimeout"), least=0.0)
    if tcp.tcpKeepalive is not None:
        yield from checks.duration(tcp.tcpKeepalive.time, (*path, "tcpKeepalive", "time"))
        yield from checks.duration(tcp.tcpKeepalive.interval, (*path, "tcpKeepalive", "interval"))


def _http(http: HTTPSettings, path: Path) -> Iterator[Problem]:
    counts = ("http1MaxPendingRequests", "http2MaxRequests", "maxRequestsPerConnection", "maxRetries")
    for name in (*counts, "maxConcurrentStreams"):
        yield from checks.not_negative(getattr(http, name), (*path, name))
    yield from checks.duration(http.idleTimeout, (*path, "idleTimeout"))
    if http.h2UpgradePolicy is H2UpgradePolicy.UPGRADE and http.useClientProtocol:
        yield error((*path, "useClientProtocol"), "useClientProtocol contradicts h2UpgradePolicy UPGRADE: choose one")
    if http.http2KeepAlive is not None:
        for name in ("interval", "timeout"):
            here = (*path, "http2KeepAlive", name)
            if getattr(http.http2KeepAlive, name) is None:
                yield error((*path, "http2KeepAlive"), f"{name} is needed", at_value=False)
            yield from checks.duration(getattr(http.http2KeepAlive, name), here)


def outlier_detection(outlier: OutlierDetection, path: Path) -> Iterator[Problem]:
    """Istio's rules for an OutlierDetection."""
    yield from checks.duration(outlier.baseEjectionTime, (*path, "baseEjectionTime"))
    yield from checks.duration(outlier.interval, (*path, "interval"))
    if outlier.consecutiveErrors:
        yield warning(
            (*path, "consecutiveErrors"),
            "consecutiveErrors is deprecated: write consecutiveGatewayErrors or consecutive5xxErrors",
        )
    if outlier.consecutiveLocalOriginFailures and not outlier.splitExternalLocalOriginErrors:
        yield error(
            (*path, "consecutiveLocalOriginFailures"),
            "it counts with splitExternalLocalOriginErrors: true only; add that",
        )
    yield from checks.percent(outlier.maxEjectionPercent, (*path, "maxEjectionPercent"))
    yield from checks.percent(outlier.minHealthPercent, (*path, "minHealthPercent"))
    for index, code in enumerate(outlier.outlierDetectionHttpErrorCodes):
        if not 100 <= code <= 599:
            yield error((*path, "outlierDetectionHttpErrorCodes", index), f"{code} is not an HTTP status: 100 to 599")


def client_tls(tls: ClientTLSSettings, path: Path, *, namespace: str, private: bool) -> Iterator[Problem]:
    """Istio's rules for ClientTLSSettings.

    Args:
        tls: What was written.
        path: Where.
        namespace: Of the document.
        private: It is for workloads that a selector names.
    """
    files = [name for name in _FILES if getattr(tls, name)]
    own = tls.mode in (ClientTLSmode.SIMPLE, ClientTLSmode.MUTUAL)
    if tls.credentialName.startswith(CONFIG_MAP):
        yield from _config_map(tls.credentialName, namespace, (*path, "credentialName"))
    if own and tls.insecureSkipVerify:
        yield from _unverified(tls, path)
    if own and tls.credentialName and files:
        yield error(
            (*path, "credentialName"), f"credentialName and {' and '.join(files)} cannot both be given: choose one"
        )
    elif tls.mode is ClientTLSmode.MUTUAL and not tls.credentialName:
        for name, means in (("clientCertificate", "client certificate"), ("privateKey", "private key")):
            if name not in files:
                yield error(path, f"MUTUAL needs a {means}: {name} (a file), or credentialName", at_value=False)
    if not own:
        why = "ISTIO_MUTUAL uses the workload's own certificate" if tls.mode is ClientTLSmode.ISTIO_MUTUAL else "no TLS"
        for name in (*files, *(["credentialName"] if tls.credentialName else [])):
            yield warning((*path, name), f"{name} is not used with {tls.mode}: {why}", code=FIELD_WITHOUT_EFFECT)
    elif tls.credentialName and not private:
        yield warning(
            (*path, "credentialName"),
            "sidecars ignore credentialName unless the DestinationRule has a workloadSelector; gateways use it",
            code=FIELD_WITHOUT_EFFECT,
        )
    for index, name in enumerate(tls.subjectAltNames):
        if not name:
            yield error((*path, "subjectAltNames", index), "the name is empty")
    if tls.sni and not _SNI.fullmatch(tls.sni):
        yield error((*path, "sni"), f'"{tls.sni}" is not a server name')


def _unverified(tls: ClientTLSSettings, path: Path) -> Iterator[Problem]:
    unused = ["caCertificates", "subjectAltNames"]
    if tls.mode is ClientTLSmode.SIMPLE:
        unused.append("credentialName")
    for name in unused:
        if getattr(tls, name):
            yield error((*path, name), f"{name} is not looked at with insecureSkipVerify: choose one")


def _config_map(name: str, namespace: str, path: Path) -> Iterator[Problem]:
    """``configmap://name`` or ``configmap://namespace/name``."""
    parts = name.removeprefix(CONFIG_MAP).split("/")
    if len(parts) > 2 or not all(parts):
        yield error(path, f'"{name}" is not a ConfigMap\'s name: configmap://name')
    elif len(parts) == 2 and parts[0] != namespace:
        yield error(path, f'"{name}" is in another namespace: it must be in {namespace}')


def tunnel(settings: TunnelSettings, path: Path) -> Iterator[Problem]:
    """Istio's rules for TunnelSettings."""
    if settings.protocol not in ("", "CONNECT", "POST"):
        yield error((*path, "protocol"), f'"{settings.protocol}" is not a tunnel\'s protocol: CONNECT or POST')
    if not checks.is_address(settings.targetHost):
        yield from checks.fqdn(settings.targetHost, (*path, "targetHost"))
    yield from checks.port(settings.targetPort, (*path, "targetPort"))


def retry_budget(budget: RetryBudget, path: Path) -> Iterator[Problem]:
    """The rules for a RetryBudget."""
    yield from checks.percent(budget.percent, (*path, "percent"))
    if budget.budgetInterval is not None and budget.budgetInterval < 0:
        yield error((*path, "budgetInterval"), "the interval is negative")
