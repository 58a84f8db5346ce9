"""Our HTTP/2 server against the h2 library as its client."""

from __future__ import annotations

import h2.events
import h2.settings
import pytest
import trio
from trio.testing import MockClock

from meshd.errors import ConnectionLost, ProtocolError
from meshd.http.head import Headers, ResponseHead
from meshd.http.limits import KIB, HttpLimits
from meshd.http.stream import ServerStream
from tests.http.conftest import Serve, Served, echo
from tests.http.h2_peers import POST, REQUEST, Peer


@pytest.fixture
def connect(serve: Serve, nursery: trio.Nursery):
    async def begin(handler, *, lenient=False, reading=True, chunk=64 * KIB, **options) -> tuple[Peer, Served]:
        settings = options.pop("settings", {})
        served = serve(handler, protocol="h2", **options)
        served.wire.chunk = chunk
        peer = Peer(served.client, client=True, lenient=lenient)
        if reading:
            nursery.start_soon(peer.run)
        await peer.start(**settings)
        return peer, served

    return begin


async def ok(stream: ServerStream) -> None:
    await stream.respond(ResponseHead(200, length=2), b"ok", end=True)


@pytest.mark.parametrize("chunk", [1, 10, 64 * KIB])
async def test_exchanges(connect, chunk: int) -> None:
    peer, served = await connect(echo, chunk=chunk)
    first = await peer.request([*REQUEST, (b"accept", b"x"), (b"cookie", b"a=b"), (b"cookie", b"c=d")])
    second = await peer.request(POST, b"hello")
    third = await peer.request([*POST, (b"content-length", b"5")], b"hello")
    for stream_id in (first, second, third):
        await peer.wait_for(h2.events.StreamEnded, stream_id)
    assert peer.head(first)[b":status"] == b"200"
    assert peer.data(first) == b"GET h /x|0|accept=x;cookie=a=b; c=d|"
    assert peer.data(second) == b"POST h /x|None||hello"
    assert peer.data(third) == b"POST h /x|5||hello"
    assert not served.bugs


async def test_streams_run_at_once(connect) -> None:
    release = trio.Event()

    async def handler(stream: ServerStream) -> None:
        if stream.request.target == b"/x":
            await release.wait()
        await ok(stream)

    peer, _ = await connect(handler)
    slow = await peer.request()
    quick = await peer.request([*REQUEST[:3], (b":path", b"/quick")])
    await peer.wait_for(h2.events.StreamEnded, quick)
    assert not [event for event in peer.events if getattr(event, "stream_id", 0) == slow]
    release.set()
    await peer.wait_for(h2.events.StreamEnded, slow)


async def test_a_large_body_waits_for_the_window(connect) -> None:
    sent: list[int] = []

    async def handler(stream: ServerStream) -> None:
        await stream.respond(ResponseHead(200, length=None), end=False)
        for _ in range(10):
            await stream.send(bytes(50_000))
            sent.append(50_000)
        await stream.send(b"", end=True)

    peer, _ = await connect(handler)
    peer.acknowledge = False
    stream_id = await peer.request()
    await trio.testing.wait_all_tasks_blocked()
    assert len(peer.data(stream_id)) == 65535
    assert sum(sent) == 50_000
    while len(peer.data(stream_id)) < 500_000:
        peer.h2.increment_flow_control_window(65535)
        peer.h2.increment_flow_control_window(65535, stream_id)
        await peer.flush()
        await trio.testing.wait_all_tasks_blocked()
    await peer.wait_for(h2.events.StreamEnded, stream_id)
    assert len(peer.data(stream_id)) == 500_000


async def test_one_stalled_stream_does_not_hold_up_others(connect) -> None:
    async def handler(stream: ServerStream) -> None:
        size = 100_000 if stream.request.target == b"/x" else 1000
        await stream.respond(ResponseHead(200, length=size), bytes(size), end=True)

    peer, _ = await connect(handler, settings={"initial_window_size": 1000})
    peer.acknowledge = False
    await peer.request()
    other = await peer.request([*REQUEST[:3], (b":path", b"/other")])
    await peer.wait_for(h2.events.StreamEnded, other)


async def test_settings_open_windows_too(connect) -> None:
    async def handler(stream: ServerStream) -> None:
        await stream.respond(ResponseHead(200, length=5000), bytes(5000), end=True)

    peer, _ = await connect(handler, settings={"initial_window_size": 10})
    peer.acknowledge = False
    stream_id = await peer.request()
    await trio.testing.wait_all_tasks_blocked()
    assert len(peer.data(stream_id)) == 10
    peer.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 20_000})
    await peer.flush()
    await peer.wait_for(h2.events.StreamEnded, stream_id)


async def test_the_window_opens_only_for_bytes_that_were_taken(connect) -> None:
    take = trio.Event()

    async def handler(stream: ServerStream) -> None:
        await take.wait()
        await echo(stream)

    limits = HttpLimits(h2_stream_window=70_000, h2_connection_window=200_000)
    peer, _ = await connect(handler, limits=limits)
    await peer.wait_for(h2.events.RemoteSettingsChanged)
    stream_id = await peer.request(POST, end=False, data=b"")
    sent = 0
    while (room := min(peer.h2.local_flow_control_window(stream_id), 16384)) > 0:
        peer.h2.send_data(stream_id, bytes(room))
        await peer.flush()
        await trio.testing.wait_all_tasks_blocked()
        sent += room
    assert sent == 70_000
    take.set()
    await peer.wait_for(h2.events.WindowUpdated, stream_id)
    peer.h2.send_data(stream_id, bytes(10_000), end_stream=True)
    await peer.flush()
    await peer.wait_for(h2.events.StreamEnded, stream_id)
    assert len(peer.data(stream_id)) == len(b"POST h /x|None||") + 80_000


@pytest.mark.parametrize(
    ("method", "head", "data", "expected"),
    [
        (b"HEAD", ResponseHead(200, length=5), b"hello", {b":status": b"200", b"content-length": b"5"}),
        (b"HEAD", ResponseHead(200, length=None), b"", {b":status": b"200"}),
        (b"GET", ResponseHead(204), b"", {b":status": b"204"}),
        (b"GET", ResponseHead(304, length=7), b"", {b":status": b"304", b"content-length": b"7"}),
    ],
)
async def test_answers_without_a_body(
    connect, method: bytes, head: ResponseHead, data: bytes, expected: dict[bytes, bytes]
) -> None:
    async def handler(stream: ServerStream) -> None:
        await stream.respond(head, data, end=True)

    peer, served = await connect(handler)
    stream_id = await peer.request([(b":method", method), *REQUEST[1:]])
    await peer.wait_for(h2.events.StreamEnded, stream_id)
    assert peer.head(stream_id) == expected
    assert peer.data(stream_id) == b""
    assert not served.bugs


async def test_trailers_both_ways_and_informational(connect) -> None:
    async def handler(stream: ServerStream) -> None:
        assert await stream.body.receive() == b"hello"
        assert await stream.body.receive() == b""
        assert stream.body.trailers is not None
        await stream.send_informational(ResponseHead(103))
        await stream.respond(ResponseHead(200, length=None), end=False)
        await stream.send(b"abc")
        await stream.send_trailers(stream.body.trailers)

    peer, served = await connect(handler)
    stream_id = await peer.request(POST, b"hello", end=False)
    peer.h2.send_headers(stream_id, [(b"x-sum", b"1")], end_stream=True)
    await peer.flush()
    trailers = await peer.wait_for(h2.events.TrailersReceived, stream_id)
    assert dict(trailers.headers) == {b"x-sum": b"1"}
    assert await peer.wait_for(h2.events.InformationalResponseReceived, stream_id)
    assert not served.bugs


async def test_100_when_the_body_is_wanted(connect) -> None:
    peer, _ = await connect(echo)
    stream_id = await peer.request([*POST, (b"expect", b"100-continue")], b"", end=False)
    informational = await peer.wait_for(h2.events.InformationalResponseReceived, stream_id)
    assert dict(informational.headers)[b":status"] == b"100"
    peer.h2.send_data(stream_id, b"x", end_stream=True)
    await peer.flush()
    await peer.wait_for(h2.events.StreamEnded, stream_id)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([*REQUEST[:3], (b":path", b"/a b")], b"400"),
        ([*REQUEST[:2], (b":authority", b"u@h"), REQUEST[3]], b"400"),
        ([*REQUEST, *[(b"a", b"b")] * 101], b"431"),
        ([*REQUEST, (b"content_length", b"1")], b"400"),
        ([(b":method", b"get"), *REQUEST[1:]], b"400"),
    ],
)
async def test_malformed_requests_are_answered_and_others_live(connect, fields, status: bytes) -> None:
    seen: list[ProtocolError] = []

    def reply(connection: object, error: ProtocolError) -> tuple[ResponseHead, bytes]:
        del connection
        seen.append(error)
        return ResponseHead(error.status, length=3), b"no!"

    peer, _ = await connect(ok, lenient=True, on_protocol_error=reply)
    bad = await peer.request(fields)
    good = await peer.request()
    await peer.wait_for(h2.events.StreamEnded, bad)
    await peer.wait_for(h2.events.StreamEnded, good)
    assert peer.head(bad)[b":status"] == status
    assert peer.head(good)[b":status"] == b"200"
    assert len(seen) == 1


@pytest.mark.parametrize(
    "fields",
    [
        [*REQUEST, (b"a", b"b\r\nc: d")],
        [*REQUEST, (b"connection", b"close")],
        [*REQUEST, (b"transfer-encoding", b"chunked")],
        [*REQUEST, (b"te", b"gzip")],
        [*REQUEST, (b"A", b"b")],
        [*REQUEST, (b":method", b"GET")],
        [*REQUEST[1:]],
        [*REQUEST, (b"host", b"other")],
        [(b"a", b"b"), *REQUEST],
    ],
)
async def test_what_the_library_refuses_ends_the_connection(connect, fields) -> None:
    handled: list[ServerStream] = []

    async def handler(stream: ServerStream) -> None:
        handled.append(stream)

    peer, served = await connect(handler, lenient=True)
    await peer.request(fields)
    await peer.wait_goaway()
    await served.done.wait()
    assert not handled


@pytest.mark.parametrize("size", [4, 6])
@pytest.mark.parametrize("trailers", [True, False])
async def test_a_body_of_another_length_never_passes(connect, size: int, trailers: bool) -> None:
    outcomes: list[object] = []

    async def handler(stream: ServerStream) -> None:
        try:
            await echo(stream)
        except Exception as error:
            outcomes.append(error)
            raise
        outcomes.append("passed")

    peer, served = await connect(handler, lenient=True)
    stream_id = await peer.request([*POST, (b"content-length", b"5")], b"x" * size, end=not trailers)
    if trailers:
        peer.h2.send_headers(stream_id, [(b"a", b"b")], end_stream=True)
        await peer.flush()
    await trio.testing.wait_all_tasks_blocked()
    # The library sees the first kind before any handler does; the second is seen by ours.
    assert "passed" not in outcomes
    assert not any(isinstance(event, h2.events.ResponseReceived) for event in peer.events)
    assert all(isinstance(outcome, ProtocolError | ConnectionLost) for outcome in outcomes)
    assert not served.bugs


async def test_a_reset_is_heard_of(connect) -> None:
    heard: list[Exception] = []
    waited: list[Exception] = []

    async def handler(stream: ServerStream) -> None:
        if stream.request.method == b"POST":
            try:
                await stream.body.receive()
            except ConnectionLost as error:
                waited.append(error)
            return
        gone = trio.Event()

        def on_abort(error: Exception) -> None:
            heard.append(error)
            gone.set()

        stream.on_abort = on_abort
        await gone.wait()
        stream.abort(ConnectionLost("gave up"))

    peer, served = await connect(handler)
    quiet = await peer.request()
    reading = await peer.request(POST, b"", end=False)
    await trio.testing.wait_all_tasks_blocked()
    peer.h2.reset_stream(quiet)
    peer.h2.reset_stream(reading)
    await peer.flush()
    await trio.testing.wait_all_tasks_blocked()
    assert len(heard) == len(waited) == 1
    served.client.close()
    await served.done.wait()


async def test_a_reset_before_anybody_listened_is_heard_of(connect) -> None:
    heard: list[Exception] = []

    async def handler(stream: ServerStream) -> None:
        await trio.testing.wait_all_tasks_blocked(0.01)
        stream.on_abort = heard.append
        assert stream.on_abort is None
        stream.abort(ConnectionLost("gave up"))
        with pytest.raises(ConnectionLost):
            await ok(stream)

    peer, served = await connect(handler)
    stream_id = await peer.request()
    await trio.testing.wait_all_tasks_blocked()
    peer.h2.reset_stream(stream_id)
    await peer.flush()
    served.drain.begin()
    await served.done.wait()
    assert len(heard) == 1
    assert not served.bugs


async def test_what_http2_has_not_is_a_bug(connect) -> None:
    async def handler(stream: ServerStream) -> None:
        await stream.respond(ResponseHead(101, upgrade=b"x"), end=False)

    peer, served = await connect(handler)
    stream_id = await peer.request()
    await peer.wait_for(h2.events.StreamEnded, stream_id)
    assert peer.head(stream_id)[b":status"] == b"500"
    assert isinstance(served.bugs[0], ValueError)


async def test_bad_trailers_end_the_stream_only(connect) -> None:
    peer, served = await connect(echo, lenient=True)
    stream_id = await peer.request(POST, b"x", end=False)
    peer.h2.send_headers(stream_id, [(b"x-forwarded-for", b"1")], end_stream=True)
    await peer.flush()
    reset = await peer.wait_for(h2.events.StreamReset, stream_id)
    assert reset.error_code == 1
    fine = await peer.request()
    await peer.wait_for(h2.events.StreamEnded, fine)
    assert not served.bugs


async def test_losing_the_connection_ends_all_streams(connect) -> None:
    heard: list[Exception] = []

    async def handler(stream: ServerStream) -> None:
        gone = trio.Event()

        def on_abort(error: Exception) -> None:
            heard.append(error)
            gone.set()

        stream.on_abort = on_abort
        await gone.wait()
        stream.abort(ConnectionLost("gave up"))

    peer, served = await connect(handler)
    for _ in range(3):
        await peer.request()
    await trio.testing.wait_all_tasks_blocked()
    served.wire.cut()
    await served.done.wait()
    assert len(heard) == 3
    assert not served.bugs


async def test_failures_of_handlers_stay_theirs(connect) -> None:
    async def handler(stream: ServerStream) -> None:
        if stream.request.target == b"/late":
            await stream.respond(ResponseHead(200, length=10), b"12345", end=False)
        if stream.request.target != b"/x":
            raise KeyError(stream.request.target)
        await ok(stream)

    peer, served = await connect(handler)
    early = await peer.request([*REQUEST[:3], (b":path", b"/early")])
    late = await peer.request([*REQUEST[:3], (b":path", b"/late")])
    await peer.wait_for(h2.events.StreamEnded, early)
    await peer.wait_for(h2.events.StreamReset, late)
    fine = await peer.request()
    await peer.wait_for(h2.events.StreamEnded, fine)
    assert peer.head(early)[b":status"] == b"500"
    assert len(served.bugs) == 2


async def test_an_early_answer_stops_the_upload(connect) -> None:
    peer, _ = await connect(ok)
    stream_id = await peer.request(POST, b"x" * 1000, end=False)
    reset = await peer.wait_for(h2.events.StreamReset, stream_id)
    assert reset.error_code == 0
    assert peer.head(stream_id)[b":status"] == b"200"


async def test_streams_beyond_the_limit_are_refused(connect) -> None:
    release = trio.Event()

    async def handler(stream: ServerStream) -> None:
        await release.wait()
        await ok(stream)

    peer, _ = await connect(handler, limits=HttpLimits(h2_max_streams=2))
    streams = [await peer.request() for _ in range(3)]
    reset = await peer.wait_for(h2.events.StreamReset, streams[2])
    assert reset.error_code == 7
    release.set()
    await peer.wait_for(h2.events.StreamEnded, streams[1])


async def test_draining_finishes_what_is_under_way(connect) -> None:
    release = trio.Event()

    async def handler(stream: ServerStream) -> None:
        await release.wait()
        await ok(stream)

    peer, served = await connect(handler)
    stream_id = await peer.request()
    await trio.testing.wait_all_tasks_blocked()
    served.drain.begin()
    await trio.testing.wait_all_tasks_blocked()
    assert not served.done.is_set()
    assert [goaway.last_stream_id for goaway in peer.goaways] == [2**31 - 1, stream_id]
    late = await peer.request()
    refused = await peer.wait_for(h2.events.StreamReset, late)
    assert refused.error_code == 7
    release.set()
    await peer.wait_for(h2.events.StreamEnded, stream_id)
    await served.done.wait()
    await peer.wait_closed()


async def test_draining_closes_an_idle_connection(connect) -> None:
    peer, served = await connect(ok)
    stream_id = await peer.request()
    await peer.wait_for(h2.events.StreamEnded, stream_id)
    served.drain.begin()
    assert (await peer.wait_goaway()).last_stream_id == stream_id
    await served.done.wait()


async def test_close_after_and_max_requests_say_goaway(connect) -> None:
    async def handler(stream: ServerStream) -> None:
        stream.close_after()
        await ok(stream)

    for options in ({"handler": handler}, {"handler": ok, "limits": HttpLimits(max_requests=1)}):
        peer, served = await connect(options.pop("handler"), **options)
        await peer.request()
        await peer.wait_goaway()
        await served.done.wait()


async def test_idle_and_silent_are_bounded(connect, autojump_clock: MockClock) -> None:
    del autojump_clock
    peer, served = await connect(echo, limits=HttpLimits(idle_timeout=50, stream_idle_timeout=20))
    stream_id = await peer.request(POST, b"x", end=False)
    reset = await peer.wait_for(h2.events.StreamReset, stream_id)
    assert trio.current_time() == pytest.approx(20)
    assert reset.error_code == 8
    await peer.wait_goaway()
    assert trio.current_time() == pytest.approx(70)
    await served.done.wait()


async def test_an_unfinished_header_block_is_bounded(connect, autojump_clock: MockClock) -> None:
    del autojump_clock
    peer, served = await connect(ok, limits=HttpLimits(header_timeout=10))
    await trio.testing.wait_all_tasks_blocked()
    await peer.connection.send(b"\0\0\1\1\1\0\0\0\1\x82")
    await served.done.wait()
    assert trio.current_time() == pytest.approx(10)


async def test_a_client_that_never_reads_costs_bounded_memory(connect, autojump_clock: MockClock) -> None:
    """Zero window, huge answers (CVE-2019-9517), and PINGs to be answered into a full socket."""
    del autojump_clock

    streams: list[ServerStream] = []

    async def handler(stream: ServerStream) -> None:
        streams.append(stream)
        await stream.respond(ResponseHead(200, length=10**6), bytes(10**6), end=True)

    peer, served = await connect(handler, reading=False, limits=HttpLimits(stream_idle_timeout=30))
    peer.h2.increment_flow_control_window(2**30)
    for _ in range(20):
        stream_id = peer.h2.get_next_available_stream_id()
        peer.h2.send_headers(stream_id, REQUEST, end_stream=True)
        peer.h2.increment_flow_control_window(2**30, stream_id)
    await peer.flush()
    await trio.testing.wait_all_tasks_blocked()
    with trio.move_on_after(20):
        for _ in range(100):
            await peer.connection.send(b"\0\0\x08\6\0\0\0\0\0" + bytes(8))
    engine = streams[0].engine  # type: ignore[attr-defined]
    assert engine.codec.pending < 400 * KIB
    assert sum(stream.bytes_sent for stream in streams) < 600 * KIB
    await served.done.wait()
    assert trio.current_time() < 70
    assert not served.bugs


FLOODS = {
    "settings": b"\0\0\0\4\0\0\0\0\0",
    "ping": b"\0\0\x08\6\0\0\0\0\0" + bytes(8),
    "priority": b"\0\0\5\2\0\0\0\0\1" + bytes(4) + b"\1",
    "empty data": b"\0\0\0\0\0\0\0\0\1",
    "window dribble": b"\0\0\4\x08\0\0\0\0\0\0\0\0\1",
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
async def test_floods_end_the_connection(connect, flood: bytes) -> None:
    async def handler(stream: ServerStream) -> None:
        await stream.body.receive()

    peer, served = await connect(handler)
    await peer.request(POST, b"", end=False)
    try:
        for _ in range(50):
            await peer.connection.send(flood * 50)
    except ConnectionLost:
        pass
    await served.done.wait()
    assert not served.bugs
    assert all(goaway.code == 11 for goaway in peer.goaways)


async def test_rapid_reset_ends_the_connection(connect) -> None:
    handled: list[ServerStream] = []

    async def handler(stream: ServerStream) -> None:
        handled.append(stream)
        gone = trio.Event()
        stream.on_abort = lambda _: gone.set()
        await gone.wait()
        stream.abort(ConnectionLost("gone"))

    peer, served = await connect(handler)
    try:
        for _ in range(1000):
            stream_id = peer.h2.get_next_available_stream_id()
            peer.h2.send_headers(stream_id, REQUEST, end_stream=True)
            peer.h2.reset_stream(stream_id)
            await peer.flush()
    except (ConnectionLost, h2.exceptions.ProtocolError):
        pass
    await served.done.wait()
    assert len(handled) <= 260


async def test_resets_among_answers_are_fine(connect) -> None:
    release = trio.Event()

    async def handler(stream: ServerStream) -> None:
        if stream.request.target == b"/held":
            await release.wait()
        await ok(stream)

    peer, _ = await connect(handler, limits=HttpLimits(h2_premature_resets=2))
    for _ in range(10):
        done = await peer.request()
        await peer.wait_for(h2.events.StreamEnded, done)
        held = await peer.request([*REQUEST[:3], (b":path", b"/held")])
        peer.h2.reset_stream(held)
        await peer.flush()
    last = await peer.request()
    await peer.wait_for(h2.events.StreamEnded, last)
    release.set()


async def test_connect_is_a_tunnel(connect) -> None:
    async def handler(stream: ServerStream) -> None:
        await stream.respond(ResponseHead(200, Headers()), end=False)
        while not stream.body.ended:
            data = await stream.body.receive()
            if data:
                await stream.send(data.upper())
        await stream.send(b"", end=True)

    peer, served = await connect(handler)
    stream_id = await peer.request([(b":method", b"CONNECT"), (b":authority", b"h:1")], b"abc", end=False)
    await peer.wait_for(h2.events.DataReceived, stream_id)
    peer.h2.send_data(stream_id, b"def", end_stream=True)
    await peer.flush()
    await peer.wait_for(h2.events.StreamEnded, stream_id)
    assert peer.data(stream_id) == b"ABCDEF"
    assert b"content-length" not in peer.head(stream_id)
    assert not served.bugs
