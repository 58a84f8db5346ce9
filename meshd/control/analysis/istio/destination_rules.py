"""DestinationRules: their hosts, the workloads of their subsets, and whose certificates they take. Pure.

Source: Istio's ``analyzers/destinationrule``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from meshd.api.document import Document, Path
from meshd.api.networking.destination_rule import ClientTLSmode, ClientTLSSettings, DestinationRule
from meshd.api.problem import Problem, error, warning
from meshd.control import hosts
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.pod_facts import Known, labels_text
from meshd.control.finding import Finding
from meshd.control.workloads import selects

UNVERIFIED = "IST0128"
UNVERIFIED_ON_PORT = "IST0129"
SUBSET_SELECTS_NOTHING = "IST0173"
UNKNOWN_HOST = "IST0174"

OF_THE_NODE: Final = (
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
)
"""Labels that a pod has from its node."""
HOSTNAME: Final = "kubernetes.io/hostname"


def unselected(facts: Facts) -> Iterable[Finding]:
    """Hosts that do not exist and subsets that select no workload."""
    for document in facts.all(DestinationRule):
        yield from told(document, _unselected(facts, document))


def _unselected(facts: Facts, document: Document) -> Iterator[Problem]:
    rule: DestinationRule = document.resource
    host = facts.hosts.resolve(rule.host, document.namespace)
    if not hosts.is_ip(host) and not facts.hosts.exists_for(host, document):
        yield warning(
            ("spec", "host"),
            f"no service has the host {host}: nothing obeys this rule",
            at_value=True,
            code=UNKNOWN_HOST,
        )
        return
    if not rule.subsets:
        return
    workloads, certain = labels_behind(facts, host)
    if not workloads and not facts.complete:
        return  # Nobody is there yet.
    for index, subset in enumerate(rule.subsets):
        if not subset.labels or any(selects(subset.labels.items(), each) for each in workloads):
            continue
        if certain or (host, subset.name) in facts.hosts.routed:
            yield error(
                ("spec", "subsets", index),
                f'no workload has the labels of subset "{subset.name}" ({labels_text(subset.labels)}): requests for it get '
                "503",
                code=SUBSET_SELECTS_NOTHING,
                at_value=False,
            )


def labels_behind(facts: Facts, host: str) -> tuple[list[Mapping[str, str]], bool]:
    """The labels of the workloads of a host; of all pods where nothing says which are its own.

    The second value: whether these are the ones that run, or none do. A
    Deployment only says what will: its subsets may be of versions to come.
    """
    found: list[Mapping[str, str]] = []
    certain = False
    for service in facts.hosts.services(host):
        for _, backends in facts.mesh.backends.get((service.host, service.namespace), ()):
            running = [backend.labels for backend in backends if backend.labels]
            found += running
            certain = certain or bool(running)
        for known in facts.pods.select(dict(service.selector), service.namespace) if service.selector else ():
            if known.document is not None and known.document.kind != "WorkloadEntry":
                certain = certain or known.is_pod
                found.append(_with_node(facts, known))
    if found:
        return found, certain
    # Who is outside has no labels that anybody could know.
    inside = any(service.registry or service.selector for service in facts.hosts.services(host))
    return [_with_node(facts, known) for known in facts.pods.pods], inside


def _with_node(facts: Facts, known: Known) -> Mapping[str, str]:
    """A pod's labels with those it has from its node."""
    name = known.spec.get("nodeName")
    node = facts.nodes.get(name) if isinstance(name, str) else None
    if node is None:
        return known.labels
    return {**known.labels, **{key: node.labels[key] for key in OF_THE_NODE if key in node.labels}, HOSTNAME: node.name}


def unverified(facts: Facts) -> Iterable[Finding]:
    """TLS to servers whose certificate nobody checks."""
    for document in facts.all(DestinationRule):
        yield from told(document, _unverified(document))


def _unverified(document: Document) -> Iterator[Problem]:
    rule: DestinationRule = document.resource
    policy = rule.trafficPolicy
    if policy is None:
        return
    path: Path = ("spec", "trafficPolicy")
    # A sidecar takes a Secret's certificates only where the rule is for chosen workloads.
    from_secret = rule.workloadSelector is not None
    if _trusts_anybody(policy.tls, from_secret=from_secret):
        assert policy.tls is not None
        yield warning((*path, "tls", "mode"), _message(rule.host, policy.tls), at_value=True, code=UNVERIFIED)
    for index, settings in enumerate(policy.portLevelSettings):
        if _trusts_anybody(settings.tls, from_secret=from_secret):
            assert settings.tls is not None
            number = settings.port.number if settings.port is not None else 0
            message = _message(f"{rule.host}:{number}", settings.tls)
            where = (*path, "portLevelSettings", index, "tls", "mode")
            yield warning(where, message, at_value=True, code=UNVERIFIED_ON_PORT)


def _trusts_anybody(tls: ClientTLSSettings | None, *, from_secret: bool) -> bool:
    return (
        tls is not None
        and tls.mode in {ClientTLSmode.SIMPLE, ClientTLSmode.MUTUAL}
        and not tls.caCertificates
        and not (tls.credentialName and from_secret)
    )


def _message(host: str, tls: ClientTLSSettings) -> str:
    return f"{tls.mode.value} TLS to {host} without caCertificates: whoever answers there is believed"
