"""Sidecar alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshd.api.document import Document, Path
from meshd.api.networking.gateway import ServerTLSmode, ServerTLSSettings
from meshd.api.networking.sidecar import (
    CaptureMode,
    IstioEgressListener,
    IstioIngressListener,
    OutboundTrafficPolicy,
    OutboundTrafficPolicyMode,
    Sidecar,
    SidecarPort,
)
from meshd.api.problem import FIELD_NOT_SUPPORTED, Problem, error, warning
from meshd.control.analysis import checks, protocols
from meshd.control.analysis.validate_destination import destination
from meshd.control.analysis.validate_server_tls import server_tls
from meshd.control.analysis.validate_traffic_policy import connection_pool
from meshd.control.analysis.validate_workload import UNIX, labels_selector
from meshd.control.scope import PROXY_PORTS

_LOCAL = ("", "127.0.0.1", "0.0.0.0", "::1", "::")  # noqa: S104  Istio's forms; nothing is bound here
PORT_OF_THE_PROXY = "MD0081"
_NOT_IN_SIDECARS = ("subjectAltNames", "httpsRedirect", "credentialName", "credentialNames", "tlsCertificates")


def validate(document: Document) -> Iterator[Problem]:
    """Istio's rules for a Sidecar."""
    sidecar: Sidecar = document.resource
    path: Path = ("spec",)
    yield from labels_selector(sidecar.workloadSelector, (*path, "workloadSelector"))
    if not (sidecar.egress or sidecar.ingress or sidecar.outboundTrafficPolicy or sidecar.inboundConnectionPool):
        yield error(
            path,
            "the sidecar says nothing: egress, ingress, outboundTrafficPolicy or inboundConnectionPool is needed",
            at_value=False,
        )
    ports: set[int] = set()
    for index, ingress in enumerate(sidecar.ingress):
        here = (*path, "ingress", index)
        yield from _ingress(ingress, here)
        if ingress.port.number in ports:
            yield error((*here, "port", "number"), f"port {ingress.port.number} is here twice")
        ports.add(ingress.port.number)
    if sidecar.inboundConnectionPool is not None:
        yield from connection_pool(sidecar.inboundConnectionPool, (*path, "inboundConnectionPool"))
    yield from _egress(sidecar.egress, (*path, "egress"), document.namespace)
    if sidecar.outboundTrafficPolicy is not None:
        yield from _outbound(sidecar.outboundTrafficPolicy, (*path, "outboundTrafficPolicy"))


def _free(listener: IstioIngressListener | IstioEgressListener, path: Path) -> Iterator[Problem]:
    """A port of one's own must not be the proxy's."""
    port = listener.port
    if port is not None and port.number in PROXY_PORTS and listener.captureMode is CaptureMode.NONE:
        why = f"the proxy itself listens on port {port.number}: this listener is left out; give it another port"
        yield warning((*path, "port", "number"), why, code=PORT_OF_THE_PROXY)


def _ingress(listener: IstioIngressListener, path: Path) -> Iterator[Problem]:
    port = listener.port
    yield from _free(listener, path)
    yield from _named(port, (*path, "port"))
    yield from checks.port(port.number, (*path, "port", "number"))
    if listener.bind and not checks.is_address(listener.bind):
        yield error((*path, "bind"), f'"{listener.bind}" is not a valid IP address')
    yield from _default_endpoint(listener.defaultEndpoint, (*path, "defaultEndpoint"))
    if listener.tls is not None:
        yield from _tls(listener.tls, (*path, "tls"))
    if listener.connectionPool is not None:
        here = (*path, "connectionPool")
        yield from connection_pool(listener.connectionPool, here)
        if listener.connectionPool.http is not None and protocols.parse(port.protocol) not in protocols.HTTP:
            yield warning(
                (*here, "http"), f"port {port.number} is not HTTP ({port.protocol or 'no protocol'}): only tcp counts"
            )


def _named(port: SidecarPort, path: Path) -> Iterator[Problem]:
    if port.name and not checks.LABEL.fullmatch(port.name):
        yield error((*path, "name"), f'"{port.name}" is not a port\'s name')
    if port.protocol and not protocols.parse(port.protocol):
        yield error((*path, "protocol"), f'"{port.protocol}" is not a protocol: {", ".join(protocols.ALL)}')
    if port.targetPort:
        yield error((*path, "targetPort"), "a sidecar has no targetPort: leave it out")


def _default_endpoint(text: str, path: Path) -> Iterator[Problem]:
    if not text:
        return
    if text.startswith(UNIX):
        yield from checks.socket_path(text, path)
        why = "meshd does not reach applications through Unix sockets yet: nobody will answer"
        yield warning(path, why, code=FIELD_NOT_SUPPORTED)
        return
    host, colon, port = text.rpartition(":")
    plain = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or plain not in _LOCAL or (":" in host and plain == host):
        yield error(
            path,
            f'"{text}" is not the workload itself: 127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT or unix://PATH',
        )
    else:
        yield from checks.port_text(port, path)


def _tls(tls: ServerTLSSettings, path: Path) -> Iterator[Problem]:
    for name in _NOT_IN_SIDECARS:
        if getattr(tls, name):
            yield error((*path, name), f"{name} is not supported for a sidecar: name files")
    if tls.mode in (ServerTLSmode.ISTIO_MUTUAL, ServerTLSmode.AUTO_PASSTHROUGH):
        yield error((*path, "mode"), f"{tls.mode} cannot be set for a sidecar's listener: SIMPLE or MUTUAL")
    yield from server_tls(tls, path)


def _egress(listeners: Sequence[IstioEgressListener], path: Path, namespace: str) -> Iterator[Problem]:
    taken: set[int | str] = set()
    for index, listener in enumerate(listeners):
        here = (*path, index)
        if listener.port is None:
            if index != len(listeners) - 1:
                yield error(here, "a listener without a port takes what the others leave: put it last", at_value=False)
            if listener.bind:
                yield error((*here, "bind"), "an address to bind needs a port")
        else:
            yield from _egress_port(listener, listener.port, here)
            own = listener.port.number or listener.bind
            if own in taken:
                yield error(
                    (*here, "port", "number"), f"two listeners have {f'port {own}' if own else 'the same socket'}"
                )
            taken.add(own)
        yield from _egress_hosts(listener.hosts, (*here, "hosts"), namespace)


def _egress_port(listener: IstioEgressListener, port: SidecarPort, path: Path) -> Iterator[Problem]:
    yield from _free(listener, path)
    yield from _named(port, (*path, "port"))
    if port.number:
        yield from checks.port(port.number, (*path, "port", "number"))
        if listener.bind and not checks.is_address(listener.bind):
            yield error((*path, "bind"), f'"{listener.bind}" is not a valid IP address')
        return
    if not listener.bind.startswith(UNIX):
        yield error((*path, "port"), "port 0 needs a Unix socket as bind: unix:///path/to/socket", at_value=False)
    else:
        yield from checks.socket_path(listener.bind, (*path, "bind"))
        why = "meshd does not support listeners on Unix sockets yet: this one is left out"
        yield warning((*path, "bind"), why, code=FIELD_NOT_SUPPORTED)
    if listener.captureMode is CaptureMode.IPTABLES:
        yield error((*path, "captureMode"), "traffic to a Unix socket cannot be captured: DEFAULT or NONE")


def _egress_hosts(hosts: Sequence[str], path: Path, namespace: str) -> Iterator[Problem]:
    if not hosts:
        yield error(path, 'there are no hosts; "*/*" is everything, "~/*" nothing')
    seen: dict[str, set[str]] = {}
    for index, text in enumerate(hosts):
        here = (*path, index)
        yield from checks.scoped_host(text, here, sidecar=True)
        space, slash, name = text.partition("/")
        if not slash:
            continue
        own = seen.setdefault(namespace if space == "." else space, set())
        if own and (name in own or "*" in own or name == "*"):
            yield warning(here, f'"{text}" is here twice, or within another one', at_value=True)
        own.add(name)
    others = [space for space in seen if not space.startswith("~")]
    if "*" in seen.get("*", ()) and len(others) > 1:
        yield warning(path, '"*/*" is everything: nothing can be added to it')


def _outbound(policy: OutboundTrafficPolicy, path: Path) -> Iterator[Problem]:
    proxy = policy.egressProxy
    if proxy is None:
        return
    here = (*path, "egressProxy")
    if policy.mode is not OutboundTrafficPolicyMode.ALLOW_ANY:
        yield error(here, "an egressProxy needs mode: ALLOW_ANY", at_value=False)
        return
    yield from destination(proxy, here)
    if proxy.host.startswith("*"):
        yield error((*here, "host"), f'"{proxy.host}" is a wildcard: name one host')
    if proxy.port is None:
        yield error(here, "the egressProxy needs a port: port: {number: ...}", at_value=False)
