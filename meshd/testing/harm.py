"""What can be done to the wires of a mesh inside a test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from meshd.net.memory import MemoryNetwork, Wire


def wires_of(network: MemoryNetwork, host: str = "") -> tuple[Wire, ...]:
    """The connections that are open, or those of one machine."""
    return tuple(wire for wire in network.wires if not host or host in (wire.client.local.host, wire.server.local.host))


@contextmanager
def unplugged(network: MemoryNetwork, hosts: Sequence[str]) -> Iterator[None]:
    """Take machines off the network for the length of the block: nothing arrives, nothing is refused."""
    before = network.on_wire
    stalled = [wire for host in hosts for wire in wires_of(network, host)]

    def plug(wire: Wire) -> None:
        if before is not None:
            before(wire)
        # A machine off the network can be reached by nobody, and reaches nobody but itself.
        if wire.client.local.host in hosts:
            wire.stall()
            stalled.append(wire)

    for wire in stalled:
        wire.stall()
    network.silent.update(hosts)
    network.on_wire = plug
    try:
        yield
    finally:
        network.silent.difference_update(hosts)
        network.on_wire = before
        for wire in stalled:
            wire.resume()
