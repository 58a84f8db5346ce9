"""A whole mesh in one process, on virtual time.

::

    async def test_reviews(mesh):
        mesh.load("virtual-service.yaml")
        mesh.service("reviews", v1=b"one", v2=[503, 503, b"two"])
        mesh.service("productpage")
        answer = await mesh.call("productpage", "GET http://reviews/")
        answer.expect(status=200, served_by="reviews-v1")

Everything but the wires, the clock and the applications is real: the control
plane with its CA, tokens and HTTPS API, agents that join, poll and rotate,
engines that speak mutual TLS. Each workload has a machine of its own.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs
import trio

from meshd.control.finding import Finding
from meshd.modes.settings import Workload as Account
from meshd.net.memory import Wire
from meshd.testing import cast
from meshd.testing.answer import Answer
from meshd.testing.app import OWN_NAME, Script
from meshd.testing.calls import TIMEOUT, Call
from meshd.testing.control import HOST as CONTROL_HOST
from meshd.testing.control import ControlProcess
from meshd.testing.fields import Fields
from meshd.testing.harm import unplugged, wires_of
from meshd.testing.loading import Settling, read_all, refuse, yaml_files
from meshd.testing.machines import Machines, Part
from meshd.testing.proxies import ProxyProcess
from meshd.testing.store import MemoryStore
from meshd.testing.workload import Gateway, Outsider, Service, Workload

START = 1_767_225_600.0
"""The wall clock when a mesh is opened: 2026-01-01T00:00:00Z."""
SETTLE = 0.03
"""Seconds after which a registration has become documents (``control/nodes.py`` waits 0.02)."""
LOOK = 0.01
"""Seconds between two looks."""


@attrs.frozen
class Settings:
    """How a mesh is opened: see ``open_mesh``."""

    seed: int = 1
    trust_domain: str = "cluster.local"
    certificate_ttl: float = 24 * 3600.0
    beside: Path | None = None
    """A directory that relative paths may also start from: the test's own."""


class Mesh:
    """A mesh inside a test. Made by ``open_mesh``.

    Attributes:
        seed: What all chance comes from.
        directory: Where the state directories are.
        control: The control plane.
        network: All wires and machines.
        names: What names resolve to, beside the mesh's own: ``mesh.names["db.example.com"] = ("10.9.9.9",)``.
        store: The documents.
    """

    def __init__(self, nursery: trio.Nursery, directory: Path, settings: Settings) -> None:
        self.seed = settings.seed
        self.directory = directory
        self._settings = settings
        self._opened = trio.current_time()
        self._machines = Machines(nursery, directory, settings.seed, self.wall_clock, self._wait)
        self.network = self._machines.network
        self.names = self._machines.resolver.names
        # The whole mutable state: who takes part, what is still to settle, and calls that nobody may have awaited.
        self.services: dict[str, Service] = {}
        self.gateways: list[Gateway] = []
        self._joining: list[ProxyProcess] = []
        self._unsettled = False
        self._files = 0
        self._calls: list[tuple[Coroutine[Any, Any, Answer], str]] = []
        self.store = MemoryStore(self.wall_clock)
        self.control = ControlProcess(
            self.store,
            directory / "control",
            self._machines.ground(CONTROL_HOST, "control"),
            trust_domain=settings.trust_domain,
            certificate_ttl=settings.certificate_ttl,
        )

    # Time.

    def now(self) -> float:
        """Seconds since the mesh was opened."""
        return trio.current_time() - self._opened

    def wall_clock(self) -> float:
        """Seconds since 1970, as certificates and logs of this mesh have them."""
        return START + self.now()

    async def sleep(self, seconds: float) -> None:
        """Let time pass; it costs what happens in it."""
        await trio.sleep(seconds)

    # Configuration.

    def load(self, *paths: str | Path) -> Settling:
        """Put files, or directories of them, into the store.

        A file of the same name is replaced. Every proxy runs it before the next
        call; ``await`` what this returns to wait for that now.

        Args:
            paths: YAML files and directories; relative ones start from the working directory, or else from the
                test's own.

        Raises:
            ConfigError: a document is refused; those that are not are in force.
            FileNotFoundError: there is no such file.
        """
        found = read_all(paths, self._settings.beside)
        return self._put((str(path), text) for path, text in found)

    def apply(self, *documents: str | Path) -> Settling:
        """Put YAML texts (or files, as ``load``) into the store.

        Raises:
            ConfigError: as ``load``.
        """
        found: list[tuple[str, str | bytes]] = []
        for each in documents:
            if isinstance(each, Path):
                found += [(str(path), text) for path, text in read_all((each,), self._settings.beside)]
            else:
                self._files += 1
                found.append((f"applied-{self._files}.yaml", each))
        return self._put(found)

    def put(self, document: str | Path, name: str = "") -> tuple[Finding, ...]:
        """Put documents into the store, and wait for nothing; returns what is wrong with them."""
        if isinstance(document, Path):
            paths = yaml_files(document)
            return tuple(each for path in paths for each in self.store.put(name or str(path), path.read_bytes()))
        if not name:
            self._files += 1
            name = f"applied-{self._files}.yaml"
        return self.store.put(name, document)

    def delete(self, name: str | Path) -> Settling:
        """Take a file out of the store.

        Raises:
            KeyError: there is none of this name.
        """
        self.store.remove(str(name))
        self._unsettled = True
        return Settling(self._wait)

    async def settled(self, timeout: float = 60.0) -> None:  # noqa: ASYNC109 - virtual seconds, said in the message
        """Wait until everybody is ready, and every proxy that runs has what is in the store (or has refused it).

        Raises:
            MeshdError: a proxy could not start.
            RuntimeError: that did not happen within ``timeout`` seconds; says why.
        """
        while self._joining:
            await self._joining[0].ready()
            self._joining.pop(0)
        with trio.move_on_after(timeout):
            await trio.sleep(SETTLE)
            while self.control.unsettled(self.proxies):  # noqa: ASYNC110 - looking costs nothing on virtual time
                await trio.sleep(LOOK)
            self._unsettled = False
            return
        raise RuntimeError(f"not settled within {timeout:g} seconds: {self.control.unsettled(self.proxies)}")

    # Who takes part.

    @property
    def workloads(self) -> list[Workload]:
        """Every workload, in the order in which they came."""
        return [workload for service in self.services.values() for workload in service]

    @property
    def proxies(self) -> list[ProxyProcess]:
        """Every sidecar and gateway."""
        sidecars = [workload.sidecar for workload in self.workloads if workload.sidecar is not None]
        return [*sidecars, *(gateway.proxy for gateway in self.gateways)]

    def workload(self, name: str) -> Workload:
        """A workload by its name (``reviews-v2``), or the first of a service (``reviews``).

        Raises:
            KeyError: there is none.
        """
        found = cast.find(name, self.services)
        if found is None:
            raise cast.Nobody(cast.nobody(name, self.services, self.gateways))
        return found

    def service(
        self,
        name: str,
        behaviour: Script = OWN_NAME,
        *,
        versions: Mapping[str, Script] | None = None,
        namespace: str = "default",
        account: str = "",
        labels: Mapping[str, str] | None = None,
        port: int = 0,
        protocol: str = "http",
        binds: Sequence[str] = (),
        sidecar: bool = True,
        **by_version: Script,
    ) -> Service:
        """Add a service: for each version a machine with an application and a sidecar that joins the mesh.

        ``mesh.service("reviews", v1=200, v2=[503, 200])``; what a behaviour is says ``testing/app.py``. It joins in
        the background; a call waits for it, and so does ``await mesh.service(...)``.

        Args:
            name: Of the service; others call ``http://NAME/``.
            behaviour: How its one application answers; by default with its workload's name.
            versions: As ``by_version``, for versions that are no words of Python: ``versions={"2.0": 200}``.
            namespace: Its namespace.
            account: Its service account; the service's name unless given.
            labels: More labels.
            port: Where the applications listen; 9080, or what a Service of this name in the store says.
            protocol: ``http``, ``http2``, ``grpc`` or ``tcp``: what the service's port is declared as, unless the
                store does. With ``tcp`` behaviours are those of ``testing/talk.py``.
            binds: Services that its applications reach by ``Workload.connect``: ``("db:5432",)``; each gets a local
                port of its sidecar, as ``meshd sidecar --bind`` makes.
            sidecar: False gives machines without a sidecar: known to the mesh by documents only.
            by_version: Label ``version`` and behaviour of each workload, instead of one without a version.
        """
        scripts = cast.scripts(name, behaviour, versions, by_version, self.service)
        declared = cast.declared(name, namespace, self.store.documents)
        part = Part(
            name,
            namespace,
            account or declared.account or name,
            tuple(sorted({**declared.labels, **(labels or {})}.items())),
            port or declared.port or cast.PORT,
            protocol != "tcp",
            tuple(binds),
            sidecar,
        )
        cast.check(part, scripts, protocol, self.services)
        if protocol != "http" and not declared.known:
            self.store.put(f"service/{namespace}/{name}", cast.service_document(part, protocol))
        added = tuple(
            self._machines.workload(
                cast.workload_name(name, version), script, cast.as_version(part, version), self.control
            )
            for version, script in scripts.items()
        )
        service = Service(name, namespace, added, self._wait)
        self.services[name if name not in self.services else f"{name}.{namespace}"] = service
        self._joining += [workload.proxy for workload in added if sidecar]
        self._unsettled = True
        return service

    def populate(self) -> list[Service]:
        """Add every Service of the store that nobody plays yet.

        Its versions are those of the Deployments that it selects, else those of the subsets of its DestinationRule,
        else one without a version. Everyone answers with the workload's name.
        """
        roles = cast.roles(self.store.documents, self.services)
        return [
            self.service(role.name, versions=dict.fromkeys(role.versions, OWN_NAME), namespace=role.namespace)
            for role in roles
        ]

    def gateway(
        self,
        name: str = "istio-ingressgateway",
        *,
        namespace: str = "istio-system",
        account: str = "",
        labels: Mapping[str, str] | None = None,
        ports: Mapping[int, int] | None = None,
    ) -> Gateway:
        """Add a gateway. It joins in the background, as a service does.

        Args:
            name: Of its workload.
            namespace: Its namespace.
            account: Its service account; its name unless given.
            labels: What Gateway selectors look for; ``istio: ingressgateway`` unless given.
            ports: Where server ports are bound, when not as they are.
        """
        shown = tuple(sorted((labels or {"istio": "ingressgateway"}).items()))
        node = f"{name}-{len(self.gateways) + 1}"
        whose = Account(namespace, account or name, name, shown)
        gateway = self._machines.gateway(whose, node, ports or {}, self.control)
        self.gateways.append(gateway)
        self._joining.append(gateway.proxy)
        self._unsettled = True
        return gateway

    def outsider(self) -> Outsider:
        """A machine outside of the mesh, with an address of its own."""
        return self._machines.outsider()

    def call(
        self,
        caller: str | Workload | Gateway,
        request: str,
        url: str = "",
        *,
        headers: Fields = (),
        body: bytes | str = b"",
        timeout: float = TIMEOUT,
        protocol: str = "http",
    ) -> Coroutine[Any, Any, Answer]:
        """A request: ``await mesh.call("productpage", "GET http://reviews/", headers={"end-user": "jason"})``.

        Args:
            caller: A service or workload, whose application asks through its sidecar; or a gateway, which is asked
                from outside.
            request: Method and URL; or the method alone.
            url: The URL, when ``request`` is the method alone.
            headers: Header fields.
            body: The body.
            timeout: Virtual seconds until the caller gives up.
            protocol: ``http``, ``h2`` or ``grpc``.

        Raises:
            KeyError: there is no such caller.
            DeadlineExceeded: the caller gave up.
            MeshdError: the connection to the proxy was refused or broke.
            ValueError: that is no request.
        """
        line = Call.of(request, url, protocol=protocol).line
        more = {"headers": headers, "body": body, "timeout": timeout, "protocol": protocol}
        calling = self._call(self._caller(caller), line, more)
        frame = sys._getframe(1)
        self._calls = [each for each in self._calls if inspect.getcoroutinestate(each[0]) == inspect.CORO_CREATED]
        self._calls.append((calling, f"{frame.f_code.co_filename}:{frame.f_lineno}: mesh.call(..., {line!r})"))
        return calling

    async def _call(self, caller: Workload | Gateway, line: str, more: Mapping[str, Any]) -> Answer:
        answer = await caller.call(line, **more)
        hint = cast.hint(line, answer, self.services)
        return attrs.evolve(answer, hint=hint) if hint else answer

    def _caller(self, caller: str | Workload | Gateway) -> Workload | Gateway:
        if not isinstance(caller, str):
            return caller
        found = cast.find(caller, self.services) or next((each for each in self.gateways if each.name == caller), None)
        if found is None and (role := cast.role(caller, self.store.documents, self.services)) is not None:
            # The configuration knows it; who only calls needs no script.
            found = self.service(role.name, namespace=role.namespace).workload
        if found is None:
            raise cast.Nobody(cast.nobody(caller, self.services, self.gateways))
        return found

    def forgotten(self) -> tuple[str, ...]:
        """The calls that were made without ``await``, so that nothing happened. They never will."""
        lost = [each for each in self._calls if inspect.getcoroutinestate(each[0]) == inspect.CORO_CREATED]
        for coroutine, _ in lost:
            coroutine.close()
        return tuple(place for _, place in lost)

    # Harm.

    def wires(self, host: str = "") -> tuple[Wire, ...]:
        """The connections that are open, or those of one machine: to be cut, stalled, slowed down."""
        return wires_of(self.network, host)

    def unplugged(self, *hosts: str) -> AbstractContextManager[None]:
        """Take machines off the network for the length of the block: nothing arrives, nothing is refused."""
        return unplugged(self.network, hosts)

    async def _wait(self) -> None:
        if self._unsettled:
            await self.settled()

    def _put(self, texts: Any) -> Settling:
        findings = [finding for name, text in texts for finding in self.store.put(name, text)]
        self._unsettled = True
        refuse(findings)
        return Settling(self._wait)
