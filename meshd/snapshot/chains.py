"""Which listener takes a connection, and which of its filter chains. Pure.

There is one implementation: the proxy's acceptors and explanations call it. As
in ``match``, each function takes an optional recorder.

Source of the rules: Envoy 1.40.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

import attrs

from meshd.snapshot.common import Direction
from meshd.snapshot.listener import FilterChain, FilterChainMatch, Listener
from meshd.snapshot.match import Recorder, Step

Chains = tuple[FilterChain, ...]

VIRTUAL_OUTBOUND = "virtualOutbound"
VIRTUAL_INBOUND = "virtualInbound"


def select_listener(listeners: Iterable[Listener], host: str, port: int) -> Listener | None:
    """The listener for a captured connection to an address: its own, then the port's, then ``virtualOutbound``.

    Args:
        listeners: A snapshot's.
        host: The IP address the client connected to, "" when it is not known.
        port: The port it connected to.
    """
    rest: Listener | None = None
    of_port: Listener | None = None
    for listener in listeners:
        if listener.direction is Direction.INBOUND and listener.name != VIRTUAL_INBOUND:
            continue
        if listener.port == port and (not listener.host or is_any(listener.host)):
            of_port = of_port or listener
        elif listener.port == port and same_ip(listener.host, host):
            return listener
        if listener.name == VIRTUAL_OUTBOUND:
            rest = listener
    return of_port or rest


def is_any(host: str) -> bool:
    """Is this address every interface?"""
    return host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound


def same_ip(one: str, other: str) -> bool:
    """Are two IP literals the same address, however they are written?"""
    if one == other:
        return True
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return False


@attrs.frozen
class ConnectionFacts:
    """What is known of a connection when its chain is chosen.

    ``transport_protocol`` is ``tls`` or ``raw_buffer``; ``application_protocols``
    what ALPN offered, in the client's order, or what was sniffed.
    """

    destination_port: int = 0
    server_name: str = ""
    transport_protocol: str = "raw_buffer"
    application_protocols: tuple[str, ...] = ()
    destination_ip: str = ""
    """Where the client connected to, "" when it is not known: then no chain for particular addresses is its."""


def select_chain(listener: Listener, facts: ConnectionFacts, record: Recorder | None = None) -> FilterChain | None:
    """The filter chain for a connection, None when it must be closed.

    Envoy's order: destination port, destination address (longest prefix), server
    name (exact, then longest suffix), transport protocol, application protocols.
    Each step keeps the most specific chains and there is no way back: a
    connection for a port with chains of its own is never given to a chain without
    a port, so plaintext to a STRICT port finds no chain instead of a laxer one.
    When nothing is left, the listener's default chain takes the connection. Chains
    that match alike take none: nobody could say which is meant (Envoy refuses a
    listener that has them).
    """
    chains = listener.chains
    for narrow, missing in _STEPS:
        narrowed = narrow(chains, facts)
        if not narrowed:
            if record is not None:
                rest = listener.default_chain
                why = f"no {'other ' if rest is not None else ''}filter chain is for {missing(facts)}"
                name = rest.name if rest is not None else ""
                record(Step("chain", -1, matched=rest is not None, because=why, name=name))
            return listener.default_chain
        if record is not None:
            for chain in chains:
                if chain not in narrowed:
                    because = f"is for {describe_match(chain.match)}, not {missing(facts)}"
                    at = listener.chains.index(chain)
                    record(Step("chain", at, matched=False, because=because, name=chain.name))
        chains = narrowed
    if len(chains) > 1:
        if record is not None:
            names = ", ".join(chain.name for chain in chains)
            because = f"{len(chains)} filter chains match alike ({names}), so none can be chosen"
            record(Step("chain", -1, matched=False, because=because))
        return None
    chosen = chains[0]
    if record is not None:
        at = listener.chains.index(chosen)
        record(Step("chain", at, matched=True, because=describe_facts(facts), name=chosen.name))
    return chosen


def other_owner(listener: Listener, chain: FilterChain, host: str) -> FilterChain | None:
    """The chain of another server that a host name belongs to; None when it is ``chain``'s own, or nobody's.

    A TLS connection is taken by the server of the name it asked for. Whoever then
    sends requests for a host of another server would be judged by the wrong one:
    without that one's client certificates, for the worst (RFC 9110 section 15.5.20).

    Args:
        listener: A gateway's.
        chain: The chain that took the connection; it terminates TLS.
        host: Of a request: lower case, without its port.
    """
    if chain.tls is None or not host:
        return None
    facts = ConnectionFacts(listener.port, host.removesuffix("."), transport_protocol="tls")
    owner = select_chain(listener, facts)
    return None if owner is chain else owner


def needs_inspection(listener: Listener, destination_port: int) -> bool:
    """Do the connection's first bytes decide its chain?"""
    return any(
        chain.match.server_names or chain.match.transport_protocol or chain.match.application_protocols
        for chain in _by_port(listener.chains, ConnectionFacts(destination_port))
    )


def terminates_tls(listener: Listener, destination_port: int) -> bool:
    """Does TLS end here for some connections to this port?"""
    default = () if listener.default_chain is None else (listener.default_chain,)
    chains = (*_by_port(listener.chains, ConnectionFacts(destination_port)), *default)
    return any(chain.tls is not None for chain in chains)


def describe_facts(facts: ConnectionFacts) -> str:
    """The facts for an explanation."""
    address = f"[{facts.destination_ip}]" if ":" in facts.destination_ip else facts.destination_ip
    parts = [f"to {address}:{facts.destination_port}" if address else f"port {facts.destination_port}"]
    parts.append(TRANSPORTS.get(facts.transport_protocol, facts.transport_protocol))
    if facts.server_name:
        parts.append(f"server name {facts.server_name!r}")
    if facts.application_protocols:
        parts.append(f"protocol {', '.join(facts.application_protocols)}")
    return ", ".join(parts)


def describe_match(match: FilterChainMatch) -> str:
    """What a chain is for, in words."""
    parts = [f"port {match.destination_port}"] if match.destination_port else []
    if match.prefix_ranges:
        parts.append(_several(match.prefix_ranges))
    if match.server_names:
        parts.append(f"server name {_several(match.server_names)}")
    if match.transport_protocol:
        parts.append(TRANSPORTS.get(match.transport_protocol, match.transport_protocol))
    if match.application_protocols:
        parts.append(f"protocol {_several(match.application_protocols)}")
    return ", ".join(parts) or "anything else"


TRANSPORTS = {"tls": "TLS", "raw_buffer": "plaintext"}


def _several(names: tuple[str, ...]) -> str:
    return " or ".join(names[:3]) + (f" (and {len(names) - 3} more)" if len(names) > 3 else "")


def _by_port(chains: Chains, facts: ConnectionFacts) -> Chains:
    port = facts.destination_port
    exact = tuple(chain for chain in chains if chain.match.destination_port == port != 0)
    return exact or tuple(chain for chain in chains if not chain.match.destination_port)


def _by_address(chains: Chains, facts: ConnectionFacts) -> Chains:
    if not any(chain.match.prefix_ranges for chain in chains):
        return chains
    best: list[FilterChain] = []
    longest = -1
    for chain in chains:
        length = _prefix(chain.match.prefix_ranges, facts.destination_ip)
        if length > longest:
            best, longest = [chain], length
        elif length == longest >= 0:
            best.append(chain)
    return tuple(best) or tuple(chain for chain in chains if not chain.match.prefix_ranges)


def _prefix(ranges: tuple[str, ...], host: str) -> int:
    """The length of the longest range that holds an address, -1 when none does."""
    if not ranges or not host:
        return -1
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return -1
    networks = (ipaddress.ip_network(each, strict=False) for each in ranges)
    return max((each.prefixlen for each in networks if each.version == address.version and address in each), default=-1)


def _by_server_name(chains: Chains, facts: ConnectionFacts) -> Chains:
    name = facts.server_name.lower()
    candidates = [name] if name else []
    labels = name.split(".")
    candidates += ["*." + ".".join(labels[index:]) for index in range(1, len(labels))]
    for candidate in candidates:
        found = tuple(chain for chain in chains if candidate in chain.match.server_names)
        if found:
            return found
    return tuple(chain for chain in chains if not chain.match.server_names or "*" in chain.match.server_names)


def _by_transport(chains: Chains, facts: ConnectionFacts) -> Chains:
    exact = tuple(chain for chain in chains if chain.match.transport_protocol == facts.transport_protocol)
    return exact or tuple(chain for chain in chains if not chain.match.transport_protocol)


def _by_application(chains: Chains, facts: ConnectionFacts) -> Chains:
    for protocol in facts.application_protocols:
        found = tuple(chain for chain in chains if protocol in chain.match.application_protocols)
        if found:
            return found
    return tuple(chain for chain in chains if not chain.match.application_protocols)


_STEPS: tuple[tuple[Callable[[Chains, ConnectionFacts], Chains], Callable[[ConnectionFacts], str]], ...] = (
    (_by_port, lambda facts: f"destination port {facts.destination_port}"),
    (_by_address, lambda facts: f"destination address {facts.destination_ip or 'unknown'}"),
    (_by_server_name, lambda facts: f"server name {facts.server_name!r}" if facts.server_name else "no server name"),
    (_by_transport, lambda facts: TRANSPORTS.get(facts.transport_protocol, facts.transport_protocol)),
    (_by_application, lambda facts: f"protocol {', '.join(facts.application_protocols) or 'unknown'}"),
)
"""Each step, and what of a connection it looked at."""
