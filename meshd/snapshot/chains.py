"""Which filter chain a connection gets. Pure.

Envoy's order: destination port, server name (exact, then longest suffix),
transport protocol, application protocols. Each step keeps the chains that are
most specific, and there is no way back: a connection for a port with chains of
its own is never given to a chain without a port, so plaintext to a STRICT port
finds no chain instead of a laxer one.
"""

from __future__ import annotations

import attrs

from meshd.snapshot.listener import FilterChain, Listener
from meshd.snapshot.match import Recorder, Step


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


def select_chain(listener: Listener, facts: ConnectionFacts, record: Recorder | None = None) -> FilterChain | None:
    """The filter chain for a connection, None when it must be closed."""
    chains = _by_port(listener.chains, facts.destination_port)
    for narrow, failure in (
        (_by_server_name, f"no chain is for server name {facts.server_name!r}"),
        (_by_transport, f"no chain is for transport protocol {facts.transport_protocol}"),
        (_by_application, f"no chain is for application protocols {', '.join(facts.application_protocols) or 'unknown'}"),
    ):
        narrowed = narrow(chains, facts)
        if not narrowed:
            if record is not None:
                why = failure if chains else f"no chain is for destination port {facts.destination_port}"
                record(Step("chain", -1, matched=False, because=f"{listener.name}: {why}"))
            return None
        chains = narrowed
    chosen = chains[0]
    if record is not None:
        record(Step("chain", listener.chains.index(chosen), matched=True, because=f"{listener.name}: {describe_facts(facts)}"))
    return chosen


def needs_inspection(listener: Listener, destination_port: int) -> bool:
    """Do the connection's first bytes decide its chain?"""
    return any(
        chain.match.server_names or chain.match.transport_protocol or chain.match.application_protocols
        for chain in _by_port(listener.chains, destination_port)
    )


def describe_facts(facts: ConnectionFacts) -> str:
    """The facts for an explanation."""
    parts = [f"port {facts.destination_port}", facts.transport_protocol]
    if facts.server_name:
        parts.append(f"server name {facts.server_name!r}")
    if facts.application_protocols:
        parts.append(f"application protocols {', '.join(facts.application_protocols)}")
    return ", ".join(parts)


Chains = tuple[FilterChain, ...]


def _by_port(chains: Chains, port: int) -> Chains:
    exact = tuple(chain for chain in chains if chain.match.destination_port == port != 0)
    return exact or tuple(chain for chain in chains if not chain.match.destination_port)


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
