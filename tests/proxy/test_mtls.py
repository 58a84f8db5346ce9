"""Mutual TLS end to end: an outbound sidecar, an inbound one, and those who should not get in."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from meshd.certs.contexts import Credential, TlsContexts
from meshd.certs.identity import Identity
from meshd.errors import MeshdError
from meshd.net.address import Address
from meshd.net.memory import MemoryNetwork
from meshd.proxy.bindings import Binding, Bindings
from meshd.proxy.tls import MeshTls
from meshd.snapshot.cluster import Peer, TlsMode, UpstreamTls
from meshd.snapshot.common import MatchKind, StringMatch
from meshd.snapshot.listener import DownstreamTls
from meshd.snapshot.policy import Authorization, AuthorizationPolicy, AuthorizationRule, Source
from meshd.snapshot.route import DirectResponse
from tests.certs.pki import RATINGS, REVIEWS, make_ca
from tests.fakes import answer
from tests.proxy.rig import EPOCH, Rig
from tests.proxy.snapshots import cluster, endpoint, forward, gateway, inbound, outbound, route

APP = "127.0.0.1:9080"
SIDECAR = "10.0.0.2:15006"
CA = make_ca(not_after=EPOCH + 400 * 86400)
OTHER_CA = make_ca(name="other", not_after=EPOCH + 400 * 86400)
SNI = "outbound_.9080_.v1_.ratings.default.svc.cluster.local"


def issue(spiffe_id: str | None, ca=CA, **more: object) -> Identity:
    return ca.issue(spiffe_id, not_before=EPOCH - 3600, not_after=EPOCH + 86400, **more)


@attrs.define
class Holder:
    """An identity source; also what secrets a gateway has."""

    current: Identity | None


@attrs.frozen
class FakeSecret:
    certificate_pem: str
    key_pem: str
    ca_pem: str = ""


def tls_side(source: Holder, secrets: dict[str, FakeSecret] | None = None) -> MeshTls:
    def clock() -> float:
        return EPOCH + trio.current_time()

    return MeshTls(
        TlsContexts(source, wall_clock=clock), source, secrets or {}, read_file=lambda path: Path(path).read_text()
    )


class Mesh:
    """reviews (outbound) -> ratings (inbound), each on a machine of its own."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.reviews = Holder(issue(REVIEWS))
        self.ratings = Holder(issue(RATINGS))

    async def start(
        self, nursery, *, http2: bool = False, permissive: bool = False, filters=(), expected: str = RATINGS
    ):
        tls = UpstreamTls(TlsMode.AUTO, sni=SNI, trust_domains=("cluster.local",))
        out = outbound(
            route(forward("ratings")),
            clusters=[cluster("ratings", http2=http2, tls=tls)],
            endpoints={"ratings": [endpoint(SIDECAR, mtls=True, identity=expected, peer=Peer("ratings-v1"))]},
        )
        into = inbound(
            route(forward("inbound|9080||")),
            clusters=[cluster("inbound|9080||", http2=http2)],
            endpoints={"inbound|9080||": [APP]},
            permissive=permissive,
            filters=filters,
        )
        self.client_side = await Rig.start(
            nursery, out, network=self.network.machine("10.0.0.1"), tls=tls_side(self.reviews)
        )
        self.server_side = await Rig.start(
            nursery,
            into,
            network=self.network.machine("10.0.0.2"),
            tls=tls_side(self.ratings),
            bindings=Bindings(names=(("virtualInbound", Binding(Address("", 15006))),)),
        )
        self.app = await self.server_side.upstream(APP, "app")

    async def call(self, **more: object):
        return await self.client_side.client.get(self.client_side.address("virtualOutbound"), "/x", **more)


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
async def test_a_request_over_mutual_tls(nursery, autojump_clock, http2):
    mesh = Mesh()
    await mesh.start(nursery, http2=http2)
    for _ in range(3):
        got = await mesh.call()
        assert (got.status, got.body) == (200, b"app")
    (seen, *_) = mesh.app.requests
    value = seen.headers.get(b"x-forwarded-client-cert").decode()
    assert value.startswith(f"By={RATINGS};Hash=")
    assert value.endswith(f';Subject="";URI={REVIEWS}')
    assert b"x-meshd-peer-metadata" not in seen.headers
    assert mesh.server_side.engine.open_connections() == 1


async def test_both_sides_know_each_other_in_metrics(nursery, autojump_clock):
    mesh = Mesh()
    await mesh.start(nursery)
    for _ in range(2):
        await mesh.call()
    page = mesh.server_side.metrics()
    (line,) = [line for line in page.splitlines() if line.startswith("istio_requests_total{")]
    assert 'reporter="destination"' in line
    assert 'source_workload="gw"' in line
    assert f'source_principal="{REVIEWS}"' in line
    assert 'connection_security_policy="mutual_tls"' in line
    assert line.endswith(" 2")
    page = mesh.client_side.metrics()
    (line,) = [line for line in page.splitlines() if line.startswith("istio_requests_total{")]
    assert 'reporter="source"' in line
    assert 'destination_workload="ratings-v1"' in line


async def test_metadata_of_strangers_is_not_believed(nursery, autojump_clock):
    mesh = Mesh()
    await mesh.start(nursery, permissive=True)
    client = mesh.server_side.client
    got = await client.get(Address("10.0.0.2", 15006), headers=[(b"x-meshd-peer-metadata", b"w=admin")])
    assert got.status == 200
    assert b"x-meshd-peer-metadata" not in mesh.app.requests[0].headers
    assert 'source_workload="unknown"' in mesh.server_side.metrics()


async def test_a_server_that_is_someone_else_gets_nothing(nursery, autojump_clock):
    mesh = Mesh()
    await mesh.start(nursery, expected="spiffe://cluster.local/ns/default/sa/details")
    got = await mesh.call()
    assert got.status == 503
    reason = got.header("x-meshd-reason") or ""
    assert reason.startswith("UF; ")
    assert "ratings" in reason
    assert "details" in reason
    assert mesh.app.requests == []


@pytest.mark.parametrize(
    "identity",
    [issue(REVIEWS, OTHER_CA), issue("spiffe://elsewhere.example/ns/default/sa/reviews"), issue(None, dns=["reviews"])],
    ids=["other CA", "other trust domain", "no SPIFFE id"],
)
async def test_a_client_that_proves_nothing_does_not_get_in(nursery, autojump_clock, identity):
    mesh = Mesh()
    mesh.reviews.current = attrs.evolve(identity, bundle_pem=CA.root_pem)
    await mesh.start(nursery)
    got = await mesh.call()
    assert got.status == 503
    reason = got.header("x-meshd-reason") or ""
    assert reason.startswith("UF; ") or "refused our identity" in reason
    assert mesh.app.requests == []
    await trio.testing.wait_all_tasks_blocked()
    assert 'reason="tls_handshake"}' in mesh.server_side.metrics()


async def test_strict_takes_no_plaintext(nursery, autojump_clock):
    mesh = Mesh()
    await mesh.start(nursery)
    with pytest.raises(MeshdError):
        await mesh.server_side.client.get(Address("10.0.0.2", 15006))
    assert mesh.app.requests == []


async def test_permissive_takes_both(nursery, autojump_clock):
    mesh = Mesh()
    await mesh.start(nursery, permissive=True)
    assert (await mesh.call()).status == 200
    plain = await mesh.server_side.client.get(
        Address("10.0.0.2", 15006), headers=[(b"x-forwarded-client-cert", b"URI=forged")]
    )
    assert plain.status == 200
    assert b"x-forwarded-client-cert" in mesh.app.requests[0].headers
    assert b"x-forwarded-client-cert" not in mesh.app.requests[1].headers


async def test_policies_see_who_asks(nursery, autojump_clock):
    def allow(principal: str) -> Authorization:
        rule = AuthorizationRule(sources=(Source(principals=(StringMatch(MatchKind.EXACT, principal),)),))
        return Authorization(allow=(AuthorizationPolicy("ns[default]-policy[p]", (rule,)),))

    for principal, status in ((REVIEWS, 200), (RATINGS, 403)):
        mesh = Mesh()
        await mesh.start(nursery, filters=(allow(principal.removeprefix("spiffe://")),))
        got = await mesh.call()
        assert got.status == status
        assert (got.body == b"RBAC: access denied") is (status == 403)


async def test_new_certificates_are_used_by_the_next_handshake(nursery, autojump_clock):
    mesh = Mesh()
    await mesh.start(nursery)
    await mesh.call()
    mesh.ratings.current = issue(RATINGS)
    mesh.reviews.current = issue(REVIEWS)
    await mesh.call()
    assert mesh.app.requests[1].headers.get(b"x-forwarded-client-cert") == mesh.app.requests[0].headers.get(
        b"x-forwarded-client-cert"
    ), "the connection is still good"
    for wire in mesh.network.wires:
        if wire.server.local.port == 15006:
            wire.cut()
    await trio.testing.wait_all_tasks_blocked()
    await mesh.call()
    assert mesh.app.requests[2].headers.get(b"x-forwarded-client-cert") != mesh.app.requests[0].headers.get(
        b"x-forwarded-client-cert"
    )


async def test_without_a_certificate_nobody_is_served_and_the_proxy_says_why(nursery, autojump_clock):
    mesh = Mesh()
    mesh.ratings.current = None
    await mesh.start(nursery)
    assert mesh.server_side.engine.ready.reason == "there is no certificate yet"
    assert (await mesh.call()).status == 503
    mesh.ratings.current = issue(RATINGS)
    assert mesh.server_side.engine.ready
    assert (await mesh.call()).status == 200


async def test_a_slow_handshake_is_bounded(nursery, autojump_clock):
    mesh = Mesh()
    await mesh.start(nursery)
    connection = await mesh.network.machine("10.0.0.1").connect(Address("10.0.0.2", 15006))
    # The first bytes of a ClientHello are enough to be taken for TLS, never enough for a handshake.
    await connection.send(bytes.fromhex("16030100c8010000c40303"))
    start = trio.current_time()
    with suppress(MeshdError):
        assert await connection.receive() == b""
    assert trio.current_time() - start <= 26


async def test_a_client_that_never_ends_its_handshake_is_let_go(nursery, autojump_clock):
    mesh = Mesh()
    await mesh.start(nursery)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = TlsContexts(mesh.reviews, wall_clock=lambda: EPOCH).mesh_client(alpn=("istio",))
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    connection = await mesh.network.machine("10.0.0.1").connect(Address("10.0.0.2", 15006))
    await connection.send(outgoing.read())
    start = trio.current_time()
    with suppress(MeshdError):
        while await connection.receive():
            pass
    assert trio.current_time() - start == pytest.approx(10.0)
    assert 'reason="tls_handshake"} 1' in mesh.server_side.metrics()


# Gateways.


def web_identity(name: str) -> FakeSecret:
    identity = issue(None, dns=[name])
    return FakeSecret(identity.chain_pem, identity.key_pem, CA.root_pem)


def web_context(client: Identity | None = None):
    contexts = TlsContexts(Holder(None), wall_clock=lambda: EPOCH + trio.current_time())
    credential = Credential(client.chain_pem, client.key_pem) if client is not None else None
    return contexts.web_client(alpn=("http/1.1",), roots_pem=CA.root_pem, credential=credential)


async def test_a_gateway_terminates_tls(nursery, autojump_clock):
    tls = DownstreamTls("kubernetes://web", validation="", require_client_certificate=False)
    side = tls_side(Holder(None), {"kubernetes://web": web_identity("shop.example")})
    rig = await Rig.start(nursery, gateway(route(DirectResponse(200, "safe")), tls=tls), tls=side)
    assert rig.engine.ready
    got = await rig.get(context=web_context(), server_name="shop.example")
    assert (got.status, got.body) == (200, b"safe")


async def test_a_mutual_gateway_wants_a_certificate(nursery, autojump_clock):
    tls = DownstreamTls("kubernetes://web", validation="kubernetes://web")
    side = tls_side(Holder(None), {"kubernetes://web": web_identity("shop.example")})
    rig = await Rig.start(nursery, gateway(route(DirectResponse(200, "safe")), tls=tls), tls=side)
    with pytest.raises(MeshdError):
        await rig.get(context=web_context(), server_name="shop.example")
    got = await rig.get(context=web_context(issue(None, dns=["client"])), server_name="shop.example")
    assert got.status == 200


async def test_a_gateway_without_its_secret_refuses_and_says_so(nursery, autojump_clock):
    tls = DownstreamTls("kubernetes://gone", validation="", require_client_certificate=False)
    rig = await Rig.start(nursery, gateway(route(DirectResponse(200, "safe")), tls=tls), tls=tls_side(Holder(None)))
    with pytest.raises(MeshdError):
        await rig.get(context=web_context(), server_name="shop.example")
    assert 'reason="tls_handshake"} 1' in rig.metrics()


# TLS to the outside.


async def test_simple_tls_to_a_web_server(nursery, autojump_clock, tmp_path):
    roots = tmp_path / "roots.pem"
    roots.write_text(CA.root_pem)
    web = issue(None, dns=["api.example"])
    contexts = TlsContexts(Holder(None), wall_clock=lambda: EPOCH + trio.current_time())
    for sni, status in (("api.example", 200), ("other.example", 503)):
        tls = UpstreamTls(TlsMode.SIMPLE, sni=sni, ca_certificates=str(roots))
        snapshot = gateway(route(forward("c")), clusters=[cluster("c", tls=tls)], endpoints={"c": ["10.0.0.9:443"]})
        rig = await Rig.start(nursery, snapshot, tls=tls_side(Holder(None)))
        await rig.upstream(
            "10.0.0.9:443",
            behaviour=answer(200, b"api"),
            context=lambda: contexts.gateway_server(Credential(web.chain_pem, web.key_pem), alpn=("http/1.1",)),
        )
        got = await rig.get()
        assert got.status == status
