"""Who the peer of a finished handshake may be: the check that OpenSSL does not make.

Each function here makes a ``meshd.net.tls.Verify``. OpenSSL has already
verified the chain; these look at the names. Nothing allowed means nobody is.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection

from meshd.certs.der import CERT_SIGN, CRL_SIGN, DIGITAL_SIGNATURE, read_certificate
from meshd.certs.spiffe import SpiffeId, peer_spiffe_id
from meshd.errors import IdentityError
from meshd.net.tls import Verify


def verify_spiffe(*, ids: Collection[str] = (), trust_domains: Collection[str] = (), optional: bool = False) -> Verify:
    """The peer must be one of ``ids``, or, when there are none, a workload of one of ``trust_domains``.

    Args:
        ids: SPIFFE ids, compared exactly.
        trust_domains: Names such as ``cluster.local``.
        optional: A peer without a certificate is let in, as nobody ("").
    """
    allowed = frozenset(ids)
    domains = frozenset(trust_domains)

    def verify(tls: ssl.SSLObject) -> str:
        certificate = tls.getpeercert()
        if optional and not certificate:
            return ""
        identity: SpiffeId = peer_spiffe_id(certificate)
        _check_leaf(tls.getpeercert(binary_form=True) or b"")
        name = str(identity)
        if allowed:
            if name not in allowed:
                raise IdentityError(f"the peer is {name}, expected {_listed(allowed)}")
        elif identity.trust_domain not in domains:
            raise IdentityError(f"the peer is {name}, expected a workload of {_listed(domains)}")
        return name

    return verify


def verify_names(names: Collection[str], *, optional: bool = False) -> Verify:
    """The peer's certificate must carry one of ``names`` (DNS, URI, email or IP); no names: any certificate will do.

    For certificates from outside the mesh: what they call themselves proves no
    identity in it, so the peer's SPIFFE id is "".
    """
    wanted = frozenset(names)

    def verify(tls: ssl.SSLObject) -> str:
        certificate = tls.getpeercert()
        if not certificate:
            if optional:
                return ""
            raise IdentityError("the peer showed no verified certificate")
        shown: tuple[tuple[str, str], ...] = certificate.get("subjectAltName", ())  # type: ignore[assignment]
        if wanted and not any(_carries(kind, value, wanted) for kind, value in shown):
            raise IdentityError(f"the peer's certificate has none of the names {_listed(wanted)}")
        return ""

    return verify


def judge_times(wall_clock: Callable[[], float]) -> Callable[[ssl.SSLObject], None]:
    """Every certificate of the peer's verified chain must be valid now, by this clock.

    A peer without a certificate passes: whether it needs one is OpenSSL's to say.
    """

    def judge(tls: ssl.SSLObject) -> None:
        leaf = tls.getpeercert(binary_form=True)
        if leaf is None:
            return
        now = wall_clock()
        # A resumed session keeps the leaf only; its chain was judged minutes ago.
        for der in [leaf] if tls.session_reused else verified_chain(tls):
            fields = read_certificate(der)
            if now > fields.not_after:
                raise IdentityError("the peer's certificate is refused: certificate has expired")
            if now < fields.not_before:
                raise IdentityError("the peer's certificate is refused: certificate is not yet valid")

    return judge


def verified_chain(tls: ssl.SSLObject) -> list[bytes]:
    """The peer's chain as OpenSSL has verified it, leaf first, root last, in DER.

    Raises:
        IdentityError: there is none.
    """
    chain: list[bytes] = []
    if hasattr(tls, "get_verified_chain"):  # Python 3.13
        chain = tls.get_verified_chain()
    else:
        inner = tls._sslobj  # type: ignore[attr-defined]
        chain = [ssl.PEM_cert_to_DER_cert(link.public_bytes()) for link in inner.get_verified_chain() or ()]
    if not chain:
        raise IdentityError("the peer's certificate chain was not verified")
    return chain


def _check_leaf(der: bytes) -> None:
    """X509-SVID, sections 4.1 and 4.3: what signs certificates is no workload."""
    fields = read_certificate(der)
    usage = fields.key_usage
    if fields.is_ca or (usage is not None and usage & (CERT_SIGN | CRL_SIGN)):
        raise IdentityError("the peer's certificate is an authority's, not a workload's")
    if usage is None or not usage & DIGITAL_SIGNATURE:
        raise IdentityError("the peer's certificate is not for digital signatures")


def _carries(kind: str, shown: str, wanted: frozenset[str]) -> bool:
    if kind != "DNS":
        return shown in wanted
    return any(_dns_matches(shown.lower(), name.lower()) for name in wanted)


def _dns_matches(shown: str, wanted: str) -> bool:
    """RFC 6125, section 6.4.3: an asterisk stands for one whole label."""
    if shown.startswith("*.") and "." in shown[2:]:
        return wanted.partition(".")[2] == shown[2:]
    return shown == wanted


def _listed(names: frozenset[str]) -> str:
    return " or ".join(sorted(names)) or "nobody (none is allowed)"
