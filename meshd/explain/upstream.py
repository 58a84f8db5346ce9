"""Where a decision leads: its cluster, the endpoints there, and how they are spoken to. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from meshd.explain.connection import refused
from meshd.explain.decision import Decision, Mutual, Verdict
from meshd.net.address import Address
from meshd.proxy.reply import missing_cluster
from meshd.snapshot.cluster import Cluster, Discovery, Endpoint, TlsMode
from meshd.snapshot.common import Direction
from meshd.snapshot.match import Recorder, Step
from meshd.snapshot.snapshot import Snapshot

BLACK_HOLE: Final = "BlackHoleCluster"
UNAVAILABLE: Final = 503


def go_up(
    snapshot: Snapshot,
    mode: Direction,
    decision: Decision,
    record: Recorder,
    endpoints_known: Callable[[Cluster], bool],
) -> Decision:
    """Fill in endpoints and mTLS, or say why nobody can answer."""
    name = decision.cluster
    cluster = next((each for each in snapshot.clusters if each.name == name), None)
    status = UNAVAILABLE if decision.route_config else 0
    if cluster is None:
        status = status and (decision.missing_status or status)
        reason = missing_cluster(name, status or UNAVAILABLE).reason
        record(Step("cluster", -1, matched=False, because=reason, name=name))
        return attrs.evolve(refused(decision, Verdict.NO_HEALTHY_UPSTREAM, reason, status), flags=("NC",))
    endpoints = next((group.endpoints for group in snapshot.endpoints if group.cluster == name), ())
    shown = tuple(str(Address(each.host, each.port)) for each in endpoints)
    decision = attrs.evolve(decision, endpoints=shown)
    if mode is not Direction.INBOUND:
        decision = attrs.evolve(decision, mtls=mutual_of(cluster, endpoints))
    if name == BLACK_HOLE:
        reason = "the black hole: what comes here is dropped"
        record(Step("cluster", -1, matched=False, because=reason, name=name))
        return attrs.evolve(refused(decision, Verdict.RESET, reason, status), flags=("UH",))
    if cluster.discovery is not Discovery.ORIGINAL_DESTINATION and not endpoints and endpoints_known(cluster):
        reason = _why_nobody(cluster)
        record(Step("cluster", -1, matched=False, because=reason, name=name))
        return attrs.evolve(refused(decision, Verdict.NO_HEALTHY_UPSTREAM, reason, status), flags=("UH",))
    record(Step("cluster", -1, matched=True, because=_where(cluster, shown), name=name))
    return decision


def _why_nobody(cluster: Cluster) -> str:
    if cluster.subset:
        return f"no endpoint of {cluster.service} has the labels of subset {cluster.subset}"
    return f"{cluster.service or cluster.name} has no endpoints"


def _where(cluster: Cluster, endpoints: tuple[str, ...]) -> str:
    if cluster.discovery is Discovery.ORIGINAL_DESTINATION:
        return "wherever the client was going"
    if not endpoints:
        return "its endpoints are not in this configuration"
    many = f"{len(endpoints)} endpoints" if len(endpoints) > 1 else "one endpoint"
    return f"{many} by name" if cluster.discovery is Discovery.DNS else many


def mutual_of(cluster: Cluster, endpoints: tuple[Endpoint, ...]) -> Mutual:
    """How the cluster's endpoints are spoken to."""
    tls = cluster.tls
    said = cluster.tls_reason
    if tls is None or tls.mode is TlsMode.DISABLE:
        passed = cluster.discovery is Discovery.ORIGINAL_DESTINATION and not cluster.service
        return Mutual("disable", said or ("passed through as it is" if passed else "TLS is switched off"))
    if tls.mode is TlsMode.SIMPLE:
        return Mutual("simple", said or "a DestinationRule asks for TLS")
    if tls.mode is not TlsMode.AUTO:
        return Mutual("mutual", said or "a DestinationRule asks for mTLS")
    if not endpoints:
        return Mutual("mutual", "automatic: mTLS to endpoints of the mesh")
    able = sum(each.mtls for each in endpoints)
    if able == len(endpoints):
        return Mutual("mutual", "automatic: every endpoint speaks mesh mTLS")
    if able:
        return Mutual(
            "mutual", f"automatic: {able} of {len(endpoints)} endpoints speak mesh mTLS, the others get plaintext"
        )
    return Mutual("disable", "automatic: no endpoint is known to speak mesh mTLS")
