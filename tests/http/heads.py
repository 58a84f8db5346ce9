"""Generated heads, ordinary and odd, for holding the grammar and guarded h11 together."""

from __future__ import annotations

from random import Random

_METHODS = (b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"get", b"X-CUSTOM", b"PATCH", b"", b"G T", b"PRI")
_TARGETS = (
    b"/",
    b"/productpage?u=1&x=%20",
    b"//a//b",
    b"/a;b=c",
    b"*",
    b"http://a.example/x",
    b"http://a.example:8080/x?y",
    b"HTTP://a.example",
    b"http://u:p@a.example/x",
    b"https://a.example/",
    b"ftp://a.example/",
    b"http:///x",
    b"a.example:443",
    b"a.example",
    b"/a#b",
    b"/a\x7f",
    b"/\xc3\xa9",
    b"/a b",
    b"",
    b"relative",
    b"/\\..\\x",
)
_VERSIONS = (
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"HTTP/1.2",
    b"HTTP/0.9",
    b"http/1.1",
    b"HTTP/1.1 ",
    b"HTTP/11",
    b"",
)
_HOSTS = (
    b"a.example",
    b"A.example:80",
    b"a.example:65535",
    b"a.example:65536",
    b"[::1]:80",
    b"[::1",
    b"",
    b"a,b",
    b"u@a",
    b"a b",
    b"a%20b",
    b"a:",
    b"a:x",
    b"a_b.c",
    b"10.0.0.1:59999",
    b"a/b",
)
_FIELDS = (
    (b"Content-Length", (b"0", b"5", b"007", b"+5", b"-1", b"5,5", b"5 5", b"0x5", b"", b"9" * 18, b"9" * 30)),
    (
        b"Transfer-Encoding",
        (b"chunked", b"Chunked", b"gzip, chunked", b"chunked, chunked", b"identity", b"", b"\x0bchunked"),
    ),
    (
        b"Connection",
        (
            b"close",
            b"keep-alive",
            b"Close",
            b"close, x-hop",
            b"X-Hop",
            b"host",
            b"content-length",
            b"upgrade",
            b"TE",
            b"a b",
            b"",
        ),
    ),
    (b"Host", _HOSTS),
    (b"Keep-Alive", (b"timeout=5", b"")),
    (b"Proxy-Connection", (b"keep-alive",)),
    (b"TE", (b"trailers", b"gzip", b"trailers, deflate", b"")),
    (b"Upgrade", (b"websocket", b"h2c", b"")),
    (b"Expect", (b"100-continue", b"100-Continue", b"200-ok", b"")),
    (b"Content_Length", (b"5",)),
    (b"X-Hop", (b"1",)),
    (b"X_Ordinary", (b"1",)),
    (b"Accept", (b"*/*", b" \t*/* \t", b"", b"a\tb", b"a\x80\xffb", b"a\x00b", b"a\x1fb", b"a\x7fb", b"a\rb", b"a\nb")),
    (b"Cookie", (b"a=b; c=d", b"\xc3\xa9")),
)
_SEPARATORS = (b": ", b":", b":\t", b":  ", b" : ", b"", b" ")
_ENDS = (b"\r\n", b"\n", b"\r", b"\r\n ", b" \r\n", b"\r\n\r\n")
_STATUSES = (b"200 OK", b"204 No Content", b"304 Not Modified", b"100 Continue", b"101 Switching Protocols", b"404", b"500 ", b"600 X",
             b"099 X", b"20 X", b"200  two", b"200 caf\xe9", b"200\tOK", b"999 X", b"205 Reset", b"103 Early")  # fmt: skip


def _mostly(rng: Random, ordinary: bytes, odd: tuple[bytes, ...], share: float = 0.15) -> bytes:
    return rng.choice(odd) if rng.random() < share else ordinary


def _lines(rng: Random, oddness: float) -> bytes:
    out = []
    for _ in range(rng.choice((0, 1, 2, 2, 3, 4, 8))):
        name, values = rng.choice(_FIELDS)
        value = values[0] if rng.random() < 0.5 else rng.choice(values)
        name = rng.choice((name, name, name.lower(), name.upper()))
        if rng.random() < oddness * 0.1:
            name = rng.choice((b"", b"a b", b"a\x00", b"\xe9", b"a(", b" a"))
        out.append(
            name + _mostly(rng, b": ", _SEPARATORS, oddness) + value + _mostly(rng, b"\r\n", _ENDS, oddness * 0.3)
        )
    return b"".join(out)


def _mutate(rng: Random, raw: bytes) -> bytes:
    """A byte dropped, doubled, or replaced: what no list of oddities foresees."""
    at = rng.randrange(len(raw))
    with_byte = bytes([rng.randrange(256)])
    return rng.choice((raw[:at] + raw[at + 1 :], raw[:at] + with_byte + raw[at:], raw[:at] + with_byte + raw[at + 1 :]))


def request_head(rng: Random) -> bytes:
    """A request head, ordinary in about a third of all cases; always with its blank line at the end, and only there."""
    oddness = rng.choice((0.0, 0.02, 0.2))
    line = b" ".join(
        (
            _mostly(rng, rng.choice(_METHODS[:4]), _METHODS, oddness),
            _mostly(rng, rng.choice(_TARGETS[:7]), _TARGETS, oddness),
            _mostly(rng, b"HTTP/1.1", _VERSIONS, oddness),
        )
    )
    host = b"" if rng.random() < 0.1 else b"Host: " + _mostly(rng, b"a.example", _HOSTS, 0.2) + b"\r\n"
    lines = _lines(rng, oddness)
    raw = line + b"\r\n" + (host + lines if rng.random() < 0.7 else lines + host)
    if rng.random() < oddness:
        raw = _mutate(rng, raw)
    return _ended_once(raw)


def response_head(rng: Random) -> bytes:
    """A response head; see ``request_head``."""
    oddness = rng.choice((0.0, 0.02, 0.2))
    line = _mostly(rng, b"HTTP/1.1", _VERSIONS, oddness) + b" " + _mostly(rng, b"200 OK", _STATUSES, 0.4)
    raw = line + b"\r\n" + _lines(rng, oddness)
    if rng.random() < oddness:
        raw = _mutate(rng, raw)
    return _ended_once(raw)


def _ended_once(raw: bytes) -> bytes:
    """Codecs cut a head at its first blank line, so that is what parsers are given."""
    raw += b"\r\n\r\n" if not raw.endswith(b"\r\n") else b"\r\n"
    return raw[: raw.index(b"\r\n\r\n") + 4]
