"""The DNS proxy at work: UDP and TCP in, the mesh's names answered, all else asked of the machine's servers.

*Limits.* So many questions of others under way at once, so many TCP connections,
so long for any of them; beyond, the client is told at once that it failed, and
asks again or elsewhere. *Errors.* Whatever a client or a server sends ends at
most its own question.
"""

from __future__ import annotations

import itertools
import random
import socket
import struct
from collections.abc import Awaitable, Callable

import attrs
import trio

from meshd.errors import ConnectionLost
from meshd.net import connection as net
from meshd.net.address import Address
from meshd.net.resolv_conf import ResolvConf
from meshd.proxy.dns.answering import Reply, reply_to
from meshd.proxy.dns.message import HEADER, Code, answers, refusal
from meshd.proxy.dns.names import NameTable
from meshd.telemetry.metrics import Registry

SECONDS = 1.0
PORT = 53
MOST_MESSAGE = 4096
"""Bytes of a message that is read; by UDP from servers, EDNS allows as many to clients that asked so."""
Peer = tuple[object, ...]
"""A client's address, as sockets have it."""
Ask = Callable[[str, bytes], Awaitable[bytes]]
"""One question to one server; its answer, b"" when there is none."""
_GONE = (OSError, ConnectionLost, trio.BrokenResourceError, trio.ClosedResourceError)


@attrs.frozen
class DnsLimits:
    """What the DNS proxy takes on."""

    questions: int = 512
    """Of others, under way at once."""
    connections: int = 64
    """TCP connections of clients."""
    timeout: float = 5 * SECONDS
    """For an answer of the machine's servers (Istio's)."""
    idle: float = 10 * SECONDS
    """For a client's next question by TCP."""


class DnsServer:
    """Made by the sidecar; ``serve_udp`` and ``serve_tcp`` run in its nursery and end when it is cancelled.

    Args:
        network: For questions by TCP.
        resolv: Whom to ask about all else, and the search domains.
        names: The mesh's names of this moment; None while there is no configuration.
        rng: For the ids of our own questions.
        registry: Where questions are counted.
        limits: See there.
    """

    def __init__(
        self,
        network: net.Network,
        resolv: ResolvConf,
        names: Callable[[], NameTable | None],
        *,
        rng: random.Random,
        registry: Registry,
        limits: DnsLimits = DnsLimits(),
        server_port: int = PORT,
    ) -> None:
        self._network = network
        self._resolv = resolv
        self._names = names
        self._rng = rng
        self._limits = limits
        self._server_port = server_port
        self._results = registry.counter(
            "meshd_dns_requests_total", "Questions for names, and what became of them.", ("result",)
        )
        # The whole mutable state: what is under way, and whose turn it is to be first in an answer.
        self._asking = 0
        self._connections = 0
        self._turn = itertools.count()

    async def serve_udp(self, sock: trio.socket.SocketType) -> None:
        """Answer what comes by UDP, and close the socket in the end. Each question of others has a task of its own."""
        with sock:
            await self._serve_udp(sock)

    async def _serve_udp(self, sock: trio.socket.SocketType) -> None:
        # What fails in it is one question's business.
        async with trio.open_nursery() as question_nursery:
            while True:
                try:
                    message, client = await sock.recvfrom(MOST_MESSAGE)
                except ConnectionError:
                    # An answer before could not be delivered: that client has gone.
                    continue
                reply = self._known(message, udp=True)
                if reply is None:
                    if self._asking >= self._limits.questions:
                        reply = Reply("limit", refusal(message, Code.SERVER_FAILURE))
                    else:
                        self._asking += 1
                        question_nursery.start_soon(self._forward_udp, sock, message, client)
                        continue
                await self._send(sock, reply, client)

    async def serve_tcp(self, listener: net.Listener) -> None:
        """Answer what comes by TCP, and close the listener in the end."""
        try:
            await self._serve_tcp(listener)
        finally:
            listener.close()

    async def _serve_tcp(self, listener: net.Listener) -> None:
        # What fails in it is one client's business.
        async with trio.open_nursery() as client_nursery:
            while True:
                connection = await listener.accept()
                if self._connections >= self._limits.connections:
                    self._results.labels("limit").inc()
                    connection.close()
                    continue
                self._connections += 1
                client_nursery.start_soon(self._converse, connection)

    def _known(self, message: bytes, *, udp: bool) -> Reply | None:
        return reply_to(message, self._names(), self._resolv.search, turn=next(self._turn), udp=udp)

    async def _send(self, sock: trio.socket.SocketType, reply: Reply, client: Peer) -> None:
        self._results.labels(reply.result).inc()
        if reply.message:
            try:
                await sock.sendto(reply.message, client)
            except OSError:
                # The client has gone, or its address cannot be sent to.
                self._results.labels("unsent").inc()

    async def _forward_udp(self, sock: trio.socket.SocketType, message: bytes, client: Peer) -> None:
        try:
            reply = await self._forward(message, self._ask_by_udp)
        finally:
            self._asking -= 1
        await self._send(sock, reply, client)

    async def _converse(self, connection: net.Connection) -> None:
        """One client by TCP: two bytes of length before each message (RFC 1035, section 4.2.2)."""
        try:
            while True:
                message = b""
                with trio.move_on_after(self._limits.idle):
                    message = await read_message(connection)
                if not message:
                    break
                reply = self._known(message, udp=False)
                if reply is None:
                    reply = await self._forward_tcp(message)
                self._results.labels(reply.result).inc()
                if not reply.message:
                    break
                with trio.fail_after(self._limits.idle):
                    await connection.send(struct.pack("!H", len(reply.message)) + reply.message)
        except (*_GONE, trio.TooSlowError):
            pass
        finally:
            self._connections -= 1
            connection.close()

    async def _forward_tcp(self, message: bytes) -> Reply:
        if self._asking >= self._limits.questions:
            return Reply("limit", refusal(message, Code.SERVER_FAILURE))
        self._asking += 1
        try:
            return await self._forward(message, self._ask_by_tcp)
        finally:
            self._asking -= 1

    async def _forward(self, message: bytes, ask: Ask) -> Reply:
        """Ask all servers at once; the first answer counts (Istio)."""
        ident = self._rng.getrandbits(16)
        sent = ident.to_bytes(2, "big") + message[2:]
        found: list[bytes] = []
        with trio.move_on_after(self._limits.timeout):
            async with trio.open_nursery() as server_nursery:

                async def one(server: str) -> None:
                    answer = await ask(server, sent)
                    if answer:
                        found.append(answer)
                        server_nursery.cancel_scope.cancel()

                for server in self._resolv.servers:
                    server_nursery.start_soon(one, server)
        if not found:
            return Reply("failed", refusal(message, Code.SERVER_FAILURE))
        return Reply("forwarded", message[:2] + found[0][2:])

    async def _ask_by_udp(self, server: str, sent: bytes) -> bytes:
        """A socket of its own for each question, whose port nobody can guess; b"" when it failed."""
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with trio.socket.socket(family, socket.SOCK_DGRAM) as sock:
            try:
                await sock.connect((server, self._server_port))
                await sock.send(sent)
                while True:
                    message = await sock.recv(MOST_MESSAGE)
                    # Anyone may send us something; what is not the answer is waited past.
                    if answers(message, sent):
                        return message
            except OSError:
                return b""

    async def _ask_by_tcp(self, server: str, sent: bytes) -> bytes:
        try:
            connection = await self._network.connect(Address(server, self._server_port))
        except _GONE:
            return b""
        try:
            await connection.send(struct.pack("!H", len(sent)) + sent)
            message = await read_message(connection, most=0xFFFF)
            return message if answers(message, sent) else b""
        except _GONE:
            return b""
        finally:
            connection.close()


async def read_message(connection: net.Connection, most: int = MOST_MESSAGE) -> bytes:
    """The next message by TCP; b"" at the end, and for one that is longer than ``most``."""
    data = b""
    while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
        piece = await connection.receive()
        if not piece:
            return b""
        data += piece
        if len(data) >= 2 and not HEADER.size <= int.from_bytes(data[:2], "big") <= most:
            return b""
    end = 2 + int.from_bytes(data[:2], "big")
    if data[end:]:
        connection.unread(data[end:])
    return data[2:end]
