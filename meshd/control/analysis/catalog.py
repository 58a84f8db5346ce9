"""Every analysis: one visible list, and how to run it. Pure.

Run beside publishing, never before it: what is found here is worth a word and
stops nothing. To add one, write the function and a line of ``ANALYSES``, and
its codes in ``codes`` and ``advice``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from meshd.api.document import Document
from meshd.control.analysis import destination_rules, unreachable, vs_conflicts, vs_destinations, vs_gateways
from meshd.control.analysis.analysis import Analysis
from meshd.control.analysis.facts import Facts
from meshd.control.analysis.own import OWN
from meshd.control.finding import Finding

ANALYSES: Final[tuple[Analysis, ...]] = (
    Analysis(
        "virtualservice.DestinationHostAnalyzer",
        "destinations of VirtualServices exist and are unambiguous",
        ("IST0101", "IST0112"),
        vs_destinations.destination_hosts,
    ),
    Analysis(
        "virtualservice.DestinationRuleAnalyzer",
        "subsets that VirtualServices name are defined",
        ("IST0101",),
        vs_destinations.destination_subsets,
    ),
    Analysis(
        "virtualservice.GatewayAnalyzer",
        "gateways of VirtualServices exist and serve their hosts",
        ("IST0101", "IST0132"),
        vs_gateways.gateways,
    ),
    Analysis(
        "virtualservice.ConflictingMeshGatewayHostsAnalyzer",
        "no two VirtualServices claim one host for the same sidecars",
        ("IST0109",),
        vs_conflicts.conflicting_hosts,
    ),
    Analysis(
        "schema.ValidationAnalyzer.VirtualService",
        "every rule of a VirtualService can be reached",
        ("IST0130",),
        unreachable.unreachable_rules,
    ),
    Analysis(
        "destinationrule.PodNotSelectedAnalyzer",
        "hosts of DestinationRules exist and their subsets select workloads",
        ("IST0173", "IST0174"),
        destination_rules.unselected,
    ),
    Analysis(
        "meshd.DestinationPort",
        "ports that VirtualServices name exist",
        ("MD0009",),
        vs_destinations.destination_ports,
    ),
    *OWN,
)
"""In the order in which they run; findings are sorted afterwards."""


def run(facts: Facts, analyses: Iterable[Analysis] = ANALYSES) -> tuple[Finding, ...]:
    """Everything these analyses find, errors first, then by place; nothing twice."""
    found = {finding for analysis in analyses for finding in analysis.run(facts)}
    return tuple(sorted(found, key=lambda finding: finding.sort_key))


def analyze(documents: Iterable[Document], *, known_hosts: Collection[str] = ()) -> tuple[Finding, ...]:
    """Everything that is wrong between documents.

    Args:
        documents: All that are in force.
        known_hosts: Further hosts that exist, though no document says so.
    """
    return run(Facts.of(documents, known_hosts=known_hosts))
