"""``meshd control``: documents in, snapshots and certificates out."""

from __future__ import annotations

import logging
import os
import secrets as tokens_of_chance
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import trio

from meshd.api.document import Document
from meshd.api.load import Loader
from meshd.certs import private_files
from meshd.certs.authority import CaMaterial, Lifetimes
from meshd.certs.contexts import TlsContexts
from meshd.control import local
from meshd.control.analysis.catalog import analyze
from meshd.control.audit import AuditLog
from meshd.control.authority import Authority, ControlIdentity, open_authority
from meshd.control.compiler import Memo, compile_snapshot
from meshd.control.finding import Finding
from meshd.control.ingest import Ingest
from meshd.control.issuing import Issuer, Refusal
from meshd.control.mesh import Mesh
from meshd.control.nodes import Nodes
from meshd.control.publisher import Publisher
from meshd.control.registrations import declared_hosts
from meshd.control.scope import Scope
from meshd.control.secrets import find_secret
from meshd.control.server import ControlApi, OperatorApi, Parts
from meshd.control.serving import ApiListener, secure_with
from meshd.control.sources.files import FileSource
from meshd.control.sources.source import Source, SourceSet
from meshd.control.sources.watching import make_watcher
from meshd.control.store.directory import DirectoryStore
from meshd.control.store.last_good import LastGood
from meshd.control.tokens import TokenStore
from meshd.errors import ConfigError, StartError
from meshd.modes import process
from meshd.modes.bell import Bell
from meshd.modes.findings import FindingLog
from meshd.modes.paths import state_home
from meshd.modes.process import Work, World, listen
from meshd.modes.settings import CaFiles, ControlSettings
from meshd.net.address import Address
from meshd.net.connection import Listener
from meshd.snapshot import wire
from meshd.snapshot.protocol import SecretResponse
from meshd.snapshot.snapshot import Snapshot
from meshd.telemetry.metrics import Registry

if TYPE_CHECKING:
    from meshd.modes.explainer import Explainer

logger = logging.getLogger(__name__)

FILES, REGISTRATIONS = "files", "registrations"
ANYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - to recognise it


@attrs.frozen(eq=False)
class Office:
    """What a control plane is made of, once its state directory is open."""

    authority: Authority
    identity: ControlIdentity
    audit: AuditLog
    nodes: Nodes
    publisher: Publisher[Any, Scope]
    api: ControlApi
    parts: Parts
    secret: str = attrs.field(repr=False)
    """The join secret of this user's own proxies on this machine."""
    registry: Registry


def open_office(
    settings: ControlSettings,
    state: Path,
    world: World,
    explain: Callable[[bytes], Awaitable[bytes]] | None = None,
) -> Office:
    """Open the state directory and put the parts together; ``explain`` as in ``Parts``.

    Raises:
        ConfigError: the directory or the CA cannot be used.
    """
    private_files.ensure_directory(state)
    lifetimes = Lifetimes(default=settings.certificate_ttl)
    authority = open_authority(
        state,
        settings.trust_domain,
        world.wall_clock,
        plugin=_read_ca(settings.ca) if settings.ca is not None else None,
        lifetimes=lifetimes,
    )
    identity = ControlIdentity(authority, world.wall_clock, world.rng)
    identity.renew()
    audit = AuditLog(state / "audit.log", world.wall_clock)
    secret = local.make_secret()
    issuer = Issuer(authority, TokenStore(state / "tokens", world.wall_clock), audit, local_secret=secret)
    publisher: Publisher[Any, Scope] = _publisher()
    nodes = Nodes(world.wall_clock, state / "nodes.json", on_scope_gone=publisher.forget)
    registry = Registry()
    answers = registry.counter("meshd_control_requests_total", "Requests of the API.", ("endpoint", "status"))
    parts = Parts(
        authority=authority,
        issuer=issuer,
        nodes=nodes,
        publisher=publisher,
        wall_clock=world.wall_clock,
        epoch=tokens_of_chance.token_hex(8),
        secrets=partial(_secret, publisher),
        explain=explain,
        count=lambda endpoint, status: answers.labels(endpoint, str(status)).inc(),
    )
    return Office(authority, identity, audit, nodes, publisher, ControlApi(parts), parts, secret, registry)


def _secret(publisher: Publisher[Any, Scope], scope: Scope, name: str) -> SecretResponse | None:
    mesh = publisher.mesh
    return None if mesh is None else find_secret(mesh.secrets, scope, name, mesh.gateway_secrets)


def _read_ca(files: CaFiles) -> CaMaterial:
    return CaMaterial(
        _read_pem(files.certificate, "--ca-cert"),
        _read_pem(files.key, "--ca-key"),
        _read_pem(files.chain, "--ca-chain") if files.chain is not None else "",
    )


def _read_pem(path: Path, flag: str) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{flag} {path} cannot be read: {error.strerror}; give a PEM file that this user may read"
        ) from error
    return data.decode("ascii", "replace")


def _publisher() -> Publisher[Any, Scope]:
    """All proxies share one memo: what is the same for them is compiled, encoded and kept once."""
    memo = Memo()

    def compile_for(mesh: Mesh, scope: Scope) -> Snapshot:
        return compile_snapshot(mesh, scope, memo)

    return Publisher(compile_for, lambda snapshot: wire.encode(snapshot, memo.encoded))


@attrs.define(eq=False)
class ControlPlane:
    """A ``Program``: the control plane of one store.

    Without a ``source`` it watches the directory of its settings.
    """

    settings: ControlSettings
    source: Source | None = None
    # The whole mutable state: what is made when it starts, and what is to be analysed next.
    _office: Office | None = attrs.field(default=None, init=False)
    _ingest: Ingest | None = attrs.field(default=None, init=False)
    _https: ApiListener | None = attrs.field(default=None, init=False)
    _bell: Bell | None = attrs.field(default=None, init=False)
    _found: tuple[tuple[Document, ...], tuple[Finding, ...]] = attrs.field(default=((), ()), init=False)
    _analysed: tuple[Finding, ...] = attrs.field(default=(), init=False)
    _explainer: Explainer | None = attrs.field(default=None, init=False)
    _work: Work = attrs.field(default=process.in_thread, init=False)
    _fresh: trio.Event = attrs.field(factory=trio.Event, init=False)

    @property
    def office(self) -> Office | None:
        """What it is made of, once it runs."""
        return self._office

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found in the documents, one by one and across each other."""
        return (*self._found[1], *self._analysed)

    @property
    def documents(self) -> tuple[Document, ...]:
        """What is in force, registrations among it."""
        return self._found[0]

    @property
    def settled(self) -> bool:
        """Is everything published that the sources have said?"""
        return self._ingest is not None and not self._ingest.pending

    async def run(self, world: World) -> None:
        """Serve until cancelled."""
        settings = self.settings
        self._work = world.work
        state = settings.state or state_home(os.environ) / "control"
        source = self.source or self._watched(world, state)
        try:
            office = self._office = open_office(settings, state, world, self._explain)
        except ConfigError as error:
            raise StartError(str(error)) from error
        listener = listen(world.network, settings.listen, "listen")
        assert listener is not None
        console = listen(world.network, settings.console, "console")
        office.nodes.load()
        found = local.runtime_directory(os.environ)
        descriptor = _descriptor(office, listener.address, console.address if console else None, state)
        if settings.advertise_locally and not local.write(found, descriptor):
            logger.warning("another control plane of yours is the one that proxies find without a flag")
        try:
            await self._serve(world, office, source, listener, console)
        finally:
            if settings.advertise_locally:
                local.remove(found, descriptor)
            office.audit.close()

    async def _serve(
        self, world: World, office: Office, source: Source, listener: Listener, console: Listener | None
    ) -> None:
        settings = self.settings
        ingest = self._ingest = Ingest(self._on_documents, expected=(source.name, REGISTRATIONS))
        secure = secure_with(TlsContexts(office.identity, wall_clock=world.wall_clock), settings.trust_domain)
        self._https = ApiListener(office.api.handle, world.timers, secure=secure)
        # Each loop survives what it expects; whatever else fails in one of them is a bug and ends the process.
        async with trio.open_nursery() as control_nursery:
            control_nursery.start_soon(office.identity.run)
            control_nursery.start_soon(source.run, ingest.accept)
            control_nursery.start_soon(
                office.nodes.run, lambda documents: ingest.accept(SourceSet.of(REGISTRATIONS, documents))
            )
            control_nursery.start_soon(ingest.run)
            control_nursery.start_soon(self._analyse, world.work)
            control_nursery.start_soon(self._https.serve, listener)
            if console is not None:
                operators = OperatorApi(office.parts, office.api, ready=self._not_ready, metrics=office.registry.render)
                control_nursery.start_soon(ApiListener(operators.handle, world.timers).serve, console)
            logger.info(
                "serving",
                extra={
                    "api": f"https://{listener.address}",
                    "console": f"http://{console.address}" if console else "off",
                    "store": str(settings.store),
                    "ca_hash": office.authority.pin,
                },
            )

    def _watched(self, world: World, state: Path) -> FileSource:
        """The store of the settings, as a source."""
        _check_store(self.settings.store)
        store = DirectoryStore(
            [self.settings.store],
            Loader(),
            wall_clock=world.wall_clock,
            name=FILES,
            last_good=LastGood(state / "last-good"),
        )
        self._bell = Bell(make_watcher([str(self.settings.store)]))
        return FileSource(store, self._bell)

    def _on_documents(self, documents: tuple[Document, ...], findings: tuple[Finding, ...]) -> None:
        """Publish; what there is to say about it comes after."""
        assert self._office is not None
        self._office.nodes.declare(declared_hosts(documents))
        self._office.publisher.publish(Mesh.of(documents))
        self._found = (documents, findings)
        self._fresh.set()

    async def _analyse(self, work: Work) -> None:
        """Look at documents across each other, beside the loop: publishing does not wait for it."""
        log = FindingLog()
        while True:
            await self._fresh.wait()
            self._fresh = trio.Event()
            documents, findings = self._found
            self._analysed = await work(partial(analyze, documents))
            log.tell((*findings, *self._analysed))

    async def _explain(self, body: bytes) -> bytes:
        """Answer questions about requests; what it takes is loaded when somebody asks."""
        if reason := self._not_ready():
            raise Refusal(503, "not_ready", reason, retry_after=1)
        if self._explainer is None:
            from meshd.modes.explainer import Explainer

            self._explainer = Explainer(lambda: self.documents, self._work)
        return await self._explainer.answer(body)

    def _not_ready(self) -> str:
        office = self._office
        return "the store has not been read yet" if office is None or office.publisher.mesh is None else ""

    async def drain(self) -> None:
        """See ``Program``: waiting polls are answered, connections closed."""
        if self._office is not None and self._https is not None:
            self._office.api.drain()
            self._https.drain()
            # One turn of the loop for the answers to leave.
            await trio.sleep(0.05)

    def reload(self) -> None:
        """See ``Program``: the store is read again, and the trusted roots."""
        if self._bell is not None:
            self._bell.ring()
        office = self._office
        if office is None:
            return
        try:
            office.audit.reopen()
        except OSError as error:
            logger.warning("the audit log cannot be opened anew", extra={"error": error.strerror})
        if office.authority.reload():
            office.identity.renew()
            office.publisher.wake()


def _check_store(store: Path) -> None:
    try:
        next(store.iterdir(), None)
    except NotADirectoryError:
        raise StartError(f"--store {store}: not a directory") from None
    except FileNotFoundError:
        raise StartError(f"--store {store}: no such directory; make it, it may be empty") from None
    except OSError as error:
        raise StartError(f"--store {store}: {error.strerror}") from error


def _descriptor(office: Office, api: Address, console: Address | None, state: Path) -> local.LocalDescriptor:
    host = "127.0.0.1" if api.host in ANYWHERE else api.host
    return local.describe(
        f"https://{Address(host, api.port)}",
        office.authority.trust_domain,
        office.authority.bundle.pem,
        office.secret,
        console=str(console or ""),
        state=str(state.absolute()),
    )


def run(settings: ControlSettings) -> None:
    """Run a control plane until it is told to stop."""
    process.run(ControlPlane(settings), settings.logging)
