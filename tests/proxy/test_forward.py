"""A request to a cluster and its answer back: the forwarder, over memory, on virtual time."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
import trio.testing

from meshd.errors import ConnectionLost, MeshdError
from meshd.http.h1 import H1ClientConnection
from meshd.http.head import Headers, RequestHead
from meshd.net.address import Address
from meshd.net.memory import MemoryNetwork, StaticResolver
from meshd.proxy.limits import ProxyLimits
from meshd.snapshot.cluster import Balancing, Discovery
from meshd.snapshot.common import HeaderOperations
from meshd.snapshot.route import DirectResponse, Redirect, RetryPolicy, Rewrite, RouteMatch, WeightedCluster
from tests.fakes import RawUpstream, answer, early, echo, hang, pieces, read_answer, reset
from tests.proxy.rig import Rig
from tests.proxy.snapshots import PASSTHROUGH, assemble, cluster, forward, gateway, outbound, route

A, B, C = "10.0.0.1:9080", "10.0.0.2:9080", "10.0.0.3:9080"
RETRY = RetryPolicy(attempts=2, on=("5xx", "connect-failure", "refused-stream"))
RESET = b"upstream connect error or disconnect/reset before headers. "


def simple(**more: object):
    return gateway(route(forward("c", **more)), endpoints={"c": [A]})


async def test_a_request_goes_up_and_its_answer_comes_down(nursery, autojump_clock):
    rig = await Rig.start(nursery, simple())
    backend = await rig.upstream(A, "v1", answer(201, b"made", [(b"x-app", b"yes")]))
    got = await rig.get("/path?q=1", host="example.com:80", headers=[(b"x-custom", b"1")])
    assert (got.status, got.body, got.header("x-app")) == (201, b"made", "yes")
    seen = backend.requests[0]
    assert (seen.method, seen.target, seen.authority) == (b"GET", b"/path?q=1", b"example.com:80")
    assert seen.headers.get(b"x-custom") == b"1"
    assert seen.headers.get(b"x-envoy-attempt-count") == b"1"
    assert got.header("x-envoy-upstream-service-time") == "0"
    assert b"x-envoy-expected-rq-timeout-ms" not in seen.headers


@pytest.mark.parametrize("up", [False, True], ids=["to-h1", "to-h2"])
@pytest.mark.parametrize("down", [False, True], ids=["from-h1", "from-h2"])
async def test_all_four_combinations_of_protocols(nursery, autojump_clock, down, up):
    rig = await Rig.start(
        nursery, gateway(route(forward("c")), clusters=[cluster("c", http2=up)], endpoints={"c": [A]})
    )
    backend = await rig.upstream(A, behaviour=echo([(b"x-app", b"1")]))
    body = b"x" * 200_000
    for _ in range(3):
        got = await rig.client.post(rig.address(), "/p", body, http2=down)
        assert (got.status, got.body, got.header("x-app")) == (200, body, "1")
    assert {r.version for r in backend.requests} == {"HTTP/2" if up else "HTTP/1.1"}
    assert backend.connections == 1 or not up, "an HTTP/1.1 server that answers before it has the body closes"
    got = await rig.get("/p", http2=down)
    assert (got.status, got.body) == (200, b"")


@pytest.mark.parametrize("down", [False, True], ids=["from-h1", "from-h2"])
async def test_trailers_pass_both_ways(nursery, autojump_clock, down):
    rig = await Rig.start(
        nursery, gateway(route(forward("c")), clusters=[cluster("c", http2=True)], endpoints={"c": [A]})
    )
    backend = await rig.upstream(A, behaviour=answer(200, b"data", trailers=[(b"x-sum", b"abc")]))
    got = await rig.client.request(
        rig.address(), "POST", "/", parts=[b"one", b"two"], trailers=[(b"x-check", b"1")], http2=down
    )
    assert (got.body, got.trailers and got.trailers.get(b"x-sum")) == (b"data", b"abc")
    seen = backend.requests[0]
    assert (seen.body, seen.trailers and seen.trailers.get(b"x-check")) == (b"onetwo", b"1")


async def test_a_response_streams_as_it_is_made(nursery, autojump_clock):
    rig = await Rig.start(nursery, simple())
    await rig.upstream(A, behaviour=pieces([b"a", b"b", b"c"], gap=1.0))
    client = await rig.client.connection(rig.address())
    stream = client.open()
    await stream.send_head(RequestHead(b"GET", b"/", b"x"), end=True)
    await stream.receive_head()
    times = []
    while not stream.body.ended:
        piece = await stream.body.receive()
        if piece:
            times.append((piece, trio.current_time()))
    start = times[0][1]
    assert [(piece, at - start) for piece, at in times] == [(b"a", 0.0), (b"b", 1.0), (b"c", 2.0)]


async def test_a_slow_reader_holds_the_backend_back(nursery, autojump_clock):
    rig = await Rig.start(nursery, simple())
    sent = 0

    async def endless(stream, received):
        nonlocal sent
        from meshd.http.head import ResponseHead

        await stream.respond(ResponseHead(200, length=None), end=False)
        while True:
            await stream.send(b"x" * 10_000)
            sent += 10_000

    await rig.upstream(A, behaviour=endless)
    client = await rig.client.connection(rig.address())
    stream = client.open()
    await stream.send_head(RequestHead(b"GET", b"/", b"x"), end=True)
    await stream.receive_head()
    await trio.testing.wait_all_tasks_blocked()
    assert sent < 600_000
    stream.finish()


# Local answers.


async def test_no_route_is_404_without_a_body(nursery, autojump_clock):
    rig = await Rig.start(nursery, gateway(route(forward("c"), "/only"), endpoints={"c": [A]}))
    got = await rig.get("/other")
    assert (got.status, got.body, got.header("x-meshd-reason")) == (404, b"", "NR")
    (line,) = await rig.logs()
    assert (line["response_code"], line["response_flags"]) == (404, "NR")


async def test_an_unknown_cluster_is_the_status_its_route_says(nursery, autojump_clock):
    rig = await Rig.start(nursery, outbound(route(forward("nowhere", missing_cluster_status=500))))
    got = await rig.client.get(rig.address("virtualOutbound"))
    assert (got.status, got.body) == (500, b"")
    assert (got.header("x-meshd-reason") or "").startswith("NC; ")


async def test_no_endpoint_is_no_healthy_upstream(nursery, autojump_clock):
    rig = await Rig.start(nursery, gateway(route(forward("c")), clusters=["c"]))
    got = await rig.get()
    assert (got.status, got.body, got.header("x-meshd-reason")) == (503, b"no healthy upstream", "UH")


async def test_a_refused_connection_is_503_uf(nursery, autojump_clock):
    rig = await Rig.start(nursery, simple())
    got = await rig.get()
    assert (got.status, got.body) == (503, RESET + b"reset reason: remote connection failure")
    (line,) = await rig.logs()
    assert line["response_flags"] == "UF"
    assert "connection refused" in str(line["upstream_transport_failure_reason"])


async def test_a_connect_timeout_is_503_uf_in_time(nursery, autojump_clock):
    network = MemoryNetwork()
    network.silent.add("10.0.0.1")
    snapshot = gateway(route(forward("c")), clusters=[cluster("c", connect_timeout=7.0)], endpoints={"c": [A]})
    rig = await Rig.start(nursery, snapshot, network=network)
    start = trio.current_time()
    got = await rig.get()
    assert (got.status, got.body) == (503, RESET + b"reset reason: connection timeout")
    assert got.at - start == 7.0


async def test_direct_responses_and_redirects(nursery, autojump_clock):
    rig = await Rig.start(
        nursery,
        gateway(
            route(DirectResponse(418, "short and stout"), "/pot"),
            route(Redirect(302, host="other.example"), "/go"),
        ),
    )
    pot = await rig.get("/pot")
    assert (pot.status, pot.body, pot.header("x-meshd-reason")) == (418, b"short and stout", None)
    go = await rig.get("/go?x=1")
    assert (go.status, go.header("location"), go.body) == (302, "http://other.example/go?x=1", b"")


async def test_a_broken_answer_is_502(nursery, autojump_clock):
    async def nonsense(connection, raw):
        await raw.read_head(connection)
        await connection.send(b"HELLO?\r\n\r\n")

    rig = await Rig.start(nursery, simple())
    await nursery.start(RawUpstream(nonsense).run, rig.network, Address.parse(A))
    got = await rig.get()
    assert (got.status, got.body) == (502, RESET + b"reset reason: protocol error")
    assert (await rig.logs())[0]["response_flags"] == "UPE"


async def test_a_reset_before_the_answer_is_503_uc(nursery, autojump_clock):
    rig = await Rig.start(nursery, simple())
    await rig.upstream(A, behaviour=reset())
    got = await rig.get()
    assert (got.status, got.body) == (503, RESET + b"reset reason: connection termination")
    assert (await rig.logs())[0]["response_flags"] == "UC"


@pytest.mark.parametrize("length", [None, 100], ids=["chunked", "length"])
@pytest.mark.parametrize("down", [False, True], ids=["from-h1", "from-h2"])
async def test_a_cut_answer_never_looks_whole(nursery, autojump_clock, length, down):
    rig = await Rig.start(nursery, simple())
    await rig.upstream(A, behaviour=pieces([b"half"], length=length, cut=True, gap=0.1))
    with pytest.raises(MeshdError):
        await rig.get(http2=down)
    (line,) = await rig.logs()
    assert line["response_code"] == 200
    assert line["response_flags"] in ("UPE", "UC", "UR")


async def test_what_a_proxy_further_inside_explains_is_not_for_strangers(nursery, autojump_clock):
    told = answer(503, b"", [(b"x-meshd-reason", b"UH; outbound|80||x has no endpoint")])
    rig = await Rig.start(nursery, simple())
    await rig.upstream(A, behaviour=told)
    assert (await rig.get()).header("x-meshd-reason") == "UH"
    inside = await Rig.start(nursery, outbound(route(forward("c")), endpoints={"c": [A]}), network=rig.network)
    got = await inside.client.get(inside.address("virtualOutbound"))
    assert got.header("x-meshd-reason") == "UH; outbound|80||x has no endpoint"


# Retries.


async def test_a_retry_goes_to_another_host(nursery, autojump_clock):
    rig = await Rig.start(nursery, gateway(route(forward("c", retry=RETRY)), endpoints={"c": [A, B]}))
    bad, good = await rig.upstream(A, "bad", answer(503)), await rig.upstream(B, "good")
    for _ in range(20):
        got = await rig.get()
        assert (got.status, got.body) == (200, b"good")
    assert len(good.requests) == 20
    assert len(bad.requests) > 0
    retried = [r for r in good.requests if r.headers.get(b"x-envoy-attempt-count") == b"2"]
    assert len(retried) == len(bad.requests)


async def test_retries_end_and_the_last_answer_is_passed_on_with_urx(nursery, autojump_clock):
    rig = await Rig.start(nursery, simple(retry=RETRY))
    backend = await rig.upstream(A, behaviour=answer(503, b"no"))
    got = await rig.get()
    assert (got.status, got.body) == (503, b"no")
    assert [r.headers.get(b"x-envoy-attempt-count") for r in backend.requests] == [b"1", b"2", b"3"]
    (line,) = await rig.logs()
    assert line["response_flags"] == "URX"
    assert backend.connections == 1, "an answer that is thrown away whole leaves its connection usable"


async def test_connection_failures_are_retried_and_then_told(nursery, autojump_clock):
    rig = await Rig.start(nursery, simple(retry=RETRY))
    got = await rig.get()
    assert got.body == RESET + b"retried and the latest reset reason: remote connection failure"
    (line,) = await rig.logs()
    assert set(str(line["response_flags"]).split(",")) == {"URX", "UF"}


async def test_a_post_that_may_have_been_executed_is_not_repeated(nursery, autojump_clock):
    rig = await Rig.start(nursery, simple(retry=RETRY))
    backend = await rig.upstream(A, behaviour=reset())
    got = await rig.client.post(rig.address(), "/", b"order")
    assert got.status == 503
    assert len(backend.requests) == 1
    await rig.get()
    assert len(backend.requests) == 4


@pytest.mark.parametrize("down", [False, True], ids=["from-h1", "from-h2"])
async def test_a_body_is_replayed(nursery, autojump_clock, down):
    rig = await Rig.start(nursery, simple(retry=RETRY))
    backend = await rig.upstream(A)
    backend.script(answer(503), answer(503))
    parts = [b"one ", b"two ", b"three"]
    got = await rig.client.request(rig.address(), "PUT", "/", parts=parts, http2=down)
    assert got.status == 200
    assert [r.body for r in backend.requests] == [b"one two three"] * 3


async def test_past_the_bound_a_body_is_not_replayed(nursery, autojump_clock):
    rig = await Rig.start(nursery, simple(retry=RETRY), limits=ProxyLimits(replay_bytes=10))
    backend = await rig.upstream(A)
    backend.script(answer(503, b"no"))
    client = await rig.client.connection(rig.address())
    stream = client.open()
    await stream.send_head(RequestHead(b"PUT", b"/", b"x", length=11), b"12345", end=False)
    await trio.sleep(1)
    await stream.send(b"67890!", end=True)
    got = await read_answer(stream)
    stream.finish()
    assert (got.status, got.body) == (503, b"no")
    assert len(backend.requests) == 1


async def test_a_try_that_answers_early_leaves_the_rest_of_the_body_to_the_next(nursery, autojump_clock):
    rig = await Rig.start(nursery, simple(retry=RETRY))
    backend = await rig.upstream(A)
    backend.script(early(503))
    client = await rig.client.connection(rig.address())
    stream = client.open()
    await stream.send_head(RequestHead(b"PUT", b"/", b"x", length=None), b"first ", end=False)
    await trio.sleep(5)
    await stream.send(b"second", end=True)
    got = await read_answer(stream)
    stream.finish()
    assert got.status == 200
    assert backend.requests[1].body == b"first second"


async def test_grpc_statuses_in_headers_are_retried(nursery, autojump_clock):
    policy = RetryPolicy()
    rig = await Rig.start(nursery, simple(retry=policy))
    backend = await rig.upstream(A)
    grpc = (b"content-type", b"application/grpc")
    backend.script(answer(200, b"", [grpc, (b"grpc-status", b"14")]), answer(200, b"", [grpc, (b"grpc-status", b"0")]))
    got = await rig.client.post(rig.address(), "/s/m", b"x", headers=[grpc])
    assert got.header("grpc-status") == "0"
    assert len(backend.requests) == 2


async def test_too_many_concurrent_retries_are_refused(nursery, autojump_clock):
    snapshot = gateway(route(forward("c", retry=RETRY)), clusters=[cluster("c", max_retries=0)], endpoints={"c": [A]})
    rig = await Rig.start(nursery, snapshot)
    backend = await rig.upstream(A, behaviour=answer(503, b"no"))
    got = await rig.get()
    assert (got.status, got.body, len(backend.requests)) == (503, b"no", 1)
    assert (await rig.logs())[0]["response_flags"] == "UO"


async def test_back_off_lies_between_tries(nursery, autojump_clock):
    policy = RetryPolicy(attempts=3, on=("5xx",), base_interval=10.0, max_interval=1000.0)
    rig = await Rig.start(nursery, simple(retry=policy))
    backend = await rig.upstream(A, behaviour=answer(500))
    await rig.get()
    times = [r.at for r in backend.requests]
    gaps = [b - a for a, b in pairwise(times)]
    assert all(0 <= gap <= bound for gap, bound in zip(gaps, (10, 30, 70), strict=True))
    assert sum(gaps) > 1


# Deadlines.


async def test_a_route_timeout_is_exact(nursery, autojump_clock):
    rig = await Rig.start(nursery, simple(timeout=3.0))
    backend = await rig.upstream(A, behaviour=hang())
    start = trio.current_time()
    got = await rig.get()
    assert (got.status, got.body) == (504, b"upstream request timeout")
    assert got.at - start == 3.0
    assert backend.requests[0].headers.get(b"x-envoy-expected-rq-timeout-ms") == b"3000"
    assert (await rig.logs())[0]["response_flags"] == "UT"
    await trio.testing.wait_all_tasks_blocked()
    assert rig.engine.statistics().requests_active == 0


async def test_a_route_timeout_includes_retries(nursery, autojump_clock):
    policy = RetryPolicy(attempts=100, on=("5xx",), base_interval=0.001, max_interval=0.001)
    rig = await Rig.start(nursery, simple(timeout=3.0, retry=policy))
    await rig.upstream(A, behaviour=answer(503, delay=0.7))
    start = trio.current_time()
    got = await rig.get()
    assert (got.status, got.at - start) == (504, 3.0)


async def test_a_route_timeout_ends_a_back_off(nursery, autojump_clock):
    policy = RetryPolicy(attempts=5, on=("5xx",), base_interval=1000.0, max_interval=1000.0)
    rig = await Rig.start(nursery, simple(timeout=3.0, retry=policy))
    await rig.upstream(A, behaviour=answer(503))
    start = trio.current_time()
    got = await rig.get()
    assert (got.status, got.at - start) == (504, 3.0)


async def test_a_route_timeout_after_the_head_cuts_the_answer(nursery, autojump_clock):
    rig = await Rig.start(nursery, simple(timeout=3.0))
    await rig.upstream(A, behaviour=pieces([b"x"] * 100, gap=1.0))
    start = trio.current_time()
    with pytest.raises(MeshdError):
        await rig.get()
    assert trio.current_time() - start == 3.0
    assert (await rig.logs())[0]["response_flags"] == "UT"


async def test_a_route_timeout_begins_when_the_request_is_complete(nursery, autojump_clock):
    rig = await Rig.start(nursery, simple(timeout=3.0))
    await rig.upstream(A, behaviour=hang())
    client = await rig.client.connection(rig.address())
    stream = client.open()
    start = trio.current_time()
    await stream.send_head(RequestHead(b"POST", b"/", b"x", length=None), b"a", end=False)
    await trio.sleep(10)
    await stream.send(b"b", end=True)
    got = await read_answer(stream)
    stream.finish()
    assert (got.status, got.at - start) == (504, 13.0)


async def test_a_per_try_timeout_leads_to_the_next_try(nursery, autojump_clock):
    policy = RetryPolicy(attempts=2, on=("5xx",), per_try_timeout=2.0)
    rig = await Rig.start(nursery, simple(retry=policy))
    backend = await rig.upstream(A, "ok")
    backend.script(hang())
    start = trio.current_time()
    got = await rig.get()
    assert (got.status, got.body) == (200, b"ok")
    assert 2.0 <= got.at - start <= 2.025
    assert backend.requests[0].headers.get(b"x-envoy-expected-rq-timeout-ms") == b"2000"


async def test_a_per_try_timeout_of_the_last_try_is_504(nursery, autojump_clock):
    policy = RetryPolicy(attempts=1, on=("5xx",), per_try_timeout=2.0)
    rig = await Rig.start(nursery, simple(retry=policy))
    backend = await rig.upstream(A, behaviour=hang())
    got = await rig.get()
    assert (got.status, got.body, len(backend.requests)) == (504, b"upstream request timeout", 2)
    assert set(str((await rig.logs())[0]["response_flags"]).split(",")) == {"URX", "UT"}


# Uploads.


@pytest.mark.parametrize("down", [False, True], ids=["from-h1", "from-h2"])
async def test_an_early_answer_to_an_upload_arrives(nursery, autojump_clock, down):
    rig = await Rig.start(nursery, simple())
    await rig.upstream(A, behaviour=early(413, b"too much"))
    client = await rig.client.connection(rig.address(), http2=down)
    stream = client.open()
    await stream.send_head(RequestHead(b"POST", b"/", b"x", length=None), b"a" * 1000, end=False)
    got = await read_answer(stream)
    stream.finish()
    assert (got.status, got.body) == (413, b"too much")
    got = await rig.get()
    assert got.status == 413


async def test_both_directions_at_once(nursery, autojump_clock):
    snapshot = gateway(route(forward("c")), clusters=[cluster("c", http2=True)], endpoints={"c": [A]})
    rig = await Rig.start(nursery, snapshot)
    await rig.upstream(A, behaviour=echo())
    client = await rig.client.connection(rig.address(), http2=True)
    stream = client.open()
    await stream.send_head(RequestHead(b"POST", b"/", b"x", length=None), b"1", end=False)
    await stream.receive_head()
    said = []
    for word in (b"2", b"3", b"4"):
        said.append(await stream.body.receive())
        await stream.send(word, end=word == b"4")
    while not stream.body.ended:
        said.append(await stream.body.receive())
    stream.finish()
    assert b"".join(said) == b"1234"


async def test_a_client_that_breaks_off_its_upload_breaks_off_the_backend_s(nursery, autojump_clock):
    rig = await Rig.start(nursery, simple())
    backend = await rig.upstream(A)
    client = await rig.client.connection(rig.address())
    stream = client.open()
    await stream.send_head(RequestHead(b"POST", b"/", b"x", length=1000), b"a" * 10, end=False)
    await trio.testing.wait_all_tasks_blocked()
    client.connection.abort(ConnectionLost("bye"))
    await trio.testing.wait_all_tasks_blocked()
    assert not backend.requests[0].whole
    assert backend.open == 0
    assert rig.engine.statistics().requests_active == 0
    (line,) = await rig.logs()
    assert (line["response_code"], line["response_flags"]) == (0, "DC")


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
async def test_broken_chunks_are_answered_and_reach_no_backend_whole(nursery, autojump_clock, later):
    rig = await Rig.start(nursery, simple())
    backend = await rig.upstream(A)
    connection = await rig.network.connect(rig.address())
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    if later:
        await connection.send(head + b"5\r\nhello\r\n")
        await trio.testing.wait_all_tasks_blocked()
        head = b""
    await connection.send(head + b"nonsense\r\n")
    got = await connection.receive()
    assert got.startswith(b"HTTP/1.1 400 ")
    await trio.testing.wait_all_tasks_blocked()
    assert not any(request.whole for request in backend.requests)
    lines = await rig.logs()
    assert (lines[-1]["response_code"], lines[-1]["response_flags"]) == (400, "DPE")


@pytest.mark.parametrize("down", [False, True], ids=["from-h1", "from-h2"])
@pytest.mark.parametrize("up", [False, True], ids=["to-h1", "to-h2"])
async def test_a_client_that_leaves_frees_the_backend(nursery, autojump_clock, down, up):
    snapshot = gateway(route(forward("c")), clusters=[cluster("c", http2=up)], endpoints={"c": [A]})
    rig = await Rig.start(nursery, snapshot)
    gone = trio.Event()

    async def wait(stream, received):
        stream.on_abort = lambda error: gone.set()
        await gone.wait()
        raise ConnectionLost("gone")

    await rig.upstream(A, behaviour=wait)
    client = await rig.client.connection(rig.address(), http2=down)
    stream = client.open()
    await stream.send_head(RequestHead(b"GET", b"/", b"x"), end=True)
    await trio.testing.wait_all_tasks_blocked()
    stream.abort(ConnectionLost("bye"))
    with trio.fail_after(1):
        await gone.wait()
    await trio.testing.wait_all_tasks_blocked()
    assert rig.engine.statistics().requests_active == 0
    (line,) = await rig.logs()
    assert (line["response_code"], line["response_flags"]) == (0, "DC")


async def test_a_client_that_leaves_while_a_connection_is_made(nursery, autojump_clock):
    network = MemoryNetwork()
    network.silent.add("10.0.0.1")
    rig = await Rig.start(nursery, simple(), network=network)
    client = await rig.client.connection(rig.address())
    stream = client.open()
    await stream.send_head(RequestHead(b"GET", b"/", b"x"), end=True)
    await trio.testing.wait_all_tasks_blocked()
    stream.abort(ConnectionLost("bye"))
    await trio.testing.wait_all_tasks_blocked()
    assert (await rig.logs())[0]["response_flags"] == "DC"
    upstream = rig.engine.upstreams["c"]
    assert (upstream.pending, upstream.active) == (0, 0)


# Edits.


async def test_header_operations_of_cluster_and_route(nursery, autojump_clock):
    target = WeightedCluster(
        "c",
        request_headers=HeaderOperations(set=(("x-who", "cluster"),), add=(("x-list", "c"),)),
        response_headers=HeaderOperations(remove=("x-app",)),
    )
    r = route(
        forward(target),
        request_headers=HeaderOperations(set=(("x-who", "route"),), add=(("x-list", "r"),)),
        response_headers=HeaderOperations(add=(("x-route", "1"),)),
    )
    rig = await Rig.start(nursery, gateway(r, endpoints={"c": [A]}))
    backend = await rig.upstream(A, behaviour=answer(200, b"", [(b"x-app", b"1")]))
    got = await rig.get()
    seen = backend.requests[0].headers
    assert (seen.get(b"x-who"), seen.get_all(b"x-list")) == (b"route", [b"c", b"r"])
    assert (got.header("x-app"), got.header("x-route")) == (None, "1")


async def test_rewrites(nursery, autojump_clock):
    rig = await Rig.start(nursery, simple(rewrite=Rewrite(prefix="/new/", host="other")))
    backend = await rig.upstream(A)
    await rig.get("/path?q=1")
    seen = backend.requests[0]
    assert (seen.target, seen.authority) == (b"/new/path?q=1", b"other")
    assert seen.headers.get(b"x-envoy-original-path") == b"/path?q=1"
    assert seen.headers.get(b"x-envoy-original-host") == b"example.com"
    assert (await rig.logs())[0]["path"] == "/path?q=1"


async def test_weights(nursery, autojump_clock):
    action = forward(WeightedCluster("a", 9), WeightedCluster("b", 1))
    rig = await Rig.start(nursery, gateway(route(action), endpoints={"a": [A], "b": [B]}))
    a, b = await rig.upstream(A), await rig.upstream(B)
    for _ in range(200):
        await rig.get()
    assert len(a.requests) + len(b.requests) == 200
    assert 5 <= len(b.requests) <= 40


async def test_round_robin_over_hosts(nursery, autojump_clock):
    snapshot = gateway(
        route(forward("c")),
        clusters=[cluster("c", balancing=Balancing.ROUND_ROBIN)],
        endpoints={"c": [A, B, C]},
    )
    rig = await Rig.start(nursery, snapshot)
    for address in (A, B, C):
        await rig.upstream(address, address)
    names = [(await rig.get()).body for _ in range(6)]
    assert names[:3] == names[3:]
    assert len(set(names)) == 3


# Destinations that come with the request, or by name.


async def test_an_unknown_host_is_passed_through_to_where_it_says(nursery, autojump_clock):
    snapshot = outbound(route(forward("PassthroughCluster")), clusters=[PASSTHROUGH])
    rig = await Rig.start(nursery, snapshot, resolver=StaticResolver({"example.com": ("10.0.0.1",)}))
    await rig.upstream("10.0.0.1:8080", "far")
    at = rig.address("virtualOutbound")
    assert (await rig.client.get(at, host="example.com:8080")).body == b"far"
    assert (await rig.client.get(at, host="10.0.0.1:8080")).body == b"far"
    unknown = await rig.client.get(at, host="nowhere.example")
    assert unknown.status == 503
    assert (unknown.header("x-meshd-reason") or "").startswith("DF; ")
    circle = await rig.client.get(at, host="127.0.0.1:15001")
    assert circle.status == 503
    assert "this proxy itself" in (circle.header("x-meshd-reason") or "")


async def test_dns_clusters_follow_their_names_and_keep_the_last_good_answer(nursery, autojump_clock):
    names = {"db.example": ("10.0.0.1",)}
    resolver = StaticResolver(names)
    snapshot = gateway(
        route(forward("c")),
        clusters=[cluster("c", discovery=Discovery.DNS)],
        endpoints={"c": ["db.example:9080"]},
    )
    rig = await Rig.start(nursery, snapshot, resolver=resolver, limits=ProxyLimits(dns_refresh=60.0))
    await rig.upstream(A, "a")
    await rig.upstream(B, "b")
    assert (await rig.get()).body == b"a"
    upstream = rig.engine.upstreams["c"]
    upstream._resolver = StaticResolver({"db.example": ("10.0.0.2",)})
    await trio.sleep(61)
    assert (await rig.get()).body == b"b"
    upstream._resolver = StaticResolver({})
    await trio.sleep(61)
    assert (await rig.get()).body == b"b"


async def test_a_name_that_never_resolved_is_uh_and_says_why(nursery, autojump_clock):
    listener = outbound(
        route(forward("c")), clusters=[cluster("c", discovery=Discovery.DNS)], endpoints={"c": ["x.example:9080"]}
    )
    rig = await Rig.start(nursery, listener)
    got = await rig.client.get(rig.address("virtualOutbound"))
    assert got.status == 503
    assert "x.example" in (got.header("x-meshd-reason") or "")


# Websockets.


async def test_a_websocket_is_a_tunnel(nursery, autojump_clock):
    async def shake(connection, raw):
        head = await raw.read_head(connection)
        assert b"upgrade: websocket" in head.lower()
        await connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello"
        )
        while data := await connection.receive():
            await connection.send(data.upper())
        await connection.send_eof()

    rig = await Rig.start(nursery, simple(timeout=5.0))
    await nursery.start(RawUpstream(shake).run, rig.network, Address.parse(A))
    connection = await rig.network.connect(rig.address())
    await connection.send(b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n")
    got = b""
    while not got.endswith(b"hello"):
        got += await connection.receive()
    assert got.startswith(b"HTTP/1.1 101 ")
    await trio.sleep(100)
    await connection.send(b"abc")
    assert await connection.receive() == b"ABC"
    await connection.send_eof()
    assert await connection.receive() == b""


async def test_an_upgrade_that_is_not_allowed_is_403(nursery, autojump_clock):
    rig = await Rig.start(nursery, gateway(route(forward("c")), endpoints={"c": [A]}, http={"upgrades": ()}))
    client = H1ClientConnection(await rig.network.connect(rig.address()))
    stream = client.open()
    await stream.send_head(RequestHead(b"GET", b"/", b"x", Headers(), upgrade=b"websocket"), end=False)
    got = await stream.receive_head()
    assert got.status == 403
    stream.finish()


async def test_listeners_without_routes_answer_404(nursery, autojump_clock):
    rig = await Rig.start(nursery, gateway())
    assert (await rig.get()).status == 404
    assert assemble((), (), (), None).listeners == ()


async def test_destinations_are_bounded(nursery, autojump_clock):
    snapshot = outbound(route(forward("PassthroughCluster")), clusters=[PASSTHROUGH])
    rig = await Rig.start(nursery, snapshot, limits=ProxyLimits(destinations=1))
    for address in (A, B):
        await rig.upstream(address, address, answer(delay=1.0))
    at = rig.address("virtualOutbound")
    for address in (A, B, A):
        assert (await rig.client.get(at, host=address)).body == address.encode()
    assert len(rig.engine.upstreams["PassthroughCluster"].hosts) == 1
    got = []

    async def ask(address: str) -> None:
        got.append(await rig.client.get(at, host=address))

    async with trio.open_nursery() as asking:
        asking.start_soon(ask, A)
        await trio.sleep(0.1)
        asking.start_soon(ask, B)
    assert sorted(answered.status for answered in got) == [200, 503]
    refused = next(answered for answered in got if answered.status == 503)
    assert refused.header("x-envoy-overloaded") == "true"


async def test_a_name_is_looked_up_again_soon_after_a_failure(nursery, autojump_clock):
    snapshot = gateway(
        route(forward("c")), clusters=[cluster("c", discovery=Discovery.DNS)], endpoints={"c": ["db.example:9080"]}
    )
    asked: list[float] = []

    class Broken:
        async def resolve(self, host: str) -> tuple[str, ...]:
            asked.append(trio.current_time())
            raise ConnectionLost("no answer")

    await Rig.start(nursery, snapshot, resolver=Broken(), limits=ProxyLimits(dns_retry=2.0, dns_refresh=10.0))
    await trio.sleep(41)
    start = asked[0]
    assert [at - start for at in asked] == [0.0, 2.0, 6.0, 14.0, 24.0, 34.0]


@pytest.mark.parametrize(
    ("line", "status"),
    [(b"OPTIONS * HTTP/1.1", b"404"), (b"CONNECT example.com:443 HTTP/1.1", b"403"), (b"TRACE / HTTP/1.1", b"200")],
)
async def test_unusual_requests_are_answered(nursery, autojump_clock, line, status):
    rig = await Rig.start(nursery, simple())
    await rig.upstream(A)
    connection = await rig.network.connect(rig.address())
    await connection.send(line + b"\r\nhost: example.com:443\r\n\r\n")
    assert (await connection.receive()).split()[1] == status
    assert "meshd_bugs_total 0" in rig.metrics()


async def test_nobody_is_asked_to_connect_for_others_unless_it_is_allowed(nursery, autojump_clock):
    everything = route(forward("c"), match=RouteMatch())
    rig = await Rig.start(nursery, gateway(everything, endpoints={"c": [A]}))
    backend = await rig.upstream(A)
    connection = await rig.network.connect(rig.address())
    await connection.send(b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n")
    assert (await connection.receive()).split()[1] == b"403"
    assert not backend.requests
