"""A control plane and agents in one process, over memory connections on virtual time.

The compiler is a fake: a *mesh* here is a mapping from a service account to a
snapshot, so that tests say exactly what is published to whom.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random

import attrs
import trio

from meshd.agent import Agent, AgentConfig, AgentLimits, World
from meshd.certs.authority import Lifetimes
from meshd.certs.contexts import TlsContexts
from meshd.certs.rotation import Rotation
from meshd.certs.x509 import LocalKeyMaker
from meshd.control.audit import AuditLog
from meshd.control.authority import Authority, ControlIdentity, open_authority
from meshd.control.issuing import Issuer
from meshd.control.nodes import NodeLimits, Nodes
from meshd.control.polling import SecretLookup
from meshd.control.publisher import Publisher
from meshd.control.scope import Scope
from meshd.control.server import ApiLimits, ControlApi, OperatorApi, Parts
from meshd.control.serving import ApiListener, ServingLimits, secure_with
from meshd.control.tokens import TokenStore
from meshd.errors import ConfigError
from meshd.http.stream import ServerStream
from meshd.net.address import Address
from meshd.net.connection import Network
from meshd.net.memory import MemoryNetwork, StaticResolver
from meshd.net.timers import Timers
from meshd.snapshot.protocol import Registration
from meshd.snapshot.snapshot import SecretRef, Snapshot
from meshd.snapshot.wire import encode

TRUST_DOMAIN = "cluster.local"
CONTROL = Address("127.0.0.1", 15012)
OPERATORS = Address("127.0.0.1", 15014)
LOCAL_SECRET = "local.a-secret-of-this-machine"

FakeMesh = Mapping[str, Snapshot]
Interfere = Callable[[ServerStream], Awaitable[bool]]
"""Answers a request in the API's stead and gives True, or False to let it through."""


class Clock:
    """Wall clock on trio's: starts at the real time."""

    def __init__(self) -> None:
        self._base = time.time() - trio.current_time()
        self.skew = 0.0

    def __call__(self) -> float:
        return self._base + trio.current_time() + self.skew


def compile_fake(mesh: FakeMesh, scope: Scope) -> Snapshot:
    found = mesh.get(scope.service_account)
    if found is None:
        raise ConfigError(f"nothing for {scope.service_account}")
    return found


class ControlRig:
    """A control plane's rooms. ``start`` and ``stop`` are its process's life; ``state`` survives it."""

    def __init__(self, network: Network, state: Path, clock: Callable[[], float], **options: object) -> None:
        self.network, self.state, self.clock, self.options = network, state, clock, options
        self.scope: trio.CancelScope | None = None
        self.starts = 0
        self.interfere: Interfere | None = None
        self.requests: list[tuple[float, str]] = []

    async def _handle(self, stream: ServerStream) -> None:
        self.requests.append((trio.current_time(), stream.request.path.decode()))
        if self.interfere is None or not await self.interfere(stream):
            await self.api.handle(stream)

    async def start(self, nursery: trio.Nursery) -> None:
        get = self.options.get
        self.starts += 1
        self.authority: Authority = open_authority(
            self.state,
            TRUST_DOMAIN,
            self.clock,
            lifetimes=get("lifetimes", Lifetimes()),  # type: ignore[arg-type]
            extra_roots=get("extra_roots", ()),  # type: ignore[arg-type]
            plugin=get("plugin"),  # type: ignore[arg-type]
        )
        self.identity = ControlIdentity(self.authority, self.clock, Random(1))
        self.identity.renew()
        self.tokens = TokenStore(self.state / "tokens", self.clock)
        self.audit = AuditLog(self.state / "audit.log", self.clock)
        self.issuer = Issuer(self.authority, self.tokens, self.audit, local_secret=LOCAL_SECRET)
        self.publisher: Publisher[FakeMesh, Scope] = Publisher(compile_fake, encode)
        self.nodes = Nodes(
            self.clock,
            self.state / "registrations.json",
            limits=get("node_limits", NodeLimits()),  # type: ignore[arg-type]
            on_scope_gone=self.publisher.forget,
        )
        self.nodes.load()
        secrets: SecretLookup = get("secrets", lambda _scope, _name: None)  # type: ignore[assignment]
        self.counted: list[tuple[str, int]] = []
        parts = Parts(
            self.authority,
            self.issuer,
            self.nodes,
            self.publisher,  # type: ignore[arg-type]
            self.clock,
            epoch=f"epoch{self.starts}",
            secrets=secrets,
            admins=get("admins", frozenset()),  # type: ignore[arg-type]
            limits=get("limits", ApiLimits()),  # type: ignore[arg-type]
            explain=get("explain"),  # type: ignore[arg-type]
            count=lambda endpoint, status: self.counted.append((endpoint, status)),
        )
        self.api = ControlApi(parts)
        self.documents: list[tuple[object, ...]] = []
        await nursery.start(self._run, parts)

    async def _run(self, parts: Parts, task_status: trio.TaskStatus[None]) -> None:
        timers = Timers()
        contexts = TlsContexts(self.identity, wall_clock=self.clock)
        limits = self.options.get("serving", ServingLimits())
        self.listener = ApiListener(
            self._handle,
            timers,
            secure=secure_with(contexts, TRUST_DOMAIN),
            limits=limits,  # type: ignore[arg-type]
        )
        operators = OperatorApi(parts, self.api, ready=lambda: "", metrics=lambda: iter([b"meshd_up 1\n"]))
        plain = ApiListener(operators.handle, timers)
        with trio.CancelScope() as self.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(timers.run)
                nursery.start_soon(self.identity.run)
                nursery.start_soon(self.nodes.run, self.documents.append)
                listening = self.network.listen(self.options.get("listen", CONTROL))  # type: ignore[arg-type]
                self.address = listening.address
                nursery.start_soon(self.listener.serve, listening)
                nursery.start_soon(plain.serve, self.network.listen(self.options.get("operators", OPERATORS)))  # type: ignore[arg-type]
                task_status.started()

    async def stop(self) -> None:
        """As kill -9: connections break, the state directory stays."""
        assert self.scope is not None
        self.scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        self.audit.close()

    def publish(self, **snapshots: Snapshot) -> None:
        self.publisher.publish(snapshots)

    def token(self, account: str = "reviews", **options: object) -> str:
        return self.tokens.create("default", account, **options)[1]  # type: ignore[arg-type]


@attrs.define
class AgentRig:
    """An agent with a proxy that notes what it is given."""

    agent: Agent
    applied: list[Snapshot] = attrs.field(factory=list)
    refuse: str = ""
    failure: BaseException | None = None
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    ended: trio.Event = attrs.field(factory=trio.Event)

    async def run(self) -> None:
        try:
            with self.scope:
                await self.agent.run()
        except Exception as error:  # noqa: BLE001 - what a test wants to look at
            self.failure = error
        self.ended.set()

    async def kill(self) -> None:
        self.scope.cancel()
        await self.ended.wait()
        self.agent.close()


def make_agent(
    network: MemoryNetwork,
    clock: Clock,
    *,
    load: bool = True,
    seed: int = 7,
    limits: AgentLimits | None = None,
    **config: object,
) -> AgentRig:
    settings: dict[str, object] = {
        "control": Address("control", CONTROL.port),
        "node": "reviews-1",
        "registration": Registration(
            service="reviews", labels=(("version", "v1"),), address="10.0.0.5", inbound_port=15006, app_port=9080
        ),
        "rotation": Rotation(),
        "limits": limits or AgentLimits(),
    }
    world = World(network, StaticResolver({"control": (CONTROL.host,)}), Random(seed), LocalKeyMaker(), clock)
    rig: AgentRig

    def apply(snapshot: Snapshot) -> None:
        if rig.refuse:
            raise ConfigError(rig.refuse)
        rig.applied.append(snapshot)

    rig = AgentRig(Agent(AgentConfig(**{**settings, **config}), world, apply))  # type: ignore[arg-type]
    if load:
        rig.agent.load()
    return rig


def snapshot(mark: str, *, secrets: tuple[SecretRef, ...] = (), trust_domain: str = TRUST_DOMAIN) -> Snapshot:
    """A snapshot that differs by its mark."""
    from meshd.snapshot.cluster import Cluster, Endpoint, EndpointGroup

    return Snapshot(
        clusters=(Cluster(f"outbound|9080||{mark}"), Cluster("outbound|9080||always")),
        endpoints=(EndpointGroup("outbound|9080||always", (Endpoint("10.0.0.9", 9080),)),),
        secrets=secrets,
        trust_domain=trust_domain,
    )


def mark_of(found: Snapshot) -> str:
    return next(cluster.name for cluster in found.clusters if not cluster.name.endswith("always")).rpartition("|")[2]
