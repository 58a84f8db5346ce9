"""Who gets a certificate: the decision, the signature and the record of it.

The order matters: the asker is authenticated, the request is checked, then the
token is used up, then the leaf is signed, then the audit log has it, and only
then the answer leaves. A request that is refused leaves a token as it was.
"""

from __future__ import annotations

import hmac
import ipaddress

import attrs

from meshd.certs.authority import check_request, request_pin
from meshd.certs.spiffe import SpiffeId
from meshd.control.audit import AuditLog
from meshd.control.authority import Authority
from meshd.control.rates import Buckets, Rate
from meshd.control.tokens import TokenStore
from meshd.errors import IdentityError, MeshdError
from meshd.net.address import Address
from meshd.snapshot.protocol import CertificateRequest, CertificateResponse

DEFAULT_NAMESPACE = "default"
DEFAULT_ACCOUNT = "default"


class Refusal(MeshdError):
    """A request of the API that is answered with an error.

    Args:
        status: HTTP status.
        code: For programs: a word.
        message: For people: what is wrong.
        mend: What to do about it, or "".
        retry_after: Seconds after which trying again makes sense, 0 for "not said".
    """

    def __init__(self, status: int, code: str, message: str, *, mend: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.mend = mend
        self.retry_after = retry_after


@attrs.frozen
class Caller:
    """Who asks, as far as the connection proves it."""

    peer: Address
    spiffe: SpiffeId | None = None
    """From a verified client certificate of this mesh."""
    certificate_expiry: float = 0.0
    bearer: str = attrs.field(default="", repr=False)
    """What the Authorization header holds, "" for nothing."""
    node: str = ""

    @property
    def key(self) -> str:
        """What rates are counted by: the identity, or the peer's host."""
        return str(self.spiffe) if self.spiffe else self.peer.host


def is_loopback(host: str) -> bool:
    """Is this address of the machine itself?"""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    # A listener for both families sees IPv4 clients under mapped addresses.
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


@attrs.frozen
class IssueRates:
    """How often certificates may be asked for."""

    per_caller: Rate = Rate(2.0, 100.0)
    """By identity, or by peer address for first certificates. Agents ask once in half a lifetime."""
    failures: Rate = Rate(1.0, 20.0)
    """Refused attempts by peer address. Source: SPIRE's attestation limit of 1/s per address."""


class Issuer:
    """Hands out certificates. Made by the control plane's mode."""

    def __init__(
        self,
        authority: Authority,
        tokens: TokenStore,
        audit: AuditLog,
        *,
        local_secret: str = "",
        rates: IssueRates | None = None,
    ) -> None:
        """``local_secret``: the credential in the local descriptor, "" for none."""
        self._authority = authority
        self._tokens = tokens
        self._audit = audit
        self._local_secret = local_secret
        rates = rates or IssueRates()
        # The whole mutable state: who asked how often, and the counts.
        self._asked = Buckets(rates.per_caller)
        self._failed = Buckets(rates.failures)
        self.issued = 0
        self.refused = 0

    def is_local(self, caller: Caller) -> bool:
        """Did the caller show the local credential, from this machine?"""
        return (
            bool(self._local_secret)
            and is_loopback(caller.peer.host)
            and hmac.compare_digest(caller.bearer.encode(), self._local_secret.encode())
        )

    def issue(self, caller: Caller, request: CertificateRequest, now: float) -> CertificateResponse:
        """Decide, sign and record.

        Args:
            caller: Who asks.
            request: What for.
            now: trio's clock.

        Raises:
            Refusal: what is answered instead.
        """
        self._limit(caller, now)
        by = "certificate" if caller.spiffe and not caller.bearer else "token"
        try:
            spiffe, by = self._authenticate(caller, request)
            issued = self._authority.issue(request.csr, str(spiffe), float(request.ttl))
            self._audit.write(
                "certificate_issued",
                identity=str(spiffe),
                serial=issued.facts.serial,
                not_after=issued.facts.not_after,
                key=issued.facts.pin,
                by=by,
                node=caller.node,
                peer=str(caller.peer),
            )
        except IdentityError as error:
            raise self._refuse(caller, by, error, now) from error
        self.issued += 1
        bundle = self._authority.bundle
        return CertificateResponse(issued.chain_pem, bundle.pem, bundle.trust_domain, str(spiffe))

    def _limit(self, caller: Caller, now: float) -> None:
        wait = self._asked.take(caller.key, now) or self._failed.wait_for(caller.peer.host, now)
        if wait:
            raise Refusal(429, "too_many_requests", "too many certificates were asked for", retry_after=wait)

    def _authenticate(self, caller: Caller, request: CertificateRequest) -> tuple[SpiffeId, str]:
        """Who the certificate is for, and what proved it."""
        domain = self._authority.trust_domain
        if self.is_local(caller):
            spiffe = SpiffeId.of_service_account(
                domain, request.namespace or DEFAULT_NAMESPACE, request.service_account or DEFAULT_ACCOUNT
            )
            check_request(request.csr, str(spiffe))
            return spiffe, "local"
        if caller.bearer:
            return self._redeem(caller, request)
        if caller.spiffe is None:
            raise IdentityError("nothing proves who asks: neither a client certificate nor a join token")
        _expect(request, caller.spiffe.namespace, caller.spiffe.service_account, "client certificate")
        return caller.spiffe, "certificate"

    def _redeem(self, caller: Caller, request: CertificateRequest) -> tuple[SpiffeId, str]:
        if caller.bearer.startswith("local."):
            raise IdentityError(
                "the local credential is not this control plane's, or was not shown from this machine: "
                "the control plane may have been restarted; start the proxy again"
            )
        token = self._tokens.check(caller.bearer, node=caller.node)
        _expect(request, token.namespace, token.service_account, "join token")
        spiffe = SpiffeId.of_service_account(self._authority.trust_domain, token.namespace, token.service_account)
        check_request(request.csr, str(spiffe))
        self._tokens.redeem(caller.bearer, request_pin(request.csr), node=caller.node)
        return spiffe, f"token {token.id}"

    def _refuse(self, caller: Caller, by: str, error: IdentityError, now: float) -> Refusal:
        self.refused += 1
        self._failed.take(caller.peer.host, now)
        self._record_refusal(caller, by, str(error))
        if caller.spiffe is None and not caller.bearer:
            mend = "give the proxy a join token: `meshd token create`, then --token or --token-file"
            return Refusal(401, "no_credential", str(error), mend=mend)
        return Refusal(403, "identity_refused", str(error))

    def _record_refusal(self, caller: Caller, by: str, why: str) -> None:
        self._audit.write(
            "certificate_refused",
            identity=str(caller.spiffe or ""),
            by=by,
            node=caller.node,
            peer=str(caller.peer),
            why=why,
        )


def _expect(request: CertificateRequest, namespace: str, service_account: str, proof: str) -> None:
    """What the asker believes to be must be what its proof says: a wrong flag is told, not ignored."""
    for flag, asked, proven in (
        ("--namespace", request.namespace, namespace),
        ("--service-account", request.service_account, service_account),
    ):
        if asked and asked != proven:
            raise IdentityError(f"the {proof} is for {namespace}/{service_account}, but {flag} says {asked!r}")
