"""Writes docs/reference/limits.md from the classes that hold the limits.

python -m tools.limits_reference docs/reference/limits.md          write it
python -m tools.limits_reference --check docs/reference/limits.md  exit 1 when it is not current
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from typing import Any

import attrs

from meshd.http.limits import HttpLimits
from meshd.modes.limits import GATEWAY, OWN_FLAG, SIDECAR, Limits
from meshd.proxy.limits import ProxyLimits
from tools.reference_page import write_or_check

HEAD = """# Limits

Written from the program itself (`make docs-reference`).

Every limit of a sidecar or gateway has a default and can be set: `--limit NAME=VALUE`, repeatable, as in
`meshd gateway --limit connections-per-source=100 --limit header-timeout=10s` (or `MESHD_GATEWAY_LIMIT`).
Whole numbers take `k`, `m` and `g` (of 1024), times `ms`, `s`, `m`, `h` and `d`. What a listener's or a cluster's
configuration says (a DestinationRule's connection pool, a route's timeout) goes before these.

## How to see them at work

| metric | counts |
|---|---|
| `meshd_downstream_connections`, `meshd_downstream_connections_total` | connections open, and accepted |
| `meshd_downstream_connections_refused_total{reason}` | connections refused: `limit`, `listener_limit`, `source_limit`, `overload`, `proxy_protocol`, `tls_handshake`, `no_filter_chain`, `denied`, `loop` |
| `meshd_downstream_connections_aged_total` | connections asked to end for their age |
| `meshd_downstream_protocol_errors_total` | heads and frames beyond limits, or broken (400, 408, 414, 426, 431, 501, GOAWAY) |
| `meshd_downstream_slow_bodies_total` | request bodies that came too slowly (408) |
| `meshd_downstream_misdirected_requests_total` | requests for another server than their connection's (421) |
| `meshd_overload_active`, `meshd_overload_requests_refused_total` | whether memory is short, and what was refused for it (503, `OM`) |

A refused connection is closed at once, which is the cheapest answer there is. A request that is refused gets the
status named below, and its connection ends.

## Overload

Memory is looked at once a second, ten times a second from half of `memory` on. Beyond it the proxy first gives back
what is free; if that does not help, every request is answered 503 with flag `OM`, `retry-after: 1` and the end of its
connection, and opaque connections are not taken. It goes on by itself when memory is a tenth below, or when no
connection is open any more. Readiness and metrics are answered throughout.
"""


def notes(kind: type[Any]) -> dict[str, str]:
    """The sentence below each field."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            assert isinstance(below, ast.Expr)
            assert isinstance(below.value, ast.Constant)
            found[statement.target.id] = " ".join(str(below.value.value).replace("``", "`").split())
    return found


def shown(field: attrs.Attribute[Any], limits: Limits, kind: type[Any]) -> str:
    """A value as ``--limit`` takes it."""
    value = getattr(limits.http if kind is HttpLimits else limits.proxy, field.name)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(field.default, float):
        if value and value % 3600 == 0:
            return f"{value / 3600:g}h"
        return f"{value:g}s" if value else "0"
    for size, unit in ((1024**2, "m"), (1024, "k")):
        if value >= size and value % size == 0:
            return f"{value // size}{unit}"
    return str(value)


def table(title: str, kind: type[Any]) -> str:
    """One class's limits."""
    rows = [f"\n## {title}\n", "| name | sidecar | gateway | what it bounds |", "|---|---|---|---|"]
    said = notes(kind)
    for field in attrs.fields(kind):
        name = "--drain-timeout" if field.name in OWN_FLAG else field.name.replace("_", "-")
        values = [shown(field, limits, kind) for limits in (SIDECAR, GATEWAY)]
        if field.name in OWN_FLAG:
            values = ["5s", "5s"]
        rows.append(f"| `{name}` | {values[0]} | {values[1]} | {said[field.name]} |")
    return "\n".join(rows) + "\n"


def page() -> str:
    """The whole page."""
    return HEAD + table("Connections and the process", ProxyLimits) + table("HTTP", HttpLimits)


if __name__ == "__main__":
    sys.exit(write_or_check(page()))
