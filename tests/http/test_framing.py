"""Bodies come out as they went in, however they are cut; broken framing never passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.errors import ConnectionLost, ProtocolError
from meshd.http.framing import (
    ChunkedDecoder,
    ChunkedEncoder,
    Decoder,
    LengthEncoder,
    NoBodyEncoder,
    PlainEncoder,
    UntilCloseDecoder,
)
from meshd.http.head import Headers
from meshd.http.limits import HttpLimits

LIMITS = HttpLimits()
CHUNKED_BODY = b'5\r\nhello\r\nA;ext=1;x="y"\r\n0123456789\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n'


def feed(decoder: Decoder, wire: bytes, step: int) -> bytes:
    body = b""
    for at in range(0, len(wire), step):
        if decoder.ended:
            decoder.rest += wire[at : at + step]
        else:
            body += decoder.feed(wire[at : at + step])
    return body


@pytest.mark.parametrize("step", [1, 2, 3, 7, 10, 1000])
def test_chunked_however_it_is_cut(step: int) -> None:
    decoder = ChunkedDecoder(LIMITS)
    assert feed(decoder, CHUNKED_BODY + b"GET /next", step) == b"hello0123456789"
    assert decoder.ended
    assert decoder.rest == b"GET /next"
    assert decoder.trailers is not None
    assert list(decoder.trailers.items()) == [(b"x-sum", b"1"), (b"y", b"2")]


@pytest.mark.parametrize("step", [1, 4, 1000])
def test_chunked_without_trailers(step: int) -> None:
    decoder = ChunkedDecoder(LIMITS)
    assert feed(decoder, b"0\r\n\r\nrest", step) == b""
    assert (decoder.ended, decoder.trailers, decoder.rest) == (True, None, b"rest")


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.integers(1, 50))
def test_chunked_comes_back(pieces: list[bytes], step: int) -> None:
    encoder = ChunkedEncoder()
    wire = b"".join(encoder.encode(piece, end=False) for piece in pieces) + encoder.encode(b"", end=True)
    decoder = ChunkedDecoder(LIMITS)
    assert feed(decoder, wire + b"!", step) == b"".join(pieces)
    assert decoder.ended
    assert decoder.rest == b"!"


BROKEN = [
    b"g\r\n",
    b"\r\n",
    b"-1\r\n",
    b"+1\r\n",
    b"0x5\r\nhello\r\n",
    b" 5\r\nhello\r\n",
    b"5 \r\nhello\r\n",
    b"5\nhello\r\n",
    b"5\r\nhelloX\r\n",
    b"5\r\nhello\n",
    b"5\r\nhello\rX",
    b"5;a=\x01\r\nhello\r\n",
    b"5;a\nb\r\nhello\r\n",
    b"f" * 17 + b"\r\n",
    b"5;" + b"x" * 5000 + b"\r\n",
    b"0\r\nContent-Length: 5\r\n\r\n",
    b"0\r\nhost: x\r\n\r\n",
    b"0\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"0\r\nX-Forwarded-For: 1\r\n\r\n",
    b"0\r\nA: b\n\r\n\r\n",
    b"0\r\nA : b\r\n\r\n",
    b"0\r\n folded\r\n\r\n",
    b"0\r\nA: \0\r\n\r\n",
]


@pytest.mark.parametrize("wire", BROKEN)
@pytest.mark.parametrize("step", [1, 1000])
def test_broken_chunks_are_refused(wire: bytes, step: int) -> None:
    decoder = ChunkedDecoder(LIMITS)
    with pytest.raises(ProtocolError) as refused:
        feed(decoder, wire, step)
    assert refused.value.status == 400
    assert not decoder.ended


def test_extensions_are_bounded_in_all() -> None:
    decoder = ChunkedDecoder(HttpLimits(max_chunk_extensions=100))
    with pytest.raises(ProtocolError, match="extensions"):
        decoder.feed(b"1;aaaaaaaaa\r\nx\r\n" * 20)


@pytest.mark.parametrize(
    ("trailers", "limits"),
    [
        (b"A: b\r\n" * 200, LIMITS),
        (b"A: " + b"b" * 20000 + b"\r\n", LIMITS),
        (b"A: b\r\n" * 3, HttpLimits(max_headers=2)),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_trailers_are_bounded(trailers: bytes, limits: HttpLimits, whole: bool) -> None:
    decoder = ChunkedDecoder(limits)
    with pytest.raises(ProtocolError) as refused:
        decoder.feed(b"0\r\n" + trailers + (b"\r\n" if whole else b""))
    assert refused.value.status == 431


def test_a_pipelined_request_does_not_count_as_trailers() -> None:
    decoder = ChunkedDecoder(HttpLimits(max_headers=3))
    decoder.feed(b"0\r\nA: b\r\n\r\nGET / HTTP/1.1\r\n" + b"X: y\r\n" * 50)
    assert decoder.ended
    assert decoder.rest.startswith(b"GET")


def test_a_cut_body_is_never_whole() -> None:
    decoder = ChunkedDecoder(LIMITS)
    decoder.feed(b"3\r\n")
    with pytest.raises(ConnectionLost):
        decoder.feed_end()


@pytest.mark.parametrize("cut", range(len(CHUNKED_BODY)))
def test_chunked_cut_at_every_byte(cut: int) -> None:
    decoder = ChunkedDecoder(LIMITS)
    if cut:
        decoder.feed(CHUNKED_BODY[:cut])
    with pytest.raises(ConnectionLost):
        decoder.feed_end()


def test_until_close_ends_with_the_stream() -> None:
    decoder = UntilCloseDecoder()
    assert decoder.feed(b"abc") == b"abc"
    assert not decoder.ended
    decoder.feed_end()
    assert decoder.ended


def test_a_body_of_another_length_than_declared_is_a_bug() -> None:
    with pytest.raises(ValueError, match="length"):
        LengthEncoder(3).encode(b"1234", end=False)
    with pytest.raises(ValueError, match="length"):
        LengthEncoder(3).encode(b"12", end=True)
    with pytest.raises(ValueError, match="length"):
        LengthEncoder(3).encode_trailers(Headers())
    encoder = LengthEncoder(3)
    assert encoder.encode(b"12", end=False) + encoder.encode(b"3", end=True) == b"123"
    assert encoder.ended


def test_encoders_of_chunks_and_of_none() -> None:
    assert ChunkedEncoder().encode(b"", end=False) == b""
    assert ChunkedEncoder().encode(b"abc", end=True) == b"3\r\nabc\r\n0\r\n\r\n"
    assert ChunkedEncoder().encode_trailers(Headers.of([(b"a", b"b")])) == b"0\r\na: b\r\n\r\n"
    with pytest.raises(ProtocolError):
        ChunkedEncoder().encode_trailers(Headers.of([(b"host", b"b")]))
    assert NoBodyEncoder().encode(b"abc", end=True) == b""
    assert PlainEncoder().encode(b"abc", end=True) == b"abc"
    for encoder in (NoBodyEncoder(), PlainEncoder()):
        assert encoder.encode_trailers(Headers()) == b""
        assert encoder.ended
