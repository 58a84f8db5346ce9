"""From a request to its route and what is done with it: the HTTP half of an explanation. Pure.

The order of ``proxy/downstream/http.py`` and ``proxy/live.py``: identity headers,
path, route, the chain's filters, the route's filters, its action. The functions
are theirs; the recorder shows what the reference (``snapshot/match.py``) saw on
the way to the same route.
"""

from __future__ import annotations

import attrs

from meshd.errors import ProtocolError
from meshd.explain.call import Call, Protocol, Tls
from meshd.explain.connection import Taken, refused
from meshd.explain.decision import Decision, Rewritten, RouteTaken, Share, Verdict
from meshd.explain.filters import ask
from meshd.http.head import Headers, RequestHead
from meshd.net.connection import TlsInfo
from meshd.policy.exchange import ConnectionInfo, Exchange, Reply
from meshd.proxy.identity_headers import Introduction
from meshd.proxy.misdirected import misdirected
from meshd.proxy.path import normalizer
from meshd.proxy.route_entry import RouteEntry, Target
from meshd.proxy.router import CompiledVirtualHost
from meshd.snapshot.common import HeaderOperations
from meshd.snapshot.listener import HttpManager
from meshd.snapshot.match import NoRoute, Recorder, Step, select_route_in, select_table, select_virtual_host, text
from meshd.snapshot.policy import Fault
from meshd.snapshot.route import Forward, RouteTable, VirtualHost, WeightedCluster
from meshd.snapshot.snapshot import Snapshot

NEW_REQUEST_ID = b"(a new one)"


def follow(
    snapshot: Snapshot, call: Call, taken: Taken, decision: Decision, record: Recorder
) -> tuple[Decision, Exchange]:
    """What becomes of a request on an HTTP chain; ``decision.cluster`` is set when it is to be forwarded."""
    manager = taken.chain.http
    assert manager is not None
    exchange = _exchange(call, taken.info, manager)
    head = exchange.request
    try:
        head.target = normalizer(manager.path_normalization)(head.target)
    except ProtocolError as error:
        record(Step("path", -1, matched=False, because=str(error)))
        return refused(decision, Verdict.DENY, str(error), error.status), exchange
    entry: RouteEntry | Reply
    elsewhere = misdirected(taken.listener, taken.chain, head.authority)
    if elsewhere is not None:
        record(Step("connection", -1, matched=False, because=elsewhere.reason))
        entry = elsewhere
    else:
        entry, decision = _find(snapshot, manager, head, decision, record)
    if isinstance(entry, RouteEntry):
        exchange.route, exchange.virtual_host = entry.route, entry.virtual_host
    # A request that is denied does not learn what exists: filters come before the want of a route.
    reply = ask(manager.filters, exchange, record)
    if reply is not None:
        return _answered(decision, _verdict_of(reply), reply), exchange
    if isinstance(entry, Reply):
        verdict = Verdict.REDIRECT if entry.status == 301 else Verdict.NO_ROUTE
        return _answered(decision, verdict, entry), exchange
    return _act(entry, exchange, decision, record), exchange


def _exchange(call: Call, info: ConnectionInfo, manager: HttpManager) -> Exchange:
    """The exchange as the downstream side makes it: head as it came, identity headers applied."""
    headers = Headers.of((name.encode(), value.encode()) for name, value in call.headers)
    head = RequestHead(
        call.method.encode(),
        call.target.encode(),
        call.authority.encode(),
        headers,
        scheme=b"https" if info.tls else b"http",
        version="HTTP/2" if call.protocol is Protocol.HTTP2 else "HTTP/1.1",
    )
    exchange = Exchange(info, head, 0.0)
    content = headers.get(b"content-type") or b""
    exchange.grpc = call.method == "POST" and content.startswith(b"application/grpc")
    tls = None
    if info.tls:
        peer = call.peer if call.tls is Tls.MTLS else ""
        tls = TlsInfo("TLSv1.3", "", ",".join(call.alpn[:1]), call.sni, peer)
    Introduction(manager, info.peer, tls, request_id=lambda: NEW_REQUEST_ID).apply(exchange)
    return exchange


def _find(
    snapshot: Snapshot, manager: HttpManager, head: RequestHead, decision: Decision, record: Recorder
) -> tuple[RouteEntry | Reply, Decision]:
    """The route by the router, its reasons by the reference."""
    tables = {table.name: table for table in snapshot.route_tables}
    table = select_table(tables, manager, head.authority)
    decision = attrs.evolve(decision, route_config=manager.route_table or _name(table))
    if isinstance(table, NoRoute):
        record(Step("route_config", -1, matched=False, because=table.reason))
        return Reply(404, reason=table.reason, flags=()), decision
    pinned = next((each for each in table.virtual_hosts if manager.virtual_host == each.name), None)
    host = pinned or select_virtual_host(table, head.authority, record)
    if host is None:
        reason = f"no virtual host of route configuration {table.name} is for host {text(head.authority)!r}"
        return Reply(404, reason=reason), decision
    decision = attrs.evolve(decision, virtual_host=host.name)
    found = CompiledVirtualHost(host).select(head)
    if host.require_tls and head.scheme != b"https":
        record(Step("virtual_host", -1, matched=True, because="plaintext is redirected to https", name=host.name))
        return found, decision
    _record_routes(host, head, record)
    if isinstance(found, RouteEntry):
        origin = found.route.origin
        taken = RouteTaken(found.route.name, origin.resource, origin.rule, origin.match)
        decision = attrs.evolve(decision, route=taken)
    return found, decision


def _name(table: RouteTable | NoRoute) -> str:
    return table.name if isinstance(table, RouteTable) else ""


def _record_routes(host: VirtualHost, head: RequestHead, record: Recorder) -> None:
    """The routes looked at, each with its rule's index in its document."""

    def in_document(step: Step) -> None:
        origin = host.routes[step.rule].origin
        found = attrs.evolve(step, rule=origin.rule, match=origin.match) if origin.resource else step
        record(found)

    select_route_in(host, head, in_document)


def _answered(decision: Decision, verdict: Verdict, reply: Reply) -> Decision:
    location = next((value for name, value in reply.headers if name == b"location"), b"")
    return attrs.evolve(
        decision,
        verdict=verdict,
        status=reply.status,
        reason=reply.reason,
        flags=tuple(str(flag) for flag in reply.flags),
        location=text(location),
        body=text(reply.body),
    )


def _verdict_of(reply: Reply) -> Verdict:
    """What a filter's answer is: a refusal, or an answer that the configuration means (CORS, an injected fault)."""
    meant = reply.status < 400 or reply.detail == "fault_filter_abort"
    return Verdict.DIRECT_RESPONSE if meant else Verdict.DENY


def _act(entry: RouteEntry, exchange: Exchange, decision: Decision, record: Recorder) -> Decision:
    route = entry.route
    fault = next((each for each in route.filters if isinstance(each, Fault)), None)
    decision = attrs.evolve(decision, fault=fault, response_headers=route.response_headers)
    reply = ask(route.filters, exchange, record)
    if reply is not None:
        return _answered(decision, _verdict_of(reply), reply)
    if entry.forward is None:
        reply = entry.reply(exchange)
        redirect = any(name == b"location" for name, _ in reply.headers)
        return _answered(decision, Verdict.REDIRECT if redirect else Verdict.DIRECT_RESPONSE, reply)
    return _forward(entry, entry.forward, exchange, decision)


def _forward(entry: RouteEntry, forward: Forward, exchange: Exchange, decision: Decision) -> Decision:
    target, weighted = heaviest(entry, forward)
    head = exchange.request
    path, authority = head.target, head.authority
    target.edit_request(exchange, head)
    total = sum(each.weight for each in forward.clusters)
    return attrs.evolve(
        decision,
        cluster=target.cluster,
        shares=tuple(Share(each.cluster, 100.0 * each.weight / total) for each in forward.clusters)
        if len(forward.clusters) > 1
        else (Share(target.cluster, 100.0),),
        mirrors=tuple(Share(each.cluster, each.percent.per_million / 10_000) for each in forward.mirrors),
        missing_status=forward.missing_cluster_status,
        timeout=forward.timeout,
        retry=forward.retry,
        rewritten=Rewritten(
            path=text(head.target) if head.target != path else "",
            host=text(head.authority) if head.authority != authority else "",
        ),
        headers=tuple((text(name), text(value)) for name, value in head.headers.items()),
        response_headers=_then(weighted.response_headers, entry.route.response_headers),
    )


def heaviest(entry: RouteEntry, forward: Forward) -> tuple[Target, WeightedCluster]:
    """The destination that most requests go to; the first of those that get as many."""
    at = max(range(len(forward.clusters)), key=lambda index: (forward.clusters[index].weight, -index))
    return entry.targets[at], forward.clusters[at]


def _then(first: HeaderOperations, second: HeaderOperations) -> HeaderOperations:
    """Both, in order."""
    return HeaderOperations((*first.remove, *second.remove), (*first.set, *second.set), (*first.add, *second.add))
