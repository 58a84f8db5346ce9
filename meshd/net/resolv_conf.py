"""``/etc/resolv.conf``: which name servers to ask, and which domains names are completed with.

Source: resolv.conf(5).
"""

from __future__ import annotations

from pathlib import Path

import attrs

from meshd.net.address import is_ip_literal

MOST_SERVERS = 3
"""resolv.conf(5), MAXNS: what other programs ask."""
MOST_DOMAINS = 32
RESOLV_CONF = Path("/etc/resolv.conf")


@attrs.frozen
class ResolvConf:
    """``servers`` are IP literals; ``search`` domains without a dot at the end, in lower case."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    ndots: int = 1


def read_resolv_conf(file: Path = RESOLV_CONF) -> ResolvConf:
    """Read the file; one that is not there names no server."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ResolvConf()
    return parse_resolv_conf(text)


def parse_resolv_conf(text: str) -> ResolvConf:
    """Its meaning; what cannot be read is passed over, as every resolver does."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    ndots = 1
    for line in text.splitlines():
        words = line.partition("#")[0].partition(";")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver" and is_ip_literal(words[1]):
            servers.append(words[1].partition("%")[0])
        elif words[0] in {"search", "domain"}:
            search = tuple(each.rstrip(".").lower() for each in words[1:] if each.strip("."))
        elif words[0] == "options":
            for word in words[1:]:
                name, _, value = word.partition(":")
                if name == "ndots" and value.isdigit():
                    ndots = min(int(value), 15)
    return ResolvConf(tuple(dict.fromkeys(servers))[:MOST_SERVERS], search[:MOST_DOMAINS], ndots)
