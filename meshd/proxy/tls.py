"""The proxy's two needs of TLS: take a client's handshake, make one with a server.

The context is chosen when a handshake begins, from the certificates current at
that moment; no context in use is ever changed. ``TlsSide`` is what acceptors
and connectors know; ``MeshTls`` is it, over ``certs.contexts``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import attrs

from meshd.certs.contexts import Credential, TlsContexts
from meshd.certs.identity import IdentitySource
from meshd.certs.verify import verify_names, verify_spiffe
from meshd.errors import IdentityError
from meshd.net.connection import Connection
from meshd.net.tls import wrap_client, wrap_server
from meshd.snapshot.cluster import Endpoint, TlsMode, UpstreamTls
from meshd.snapshot.listener import DownstreamTls

WORKLOAD = "default"
"""``DownstreamTls.certificate``: the workload's own."""
MESH_ROOTS = "ROOTCA"
"""``DownstreamTls.validation``: the mesh's bundle."""


class Secret(Protocol):
    """A secret as the agent holds it."""

    @property
    def certificate_pem(self) -> str:
        """The chain, leaf first; "" when it holds roots only."""
        ...

    @property
    def key_pem(self) -> str:
        """The private key."""
        ...

    @property
    def ca_pem(self) -> str:
        """Roots for client certificates, "" when there are none."""
        ...


class TlsSide(Protocol):
    """Handshakes with the certificates of the moment."""

    def missing(self, tls: DownstreamTls) -> str:
        """Why a listener with these settings could not take a handshake now, "" when it could."""
        ...

    async def accept(self, connection: Connection, tls: DownstreamTls, server_name: str) -> Connection:
        """The server's side of a handshake; ``server_name`` is what the ClientHello asked for.

        Raises:
            ConnectionLost, ProtocolError: it failed.
            IdentityError: the client proved nothing, or the wrong thing; or there is no certificate to show.
            ConfigError: a credential, roots or a cipher suite cannot be used.
        """
        ...

    async def connect(
        self,
        connection: Connection,
        tls: UpstreamTls,
        endpoint: Endpoint,
        *,
        mutual: bool,
        alpn: tuple[str, ...],
        server_name: str,
    ) -> Connection:
        """The client's side; the server's identity is checked before this returns.

        Args:
            connection: To the endpoint, nothing sent yet.
            tls: The cluster's settings.
            endpoint: Whom we mean to reach (``identity``, when known).
            mutual: The mesh's own mutual TLS (ISTIO_MUTUAL, or AUTO to an endpoint of the mesh).
            alpn: What a client offers for the protocol it is about to speak.
            server_name: For SNI, and to check a web certificate by.

        Raises:
            ConnectionLost, ProtocolError, IdentityError, ConfigError: as for ``accept``.
        """
        ...


@attrs.frozen(eq=False)
class MeshTls:
    """``TlsSide`` over the contexts of one process."""

    contexts: TlsContexts
    source: IdentitySource
    secrets: Mapping[str, Secret]
    """By name, as ``DownstreamTls`` names them."""
    read_file: Callable[[str], str]
    """For files that a DestinationRule names; raises OSError."""

    def missing(self, tls: DownstreamTls) -> str:
        """See ``TlsSide``."""
        if tls.certificate == WORKLOAD:
            return "" if self.source.current is not None else "there is no certificate yet"
        return "" if tls.certificate in self.secrets else f"the secret {tls.certificate} is not here"

    async def accept(self, connection: Connection, tls: DownstreamTls, server_name: str) -> Connection:
        """See ``TlsSide``."""
        if tls.certificate == WORKLOAD:
            context = self.contexts.mesh_server(
                alpn=tls.alpn,
                require_client_certificate=tls.require_client_certificate,
                minimum_version=tls.minimum_version,
                maximum_version=tls.maximum_version,
                cipher_suites=tls.cipher_suites,
            )
            verify = verify_spiffe(
                ids=tls.subject_alt_names,
                trust_domains=tls.trust_domains,
                optional=not tls.require_client_certificate,
            )
            return await wrap_server(
                connection, context, verify=verify, server_name=server_name, local_uri=self._local_uri()
            )
        context = self.contexts.gateway_server(
            self._credential(tls.certificate),
            alpn=tls.alpn,
            client_roots_pem=self._roots(tls.validation),
            require_client_certificate=tls.require_client_certificate,
            minimum_version=tls.minimum_version,
            maximum_version=tls.maximum_version,
            cipher_suites=tls.cipher_suites,
        )
        names = None
        if tls.subject_alt_names:
            names = verify_names(tls.subject_alt_names, optional=not tls.require_client_certificate)
        return await wrap_server(connection, context, verify=names, server_name=server_name)

    async def connect(
        self,
        connection: Connection,
        tls: UpstreamTls,
        endpoint: Endpoint,
        *,
        mutual: bool,
        alpn: tuple[str, ...],
        server_name: str,
    ) -> Connection:
        """See ``TlsSide``."""
        if mutual:
            known = tls.subject_alt_names or ((endpoint.identity,) if endpoint.identity else ())
            verify = verify_spiffe(ids=known) if known else verify_spiffe(trust_domains=tls.trust_domains)
            context = self.contexts.mesh_client(alpn=alpn)
            return await wrap_client(
                connection, context, server_hostname=server_name or None, verify=verify, local_uri=self._local_uri()
            )
        context = self.contexts.web_client(
            alpn=tuple(name for name in alpn if not name.startswith("istio")),
            roots_pem=self._file(tls.ca_certificates) if tls.ca_certificates else None,
            credential=self._client_credential(tls),
            # As Istio: without a name and without SANs the chain is verified, and no name is.
            verify_host=bool(server_name) and not tls.subject_alt_names,
            insecure_skip_verify=tls.insecure_skip_verify,
            minimum_version=tls.minimum_version,
        )
        names = verify_names(tls.subject_alt_names) if tls.subject_alt_names and not tls.insecure_skip_verify else None
        return await wrap_client(connection, context, server_hostname=server_name or None, verify=names)

    def _local_uri(self) -> str:
        current = self.source.current
        return current.spiffe_id if current is not None else ""

    def _credential(self, name: str) -> Credential:
        secret = self.secrets.get(name)
        if secret is None or not secret.certificate_pem:
            raise IdentityError(f"the secret {name} is not here: create it, or allow this gateway to have it")
        return Credential(secret.certificate_pem, secret.key_pem)

    def _roots(self, name: str) -> str:
        if not name:
            return ""
        if name == MESH_ROOTS:
            current = self.source.current
            if current is None:
                raise IdentityError("there is no certificate yet, nor the mesh's roots")
            return current.bundle_pem
        secret = self.secrets.get(name)
        if secret is None or not secret.ca_pem:
            raise IdentityError(f"the secret {name} has no roots for client certificates")
        return secret.ca_pem

    def _client_credential(self, tls: UpstreamTls) -> Credential | None:
        if tls.mode is not TlsMode.MUTUAL:
            return None
        if tls.credential:
            return self._credential(tls.credential)
        return Credential(self._file(tls.client_certificate), self._file(tls.private_key))

    def _file(self, path: str) -> str:
        try:
            return self.read_file(path)
        except OSError as error:
            raise IdentityError(f"{path} cannot be read: {error.strerror or error}") from error
