"""Every field of Istio's API is known here, under its name and with its type; and the page about them says so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from meshd.api.kinds import KINDS
from meshd.api.mesh.config import MeshConfig
from meshd.api.mesh.networks import MeshNetworks
from tests.corpus import corpus_path
from tools.fields_reference import class_within, classes, fields, page, roots, status_of, type_text

ROOTS: dict[tuple[str, str], type[Any]] = {
    **{
        (f"{package}/{file}.proto", kind.name): kind.resource
        for kind in KINDS
        for package, file in [
            ("networking/v1alpha3", "virtual_service"),
            ("networking/v1alpha3", "destination_rule"),
            ("networking/v1alpha3", "gateway"),
            ("networking/v1alpha3", "service_entry"),
            ("networking/v1alpha3", "workload_entry"),
            ("networking/v1alpha3", "workload_group"),
            ("networking/v1alpha3", "sidecar"),
            ("networking/v1beta1", "proxy_config"),
            ("security/v1beta1", "peer_authentication"),
            ("security/v1beta1", "request_authentication"),
            ("security/v1beta1", "authorization_policy"),
            ("telemetry/v1alpha1", "telemetry"),
        ]
        if kind.group.endswith("istio.io")
        and file == "".join(f"_{each.lower()}" if each.isupper() else each for each in kind.name).removeprefix("_")
    },
    ("mesh/v1alpha1/config.proto", "MeshConfig"): MeshConfig,
    ("mesh/v1alpha1/network.proto", "MeshNetworks"): MeshNetworks,
}
ELSEWHERE = {
    # Kept as they were written, and warned about as a whole.
    "networking/v1alpha3/envoy_filter.proto",
    "extensions/v1alpha1/wasm.proto",
    "extensions/v1alpha1/traffic_extension.proto",
    # Conditions, which users do not write; kept as plain data.
    "meta/v1alpha1/status.proto",
}
NEWER = {("MeshConfig", "defaultInboundHttpRetryPolicy")}
"""In Istio's code, and not yet in the list."""
STATUSES = {"ServiceEntryStatus", "ServiceEntryAddress"}
UNUSED = {("type/v1beta1/selector.proto", "PortSelector"), ("type/v1beta1/selector.proto", "WorkloadMode")}
"""Messages of which no field of a kind here is made."""

SCALARS = {
    "string": "string",
    "bool": "bool",
    "bytes": "bytes",
    "double": "double",
    "google.protobuf.Duration": "duration",
    "google.protobuf.BoolValue": "bool",
    "google.protobuf.DoubleValue": "double",
    "google.protobuf.UInt32Value": "uint32",
    "google.protobuf.UInt64Value": "uint64",
    "google.protobuf.Int32Value": "int32",
    "google.protobuf.Int64Value": "int64",
    "google.protobuf.Struct": "map of any",
    **{each: each for each in ("int32", "uint32", "int64", "uint64")},
}
Message = tuple[str, str]


class Protos:
    """Istio's messages and enumerations, by file and name."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.fields: dict[Message, dict[str, dict[str, Any]]] = {}
        self.enums: dict[Message, list[str]] = {}
        for row in rows:
            message = (row["file"], row["message"])
            if row["kind"] == "field":
                self.fields.setdefault(message, {})[row["name"]] = row
            else:
                self.enums.setdefault(message, []).append(row["name"])

    def find(self, message: Message, name: str) -> Message | None:
        """The message or enumeration that a field's type names, looked for as protoc does: from within to without."""
        scopes = message[1].split(".")
        known = [*self.fields, *self.enums]
        plain = name.removeprefix("istio.").split(".", 2)[-1] if name.startswith("istio.") else name
        for depth in range(len(scopes), -1, -1):
            wanted = ".".join([*scopes[:depth], plain])
            found = [each for each in known if each[1] == wanted]
            own = [each for each in found if each[0] == message[0]]
            package = [each for each in found if each[0].split("/")[0] == message[0].split("/")[0]]
            if name.startswith("istio."):
                where = "/".join(name.split(".")[1:3])
                package = [each for each in found if each[0].startswith(where)]
                own = []
            if own or package or (found and depth == 0):
                return (own or package or found)[0]
        return None


@pytest.fixture(scope="module")
def protos() -> Protos:
    return Protos(json.loads(corpus_path("expectations/fields.json").read_text())["fields"])


def pairs(protos: Protos) -> Iterator[tuple[Message, type[Any]]]:
    """Istio's messages beside the classes that read them."""
    pending: list[tuple[Message, type[Any]]] = list(ROOTS.items())
    seen = set(pending)
    while pending:
        message, resource = pending.pop()
        yield message, resource
        named = dict(fields(resource))
        for name, row in protos.fields.get(message, {}).items():
            inner = protos.find(message, row["type"].removeprefix("repeated ").removesuffix(">").split(", ")[-1])
            within = class_within(named[name].type) if name in named else None
            if inner is not None and within is not None and (inner, within) not in seen:
                seen.add((inner, within))
                pending.append((inner, within))


def test_every_field_is_known(protos: Protos) -> None:
    missing = []
    judged: set[Message] = set()
    for message, resource in pairs(protos):
        judged.add(message)
        known = {name for name, _ in fields(resource)} | set(getattr(resource, "IRRELEVANT", ()))
        missing += [(message[1], name) for name in protos.fields.get(message, {}) if name not in known]
        invented = known - set(protos.fields.get(message, {})) - {name for owner, name in NEWER if owner == message[1]}
        assert not invented, (message, invented)
    assert missing == []
    rest = {
        message
        for message in protos.fields
        if message not in judged and message[0] not in ELSEWHERE and message[1] not in STATUSES
    }
    assert rest - UNUSED == set()
    assert sum(len(protos.fields[message]) for message in judged if message in protos.fields) > 750


def test_every_type_is_istios(protos: Protos) -> None:
    wrong = []
    for message, resource in pairs(protos):
        named = dict(fields(resource))
        for name, row in protos.fields.get(message, {}).items():
            wanted = istio_type(protos, message, row["type"])
            found = type_text(named[name].type)
            if wanted not in (found, plain(found)):
                wrong.append((message[1], name, wanted, found))
    assert wrong == []


def plain(text: str) -> str:
    """A type without the class's name, which may be ours."""
    return re.sub(r"\[\w+\]\(#[^)]*\)", "a message", text)


def istio_type(protos: Protos, message: Message, kind: str) -> str:
    """A field's type as the page has it; "a message" for any class."""
    if kind.startswith("repeated "):
        return f"{istio_type(protos, message, kind.removeprefix('repeated '))}[]"
    if kind.startswith("map<"):
        return f"map of {istio_type(protos, message, kind.removesuffix('>').split(', ')[1])}"
    if kind in SCALARS:
        return SCALARS[kind]
    found = protos.find(message, kind)
    if found is not None and found in protos.enums:
        return ", ".join(f"`{each}`" for each in protos.enums[found])
    return "a message"


def test_what_has_an_effect_is_told() -> None:
    found = classes(roots())
    assert {
        status_of(resource, name, has_effect=effect)
        for resource, effect in found.items()
        for name, _ in fields(resource)
    } >= {"supported", "warned"}
    text = page()
    for resource in found:
        assert f"### {resource.__name__}\n" in text
