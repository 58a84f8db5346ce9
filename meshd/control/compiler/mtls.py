"""How a client speaks TLS to a service, and why. Pure.

Source: Istio's ``pilot/pkg/networking/core/cluster_tls.go`` and
``pilot/pkg/model/push_context.go`` (``BestEffortInferServiceMTLSMode``). A
DestinationRule with ``tls`` decides; without one mTLS is automatic: spoken to
those endpoints that can, as long as the service is of the mesh, the mesh wants
it, and no PeerAuthentication of its namespace or of the mesh turns it off.
"""

from __future__ import annotations

import attrs

from meshd.api.networking.destination_rule import ClientTLSmode, ClientTLSSettings
from meshd.api.security import MutualTLSMode
from meshd.control.compiler import names
from meshd.control.compiler.peer_authn import Policy, mode_at
from meshd.control.compiler.secrets import credential
from meshd.control.hosts import is_wildcard
from meshd.control.services import Service
from meshd.control.workloads import Backends
from meshd.snapshot.cluster import TlsMode, UpstreamTls

NOT_OF_THE_MESH = "the service is MESH_EXTERNAL"
SWITCHED_OFF = "automatic mTLS is switched off in the mesh's configuration (enableAutoMtls: false)"
PLAIN_WORKLOADS = "traffic goes where the client was going, and not all workloads there are known to speak mTLS"


@attrs.frozen
class Peers:
    """Why the workloads of a service are spoken to in plaintext, "" when mTLS is possible."""

    plain: str = ""


def peers_of(policies: tuple[Policy, ...], namespace: str, passthrough: Backends | None) -> Peers:
    """Whether a service's workloads can be spoken to by mTLS, as far as a client can tell.

    Args:
        policies: The PeerAuthentications that concern the service's namespace.
        namespace: The service's.
        passthrough: Its workloads, where requests go to wherever the client was
            going: then all of them must speak mTLS, and there must be some. Else None.
    """
    if passthrough is not None:
        listed = [backend for _, found in passthrough for backend in found]
        if not listed or not all(backend.mtls for backend in listed):
            return Peers(PLAIN_WORKLOADS)
    if mode_at(tuple(each for each in policies if each.resource.selector is None), namespace, (), 0) is (
        MutualTLSMode.DISABLE
    ):
        return Peers("a PeerAuthentication for the whole namespace or mesh turns mTLS off (DISABLE)")
    return Peers()


@attrs.frozen
class Reader:
    """What one client brings to the question."""

    trust_domains: tuple[str, ...]
    auto_mtls: bool
    credentials: bool
    """It may use the credentials that a DestinationRule names: gateways, and where the rule is for some workloads."""
    rule: str
    """The DestinationRule whose policy counts, for the reason."""
    peers: Peers = Peers()


def upstream_tls(
    service: Service, port: int, subset: str, settings: ClientTLSSettings | None, reader: Reader
) -> tuple[UpstreamTls | None, str]:
    """TLS towards one cluster, None for plaintext, and why; the reason is "" where automatic mTLS is in force."""
    mesh = UpstreamTls(
        mode=TlsMode.AUTO,
        sni=names.server_name(port, subset, service.host),
        subject_alt_names=service.subject_alt_names,
        trust_domains=reader.trust_domains,
    )
    if settings is None:
        plain = _plain(service, reader)
        return (None, plain) if plain else (mesh, "")
    reason = f"{reader.rule} says {settings.mode.value}"
    if settings.mode is ClientTLSmode.DISABLE:
        return None, reason
    sans = settings.subjectAltNames or service.subject_alt_names
    if settings.mode is ClientTLSmode.ISTIO_MUTUAL:
        mode = TlsMode.ISTIO_MUTUAL
        return attrs.evolve(mesh, mode=mode, sni=settings.sni or mesh.sni, subject_alt_names=sans), reason
    mutual = settings.mode is ClientTLSmode.MUTUAL
    named = settings.credentialName if reader.credentials else ""
    return (
        UpstreamTls(
            mode=TlsMode.MUTUAL if mutual else TlsMode.SIMPLE,
            sni=settings.sni or ("" if is_wildcard(service.host) else service.host),
            subject_alt_names=sans,
            ca_certificates=settings.caCertificates,
            client_certificate=settings.clientCertificate if mutual else "",
            private_key=settings.privateKey if mutual else "",
            credential=credential(named) if named else "",
            insecure_skip_verify=bool(settings.insecureSkipVerify),
        ),
        reason,
    )


def _plain(service: Service, reader: Reader) -> str:
    """Why automatic mTLS is out of the question, "" when it is not."""
    if service.external:
        return NOT_OF_THE_MESH
    if not reader.auto_mtls:
        return SWITCHED_OFF
    return reader.peers.plain
