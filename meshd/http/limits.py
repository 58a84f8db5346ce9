"""How much and how long a peer may ask of us over HTTP. Pure.

Every number has a unit, a source beside it, and a test that meets it. Sizes are
bytes, times are seconds. Zero times mean "no limit" where the text says so.
"""

from __future__ import annotations

import attrs

KIB = 1024
MIB = 1024 * KIB
SECONDS = 1.0
MINUTES = 60 * SECONDS
HOURS = 60 * MINUTES


@attrs.frozen
class HttpLimits:
    """Bounds of one HTTP connection, server or client side."""

    # Heads
    max_head: int = 60 * KIB
    """A request's line and headers (Envoy ``max_request_headers_kb``). Beyond: 431."""
    max_headers: int = 100
    """Header lines of a request, a response, or a trailer section (Envoy's ``max_headers_count``). Beyond: 431, 502."""
    max_uri: int = 32 * KIB
    """A request target (RFC 9110 asks for 8000 at least; nginx 8 KiB, Envoy only its whole head). Beyond: 414."""
    max_response_head: int = 80 * KIB
    """A response's line and headers (Envoy's HTTP/1 client). Beyond: the exchange fails."""
    max_trailers: int = 16 * KIB
    """A trailer section (a quarter of a head is plenty). Beyond: 431, 502."""
    max_informational: int = 16
    """1xx heads before a final one (RFC 9110 section 15.2 sets none; a peer that goes on for ever must not hold us)."""

    # Chunks
    max_chunk_line: int = 4 * KIB
    """A chunk-size line with its extensions."""
    max_chunk_extensions: int = 16 * KIB
    """All chunk extensions of one body together (Go's net/http, after CVE-2023-39326, has the same)."""

    # Times
    header_timeout: float = 60 * SECONDS
    """From the first byte of a head to its last (nginx ``client_header_timeout``; Envoy has none by default). Then: 408."""
    idle_timeout: float = 1 * HOURS
    """Between exchanges (Envoy ``idle_timeout``). Then the connection closes."""
    stream_idle_timeout: float = 5 * MINUTES
    """How long a read or a write of an exchange may wait on a silent peer (Envoy ``stream_idle_timeout``).
    A back-stop: whoever owns the exchange usually sets tighter deadlines. 0: none."""

    send_timeout: float = 0.0
    """How long a client may take nothing of what is sent to it: 256 KiB over HTTP/1.1, a piece (64 KiB at most)
    over HTTP/2 (nginx ``send_timeout`` 60 s, between two writes). 0: as ``stream_idle_timeout``."""

    # Reuse
    max_requests: int = 0
    """Requests on one connection before it is closed politely (Envoy ``max_requests_per_connection``). 0: no limit."""
    requests_per_turn: int = 32
    """Requests a connection may be served without waiting before others get a turn."""

    # HTTP/2
    h2_max_streams: int = 1024
    """Concurrent streams offered to a client (Envoy 1.40). Beyond: REFUSED_STREAM."""
    h2_stream_window: int = 256 * KIB
    """Bytes of one body held unread. Envoy offers 16 MiB; at meshd's size memory counts for more."""
    h2_connection_window: int = 4 * MIB
    """Bytes of all bodies of a connection held unread, hence the most a peer can make us keep. Envoy: 24 MiB."""
    h2_send_buffer: int = 128 * KIB
    """Bytes written by streams that the socket has not taken; beyond, streams wait, and so does reading."""
    h2_premature_resets: int = 250
    """Streams a client may reset, or provoke us to reset or refuse, before their answer, more than it lets finish
    (CVE-2023-44487, CVE-2025-8671; Envoy closes after 250). Beyond: GOAWAY ENHANCE_YOUR_CALM."""
    h2_idle_frames: int = 1000
    """SETTINGS, PING, PRIORITY, RST_STREAM, unknown, empty DATA and needless WINDOW_UPDATE frames a peer may send beyond what
    its streams and bytes account for (Envoy: 1000 outbound control frames). Beyond: ENHANCE_YOUR_CALM."""
