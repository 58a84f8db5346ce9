"""Envoy's RBAC filter, as far as Istio uses it: an oracle for what policies decide."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

import attrs


@attrs.frozen
class Call:
    """One request over one connection, or a connection alone (``method`` empty)."""

    principal: str = ""
    """Without ``spiffe://``."""
    source_ip: str = "10.9.9.9"
    remote_ip: str = "10.9.9.9"
    destination_ip: str = "10.8.8.8"
    destination_port: int = 80
    server_name: str = ""
    method: str = "GET"
    host: str = "web"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> str | None:
        known = {":method": self.method, ":authority": self.host, **{k.lower(): v for k, v in self.headers}}
        return known.get(name.lower())


def matches(policy: dict[str, Any], call: Call) -> bool:
    """Whether a policy of the filter matches: any permission and any principal."""
    return any(holds(each, call) for each in policy["permissions"]) and any(
        holds(each, call) for each in policy["principals"]
    )


def allows(filters: list[dict[str, Any]], call: Call) -> bool:
    """What a list of RBAC filters decides; LOG and shadow rules decide nothing."""
    for each in filters:
        rules = each["typedConfig"].get("rules")
        if rules is None or rules.get("action") == "LOG":
            continue
        hit = any(matches(policy, call) for policy in rules.get("policies", {}).values())
        if hit == (rules.get("action", "ALLOW") == "DENY"):
            return False
    return True


def holds(node: dict[str, Any], call: Call) -> bool:
    ((kind, value),) = node.items()
    return _KINDS[kind](value, call)


def _text(match: dict[str, Any], value: str) -> bool:
    ignore_case = match.get("ignoreCase", False)
    ((kind, wanted),) = ((k, v) for k, v in match.items() if k != "ignoreCase")
    if kind == "safeRegex":
        return re.fullmatch(wanted["regex"], value) is not None
    if ignore_case:
        wanted, value = wanted.lower(), value.lower()
    test: Callable[[str], bool] = {
        "exact": value.__eq__,
        "prefix": value.startswith,
        "suffix": value.endswith,
    }[kind]
    return test(wanted)


def _header(match: dict[str, Any], call: Call) -> bool:
    value = call.header(match["name"])
    if "presentMatch" in match:
        return (value is not None) == match["presentMatch"]
    if value is None:
        return False
    if "safeRegexMatch" in match:
        return re.fullmatch(match["safeRegexMatch"]["regex"], value) is not None
    return _text(match["stringMatch"], value)


def _authenticated(match: dict[str, Any], call: Call) -> bool:
    return bool(call.principal) and _text(match["principalName"], f"spiffe://{call.principal}")


def _template(match: dict[str, Any], call: Call) -> bool:
    pattern = match["typedConfig"]["pathTemplate"]
    parts = re.split(r"(\*\*|\*)", pattern)
    expression = "".join({"*": "[^/]+", "**": ".*"}.get(part) or re.escape(part) for part in parts)
    return re.fullmatch(expression, call.path) is not None


def _within(match: dict[str, Any], address: str) -> bool:
    network = ipaddress.ip_network(f"{match['addressPrefix']}/{match['prefixLen']}", strict=False)
    return ipaddress.ip_address(address) in network


_KINDS: dict[str, Callable[[Any, Call], bool]] = {
    "any": lambda value, _call: bool(value),
    "andRules": lambda value, call: all(holds(each, call) for each in value["rules"]),
    "orRules": lambda value, call: any(holds(each, call) for each in value["rules"]),
    "notRule": lambda value, call: not holds(value, call),
    "andIds": lambda value, call: all(holds(each, call) for each in value["ids"]),
    "orIds": lambda value, call: any(holds(each, call) for each in value["ids"]),
    "notId": lambda value, call: not holds(value, call),
    "authenticated": _authenticated,
    "directRemoteIp": lambda value, call: _within(value, call.source_ip),
    "remoteIp": lambda value, call: _within(value, call.remote_ip),
    "destinationIp": lambda value, call: _within(value, call.destination_ip),
    "destinationPort": lambda value, call: value == call.destination_port,
    "requestedServerName": lambda value, call: bool(call.server_name) and _text(value, call.server_name),
    "urlPath": lambda value, call: _text(value["path"], call.path),
    "header": _header,
    "uriTemplate": _template,
    # Nobody writes dynamic metadata: there are no verified tokens and no other filters.
    "metadata": lambda _value, _call: False,
    "sourcedMetadata": lambda _value, _call: False,
    "filterState": lambda _value, _call: False,
}
