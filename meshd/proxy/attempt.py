"""One try: a request on a stream of a host, to its response head."""

from __future__ import annotations

from meshd.http.head import RequestHead, ResponseHead
from meshd.http.stream import Body
from meshd.policy.exchange import Response
from meshd.proxy import peer_metadata
from meshd.proxy.exchange import ProxyExchange
from meshd.proxy.identity_headers import ATTEMPT_COUNT
from meshd.proxy.reply import REASON
from meshd.proxy.upload import Upload
from meshd.proxy.upstream.host import Host
from meshd.proxy.upstream.lease import Lease
from meshd.proxy.upstream.pool import Pooled, Waiter
from meshd.proxy.upstream.upstream import Upstream
from meshd.snapshot.common import Direction

_FIRST_ATTEMPT = b"%b: 1\r\n" % ATTEMPT_COUNT
_SERVICE_TIME = b"x-envoy-upstream-service-time"


async def attempt(exchange: ProxyExchange, upstream: Upstream, host: Host, upload: Upload | None) -> ResponseHead:
    """One try, to its response head. What is straight on here is the plain path.

    Raises:
        MeshdError, OSError: whatever ended it; the stream is still held.
    """
    exchange.upstream_host = host.name
    exchange.lease = lease = upstream.lease_nowait(host) or await _wait_in_line(exchange, upstream, host)
    exchange.current = stream = lease.stream
    if exchange.failure is not None:
        raise exchange.failure
    pooled = lease.pooled
    head = begin_try(exchange, host, pooled)
    began = exchange.live.now()
    if upload is None:
        # A head that asks for another protocol leaves its stream open for it.
        await stream.send_head(head, exchange.body, end=not head.upgrade and head.method != b"CONNECT")
    else:
        await upload.begin(stream, head, exchange)
    response = await stream.receive_head()
    end_try(exchange, host, response, began)
    return response


def is_whole(exchange: ProxyExchange) -> bool:
    """Is all of the request here, and nothing but a response to come of it?"""
    request = exchange.request
    return (
        request.length == len(exchange.body)
        and not request.upgrade
        and request.method != b"CONNECT"
        and exchange.failure is None
    )


def begin_try(exchange: ProxyExchange, host: Host, pooled: Pooled) -> RequestHead:
    """Note where a try goes; gives the head to send there."""
    exchange.upstream_peer = host.endpoint.peer
    exchange.upstream_local = pooled.local
    exchange.upstream_mtls = pooled.mtls
    head = exchange.request
    if exchange.attempts == 1:
        # No request comes here with one: ``Introduction`` takes them out.
        head.headers.append(_FIRST_ATTEMPT)
    else:
        head.headers.set(ATTEMPT_COUNT, b"%d" % exchange.attempts)
    if pooled.metadata_due or head.expect_continue:
        head = _adapted(head, exchange, pooled)
    return head


def end_try(exchange: ProxyExchange, host: Host, response: ResponseHead, began: float) -> None:
    """Note that a response head has come, and how long that took."""
    if exchange.idle is not None:
        exchange.touch()
    exchange.upstream_service_time_ms = service_time = int((exchange.live.now() - began) * 1000)
    headers = response.headers
    headers.remove(_SERVICE_TIME)
    headers.append(b"x-envoy-upstream-service-time: %d\r\n" % service_time)
    if response.status < 500:
        host.successes += 1
    else:
        host.failures += 1


async def _wait_in_line(exchange: ProxyExchange, upstream: Upstream, host: Host) -> Lease:
    """A stream on a connection that is yet to be made or to become free."""
    waiter = Waiter()
    exchange.current = waiter
    if exchange.failure is not None:
        raise exchange.failure
    return await upstream.lease(host, waiter)


def answered(exchange: ProxyExchange, head: ResponseHead, body: Body) -> Response:
    """The response that a head begins."""
    exchange.detail = "via_upstream"
    if (head.status >= 400 or exchange.grpc) and exchange.connection.direction is Direction.GATEWAY:
        _keep_for_the_mesh(head)
    if head.status == 101 or (exchange.request.method == b"CONNECT" and 200 <= head.status < 300):
        exchange.tunnel = True
    return Response(head, body)


def _keep_for_the_mesh(head: ResponseHead) -> None:
    """What a proxy further inside has to explain is for the mesh; strangers get the flag."""
    reason = head.headers.get(REASON)
    if reason is not None:
        head.headers.set(REASON, reason.partition(b";")[0])


def _adapted(head: RequestHead, exchange: ProxyExchange, pooled: Pooled) -> RequestHead:
    """The head for one connection only: it tells a new peer who we are, and never asks for a 100."""
    head = head.copy()
    head.expect_continue = False
    if pooled.metadata_due:
        pooled.metadata_due = False
        if exchange.live.node_metadata:
            head.headers.set(peer_metadata.HEADER, exchange.live.node_metadata)
    return head
