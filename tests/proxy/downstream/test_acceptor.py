"""From a new connection to its filter chain."""

from __future__ import annotations

from contextlib import suppress

import attrs
import pytest
import trio
import trio.testing

from meshd.errors import ConnectionLost
from meshd.net.address import Address
from meshd.proxy.limits import ProxyLimits
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import FilterChain, FilterChainMatch, HttpManager, Listener, TcpProxy
from meshd.snapshot.route import DirectResponse
from tests.fakes import RawUpstream
from tests.proxy.rig import Rig
from tests.proxy.snapshots import assemble, gateway, route, table

A = "10.0.0.1:9080"
HELLO = gateway(route(DirectResponse(200, "hi")))


async def test_connections_of_a_listener_are_bounded(nursery, autojump_clock):
    rig = await Rig.start(nursery, HELLO, limits=ProxyLimits(connections_per_listener=2))
    held = [await rig.client.connection(rig.address()) for _ in range(2)]
    await trio.testing.wait_all_tasks_blocked()
    third = await rig.network.connect(rig.address())
    with suppress(ConnectionLost):
        assert await third.receive() == b""
    assert 'refused_total{listener="0.0.0.0_80",reason="listener_limit"} 1' in rig.metrics()
    held[0].close()
    await trio.testing.wait_all_tasks_blocked()
    assert (await rig.get()).status == 200


async def test_connections_of_the_proxy_are_bounded(nursery, autojump_clock):
    rig = await Rig.start(nursery, HELLO, limits=ProxyLimits(connections=1))
    held = await rig.client.connection(rig.address())
    await trio.testing.wait_all_tasks_blocked()
    other = await rig.network.connect(rig.address())
    with suppress(ConnectionLost):
        assert await other.receive() == b""
    assert 'reason="limit"} 1' in rig.metrics()
    held.close()


def detecting(**more: object) -> Listener:
    """HTTP when it is HTTP, else TCP."""
    http = FilterChain(
        "http",
        FilterChainMatch(transport_protocol="raw_buffer", application_protocols=("http/1.1", "h2c")),
        http=HttpManager(route_table="t"),
    )
    other = FilterChain("tcp", FilterChainMatch(transport_protocol="raw_buffer"), tcp=TcpProxy((("c", 1),)))
    return Listener("l", 80, Direction.GATEWAY, (http, other), **more)


async def detecting_rig(nursery, listener: Listener):
    rig = await Rig.start(
        nursery, assemble((listener,), (table(route(DirectResponse(200, "http")), name="t"),), (), {"c": [A]})
    )

    async def greet(connection, raw):
        await connection.send(b"220 ready")
        raw.received += await connection.receive()

    raw = RawUpstream(greet)
    await nursery.start(raw.run, rig.network, Address.parse(A))
    return rig, raw


@pytest.mark.parametrize("http2", [False, True])
async def test_http_is_recognised(nursery, autojump_clock, http2):
    rig, _ = await detecting_rig(nursery, detecting())
    assert (await rig.client.get(rig.address("l"), http2=http2)).body == b"http"


async def test_what_is_not_http_is_relayed_whole(nursery, autojump_clock):
    rig, raw = await detecting_rig(nursery, detecting())
    connection = await rig.network.connect(rig.address("l"))
    await connection.send(b"SSH-2.0-x\r\n")
    assert await connection.receive() == b"220 ready"
    await trio.testing.wait_all_tasks_blocked()
    assert raw.received == b"SSH-2.0-x\r\n"


@pytest.mark.parametrize(("given", "expected"), [(0.0, 15.0), (0.1, 0.1)])
async def test_silence_is_taken_for_a_server_that_speaks_first(nursery, autojump_clock, given, expected):
    rig, _ = await detecting_rig(nursery, detecting(detection_timeout=given))
    start = trio.current_time()
    connection = await rig.network.connect(rig.address("l"))
    assert await connection.receive() == b"220 ready"
    assert trio.current_time() - start == pytest.approx(expected)


@pytest.mark.parametrize(("narrow", "expected"), [("127.0.0.0/8", b"220 ready"), ("10.9.0.0/16", b"")])
async def test_the_address_that_was_connected_to_chooses_before_the_first_bytes(
    nursery, autojump_clock, narrow, expected
):
    here = FilterChain("here", FilterChainMatch(prefix_ranges=(narrow,)), tcp=TcpProxy((("c", 1),)))
    elsewhere = FilterChain("elsewhere", tcp=TcpProxy((("nobody", 1),)))
    listener = Listener("l", 80, Direction.OUTBOUND, (here,), host="127.0.0.1", default_chain=elsewhere)
    rig, _ = await detecting_rig(nursery, listener)
    connection = await rig.network.connect(rig.address("l"))
    if not expected:
        with pytest.raises(ConnectionLost):
            await connection.receive()
        return
    assert await connection.receive() == expected


async def test_no_chain_resets(nursery, autojump_clock):
    only_tls = attrs.evolve(
        detecting(),
        chains=(FilterChain("x", FilterChainMatch(transport_protocol="tls"), tcp=TcpProxy((("c", 1),))),),
    )
    rig, _ = await detecting_rig(nursery, only_tls)
    connection = await rig.network.connect(rig.address("l"))
    await connection.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    with pytest.raises(ConnectionLost):
        await connection.receive()
    assert 'reason="no_filter_chain"} 1' in rig.metrics()


async def test_a_broken_request_is_answered_and_counted(nursery, autojump_clock):
    rig = await Rig.start(nursery, HELLO)
    connection = await rig.network.connect(rig.address())
    await connection.send(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n")
    got = await connection.receive()
    assert got.startswith(b"HTTP/1.1 400 ")
    assert b"x-meshd-reason: DPE\r\n" in got
    assert "meshd_downstream_protocol_errors_total" in rig.metrics()


async def test_http_10_is_for_those_who_ask_for_it(nursery, autojump_clock):
    for accept, status in ((False, b"426"), (True, b"200")):
        rig = await Rig.start(
            nursery, gateway(route(DirectResponse(200, "hi")), http={"accept_http_10": accept}), network=None
        )
        connection = await rig.network.connect(rig.address())
        await connection.send(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n")
        assert (await connection.receive()).split()[1] == status


async def test_an_idle_connection_is_closed_in_time(nursery, autojump_clock):
    rig = await Rig.start(nursery, gateway(route(DirectResponse(200, "hi")), http={"idle_timeout": 20.0}))
    connection = await rig.network.connect(rig.address())
    start = trio.current_time()
    assert await connection.receive() == b""
    assert trio.current_time() - start == pytest.approx(20.0)


async def test_metrics_count_connections(nursery, autojump_clock):
    rig = await Rig.start(nursery, HELLO)
    await rig.get()
    page = rig.metrics()
    assert 'meshd_downstream_connections_total{listener="0.0.0.0_80"} 1' in page
    assert 'meshd_downstream_connections{listener="0.0.0.0_80"} 1' in page
