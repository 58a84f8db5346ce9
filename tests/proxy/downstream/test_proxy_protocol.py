"""Behind a load balancer: connections are whose it says, and nobody's without its word."""

from __future__ import annotations

from contextlib import suppress

import attrs
import pytest
import trio
import trio.testing

from meshd.errors import ConnectionLost
from meshd.net.address import Address
from meshd.net.proxy_protocol import render
from meshd.proxy.limits import ProxyLimits
from meshd.snapshot.policy import Authorization, AuthorizationPolicy, AuthorizationRule, Source
from meshd.snapshot.snapshot import Snapshot
from tests.proxy.rig import Rig
from tests.proxy.snapshots import forward, gateway, route

A = "10.0.0.1:9080"
GET = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
CLIENT, HERE = Address("203.0.113.7", 40000), Address("198.51.100.1", 80)


def behind_a_balancer(**more: object) -> Snapshot:
    snapshot = gateway(route(forward("c")), endpoints={"c": [A]}, **more)
    return attrs.evolve(
        snapshot, listeners=tuple(attrs.evolve(each, proxy_protocol=True) for each in snapshot.listeners)
    )


async def talk(rig: Rig, data: bytes) -> bytes:
    connection = await rig.network.connect(rig.address())
    await connection.send(data)
    got = b""
    with suppress(ConnectionLost):
        while piece := await connection.receive():
            got += piece
    connection.close()
    return got


@pytest.mark.parametrize("version", ["V1", "V2"])
async def test_the_client_is_who_it_says(nursery, autojump_clock, version):
    rig = await Rig.start(nursery, behind_a_balancer())
    backend = await rig.upstream(A)
    assert (await talk(rig, render(version, CLIENT, HERE) + GET)).startswith(b"HTTP/1.1 200")
    assert backend.requests[0].headers.get(b"x-forwarded-for") == b"203.0.113.7"
    (line,) = await rig.logs()
    assert line["downstream_remote_address"] == str(CLIENT)


async def test_a_health_check_is_the_balancers_own(nursery, autojump_clock):
    rig = await Rig.start(nursery, behind_a_balancer())
    backend = await rig.upstream(A)
    assert (await talk(rig, b"PROXY UNKNOWN\r\n" + GET)).startswith(b"HTTP/1.1 200")
    assert backend.requests[0].headers.get(b"x-forwarded-for") == b"127.0.0.1"


@pytest.mark.parametrize("data", [GET, b"PROXY TCP4 nonsense\r\n" + GET, b"PROXY TCP4 1.2.3.4"])
async def test_without_a_header_nobody_is_served(nursery, autojump_clock, data):
    rig = await Rig.start(nursery, behind_a_balancer(), limits=ProxyLimits(sniff_timeout=5))
    backend = await rig.upstream(A)
    assert await talk(rig, data) == b""
    assert trio.current_time() <= 5
    assert backend.requests == []
    assert 'reason="proxy_protocol"} 1' in rig.metrics()


async def test_a_silent_balancer_is_not_waited_for_long(nursery, autojump_clock):
    rig = await Rig.start(nursery, behind_a_balancer(), limits=ProxyLimits(sniff_timeout=5))
    assert await talk(rig, b"P") == b""
    assert trio.current_time() == pytest.approx(5)


async def test_sources_are_the_clients(nursery, autojump_clock):
    rig = await Rig.start(nursery, behind_a_balancer(), limits=ProxyLimits(connections_per_source=1))
    await rig.upstream(A)
    held = await rig.network.connect(rig.address())
    await held.send(render("V2", CLIENT, HERE))
    await trio.testing.wait_all_tasks_blocked()
    assert await talk(rig, render("V2", CLIENT, HERE) + GET) == b""
    assert 'reason="source_limit"} 1' in rig.metrics()
    other = Address("203.0.113.8", 1)
    assert (await talk(rig, render("V2", other, HERE) + GET)).startswith(b"HTTP/1.1 200")
    held.close()
    await trio.testing.wait_all_tasks_blocked()
    assert (await talk(rig, render("V2", CLIENT, HERE) + GET)).startswith(b"HTTP/1.1 200")
    await trio.testing.wait_all_tasks_blocked()
    assert len(rig.engine.sources) == 0


@pytest.mark.parametrize(
    ("source", "status"),
    [
        (Source(ip_blocks=("127.0.0.1",)), b"200"),
        (Source(ip_blocks=("203.0.113.7",)), b"403"),
        (Source(remote_ip_blocks=("203.0.113.7",)), b"200"),
        (Source(remote_ip_blocks=("127.0.0.1",)), b"403"),
    ],
)
async def test_policies_tell_the_balancer_from_the_client(nursery, autojump_clock, source, status):
    allow = Authorization(
        allow=(AuthorizationPolicy("ns[default]-policy[p]", (AuthorizationRule(sources=(source,)),)),)
    )
    rig = await Rig.start(nursery, behind_a_balancer(filters=(allow,)))
    await rig.upstream(A)
    assert (await talk(rig, render("V1", CLIENT, HERE) + GET)).startswith(b"HTTP/1.1 " + status)
