"""Who asks, as headers say it."""

from __future__ import annotations

import hashlib

import pytest

from meshd.http.head import Headers, RequestHead
from meshd.net.address import Address
from meshd.net.connection import TlsInfo
from meshd.policy.exchange import ConnectionInfo, Exchange
from meshd.proxy.identity_headers import Introduction, client_cert_entry, take_metadata
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import HttpManager

PEER = Address("203.0.113.9", 4711)
GATEWAY = HttpManager(use_remote_address=True, forward_client_cert="sanitize_set")
INBOUND = HttpManager()
OUTBOUND = HttpManager(forward_client_cert="always_forward")
REVIEWS, RATINGS = (f"spiffe://cluster.local/ns/default/sa/{name}" for name in ("reviews", "ratings"))
TLS = TlsInfo("TLSv1.3", "x", "h2", "", REVIEWS, b"DER", RATINGS)
ENTRY = f'By={RATINGS};Hash={hashlib.sha256(b"DER").hexdigest()};Subject="";URI={REVIEWS}'.encode()


def introduced(http: HttpManager, headers=(), tls: TlsInfo | None = None) -> Exchange:
    info = ConnectionInfo(Direction.GATEWAY, PEER, PEER, 80)
    exchange = Exchange(info, RequestHead(b"GET", b"/", b"x", Headers.of(headers)), 0.0)
    Introduction(http, PEER, tls, request_id=lambda: b"new-id").apply(exchange)
    assert exchange.request_id == exchange.request.headers.get(b"x-request-id")
    return exchange


def introduce(http: HttpManager, headers=(), tls: TlsInfo | None = None) -> RequestHead:
    return introduced(http, headers, tls).request


def test_a_web_certificate_is_named_by_its_subject_and_dns_names():
    names = ("a.example.com", "*.example.com", "evil;URI=spiffe://x", "a\r\nb", "")
    tls = TlsInfo("", "", "", "", "", b"DER", peer_subject="CN=client1,O=Books", peer_dns=names)
    assert client_cert_entry(tls).decode() == (
        f'Hash={hashlib.sha256(b"DER").hexdigest()};Subject="CN=client1,O=Books";DNS=a.example.com;DNS=*.example.com'
    )


def test_a_stranger_s_word_is_not_taken():
    head = introduce(
        GATEWAY,
        [
            (b"x-envoy-internal", b"true"),
            (b"X-Envoy-Max-Retries", b"99"),
            (b"x-meshd-peer-metadata", b"w=admin"),
            (b"x-request-id", b"mine"),
            (b"x-forwarded-proto", b"https"),
            (b"x-forwarded-client-cert", b"By=spiffe://x;URI=spiffe://cluster.local/ns/admin/sa/root"),
            (b"x-forwarded-for", b"1.2.3.4"),
            (b"x-env", b"kept"),
        ],
    )
    assert dict(head.headers.items()) == {
        b"x-env": b"kept",
        b"x-request-id": b"new-id",
        b"x-forwarded-for": b"1.2.3.4,203.0.113.9",
        b"x-forwarded-proto": b"http",
        b"x-envoy-external-address": b"203.0.113.9",
    }
    assert head.scheme == b"http"


def test_a_gateway_with_tls_says_https():
    head = introduce(GATEWAY, [(b"x-forwarded-proto", b"http")], TlsInfo("", "", "", "", ""))
    assert head.headers.get(b"x-forwarded-proto") == b"https"
    assert head.scheme == b"https"


def test_inside_the_mesh_what_is_there_is_kept():
    head = introduce(
        INBOUND, [(b"x-request-id", b"mine"), (b"x-forwarded-proto", b"https"), (b"x-forwarded-for", b"9.9.9.9")], TLS
    )
    assert head.headers.get(b"x-request-id") == b"mine"
    assert head.headers.get(b"x-forwarded-for") == b"9.9.9.9"
    assert head.scheme == b"https"


@pytest.mark.parametrize("value", [b"ftp", b"", b"javascript"])
def test_a_strange_scheme_is_not_believed(value):
    assert introduce(INBOUND, [(b"x-forwarded-proto", value)]).scheme == b"http"


def test_an_id_is_made_when_there_is_none():
    assert introduce(OUTBOUND).headers.get(b"x-request-id") == b"new-id"


def test_the_client_certificate_as_istio_writes_it():
    assert client_cert_entry(TLS) == ENTRY
    assert client_cert_entry(None) == b""


def test_inbound_appends_what_the_connection_proved():
    head = introduce(INBOUND, [(b"x-forwarded-client-cert", b"By=a;URI=b")], TLS)
    assert head.headers.get_all(b"x-forwarded-client-cert") == [b"By=a;URI=b," + ENTRY]
    assert introduce(INBOUND, [], TLS).headers.get(b"x-forwarded-client-cert") == ENTRY


def test_inbound_without_mtls_takes_nobody_s_word():
    assert b"x-forwarded-client-cert" not in introduce(INBOUND, [(b"x-forwarded-client-cert", b"URI=b")]).headers


def test_a_gateway_sets_only_what_it_saw():
    head = introduce(GATEWAY, [(b"x-forwarded-client-cert", b"URI=forged")], TLS)
    assert head.headers.get_all(b"x-forwarded-client-cert") == [ENTRY]


def test_outbound_forwards_as_it_is():
    head = introduce(OUTBOUND, [(b"x-forwarded-client-cert", b"URI=b")])
    assert head.headers.get(b"x-forwarded-client-cert") == b"URI=b"


def test_sanitize_removes():
    http = HttpManager(forward_client_cert="sanitize")
    assert b"x-forwarded-client-cert" not in introduce(http, [(b"x-forwarded-client-cert", b"x")], TLS).headers


def test_metadata_is_taken_out():
    head = RequestHead(b"GET", b"/", b"x", Headers.of([(b"X-Meshd-Peer-Metadata", b"w=a")]))
    assert take_metadata(head) == b"w=a"
    assert b"x-meshd-peer-metadata" not in head.headers
    assert take_metadata(head) == b""


def test_a_stranger_with_nothing_to_take_out_gets_the_same_lines():
    head = introduce(GATEWAY, [(b"user-agent", b"curl")], TLS)
    assert dict(head.headers.items()) == {
        b"user-agent": b"curl",
        b"x-request-id": b"new-id",
        b"x-forwarded-for": b"203.0.113.9",
        b"x-envoy-external-address": b"203.0.113.9",
        b"x-forwarded-proto": b"https",
        b"x-forwarded-client-cert": ENTRY,
    }


@pytest.mark.parametrize(
    ("edge", "hops", "forwarded", "host"),
    [
        # A gateway: the Nth from the right, before it appends its own; none for N = 0.
        (True, 0, b"1.1.1.1,2.2.2.2", ""),
        (True, 1, b"1.1.1.1,2.2.2.2", "2.2.2.2"),
        (True, 2, b"1.1.1.1, 2.2.2.2", "1.1.1.1"),
        (True, 3, b"1.1.1.1,2.2.2.2", ""),
        # Inside: one more to the right has been appended by whoever called us.
        (False, 0, b"1.1.1.1,2.2.2.2", "2.2.2.2"),
        (False, 1, b"1.1.1.1,2.2.2.2", "1.1.1.1"),
        (False, 2, b"1.1.1.1,2.2.2.2", ""),
        (False, 0, b"2001:db8::1", "2001:db8::1"),
        (False, 0, b"not an address", ""),
        (False, 0, b"", ""),
    ],
)
def test_trusted_hops_tell_whom_a_request_comes_from(edge, hops, forwarded, host):
    http = HttpManager(use_remote_address=edge, trusted_hops=hops)
    exchange = introduced(http, [(b"x-forwarded-for", forwarded)])
    assert exchange.remote_host == host
    if edge:
        assert exchange.request.headers.get(b"x-envoy-external-address") == (host or "203.0.113.9").encode()


def test_attempts_are_not_taken_from_a_request():
    assert b"x-envoy-attempt-count" not in introduce(INBOUND, [(b"x-envoy-attempt-count", b"7")]).headers


@pytest.mark.parametrize(
    ("forwarding", "shown", "kept"),
    [
        ("forward_only", TLS, b"said"),
        ("forward_only", None, None),
        ("forward_only", TlsInfo("TLSv1.3", "x", "h2", "", ""), None),
        ("always_forward", None, b"said"),
        ("sanitize", TLS, None),
    ],
)
@pytest.mark.parametrize("stranger", [True, False])
def test_who_may_speak_of_a_client_s_certificate(forwarding, shown, kept, stranger):
    http = HttpManager(use_remote_address=stranger, forward_client_cert=forwarding)
    head = introduce(http, [(b"x-forwarded-client-cert", b"said")], shown)
    assert head.headers.get(b"x-forwarded-client-cert") == kept
