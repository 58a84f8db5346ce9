"""``python -m benchmarks.compiling [SERVICES]``: how long a mesh takes to become one sidecar's snapshot.

Each service has two workloads, a DestinationRule with two subsets and a
VirtualService with a header match and weights. Times are of one run, in this
process, without the YAML: what the control plane does for one proxy when it
starts, when one VirtualService changed, and for a second proxy.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from meshd.api.common import Labels, Map, StringMatch
from meshd.api.document import Document
from meshd.api.kubernetes import Service, ServicePort
from meshd.api.networking.destination_rule import DestinationRule, Subset
from meshd.api.networking.virtual_service import (
    Destination,
    HTTPMatchRequest,
    HTTPRoute,
    HTTPRouteDestination,
    VirtualService,
)
from meshd.api.networking.workload_entry import WorkloadEntry
from meshd.control.compiler import Memo, compile_snapshot
from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.snapshot.wire import DecodeMemo, decode, encode

Result = TypeVar("Result")


def service(number: int, share: int) -> list[Document]:
    """The documents of one service; ``share`` per cent of its requests go to v1."""
    name = f"svc{number}"
    address = f"{number // 250}.{number % 250 + 1}"
    versions = ("v1", "v2")
    return [
        Document.of(Service(ports=(ServicePort(8080, name="http"),), selector=Map({"app": name})), name),
        Document.of(
            DestinationRule(name, subsets=tuple(Subset(each, labels(version=each)) for each in versions)), name
        ),
        Document.of(_rule(name, share), name),
        *(
            Document.of(
                WorkloadEntry(f"10.{row}.{address}", labels=labels(app=name, version=each), serviceAccount=name),
                f"{name}-{each}",
            )
            for row, each in enumerate(versions)
        ),
    ]


def labels(**pairs: str) -> Labels:
    """Labels of a workload of the mesh."""
    return Map(pairs)


def _rule(name: str, share: int) -> VirtualService:
    jason = HTTPMatchRequest(headers=Map({"end-user": StringMatch(exact="jason")}))
    first, second = Destination(name, "v1"), Destination(name, "v2")
    weights = (HTTPRouteDestination(first, share), HTTPRouteDestination(second, 100 - share))
    return VirtualService(
        hosts=(name,),
        http=(HTTPRoute(match=(jason,), route=(HTTPRouteDestination(second),)), HTTPRoute(route=weights)),
    )


def timed(label: str, work: Callable[[], Result]) -> Result:
    """Do it and print how long it took."""
    gc.collect()
    began = time.perf_counter()
    result = work()
    print(f"{label:<44}{(time.perf_counter() - began) * 1000:8.0f} ms")
    return result


def main() -> None:
    """Measure."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    before = [document for number in range(count) for document in service(number, 80)]
    after = [*before[:-5], *service(count - 1, 50)]
    memo, held = Memo(), DecodeMemo()
    scope = Scope(labels=(("app", "svc1"),), app_ports=(8080,))
    mesh = timed(f"index {len(before)} documents", lambda: Mesh.of(before))
    first = timed("compile and encode", lambda: compile_snapshot(mesh, scope, memo))
    encoded = encode(first, memo.encoded)
    timed("decode", lambda: decode(encoded.manifest, encoded.parts.__getitem__, held))
    other = Scope(labels=(("app", "svc2"),), app_ports=(8080,))
    timed("compile and encode for a second proxy", lambda: compile_snapshot(mesh, other, memo))
    changed = timed("one VirtualService changed: index", lambda: Mesh.of(after))
    second = timed("one VirtualService changed: compile, encode", lambda: compile_snapshot(changed, scope, memo))
    again = encode(second, memo.encoded)
    timed("one VirtualService changed: decode", lambda: decode(again.manifest, again.parts.__getitem__, held))
    sent = [part for name, part in again.parts.items() if name not in encoded.parts]
    total = sum(map(len, encoded.parts.values()))
    print(f"{len(encoded.parts)} parts of {total} bytes; the change sends {len(sent)} of {sum(map(len, sent))} bytes")


if __name__ == "__main__":
    main()
