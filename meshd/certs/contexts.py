"""SSL contexts: built from PEM text, kept while the identity stays, never changed while in use.

A context that has been handed out is left alone: its roots could only be added
to, never taken away. When the agent swaps the identity, the next caller gets
new contexts, and connections made with the old ones live on until they end.

The kinds:

- *mesh server* and *mesh client*: the workload's own certificate, the mesh's
  bundle, client certificates. No host names: an identity is a SPIFFE id, checked
  by a function of ``certs/verify.py`` after the handshake, without which anyone
  of the mesh would be let in. No resumption: a ticket must not skip the check.
- *gateway server*: a credential of the user's; may resume when it asks for no
  client certificate.
- *web client*: to servers outside the mesh, by host name.

Whether a certificate is still, and already, valid is judged by the wall clock
that was given, not by OpenSSL, which knows the machine's only: a mesh on
virtual time lives on its own. (With the system's roots it is OpenSSL: those
have nothing to do with a mesh.) The judgement travels with the context
(``net.tls.JudgingContext``), so no user of it can forget it.

A private key reaches OpenSSL through memory (``memfd``), never through a disk.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import attrs

from meshd.certs.der import read_certificate
from meshd.certs.identity import Identity, IdentitySource
from meshd.certs.verify import judge_times
from meshd.errors import ConfigError, IdentityError
from meshd.net.tls import JudgingContext

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""TLS 1.2: forward secrecy and AEAD only, which are Istio's suites less RSA key exchange. TLS 1.3 has no others."""
SECURITY_LEVEL = "@SECLEVEL=2"
"""OpenSSL: no RSA or DH below 2,048 bits, no SHA-1 signatures."""
MAX_KEPT = 256
"""Contexts kept for credentials and host names; beyond, the oldest is built again when it is asked for."""

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME, which ``ssl`` has no name for."""

_VERSIONS = {
    "": ssl.TLSVersion.TLSv1_2,
    "TLSv1_2": ssl.TLSVersion.TLSv1_2,
    "TLSv1_3": ssl.TLSVersion.TLSv1_3,
}


@attrs.frozen
class Credential:
    """A certificate chain (leaf first) and its key, as PEM text."""

    chain_pem: str
    key_pem: str = attrs.field(repr=False)


@attrs.frozen
class TlsSettings:
    """What a server's or client's user may choose.

    Versions are ``TLSv1_2`` or ``TLSv1_3``. ``cipher_suites`` are OpenSSL's
    names for TLS 1.2; none takes ``CIPHERS``.
    """

    alpn: tuple[str, ...] = ()
    minimum_version: str = "TLSv1_2"
    maximum_version: str = "TLSv1_3"
    cipher_suites: tuple[str, ...] = ()


class TlsContexts:
    """Gives the context for each use. Made by the process; read at every handshake.

    Args:
        source: The workload's identity, swapped by the agent. None in it is fine
            for who asks for no mesh context.
        wall_clock: Seconds since the epoch.
    """

    def __init__(self, source: IdentitySource, *, wall_clock: Callable[[], float]) -> None:
        self._source = source
        self._wall_clock = wall_clock
        # The whole mutable state: the identity that the mesh contexts were built
        # for, those contexts, and the others in the order in which they were made.
        self._built_for: Identity | None = None
        self._mesh: dict[tuple[object, ...], ssl.SSLContext] = {}
        self._others: dict[tuple[object, ...], ssl.SSLContext] = {}

    def identity(self) -> Identity:
        """The identity to use now.

        Raises:
            IdentityError: there is none, or it has expired.
        """
        identity = self._source.current
        if identity is None:
            raise IdentityError("this proxy has no certificate yet: it gets one from the control plane")
        if self._wall_clock() >= identity.not_after:
            ended = datetime.fromtimestamp(identity.not_after, UTC).strftime("%Y-%m-%d %H:%M:%S")
            raise IdentityError(
                f"this proxy's certificate ended at {ended} UTC and could not be renewed: "
                "see whether the control plane answers, and the clocks"
            )
        return identity

    def mesh_server(
        self,
        *,
        alpn: tuple[str, ...] = (),
        require_client_certificate: bool = True,
        minimum_version: str = "TLSv1_2",
        maximum_version: str = "TLSv1_3",
        cipher_suites: tuple[str, ...] = (),
    ) -> ssl.SSLContext:
        """Serve with the workload's own certificate to clients of the mesh.

        Raises:
            IdentityError: no usable identity.
            ConfigError: unusable versions or suites.
        """
        settings = TlsSettings(alpn, minimum_version, maximum_version, cipher_suites)
        mode = ssl.CERT_REQUIRED if require_client_certificate else ssl.CERT_OPTIONAL
        return self._of_identity(settings, server=True, mode=mode)

    def mesh_client(self, *, alpn: tuple[str, ...] = (), minimum_version: str = "TLSv1_2") -> ssl.SSLContext:
        """Call servers of the mesh with the workload's own certificate. Raises as ``mesh_server``."""
        return self._of_identity(TlsSettings(alpn, minimum_version), server=False, mode=ssl.CERT_REQUIRED)

    def gateway_server(
        self,
        credential: Credential,
        *,
        alpn: tuple[str, ...] = (),
        client_roots_pem: str = "",
        require_client_certificate: bool = False,
        minimum_version: str = "TLSv1_2",
        maximum_version: str = "TLSv1_3",
        cipher_suites: tuple[str, ...] = (),
    ) -> ssl.SSLContext:
        """Serve with a credential: SIMPLE; with client roots OPTIONAL_MUTUAL or, when required, MUTUAL.

        Raises:
            ConfigError: the credential, roots, versions or suites cannot be used.
        """
        if require_client_certificate and not client_roots_pem:
            raise ConfigError("client certificates are required, but there are no roots to verify them by")
        settings = TlsSettings(alpn, minimum_version, maximum_version, cipher_suites)
        key = ("server", credential, client_roots_pem, require_client_certificate, settings)

        def build() -> ssl.SSLContext:
            context = _new_context(settings, server=True)
            _load_credential(context, credential)
            if client_roots_pem:
                _load_roots(context, client_roots_pem, self._wall_clock)
                context.verify_mode = ssl.CERT_REQUIRED if require_client_certificate else ssl.CERT_OPTIONAL
                _forbid_resumption(context, server=True)
            return context

        return self._kept(key, build)

    def web_client(
        self,
        *,
        alpn: tuple[str, ...] = (),
        roots_pem: str | None = None,
        credential: Credential | None = None,
        verify_host: bool = True,
        insecure_skip_verify: bool = False,
        minimum_version: str = "TLSv1_2",
    ) -> ssl.SSLContext:
        """Call servers outside the mesh: SIMPLE, or with a credential MUTUAL.

        ``roots_pem`` None trusts the system's roots. With ``verify_host`` the
        server's certificate must be for the ``server_hostname`` of the handshake;
        without, names are checked afterwards (``certs/verify.py``).
        ``insecure_skip_verify`` believes anyone: the user's explicit wish.

        Raises:
            ConfigError: the credential or roots cannot be used.
        """
        settings = TlsSettings(alpn, minimum_version)
        key = ("client", credential, roots_pem, verify_host, insecure_skip_verify, settings)

        def build() -> ssl.SSLContext:
            context = _new_context(settings, server=False)
            context.check_hostname = verify_host and not insecure_skip_verify
            context.verify_mode = ssl.CERT_NONE if insecure_skip_verify else ssl.CERT_REQUIRED
            if roots_pem is not None:
                _load_roots(context, roots_pem, None if insecure_skip_verify else self._wall_clock)
            elif not insecure_skip_verify:
                context.load_default_certs(ssl.Purpose.SERVER_AUTH)
            if credential is not None:
                _load_credential(context, credential)
            return context

        return self._kept(key, build)

    def _of_identity(self, settings: TlsSettings, *, server: bool, mode: ssl.VerifyMode) -> ssl.SSLContext:
        identity = self.identity()
        if identity is not self._built_for:
            self._mesh, self._built_for = {}, identity
        key = (settings, server, mode)
        context = self._mesh.get(key)
        if context is None:
            context = mesh_context(identity, settings, server=server, mode=mode, wall_clock=self._wall_clock)
            self._mesh[key] = context
        return context

    def _kept(self, key: tuple[object, ...], build: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = self._others.get(key)
        if context is None:
            context = build()
            while len(self._others) >= MAX_KEPT:
                del self._others[next(iter(self._others))]
            self._others[key] = context
        return context


def mesh_context(
    identity: Identity,
    settings: TlsSettings = TlsSettings(),
    *,
    server: bool,
    mode: ssl.VerifyMode = ssl.CERT_REQUIRED,
    wall_clock: Callable[[], float] | None = None,
) -> ssl.SSLContext:
    """A new context of one side of the mesh's mutual TLS. Without a wall clock the machine's is believed.

    Raises:
        IdentityError: certificate, key or bundle cannot be used.
        ConfigError: the settings cannot.
    """
    context = _new_context(settings, server=server)
    context.verify_mode = mode
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    _forbid_resumption(context, server=server)
    try:
        _load_roots(context, identity.bundle_pem, wall_clock)
        _load_credential(context, Credential(identity.chain_pem, identity.key_pem))
    except ConfigError as error:
        raise IdentityError(f"the identity {identity.spiffe_id} cannot be used: {error}") from error
    return context


def _new_context(settings: TlsSettings, *, server: bool) -> JudgingContext:
    """Without trust and without a certificate. ``check_hostname`` is off, which alone lets ``verify_mode`` be chosen."""
    context = JudgingContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.minimum_version = _version(settings.minimum_version)
    if settings.maximum_version:
        context.maximum_version = _version(settings.maximum_version)
    if context.maximum_version < context.minimum_version and settings.maximum_version:
        raise ConfigError("the maximum TLS version is below the minimum")
    _set_ciphers(context, settings.cipher_suites)
    if settings.alpn:
        context.set_alpn_protocols(list(settings.alpn))
    return context


def _version(name: str) -> ssl.TLSVersion:
    version = _VERSIONS.get(name)
    if version is None:
        raise ConfigError(f"TLS version {name!r} is not offered: use TLSv1_2 or TLSv1_3")
    return version


def _set_ciphers(context: ssl.SSLContext, suites: tuple[str, ...]) -> None:
    """TLS 1.3's suites are fixed; their names in a list are accepted, as Envoy does."""
    chosen = [suite for suite in suites if not suite.startswith("TLS_")]
    for suite in chosen:
        # OpenSSL passes over names it does not know as long as it knows one.
        try:
            context.set_ciphers(suite)
        except ssl.SSLError as error:
            raise ConfigError(f"cipher suite {suite!r} is not known: use OpenSSL's names") from error
    context.set_ciphers(":".join([*(chosen or [CIPHERS]), SECURITY_LEVEL]))


def _forbid_resumption(context: ssl.SSLContext, *, server: bool) -> None:
    context.options |= ssl.OP_NO_TICKET
    if server:
        context.num_tickets = 0


def _load_roots(context: JudgingContext, pem: str, wall_clock: Callable[[], float] | None) -> None:
    """Trust these, at the times that ``wall_clock`` gives; without one, at the machine's."""
    if "-----BEGIN CERTIFICATE-----" not in pem:
        raise ConfigError("there is no certificate among the trusted roots")
    try:
        context.load_verify_locations(cadata=pem if wall_clock is None else _without_expired(pem, wall_clock()))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"the trusted roots are no PEM certificates: {_reason(error)}") from error
    if wall_clock is not None:
        context.verify_flags |= _NO_CHECK_TIME
        context.judge = judge_times(wall_clock)


def _without_expired(pem: str, now: float) -> str:
    """A root that was renewed with the same key may be there twice, and OpenSSL, not minding the time, takes either."""
    blocks = _CERTIFICATE.findall(pem)
    try:
        current = [block for block in blocks if read_certificate(ssl.PEM_cert_to_DER_cert(block)).not_after > now]
    except IdentityError as error:
        raise ValueError(str(error)) from error
    return "\n".join(current or blocks)


def _load_credential(context: ssl.SSLContext, credential: Credential) -> None:
    if "-----BEGIN CERTIFICATE-----" not in credential.chain_pem:
        raise ConfigError("the certificate chain holds no PEM certificate")
    if "PRIVATE KEY-----" not in credential.key_pem:
        raise ConfigError("the private key is no PEM key")
    with _secret_file(f"{credential.chain_pem}\n{credential.key_pem}") as path:
        try:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(path, password="")
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(f"the certificate and its key cannot be used together: {_reason(error)}") from error


def _reason(error: ssl.SSLError | ValueError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else str(error)
    return (reason or "unreadable").replace("_", " ").lower()


@contextlib.contextmanager
def _secret_file(text: str) -> Iterator[str]:
    """A path under which OpenSSL can read ``text``, for the length of the block."""
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").exists():
        fd = os.memfd_create("meshd")
        try:
            _write_all(fd, text.encode())
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)
        return
    import tempfile

    fd, path = tempfile.mkstemp(prefix="meshd-")  # made with mode 0600
    try:
        try:
            _write_all(fd, text.encode())
        finally:
            os.close(fd)
        yield path
    finally:
        Path(path).unlink()


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
