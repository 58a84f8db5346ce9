"""Where VirtualServices send requests: hosts, ports and subsets that must be there. Pure.

Source: Istio's ``analyzers/virtualservice/{destinationhosts,destinationrules}.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from meshd.api.document import Document, Path
from meshd.api.networking.virtual_service import Destination, VirtualService
from meshd.api.problem import Problem, error, warning
from meshd.control import hosts
from meshd.control.analysis.destinations import destinations
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.host_facts import HostFacts
from meshd.control.analysis.istio.destination_rules import labels_behind
from meshd.control.finding import Finding
from meshd.control.workloads import selects

NOT_FOUND = "IST0101"
PORT_REQUIRED = "IST0112"
SUBSET_PASSED_BY = "IST0140"

MOST_NAMES = 2000
"""Of services, to look for one that is spelt alike."""


def destination_hosts(facts: Facts) -> Iterable[Finding]:
    """Hosts and ports that do not exist, several ports of which none is named, subsets that gateways pass by."""
    with_subsets = _with_subsets(facts)
    for document in facts.all(VirtualService):
        for path, destination in destinations(document.resource):
            yield from told(document, _host(facts.hosts, document, destination, path))
        if document.resource.gateways:
            yield from told(document, _passed_by(facts, document, with_subsets))


def destination_subsets(facts: Facts) -> Iterable[Finding]:
    """Subsets that no DestinationRule defines."""
    for document in facts.all(VirtualService):
        for path, destination in destinations(document.resource):
            if destination.subset:
                yield from told(document, _subset(facts.hosts, document, destination, path))


def _host(known: HostFacts, document: Document, target: Destination, path: Path) -> Iterator[Problem]:
    host = known.resolve(target.host, document.namespace)
    if hosts.is_ip(host):
        return
    if not known.exists_for(host, document):
        # Istio says so of mirrors in other words, which change nothing.
        remedy = _full_name(known, target.host, host)
        message = f'nobody has the host "{target.host}"{remedy}: requests for it get 503'
        yield error((*path, "host"), message, code=NOT_FOUND)
        return
    found = known.services(host)
    ports = sorted({port.number for service in found for port in service.ports})
    listed = ", ".join(str(number) for number in ports)
    if target.port is not None:
        if ports and target.port.number not in ports:
            message = f"{target.host} has no port {target.port.number}, only {listed}: requests for it get 503"
            yield error((*path, "port", "number"), message, code=NOT_FOUND)
    elif len(ports) > 1 and any(known.is_written(service) for service in found):
        yield error((*path, "host"), f"{target.host} has several ports ({listed}): say which one", code=PORT_REQUIRED)


def _with_subsets(facts: Facts) -> dict[str, list[Document]]:
    """VirtualServices that route a host of their own by subsets, by that host."""
    found: dict[str, list[Document]] = {}
    for document in facts.all(VirtualService):
        service: VirtualService = document.resource
        routed = {each.destination.host for route in service.http for each in route.route if each.destination.subset}
        for host in sorted(routed.intersection(service.hosts)):
            found.setdefault(host, []).append(document)
    return found


def _passed_by(facts: Facts, document: Document, with_subsets: dict[str, list[Document]]) -> Iterator[Problem]:
    """Routes of a gateway to a host whose subsets another VirtualService chooses, for sidecars only."""
    for index, route in enumerate(document.resource.http):
        for at, each in enumerate(route.route):
            if each.destination.subset:
                continue
            for other in with_subsets.get(each.destination.host, ()):
                if _chooses_everything(facts, other, each.destination.host):
                    continue
                yield warning(
                    ("spec", "http", index, "route", at, "destination", "host"),
                    f"the subsets that VirtualService {other.namespace}/{other.name} chooses for this host have no effect on "
                    "requests that come through a gateway: name the subset here",
                    at_value=True,
                    code=SUBSET_PASSED_BY,
                )


def _full_name(known: HostFacts, written: str, host: str) -> str:
    """What a short name was taken to mean, or which host may have been meant."""
    name = written.partition(".")[0]
    alike = [name] if name in known.named else []
    if not alike and len(known.named) <= MOST_NAMES:
        alike = get_close_matches(name, known.named, n=1, cutoff=0.8)
    if alike:
        return f" (did you mean {known.named[alike[0]]}?)"
    return f" (that is {host})" if host != written else ""


def _subset(known: HostFacts, document: Document, target: Destination, path: Path) -> Iterator[Problem]:
    host = known.resolve(target.host, document.namespace)
    if not hosts.is_ip(host) and not known.exists(host) and not known.has_rule(host):
        return  # The host is what is missing.
    if not known.has_subset(host, target.subset):
        yield error(
            (*path, "subset"),
            f'no DestinationRule gives {target.host} a subset "{target.subset}": requests for it get 503',
            code=NOT_FOUND,
        )


def _chooses_everything(facts: Facts, document: Document, written: str) -> bool:
    """Whether the subsets that a VirtualService chooses for a host are each all the workloads there are."""
    host = facts.hosts.resolve(written, document.namespace)
    workloads, _ = labels_behind(facts, host)
    chosen = {
        each.destination.subset
        for route in document.resource.http
        for each in route.route
        if each.destination.host == written
    }
    labels = [facts.hosts.subset_labels.get((host, subset)) for subset in chosen]
    return bool(workloads) and all(
        each is not None and all(selects(each.items(), workload) for workload in workloads) for each in labels
    )
