"""Who plays what: from names, documents and a test's words to the parts of a mesh. Pure."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs

from meshd.api.convert import suggestion
from meshd.api.document import Document
from meshd.api.kubernetes import Service as KubernetesService
from meshd.api.networking.destination_rule import DestinationRule
from meshd.api.networking.virtual_service import VirtualService
from meshd.control.analysis.pod_facts import known_of
from meshd.control.hosts import overlaps, resolve, service_host
from meshd.control.workloads import selects

if TYPE_CHECKING:
    from meshd.testing.answer import Answer
    from meshd.testing.app import Script
    from meshd.testing.machines import Part
    from meshd.testing.workload import Gateway, Service, Workload

PORT = 9080
"""Where applications listen unless something else is said: Bookinfo's port."""
PROTOCOLS = ("http", "http2", "grpc", "tcp")
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
VERSION = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
"""A label's value (Kubernetes)."""
ACCOUNT = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
CONTROLLERS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})


class Nobody(KeyError):
    """There is no service or workload of a name."""

    def __str__(self) -> str:
        return str(self.args[0])


@attrs.frozen
class Role:
    """A part that the configuration has for somebody: a Service that it declares.

    ``known`` is False when it declares none, and all else is then empty.
    ``labels`` are those that its selector asks for, ``versions`` what its
    Deployments or its subsets tell apart ("" for one without a version).
    """

    name: str
    namespace: str
    known: bool = True
    labels: Mapping[str, str] = attrs.Factory(dict)
    account: str = ""
    port: int = 0
    versions: tuple[str, ...] = ("",)


def scripts(
    name: str,
    behaviour: Script,
    versions: Mapping[str, Script] | None,
    by_version: Mapping[str, Script],
    method: Callable[..., object],
) -> dict[str, Script]:
    """The behaviour of each version.

    Raises:
        TypeError: a version is the misspelt name of an option of ``method``, or is said twice.
    """
    options = [each for each in inspect.signature(method).parameters if each not in ("name", "by_version")]
    for version in by_version:
        close = difflib.get_close_matches(version, options, n=1, cutoff=0.8)
        if close:
            raise TypeError(
                f"service({name!r}, {version}=...): did you mean {close[0]}=? A version of this name is"
                f" written versions={{{version!r}: ...}}"
            )
    twice = by_version.keys() & (versions or {}).keys()
    if twice:
        raise TypeError(f"service({name!r}): version {min(twice)} is given twice")
    found = {**(versions or {}), **by_version}
    return found or {"": behaviour}


def check(part: Part, versions: Iterable[str], protocol: str, services: Mapping[str, Service]) -> None:
    """See that a service can be added.

    Raises:
        ValueError: it cannot; says why.
    """
    name, namespace = part.service, part.namespace
    wrong = misnamed(name, namespace, part.account, versions)
    if wrong:
        raise ValueError(wrong)
    if protocol not in PROTOCOLS:
        raise ValueError(f"{protocol!r} is no protocol of a service: it must be one of {', '.join(PROTOCOLS)}")
    if not 0 < part.port < 65536:
        raise ValueError(f"{part.port} is no port: expected 1 to 65535")
    if any((each.name, each.namespace) == (name, namespace) for each in services.values()):
        raise ValueError(
            f"there is a service {name!r} in namespace {namespace!r} already;"
            " let it answer otherwise with .behave(...), or give all its versions at once"
        )


def misnamed(name: str, namespace: str, account: str, versions: Iterable[str]) -> str:
    """Which of a service's names cannot be one, and what one is like; "" when they all can."""
    named = [
        ("a service", name, DNS_LABEL, "reviews"),
        ("a namespace", namespace, DNS_LABEL, "default"),
        ("a service account", account, ACCOUNT, "bookinfo-reviews"),
        *(("a version", version, VERSION, "v1") for version in versions if version),
    ]
    return next(
        (
            f"{text!r} is no name of {what}: expected letters, digits and dashes, as in {example}"
            for what, text, pattern, example in named
            if pattern.fullmatch(text) is None
        ),
        "",
    )


def workload_name(service: str, version: str) -> str:
    """``reviews-v2``, or ``reviews`` without a version."""
    return f"{service}-{version}" if version else service


def as_version(part: Part, version: str) -> Part:
    """A part with the label ``version``."""
    if not version:
        return part
    return attrs.evolve(part, labels=tuple(sorted({**dict(part.labels), "version": version}.items())))


def service_document(part: Part, protocol: str) -> str:
    """A Service whose port speaks something else than HTTP/1.1; a sidecar's registration cannot say that yet."""
    ports = [(protocol, part.port), *([(f"{protocol}-80", 80)] if protocol != "tcp" else [])]
    lines = [f"  - {{name: {name}, port: {port}, targetPort: {part.port}}}" for name, port in ports]
    head = f"apiVersion: v1\nkind: Service\nmetadata: {{name: {part.service}, namespace: {part.namespace}}}\nspec:\n"
    return f"{head}  selector: {{meshd.dev/service: {part.service}}}\n  ports:\n" + "\n".join(lines)


def declared(name: str, namespace: str, documents: Iterable[Document]) -> Role:
    """What the configuration says of a service."""
    documents = tuple(documents)
    for document in documents:
        if isinstance(document.resource, KubernetesService) and (document.name, document.namespace) == (
            name,
            namespace,
        ):
            return _role(document, document.resource, documents)
    return Role(name, namespace, known=False)


def role(caller: str, documents: Iterable[Document], services: Mapping[str, Service]) -> Role | None:
    """The part that the configuration has for a caller whom nobody plays yet: ``productpage``, ``productpage.shop``."""
    name, _, namespace = caller.partition(".")
    return next(
        (
            each
            for each in roles(documents, services)
            if each.name == name and each.namespace == (namespace or "default")
        ),
        None,
    )


def roles(documents: Iterable[Document], services: Mapping[str, Service]) -> tuple[Role, ...]:
    """The parts that the configuration has and nobody plays yet."""
    documents = tuple(documents)
    taken = {(each.name, each.namespace) for each in services.values()}
    return tuple(
        _role(document, document.resource, documents)
        for document in documents
        if isinstance(document.resource, KubernetesService)
        and document.resource.selector
        and (document.name, document.namespace) not in taken
    )


def needed(names: Iterable[str], documents: Sequence[Document], known: Sequence[Role]) -> tuple[Role, ...]:
    """The parts without which a call to (or from) these names could not be played.

    Args:
        names: Services, workloads or hosts: ``reviews``, ``ratings-v1``, ``shop.example.com``.
        documents: The configuration.
        known: The parts that nobody plays yet.
    """
    hosts = {resolve(name, "default") for name in names}
    wanted = set(hosts)
    for name in names:
        # A workload is called as its service and a version.
        wanted |= {service_host(each.name, each.namespace) for each in known if name in _workloads(each)}
    for document in documents:
        if isinstance(document.resource, VirtualService) and _concerns(document, hosts):
            wanted |= {resolve(host, document.namespace) for host in _destinations(document.resource)}
    return tuple(each for each in known if service_host(each.name, each.namespace) in wanted)


def _workloads(role: Role) -> set[str]:
    return {workload_name(role.name, version) for version in role.versions}


def _concerns(document: Document, hosts: set[str]) -> bool:
    """A VirtualService for one of these hosts; one without hosts is another's delegate, and may be."""
    own = [resolve(host, document.namespace) for host in document.resource.hosts]
    return not own or any(overlaps(host, each) for host in hosts for each in own)


def _destinations(rule: VirtualService) -> Iterator[str]:
    for http in rule.http:
        yield from (each.destination.host for each in http.route)
    for tcp in rule.tcp:
        yield from (each.destination.host for each in tcp.route)
    for tls in rule.tls:
        yield from (each.destination.host for each in tls.route)


def _role(document: Document, service: KubernetesService, documents: Sequence[Document]) -> Role:
    first = service.ports[0] if service.ports else None
    target = (first.targetPort or first.port) if first is not None else 0
    pods = list(_pods(service, document.namespace, documents))
    accounts = [account for _, account in pods if account]
    versions = tuple(dict.fromkeys(labels.get("version", "") for labels, _ in pods))
    return Role(
        document.name,
        document.namespace,
        labels=dict(service.selector),
        account=accounts[0] if accounts else "",
        port=target if isinstance(target, int) else first.port if first is not None else 0,
        versions=versions or tuple(dict.fromkeys(_subset_versions(document, documents))) or ("",),
    )


def _pods(
    service: KubernetesService, namespace: str, documents: Sequence[Document]
) -> Iterator[tuple[Mapping[str, str], str]]:
    """Labels and service account of what a Service selects among the Deployments and their kin."""
    for document in documents:
        known = known_of(document) if document.kind in CONTROLLERS and document.namespace == namespace else None
        if known is not None and selects(service.selector.items(), known.labels):
            account = known.spec.get("serviceAccountName")
            yield known.labels, account if isinstance(account, str) else ""


def _subset_versions(service: Document, documents: Sequence[Document]) -> Iterator[str]:
    host = service_host(service.name, service.namespace)
    for document in documents:
        rule = document.resource
        if isinstance(rule, DestinationRule) and resolve(rule.host, document.namespace) == host:
            yield from (subset.labels["version"] for subset in rule.subsets if "version" in subset.labels)


def find(name: str, services: Mapping[str, Service]) -> Workload | None:
    """A workload by its name, or the first one of a service (``reviews``, ``reviews.shop``); None for nobody."""
    service = services.get(name) or next(
        (each for each in services.values() if f"{each.name}.{each.namespace}" == name), None
    )
    if service is not None:
        return service.workload
    return next((workload for each in services.values() for workload in each if workload.name == name), None)


def nobody(name: str, services: Mapping[str, Service], gateways: Sequence[Gateway]) -> str:
    """That there is nobody of a name, and who there is."""
    known = [*services, *(workload.name for each in services.values() for workload in each)]
    known = list(dict.fromkeys([*known, *(gateway.name for gateway in gateways)]))
    hint = suggestion(name, known) if known else "; nobody has been added yet"
    if known and not hint:
        hint = f"; there are {', '.join(sorted(known))}"
    return f"no service or workload {name!r}{hint}: add it with mesh.service({name!r})"


def hint(line: str, answer: Answer, services: Mapping[str, Service]) -> str:
    """What may be wrong with the test, when a call went where nobody is."""
    if answer.status < 400 or not {"DF", "NR", "UH"} & set(answer.flags):
        return ""
    host = (urlsplit(line.partition(" ")[2]).hostname or "").lower()
    name, _, rest = host.partition(".")
    outside = "." in rest and not rest.endswith(".svc.cluster.local")
    if outside or any(each.name == name for each in services.values()) or DNS_LABEL.fullmatch(name) is None:
        return ""
    close: Any = suggestion(name, [each.name for each in services.values()])
    close = close if "did you mean" in close else ""
    return f"no service of this mesh is called {name!r}{close}"
