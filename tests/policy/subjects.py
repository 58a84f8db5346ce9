"""Exchanges for policy tests."""

from __future__ import annotations

from meshd.http.head import Headers, RequestHead
from meshd.net.address import Address
from meshd.policy.exchange import ConnectionInfo, Exchange
from meshd.snapshot.common import Direction


def connection(**changes: object) -> ConnectionInfo:
    given: dict[str, object] = {
        "direction": Direction.INBOUND,
        "peer": Address("10.1.2.3", 4567),
        "local": Address("10.0.0.1", 15006),
        "destination_port": 9080,
        "principal": "cluster.local/ns/default/sa/productpage",
        "namespace": "default",
        "mtls": True,
        "tls": True,
    }
    return ConnectionInfo(**{**given, **changes})  # type: ignore[arg-type]


def exchange(
    method: str = "GET",
    target: str = "/reviews/0?x=1",
    host: str = "reviews:9080",
    headers: tuple[tuple[str, str], ...] = (),
    **changes: object,
) -> Exchange:
    lines = Headers.of((name.encode(), value.encode()) for name, value in headers)
    head = RequestHead(method.encode(), target.encode(), host.encode(), lines)
    remote_host = str(changes.pop("remote_host", ""))
    return Exchange(connection(**changes), head, started=0.0, remote_host=remote_host)
