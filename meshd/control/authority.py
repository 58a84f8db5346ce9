"""The mesh's CA as the control plane keeps it: its files, its roots, its own certificate.

The state directory (0700) holds ``ca/root.pem`` and ``ca/key.pem`` (0600),
made together at the first start, and ``roots/*.pem``, every root that is
trusted beside the one that signs. A root that has signed here once is
remembered there, so that a mesh that goes from its own root to a plug-in CA (or
back) trusts both until the old file is deleted: certificates of the old root
live on, and nothing breaks.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

import attrs
import trio

from meshd.certs import private_files
from meshd.certs.authority import CaMaterial, CertificateAuthority, Issued, Lifetimes, Subject, make_root
from meshd.certs.bundle import TrustBundle, split_pem
from meshd.certs.identity import Identity
from meshd.certs.rotation import Rotation
from meshd.certs.x509 import describe, make_key_and_request
from meshd.errors import ConfigError, IdentityError
from meshd.snapshot.protocol import CONTROL_PATH

log = logging.getLogger(__name__)

SIGNING_ROOT: Final = "signing-root.pem"
"""In a state directory: the root that whoever joins must pin. Also the mark of such a directory."""


class Authority:
    """Signs, and knows every trusted root. Made by ``open_authority``."""

    def __init__(
        self,
        ca: CertificateAuthority,
        roots: Path,
        wall_clock: Callable[[], float],
        *,
        extra_roots: tuple[str, ...] = (),
    ) -> None:
        self._ca = ca
        self._roots = roots
        self._wall_clock = wall_clock
        self._extra_roots = extra_roots
        self.trust_domain = ca.bundle.trust_domain
        # The whole mutable state is this field, replaced by ``reload``.
        self.bundle = self._gather()
        """Every trusted root, the signing one first."""

    def issue(self, csr_pem: str, spiffe_id: str, ttl: float = 0.0) -> Issued:
        """Sign a leaf for an identity that the caller has authenticated; see ``CertificateAuthority.issue``."""
        return self._ca.issue(csr_pem, Subject(spiffe_id), ttl)

    def make_identity(self, subject: Subject, ttl: float = 0.0) -> Identity:
        """A certificate with a new key, for this process itself."""
        made = make_key_and_request()
        issued = self._ca.issue(made.csr_pem, subject, ttl)
        return Identity(
            spiffe_id=subject.spiffe_id,
            chain_pem=issued.chain_pem,
            key_pem=made.key_pem,
            bundle_pem=self.bundle.pem,
            not_before=issued.facts.not_before,
            not_after=issued.facts.not_after,
            serial=issued.facts.serial,
        )

    @property
    def pin(self) -> str:
        """What ``--ca-hash`` is for this mesh: the pin of the root that signs."""
        return describe(self.bundle.roots[0])[0].pin

    def reload(self) -> bool:
        """Read the trusted roots again; True when they changed. A broken file is left aside and logged."""
        bundle = self._gather()
        changed = bundle.version != self.bundle.version
        self.bundle = bundle
        return changed

    def _gather(self) -> TrustBundle:
        bundle = self._ca.bundle
        texts = [("a configured extra root", text) for text in self._extra_roots]
        try:
            texts += [(str(path), path.read_text("ascii")) for path in sorted(self._roots.glob("*.pem"))]
        except (OSError, UnicodeDecodeError) as error:
            log.warning("trusted roots cannot be read", extra={"directory": str(self._roots), "error": str(error)})
        for origin, text in texts:
            try:
                usable = [root for root in split_pem(text) if self._usable(origin, root)]
                if usable:
                    bundle = bundle.merge(TrustBundle.of(self.trust_domain, *usable))
            except IdentityError as error:
                log.warning("a trusted root is left aside", extra={"origin": origin, "error": str(error)})
        return bundle

    def _usable(self, origin: str, root: str) -> bool:
        facts = describe(root)[0]
        if facts.is_ca and facts.not_after > self._wall_clock():
            return True
        why = "it has expired" if facts.is_ca else "it is no CA's certificate"
        log.warning("a trusted root is left aside", extra={"origin": origin, "error": why})
        return False


def open_authority(
    state: Path,
    trust_domain: str,
    wall_clock: Callable[[], float],
    *,
    plugin: CaMaterial | None = None,
    extra_roots: tuple[str, ...] = (),
    lifetimes: Lifetimes | None = None,
) -> Authority:
    """The CA of a state directory: the plug-in one if given, else its own, made now if there is none.

    Raises:
        ConfigError: the directory or the CA cannot be used; says where and how to mend it.
    """
    private_files.ensure_directory(state)
    roots = private_files.ensure_directory(state / "roots")
    try:
        material = plugin or _own_material(state, trust_domain, wall_clock())
        ca = CertificateAuthority(material, trust_domain, wall_clock, lifetimes)
        for root in ca.bundle.roots:
            _remember(roots, root)
        private_files.write(state / SIGNING_ROOT, ca.bundle.roots[0].encode("ascii"))
    except IdentityError as error:
        origin = "--ca-cert, --ca-key, --ca-chain" if plugin else str(state / "ca")
        raise ConfigError(str(error), origin=origin) from error
    except OSError as error:
        raise ConfigError(f"the CA's files cannot be used: {error.strerror}", origin=str(state)) from error
    return Authority(ca, roots, wall_clock, extra_roots=extra_roots)


def _own_material(state: Path, trust_domain: str, now: float) -> CaMaterial:
    directory = state / "ca"
    if not directory.exists():
        _make_material(directory, make_root(trust_domain, now))
    private_files.ensure_directory(directory)
    key_path = directory / "key.pem"
    if key_path.exists() and key_path.stat().st_mode & 0o077:
        log.warning("the CA's key could be read by others; now it cannot", extra={"file": str(key_path)})
        key_path.chmod(0o600)
    certificate = private_files.read(directory / "root.pem")
    key = private_files.read(key_path)
    if certificate is None or key is None:
        raise IdentityError(
            "root.pem or key.pem is missing: put both back, or remove the directory to begin a new mesh"
        )
    return CaMaterial(certificate.decode("ascii", "replace"), key.decode("ascii", "replace"))


def _make_material(directory: Path, material: CaMaterial) -> None:
    # Complete in a directory of another name first: of two control planes that start
    # at once one renames, and the other takes what it finds.
    temporary = Path(tempfile.mkdtemp(prefix=".ca.", dir=directory.parent))
    try:
        private_files.write(temporary / "key.pem", material.key_pem.encode("ascii"))
        private_files.write(temporary / "root.pem", material.certificate_pem.encode("ascii"))
        temporary.rename(directory)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        if not directory.exists():
            raise


def _remember(roots: Path, root: str) -> None:
    name = describe(root)[0].pin.removeprefix("sha256:")[:16]
    private_files.create(roots / f"{name}.pem", root.encode("ascii"))


@attrs.define
class ControlIdentity:
    """The control plane's own certificate, renewed while it runs. An ``IdentitySource``.

    Made by the control plane's mode, which runs ``run`` in its nursery.
    """

    _authority: Authority
    _wall_clock: Callable[[], float]
    _rng: Random
    _dns: tuple[str, ...] = ("localhost",)
    _ips: tuple[str, ...] = ("127.0.0.1", "::1")
    _rotation: Rotation = Rotation()
    _ttl: float = 0.0
    # The whole mutable state is this field.
    current: Identity | None = attrs.field(default=None, init=False)

    def renew(self) -> None:
        """Make a new certificate now (also when the trusted roots have changed).

        Raises:
            IdentityError: the CA cannot sign any more.
        """
        spiffe_id = f"spiffe://{self._authority.trust_domain}{CONTROL_PATH}"
        self.current = self._authority.make_identity(Subject(spiffe_id, self._dns, self._ips), self._ttl)
        log.info("own certificate renewed", extra={"identity": spiffe_id, "serial": self.current.serial})

    async def run(self) -> None:
        """Renew at half life, for ever. A CA that has expired is an alarm in the log, not an end."""
        failures = 0
        if self.current is None:
            self.renew()
        due = self._due()
        while True:
            wait = self._rotation.sleep(due, self._wall_clock())
            if wait:
                await trio.sleep(wait)
                continue
            try:
                self.renew()
                failures, due = 0, self._due()
            except IdentityError as error:
                failures += 1
                log.error("own certificate cannot be renewed", extra={"error": str(error)})  # noqa: TRY400 - no bug of ours
                remaining = self._end() - self._wall_clock()
                await trio.sleep(self._rotation.retry_after(failures, remaining, self._rng.uniform(0, 1)))

    def _due(self) -> float:
        if self.current is None:
            return 0.0
        return self._rotation.next_after(
            self.current.not_before, self.current.not_after, self._wall_clock(), self._rng.uniform(-1, 1)
        )

    def _end(self) -> float:
        return self.current.not_after if self.current else 0.0
