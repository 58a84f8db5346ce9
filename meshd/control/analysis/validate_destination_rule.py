"""DestinationRule alone: hosts, subsets, policies. Pure.

The blocks of a policy are in ``validate_traffic_policy`` and ``validate_load_balancer``.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from meshd.api.document import Document, Path
from meshd.api.networking.destination_rule import DestinationRule, PortTrafficPolicy, Subset, TrafficPolicy
from meshd.api.problem import FIELD_WITHOUT_EFFECT, Problem, error, warning
from meshd.control.analysis import checks, selection
from meshd.control.analysis.validate_destination import subset_name
from meshd.control.analysis.validate_load_balancer import load_balancer
from meshd.control.analysis.validate_traffic_policy import (
    client_tls,
    connection_pool,
    outlier_detection,
    retry_budget,
    tunnel,
)

MOST_PORTS = 4096


@attrs.frozen
class _Rule:
    """What the blocks of a rule need to know of the rule."""

    namespace: str
    private: bool
    """It is for workloads that a selector names."""


def validate(document: Document) -> Iterator[Problem]:
    """Istio's rules for a DestinationRule."""
    rule: DestinationRule = document.resource
    path: Path = ("spec",)
    yield from checks.wildcard_host(rule.host, (*path, "host"))
    about = _Rule(document.namespace, rule.workloadSelector is not None and bool(rule.workloadSelector.matchLabels))
    if rule.trafficPolicy is not None:
        yield from _policy(rule.trafficPolicy, (*path, "trafficPolicy"), about)
    seen: set[str] = set()
    for index, subset in enumerate(rule.subsets):
        here = (*path, "subsets", index)
        yield from _subset(subset, here, about)
        if subset.name in seen:
            yield error((*here, "name"), f'the subset "{subset.name}" is here twice: give each a name of its own')
        seen.add(subset.name)
    yield from selection.workload_selector(rule.workloadSelector, (*path, "workloadSelector"))
    yield from selection.export_to(rule.exportTo, (*path, "exportTo"), document.namespace)
    if rule.workloadSelector is not None:
        yield from selection.private_export(rule.exportTo, (*path, "exportTo"), document.namespace)


def _subset(subset: Subset, path: Path, about: _Rule) -> Iterator[Problem]:
    yield from subset_name(subset.name, (*path, "name"))
    yield from checks.labels(subset.labels, (*path, "labels"))
    if subset.trafficPolicy is not None:
        yield from _policy(subset.trafficPolicy, (*path, "trafficPolicy"), about)


def _policy(policy: TrafficPolicy, path: Path, about: _Rule) -> Iterator[Problem]:
    if policy == TrafficPolicy():
        yield error(path, "the traffic policy is empty: it needs at least one field", at_value=False)
    yield from _blocks(policy, path, about)
    if policy.tunnel is not None and policy.proxyProtocol is not None:
        yield error(path, "tunnel and proxyProtocol cannot both be given: choose one", at_value=False)
    if policy.tunnel is not None:
        yield from tunnel(policy.tunnel, (*path, "tunnel"))
    if policy.retryBudget is not None:
        yield from retry_budget(policy.retryBudget, (*path, "retryBudget"))
    yield from _ports(policy.portLevelSettings, (*path, "portLevelSettings"), about)


def _ports(policies: tuple[PortTrafficPolicy, ...], path: Path, about: _Rule) -> Iterator[Problem]:
    if len(policies) > MOST_PORTS:
        yield error(path, f"more than {MOST_PORTS} ports", at_value=False)
    seen: set[int] = set()
    for index, settings in enumerate(policies):
        here = (*path, index)
        if settings.port is None or not settings.port.number:
            yield error(here, 'the field "port.number" is missing', at_value=False)
        else:
            yield from checks.port(settings.port.number, (*here, "port", "number"))
            if settings.port.number in seen:
                yield warning(
                    (*here, "port"),
                    f"port {settings.port.number} is here twice: only the first counts",
                    code=FIELD_WITHOUT_EFFECT,
                )
            seen.add(settings.port.number)
        if settings == PortTrafficPolicy(port=settings.port):
            yield error(here, "the policy of the port is empty: it needs at least one field", at_value=False)
        yield from _blocks(settings, here, about)


def _blocks(policy: TrafficPolicy | PortTrafficPolicy, path: Path, about: _Rule) -> Iterator[Problem]:
    if policy.outlierDetection is not None:
        yield from outlier_detection(policy.outlierDetection, (*path, "outlierDetection"))
    if policy.connectionPool is not None:
        yield from connection_pool(policy.connectionPool, (*path, "connectionPool"))
    if policy.loadBalancer is not None:
        ejects = policy.outlierDetection is not None
        yield from load_balancer(policy.loadBalancer, (*path, "loadBalancer"), ejects=ejects)
    if policy.tls is not None:
        yield from client_tls(policy.tls, (*path, "tls"), namespace=about.namespace, private=about.private)
