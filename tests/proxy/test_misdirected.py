"""A connection made to one server of a gateway is no way into another."""

from __future__ import annotations

import pytest

from meshd.net.address import Address
from meshd.proxy.limits import ProxyLimits
from meshd.proxy.misdirected import is_shared, misdirected
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import DownstreamTls, FilterChain, FilterChainMatch, HttpManager, Listener, TcpProxy
from meshd.snapshot.route import DirectResponse
from tests.proxy.rig import Rig
from tests.proxy.snapshots import assemble, route, table
from tests.proxy.test_mtls import Holder, issue, tls_side, web_context, web_identity

OPEN_TLS = DownstreamTls("kubernetes://open", validation="", require_client_certificate=False)
LOCKED_TLS = DownstreamTls("kubernetes://locked", validation="kubernetes://locked")


def server(name: str, *hosts: str, tls: DownstreamTls | None = OPEN_TLS) -> FilterChain:
    return FilterChain(
        name, FilterChainMatch(server_names=hosts), tls, http=HttpManager(route_table="t", use_remote_address=True)
    )


OPEN = server("open", "*.example.com", "shop.example.org")
LOCKED = server("locked", "admin.example.com", tls=LOCKED_TLS)
REST = server("rest")
PASSED = FilterChain("passed", FilterChainMatch(server_names=("db.example.com",)), tcp=TcpProxy((("c", 1),)))
LISTENER = Listener("0.0.0.0_443", 443, Direction.GATEWAY, (OPEN, LOCKED, PASSED))


async def gateway(nursery, **world: object) -> Rig:
    secrets = {"kubernetes://open": web_identity("*.example.com"), "kubernetes://locked": web_identity("*.example.com")}
    tables = (table(route(DirectResponse(200, "in")), name="t"),)
    snapshot = assemble((LISTENER,), tables, (), {"c": ["10.0.0.1:1"]})
    return await Rig.start(nursery, snapshot, tls=tls_side(Holder(None), secrets), **world)


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
async def test_the_way_round_a_client_certificate_is_closed(nursery, autojump_clock, http2):
    rig = await gateway(nursery)
    context = web_context()
    context.set_alpn_protocols(["h2" if http2 else "http/1.1"])
    at = Address("127.0.0.1", 443)

    async def ask(host: str):
        return await rig.client.get(at, host=host, context=context, server_name="www.example.com", http2=http2)

    assert (await ask("www.example.com")).status == 200
    assert (await ask("other.example.com:443")).status == 200, "the same server's"
    assert (await ask("shop.example.org")).status == 200, "the same server's"
    for host in ("admin.example.com", "ADMIN.example.com:443", "admin.example.com.", "db.example.com"):
        got = await ask(host)
        assert (got.status, got.body) == (421, b"Misdirected Request"), host
        assert got.header("x-meshd-reason") == "NR", "strangers are told the flag alone"
    assert (await ask("www.example.com")).status == 200, "the connection is as good as before"
    assert 'misdirected_requests_total{listener="0.0.0.0_443"} 4' in rig.metrics()
    logs = [line for line in await rig.logs() if line["response_code_details"] == "misdirected_request"]
    assert [line["response_code"] for line in logs] == [421] * 4


async def test_the_right_connection_gets_in(nursery, autojump_clock):
    rig = await gateway(nursery)
    context = web_context(issue(None, dns=["client"]))
    got = await rig.client.get(
        Address("127.0.0.1", 443), host="admin.example.com", context=context, server_name="admin.example.com"
    )
    assert got.status == 200


async def test_the_check_can_be_switched_off(nursery, autojump_clock):
    rig = await gateway(nursery, limits=ProxyLimits(refuse_misdirected=False))
    got = await rig.client.get(
        Address("127.0.0.1", 443), host="admin.example.com", context=web_context(), server_name="www.example.com"
    )
    assert got.status == 200


def test_whose_a_host_is():
    listener = Listener("l", 443, Direction.GATEWAY, (OPEN, LOCKED, REST))
    for chain, host, refused in (
        (OPEN, b"a.example.com", False),
        (OPEN, b"elsewhere.net", True),
        (REST, b"elsewhere.net", False),
        (REST, b"admin.example.com", True),
        (LOCKED, b"admin.example.com:8443", False),
        (LOCKED, b"a.example.com", True),
        (OPEN, b"", False),
    ):
        reply = misdirected(listener, chain, host)
        assert (reply is not None) is refused, (chain.name, host)
    without_rest = Listener("l", 443, Direction.GATEWAY, (OPEN, LOCKED))
    assert misdirected(without_rest, OPEN, b"elsewhere.net") is None, "nobody's: an ordinary 404"


def test_where_nothing_has_to_be_looked_up():
    plain = FilterChain("plain", http=HttpManager(route_table="t"))
    assert not is_shared(Listener("l", 80, Direction.GATEWAY, (plain,)), plain)
    alone = server("alone", "a.example")
    assert not is_shared(Listener("l", 443, Direction.GATEWAY, (alone,)), alone)
    assert not is_shared(Listener("l", 15006, Direction.INBOUND, (OPEN, LOCKED)), OPEN)
