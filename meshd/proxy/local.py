"""Responses that are made here: a reply as the ``Response`` that filters and the downstream side know. Pure."""

from __future__ import annotations

from meshd.http.h1_body import whole_body
from meshd.policy.exchange import Exchange, Reply, Response
from meshd.proxy.reply import render
from meshd.snapshot.common import Direction


def local_response(exchange: Exchange, reply: Reply) -> Response:
    """Answer an exchange here: notes the reply in its record and makes the response."""
    exchange.flags.extend(reply.flags)
    exchange.detail = reply.detail
    exchange.reason = reply.reason
    head, body = render(reply, grpc=exchange.grpc, stranger=exchange.connection.direction is Direction.GATEWAY)
    return Response(head, whole_body(body), local=True)
