"""Certificates that prove too little, too much or something else: none gets a byte to the application."""

from __future__ import annotations

import attrs
import pytest
import trio

from meshd.certs.identity import Identity
from meshd.errors import MeshdError
from meshd.net.address import Address
from tests.certs.pki import RATINGS, REVIEWS, make_ca
from tests.proxy.rig import EPOCH
from tests.proxy.test_mtls import CA, OTHER_CA, Mesh, issue

HOME = "spiffe://cluster.local"
SAME_NAME = make_ca(not_after=EPOCH + 400 * 86400)
"""Another authority that calls itself as the mesh's own does."""


def dated(start: float, end: float) -> Identity:
    return CA.issue(REVIEWS, not_before=EPOCH + start, not_after=EPOCH + end)


STRANGERS = {
    "another CA": issue(REVIEWS, OTHER_CA),
    "another CA of the same name": issue(REVIEWS, SAME_NAME),
    "expired": dated(-7200, -3600),
    "not yet valid": dated(3600, 7200),
    "another trust domain": issue("spiffe://elsewhere.example/ns/default/sa/reviews"),
    "a longer trust domain": issue("spiffe://cluster.local.evil.example/ns/default/sa/reviews"),
    "a shorter trust domain": issue("spiffe://cluster/ns/default/sa/reviews"),
    "two ids": issue(None, uris=[REVIEWS, RATINGS]),
    "the same id twice": issue(None, uris=[REVIEWS, REVIEWS]),
    "an id and a URL": issue(None, uris=["https://example.com/", REVIEWS]),
    "no id": issue(None),
    "a name only": issue(None, dns=["reviews.default.svc.cluster.local"]),
    "the id as a common name": issue(None, common_name="spiffe-reviews"),
    "upper case": issue(None, uris=["SPIFFE://cluster.local/ns/default/sa/reviews"]),
    "upper-case domain": issue(None, uris=["spiffe://CLUSTER.local/ns/default/sa/reviews"]),
    "userinfo": issue(None, uris=["spiffe://user@cluster.local/ns/default/sa/reviews"]),
    "a port": issue(None, uris=[f"{HOME}:443/ns/default/sa/reviews"]),
    "a query": issue(None, uris=[f"{REVIEWS}?x"]),
    "a fragment": issue(None, uris=[f"{REVIEWS}#x"]),
    "dot segments": issue(None, uris=[f"{HOME}/ns/x/../default/sa/reviews"]),
    "an empty segment": issue(None, uris=[f"{HOME}/ns//default/sa/reviews"]),
    "a slash at the end": issue(None, uris=[f"{REVIEWS}/"]),
    "percent": issue(None, uris=[f"{HOME}/ns/default/sa/review%73"]),
    "no path": issue(None, uris=[HOME]),
    "too long": issue(None, uris=[f"{HOME}/ns/default/sa/{'a' * 2100}"]),
    "an authority": issue(REVIEWS, is_ca=True),
}


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("identity", STRANGERS.values(), ids=[name.replace(" ", "_") for name in STRANGERS])
async def test_nobody_gets_in_or_is_believed(nursery, autojump_clock, identity: Identity, side: str) -> None:
    mesh = Mesh()
    shown = attrs.evolve(identity, bundle_pem=CA.root_pem)
    if side == "client":
        mesh.reviews.current = shown
    else:
        mesh.ratings.current = shown
    await mesh.start(nursery, expected=RATINGS if side == "client" else REVIEWS)
    got = await mesh.call()
    assert got.status == 503
    assert mesh.app.requests == []
    reason = got.header("x-meshd-reason") or ""
    assert reason
    assert "Traceback" not in reason
    assert "BEGIN" not in reason
    # Who is what he should be is served at once.
    mesh.reviews.current = issue(REVIEWS)
    mesh.ratings.current = issue(REVIEWS if side == "server" else RATINGS)
    await trio.sleep(30)
    assert (await mesh.call()).status == 200


@pytest.mark.parametrize(
    "hello",
    [
        b"\x16\x03\x01",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"\x16\x03\x01\xff\xff" + b"\x01" * 70_000,
        b"\x16\x03\x01\x00\x02\x02\x28" * 10,
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x80\x2e\x01\x00\x02" + b"\x00" * 50,
        b"\x16\x03\x01\x40\x00\x01\x00\xff\xfc" + b"\x00" * 16_000,
        b"GET / HTTP/1.1\r\nHost: ratings\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x00" * 1000,
    ],
    ids=range(11),
)
async def test_what_is_no_handshake(nursery, autojump_clock, hello: bytes) -> None:
    mesh = Mesh()
    await mesh.start(nursery)
    connection = await mesh.network.machine("10.0.0.3").connect(Address("10.0.0.2", 15006))
    got = b""
    with trio.fail_after(60):
        try:
            await connection.send(hello)
            while piece := await connection.receive():
                got += piece
        except MeshdError:
            pass
    connection.close()
    assert b"HTTP" not in got
    assert mesh.app.requests == []
    assert (await mesh.call()).status == 200
