"""Istio's default access log line, written out: what nearly everyone logs, for nearly every request. Pure.

``IstioLine`` renders requests that went well and hold nothing unusual; any
other it leaves to the general renderer, which it must agree with byte for byte
(a property test holds the two together). It is quick because it stays with
bytes, finds the headers it needs in one search, and keeps what it wrote about
an upstream connection for the next request on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from meshd.telemetry.operators import clock
from meshd.telemetry.record import ExchangeRecord

KEPT: Final = 4096
"""Upstream connections remembered; upstream addresses come and go."""

_WANTED = re.compile(rb"\r\n(?:user-agent|x-forwarded-for):[^\r]*+")
_VERSIONS = {"HTTP/1.0": b"HTTP/1.0", "HTTP/1.1": b"HTTP/1.1", "HTTP/2": b"HTTP/2"}
_USUAL = bytes(character for character in range(0x20, 0x7F) if character not in b'"\\')
# What is left of a line that nothing unusual came into.
_LEFT = b'"' * 14
_MADE_BY_BACKEND = ("", "via_upstream")

General = Callable[[ExchangeRecord, float, float], bytes]


class IstioLine:
    """Renders ``TEXT_FORMAT``.

    Args:
        general: Renders the same format for any exchange.
    """

    __slots__ = ("_clock", "_general", "_second", "_stamp", "_upstreams")

    def __init__(self, general: General) -> None:
        # The whole mutable state: what was written about upstream connections, and the last second rendered.
        self._upstreams: dict[tuple[str, str, str], bytes] = {}
        self._second, self._stamp = -1, b""
        self._general = general
        self._clock = clock()

    def __call__(self, exchange: ExchangeRecord, now: float, wall: float) -> bytes:
        """A line with its line feed; times as for every renderer."""
        request = exchange.request
        version = _VERSIONS.get(request.version)
        host, route, service_time = exchange.upstream_host, exchange.route, exchange.upstream_service_time_ms
        if (
            not host
            or not exchange.status
            or not request.method
            or version is None
            or service_time < 0
            or exchange.flags
            or exchange.remote_host
            or exchange.upstream_failure
            or not exchange.request_id
            or exchange.detail not in _MADE_BY_BACKEND
        ):
            return self._general(exchange, now, wall)
        key = (host, exchange.cluster, exchange.upstream_local)
        upstream = self._upstreams.get(key) or self._upstream(key)
        forwarded, agent = b"-", b"-"
        lines = request.headers.lines(_WANTED)
        for line in lines:
            if line[0] in b"xX":
                forwarded = line[16:].strip(b" \t") or b"-"
            else:
                agent = line[11:].strip(b" \t") or b"-"
        started = exchange.started
        milliseconds = int((wall - now + started) * 1000 + 0.5)
        if milliseconds // 1000 != self._second:
            self._second = milliseconds // 1000
            self._stamp = self._clock(self._second)[:-4].encode()
        rendered = b'[%b%03dZ] "%b %b %b" %d - via_upstream - "-" %d %d %d %d "%b" "%b" "%b" "%b" %b %b %b' % (
            self._stamp,
            milliseconds % 1000,
            request.method,
            exchange.original_path or request.target or b"-",
            version,
            exchange.status,
            exchange.bytes_received,
            exchange.bytes_sent,
            int((now - started) * 1000),
            service_time,
            forwarded,
            agent,
            exchange.request_id,
            request.authority or b"-",
            upstream,
            exchange.connection.logged,
            route.name.encode() or b"-" if route is not None else b"-",
        )
        if rendered.translate(None, _USUAL) != _LEFT or _repeats(lines):
            return self._general(exchange, now, wall)
        return rendered + b"\n"

    def _upstream(self, key: tuple[str, str, str]) -> bytes:
        if len(self._upstreams) >= KEPT:
            self._upstreams.clear()
        host, cluster, local = key
        text = self._upstreams[key] = f'"{host}" {cluster or "-"} {local or "-"}'.encode()
        return text


def _repeats(lines: list[bytes]) -> bool:
    """Is one of the two headers there more than once? The general renderer joins them."""
    return len(lines) > 1 and (len(lines) > 2 or (lines[0][0] in b"xX") == (lines[1][0] in b"xX"))
