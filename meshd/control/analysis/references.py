"""Documents together: what they refer to and whether it is there. Pure.

Run beside publishing, never before it: a reference that leads nowhere is worth
a word and stops nothing. Codes, levels and meaning are Istio's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import attrs

from meshd.api.document import Document, Key, Path
from meshd.api.networking.destination_rule import DestinationRule
from meshd.api.networking.gateway import Gateway
from meshd.api.networking.virtual_service import Destination, TCPRoute, TLSRoute, VirtualService
from meshd.api.problem import Level, Problem, error, warning
from meshd.control import hosts
from meshd.control.analysis.unreachable import unreachable
from meshd.control.finding import Finding, of_problem
from meshd.control.hosts import DOMAIN
from meshd.control.mesh import Mesh
from meshd.control.services import Service
from meshd.control.workloads import selects

NOT_FOUND = "IST0101"
CONFLICTING_HOSTS = "IST0109"
PORT_REQUIRED = "IST0112"
HOST_NOT_IN_GATEWAY = "IST0132"
SUBSET_SELECTS_NOTHING = "IST0173"
UNKNOWN_HOST = "IST0174"
NO_SUCH_PORT = "MD0009"

MESH = "mesh"


def analyze(documents: Iterable[Document], *, known_hosts: Collection[str] = ()) -> tuple[Finding, ...]:
    """Everything that is wrong between documents.

    Args:
        documents: All that are in force.
        known_hosts: Further hosts that exist, though no document says so.
    """
    world = _World.of(tuple(documents), frozenset(known_hosts))
    findings: list[Finding] = []
    for document in world.documents:
        # The message names what is meant and the place is exact: the path would only repeat it.
        findings += [attrs.evolve(of_problem(each, document), path="") for each in _problems(world, document)]
    findings += _conflicting_hosts(world)
    return tuple(sorted(findings, key=lambda finding: finding.sort_key))


@attrs.frozen
class _World:
    """What there is to refer to."""

    documents: tuple[Document, ...]
    mesh: Mesh
    known_hosts: frozenset[str]
    gateways: dict[tuple[str, str], Gateway]
    subsets: dict[str, set[str]]
    """By host as a DestinationRule means it."""
    written: frozenset[Key]
    """Documents that a person wrote."""
    wildcards: tuple[str, ...]
    """Hosts of services, and below of DestinationRules, that must be compared one by one."""
    wildcard_rules: tuple[str, ...]

    @classmethod
    def of(cls, documents: tuple[Document, ...], known_hosts: frozenset[str]) -> _World:
        gateways: dict[tuple[str, str], Gateway] = {}
        subsets: dict[str, set[str]] = {}
        for document in documents:
            resource = document.resource
            if isinstance(resource, Gateway):
                gateways[document.namespace, document.name] = resource
            elif isinstance(resource, DestinationRule):
                host = hosts.resolve(resource.host, document.namespace)
                subsets.setdefault(host, set()).update(subset.name for subset in resource.subsets)
        written = frozenset(document.key for document in documents if document.marks is not None)
        mesh = Mesh.of(documents)
        wildcards = tuple(host for host in mesh.by_host if hosts.is_wildcard(host))
        rules = tuple(host for host in subsets if hosts.is_wildcard(host))
        return cls(documents, mesh, known_hosts, gateways, subsets, written, wildcards, rules)

    def services(self, host: str) -> tuple[Service, ...]:
        """The services of a host, by its own name or by a wildcard that covers it."""
        exact = self.mesh.by_host.get(host)
        if exact:
            return exact
        covering = (pattern for pattern in self.wildcards if hosts.covers(pattern, host))
        return tuple(service for pattern in covering for service in self.mesh.by_host[pattern])

    def exists(self, host: str) -> bool:
        """Whether there is such a host; for a wildcard, whether it covers any."""
        if hosts.is_wildcard(host):
            everything = (*self.mesh.by_host, *self.known_hosts)
            return any(hosts.overlaps(host, each) for each in everything)
        if self.services(host) or host in self.known_hosts:
            return True
        return any(hosts.covers(each, host) for each in self.known_hosts)

    def has_rule(self, host: str) -> bool:
        """Whether some DestinationRule speaks of the host."""
        return host in self.subsets or any(hosts.covers(pattern, host) for pattern in self.wildcard_rules)

    def has_subset(self, host: str, subset: str) -> bool:
        """Whether some DestinationRule gives the host such a subset."""
        covering = (pattern for pattern in self.wildcard_rules if hosts.covers(pattern, host))
        return any(subset in self.subsets[pattern] for pattern in (*covering, host) if pattern in self.subsets)


def _problems(world: _World, document: Document) -> Iterator[Problem]:
    resource = document.resource
    if isinstance(resource, VirtualService):
        yield from _gateways(world, document, resource)
        for path, destination in _destinations(resource):
            yield from _destination(world, document, destination, path)
        yield from unreachable(document)
    elif isinstance(resource, DestinationRule):
        yield from _rule(world, document, resource)


def _destinations(service: VirtualService) -> Iterator[tuple[Path, Destination]]:
    """Every destination of every route, with its place."""
    for index, route in enumerate(service.http):
        here: Path = ("spec", "http", index)
        for at, each in enumerate(route.route):
            yield (*here, "route", at, "destination"), each.destination
        if route.mirror is not None:
            yield (*here, "mirror"), route.mirror
        for at, mirror in enumerate(route.mirrors):
            yield (*here, "mirrors", at, "destination"), mirror.destination
    opaque_routes: tuple[tuple[str, Sequence[TLSRoute | TCPRoute]], ...] = (("tls", service.tls), ("tcp", service.tcp))
    for kind, routes in opaque_routes:
        for index, opaque in enumerate(routes):
            for at, weighted in enumerate(opaque.route):
                yield ("spec", kind, index, "route", at, "destination"), weighted.destination


def _destination(world: _World, document: Document, target: Destination, path: Path) -> Iterator[Problem]:
    host = hosts.resolve(target.host, document.namespace)
    if not hosts.is_ip(host) and not world.exists(host):
        remedy = _full_name(world, target.host, host)
        yield error((*path, "host"), f'Referenced host not found: "{target.host}"{remedy}', code=NOT_FOUND)
        if not world.has_rule(host):
            return
    if target.subset and not world.has_subset(host, target.subset):
        yield error(
            (*path, "subset"),
            f'Referenced host+subset in destinationrule not found: "{target.host}+{target.subset}"',
            code=NOT_FOUND,
        )
    yield from _port(world, target, host, path)


def _full_name(world: _World, written: str, host: str) -> str:
    """What a short name was taken to mean, and which host may have been meant."""
    name = written.partition(".")[0]
    meant = sorted(each for each in world.mesh.by_host if each.startswith(f"{name}.") and each.endswith(DOMAIN))
    if meant:
        return f'; did you mean "{meant[0]}"?'
    return f" (that is {host})" if host != written else ""


def _port(world: _World, target: Destination, host: str, path: Path) -> Iterator[Problem]:
    found = world.services(host)
    ports = {port.number for service in found for port in service.ports}
    listed = ", ".join(str(number) for number in sorted(ports))
    if target.port is not None:
        if ports and target.port.number not in ports:
            yield warning(
                (*path, "port", "number"),
                f"{host} has no port {target.port.number}; it has {listed}",
                at_value=True,
                code=NO_SUCH_PORT,
            )
    elif len(ports) > 1 and any(_written(world, service) for service in found):
        yield error((*path, "host"), f"{target.host} has several ports ({listed}): say which one", code=PORT_REQUIRED)


def _written(world: _World, service: Service) -> bool:
    return Key("", "Service", service.namespace, service.name) in world.written or not service.registry


def _gateways(world: _World, document: Document, service: VirtualService) -> Iterator[Problem]:
    """Gateways that are not there, that serve none of the hosts, and hosts that no gateway serves."""
    served: dict[str, list[str]] = {}
    useless = False
    for index, name in enumerate(service.gateways):
        if name == MESH:
            continue
        key = gateway_key(name, document.namespace)
        found = world.gateways.get(key)
        path = ("spec", "gateways", index)
        if found is None:
            yield error(path, f'Referenced gateway not found: "{name}"', code=NOT_FOUND)
            continue
        own = [host.rpartition("/")[2] for server in found.servers for host in server.hosts]
        served["/".join(key)] = own
        if not any(hosts.overlaps(host, each) for host in service.hosts for each in own):
            useless = True
            yield _not_served(document, service.hosts, "/".join(key), path)
    if not served or useless:
        return
    every = [host for own in served.values() for host in own]
    for index, host in enumerate(service.hosts):
        if not any(hosts.overlaps(host, each) for each in every):
            yield _not_served(document, (host,), ",".join(served), ("spec", "hosts", index))


def _not_served(document: Document, strangers: Sequence[str], gateway: str, path: Path) -> Problem:
    return warning(
        path,
        f"one or more host [{' '.join(strangers)}] defined in VirtualService {document.namespace}/{document.name} "
        f"not found in Gateway {gateway}",
        at_value=True,
        code=HOST_NOT_IN_GATEWAY,
    )


def gateway_key(name: str, namespace: str) -> tuple[str, str]:
    """Namespace and name of a gateway as a VirtualService names it."""
    space, slash, plain = name.rpartition("/")
    if slash:
        return (namespace if space == "." else space, plain)
    parts = name.split(".")
    if len(parts) > 2 and parts[2] == "svc":
        return (parts[1], parts[0])
    return (namespace, name)


def _rule(world: _World, document: Document, rule: DestinationRule) -> Iterator[Problem]:
    host = hosts.resolve(rule.host, document.namespace)
    if not hosts.is_ip(host) and not world.exists(host):
        yield warning(
            ("spec", "host"),
            f"The host {rule.host} defined in the DestinationRule does not match any services in the mesh.",
            at_value=True,
            code=UNKNOWN_HOST,
        )
        return
    backends = [
        backend
        for service in world.services(host)
        for _, each in world.mesh.backends.get((service.host, service.namespace), ())
        for backend in each
    ]
    if not any(backend.labels for backend in backends):
        return  # Nobody is there, or nobody whose labels are known: the subsets cannot be judged.
    for index, subset in enumerate(rule.subsets):
        if subset.labels and not any(selects(subset.labels.items(), each.labels) for each in backends):
            yield error(
                ("spec", "subsets", index),
                f"The Subset {subset.name} defined in the DestinationRule does not select any pods.",
                code=SUBSET_SELECTS_NOTHING,
                at_value=False,
            )


def _conflicting_hosts(world: _World) -> Iterator[Finding]:
    """The same host in two VirtualServices that one sidecar sees: it heeds the older and ignores the other."""
    claims: dict[str, list[tuple[Document, int]]] = {}
    for document in world.documents:
        service = document.resource
        if isinstance(service, VirtualService) and (not service.gateways or MESH in service.gateways):
            for index, host in enumerate(service.hosts):
                claims.setdefault(hosts.resolve(host, document.namespace), []).append((document, index))
    wildcards = [host for host in claims if hosts.is_wildcard(host)]
    for host, claimants in sorted(claims.items()):
        # An exact host within another's wildcard is no conflict: the more specific one wins.
        rivals = list(claimants)
        if hosts.is_wildcard(host):
            rivals = [claim for each in wildcards if hosts.overlaps(host, each) for claim in claims[each]]
        for document, index in claimants:
            others = {other.key: other for other, _ in rivals if other is not document and _meet(document, other)}
            if others:
                yield _conflict(host, document, index, others.values())


def _conflict(host: str, document: Document, index: int, others: Iterable[Document]) -> Finding:
    names = ",".join(sorted(f"{each.namespace}/{each.name}" for each in (document, *others)))
    return Finding(
        CONFLICTING_HOSTS,
        Level.ERROR,
        f"The VirtualServices {names} associated with mesh gateway define the same host {host}: "
        "sidecars use the oldest only; merge them",
        str(document.key),
        document.origin_of(("spec", "hosts", index)),
    )


def _meet(one: Document, other: Document) -> bool:
    """Whether some namespace sees both."""
    first, second = _audience(one), _audience(other)
    return first is None or second is None or bool(first & second)


def _audience(document: Document) -> frozenset[str] | None:
    """The namespaces that see a VirtualService; None is all."""
    export_to = document.resource.exportTo
    if not export_to or "*" in export_to:
        return None
    return frozenset(document.namespace if each == "." else each for each in export_to)
