"""WasmPlugin and TrafficExtension alone. Pure.

No proxy of meshd's is configured by them; they are judged for those who run
them on Istio.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from meshd.api.common import Map, PolicyTargetReference, WorkloadSelector
from meshd.api.document import Document, Path
from meshd.api.foreign import look_up
from meshd.api.problem import Problem, error
from meshd.control.analysis import selection
from meshd.control.analysis.shapes import Anything, Choice, Fields, Items, Shape, Text, Texts, Whole, conform

SELECTOR: Final = Fields({"matchLabels": Texts()})
TARGET: Final = Fields(
    {
        "group": Text(
            most=253,
            pattern=r"|[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*",
            form="a group such as gateway.networking.k8s.io",
        ),
        "kind": Text(most=63, pattern=r"|[a-zA-Z](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?", form="a kind such as Gateway"),
        "name": Text(most=253),
        "namespace": Text(),
    }
)
_TRAFFIC: Final = Items(
    Fields(
        {
            "mode": Choice(("UNDEFINED", "CLIENT", "SERVER", "CLIENT_AND_SERVER")),
            "ports": Items(Fields({"number": Whole(1, 65535)}, ("number",)), unique="number"),
        }
    )
)
_VARIABLE: Final = Fields(
    {"name": Text(1, 256), "value": Text(most=2048), "valueFrom": Choice(("INLINE", "HOST"))}, ("name",)
)
_WASM: Final[dict[str, Shape]] = {
    "url": Text(1),
    "sha256": Text(pattern=r"|[a-f0-9]{64}", form="a SHA-256: exactly 64 characters of 0-9 and a-f"),
    "imagePullPolicy": Choice(("UNSPECIFIED_POLICY", "IfNotPresent", "Always")),
    "imagePullSecret": Text(1, 253),
    "verificationKey": Text(),
    "pluginConfig": Anything(),
    "pluginName": Text(1, 256),
    "failStrategy": Choice(("FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD")),
    "vmConfig": Fields({"env": Items(_VARIABLE, 256, unique="name")}),
    "type": Choice(("UNSPECIFIED_PLUGIN_TYPE", "HTTP", "NETWORK")),
}
_ATTACHED: Final[dict[str, Shape]] = {
    "selector": SELECTOR,
    "targetRefs": Items(TARGET, 16),
    "match": _TRAFFIC,
    "priority": Whole(),
}
WASM_PLUGIN: Final = Fields(
    {
        **_WASM,
        **_ATTACHED,
        "targetRef": TARGET,
        "phase": Choice(("UNSPECIFIED_PHASE", "AUTHN", "AUTHZ", "STATS")),
    },
    ("url",),
)
TRAFFIC_EXTENSION: Final = Fields(
    {
        **_ATTACHED,
        "phase": Choice(("UNSPECIFIED", "AUTHN", "AUTHZ", "STATS")),
        "wasm": Fields(_WASM, ("url",)),
        "lua": Fields({"inlineCode": Text(1, 64 * 1024)}, ("inlineCode",)),
    }
)

SCHEMES = ("", "http", "https", "oci", "file")


def validate_wasm_plugin(document: Document) -> Iterator[Problem]:
    """Istio's rules for a WasmPlugin."""
    yield from _whole(document, WASM_PLUGIN)
    yield from _wasm(document.resource.get("spec"), ("spec",))


def validate_traffic_extension(document: Document) -> Iterator[Problem]:
    """Istio's rules for a TrafficExtension."""
    spec = document.resource.get("spec")
    yield from _whole(document, TRAFFIC_EXTENSION)
    given = [name for name in ("wasm", "lua") if look_up(spec, name) is not None]
    if len(given) != 1:
        yield error(
            ("spec",), f"exactly one of wasm or lua must be set, not {' and '.join(given) or 'neither'}", at_value=False
        )
    yield from _wasm(look_up(spec, "wasm"), ("spec", "wasm"))


def _whole(document: Document, shape: Fields) -> Iterator[Problem]:
    for name in document.resource.content:
        if name != "spec":
            yield error((name,), "unknown field: everything belongs under spec", at_value=False)
    spec = document.resource.get("spec")
    if spec is None:
        yield error((), 'the field "spec" is missing', at_value=False)
    else:
        yield from conform(spec, shape, ("spec",))
        yield from attached(spec, ("spec",))


def attached(spec: Any, path: Path) -> Iterator[Problem]:
    """What it is for: a selector or targets, of plain data whose shape may be wrong."""
    given = [name for name in ("selector", "targetRef", "targetRefs") if look_up(spec, name) is not None]
    if len(given) > 1:
        yield error(
            (*path, given[0]),
            f"only one of targetRefs or selector (the workload selector) can be set, not {' and '.join(given)}",
            at_value=False,
        )
    labels = look_up(spec, "selector", "matchLabels") or Map()
    if look_up(spec, "selector") is not None and isinstance(labels, Map):
        plain = Map({key: value for key, value in labels.items() if isinstance(value, str)})
        yield from selection.workload_selector(WorkloadSelector(plain), (*path, "selector"))
    yield from targets(spec, path)


def targets(spec: Any, path: Path) -> Iterator[Problem]:
    """``targetRef`` and ``targetRefs``, of plain data whose shape may be wrong."""
    references = [(look_up(spec, "targetRef"), (*path, "targetRef"))]
    listed = look_up(spec, "targetRefs")
    if isinstance(listed, tuple):
        references += [(each, (*path, "targetRefs", index)) for index, each in enumerate(listed)]
    for reference, here in references:
        if isinstance(reference, Map):
            texts = {name: reference.get(name) or "" for name in ("group", "kind", "name", "namespace")}
            if all(isinstance(text, str) for text in texts.values()):
                yield from selection.target(PolicyTargetReference(**texts), here)


def _wasm(settings: Any, path: Path) -> Iterator[Problem]:
    """What the shape cannot say of a plugin."""
    url = look_up(settings, "url")
    if isinstance(url, str) and url and (reason := _why_not_url(url)):
        yield error((*path, "url"), f'"{url}" cannot be fetched: {reason}')
    variables = look_up(settings, "vmConfig", "env")
    for index, each in enumerate(variables if isinstance(variables, tuple) else ()):
        if look_up(each, "valueFrom") == "HOST" and look_up(each, "value") is not None:
            here = (*path, "vmConfig", "env", index, "value")
            yield error(here, "with valueFrom: HOST the value is the host's: take this one away, or write INLINE")


def _why_not_url(text: str) -> str:
    """Without a scheme it is an OCI image's name."""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        parts.port  # noqa: B018  raises when it is not a number within range
    except ValueError as caught:
        return str(caught)
    if parts.scheme not in SCHEMES:
        return f'unsupported scheme "{parts.scheme}": {", ".join(scheme for scheme in SCHEMES if scheme)}'
    return "it has a space" if " " in text else ""
