"""What is answered when no backend answers: the one table. Pure.

Every exception that ends an exchange becomes a ``Reply`` here, and every
``Reply`` becomes bytes here. Texts, flags and details are Envoy's, so that
what people know about them stays true.

Source: ``%RESPONSE_FLAGS%`` and local replies as measured on Envoy 1.40.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from meshd.errors import (
    ConfigError,
    ConnectionLost,
    DeadlineExceeded,
    Denied,
    IdentityError,
    ProtocolError,
    ResponseFlag,
    UpstreamError,
)
from meshd.http.head import Headers, ResponseHead
from meshd.policy.exchange import Reply

REASON = b"x-meshd-reason"
"""Why meshd answered itself : the flag, and inside the mesh a sentence."""

RESET_TEXT = "upstream connect error or disconnect/reset before headers. "
"""How Envoy's body for a failed backend begins."""

_GRPC_OF_STATUS = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
_GRPC_UNKNOWN = 2
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_REASON_LENGTH = 300

NO_ROUTE = Reply(
    404,
    flags=(ResponseFlag.NO_ROUTE,),
    detail="route_not_found",
    reason="no route matches this host and path",
)


class RouteTimeout(DeadlineExceeded):
    """The route's ``timeout`` passed: the whole exchange, retries included."""

    def __init__(self) -> None:
        super().__init__("route timeout")


class TryTimeout(DeadlineExceeded):
    """One try took longer than the retry policy's ``per_try_timeout``."""

    def __init__(self) -> None:
        super().__init__("per-try timeout")


class StreamIdle(DeadlineExceeded):
    """Nothing moved on the exchange for ``stream_idle_timeout``."""

    def __init__(self) -> None:
        super().__init__("stream idle timeout")


class ClientGone(ConnectionLost):
    """The client has hung up or reset its stream: nobody is there to answer."""


def missing_cluster(cluster: str, status: int) -> Reply:
    """The route names a cluster that the snapshot does not have."""
    return Reply(
        status,
        flags=(ResponseFlag.NO_CLUSTER,),
        detail="cluster_not_found",
        reason=f"the route's destination {cluster} does not exist: no such host or subset is known here",
    )


def from_error(error: BaseException, *, attempts: int = 1) -> Reply:
    """The reply for what went wrong.

    Args:
        error: What ended the exchange before a response head was on its way.
        attempts: Tries made; with several the body says so, as Envoy's does.
    """
    match error:
        case UpstreamError():
            return _from_upstream(error, attempts)
        case TryTimeout():
            return Reply(
                504,
                b"upstream request timeout",
                flags=(ResponseFlag.UPSTREAM_TIMEOUT,),
                detail="upstream_per_try_timeout",
                reason="the backend did not answer within the route's per-try timeout",
            )
        case StreamIdle():
            return Reply(
                504,
                b"stream timeout",
                flags=(ResponseFlag.STREAM_IDLE_TIMEOUT,),
                detail="stream_idle_timeout",
                reason="no byte was seen either way for the stream idle timeout",
            )
        case DeadlineExceeded():
            return Reply(
                504,
                b"upstream request timeout",
                flags=(ResponseFlag.UPSTREAM_TIMEOUT,),
                detail="response_timeout",
                reason=f"the backend did not answer in time ({error.what})",
            )
        case Denied():
            body = b"RBAC: access denied" if error.status == 403 else phrase(error.status)
            return Reply(error.status, body, detail=error.detail, reason=error.detail)
        case ProtocolError():
            return Reply(
                error.status,
                phrase(error.status),
                flags=(ResponseFlag.DOWNSTREAM_PROTOCOL_ERROR,),
                detail=error.detail,
                reason=str(error),
            )
        case ClientGone() | ConnectionLost():
            return Reply(
                499,
                flags=(ResponseFlag.DOWNSTREAM_TERMINATION,),
                detail="downstream_remote_disconnect",
                reason="the client went away",
            )
        case IdentityError() | ConfigError():
            return Reply(503, b"", detail="configuration_error", reason=str(error))
        case _:
            return Reply(500, phrase(500), detail="internal_error", reason="a bug in meshd; its log has the traceback")


def _from_upstream(error: UpstreamError, attempts: int) -> Reply:
    if error.flag is ResponseFlag.NO_HEALTHY_UPSTREAM:
        return Reply(
            503,
            b"no healthy upstream",
            flags=(error.flag,),
            detail="no_healthy_upstream",
            reason=error.cause or "the destination has no endpoint",
        )
    token = _UNPRINTABLE.sub(" ", error.reason).replace(" ", "_")
    retried = "retried and the latest " if attempts > 1 else ""
    overloaded = error.flag is ResponseFlag.UPSTREAM_OVERFLOW
    return Reply(
        502 if error.flag is ResponseFlag.UPSTREAM_PROTOCOL_ERROR else 503,
        f"{RESET_TEXT}{retried}reset reason: {error.reason}".encode(),
        headers=((b"x-envoy-overloaded", b"true"),) if overloaded else (),
        flags=(error.flag,),
        detail=f"upstream_reset_before_response_started{{{token}}}",
        reason=str(error),
    )


def phrase(status: int) -> bytes:
    """A status's words, as Envoy's codec replies have them for a body."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Error"


def render(reply: Reply, *, grpc: bool, stranger: bool) -> tuple[ResponseHead, bytes]:
    """The head and body that say a reply.

    Args:
        reply: What to say.
        grpc: The request was gRPC: a status in headers, not a page.
        stranger: The client is outside the mesh: it is told the flag and nothing more.
    """
    why = reason_header(reply, stranger=stranger)
    if grpc:
        return _render_grpc(reply, why), b""
    items = list(reply.headers)
    if reply.body and not any(name == b"content-type" for name, _ in items):
        items.append((b"content-type", b"text/plain"))
    if why:
        items.append((REASON, why))
    return ResponseHead(reply.status, Headers.of(items), length=len(reply.body)), reply.body


def _render_grpc(reply: Reply, why: bytes) -> ResponseHead:
    status = reply.grpc_status
    if status < 0:
        status = _GRPC_OF_STATUS.get(reply.status, _GRPC_UNKNOWN)
    items = [(b"content-type", b"application/grpc"), (b"grpc-status", b"%d" % status)]
    if reply.body:
        items.append((b"grpc-message", grpc_message(reply.body)))
    items.extend(reply.headers)
    if why:
        items.append((REASON, why))
    return ResponseHead(200, Headers.of(items), length=0)


def reason_header(reply: Reply, *, stranger: bool) -> bytes:
    """``<flag>; <why>`` (CONTRACT section 8), the flag alone for strangers; b"" when there is nothing to explain."""
    flags = ",".join(reply.flags)
    if not flags and not reply.reason:
        return b""
    text = flags or "-"
    if reply.reason and not stranger:
        text += "; " + _UNPRINTABLE.sub(" ", reply.reason)[:_REASON_LENGTH].strip()
    return text.encode("ascii", "replace")


def grpc_message(text: bytes) -> bytes:
    """Percent-encoded as gRPC over HTTP/2 wants it: everything but printable ASCII, and ``%``."""
    return b"".join([bytes((byte,)) if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte for byte in text])
