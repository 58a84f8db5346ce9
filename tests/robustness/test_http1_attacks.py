"""Attacks over HTTP/1.1 at a gateway: whatever reaches the backend is what was accepted, message for message.

Every attack is bytes on a connection; behind the gateway is a backend that
records bytes and reads them by its own strict grammar. An attack that hides a
request hides one for ``/smuggled``, which must never arrive.
"""

from __future__ import annotations

import re

import attrs
import pytest
import trio

from meshd.errors import ConnectionLost
from meshd.net.address import Address
from tests.proxy.rig import Rig
from tests.proxy.snapshots import forward, gateway, route
from tests.robustness.recorder import Recorder

BACKEND = "10.0.0.1:8080"
GET = b"GET /good HTTP/1.1\r\nHost: a.example\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
CHUNKED = b"POST /c HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
PATIENCE = 400.0
"""Seconds of virtual time: longer than every timeout that an attack runs into."""


@attrs.frozen
class Attack:
    """``sent`` at once; what must come back (statuses, then the end), and what may reach the backend (targets)."""

    name: str
    sent: bytes
    statuses: tuple[int, ...] = (400,)
    reached: tuple[bytes, ...] = ()
    unfinished: bool = False
    """A request may have been begun at the backend, and was cut off there."""


def head(*lines: bytes, line: bytes = b"GET /x HTTP/1.1", host: bytes = b"Host: a.example", body: bytes = b"") -> bytes:
    kept = [each for each in (line, host, *lines) if each]
    return b"\r\n".join(kept) + b"\r\n\r\n" + body


def post(*lines: bytes, body: bytes = b"") -> bytes:
    return head(*lines, line=b"POST /x HTTP/1.1", body=body)


TE = b"Transfer-Encoding: chunked"
LENGTH = b"Content-Length: %d" % len(SMUGGLED)
CHUNK_SMUGGLED = b"0\r\n\r\n" + SMUGGLED

ATTACKS = [
    # Hosts
    Attack("no host", head(host=b"")),
    Attack("two hosts", head(b"Host: b.example")),
    Attack("two equal hosts", head(b"Host: a.example")),
    Attack("empty host", head(host=b"Host:")),
    Attack("host with userinfo", head(host=b"Host: a@b.example")),
    Attack("host with comma", head(host=b"Host: a.example,b.example")),
    Attack("host with percent", head(host=b"Host: a%2eexample")),
    Attack("host with path", head(host=b"Host: a.example/x")),
    Attack("host with bad port", head(host=b"Host: a.example:99999")),
    Attack("host with two ports", head(host=b"Host: a.example:80:80")),
    Attack("host unclosed bracket", head(host=b"Host: [::1")),
    Attack("host after space", head(host=b"Host : a.example")),
    Attack("host folded", head(host=b"Host: a.example\r\n b.example")),
    Attack("host of 300 letters", head(host=b"Host: " + b"a" * 300)),
    # Request lines
    Attack("http 0.9", b"GET /x\r\n\r\n"),
    Attack("http 1.0", head(line=b"GET /x HTTP/1.0"), (426,)),
    Attack("http 1.2", head(line=b"GET /x HTTP/1.2"), (505,)),
    Attack("http 2.0", head(line=b"GET /x HTTP/2.0"), (505,)),
    Attack("http 3.0", head(line=b"GET /x HTTP/3.0"), (505,)),
    Attack("lower-case version", head(line=b"GET /x http/1.1")),
    Attack("version missing", head(line=b"GET /x ")),
    Attack("two spaces", head(line=b"GET  /x HTTP/1.1")),
    Attack("tab as space", head(line=b"GET\t/x HTTP/1.1")),
    Attack("space in target", head(line=b"GET /x HTTP/1.1 HTTP/1.1")),
    Attack("space before method", head(line=b" GET /x HTTP/1.1")),
    Attack("lower-case method", head(line=b"get /x HTTP/1.1")),
    Attack("method with comma", head(line=b"GET,POST /x HTTP/1.1")),
    Attack("method of 1000", head(line=b"A" * 1000 + b" /x HTTP/1.1")),
    Attack("relative target", head(line=b"GET x HTTP/1.1")),
    Attack("star for GET", head(line=b"GET * HTTP/1.1")),
    Attack("fragment", head(line=b"GET /x#y HTTP/1.1")),
    Attack("eight-bit target", head(line=b"GET /\xc3\xa9 HTTP/1.1")),
    Attack("encoded NUL", head(line=b"GET /x%00 HTTP/1.1")),
    Attack("absolute with userinfo", head(line=b"GET http://u:p@a.example/x HTTP/1.1")),
    Attack("absolute with https", head(line=b"GET https://a.example/x HTTP/1.1")),
    Attack("absolute with ftp", head(line=b"GET ftp://a.example/x HTTP/1.1")),
    Attack("absolute without host", head(line=b"GET http:///x HTTP/1.1")),
    Attack("CONNECT without port", head(line=b"CONNECT a.example HTTP/1.1")),
    Attack("target of 33 KiB", head(line=b"GET /" + b"a" * 33 * 1024 + b" HTTP/1.1"), (414,)),
    # Header lines
    Attack("bare LF", b"GET /x HTTP/1.1\nHost: a.example\n\n"),
    Attack("one bare LF", head(b"A: b\nC: d")),
    Attack("bare CR", head(b"A: b\rC: d")),
    Attack("CR before end", head(b"A: b\r")),
    Attack("NUL", head(b"A: b\x00c")),
    Attack("control byte", head(b"A: b\x01c")),
    Attack("DEL", head(b"A: b\x7fc")),
    Attack("folded", head(b"A: b\r\n c")),
    Attack("folded by tab", head(b"A: b\r\n\tc")),
    Attack("first line folded", b"GET /x HTTP/1.1\r\n Host: a.example\r\n\r\n"),
    Attack("no colon", head(b"abc")),
    Attack("no name", head(b": abc")),
    Attack("space before colon", head(b"A : b")),
    Attack("tab before colon", head(b"A\t: b")),
    Attack("eight-bit name", head(b"\xe9: b")),
    Attack("name with brackets", head(b"a(b): c")),
    Attack("CL twin", post(b"Content_Length: 5", body=b"12345")),
    Attack("XFCC twin", head(b"X_Forwarded_Client_Cert: URI=spiffe://x/y")),
    Attack("meshd twin", head(b"X_Meshd_Principal: root")),
    Attack("101 headers", head(*[b"A%d: b" % n for n in range(101)]), (431,)),
    Attack("a header of 61 KiB", head(b"A: " + b"b" * 61 * 1024), (431,)),
    Attack("100 KiB without end", b"GET /x HTTP/1.1\r\nA: " + b"b" * 100 * 1024, (431,)),
    Attack("a line that never ends", b"A" * 100 * 1024, (431,)),
    Attack("binary", bytes(range(256)) * 4),
    # Lengths
    Attack("CL and TE", post(b"Content-Length: 5", TE, body=CHUNK_SMUGGLED)),
    Attack("TE and CL", post(TE, b"Content-Length: 5", body=CHUNK_SMUGGLED)),
    Attack("two CL", post(b"Content-Length: 0", LENGTH, body=SMUGGLED)),
    Attack("two equal CL", post(b"Content-Length: 5", b"Content-Length: 5", body=b"12345")),
    Attack("CL list", post(b"Content-Length: 5, 5", body=b"12345")),
    Attack("CL +5", post(b"Content-Length: +5", body=b"12345")),
    Attack("CL -5", post(b"Content-Length: -5", body=b"12345")),
    Attack("CL hex", post(b"Content-Length: 0x5", body=b"12345")),
    Attack("CL with space", post(b"Content-Length: 1 0", body=SMUGGLED)),
    Attack("CL huge", post(b"Content-Length: 18446744073709551621", body=b"12345")),
    Attack("CL empty", post(b"Content-Length:", body=SMUGGLED)),
    Attack("CL eight-bit digit", post(b"Content-Length: \xb2", body=SMUGGLED)),
    Attack("TE gzip", post(b"Transfer-Encoding: gzip", body=CHUNK_SMUGGLED), (501,)),
    Attack("TE gzip, chunked", post(b"Transfer-Encoding: gzip, chunked", body=CHUNK_SMUGGLED), (501,)),
    Attack("TE chunked, identity", post(b"Transfer-Encoding: chunked, identity", body=CHUNK_SMUGGLED), (501,)),
    Attack("TE twice", post(TE, TE, body=CHUNK_SMUGGLED), (501,)),
    Attack("TE identity", post(b"Transfer-Encoding: identity", b"Content-Length: 0"), (400,)),
    Attack("TE xchunked", post(b"Transfer-Encoding: xchunked", body=CHUNK_SMUGGLED), (501,)),
    Attack("TE quoted", post(b'Transfer-Encoding: "chunked"', body=CHUNK_SMUGGLED), (501,)),
    Attack("TE with vertical tab", post(b"Transfer-Encoding: \x0bchunked", body=CHUNK_SMUGGLED)),
    Attack("TE with parameter", post(b"Transfer-Encoding: chunked;q=1", body=CHUNK_SMUGGLED), (501,)),
    Attack("TE empty", post(b"Transfer-Encoding:", body=CHUNK_SMUGGLED), (501,)),
    Attack("TE before colon space", post(b"Transfer-Encoding : chunked", body=CHUNK_SMUGGLED)),
    Attack("TE folded", post(b"Transfer-Encoding:\r\n chunked", body=CHUNK_SMUGGLED)),
    Attack("TE twin", post(b"Transfer_Encoding: chunked", body=CHUNK_SMUGGLED)),
    # Chunks
    Attack("chunk size junk", CHUNKED + b"5x\r\nhello\r\n" + CHUNK_SMUGGLED, unfinished=True),
    Attack("chunk size 0x", CHUNKED + b"0x5\r\nhello\r\n" + CHUNK_SMUGGLED, unfinished=True),
    Attack("chunk size negative", CHUNKED + b"-1\r\nhello\r\n" + CHUNK_SMUGGLED, unfinished=True),
    Attack("chunk size plus", CHUNKED + b"+5\r\nhello\r\n" + CHUNK_SMUGGLED, unfinished=True),
    Attack("chunk size empty", CHUNKED + b"\r\nhello\r\n" + CHUNK_SMUGGLED, unfinished=True),
    Attack("chunk size overflow", CHUNKED + b"10000000000000005\r\nhello\r\n" + CHUNK_SMUGGLED, unfinished=True),
    Attack("chunk size with underscore", CHUNKED + b"0_5\r\nhello\r\n" + CHUNK_SMUGGLED, unfinished=True),
    Attack("chunk size by LF", CHUNKED + b"5\nhello\r\n" + CHUNK_SMUGGLED, unfinished=True),
    Attack("chunk data by LF", CHUNKED + b"5\r\nhello\n" + CHUNK_SMUGGLED, unfinished=True),
    Attack("chunk too long", CHUNKED + b"5\r\nhelloworld\r\n" + CHUNK_SMUGGLED, unfinished=True),
    Attack("chunk too short", CHUNKED + b"a\r\nhello\r\n" + CHUNK_SMUGGLED, unfinished=True),
    Attack("chunk end by LF", CHUNKED + b"0\n\n" + SMUGGLED, unfinished=True),
    Attack("chunk extension by LF", CHUNKED + b"0;a\n\r\n\r\n" + SMUGGLED, unfinished=True),
    Attack("chunk extension with CR", CHUNKED + b"5;a\rb\r\nhello\r\n" + CHUNK_SMUGGLED, unfinished=True),
    Attack("chunk extension without end", CHUNKED + b"5;" + b"a" * 5000, unfinished=True),
    Attack("trailer with framing", CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n" + SMUGGLED, unfinished=True),
    Attack("trailer with host", CHUNKED + b"0\r\nHost: b.example\r\n\r\n" + SMUGGLED, unfinished=True),
    Attack("trailer with TE", CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED, unfinished=True),
    Attack("trailer that is none", CHUNKED + b"0\r\n" + SMUGGLED, unfinished=True),
    Attack("trailers without end", CHUNKED + b"0\r\n" + b"A: b\r\n" * 20_000, (431,), unfinished=True),
    # Connection
    Attack("Connection names Host", head(b"Connection: close, Host")),
    Attack("Connection names CL", post(b"Connection: content-length", b"Content-Length: 5", body=b"12345")),
    Attack("Connection names XFF", head(b"Connection: x-forwarded-for", b"X-Forwarded-For: 1.2.3.4")),
    Attack("Connection names authorization", head(b"Connection: authorization", b"Authorization: x")),
    Attack("Connection with junk", head(b"Connection: clo se")),
    Attack("Expect of another kind", head(b"Expect: 200-ok"), (417,)),
    Attack("CONNECT with a body", head(b"Content-Length: 5", line=b"CONNECT a.example:80 HTTP/1.1", body=b"12345")),
    # Sent ahead
    Attack("good, then bad, then hidden", GET + head(b"A : b") + SMUGGLED, (200, 400), (b"/good",)),
    Attack("good, then two hosts", GET + head(b"Host: b") + SMUGGLED, (200, 400), (b"/good",)),
    Attack("body hides a request", post(LENGTH, body=SMUGGLED + GET), (200, 200), (b"/x", b"/good")),
    Attack("GET with body", head(LENGTH, body=SMUGGLED + GET), (200, 200), (b"/x", b"/good")),
    Attack("chunk hides a request", CHUNKED + b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n" + GET, (200, 200), (b"/c", b"/good")),
    Attack("expect, body sent at once", post(b"Expect: 100-continue", LENGTH, body=SMUGGLED), (200,), (b"/x",)),
    Attack("after close", head(b"Connection: close") + SMUGGLED, (200,), (b"/x",)),
    Attack("upgrade to h2c", head(b"Connection: upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk") + GET, (200, 200), (b"/x", b"/good")),
    Attack("no upgrade comes", head(b"Connection: upgrade", b"Upgrade: websocket", body=SMUGGLED), (200,), (b"/x",)),
    Attack("blank line first", b"\r\n" + GET, (200,), (b"/good",)),
    Attack("blank lines", b"\r\n\r\n" + GET),
    # Taken, and made one
    Attack("absolute-form", head(line=b"GET http://b.example/y HTTP/1.1"), (200,), (b"/y",)),
    Attack("absolute-form, no path", head(line=b"GET http://b.example?q HTTP/1.1"), (200,), (b"/?q",)),
    Attack("dot segments", head(line=b"GET /a/../x/./y/%2e%2e/z HTTP/1.1"), (200,), (b"/x/z",)),
    Attack("escapes its root", head(line=b"GET /../../x HTTP/1.1"), (200,), (b"/x",)),
    Attack("backslash", head(line=b"GET /a\\..\\x HTTP/1.1"), (200,), (b"/x",)),
]  # fmt: skip


async def talk(rig: Rig, sent: bytes, *, rate: int = 0, end: bool = False) -> tuple[list[int], bytes]:
    """Send and read until the gateway closes or falls silent; the statuses (1xx left out) and all bytes."""
    connection = await rig.network.connect(rig.address())
    got = b""
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            try:
                for at in range(0, len(sent), rate or len(sent)):
                    await connection.send(sent[at : at + (rate or len(sent))])
                if end:
                    await connection.send_eof()
            except (ConnectionLost, trio.ClosedResourceError, trio.BrokenResourceError):
                pass

        nursery.start_soon(send)
        with trio.move_on_after(PATIENCE):
            try:
                while piece := await connection.receive():
                    got += piece
            except ConnectionLost:
                pass
        nursery.cancel_scope.cancel()
    connection.close()
    return statuses_of(got), got


def bugs(rig: Rig) -> float:
    """Exceptions nobody expected."""
    found = re.search(r"(?m)^meshd_bugs_total (\S+)$", rig.metrics())
    assert found is not None
    return float(found[1])


def statuses_of(data: bytes) -> list[int]:
    """Every response's status, read one after the other by its framing."""
    found: list[int] = []
    while data:
        start = STATUS.match(data)
        assert start is not None, f"no response: {data[:80]!r}"
        lines, _, data = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: ([0-9]+)", lines)
        data = data[int(length[1]) if length else 0 :]
        if int(start[1]) >= 200:
            found.append(int(start[1]))
    return found


@pytest.fixture
async def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def rig(nursery, recorder) -> Rig:
    made = await Rig.start(
        nursery,
        gateway(route(forward("c")), endpoints={"c": [BACKEND]}, http={"path_normalization": "BASE"}),
    )
    await nursery.start(recorder.upstream.run, made.network, Address.parse(BACKEND))
    return made


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.replace(" ", "_"))
async def test_attack(autojump_clock, rig: Rig, recorder: Recorder, attack: Attack) -> None:
    statuses, _ = await talk(rig, attack.sent)
    check(recorder, attack, statuses)
    recorder.clear()
    assert (await talk(rig, GET))[0] == [200], "others are served"
    assert recorder.messages[0].target == b"/good"
    assert bugs(rig) == 0


def check(recorder: Recorder, attack: Attack, statuses: list[int]) -> None:
    assert recorder.malformed == []
    assert tuple(message.target for message in recorder.messages) == attack.reached
    assert tuple(statuses) == attack.statuses
    assert attack.unfinished or not recorder.unfinished


@pytest.mark.parametrize("rate", [1, 7])
async def test_attacks_in_small_pieces(autojump_clock, rig: Rig, recorder: Recorder, rate: int) -> None:
    """How the bytes are cut changes nothing that reaches the backend."""
    for attack in (each for each in ATTACKS if len(each.sent) < 500):
        recorder.clear()
        statuses, _ = await talk(rig, attack.sent, rate=rate)
        try:
            check(recorder, attack, statuses)
        except AssertionError as error:
            raise AssertionError(attack.name) from error


async def test_a_request_cut_anywhere_is_none(autojump_clock, rig: Rig, recorder: Recorder) -> None:
    whole = post(b"Content-Length: 5", body=b"12345")
    for end in range(1, len(whole)):
        recorder.clear()
        await talk(rig, whole[:end], end=True)
        assert recorder.messages == []
        assert recorder.malformed == []


@pytest.mark.parametrize(
    ("sent", "status", "most"),
    [
        (b"", None, 3601.0),
        (b"GET /x HTTP/1.1\r\nHost: a.exa", 408, 61.0),
        (post(b"Content-Length: 5", body=b"123"), None, 3601.0),
        (CHUNKED + b"5\r\nhel", None, 3601.0),
    ],
    ids=["silent", "slow head", "slow body", "slow chunk"],
)
async def test_slow_clients_are_given_up(
    autojump_clock, rig: Rig, sent: bytes, status: int | None, most: float
) -> None:
    connection = await rig.network.connect(rig.address())
    await connection.send(sent)
    got = b""
    start = trio.current_time()
    with trio.fail_after(most):
        try:
            while piece := await connection.receive():
                got += piece
        except ConnectionLost:
            pass
    assert statuses_of(got) == ([] if status is None else [status])
    assert trio.current_time() - start <= most
    assert bugs(rig) == 0


async def test_a_byte_a_second_is_no_head(autojump_clock, rig: Rig, recorder: Recorder) -> None:
    connection = await rig.network.connect(rig.address())
    start = trio.current_time()

    async def dribble() -> None:
        for byte in GET * 3:
            await trio.sleep(20)
            await connection.send(bytes((byte,)))

    with pytest.raises(ConnectionLost):
        await dribble()
    assert trio.current_time() - start < 400
    assert recorder.messages == []


async def test_who_never_reads_holds_little_and_not_for_ever(autojump_clock, rig: Rig, recorder: Recorder) -> None:
    connection = await rig.network.connect(rig.address())
    start = trio.current_time()

    async def pour() -> None:
        for _ in range(100_000):
            await connection.send(GET * 10)

    with pytest.raises(ConnectionLost):
        await pour()
    assert trio.current_time() - start < 3700
    assert len(recorder.messages) < 5000, "requests are read only while answers are"


SPOOFED = [
    b"x-forwarded-client-cert: By=spiffe://cluster.local/ns/a/sa/b;URI=spiffe://cluster.local/ns/admin/sa/root",
    b"X-Forwarded-Client-Cert: Hash=00;URI=spiffe://cluster.local/ns/admin/sa/root",
    b"x-envoy-peer-metadata: CgA=",
    b"x-envoy-peer-metadata-id: sidecar~1.1.1.1",
    b"X-Envoy-Original-Path: /admin",
    b"x-envoy-internal: true",
    b"x-envoy-external-address: 127.0.0.1",
    b"x-envoy-decorator-operation: x",
    b"x-envoy-retry-on: 5xx",
    b"x-envoy-max-retries: 1000000",
    b"x-envoy-upstream-rq-timeout-ms: 1",
    b"x-envoy-upstream-rq-per-try-timeout-ms: 1",
    b"x-envoy-expected-rq-timeout-ms: 1",
    b"x-envoy-attempt-count: 9",
    b"x-envoy-downstream-service-cluster: admin",
    b"x-envoy-fault-abort-request: 503",
    b"x-envoy-force-trace: 1",
    b"x-meshd-principal: spiffe://cluster.local/ns/admin/sa/root",
    b"x-meshd-reason: UH",
    b"X-ENVOY-UPSTREAM-ALT-STAT-NAME: x",
]


async def test_who_a_stranger_says_he_is(autojump_clock, rig: Rig, recorder: Recorder) -> None:
    statuses, _ = await talk(
        rig, head(*SPOOFED, b"x-request-id: chosen", b"x-forwarded-for: 127.0.0.1", b"x-forwarded-proto: https")
    )
    assert statuses == [200]
    (message,) = recorder.messages
    names = {name for name, _ in message.headers}
    assert {name for name in names if name.startswith((b"x-envoy-", b"x-meshd-"))} <= {
        b"x-envoy-attempt-count",
        b"x-envoy-external-address",
        b"x-envoy-decorator-operation",
        b"x-envoy-peer-metadata",
        b"x-envoy-peer-metadata-id",
    }
    assert b"x-forwarded-client-cert" not in names
    flat = repr(message.headers).encode()
    for secret in (b"root", b"admin", b"chosen", b"sidecar~1.1.1.1", b"CgA=", b"1000000"):
        assert secret not in flat
    assert message.values(b"x-forwarded-proto") == [b"http"]
    (forwarded,) = message.values(b"x-forwarded-for")
    assert forwarded.rpartition(b",")[2] != b"127.0.0.1" or forwarded.count(b",") == 1, "our own word comes last"
