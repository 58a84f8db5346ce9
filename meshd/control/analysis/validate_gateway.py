"""Gateway alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from meshd.api.document import Document, Path
from meshd.api.networking.gateway import Gateway, Port, Server, ServerTLSmode, ServerTLSSettings
from meshd.api.problem import FIELD_NOT_SUPPORTED, FIELD_WITHOUT_EFFECT, Problem, error, warning
from meshd.control.analysis import checks, protocols
from meshd.control.analysis.validate_server_tls import server_tls

UNIX = "unix://"


def validate(document: Document) -> Iterator[Problem]:
    """Istio's rules for a Gateway."""
    gateway: Gateway = document.resource
    path: Path = ("spec",)
    if not checks.LABEL.fullmatch(document.name):
        yield error(("metadata", "name"), f'"{document.name}" is not a gateway\'s name: no dots, 63 characters at most')
    if not gateway.servers:
        yield error(path, "there are no servers: a gateway needs at least one server", at_value=False)
    port_names: set[str] = set()
    names: set[str] = set()
    for index, server in enumerate(gateway.servers):
        here = (*path, "servers", index)
        yield from _server(server, here)
        if server.port.name in port_names:
            yield error((*here, "port", "name"), f'the port name "{server.port.name}" is here twice')
        if server.name and server.name in names:
            yield error((*here, "name"), f'the server name "{server.name}" is here twice')
        port_names.add(server.port.name)
        names.add(server.name)
    yield from checks.labels(gateway.selector, (*path, "selector"))
    if not gateway.selector:
        yield warning(
            path,
            "without a selector it is for every workload; add selector: {istio: ingressgateway}",
            code=FIELD_WITHOUT_EFFECT,
        )


def _server(server: Server, path: Path) -> Iterator[Problem]:
    yield from _port(server.port, server.bind, (*path, "port"))
    if not server.hosts:
        yield error(path, 'there are no hosts; "*" is for all', at_value=False)
    for index, host in enumerate(server.hosts):
        yield from checks.scoped_host(host, (*path, "hosts", index))
    yield from _bind(server, (*path, "bind"))
    protocol = protocols.parse(server.port.protocol)
    tls = server.tls
    if tls is None:
        if protocol in protocols.TLS:
            yield error(path, f"{protocol} needs TLS settings: add tls", at_value=False)
        return
    yield from server_tls(tls, (*path, "tls"))
    if protocol in protocols.HTTP and not _only_redirects(tls):
        yield error(
            (*path, "tls"), f"{protocol} has no TLS settings; write protocol HTTPS to terminate it", at_value=False
        )
    elif protocol in protocols.OPAQUE:
        yield error(
            (*path, "tls"), f"{protocol} has no TLS settings; write protocol TLS to terminate it", at_value=False
        )
    if tls.httpsRedirect and protocol not in protocols.HTTP:
        yield warning(
            (*path, "tls", "httpsRedirect"),
            f"tls.httpsRedirect should only be used with http servers: {protocol or 'this'} has nothing to redirect",
        )


def _only_redirects(tls: ServerTLSSettings) -> bool:
    """Whether the settings of an HTTP server terminate nothing."""
    return tls.mode in (ServerTLSmode.PASSTHROUGH, ServerTLSmode.AUTO_PASSTHROUGH) and not (
        tls.serverCertificate or tls.privateKey or tls.caCertificates
    )


def _port(port: Port, bind: str, path: Path) -> Iterator[Problem]:
    if port.number or not bind.startswith(UNIX):
        yield from checks.port(port.number, (*path, "number"))
    protocol = protocols.parse(port.protocol)
    if not port.protocol:
        yield error((*path, "protocol"), "the protocol is missing: HTTP, for one", at_value=False)
    elif not protocol:
        yield error(
            (*path, "protocol"),
            f'invalid protocol "{port.protocol}": one of {", ".join(protocols.OF_GATEWAYS)}',
        )
    elif protocol not in protocols.OF_GATEWAYS:
        yield warning(
            (*path, "protocol"),
            f"meshd does not support {protocol}: the server has no effect",
            code=FIELD_NOT_SUPPORTED,
        )
    if port.targetPort:
        yield error((*path, "targetPort"), "a gateway has no targetPort: its Service says which port is which")
    if not port.name:
        yield error((*path, "name"), "the port name is missing: give the port one", at_value=False)


def _bind(server: Server, path: Path) -> Iterator[Problem]:
    bind = server.bind
    if bind.startswith(UNIX):
        yield from checks.socket_path(bind, path)
        if server.port.number:
            yield error(path, "a Unix socket has no port: write port number 0")
    elif bind and not checks.is_address(bind):
        yield error(path, f"{bind} is not a valid IP address")
