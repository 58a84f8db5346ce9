"""The list of kinds: complete, and honest about what is supported."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import meshd
from meshd.api.kinds import KINDS, kind_of
from meshd.api.networking.virtual_service import VirtualService
from tests.corpus import corpus_path

PACKAGE = Path(meshd.__file__).parent

SPOKEN_OF = {
    ("AuthorizationPolicy", "provider"),
    ("PolicyTargetReference", "group"),
    ("Service", "internalTrafficPolicy"),
    ("EndpointSlice", "addressType"),
}
"""Fields that only validation looks at, where it says that they have no effect."""

RENAMED = {
    # Istio's nested messages, and classes that stand for two messages of one shape.
    "Headers.HeaderOperations": "HeaderOperations",
    "HTTPFaultInjection.Delay": "Delay",
    "HTTPFaultInjection.Abort": "Abort",
    "TrafficPolicy.PortTrafficPolicy": "PortTrafficPolicy",
    "ConnectionPoolSettings.TCPSettings": "TCPSettings",
    "ConnectionPoolSettings.HTTPSettings": "HTTPSettings",
    "PeerAuthentication.MutualTLS": "MutualTLS",
    "AuthorizationPolicy.ExtensionProvider": "ExtensionProvider",
    "Rule.From": "From",
    "Rule.To": "To",
}
FILES = {
    "networking/v1alpha3/virtual_service.proto",
    "networking/v1alpha3/destination_rule.proto",
    "networking/v1alpha3/gateway.proto",
    "networking/v1alpha3/service_entry.proto",
    "networking/v1alpha3/workload_entry.proto",
    "security/v1beta1/peer_authentication.proto",
    "security/v1beta1/authorization_policy.proto",
}


def classes(*, with_effect: bool = False) -> dict[str, list[type]]:
    """Every class that a kind is made of, by name; or those of them that have an effect."""
    found: dict[str, list[type]] = {}
    pending: list[Any] = [kind.resource for kind in KINDS if kind.supported or not with_effect]
    seen: set[type] = set()
    while pending:
        each = pending.pop()
        if not attrs.has(each):
            pending += getattr(each, "__args__", ())
        elif each not in seen:
            seen.add(each)
            attrs.resolve_types(each)
            found.setdefault(each.__name__, []).append(each)
            ignored = without_effect(each) if with_effect else frozenset()
            pending += [field.type for field in attrs.fields(each) if field.name not in ignored]
    return found


def without_effect(resource: type) -> frozenset[str]:
    """Fields that are read and not acted upon."""
    return frozenset({*getattr(resource, "UNSUPPORTED", ()), *getattr(resource, "REFUSED", ())})


def known(resource: type) -> set[str]:
    """Every field that a class has an opinion of."""
    names = {field.name.removesuffix("_") for field in attrs.fields(resource)}
    return names.union(*(getattr(resource, group, ()) for group in ("UNSUPPORTED", "REFUSED", "IRRELEVANT")))


def mentioned() -> Iterator[str]:
    """Every attribute and text in the code that compiles documents."""
    for path in (PACKAGE / "control").rglob("*.py"):
        if "analysis" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                yield node.attr
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_what_is_accepted_is_used() -> None:
    used = set(mentioned())
    unused = [
        (name, field.name)
        for name, found in classes(with_effect=True).items()
        for resource in found
        for field in attrs.fields(resource)
        if field.name not in used and field.name not in without_effect(resource) and (name, field.name) not in SPOKEN_OF
    ]
    assert unused == []


def test_every_field_of_istio_is_known() -> None:
    rows = json.loads(corpus_path("expectations/fields.json").read_text())["fields"]
    found = classes()
    missing = []
    judged = 0
    for row in rows:
        if row["kind"] != "field" or row["file"] not in FILES:
            continue
        for resource in found.get(RENAMED.get(row["message"], row["message"]), ()):
            if not resource.__module__.endswith(("kubernetes", "common")):
                judged += 1
                if row["name"] not in known(resource):
                    missing.append((row["message"], row["name"]))
    assert missing == []
    assert judged > 200


def test_lists_do_not_overlap() -> None:
    for found in classes().values():
        for resource in found:
            fields = {field.name for field in attrs.fields(resource)}
            unsupported, refused, irrelevant = (
                set(getattr(resource, group, ())) for group in ("UNSUPPORTED", "REFUSED", "IRRELEVANT")
            )
            assert not irrelevant & fields
            assert not (refused & irrelevant) | (refused & unsupported) | (unsupported & irrelevant)


def test_kinds_are_told_apart() -> None:
    assert len({(kind.group, kind.name) for kind in KINDS}) == len(KINDS)
    assert kind_of(VirtualService()).name == "VirtualService"
    assert kind_of(VirtualService()).api_version == "networking.istio.io/v1"
    with pytest.raises(KeyError):
        kind_of(5)
