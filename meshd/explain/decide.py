"""One call at one proxy: what happens, step by step. Pure.

Everything is asked of the compiled snapshot by the code that serves traffic;
where a step's document stands is looked up afterwards (``places``).
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from meshd.explain.call import Call, Tls
from meshd.explain.connection import take
from meshd.explain.decision import Decision, Mutual, RouteTaken, Seen, Share, Verdict
from meshd.explain.request import follow
from meshd.explain.upstream import go_up
from meshd.snapshot.cluster import Cluster
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import TcpProxy
from meshd.snapshot.match import Recorder, Step
from meshd.snapshot.snapshot import Snapshot


def decide(
    snapshot: Snapshot, mode: Direction, call: Call, endpoints_known: Callable[[Cluster], bool] = lambda _cluster: True
) -> Decision:
    """What a proxy does with a call.

    Args:
        snapshot: The proxy's.
        mode: Which way the call comes to it.
        call: The call.
        endpoints_known: Whether an empty list of a cluster's endpoints means that
            there are none, and not that nobody has said which there are.
    """
    steps: list[Step] = []
    decision, taken = take(snapshot, mode, call, Decision(), steps.append)
    passed_on = False
    if taken is not None:
        if taken.chain.tcp is not None:
            decision = _opaque(taken.chain.tcp, decision, steps.append)
            passed_on = call.tls is not Tls.PLAINTEXT and taken.chain.tls is None
        else:
            decision, _ = follow(snapshot, call, taken, decision, steps.append)
        if decision.cluster:
            decision = go_up(snapshot, mode, decision, steps.append, endpoints_known)
        if passed_on and decision.mtls.mode == "disable":
            own = "mutual" if call.tls is Tls.MTLS else "simple"
            decision = attrs.evolve(decision, mtls=Mutual(own, "the client's own TLS is passed on as it is"))
    seen = tuple(_seen(each) for each in steps)
    return attrs.evolve(decision, steps=seen)


def _opaque(proxy: TcpProxy, decision: Decision, record: Recorder) -> Decision:
    total = sum(weight for _, weight in proxy.clusters) or 1
    shares = tuple(Share(name, 100.0 * weight / total) for name, weight in proxy.clusters)
    most = max(shares, key=lambda share: share.percent)
    decision = attrs.evolve(decision, cluster=most.cluster, shares=shares, verdict=Verdict.ALLOW)
    origin = proxy.origin
    if not origin.resource:
        return decision
    because = "sends this connection on"
    record(
        Step(origin.section, origin.rule, matched=True, because=because, resource=origin.resource, match=origin.match)
    )
    return attrs.evolve(decision, route=RouteTaken("", origin.resource, origin.rule, origin.match, origin.section))


def _seen(step: Step) -> Seen:
    section = step.at if step.at in {"tls", "tcp"} and step.resource else "http"
    return Seen(step.at, step.rule, step.matched, step.because, step.name, step.resource, step.match, section)
