"""Which document makes a connection mutual TLS, simple TLS or plaintext. Pure.

The mode itself is the snapshot's; this says who is behind it: a field of a
DestinationRule on the client's side, of a PeerAuthentication on the server's.
"""

from __future__ import annotations

import attrs

from meshd.api.document import parse_path
from meshd.api.networking.destination_rule import DestinationRule, TrafficPolicy
from meshd.api.security import MutualTLSMode
from meshd.control.compiler.peer_authn import concerning, decided_at
from meshd.control.scope import Scope
from meshd.explain.call import Call, Tls
from meshd.explain.decision import Decision, Mutual, Verdict
from meshd.explain.places import Path, named
from meshd.explain.world import World
from meshd.snapshot.cluster import Cluster

TAKES = {
    MutualTLSMode.STRICT: "takes nothing but mesh mTLS",
    MutualTLSMode.PERMISSIVE: "takes mesh mTLS and plaintext",
    MutualTLSMode.DISABLE: "takes no mesh mTLS",
}


def of_server(world: World, scope: Scope, call: Call, decision: Decision) -> Decision:
    """The PeerAuthentication that says what a server's port takes, on a decision about a call that came in."""
    policies = concerning(world.mesh.peer_authentications, scope.namespace, world.mesh.root_namespace)
    decided = decided_at(policies, scope.namespace, scope.labels, call.port)
    takes = f"port {call.port} {TAKES.get(decided.mode, decided.mode.value)}"
    if decided.policy is None:
        because, resource, file = f"{takes} (PERMISSIVE, Istio's default)", "", ""
    else:
        resource = str(decided.policy)
        because = f"{takes}: {resource} says {decided.mode.value}"
        file = world.places.of(resource, parse_path(decided.path))
    found = attrs.evolve(decision, mtls=_joined(decision.mtls, call, because, resource, file))
    if decision.verdict is Verdict.RESET and not decision.cluster and decided.mode is MutualTLSMode.STRICT:
        plain = "the client speaks plaintext" if call.tls is Tls.PLAINTEXT else "the client's TLS is not the mesh's"
        return attrs.evolve(found, reason=f"{plain}, and {because}")
    return found


def _joined(mutual: Mutual, call: Call, because: str, resource: str, file: str) -> Mutual:
    came = {Tls.PLAINTEXT: "plaintext came", Tls.TLS: "TLS came", Tls.MTLS: "mTLS came"}[call.tls]
    proved = f", from {call.peer}" if call.peer and mutual.mode == "mutual" else ""
    return Mutual(mutual.mode, f"{came}{proved}; {because}", resource, file)


def of_client(world: World, cluster: Cluster, decision: Decision) -> Decision:
    """The DestinationRule's field behind the TLS that is spoken to a cluster."""
    resource = named(cluster.tls_reason)
    document = world.places.document(resource) if resource else None
    if document is None or not isinstance(document.resource, DestinationRule):
        return decision
    path = tls_path(document.resource, cluster.subset, cluster.port)
    file = world.places.of(resource, path)
    return attrs.evolve(decision, mtls=attrs.evolve(decision.mtls, resource=resource, file=file))


def tls_path(rule: DestinationRule, subset: str, port: int) -> Path:
    """Where the ``tls`` that holds for a port of a subset stands: a subset's word goes before the host's."""
    for index, each in enumerate(rule.subsets):
        if each.name == subset:
            found = _in_policy(each.trafficPolicy, ("spec", "subsets", index, "trafficPolicy"), port)
            if found:
                return found
    return _in_policy(rule.trafficPolicy, ("spec", "trafficPolicy"), port) or ("spec",)


def _in_policy(policy: TrafficPolicy | None, at: Path, port: int) -> Path:
    if policy is None:
        return ()
    for index, setting in enumerate(policy.portLevelSettings):
        if setting.port is not None and setting.port.number == port and setting.tls is not None:
            return (*at, "portLevelSettings", index, "tls")
    return (*at, "tls") if policy.tls is not None else ()
