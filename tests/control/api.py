"""A client of the control plane's API that can be anybody, and send anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

import attrs

from meshd.agent.channel import Channel, ControlError, Exchange, Reply, Trust
from meshd.agent.config import AgentLimits, World
from meshd.agent.enrolment import IdentityHolder
from meshd.certs.authority import Subject
from meshd.certs.contexts import TlsContexts
from meshd.certs.identity import Identity
from meshd.certs.x509 import LocalKeyMaker, make_key_and_request
from meshd.net.connection import Network
from meshd.net.memory import StaticResolver
from tests.agent.rig import CONTROL, ControlRig


@attrs.frozen
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["code"])


class Client:
    """Speaks with one identity, or none."""

    def __init__(self, control: ControlRig, identity: Identity | None = None, network: Network | None = None) -> None:
        holder = IdentityHolder(identity)
        clock = control.clock
        world = World(network or control.network, StaticResolver({}), Random(1), LocalKeyMaker(), clock)
        trust = Trust(control.authority.bundle.pem, "cluster.local")
        contexts = TlsContexts(holder, wall_clock=clock)
        self.channel = Channel(CONTROL, world, contexts, AgentLimits(), trust=lambda: None if identity else trust)

    async def ask(self, method: str, path: str, body: object = b"", **headers: str) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
        exchange = Exchange(method.encode(), path, data, lines, 10_000_000, 100.0)
        try:
            reply: Reply = await self.channel.request(exchange)
        except ControlError as error:
            body_of = {"code": error.code, "message": str(error), "retry_after": error.retry_after}
            return Answer(error.status, {}, json.dumps(body_of).encode())
        return Answer(reply.status, reply.headers, reply.body)


def identity_of(
    control: ControlRig, account: str = "reviews", ttl: float = 0.0, namespace: str = "default"
) -> Identity:
    return control.authority.make_identity(Subject(f"spiffe://cluster.local/ns/{namespace}/sa/{account}"), ttl)


def request(**changes: Any) -> Mapping[str, Any]:
    return {"csr": make_key_and_request().csr_pem, **changes}


REGISTRATION = {"service": "reviews", "address": "10.0.0.5", "inbound_port": 15006, "app_port": 9080}
