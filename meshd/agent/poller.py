"""Configuration: poll, fetch what changed, check it, apply it, say so.

An answer counts as a whole or not at all. The manifest must be what its version
says, every part what its name says, all of it a snapshot of our own mesh that
is no older than what this control plane has sent before; then it is applied by
one call, or refused with a reason. Whatever is wrong leaves the last good
configuration in force, on disk too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from urllib.parse import quote

import attrs
import trio

from meshd.agent.channel import Channel, Exchange, Reply, Unreachable
from meshd.agent.config import AgentConfig, World
from meshd.certs.keystore import Keystore, SecretMaterial
from meshd.errors import ConfigError
from meshd.snapshot import wire
from meshd.snapshot.protocol import (
    BUNDLE_HEADER,
    GENERATION_HEADER,
    MAX_BATCH,
    MAX_REASON,
    NODE_HEADER,
    STATUS_HEADER,
    PartsRequest,
    PollStatus,
    SecretResponse,
    read,
    write,
)
from meshd.snapshot.snapshot import SecretRef, Snapshot

log = logging.getLogger(__name__)

Apply = Callable[[Snapshot], None]
"""Puts a snapshot into force at once, or raises ``ConfigError`` and changes nothing."""


@attrs.frozen
class News:
    """What a poll brought."""

    bundle_version: str
    """The roots' version as the control plane counts it, "" when it did not say."""
    changed: bool
    quick: bool
    """It came without news and without waiting."""


class Poller:
    """Holds the configuration. Made by ``Agent``."""

    def __init__(
        self,
        config: AgentConfig,
        world: World,
        apply: Apply,
        *,
        trust_domain: Callable[[], str],
        keystore: Keystore | None,
    ) -> None:
        """Make a poller without configuration.

        Args:
            config: Limits and the node's name.
            world: Clock and randomness.
            apply: Puts a snapshot into force.
            trust_domain: That of our own certificate now, "" without one.
            keystore: Where to keep what was applied, if anywhere.
        """
        self._config = config
        self._world = world
        self._apply = apply
        self._trust_domain = trust_domain
        self._keystore = keystore
        # The whole mutable state: what is applied, as bytes and decoded; what was refused;
        # how new the last answer was; the secrets that the configuration names; and which
        # parts and secrets are known to be on disk (None: nobody has looked).
        self.applied = ""
        self.from_disk = False
        self.refused = ""
        self.refused_reason = ""
        self.secrets: Mapping[str, SecretMaterial] = {}
        self._parts: dict[str, bytes] = {}
        self._memo = wire.DecodeMemo()
        self._generation: tuple[str, int] = ("", 0)
        self._rejected = 0
        self._on_disk: set[str] | None = None
        self._secrets_on_disk: Mapping[str, SecretMaterial] | None = None

    @property
    def rejected(self) -> int:
        """Answers that were refused as a whole, for metrics."""
        return self._rejected

    def load(self) -> bool:
        """Apply the last good configuration from the disk; False when there is none that can be."""
        manifest = self._keystore.load_manifest() if self._keystore else None
        if self._keystore is None or manifest is None:
            return False
        found: dict[str, bytes] = {}

        def get_part(digest: str) -> bytes:
            assert self._keystore is not None
            part = self._keystore.load_part(digest)
            if part is None:
                raise KeyError(digest)
            found[digest] = part
            return part

        self.secrets = self._keystore.load_secrets()
        try:
            snapshot = self._decode(manifest, get_part)
            self._apply(snapshot)
        except ConfigError as error:
            log.warning("the saved configuration cannot be used", extra={"error": str(error)})
            return False
        self._parts = found
        self.applied = snapshot.version
        self.from_disk = True
        return True

    async def poll(self, channel: Channel) -> News:
        """One round: ask, and take over what is new.

        Raises:
            Unreachable, ControlError, IdentityError: as ``Channel.request``.
            ConfigError: what came is no configuration of ours; the last good one stays.
        """
        limits = self._config.limits
        known = [version for version in (self.applied, self.refused) if version]
        began = trio.current_time()
        reply = await channel.request(self._poll_exchange(known))
        try:
            version = self._version_of(reply)
            changed = self._is_news(reply, version, known)
            if changed:
                with trio.fail_after(limits.fetch_timeout):
                    await self._take(channel, reply.body, version)
        except trio.TooSlowError as error:
            raise Unreachable(f"the configuration did not come within {limits.fetch_timeout:.0f} s") from error
        except ConfigError:
            self._rejected += 1
            raise
        self._note_generation(reply)
        if version == self.applied:
            self.from_disk = False
            self.refused = self.refused_reason = ""
        bundle = (reply.headers.get(BUNDLE_HEADER) or b"").decode("ascii", "replace")
        return News(bundle, changed, not changed and trio.current_time() - began < limits.poll_interval)

    def _poll_exchange(self, known: list[str]) -> Exchange:
        limits = self._config.limits
        status = PollStatus(self.applied, self.refused, self.refused_reason)
        headers = [self._node_header(), (STATUS_HEADER, write(status))]
        wait = 0.0
        if known:
            # Without anything to compare with there is nothing to wait for.
            wait = limits.poll_wait
            headers.append((b"if-none-match", ", ".join(f'"{version}"' for version in known).encode()))
            headers.append((b"prefer", f"wait={wait:.0f}".encode()))
        timeout = wait + limits.request_timeout
        return Exchange(b"GET", "/v1/config", b"", tuple(headers), limits.max_manifest, timeout)

    def _version_of(self, reply: Reply) -> str:
        version = (reply.headers.get(b"etag") or b"").decode("ascii", "replace").strip('"')
        if reply.status == 200 and wire.digest(reply.body) != version:
            raise ConfigError("the manifest is not what its version says")
        self._check_generation(reply)
        return version

    def _is_news(self, reply: Reply, version: str, known: list[str]) -> bool:
        if reply.status == 200:
            return version not in known
        if reply.status != 304 or version not in known:
            raise ConfigError("the control plane says that nothing has changed, but not from what we have")
        return False

    def _check_generation(self, reply: Reply) -> None:
        epoch, count = _generation(reply)
        if epoch == self._generation[0] and count < self._generation[1]:
            raise ConfigError("the answer is older than one that this control plane has given before")

    def _note_generation(self, reply: Reply) -> None:
        self._generation = _generation(reply)

    async def _take(self, channel: Channel, manifest: bytes, version: str) -> None:
        parts = await self._fetch(channel, manifest)
        snapshot = self._decode(manifest, parts.__getitem__)
        secrets = await self._fetch_secrets(channel, snapshot.secrets)
        before, self.secrets = self.secrets, secrets
        try:
            self._apply(snapshot)
        except ConfigError as error:
            self.secrets = before
            self._refuse(version, str(error))
            return
        except Exception as error:
            # A bug while preparing. The proxy runs on with what it has; the log has the trace.
            self.secrets = before
            log.exception("a configuration could not be applied", extra={"version": version[:12]})
            self._refuse(version, f"internal error: {type(error).__name__}")
            return
        self.applied, self.refused, self.refused_reason = version, "", ""
        self._parts = parts
        await self._save(manifest)

    def _refuse(self, version: str, reason: str) -> None:
        self._rejected += 1
        self.refused, self.refused_reason = version, reason[:MAX_REASON]
        log.warning("configuration refused", extra={"version": version[:12], "reason": reason})

    def _decode(self, manifest: bytes, get_part: Callable[[str], bytes]) -> Snapshot:
        try:
            snapshot = wire.decode(manifest, get_part, self._memo)
        except ConfigError:
            raise
        except Exception as error:
            # A bug while reading must not end a proxy that runs.
            log.exception("a configuration could not be read")
            raise ConfigError(f"internal error while reading: {type(error).__name__}") from error
        self._check_mesh(snapshot)
        return snapshot

    def _check_mesh(self, snapshot: Snapshot) -> None:
        ours = self._trust_domain()
        if ours and snapshot.trust_domain != ours:
            raise ConfigError(
                f"the configuration is of another mesh, {snapshot.trust_domain!r}; this proxy is of {ours!r}"
            )

    async def _fetch(self, channel: Channel, manifest: bytes) -> dict[str, bytes]:
        """All parts of a manifest: those that are here already, and the others from the control plane."""
        fetched: dict[str, bytes] = {}

        def held(digest: str) -> bytes | None:
            return fetched.get(digest) or self._parts.get(digest)

        for _ in range(self._config.limits.max_fetch_rounds):
            missing = wire.wanted(manifest, held)
            if not missing:
                break
            for at in range(0, len(missing), MAX_BATCH):
                fetched.update(await self._fetch_batch(channel, missing[at : at + MAX_BATCH]))
        else:
            raise ConfigError("the configuration has more levels than any we make")
        return _used(manifest, held)

    async def _fetch_batch(self, channel: Channel, digests: tuple[str, ...]) -> dict[str, bytes]:
        limits = self._config.limits
        body = write(PartsRequest(digests))
        headers = (self._node_header(),)
        reply = await channel.request(
            Exchange(b"POST", "/v1/parts", body, headers, limits.max_parts, limits.fetch_timeout)
        )
        lines = reply.body.split(b"\n")
        if len(lines) != len(digests) + 1 or lines[-1]:
            raise ConfigError(f"{len(lines) - 1} parts came, {len(digests)} were asked for")
        found = dict(zip(digests, lines, strict=False))
        for digest, part in found.items():
            if wire.digest(part) != digest:
                raise ConfigError(f"part {digest[:12]} is not what its name says")
        return found

    async def _fetch_secrets(self, channel: Channel, wanted: tuple[SecretRef, ...]) -> dict[str, SecretMaterial]:
        limits = self._config.limits
        found: dict[str, SecretMaterial] = {}
        for ref in wanted:
            if not ref.version:
                # A file of this machine, or a Secret that does not exist: nothing to fetch.
                continue
            held = self.secrets.get(ref.name)
            if held is not None and held.version == ref.version:
                found[ref.name] = held
                continue
            path = "/v1/secrets/" + quote(ref.name, safe="")
            reply = await channel.request(
                Exchange(b"GET", path, b"", (self._node_header(),), limits.max_message, limits.request_timeout)
            )
            secret = read(SecretResponse, reply.body, limit=limits.max_message, lenient=True)
            found[ref.name] = SecretMaterial(ref.name, secret.version, secret.certificate, secret.key, secret.ca)
        return found

    async def _save(self, manifest: bytes) -> None:
        """Keep what was applied: parts first, then the manifest that needs them, then clear away the rest."""
        keystore = self._keystore
        if keystore is None:
            return
        parts = self._parts
        before = self._on_disk or set()
        for count, digest in enumerate(parts.keys() - before):
            keystore.save_part(digest, parts[digest])
            if count % 64 == 63:
                # The first configuration of a large mesh is thousands of files: others get their turn.
                await trio.lowlevel.checkpoint()
        if self.secrets != self._secrets_on_disk:
            # Each flush to the disk holds up traffic for as long as it takes: none without need.
            failures = keystore.failures
            keystore.save_secrets(self.secrets)
            self._secrets_on_disk = self.secrets if keystore.failures == failures else None
        keystore.save_manifest(manifest)
        if self._on_disk is None:
            keystore.prune_parts(parts)
        else:
            keystore.remove_parts(before - parts.keys())
        self._on_disk = set(parts)

    def _node_header(self) -> tuple[bytes, bytes]:
        return (NODE_HEADER, self._config.node.encode("ascii", "replace"))


def _used(manifest: bytes, held: Callable[[str], bytes | None]) -> dict[str, bytes]:
    """Exactly the parts that a complete manifest uses."""
    used: dict[str, bytes] = {}

    def noting(digest: str) -> bytes | None:
        part = held(digest)
        if part is not None:
            used[digest] = part
        return part

    wire.wanted(manifest, noting)
    return used


def _generation(reply: Reply) -> tuple[str, int]:
    epoch, _, count = (reply.headers.get(GENERATION_HEADER) or b"").decode("ascii", "replace").partition(".")
    return epoch, int(count) if count.isdigit() and len(count) < 19 else 0
