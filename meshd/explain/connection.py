"""From a connection to what treats it: listener, filter chain, TLS, connection policies. Pure.

The acceptor's order (``proxy/downstream/acceptor.py``), with the same functions.
"""

from __future__ import annotations

import attrs

from meshd.explain.call import Call, Protocol, Tls
from meshd.explain.decision import Decision, Mutual, Verdict
from meshd.explain.filters import FILTER_CONTEXT
from meshd.net.address import Address
from meshd.policy.catalog import build_connection_filters
from meshd.policy.exchange import ConnectionInfo, Denial
from meshd.proxy.peer_metadata import namespace_of
from meshd.snapshot.chains import VIRTUAL_INBOUND, ConnectionFacts, select_chain, select_listener
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import DownstreamTls, FilterChain, Listener
from meshd.snapshot.match import Recorder, Step
from meshd.snapshot.snapshot import Snapshot

WORKLOAD = "default"
"""The secret that is a workload's own certificate: mesh mTLS is made with it."""


@attrs.frozen
class Taken:
    """A connection that a chain has taken."""

    listener: Listener
    chain: FilterChain
    info: ConnectionInfo


def take(
    snapshot: Snapshot, mode: Direction, call: Call, decision: Decision, record: Recorder
) -> tuple[Decision, Taken | None]:
    """Which chain treats the call's connection; None when nothing does, and the decision says why."""
    listener = find_listener(snapshot, mode, call)
    where = f"{call.address or 'any address'} port {call.port}"
    if listener is None:
        why = f"no listener takes connections to {where}{_others(snapshot)}"
        record(Step("listener", -1, matched=False, because=why))
        return refused(decision, Verdict.NO_LISTENER, why), None
    record(Step("listener", -1, matched=True, because=_why(listener, call), name=listener.name))
    decision = attrs.evolve(decision, listener=listener.name)
    chain = select_chain(listener, facts_of(call), record)
    if chain is None:
        return refused(decision, Verdict.RESET, f"no filter chain of {listener.name} takes this connection"), None
    decision = attrs.evolve(decision, filter_chain=chain.name)
    wrong = _tls_mistake(chain.tls, call) or _protocol_mistake(chain, call)
    if wrong:
        record(Step("tls" if chain.tls is not None else "chain", -1, matched=False, because=wrong, name=chain.name))
        return refused(decision, Verdict.RESET, wrong), None
    info = _info(mode, listener, chain, call)
    for item in build_connection_filters(chain.filters, FILTER_CONTEXT):
        explain = getattr(item, "explain", None)
        denial: Denial | None = explain(info, record) if explain is not None else item.accept(info)
        if denial is not None:
            return refused(decision, Verdict.DENY, denial.reason or denial.detail), None
    if mode is Direction.INBOUND:
        decision = attrs.evolve(decision, mtls=_inbound_tls(chain, call))
    return decision, Taken(listener, chain, info)


def refused(decision: Decision, verdict: Verdict, reason: str, status: int = 0) -> Decision:
    """The end of it."""
    return attrs.evolve(decision, verdict=verdict, reason=reason, status=status)


def find_listener(snapshot: Snapshot, mode: Direction, call: Call) -> Listener | None:
    """The listener that a call reaches at a proxy."""
    if mode is Direction.INBOUND:
        return next((each for each in snapshot.listeners if each.name == VIRTUAL_INBOUND), None)
    return select_listener(snapshot.listeners, call.address, call.port)


def facts_of(call: Call) -> ConnectionFacts:
    """What the first bytes of the call's connection would say."""
    return ConnectionFacts(
        destination_port=call.port,
        server_name=call.sni.lower() if call.tls is not Tls.PLAINTEXT else "",
        transport_protocol="raw_buffer" if call.tls is Tls.PLAINTEXT else "tls",
        application_protocols=call.application_protocols,
        destination_ip=call.address,
    )


def _others(snapshot: Snapshot) -> str:
    ports = sorted({each.port for each in snapshot.listeners})
    if not ports:
        return ": this proxy has none at all"
    more = f" and {len(ports) - 10} more" if len(ports) > 10 else ""
    return f"; there are some for port {', '.join(map(str, ports[:10]))}{more}"


def _why(listener: Listener, call: Call) -> str:
    if listener.direction is Direction.INBOUND:
        return f"everything that comes in, here for port {call.port}"
    if listener.port != call.port:
        return (
            f"nobody listens for {call.address or 'any address'} port {call.port}, so what takes everything else does"
        )
    return f"connections to {listener.host or 'any address'} port {listener.port}"


def _tls_mistake(tls: DownstreamTls | None, call: Call) -> str:
    """Why a handshake fails, "" when it does not (or there is none)."""
    if tls is None:
        return ""
    mesh = tls.certificate == WORKLOAD
    if call.tls is Tls.PLAINTEXT:
        return f"this chain speaks {'mesh mTLS' if mesh else 'TLS'} and the client plaintext"
    if tls.require_client_certificate and call.tls is not Tls.MTLS:
        whose = " of the mesh" if mesh else ""
        return f"this chain wants a client certificate{whose} (mTLS), and the client shows none"
    if not mesh and not tls.validation and call.tls is Tls.MTLS:
        return "the client wants mTLS, and this chain shows a certificate of its own and asks for none"
    return ""


def _protocol_mistake(chain: FilterChain, call: Call) -> str:
    """Why bytes that arrive cannot be read as this chain reads them."""
    if chain.http is None:
        return ""
    if chain.tls is None and call.tls is not Tls.PLAINTEXT:
        return "protocol error: this chain reads plaintext HTTP, and TLS arrives"
    if call.protocol is Protocol.TCP:
        return "protocol error: this chain reads HTTP, and something else arrives"
    return ""


def _info(mode: Direction, listener: Listener, chain: FilterChain, call: Call) -> ConnectionInfo:
    terminated = chain.tls is not None
    proven = terminated and call.tls is Tls.MTLS
    principal = call.peer.removeprefix("spiffe://") if proven else ""
    return ConnectionInfo(
        direction=mode,
        peer=Address(call.client, 0),
        local=Address(call.address, call.port),
        destination_port=call.port,
        principal=principal,
        namespace=namespace_of(principal),
        server_name=call.sni.lower() if call.tls is not Tls.PLAINTEXT else "",
        tls=terminated,
        mtls=proven,
        listener=listener.name,
        chain=chain.name,
    )


def _inbound_tls(chain: FilterChain, call: Call) -> Mutual:
    if chain.tls is None:
        if call.tls is Tls.PLAINTEXT:
            return Mutual("disable", "the client speaks plaintext, and this port takes it")
        return Mutual("disable", "TLS is passed on as it is: it is the application's own")
    if call.tls is Tls.MTLS:
        return Mutual("mutual", f"the client proved to be {call.peer}" if call.peer else "mesh mTLS")
    return Mutual("simple", "TLS ends here")
