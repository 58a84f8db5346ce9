"""A Gateway with many servers and VirtualServices: the work grows with them, not with their product."""

from __future__ import annotations

import sys
from collections import Counter
from types import FrameType

from meshd.control.compiler import compile_snapshot
from meshd.control.mesh import Mesh
from tests.control.compiler.rendering import GATEWAY
from tests.control.documents import documents


def text(count: int) -> str:
    servers = ", ".join(
        f"{{port: {{number: 443, name: p{each}, protocol: HTTPS}}, hosts: [h{each}.example.com],"
        f" tls: {{mode: SIMPLE, credentialName: c{each}}}}}"
        for each in range(count)
    )
    head = f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw}}
spec: {{selector: {{istio: ingressgateway}}, servers: [{servers}]}}
"""
    rules = [
        f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v{each}}}
spec: {{hosts: [h{each}.example.com], gateways: [gw], http: [{{route: [{{destination: {{host: s.example.com}}}}]}}]}}
"""
        for each in range(count)
    ]
    return "---".join([head, *rules])


def calls(count: int) -> int:
    """How many Python functions are called to compile it."""
    mesh = Mesh.of(documents(text(count)))
    counted: Counter[str] = Counter()

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        counted[event] += 1

    sys.setprofile(note)
    try:
        snapshot = compile_snapshot(mesh, GATEWAY)
    finally:
        sys.setprofile(None)
    assert len(snapshot.route_tables) == count
    return counted["call"]


def test_twice_as_much_takes_about_twice_as_long() -> None:
    small, large = calls(40), calls(160)
    assert large < small * 4 * 1.3
