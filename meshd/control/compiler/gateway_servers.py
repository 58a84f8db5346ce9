"""Which servers a gateway has: Gateways that mean it, ports as its Service maps them, conflicts settled. Pure.

Source: Istio's ``pilot/pkg/model/{gateway,push_context}.go`` (``mergeGateways``, ``resolvePorts``).

Older Gateways come first. On one port and address there is either plain HTTP,
or TLS of any sort told apart by server name, or plain TCP of one server; what
does not go together with the first is left out whole, and so is a server with
TLS that has a host of an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from meshd.api.networking.gateway import Gateway, Server, ServerTLSmode
from meshd.control.compiler.targets import Target
from meshd.control.gateway_api.names import GATEWAY_NAME, GATEWAY_SERVICE
from meshd.control.hosts import narrower, overlaps
from meshd.control.owned import Owned
from meshd.control.rules import Bound
from meshd.control.workloads import selects

PLAIN_HTTP: Final = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB"})
PASSED_THROUGH: Final = frozenset({ServerTLSmode.PASSTHROUGH, ServerTLSmode.AUTO_PASSTHROUGH})

HTTP: Final = "http"
HTTPS: Final = "https"
TLS: Final = "tls"
SNI: Final = "sni"
TCP: Final = "tcp"


@attrs.frozen
class Placed:
    """A server with its Gateway, at one port of the proxy."""

    gateway: Owned[Gateway]
    server: Server
    port: int
    """Where the proxy listens: the server's port, or what the gateway's Service makes of it."""

    @property
    def name(self) -> str:
        """How VirtualServices call its Gateway."""
        return f"{self.gateway.namespace}/{self.gateway.name}"

    @property
    def hosts(self) -> tuple[tuple[str, str], ...]:
        """Namespace of the VirtualServices it takes (``*`` for any) and name, for each host."""
        found = []
        for entry in self.server.hosts:
            namespace, slash, host = entry.rpartition("/")
            if namespace == ".":
                namespace = self.gateway.namespace
            found.append((namespace if slash else "*", host))
        # "*/*" is everything, whatever else is listed (Istio).
        return (("*", "*"),) if "*/*" in self.server.hosts else tuple(found)

    @property
    def kind(self) -> str:
        """``http`` (plain), ``https`` (terminated), ``tls`` (terminated bytes), ``sni`` (passed on) or ``tcp``."""
        protocol = self.server.port.protocol.upper()
        tls = self.server.tls
        if protocol in PLAIN_HTTP:
            return HTTP
        if tls is None:
            return TCP
        if tls.mode in PASSED_THROUGH:
            return SNI
        return HTTPS if protocol == "HTTPS" else TLS

    @property
    def table(self) -> str:
        """Its route table's name. Only HTTP and HTTPS have one; the others use its form to name their chains."""
        port = self.server.port
        bind = f".{self.server.bind}" if self.server.bind else ""
        if self.kind == HTTP:
            return f"http.{self.port}{bind}"
        return f"{self.kind}.{port.number}.{port.name}.{self.gateway.name}.{self.gateway.namespace}{bind}"

    @property
    def server_names(self) -> tuple[str, ...]:
        """The server names whose TLS connections are its, () for any."""
        names = sorted({host.lower() for _, host in self.hosts})
        return () if "*" in names else tuple(names)

    def takes(self, bound: Bound) -> Iterator[str]:
        """The hosts under which a VirtualService appears here: the narrower of its and the server's."""
        for host in self._hosts_for(bound):
            for own in bound.hosts:
                found = narrower(host, own)
                if found is not None:
                    yield found

    def meets(self, bound: Bound) -> bool:
        """Whether a VirtualService has any host of this server."""
        return any(overlaps(host, own) for host in self._hosts_for(bound) for own in bound.hosts)

    def _hosts_for(self, bound: Bound) -> list[str]:
        return [host for namespace, host in self.hosts if namespace in {"*", bound.rule.namespace}]


def servers_of(
    gateways: Iterable[Owned[Gateway]], labels: tuple[tuple[str, str], ...], targets: tuple[Target, ...]
) -> Iterator[Placed]:
    """The servers of all Gateways that mean a proxy, older Gateways first.

    Args:
        gateways: Of the whole mesh.
        labels: The proxy's.
        targets: The services it is a workload of.
    """
    known = dict(labels)
    for gateway in gateways:
        said = gateway.annotations.get(GATEWAY_SERVICE)
        if said is not None:
            hosts = {host.strip() for host in said.split(",")}
            mine = [each for each in targets if each.service.host in hosts]
            mine = [each for each in mine if each.service.namespace == gateway.namespace]
            for server in gateway.resource.servers:
                for port in sorted({each.number for each in mine if each.port.number == server.port.number}):
                    yield Placed(gateway, server, port)
        elif means(gateway, known):
            for server in gateway.resource.servers:
                yield Placed(gateway, server, _translated(server.port.number, targets))


def means(gateway: Owned[Gateway], labels: dict[str, str]) -> bool:
    """Whether a Gateway is for proxies with these labels."""
    if gateway.gateway_api and GATEWAY_NAME in labels:
        return labels[GATEWAY_NAME] == gateway.annotations.get(GATEWAY_NAME)
    return selects(gateway.resource.selector.items(), labels)


def _translated(number: int, targets: Iterable[Target]) -> int:
    """The port behind a port of the proxy's services; the port itself when none has it, or none wants this."""
    found = (each.number for each in targets if each.port.number == number and each.service.translates_ports)
    return next(found, number)


def merged(placed: Iterable[Placed]) -> dict[tuple[str, int], list[Placed]]:
    """Servers by address and port, conflicts settled in favour of what comes first."""
    found: dict[tuple[str, int], list[Placed]] = {}
    taken: dict[tuple[str, int], set[tuple[str, str]]] = {}
    tables: set[str] = set()
    for each in placed:
        at = (each.server.bind, each.port)
        if each.server.tls is not None:
            hosts = taken.setdefault(at, set())
            if not hosts.isdisjoint(each.hosts):
                continue
            hosts.update(each.hosts)
        if each.kind == HTTPS:
            if each.table in tables:
                continue
            tables.add(each.table)
        together = found.get(at)
        if together is None:
            found[at] = [each]
        elif _get_on(together[0], each):
            together.append(each)
    return found


def _get_on(first: Placed, other: Placed) -> bool:
    """Plain HTTP shares a port with plain HTTP, TLS of any sort with TLS, and plain TCP with nothing else."""
    secure = {HTTPS, TLS, SNI}
    return (first.kind == other.kind == HTTP) or (first.kind in secure and other.kind in secure)
