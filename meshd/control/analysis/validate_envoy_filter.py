"""EnvoyFilter alone. Pure.

No proxy of meshd's is configured by it; it is judged for those who run it on
Istio. The patch itself is Envoy's configuration, which only Envoy can judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from meshd.api.common import LabelsSelector, Map
from meshd.api.document import Document, Path
from meshd.api.foreign import look_up
from meshd.api.problem import FIELD_WITHOUT_EFFECT, Problem, error, warning
from meshd.control.analysis import checks
from meshd.control.analysis.shapes import Anything, Choice, Fields, Items, Text, Texts, Whole, conform
from meshd.control.analysis.validate_extensions import TARGET, targets
from meshd.control.analysis.validate_workload import labels_selector

_UINT32: Final = Whole(0, 2**32 - 1)
_FILTER: Final = Fields({"name": Text(), "subFilter": Fields({"name": Text()})})
_LISTENER: Final = Fields(
    {
        "portNumber": _UINT32,
        "portName": Text(),
        "filterChain": Fields(
            {
                "name": Text(),
                "sni": Text(),
                "transportProtocol": Text(),
                "applicationProtocols": Text(),
                "destinationPort": _UINT32,
                "filter": _FILTER,
            }
        ),
        "listenerFilter": Text(),
        "name": Text(),
    }
)
_ROUTE: Final = Fields({"name": Text(), "action": Choice(("ANY", "ROUTE", "REDIRECT", "DIRECT_RESPONSE"))})
_ROUTE_CONFIGURATION: Final = Fields(
    {
        "portNumber": _UINT32,
        "portName": Text(),
        "gateway": Text(),
        "vhost": Fields({"name": Text(), "domainName": Text(), "route": _ROUTE}),
        "name": Text(),
    }
)
_CLUSTER: Final = Fields({"portNumber": _UINT32, "service": Text(), "subset": Text(), "name": Text()})
_WAYPOINT: Final = Fields({"portNumber": Whole(1, 65535), "filter": _FILTER, "route": Fields({"name": Text()})})
_MATCH: Final = Fields(
    {
        "context": Choice(("ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY", "WAYPOINT")),
        "proxy": Fields({"proxyVersion": Text(), "metadata": Texts()}),
        "listener": _LISTENER,
        "routeConfiguration": _ROUTE_CONFIGURATION,
        "cluster": _CLUSTER,
        "waypoint": _WAYPOINT,
    }
)
_OPERATIONS: Final = (
    *("MERGE", "ADD", "REMOVE", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "REPLACE"),
    "MERGE_AND_REPLACE_LIST",
)
_PATCH: Final = Fields(
    {
        "operation": Choice(_OPERATIONS),
        "value": Anything(),
        "filterClass": Choice(("UNSPECIFIED", "AUTHN", "AUTHZ", "STATS")),
    },
    ("operation",),
)
_LISTENER_CLASS: Final = ("LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER")
_ROUTE_CLASS: Final = ("ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE")
_OBJECTS: Final = {
    **dict.fromkeys(_LISTENER_CLASS, "listener"),
    **dict.fromkeys(_ROUTE_CLASS, "routeConfiguration"),
    "CLUSTER": "cluster",
}
"""What is matched on for each ``applyTo``."""
_APPLY_TO: Final = (*_LISTENER_CLASS, *_ROUTE_CLASS, "CLUSTER", "EXTENSION_CONFIG", "BOOTSTRAP", "LISTENER_FILTER")

ENVOY_FILTER: Final = Fields(
    {
        "workloadSelector": Fields({"labels": Texts()}),
        "targetRefs": Items(TARGET, 16),
        "configPatches": Items(
            Fields({"applyTo": Choice(_APPLY_TO), "match": _MATCH, "patch": _PATCH}, ("applyTo", "patch"))
        ),
        "priority": Whole(),
    }
)

_CONNECTION_MANAGERS = ("envoy.filters.network.http_connection_manager", "envoy.http_connection_manager")


def validate(document: Document) -> Iterator[Problem]:
    """Istio's rules for an EnvoyFilter."""
    path: Path = ("spec",)
    spec = document.resource.get("spec")
    for name in document.resource.content:
        if name != "spec":
            yield error((name,), "unknown field: everything belongs under spec", at_value=False)
    yield warning(
        (), "an EnvoyFilter patches what Istio generates, which changes without notice: prefer Istio's own kinds"
    )
    if spec is None:
        return
    yield from conform(spec, ENVOY_FILTER, path)
    yield from targets(spec, path)
    selector, labels = look_up(spec, "workloadSelector"), look_up(spec, "workloadSelector", "labels") or Map()
    if selector is not None and look_up(spec, "targetRefs"):
        yield error(
            (*path, "workloadSelector"), "only one of targetRefs or workloadSelector can be set", at_value=False
        )
    if selector is not None and isinstance(labels, Map):
        plain = Map({key: value for key, value in labels.items() if isinstance(value, str)})
        yield from labels_selector(LabelsSelector(plain), (*path, "workloadSelector"))
    patches = look_up(spec, "configPatches")
    for index, patch in enumerate(patches if isinstance(patches, tuple) else ()):
        if isinstance(patch, Map):
            yield from _patch(patch, (*path, "configPatches", index))


def _patch(patch: Map[str, Any], path: Path) -> Iterator[Problem]:
    operation = look_up(patch, "patch", "operation")
    if operation in _OPERATIONS and operation != "REMOVE" and look_up(patch, "patch", "value") is None:
        yield error((*path, "patch"), f"{operation} needs a value", at_value=False)
    match = patch.get("match")
    version = look_up(match, "proxy", "proxyVersion")
    if isinstance(version, str) and version:
        yield from checks.regex(version, (*path, "match", "proxy", "proxyVersion"))
    if isinstance(match, Map):
        yield from _objects(patch, match, (*path, "match"))
        yield from _listener_filter(patch.get("applyTo"), match, (*path, "match", "listener", "filterChain", "filter"))


def _objects(patch: Map[str, Any], match: Map[str, Any], path: Path) -> Iterator[Problem]:
    """What is matched on goes with what is patched."""
    waypoint = match.get("context") == "WAYPOINT"
    given = [name for name in ("listener", "routeConfiguration", "cluster", "waypoint") if match.get(name) is not None]
    if len(given) > 1:
        yield error(path, f"{' and '.join(given)} cannot both be given: choose one", at_value=False)
    if waypoint != ("waypoint" in given):
        yield error(path, "waypoint and context: WAYPOINT go together: write both or neither", at_value=False)
    wanted = _OBJECTS.get(str(patch.get("applyTo")))
    wrong = [name for name in given if name not in (wanted, "waypoint")]
    if wanted is not None and wrong:
        yield error((*path, wrong[0]), f"applyTo {patch.get('applyTo')} cannot match on {wrong[0]}: write {wanted}")


def _listener_filter(apply_to: Any, match: Map[str, Any], path: Path) -> Iterator[Problem]:
    one = look_up(match, "listener", "filterChain", "filter")
    if one is None or apply_to not in _LISTENER_CLASS:
        return
    if apply_to in ("LISTENER", "FILTER_CHAIN"):
        yield warning(path, f"applyTo {apply_to} does not look at filters: this match has no effect")
    if not look_up(one, "name"):
        yield error(path, "the name of the filter to match is missing", at_value=False)
    sub = look_up(one, "subFilter")
    if sub is None:
        return
    here = (*path, "subFilter")
    if apply_to != "HTTP_FILTER":
        yield error(here, "a subFilter can be matched with applyTo HTTP_FILTER only", at_value=False)
    elif look_up(one, "name") not in _CONNECTION_MANAGERS:
        yield error(here, f"a subFilter is one of {_CONNECTION_MANAGERS[0]}: match on that filter", at_value=False)
    elif not look_up(sub, "name"):
        yield error(here, "the name of the subFilter to match is missing", at_value=False)
    if look_up(one, "name") == _CONNECTION_MANAGERS[1]:
        yield warning(
            (*path, "name"),
            f"this is the filter's old name: write {_CONNECTION_MANAGERS[0]}",
            code=FIELD_WITHOUT_EFFECT,
        )
