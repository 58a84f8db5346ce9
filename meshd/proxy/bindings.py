"""Where a snapshot's listeners are really bound. Pure.

A snapshot knows the mesh's ports (15006, a gateway server's 80); which address
of this machine stands for them is the process's business: ``--inbound``,
``--outbound``, ``--bind SERVICE:PORT=ADDR``, ``--port 80=:8080``.
"""

from __future__ import annotations

import attrs

from meshd.net.address import Address
from meshd.snapshot.listener import Listener


@attrs.frozen
class Binding:
    """An address to bind. ``movable``: when it is taken, the next free port will do."""

    address: Address
    movable: bool = False

    def candidates(self, tries: int) -> tuple[Address, ...]:
        """The addresses to try, in order."""
        port = self.address.port
        if not self.movable or port == 0:
            return (self.address,)
        return tuple(Address(self.address.host, at) for at in range(port, min(port + tries, 65536)))


@attrs.frozen
class Bindings:
    """The process's choice of addresses.

    ``names`` (by listener) goes before ``ports`` (by mesh port); what neither
    names is bound as the snapshot says, on ``default_host`` where it names no
    host, and moves to the next free port when ``movable``.
    """

    names: tuple[tuple[str, Binding], ...] = ()
    ports: tuple[tuple[int, Binding], ...] = ()
    default_host: str = ""
    movable: bool = False
    tries: int = 100
    """How many ports are tried for a movable binding."""

    def of(self, listener: Listener) -> Binding | None:
        """Where to bind a listener; None when it is only reached by capture."""
        for name, binding in self.names:
            if name == listener.name:
                return binding
        if not listener.bound:
            return None
        for port, binding in self.ports:
            if port == listener.port or port in listener.server_ports:
                return binding
        return Binding(Address(listener.host or self.default_host, listener.port), self.movable)
