"""The machines of a mesh inside a test, and what is put on them: applications, sidecars, gateways, strangers."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import attrs
import trio

from meshd.certs.contexts import TlsContexts
from meshd.modes.feeds import Nobody
from meshd.modes.settings import ServiceBind
from meshd.modes.settings import Workload as Account
from meshd.net.address import Address
from meshd.net.memory import MemoryMachine, MemoryNetwork, StaticResolver
from meshd.net.timers import Timers
from meshd.testing.app import FakeApp, Received, Script, Site
from meshd.testing.calls import Client, Neighbours
from meshd.testing.chance import stream_of_chance
from meshd.testing.control import ControlProcess
from meshd.testing.process import Ground
from meshd.testing.proxies import LOOPBACK, Access, ProxyProcess, Stand, gateway_program, sidecar_program
from meshd.testing.records import AccessRecord, Journal
from meshd.testing.workload import Gateway, Outsider, Wait, Workload


@attrs.frozen
class Part:
    """Which part a workload plays.

    ``account`` is its service account, ``labels`` all its labels but ``app``,
    ``port`` where its application listens, ``binds`` the services (``db:5432``)
    that it connects to.
    """

    service: str
    namespace: str
    account: str
    labels: tuple[tuple[str, str], ...]
    port: int
    http: bool = True
    binds: tuple[str, ...] = ()
    sidecar: bool = True


FIRST_BIND = 20_000
"""The local port of a workload's first bind."""


def bind_of(text: str, port: int) -> ServiceBind:
    """A local port for ``db:5432``.

    Raises:
        ValueError: it names no service and port.
    """
    host, _, number = text.rpartition(":")
    if not host or not number.isdecimal():
        raise ValueError(f"{text!r} names no service and port: expected SERVICE:PORT, as in db:5432")
    return ServiceBind(host, int(number), Address(LOOPBACK, port))


class Machines:
    """All of them. Made by the mesh."""

    def __init__(
        self, nursery: trio.Nursery, directory: Path, seed: int, wall_clock: Callable[[], float], ready: Wait
    ) -> None:
        """Begin with none.

        Args:
            nursery: What runs on them lives in it.
            directory: Where the state directories are.
            seed: What all chance comes from.
            wall_clock: Seconds since 1970.
            ready: Is awaited before each request from one of them.
        """
        self.network = MemoryNetwork()
        self.resolver = StaticResolver()
        self.journal = Journal()
        self._nursery = nursery
        self._directory = directory
        self._seed = seed
        self._wall_clock = wall_clock
        self._ready = ready
        self._timers = Timers()
        nursery.start_soon(self._timers.run)
        self._neighbours = Neighbours(nursery, self._timers, self._name_of, self.journal, self._busy)
        # The whole mutable state: who is where, and how many machines there are.
        self._by_ip: dict[str, tuple[Workload, str]] = {}
        self._machines = 0
        self._strangers = 0

    def ground(self, ip: str, hostname: str) -> Ground:
        """What a process on a machine stands on."""
        chance = partial(stream_of_chance, self._seed)
        return Ground(self.network.machine(ip), self.resolver, hostname, self._wall_clock, chance, self._nursery)

    def workload(self, name: str, script: Script, part: Part, control: ControlProcess) -> Workload:
        """A machine with an application and its sidecar, both started."""
        ip, machine = self._machine()
        workload = Workload(name, Address(ip, part.port), Client(machine, self._neighbours), self._ready)
        here = Address(LOOPBACK if part.sidecar else "", part.port)
        site = Site(self._nursery, machine, here, self._timers, part.http)
        workload.app = FakeApp(name, script, site, workload.call)
        self._by_ip[ip] = workload, part.service
        workload.app.start()
        if part.sidecar:
            workload.sidecar = self._sidecar(workload, part, control)
            workload.sidecar.start()
        else:
            workload.app.on_request = partial(self._note_request, name)
        return workload

    def _sidecar(self, workload: Workload, part: Part, control: ControlProcess) -> ProxyProcess:
        app = Address(LOOPBACK, part.port)
        workload.binds = {bind: bind_of(bind, FIRST_BIND + n) for n, bind in enumerate(part.binds)}
        binds = tuple(workload.binds.values())
        stand = Stand(part.service, part.namespace, part.account, part.labels, app, workload.ip, binds)
        name = f"{workload.name}.{part.namespace}"
        access: Access = partial(control.access, part.account, part.namespace)
        program = sidecar_program(stand, access, self._directory / name)
        note = partial(self._note_record, workload.name)
        return ProxyProcess(name, program, self.ground(workload.ip, workload.name), note)

    def gateway(self, account: Account, node: str, ports: Mapping[int, int], control: ControlProcess) -> Gateway:
        """A machine with a gateway, started."""
        ip, _ = self._machine()
        access: Access = partial(control.access, account.service_account, account.namespace)
        program = gateway_program(account, dict(ports), access, self._directory / node)
        gateway = Gateway(
            account.service, ip, ProxyProcess(node, program, self.ground(ip, node)), dict(ports), self.outsider()
        )
        gateway.proxy.start()
        return gateway

    def outsider(self) -> Outsider:
        """A machine outside of the mesh, with an address of its own."""
        self._strangers += 1
        ip = f"203.0.113.{self._strangers}"
        contexts = TlsContexts(Nobody(), wall_clock=self._wall_clock)

        def trusting(roots: str) -> ssl.SSLContext:
            return contexts.web_client(alpn=("http/1.1",), roots_pem=roots)

        return Outsider(ip, Client(self.network.machine(ip), self._neighbours), trusting, self._ready)

    def _machine(self) -> tuple[str, MemoryMachine]:
        self._machines += 1
        ip = f"10.0.{1 + self._machines // 250}.{self._machines % 250 + 1}"
        return ip, self.network.machine(ip)

    def _name_of(self, endpoint: str) -> tuple[str, str]:
        found = self._by_ip.get(Address.parse(endpoint).host)
        return (found[0].name, found[1]) if found is not None else ("", "")

    def _busy(self) -> str:
        return "; ".join(
            f"{workload.name} has {received.method} {received.path} and has not answered it"
            for workload, _ in self._by_ip.values()
            for received in workload.app.unanswered
        )

    def _note_record(self, workload: str, record: AccessRecord) -> None:
        if record.direction == "inbound":
            self.journal.arrived(record.request_id, record.at, workload)

    def _note_request(self, workload: str, received: Received) -> None:
        self.journal.arrived(received.headers.get("x-request-id", ""), received.at, workload)
