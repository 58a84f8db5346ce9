"""Limits by name: what ``--limit NAME=VALUE`` may say, and what a role has without it. Pure.

Names are those of the fields of ``HttpLimits`` and ``ProxyLimits``, with dashes.
``docs/reference/limits.md`` is made from the same table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import attrs

from meshd.errors import ConfigError
from meshd.http.limits import HOURS, MINUTES, SECONDS, HttpLimits
from meshd.proxy.limits import ProxyLimits

OWN_FLAG: Final = frozenset({"drain_timeout"})
"""Fields that have a flag of their own."""
LEAST: Final = {
    "max_head": 1024,
    "max_headers": 8,
    "max_uri": 256,
    "max_response_head": 1024,
    "max_trailers": 64,
    "max_informational": 1,
    "max_chunk_line": 32,
    "max_chunk_extensions": 0,
    "requests_per_turn": 1,
    "h2_max_streams": 1,
    "h2_stream_window": 65_535,
    "h2_connection_window": 65_535,
    "h2_send_buffer": 16 * 1024,
    "h2_premature_resets": 1,
    "h2_idle_frames": 10,
    "connections": 1,
    "connections_per_listener": 1,
    "max_proxy_header": 128,
    "sniff_timeout": 0.01,
    "handshake_timeout": 0.01,
    "dns_refresh": 0.1,
    "dns_retry": 0.1,
    "destinations": 1,
    "tcp_half_close_timeout": 0.01,
}
"""What the proxy cannot work below; what is not named may be 0."""
MOST: Final = {"h2_stream_window": 2**31 - 1, "h2_connection_window": 2**31 - 1, "h2_max_streams": 2**31 - 1}
"""HTTP/2 has no greater ones (RFC 9113 section 6.5.2)."""
UNITS: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
TIMES: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@attrs.frozen
class Limits:
    """What a proxy takes on, all of it."""

    http: HttpLimits = HttpLimits(stream_idle_timeout=1 * HOURS)
    proxy: ProxyLimits = ProxyLimits()


SIDECAR: Final = Limits()
"""Beside an application: its peers are the mesh's, and may stream silently for long."""
GATEWAY: Final = Limits(
    HttpLimits(stream_idle_timeout=1 * HOURS, send_timeout=5 * MINUTES, h2_max_streams=256),
    ProxyLimits(body_timeout=60 * SECONDS),
)
"""Before strangers."""


@attrs.frozen
class Setting:
    """One limit that a user has set."""

    name: str
    """Of the field."""
    value: float


def fields() -> dict[str, attrs.Attribute[Any]]:
    """Every field that ``--limit`` may set, by name."""
    found = (*attrs.fields(HttpLimits), *attrs.fields(ProxyLimits))
    return {field.name: field for field in found if field.name not in OWN_FLAG}


def parse(text: str) -> Setting:
    """Read ``NAME=VALUE``.

    Raises:
        ConfigError: it is none, or there is no such limit, or it cannot have this value.
    """
    written, equals, value = text.partition("=")
    name = written.strip().replace("-", "_")
    known = fields()
    if not equals:
        raise ConfigError(f"{text!r} sets no limit: expected NAME=VALUE, as in connections=1000")
    field = known.get(name)
    if field is None:
        # Loaded by those who mistype.
        import difflib

        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0].replace('_', '-')}?" if close else "docs/reference/limits.md lists them"
        raise ConfigError(f"there is no limit {written!r}; {hint}")
    number = _value(field, value.strip().lower())
    least, most = LEAST.get(name, 0), MOST.get(name, 2**53)
    if number is None or not least <= number <= most:
        expected = {
            bool: "on or off",
            int: "a whole number, as in 500, 64k or 16m",
            float: "a time, as in 90, 250ms or 5m",
        }
        at_least = f", at least {least}" if least else ""
        raise ConfigError(f"{written}: {value!r} will not do; expected {expected[type(field.default)]}{at_least}")
    return Setting(name, number)


def _value(field: attrs.Attribute[Any], text: str) -> float | None:
    if isinstance(field.default, bool):
        return {"on": 1, "true": 1, "off": 0, "false": 0}.get(text)
    units: dict[str, float] = dict(TIMES) if isinstance(field.default, float) else dict(UNITS)
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|[a-z]?)", text)
    if match is None or match[2] not in units:
        return None
    number = float(match[1]) * units[match[2]]
    return number if isinstance(field.default, float) else int(number) if number == int(number) else None


def with_settings(limits: Limits, settings: Iterable[Setting]) -> Limits:
    """Limits, changed; a name that comes twice counts as the last time."""
    http: dict[str, Any] = {}
    proxy: dict[str, Any] = {}
    of_http = {field.name for field in attrs.fields(HttpLimits)}
    for setting in settings:
        default = fields()[setting.name].default
        value = bool(setting.value) if isinstance(default, bool) else setting.value
        (http if setting.name in of_http else proxy)[setting.name] = value
    return Limits(attrs.evolve(limits.http, **http), attrs.evolve(limits.proxy, **proxy))
