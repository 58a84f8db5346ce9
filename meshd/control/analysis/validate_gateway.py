"""Gateway alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from meshd.api.document import Document, Path
from meshd.api.networking.gateway import Gateway, Port, Server, ServerTLSmode, ServerTLSSettings, TLSProtocol
from meshd.api.problem import Problem, error, warning
from meshd.control.analysis import checks

HTTP_PROTOCOLS = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB"})
TLS_PROTOCOLS = frozenset({"HTTPS", "TLS"})
OPAQUE_PROTOCOLS = frozenset({"TCP", "MONGO", "MYSQL", "REDIS"})
PROTOCOLS = HTTP_PROTOCOLS | TLS_PROTOCOLS | OPAQUE_PROTOCOLS

_VERSIONS = (TLSProtocol.TLSV1_0, TLSProtocol.TLSV1_1, TLSProtocol.TLSV1_2, TLSProtocol.TLSV1_3)


def validate(document: Document) -> Iterator[Problem]:
    """Istio's rules for a Gateway."""
    gateway: Gateway = document.resource
    path: Path = ("spec",)
    if not gateway.servers:
        yield error(path, "there are no servers", at_value=False)
    port_names: set[str] = set()
    names: set[str] = set()
    for index, server in enumerate(gateway.servers):
        here = (*path, "servers", index)
        yield from _server(server, here)
        if server.port.name and server.port.name in port_names:
            yield error((*here, "port", "name"), f'the port name "{server.port.name}" is here twice')
        if server.name and server.name in names:
            yield error((*here, "name"), f'the server name "{server.name}" is here twice')
        port_names.add(server.port.name)
        names.add(server.name)
    yield from checks.labels(gateway.selector, (*path, "selector"))
    if not gateway.selector:
        yield warning(path, "without a selector it is for every workload; add selector: {istio: ingressgateway}")


def _server(server: Server, path: Path) -> Iterator[Problem]:
    yield from _port(server.port, (*path, "port"))
    if not server.hosts:
        yield error(path, 'there are no hosts; "*" is for all', at_value=False)
    for index, host in enumerate(server.hosts):
        yield from _host(host, (*path, "hosts", index))
    if server.bind:
        yield from _bind(server.bind, (*path, "bind"))
    protocol = server.port.protocol.upper()
    if protocol in TLS_PROTOCOLS:
        if server.tls is None:
            yield error(path, f"{protocol} needs tls settings", at_value=False)
        elif server.tls.httpsRedirect:
            yield warning((*path, "tls", "httpsRedirect"), "a TLS server has nothing to redirect: it is https already")
    elif server.tls is not None and not server.tls.httpsRedirect and protocol in PROTOCOLS:
        remedy = "protocol HTTPS" if protocol in HTTP_PROTOCOLS else "protocol TLS"
        yield error((*path, "tls"), f"{protocol} has no TLS; write {remedy} to terminate it", at_value=False)
    if server.tls is not None:
        yield from _tls(server.tls, (*path, "tls"))


def _port(port: Port, path: Path) -> Iterator[Problem]:
    yield from checks.port(port.number, (*path, "number"))
    if port.protocol.upper() not in PROTOCOLS:
        yield error((*path, "protocol"), f'"{port.protocol}" is not a protocol: {", ".join(sorted(PROTOCOLS))}')
    if not port.name:
        yield error((*path, "name"), "the port's name is empty")


def _host(host: str, path: Path) -> Iterator[Problem]:
    namespace, slash, name = host.rpartition("/")
    if slash and namespace not in ("*", "."):
        yield from checks.namespace(namespace, path)
    yield from checks.host_or_address(name, path)


def _bind(bind: str, path: Path) -> Iterator[Problem]:
    if bind.startswith("unix://"):
        if not bind.removeprefix("unix://").startswith(("/", "@")):
            yield error(path, f'"{bind}" is not an absolute socket path')
    elif not checks.is_address(bind):
        yield error(path, f'"{bind}" is not an IP address')


def _tls(tls: ServerTLSSettings, path: Path) -> Iterator[Problem]:
    files = [name for name in ("serverCertificate", "privateKey", "caCertificates") if getattr(tls, name)]
    if tls.mode is ServerTLSmode.ISTIO_MUTUAL:
        for name in (*files, *(("credentialName",) if tls.credentialName else ())):
            yield error((*path, name), "ISTIO_MUTUAL uses the gateway's own certificate: leave this field out")
    elif tls.mode in (ServerTLSmode.SIMPLE, ServerTLSmode.MUTUAL, ServerTLSmode.OPTIONAL_MUTUAL):
        yield from _certificates(tls, path)
    elif (files or tls.credentialName) and not tls.httpsRedirect:
        yield warning(
            path, f"mode {tls.mode} does not terminate TLS, so the certificate is not used; write mode: SIMPLE"
        )
    if tls.mode is ServerTLSmode.AUTO_PASSTHROUGH:
        yield warning((*path, "mode"), "meshd does not support AUTO_PASSTHROUGH yet: the server has no effect")
    least, most = tls.minProtocolVersion, tls.maxProtocolVersion
    if least in _VERSIONS and most in _VERSIONS and _VERSIONS.index(least) > _VERSIONS.index(most):
        yield error((*path, "minProtocolVersion"), f"the least version {least} is above the most, {most}")
    seen: set[str] = set()
    for index, suite in enumerate(tls.cipherSuites):
        if suite in seen:
            yield warning((*path, "cipherSuites", index), f'"{suite}" is here twice')
        seen.add(suite)


def _certificates(tls: ServerTLSSettings, path: Path) -> Iterator[Problem]:
    if tls.credentialName:
        if tls.serverCertificate:
            yield error((*path, "serverCertificate"), "serverCertificate and credentialName: choose one")
        return
    for name in ("serverCertificate", "privateKey"):
        if not getattr(tls, name):
            yield error(path, f"{tls.mode} needs {name} (a file), or credentialName", at_value=False)
    mutual = tls.mode in (ServerTLSmode.MUTUAL, ServerTLSmode.OPTIONAL_MUTUAL)
    if mutual and not tls.caCertificates and not tls.caCertCredentialName:
        yield error(path, f"{tls.mode} needs caCertificates (a file), or credentialName", at_value=False)
