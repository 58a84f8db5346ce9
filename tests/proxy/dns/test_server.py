"""The DNS proxy over real sockets: whom it answers, whom it asks, and how much of either."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable

import pytest
import trio
import trio.testing

from meshd.net.address import Address
from meshd.net.memory import MemoryNetwork
from meshd.net.resolv_conf import ResolvConf
from meshd.proxy.dns.message import Kind, answer, answers, ask, read_question
from meshd.proxy.dns.names import NameTable
from meshd.proxy.dns.server import DnsLimits, DnsServer
from meshd.telemetry.metrics import Registry

TABLE = NameTable({"reviews": ("10.0.0.1",), "big": tuple(f"10.0.1.{each}" for each in range(1, 101))})
ELSEWHERE = "93.184.0.1"
LOOPBACK = "127.0.0.1"


async def udp(address: str = LOOPBACK) -> trio.socket.SocketType:
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    await sock.bind((address, 0))
    return sock


class Rig:
    """A server at work, with other servers (``127.0.0.1``, ``127.0.0.2``) that answer as told."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.registry = Registry()
        self.network = MemoryNetwork()
        self.asked: list[bytes] = []

    async def start(
        self,
        *respond: Callable[[bytes], list[bytes]],
        table: NameTable | None = TABLE,
        limits: DnsLimits = DnsLimits(timeout=0.5),
    ) -> None:
        port = 0
        for at, each in enumerate(respond):
            sock = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            await sock.bind((f"127.0.0.{at + 1}", port))
            port = sock.getsockname()[1]
            self.nursery.start_soon(self._answer, sock, each)
        servers = tuple(f"127.0.0.{at + 1}" for at in range(len(respond)))
        self.server_port = port or 9
        server = DnsServer(
            self.network,
            ResolvConf(servers),
            lambda: table,
            rng=random.Random(1),
            registry=self.registry,
            limits=limits,
            server_port=self.server_port,
        )
        own = await udp()
        self.port = own.getsockname()[1]
        self.nursery.start_soon(server.serve_udp, own)
        self.nursery.start_soon(server.serve_tcp, self.network.listen(Address(LOOPBACK, 53)))

    async def _answer(self, sock: trio.socket.SocketType, respond: Callable[[bytes], list[bytes]]) -> None:
        with sock:
            while True:
                message, client = await sock.recvfrom(4096)
                self.asked.append(message)
                for each in respond(message):
                    await sock.sendto(each, client)

    async def client(self) -> trio.socket.SocketType:
        sock = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        await sock.connect((LOOPBACK, self.port))
        return sock

    async def ask(self, message: bytes) -> bytes:
        with await self.client() as sock, trio.fail_after(5):
            await sock.send(message)
            return await sock.recv(65535)

    def count(self, result: str) -> int:
        page = b"".join(self.registry.render()).decode()
        lines = [line for line in page.splitlines() if f'result="{result}"' in line]
        return int(float(lines[0].split()[-1])) if lines else 0


def answered(message: bytes) -> list[bytes]:
    return [answer(read_question(message), (ELSEWHERE,), ttl=1)]


def silent(message: bytes) -> list[bytes]:
    return []


async def test_names_of_the_mesh_are_answered_here(nursery):
    rig = Rig(nursery)
    await rig.start(answered)
    message = await rig.ask(ask("reviews", Kind.A, 77))

    assert message.endswith(bytes([10, 0, 0, 1]))
    assert message[:2] == b"\0\x4d"
    assert rig.asked == []
    assert rig.count("mesh") == 1


async def test_all_others_are_asked_about_elsewhere(nursery):
    rig = Rig(nursery)
    await rig.start(answered)
    message = await rig.ask(ask("example.org", Kind.A, 77))

    assert message.endswith(socket.inet_aton(ELSEWHERE))
    assert message[:2] == b"\0\x4d"
    assert rig.asked[0][:2] != b"\0\x4d", "our own ids are not the client's"
    assert rig.count("forwarded") == 1


async def test_the_first_server_to_answer_counts(nursery):
    rig = Rig(nursery)
    await rig.start(silent, answered)
    assert (await rig.ask(ask("example.org", Kind.A))).endswith(socket.inet_aton(ELSEWHERE))


async def test_what_is_no_answer_is_waited_past(nursery):
    rig = Rig(nursery)

    def forged(message: bytes) -> list[bytes]:
        other = answer(read_question(ask("other.org", Kind.A)), ("6.6.6.6",), ttl=1)
        wrong_id = bytes([message[0] ^ 1]) + answer(read_question(message), ("6.6.6.6",), ttl=1)[1:]
        return [b"", b"x", message, wrong_id, message[:2] + other[2:], *answered(message)]

    await rig.start(forged)
    assert (await rig.ask(ask("example.org", Kind.A))).endswith(socket.inet_aton(ELSEWHERE))


@pytest.mark.parametrize("respond", [(silent,), ()])
async def test_nobody_answers(nursery, respond):
    rig = Rig(nursery)
    await rig.start(*respond, limits=DnsLimits(timeout=0.05))
    assert (await rig.ask(ask("example.org", Kind.A)))[3] & 0xF == 2
    assert rig.count("failed") == 1


async def test_questions_of_others_are_bounded(nursery):
    rig = Rig(nursery)
    await rig.start(silent, limits=DnsLimits(questions=2, timeout=60))
    with await rig.client() as sock, trio.fail_after(5):
        for ident in range(3):
            await sock.send(ask("example.org", Kind.A, ident))
        message = await sock.recv(512)
        assert (message[:2], message[3] & 0xF) == (b"\0\2", 2)
    assert rig.count("limit") == 1
    # The mesh's own cost nobody anything.
    assert (await rig.ask(ask("reviews", Kind.A))).endswith(bytes([10, 0, 0, 1]))


async def test_rubbish_harms_nobody(nursery):
    rig = Rig(nursery)
    await rig.start(answered)
    with await rig.client() as sock:
        for each in (b"", b"\0", b"\xff" * 12, bytes(12), ask("reviews", Kind.A)[:-1], bytes(4096)):
            await sock.send(each)
    assert (await rig.ask(ask("reviews", Kind.A))).endswith(bytes([10, 0, 0, 1]))


async def test_before_there_is_a_configuration_nothing_is_denied(nursery):
    rig = Rig(nursery)
    await rig.start(answered, table=None)
    assert (await rig.ask(ask("reviews", Kind.A)))[3] & 0xF == 2


async def test_by_tcp_everything_fits(nursery):
    rig = Rig(nursery)
    await rig.start(answered)
    assert (await rig.ask(ask("big", Kind.A)))[2] & 0x02, "truncated by UDP"

    connection = await rig.network.connect(Address(LOOPBACK, 53))
    query = ask("big", Kind.A, 5)
    framed = struct.pack("!H", len(query)) + query
    # Two questions in odd pieces.
    for piece in (framed[:1], framed[1:9], framed[9:] + framed[:30], framed[30:]):
        await connection.send(piece)
    data = b""
    while len(data) < 2 * 1600:
        data += await connection.receive()
    size = int.from_bytes(data[:2], "big")
    assert answers(data[2 : 2 + size], query)
    assert data[8:10] == b"\0\x64"
    connection.close()


async def test_by_tcp_others_are_asked_by_tcp(nursery):
    rig = Rig(nursery)
    await rig.start(answered)
    listener = rig.network.listen(Address(LOOPBACK, rig.server_port))

    async def other() -> None:
        server = await listener.accept()
        data = await server.receive()
        found = answered(data[2:])[0]
        await server.send(struct.pack("!H", len(found)) + found)

    nursery.start_soon(other)
    connection = await rig.network.connect(Address(LOOPBACK, 53))
    query = ask("example.org", Kind.A, 9)
    await connection.send(struct.pack("!H", len(query)) + query)
    with trio.fail_after(5):
        message = await connection.receive()
    assert message[2:4] == b"\0\x09"
    assert message.endswith(socket.inet_aton(ELSEWHERE))
    assert rig.asked == []


async def test_clients_by_tcp_are_bounded_in_number_and_time(nursery):
    rig = Rig(nursery)
    await rig.start(answered, limits=DnsLimits(connections=1, idle=0.05))
    first = await rig.network.connect(Address(LOOPBACK, 53))
    await trio.testing.wait_all_tasks_blocked()
    second = await rig.network.connect(Address(LOOPBACK, 53))
    with trio.fail_after(5):
        assert await second.receive() == b""
        assert await first.receive() == b"", "silent for too long"
    third = await rig.network.connect(Address(LOOPBACK, 53))
    query = ask("reviews", Kind.A)
    await third.send(struct.pack("!H", len(query)) + query)
    assert (await third.receive()).endswith(bytes([10, 0, 0, 1]))


@pytest.mark.parametrize("framed", [b"\0\0", b"\0\x05hello", b"\xff\xff"])
async def test_by_tcp_rubbish_ends_the_conversation(nursery, framed):
    rig = Rig(nursery)
    await rig.start(answered)
    connection = await rig.network.connect(Address(LOOPBACK, 53))
    await connection.send(framed)
    with trio.fail_after(5):
        assert await connection.receive() == b""
