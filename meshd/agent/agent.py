"""The agent: a proxy's side of the control plane.

It gets the proxy its certificate and its configuration, keeps both fresh, tells
the control plane that the proxy is there and what it runs, and keeps what is
good on disk. A control plane that is silent, slow or wrong never harms traffic:
each loop catches what it expects, logs it, waits and tries again.

::

    agent
    ├ renew      a new certificate at half life
    ├ register   "I am here", every third of the registration's life
    └ poll       a waiting request for what is new; then apply it

The loops share a nursery: an unexpected exception in one is a bug and ends all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import NoReturn

import attrs
import trio

from meshd.agent.channel import Channel, ControlError, Exchange, Trust, Unreachable
from meshd.agent.config import AgentConfig, AgentStatus, World
from meshd.agent.enrolment import Enrolment, IdentityHolder
from meshd.agent.poller import Apply, Poller
from meshd.certs.bundle import TrustBundle
from meshd.certs.contexts import TlsContexts
from meshd.certs.identity import Identity, IdentitySource
from meshd.certs.keystore import Keystore, SecretMaterial
from meshd.certs.rotation import Freshness
from meshd.certs.spiffe import SpiffeId
from meshd.errors import ConfigError, IdentityError, StartError
from meshd.snapshot.protocol import NODE_HEADER, RegistrationReply, read, write

log = logging.getLogger(__name__)

EXPECTED = (Unreachable, ControlError, IdentityError, ConfigError)
"""What a loop survives."""
ANEW = "joining anew"


class Agent:
    """Made by a mode, which calls ``load``, then ``run`` in a nursery of its own, and ``leave`` and ``close`` at the end."""

    def __init__(self, config: AgentConfig, world: World, apply: Apply) -> None:
        """Open the state directory; nothing is sent yet.

        Args:
            config: What to be, and where the control plane is.
            world: Network, clocks, randomness, keys.
            apply: Puts a snapshot into force at once, or raises ``ConfigError`` and changes nothing. The secrets
                that the snapshot names are in ``secrets`` by then.

        Raises:
            ConfigError: the state directory cannot be used.
        """
        self._config = config
        self._world = world
        self._keystore = Keystore.open(config.state_dir) if config.state_dir is not None else None
        self._holder = IdentityHolder()
        self._enrolment = Enrolment(
            config,
            world,
            self._holder,
            save=self._save_identity,
            channel_to=lambda trust: self._channel(lambda: trust),
        )
        self._poller = Poller(config, world, apply, trust_domain=self._trust_domain, keystore=self._keystore)
        self._contexts = TlsContexts(self._holder, wall_clock=world.wall_clock)
        # The rest of the mutable state: why a saved identity was not taken, whether the
        # application is well, what the control plane last said or did, what fails in each
        # loop, and events that end the waits of the loops.
        self._healthy = config.registration.healthy
        self._aside = ""
        self._registered = False
        self._connected = False
        self._last_contact = 0.0
        self._problems: dict[str, str] = {}
        self._register_now = trio.Event()
        self._first_registration = trio.Event()

    @property
    def identity(self) -> IdentitySource:
        """Where the present certificate is found; swapped by one assignment."""
        return self._holder

    @property
    def secrets(self) -> Mapping[str, SecretMaterial]:
        """The gateway certificates that the present configuration names."""
        return self._poller.secrets

    @property
    def rejected(self) -> int:
        """Configurations that were refused, here or by ``apply``."""
        return self._poller.rejected

    @property
    def status(self) -> AgentStatus:
        """How the agent stands now."""
        identity, poller = self._holder.current, self._poller
        freshness = self._freshness(identity)
        reason = self._unready(freshness)
        return AgentStatus(
            ready=not reason,
            reason=reason,
            node=self._config.node,
            control=str(self._config.control),
            spiffe_id=identity.spiffe_id if identity else "",
            certificate_expiry=identity.not_after if identity else 0.0,
            certificate=freshness,
            version=poller.applied,
            from_disk=poller.from_disk,
            refused=poller.refused,
            refused_reason=poller.refused_reason,
            connected=self._connected,
            last_contact=self._last_contact,
            problem=self._problem(),
        )

    def load(self) -> bool:
        """Start from the disk: the last good certificate, if it is still valid, and configuration.

        Returns:
            True when both are there and in force: the proxy can serve before any control plane has answered.
        """
        identity = self._keystore.load_identity() if self._keystore else None
        if identity is None or not self._believes(identity):
            return False
        self._enrolment.adopt(identity)
        return self._poller.load()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Join if needed, then renew, register and poll until cancelled.

        Raises:
            StartError: there is no certificate, and the control plane refuses to give one, or is not the one that
                was meant.
        """
        task_status.started()
        renewals = self._channel(self._enrolment.channel_trust)
        polls, registrations = self._channel(), self._channel()
        try:
            if self._holder.current is None:
                await self._join(renewals)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._enrolment.run, renewals)
                nursery.start_soon(self._register, registrations)
                nursery.start_soon(self._poll, polls)
        finally:
            for channel in (renewals, polls, registrations):
                channel.close()
        raise AssertionError("the loops do not end")

    def set_health(self, healthy: bool) -> None:  # noqa: FBT001 - the one thing it says
        """Say whether the application is well; an unwell one gets no traffic from others."""
        if healthy != self._healthy:
            self._healthy = healthy
            self._register_now.set()

    async def leave(self) -> None:
        """Tell the control plane that this proxy goes. Takes ``leave_timeout`` at most, and never fails."""
        if not self._registered:
            return
        channel = self._channel()
        limits = self._config.limits
        try:
            await channel.request(
                Exchange(b"DELETE", "/v1/registration", headers=(self._node_header(),), timeout=limits.leave_timeout)
            )
            self._registered = False
        except EXPECTED as error:
            log.info("left without telling the control plane", extra={"error": str(error)})
        finally:
            channel.close()

    def close(self) -> None:
        """Let the state directory go. Idempotent."""
        if self._keystore is not None:
            self._keystore.close()

    def _channel(self, trust: Callable[[], Trust | None] = lambda: None) -> Channel:
        """A channel that shows our certificate, or believes whom it is told as long as there is none."""
        return Channel(self._config.control, self._world, self._contexts, self._config.limits, trust=trust)

    def _believes(self, identity: Identity) -> bool:
        """Can an identity from the disk be used for what this proxy was told to be?"""
        config = self._config
        why = ""
        try:
            spiffe = SpiffeId.parse(identity.spiffe_id)
            saved = TrustBundle.of(spiffe.trust_domain, identity.bundle_pem)
            given = TrustBundle.of("", config.trust_bundle) if config.trust_bundle else saved
        except IdentityError as error:
            why = str(error)
        else:
            # One that is not valid *yet* is kept: a machine's clock is often set only after its start.
            if self._freshness(identity) == Freshness.EXPIRED:
                why = "its certificate has expired"
            elif (config.namespace or spiffe.namespace, config.service_account or spiffe.service_account) != (
                spiffe.namespace,
                spiffe.service_account,
            ):
                why = f"it is {spiffe}"
            elif not set(saved.roots) & set(given.roots):
                why = "it is of another mesh than the trust bundle's"
        if why:
            self._aside = f" (a saved one was left aside: {why})"
            log.warning("the saved identity is left aside", extra={"why": why})
        return not why

    async def _join(self, channel: Channel) -> None:
        if not self._config.token:
            raise StartError(
                f"cannot join the mesh at {self._config.control}: this proxy has no certificate{self._aside} and no join token; "
                "make one with `meshd token create` and give it with --token or --token-file",
                exit_code=78,
            )
        failures = 0
        while True:
            try:
                await self._enrolment.join(channel)
            except Unreachable as error:
                failures += 1
                self._failed("join", error, failures)
                await trio.sleep(self._pause(error, failures))
            else:
                self._worked("join")
                return

    async def _rejoin(self) -> None:
        """A saved identity that has never worked since the start may be another mesh's: try what we were told."""
        try:
            await self._enrolment.rejoin()
        except EXPECTED as error:
            self._failed(ANEW, error, 1)
        else:
            self._worked(ANEW)

    async def _register(self, channel: Channel) -> None:
        failures = 0
        while True:
            self._register_now = trio.Event()
            try:
                ttl = await self._register_once(channel)
            except EXPECTED as error:
                failures += 1
                self._failed("registration", error, failures)
                if isinstance(error, IdentityError) and not self._last_contact and self._config.token:
                    await self._rejoin()
                await trio.sleep(self._pause(error, failures))
                continue
            failures = 0
            self._worked("registration")
            self._first_registration.set()
            # A third of its life, a little less for each: two may be lost.
            with trio.move_on_after(ttl / 3 * self._world.rng.uniform(0.8, 1.0)):
                await self._register_now.wait()

    async def _register_once(self, channel: Channel) -> float:
        limits = self._config.limits
        registration = attrs.evolve(self._config.registration, healthy=self._healthy)
        exchange = Exchange(
            b"PUT",
            "/v1/registration",
            write(registration),
            (self._node_header(),),
            limits.max_message,
            limits.request_timeout,
        )
        reply = await channel.request(exchange)
        self._registered = True
        return float(read(RegistrationReply, reply.body, lenient=True).ttl)

    async def _poll(self, channel: Channel) -> None:
        failures = 0
        await self._first_registration.wait()
        while True:
            try:
                news = await self._poller.poll(channel)
                if news.bundle_version:
                    await self._enrolment.refresh_bundle(channel, news.bundle_version)
                self._worked("poll")
                failures = 0
            except EXPECTED as error:
                failures += 1
                self._failed("poll", error, failures)
                if isinstance(error, ControlError) and error.code == "unregistered":
                    # The control plane has forgotten us: it may have been restarted.
                    self._first_registration = trio.Event()
                    self._register_now.set()
                    await self._first_registration.wait()
                    failures = min(failures, 1)
                await trio.sleep(self._pause(error, failures))
                continue
            limits = self._config.limits
            await trio.sleep(
                limits.poll_interval * self._world.rng.uniform(0.5, 1.5) if news.quick else limits.news_interval
            )

    def _freshness(self, identity: Identity | None) -> str:
        if identity is None:
            return ""
        return self._config.rotation.freshness(identity.not_before, identity.not_after, self._world.wall_clock())

    def _unready(self, freshness: str) -> str:
        problem = f" ({self._problem()})" if self._problem() else ""
        if not freshness:
            return f"no certificate yet from {self._config.control}{problem}"
        if freshness in (Freshness.EXPIRED, Freshness.NOT_YET):
            return f"the certificate is not valid now{problem}"
        return "" if self._poller.applied else f"no configuration yet from {self._config.control}{problem}"

    def _problem(self) -> str:
        return next(iter(self._problems.values()), "")

    def _worked(self, what: str) -> None:
        if not self._connected:
            log.info("control plane answers", extra={"control": str(self._config.control)})
        self._connected = True
        self._last_contact = self._world.wall_clock()
        self._problems.pop(ANEW, None)
        if self._problems.pop(what, None) is not None:
            log.info("%s works again", what)

    def _failed(self, what: str, error: Exception, failures: int) -> None:
        # One line for each new problem, not for each try.
        if str(error) != self._problems.get(what):
            log.warning("%s failed", what, extra={"error": str(error), "failures": failures})
        self._connected = isinstance(error, ControlError)
        self._problems[what] = str(error)

    def _pause(self, error: Exception, failures: int) -> float:
        least = error.retry_after if isinstance(error, ControlError) else 0.0
        return self._config.backoff.after(failures, self._world.rng.random(), at_least=least)

    def _trust_domain(self) -> str:
        identity = self._holder.current
        return SpiffeId.parse(identity.spiffe_id).trust_domain if identity else ""

    def _save_identity(self, identity: Identity) -> None:
        if self._keystore is not None:
            self._keystore.save_identity(identity)

    def _node_header(self) -> tuple[bytes, bytes]:
        return (NODE_HEADER, self._config.node.encode("ascii", "replace"))
