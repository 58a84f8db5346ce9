"""DestinationRules: whether they speak of a host that is there, and of workloads that are there. Pure.

Source: Istio's ``analyzers/destinationrule``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshd.api.document import Document
from meshd.api.networking.destination_rule import DestinationRule
from meshd.api.problem import Problem, error, warning
from meshd.control import hosts
from meshd.control.analysis.facts import Facts, told
from meshd.control.finding import Finding
from meshd.control.workloads import selects

SUBSET_SELECTS_NOTHING = "IST0173"
UNKNOWN_HOST = "IST0174"


def unselected(facts: Facts) -> Iterable[Finding]:
    """Hosts that do not exist and subsets that select no workload."""
    for document in facts.all(DestinationRule):
        yield from told(document, _unselected(facts, document))


def _unselected(facts: Facts, document: Document) -> Iterator[Problem]:
    rule: DestinationRule = document.resource
    host = facts.hosts.resolve(rule.host, document.namespace)
    if not hosts.is_ip(host) and not facts.hosts.exists(host):
        yield warning(
            ("spec", "host"),
            f"The host {rule.host} defined in the DestinationRule does not match any services in the mesh.",
            at_value=True,
            code=UNKNOWN_HOST,
        )
        return
    backends = [
        backend
        for service in facts.hosts.services(host)
        for _, each in facts.mesh.backends.get((service.host, service.namespace), ())
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
