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
_LEFT = b'"' * 14 + b"\n"
"""What is left of a line without its usual characters when nothing unusual came into it."""

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
        version, service_time = _VERSIONS.get(request.version), exchange.upstream_service_time_ms
        if (
            version is None
            or service_time < 0
            or exchange.detail != "via_upstream"
            or exchange.flags
            or exchange.remote_host
            or exchange.upstream_failure
        ):
            return self._general(exchange, now, wall)
        forwarded = agent = b""
        lines = request.headers.lines(_WANTED)
        for line in lines:
            if line[0] in b"xX":
                forwarded = line[16:].strip(b" \t")
            else:
                agent = line[11:].strip(b" \t")
        key = (exchange.upstream_host, exchange.cluster, exchange.upstream_local)
        route, started = exchange.route, exchange.started
        moment = int((wall - now + started) * 1000 + 0.5)
        rendered = b'[%b%03dZ] "%b %b %b" %d - via_upstream - "-" %d %d %d %d "%b" "%b" "%b" "%b" %b %b %b\n' % (
            self._stamp if moment // 1000 == self._second else self._turn(moment // 1000),
            moment % 1000,
            request.method,
            exchange.original_path or request.target or b"-",
            version,
            exchange.status,
            exchange.bytes_received,
            exchange.bytes_sent,
            int((now - started) * 1000),
            service_time,
            forwarded or b"-",
            agent or b"-",
            exchange.request_id,
            request.authority or b"-",
            self._upstreams.get(key) or self._upstream(key),
            exchange.connection.logged,
            _encoded(route.name) if route is not None else b"-",
        )
        if (
            rendered.translate(None, _USUAL) == _LEFT
            # Neither of the two twice: the general renderer joins them.
            and len(lines) == bool(forwarded) + bool(agent)
            and request.method
            and exchange.request_id
        ):
            return rendered
        return self._general(exchange, now, wall)

    def _turn(self, second: int) -> bytes:
        self._second, self._stamp = second, self._clock(second).removesuffix("000Z").encode()
        return self._stamp

    def _upstream(self, key: tuple[str, str, str]) -> bytes:
        if len(self._upstreams) >= KEPT:
            self._upstreams.clear()
        host, cluster, local = key
        text = self._upstreams[key] = b'"%b" %b %b' % (_encoded(host), _encoded(cluster), _encoded(local))
        return text


def _encoded(text: str) -> bytes:
    # A surrogate becomes something unusual, which is then left to the general renderer.
    return text.encode("utf-8", "surrogatepass") or b"-"
