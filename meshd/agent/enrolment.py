"""The first certificate, and every later one.

The private key is made here (``certs/request.py``) and never leaves. At first
the control plane is known by roots that were given, or by a pin that its root
is checked against; never by nothing. What it hands out is checked before it is
used: it is for our key, it chains to the roots that came with it, it says who
we are supposed to be, and it is valid now. Then it is saved, and swapped in by
one assignment: connections made with the old one live on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs
import trio

from meshd.agent.channel import Channel, ControlError, Exchange, Trust, Unreachable
from meshd.agent.config import AgentConfig, World
from meshd.certs.bundle import TrustBundle, check_pin_format, pinned_roots
from meshd.certs.facts import CertificateFacts, KeyAndRequest
from meshd.certs.identity import Identity, utc_text
from meshd.certs.request import Keys
from meshd.certs.rotation import Freshness
from meshd.certs.spiffe import SpiffeId
from meshd.errors import ConfigError, IdentityError, StartError
from meshd.snapshot.protocol import NODE_HEADER, BundleResponse, CertificateRequest, CertificateResponse, read, write

log = logging.getLogger(__name__)

EX_CONFIG = 78
NO_TRUST = "nothing was given to know the control plane by: use --trust-bundle FILE or --ca-hash sha256:…"


@attrs.define
class IdentityHolder:
    """The identity to use now. An ``IdentitySource``; written by ``Enrolment`` alone, by one assignment."""

    current: Identity | None = None


class Enrolment:
    """Gets certificates. Made by ``Agent``."""

    def __init__(
        self,
        config: AgentConfig,
        world: World,
        holder: IdentityHolder,
        *,
        save: Callable[[Identity], None],
        channel_to: Callable[[Trust], Channel],
    ) -> None:
        """Make it; nothing is sent yet.

        Args:
            config: Who to be, and whom to trust.
            world: Keys, clock, randomness.
            holder: Where the identity is put.
            save: Keeps an identity that has just been swapped in.
            channel_to: Makes a channel that shows no certificate and believes whom it is told.
        """
        self._config = config
        self._world = world
        self._holder = holder
        self._save = save
        self._channel_to = channel_to
        # The whole mutable state: whom to believe until there is an identity; a key whose
        # certificate was asked for and has not come (the same key asks again, since a
        # token is worth one key); and the roots' version as the control plane counts it.
        self._trust: Trust | None = None
        self._asked: KeyAndRequest | None = None
        self.bundle_version = ""

    def channel_trust(self) -> Trust | None:
        """Whom the channel for certificates believes: None as soon as there is an identity that can be shown."""
        return None if self._usable() else self._trust

    def _usable(self) -> bool:
        identity = self._holder.current
        return identity is not None and identity.not_after > self._world.wall_clock()

    async def _establish_trust(self, keys: Keys) -> Trust:
        """Find out whom to believe without an identity that can be shown.

        Raises:
            IdentityError: nothing was given to know the control plane by, or it is not the one that was meant.
            Unreachable, ControlError: as ``Channel.request``.
        """
        expired = self._holder.current
        if expired is not None:
            # An expired certificate proves nothing, but its roots are as good as before.
            return Trust(expired.bundle_pem, SpiffeId.parse(expired.spiffe_id).trust_domain)
        return await self._configured_trust(keys)

    async def _configured_trust(self, keys: Keys) -> Trust:
        config = self._config
        pin = check_pin_format(config.ca_hash) if config.ca_hash else ""
        if config.trust_bundle:
            bundle = TrustBundle.of("", config.trust_bundle)
        elif pin:
            bundle = await self._fetch_unverified()
        else:
            raise IdentityError(NO_TRUST)
        if pin:
            bundle = pinned_roots(bundle, await keys.describe(bundle.pem), pin)
        return Trust(bundle.pem)

    async def _fetch_unverified(self) -> TrustBundle:
        # Believes anybody, for this one question; its answer is checked against the pin.
        channel = self._channel_to(Trust(""))
        try:
            reply = await channel.request(self._exchange(b"GET", "/v1/bundle"))
            return _read_bundle(reply.body)
        finally:
            channel.close()

    async def join(self, channel: Channel) -> Identity:
        """Get the first certificate, with the token.

        Raises:
            StartError: it is refused, and would be again.
            Unreachable: there is no usable answer now.
        """
        config = self._config
        try:
            async with self._world.key_maker.session() as keys:
                if self._trust is None:
                    self._trust = await self._establish_trust(keys)
                return await self._obtain(channel, keys, bearer=config.token)
        except ControlError as error:
            if not error.final:
                raise Unreachable(str(error)) from error
            raise StartError(f"cannot join the mesh at {config.control}: {error}", exit_code=EX_CONFIG) from error
        except IdentityError as error:
            raise StartError(f"cannot join the mesh at {config.control}: {error}", exit_code=EX_CONFIG) from error

    async def rejoin(self) -> None:
        """Begin anew with what the command line says: the saved identity is of no use to this control plane.

        Raises:
            Unreachable, ControlError, IdentityError: it does not work either; the present identity stays.
        """
        async with self._world.key_maker.session() as keys:
            channel = self._channel_to(await self._configured_trust(keys))
            try:
                await self._obtain(channel, keys, bearer=self._config.token, anew=True)
            finally:
                channel.close()

    async def _obtain(self, channel: Channel, keys: Keys, *, bearer: str = "", anew: bool = False) -> Identity:
        """Get a certificate for a new key, check it, save it and swap it in.

        Args:
            channel: To the control plane, verified.
            keys: Makes the key and checks the answer.
            bearer: A token, or "" for the present certificate.
            anew: It need not be for who we are now.

        Raises:
            Unreachable: no usable answer.
            ControlError: refused.
            IdentityError: what came cannot be used; the present identity stays.
        """
        config = self._config
        made = self._asked or await keys.make()
        self._asked = made
        asked = CertificateRequest(
            made.csr_pem,
            ttl=config.certificate_ttl,
            namespace=config.namespace,
            service_account=config.service_account,
        )
        headers = ((b"authorization", b"Bearer " + bearer.encode("ascii", "replace")),) if bearer else ()
        reply = await channel.request(self._exchange(b"POST", "/v1/certificates", write(asked), headers))
        # Answered: the next time is another key's, also if this answer is not good.
        self._asked = None
        try:
            response = read(CertificateResponse, reply.body, limit=config.limits.max_message, lenient=True)
        except ConfigError as error:
            raise IdentityError(f"the control plane's answer is no certificate: {error}") from error
        identity = await self._checked(keys, made, response)
        present = self._holder.current
        if present is not None and self._usable() and not anew and present.spiffe_id != identity.spiffe_id:
            raise IdentityError(f"the certificate is for {identity.spiffe_id}, this proxy is {present.spiffe_id}")
        self._swap(identity)
        self.bundle_version = TrustBundle.of(response.trust_domain, response.bundle).version
        log.info(
            "certificate obtained",
            extra={
                "identity": identity.spiffe_id,
                "serial": identity.serial,
                "not_after": utc_text(identity.not_after),
            },
        )
        return identity

    async def _checked(self, keys: Keys, made: KeyAndRequest, response: CertificateResponse) -> Identity:
        bundle = TrustBundle.of(response.trust_domain, response.bundle)
        facts = await keys.accept(made.key_pem, response.chain, bundle.pem)
        self._check_facts(facts, response.trust_domain)
        return Identity(
            spiffe_id=facts.spiffe_id,
            chain_pem=response.chain,
            key_pem=made.key_pem,
            bundle_pem=bundle.pem,
            not_before=facts.not_before,
            not_after=facts.not_after,
            serial=facts.serial,
        )

    def _check_facts(self, facts: CertificateFacts, trust_domain: str) -> None:
        config = self._config
        spiffe = SpiffeId.parse(facts.spiffe_id)
        if spiffe.trust_domain != trust_domain:
            raise IdentityError(f"the certificate is of {spiffe.trust_domain}, its mesh is {trust_domain}")
        for what, wanted, found in (
            ("namespace", config.namespace, spiffe.namespace),
            ("service account", config.service_account, spiffe.service_account),
        ):
            if wanted and wanted != found:
                raise IdentityError(f"the certificate is for {what} {found!r}, this proxy is of {wanted!r}")
        freshness = config.rotation.freshness(facts.not_before, facts.not_after, self._world.wall_clock())
        if freshness in (Freshness.EXPIRED, Freshness.NOT_YET):
            raise IdentityError(
                "the certificate is not valid now: compare the clocks of this machine and the control plane's"
            )

    async def refresh_bundle(self, channel: Channel, version: str) -> None:
        """Take over the roots that the control plane trusts now, if it says that they are others.

        Raises:
            Unreachable, ControlError: as ``Channel.request``.
            IdentityError: what came cannot be used; the present roots stay.
        """
        identity = self._holder.current
        if identity is None or version == self.bundle_version:
            return
        reply = await channel.request(self._exchange(b"GET", "/v1/bundle"))
        bundle = _read_bundle(reply.body)
        domain = SpiffeId.parse(identity.spiffe_id).trust_domain
        if bundle.trust_domain != domain:
            raise IdentityError(f"the roots are of {bundle.trust_domain}, this proxy is of {domain}")
        # Roots that do not vouch for our own certificate would cut us off from everybody.
        async with self._world.key_maker.session() as keys:
            await keys.accept(identity.key_pem, identity.chain_pem, bundle.pem)
        self.bundle_version = bundle.version
        if bundle.pem != identity.bundle_pem:
            self._swap(attrs.evolve(identity, bundle_pem=bundle.pem))
            log.info("trusted roots replaced", extra={"roots": len(bundle.roots)})

    def adopt(self, identity: Identity) -> None:
        """Use an identity from the disk."""
        self._holder.current = identity
        self.bundle_version = TrustBundle.of(
            SpiffeId.parse(identity.spiffe_id).trust_domain, identity.bundle_pem
        ).version

    def _swap(self, identity: Identity) -> None:
        self._holder.current = identity
        self._save(identity)

    def _exchange(
        self, method: bytes, path: str, body: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> Exchange:
        limits = self._config.limits
        named = ((NODE_HEADER, self._config.node.encode("ascii", "replace")), *headers)
        return Exchange(method, path, body, named, limits.max_message, limits.request_timeout)

    async def run(self, channel: Channel) -> None:
        """Renew at half life, for ever. Whatever fails is logged and tried again; nothing here ends a proxy."""
        rotation, rng = self._config.rotation, self._world.rng
        due, failures = self._due(), 0
        while True:
            wait = rotation.sleep(due, self._world.wall_clock())
            if wait > 0:
                await trio.sleep(wait)
                continue
            try:
                await self._renew(channel)
                due, failures = self._due(renewed=True), 0
            except (Unreachable, ControlError, IdentityError) as error:
                failures += 1
                remaining = self._alarm(error, failures)
                least = error.retry_after if isinstance(error, ControlError) else 0.0
                await trio.sleep(max(rotation.retry_after(failures, remaining, rng.random()), least))

    async def _renew(self, channel: Channel) -> None:
        # Once the certificate has expired it proves nothing; a reusable token still may.
        usable = self._usable()
        async with self._world.key_maker.session() as keys:
            if not usable:
                self._trust = await self._establish_trust(keys)
            await self._obtain(channel, keys, bearer="" if usable else self._config.token)

    def _due(self, *, renewed: bool = False) -> float:
        identity, rotation = self._holder.current, self._config.rotation
        if identity is None:
            return 0.0
        draw = self._world.rng.uniform(-1, 1)
        if renewed:
            return rotation.next_after(identity.not_before, identity.not_after, self._world.wall_clock(), draw)
        return rotation.renew_at(identity.not_before, identity.not_after, draw)

    def _alarm(self, error: Exception, failures: int) -> float:
        """Log a failed renewal as loudly as it matters; gives the seconds that remain."""
        identity = self._holder.current
        if identity is None:
            return 0.0
        now = self._world.wall_clock()
        freshness = self._config.rotation.freshness(identity.not_before, identity.not_after, now)
        loud = freshness in (Freshness.ALARM, Freshness.EXPIRED)
        log.log(
            logging.ERROR if loud else logging.WARNING,
            "certificate has expired and cannot be renewed" if freshness is Freshness.EXPIRED else "renewal failed",
            extra={"error": str(error), "failures": failures, "seconds_left": max(0, int(identity.not_after - now))},
        )
        return identity.not_after - now


def _read_bundle(data: bytes) -> TrustBundle:
    try:
        response = read(BundleResponse, data, limit=512 * 1024, lenient=True)
    except ConfigError as error:
        raise IdentityError(f"the control plane's answer is no trust bundle: {error}") from error
    return TrustBundle.of(response.trust_domain, response.bundle)
