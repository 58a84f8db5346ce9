"""Who asks, as headers say it: x-request-id, x-forwarded-*, x-forwarded-client-cert. Pure.

What a stranger says about himself is not believed: at a gateway the mesh's own
headers are taken out and set anew. Inside the mesh they are kept, but for what
only the connection can prove.

Source: Envoy's HTTP connection manager as Istio sets it up (measured on 1.40).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from meshd.http.head import Headers, RequestHead
from meshd.net.address import Address, is_ip_literal
from meshd.net.connection import TlsInfo
from meshd.policy.exchange import Exchange
from meshd.proxy import peer_metadata
from meshd.snapshot.listener import HttpManager

REQUEST_ID = b"x-request-id"
FORWARDED_FOR = b"x-forwarded-for"
FORWARDED_PROTO = b"x-forwarded-proto"
CLIENT_CERT = b"x-forwarded-client-cert"
EXTERNAL_ADDRESS = b"x-envoy-external-address"
"""Set at a gateway: whom the request comes from (Envoy; nobody is internal unless MeshNetworks says so)."""

ATTEMPT_COUNT = b"x-envoy-attempt-count"
"""Set for every try by the forwarder; never taken from a request."""

_DNS_NAME = re.compile(r"[A-Za-z0-9_.*-]{1,253}")
"""What else a certificate may hold there could be taken for another element of the header."""

_SETTING = ("append_forward", "sanitize_set")

# What a stranger cannot say of himself, found in one search; the second leaves him his certificate (``always_forward``).
_CLAIMS = re.compile(rb"\r\nx-(?:envoy-|meshd-|request-id:|forwarded-(?:for|proto|client-cert):)[^\r]*+")
# What is never taken from a neighbour; what he may say.
_ATTEMPTS = re.compile(rb"\r\nx-envoy-attempt-count:[^\r]*+")
_ATTEMPTS_AND_CERTIFICATE = re.compile(rb"\r\nx-(?:envoy-attempt-count|forwarded-client-cert):[^\r]*+")
_SAID = re.compile(rb"\r\nx-(?:request-id|forwarded-(?:for|proto)):[^\r]*+")
_CLAIMS_BUT_CERTIFICATE = re.compile(rb"\r\nx-(?:envoy-|meshd-|request-id:|forwarded-(?:for|proto):)[^\r]*+")


def client_cert_entry(tls: TlsInfo | None) -> bytes:
    """``By=...;Hash=...;Subject="...";URI=...;DNS=...`` of the connection's client, b"" when it showed no certificate."""
    if tls is None or not tls.peer_certificate:
        return b""
    parts = []
    if tls.local_uri:
        parts.append(f"By={tls.local_uri}")
    parts.append(f"Hash={hashlib.sha256(tls.peer_certificate).hexdigest()}")
    parts.append(f'Subject="{tls.peer_subject}"')
    if tls.peer_uri:
        parts.append(f"URI={tls.peer_uri}")
    parts += [f"DNS={name}" for name in tls.peer_dns if _DNS_NAME.fullmatch(name)]
    return ";".join(parts).encode()


def _mode(said: str, *, shown: bool) -> str:
    """``forward_only`` believes whoever showed a certificate, and nobody else."""
    if said != "forward_only":
        return said
    return "always_forward" if shown else "sanitize"


class Introduction:
    """What one connection's requests are given. Made per connection; ``apply`` once per request."""

    __slots__ = (
        "_appends",
        "_claimed_line",
        "_claims",
        "_entry",
        "_entry_line",
        "_fresh_lines",
        "_hops",
        "_peer",
        "_proto",
        "_proto_line",
        "_request_id",
        "_stranger_lines",
        "_taken",
        "stranger",
    )

    def __init__(
        self,
        http: HttpManager,
        peer: Address,
        tls: TlsInfo | None,
        *,
        request_id: Callable[[], bytes],
    ) -> None:
        self.stranger = http.use_remote_address
        """Whether those who connect are not believed."""
        self._hops = http.trusted_hops
        self._peer = peer.host.encode()
        self._proto = b"http" if tls is None else b"https"
        self._entry = client_cert_entry(tls)
        mode = _mode(http.forward_client_cert, shown=bool(self._entry))
        self._request_id = request_id
        # Rendered once: nearly every request gets the same lines.
        certifies = bool(self._entry) and mode in _SETTING
        self._entry_line = b"%b: %b\r\n" % (CLIENT_CERT, self._entry) if certifies else b""
        self._appends = bool(self._entry) and mode == "append_forward"
        keeps = self._appends or mode == "always_forward"
        self._claims = _CLAIMS_BUT_CERTIFICATE if keeps else _CLAIMS
        self._taken = _ATTEMPTS if mode == "always_forward" else _ATTEMPTS_AND_CERTIFICATE
        self._claimed_line = b"" if keeps else self._entry_line
        self._proto_line = b"%b: %b\r\n" % (FORWARDED_PROTO, self._proto)
        forwarded_for = b""
        if self.stranger:
            forwarded_for = b"%b: %b\r\n%b: %b\r\n" % (FORWARDED_FOR, self._peer, EXTERNAL_ADDRESS, self._peer)
        self._fresh_lines = b"%b%b%b%b: " % (self._entry_line, forwarded_for, self._proto_line, REQUEST_ID)
        self._stranger_lines = b"%b%b%b%b: " % (self._claimed_line, forwarded_for, self._proto_line, REQUEST_ID)

    def apply(self, exchange: Exchange) -> None:
        """Edit a request's head; note its id and, where hops are trusted, whom it comes from."""
        if not exchange.request.headers.has_prefix(b"x-"):
            self.apply_to_fresh(exchange)
        elif self.stranger:
            self.apply_to_stranger(exchange)
        else:
            self.apply_to_neighbour(exchange)

    def apply_to_fresh(self, exchange: Exchange) -> None:
        """``apply`` for a head without any x- header, as nearly every stranger's: there is nothing to take out."""
        head = exchange.request
        head.scheme = self._proto
        exchange.request_id = request_id = self._request_id()
        head.headers.append(b"%b%b\r\n" % (self._fresh_lines, request_id))

    def apply_to_neighbour(self, exchange: Exchange) -> None:
        """``apply`` inside the mesh, where what is said is kept."""
        head = exchange.request
        headers = head.headers
        taken = headers.cut(self._taken)
        if self._appends:
            shown = [_value(line) for line in taken if line[2:11].lower() == b"forwarded"]
            headers.append(b"%b: %b\r\n" % (CLIENT_CERT, b",".join([*filter(None, shown), self._entry])))
        elif self._entry_line:
            headers.append(self._entry_line)
        forwarded_for, forwarded_proto, request_id = b"", None, b""
        for line in headers.lines(_SAID):
            value = _value(line)
            if line[2] in b"rR":
                request_id = b"%b,%b" % (request_id, value) if request_id else value
            elif line[12] in b"fF":
                forwarded_for = b"%b,%b" % (forwarded_for, value) if forwarded_for else value
            elif forwarded_proto is None:
                forwarded_proto = value
        exchange.remote_host = _host_before(forwarded_for, self._hops) if forwarded_for else ""
        if forwarded_proto is None:
            headers.append(self._proto_line)
            head.scheme = self._proto
        else:
            head.scheme = _scheme(forwarded_proto, self._proto)
        if not request_id:
            headers.remove(REQUEST_ID)
            request_id = self._request_id()
            headers.append(b"%b: %b\r\n" % (REQUEST_ID, request_id))
        exchange.request_id = request_id

    def apply_to_stranger(self, exchange: Exchange) -> None:
        """``apply`` for a head that says things which a stranger cannot say of himself."""
        head = exchange.request
        headers = head.headers
        if self._hops:
            exchange.remote_host = forwarded_host(headers, self._hops - 1)
        before = b""
        for line in headers.cut(self._claims):
            if line[:16].lower() == b"x-forwarded-for:":
                value = line[16:].strip(b" \t")
                before = b"%b,%b" % (before, value) if before else value
        if self._appends:
            shown = headers.get(CLIENT_CERT)
            headers.set(CLIENT_CERT, shown + b"," + self._entry if shown else self._entry)
        head.scheme = self._proto
        exchange.request_id = request_id = self._request_id()
        if not before and not exchange.remote_host:
            headers.append(b"%b%b\r\n" % (self._stranger_lines, request_id))
            return
        peer = b"%b,%b" % (before, self._peer) if before else self._peer
        external = exchange.remote_host.encode() or self._peer
        headers.append(
            b"%b%b: %b\r\n%b: %b\r\n%b%b: %b\r\n"
            % (
                self._claimed_line,
                FORWARDED_FOR,
                peer,
                EXTERNAL_ADDRESS,
                external,
                self._proto_line,
                REQUEST_ID,
                request_id,
            )
        )


def forwarded_host(headers: Headers, hops: int) -> str:
    """The address ``hops`` before the last one of x-forwarded-for, "" when there is none or it is none.

    Envoy's ``xff_num_trusted_hops``: each trusted proxy has appended the address it was called from.
    """
    value = headers.get(FORWARDED_FOR)
    return _host_before(value, hops) if value else ""


def _host_before(value: bytes, hops: int) -> str:
    addresses = value.split(b",")
    if len(addresses) <= hops:
        return ""
    host = addresses[-1 - hops].strip().decode("latin-1")
    return host if is_ip_literal(host) else ""


def take_metadata(head: RequestHead) -> bytes:
    """Take the peer's description out of a request; b"" when there is none."""
    value = head.headers.get(peer_metadata.HEADER)
    if value is None:
        return b""
    head.headers.remove(peer_metadata.HEADER)
    return value


def _value(line: bytes) -> bytes:
    return line[line.index(b":") + 1 :].strip(b" \t")


def _scheme(forwarded: bytes, own: bytes) -> bytes:
    value = forwarded.partition(b",")[0].strip().lower()
    return value if value in (b"http", b"https") else own
