"""Gateways and the VirtualServices bound to them: hosts without routes, routes without a port. Pure.

Source: Istio's ``pilot/pkg/networking/core/gateway.go`` and ``pilot/pkg/model/gateway.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final

import attrs

from meshd.api.document import Document, Key, Path
from meshd.api.networking.gateway import Gateway, Server, ServerTLSmode
from meshd.api.networking.virtual_service import VirtualService
from meshd.api.problem import Problem
from meshd.control import hosts
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.remarks import remark
from meshd.control.analysis.own.viewers import NETWORKING, gateway_names
from meshd.control.finding import Finding
from meshd.control.hosts import MESH
from meshd.control.name_index import NameIndex
from meshd.control.services import Protocol

HOST_WITHOUT_ROUTES: Final = "MD0041"
REDIRECT_ONLY: Final = "MD0042"
WRONG_PROTOCOL: Final = "MD0043"

HTTP_PROTOCOLS: Final = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB"})


class Form(Enum):
    """Which rules of a VirtualService a port heeds."""

    HTTP = "http"
    TLS = "tls"
    TCP = "tcp"


def form_of(server: Server) -> Form | None:
    """Which rules a gateway's server heeds; None when it heeds none."""
    protocol = server.port.protocol.upper()
    if protocol in HTTP_PROTOCOLS:
        return Form.HTTP
    mode = server.tls.mode if server.tls is not None else ServerTLSmode.PASSTHROUGH
    if mode is ServerTLSmode.AUTO_PASSTHROUGH:
        return None
    if protocol == "HTTPS" and mode is not ServerTLSmode.PASSTHROUGH:
        return Form.HTTP
    if protocol in {"HTTPS", "TLS"} and mode is ServerTLSmode.PASSTHROUGH:
        return Form.TLS
    return Form.TCP


@attrs.frozen
class _Bound:
    """A server of a gateway that serves some host of a VirtualService."""

    gateway: Document
    server: Server
    admitted: bool


@attrs.frozen(eq=False)
class _Servers:
    """The servers of every gateway by their hosts. Each gateway is put in order once."""

    facts: Facts
    _by_gateway: dict[tuple[str, str], NameIndex[tuple[Server, str]] | None] = attrs.field(factory=dict)

    def serving(self, document: Document) -> list[_Bound] | None:
        """The servers whose hosts meet those of a VirtualService; None when a gateway is not known."""
        found: list[_Bound] = []
        for name in gateway_names(document):
            gateway = self.facts.by_key.get(Key(NETWORKING, "Gateway", *name))
            index = self._index(name, gateway)
            if gateway is None or index is None:
                return None
            met: dict[int, _Bound] = {}
            for host in document.resource.hosts:
                for server, written in index.overlapping(host):
                    before = met.get(id(server))
                    admitted = _admits(written, gateway.namespace, document.namespace)
                    met[id(server)] = _Bound(gateway, server, admitted or (before is not None and before.admitted))
            found += met.values()
        return found

    def _index(self, name: tuple[str, str], gateway: Document | None) -> NameIndex[tuple[Server, str]] | None:
        if name not in self._by_gateway:
            servers = gateway.resource.servers if gateway is not None else ()
            pairs = ((host.rpartition("/")[2], (server, host)) for server in servers for host in server.hosts)
            self._by_gateway[name] = NameIndex(pairs) if gateway is not None else None
        return self._by_gateway[name]


def _admits(host: str, owner: str, namespace: str) -> bool:
    """Whether ``ns/host`` of a server lets VirtualServices of a namespace in."""
    space, slash, _ = host.rpartition("/")
    return not slash or space == "*" or (space == "." and owner == namespace) or space == namespace


def hosts_without_routes(facts: Facts) -> Iterable[Finding]:
    """Hosts of gateways for which no VirtualService has routes."""
    if facts.lost("VirtualService"):
        return  # Nobody knows to which gateways one that cannot be read is bound.
    bound: dict[tuple[str, str], list[Document]] = {}
    for document in facts.all(VirtualService):
        for name in gateway_names(document):
            bound.setdefault(name, []).append(document)
    for gateway in facts.all(Gateway):
        services = bound.get((gateway.namespace, gateway.name), [])
        names = NameIndex((host, each.namespace) for each in services for host in each.resource.hosts)
        problems: list[Problem] = []
        for index, server in enumerate(gateway.resource.servers):
            if form_of(server) is None or (server.tls is not None and server.tls.httpsRedirect):
                continue
            for at, host in enumerate(server.hosts):
                spaces = names.overlapping(host.rpartition("/")[2])
                if not any(_admits(host, gateway.namespace, space) for space in spaces):
                    path: Path = ("spec", "servers", index, "hosts", at)
                    problems.append(_without_routes(path, host, server, any_bound=bool(services)))
        yield from told(gateway, problems)


def _without_routes(path: Path, host: str, server: Server, *, any_bound: bool) -> Problem:
    answer = "404" if form_of(server) is Form.HTTP else "a closed connection"
    bound = "that is bound to this gateway has it" if any_bound else "is bound to this gateway"
    return remark(
        HOST_WITHOUT_ROUTES,
        path,
        f"whoever calls {host} on port {server.port.number} gets {answer}: no VirtualService {bound}; "
        "write one, or remove the host",
        at_value=True,
    )


def bindings(facts: Facts) -> Iterable[Finding]:
    """VirtualServices whose gateways only redirect, or speak another protocol."""
    servers = _Servers(facts)
    for document in facts.all(VirtualService):
        if document.resource.hosts:
            yield from told(document, _bindings(facts, servers, document))


def _bindings(facts: Facts, servers: _Servers, document: Document) -> Iterator[Problem]:
    service: VirtualService = document.resource
    serving = servers.serving(document)
    if serving is None:
        return
    admitted = [each.server for each in serving if each.admitted]
    in_mesh = not service.gateways or MESH in service.gateways
    if admitted and not in_mesh and all(each.tls is not None and each.tls.httpsRedirect for each in admitted):
        yield remark(
            REDIRECT_ONLY,
            ("spec", "gateways"),
            "none of these routes is used: the servers of its gateways for these hosts only redirect to https, and "
            "none serves https for them; add a server with protocol HTTPS and a certificate",
        )
        return
    forms = {form_of(server) for server in admitted}
    if in_mesh:
        own_forms = _in_mesh(facts, document)
        if own_forms is None:
            return
        forms |= own_forms
    if forms:
        yield from _wrong_protocol(service, forms, in_mesh=in_mesh)


def _in_mesh(facts: Facts, document: Document) -> set[Form | None] | None:
    """Which rules the services of its hosts heed in sidecars; None when that is not known."""
    found: set[Form | None] = set()
    for host in document.resource.hosts:
        services = facts.hosts.services(facts.hosts.resolve(host, document.namespace))
        protocols = {port.protocol for service in services for port in service.ports}
        if not protocols or Protocol.AUTO in protocols or hosts.is_wildcard(host):
            return None
        found |= {_form_of_port(protocol) for protocol in protocols}
    return found


def _form_of_port(protocol: Protocol) -> Form:
    if protocol.http:
        return Form.HTTP
    return Form.TLS if protocol.tls else Form.TCP


def _wrong_protocol(service: VirtualService, forms: set[Form | None], *, in_mesh: bool) -> Iterator[Problem]:
    there = " and ".join(sorted(form.value for form in forms if form is not None)) or "no"
    for form, rules in ((Form.HTTP, service.http), (Form.TLS, service.tls), (Form.TCP, service.tcp)):
        if rules and form not in forms:
            whose = "the ports of its hosts" if in_mesh else "the servers of its gateways for its hosts"
            yield remark(
                WRONG_PROTOCOL,
                ("spec", form.value),
                f"none of these {form.value} rules is used: {whose} heed {there} rules; "
                + _remedy(form, in_mesh=in_mesh),
            )


def _remedy(form: Form, *, in_mesh: bool) -> str:
    if in_mesh:
        prefix = {Form.HTTP: "http", Form.TLS: "tls", Form.TCP: "tcp"}[form]
        return f'name the service\'s port "{prefix}-..." (or set appProtocol), or write rules of the other form'
    if form is Form.HTTP:
        return "give the server protocol HTTP, or HTTPS with a mode that takes the TLS off (SIMPLE, MUTUAL)"
    if form is Form.TLS:
        return "let the server pass TLS through (mode PASSTHROUGH), or write rules of the other form"
    return "give the server protocol TCP, or write rules of the other form"
