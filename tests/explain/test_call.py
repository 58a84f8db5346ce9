"""A call as people write it, with what a client would do about the rest."""

from __future__ import annotations

import pytest

from meshd.explain.call import Call, Protocol, QuestionError, Tls, Told


def test_what_a_url_says() -> None:
    call = Call.of("GET", "http://reviews:9080/a?x=1")
    assert (call.authority, call.host, call.port, call.target) == ("reviews:9080", "reviews", 9080, "/a?x=1")
    assert (call.protocol, call.tls, call.sni, call.alpn, call.address) == (Protocol.HTTP, Tls.PLAINTEXT, "", (), "")
    assert call.application_protocols == ("http/1.1",)
    assert call.url == "http://reviews:9080/a?x=1"


@pytest.mark.parametrize(
    ("url", "port", "tls", "sni"),
    [
        ("reviews", 80, Tls.PLAINTEXT, ""),
        ("//reviews/x", 80, Tls.PLAINTEXT, ""),
        ("https://Shop.example.com/x", 443, Tls.TLS, "Shop.example.com"),
        ("https://10.0.0.1/", 443, Tls.TLS, ""),
        ("https://[::1]:8443/", 8443, Tls.TLS, ""),
        ("tcp://db:5432", 5432, Tls.PLAINTEXT, ""),
    ],
)
def test_schemes_and_ports(url: str, port: int, tls: Tls, sni: str) -> None:
    call = Call.of("GET", url)
    assert (call.port, call.tls, call.sni) == (port, tls, sni)


@pytest.mark.parametrize(
    ("url", "address", "expected"),
    [
        ("http://reviews/", "10.0.0.1:8080", ("10.0.0.1", 8080)),
        ("http://reviews/", "10.0.0.1", ("10.0.0.1", 80)),
        ("http://reviews/", ":8080", ("", 8080)),
        ("http://reviews/", "[2001:db8::1]:8080", ("2001:db8::1", 8080)),
        ("http://reviews/", "2001:db8::1", ("2001:db8::1", 80)),
        ("http://10.0.0.2:81/", "", ("10.0.0.2", 81)),
        ("http://10.0.0.2:81/", ":82", ("10.0.0.2", 82)),
        ("tcp://db", "10.0.0.1:5432", ("10.0.0.1", 5432)),
    ],
)
def test_where_the_client_connects_to(url: str, address: str, expected: tuple[str, int]) -> None:
    call = Call.of("GET", url, Told(address=address))
    assert (call.address, call.port) == expected


def test_the_host_header_is_the_authority() -> None:
    call = Call.of("GET", "https://10.0.0.1/", Told(headers=(("Host", "shop.example.com"), ("End-User", " jason "))))
    assert (call.authority, call.sni, call.headers) == (
        "shop.example.com",
        "shop.example.com",
        (("end-user", "jason"),),
    )
    assert Call.of("GET", "http://x/", Told(headers=((":authority", "y:81"),))).authority == "y:81"


@pytest.mark.parametrize(
    ("tls", "protocol", "alpn"),
    [
        ("tls", "http", ("http/1.1",)),
        ("tls", "http2", ("h2",)),
        ("tls", "tcp", ()),
        ("mtls", "http", ("istio-http/1.1", "istio", "http/1.1")),
        ("mtls", "http2", ("istio-h2", "istio", "h2")),
        ("mtls", "tcp", ("istio-peer-exchange", "istio")),
    ],
)
def test_what_tls_offers(tls: str, protocol: str, alpn: tuple[str, ...]) -> None:
    assert Call.of("GET", "http://x/", Told(tls=tls, protocol=protocol)).application_protocols == alpn
    assert Call.of("GET", "http://x/", Told(tls=tls, protocol=protocol, alpn="a, b")).alpn == ("a", "b")


def test_a_server_name_means_tls() -> None:
    assert Call.of("GET", "http://x/", Told(sni="y")).tls is Tls.TLS


def test_mesh_clients_send_no_server_name_unless_it_is_said() -> None:
    assert Call.of("GET", "https://x/", Told(tls="mtls", peer="spiffe://td/ns/a/sa/b")).sni == ""


def test_what_could_not_stand_in_a_request_line_is_encoded() -> None:
    assert Call.of("GET", "http://x/a b?c d=ü%20#f").target == "/a%20b?c%20d=%C3%BC%20"


@pytest.mark.parametrize("url", ["http://a b/", "http://", "http://x:0/", "http://x:99999/", "http://x:y/"])
def test_no_url(url: str) -> None:
    with pytest.raises(QuestionError, match="is no URL to call"):
        Call.of("GET", url)


def test_a_header_cannot_smuggle_a_line() -> None:
    with pytest.raises(QuestionError, match="line break or NUL"):
        Call.of("GET", "http://x/", Told(headers=(("a", "b\r\nc: d"),)))
