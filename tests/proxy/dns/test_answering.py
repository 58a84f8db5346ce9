"""What is answered here, and what is for others."""

from __future__ import annotations

import pytest

from meshd.proxy.dns.answering import reply_to
from meshd.proxy.dns.message import Code, Kind, answers, ask
from meshd.proxy.dns.names import NameTable

TABLE = NameTable({"reviews": ("10.0.0.1", "10.0.0.2", "fd00::1"), "api.example.com": ("240.240.0.1",)})
SEARCH = ("default.svc.cluster.local", "svc.cluster.local")


def test_addresses_of_the_kind_that_was_asked_for() -> None:
    four, six = (reply_to(ask("reviews", kind), TABLE) for kind in (Kind.A, Kind.AAAA))
    assert four is not None
    assert six is not None
    assert (four.result, four.message[7]) == ("mesh", 2)
    assert six.message[7] == 1
    assert answers(four.message, ask("reviews", Kind.A))


def test_a_name_without_such_an_address_is_still_a_name() -> None:
    reply = reply_to(ask("api.example.com", Kind.AAAA), TABLE)
    assert reply is not None
    assert reply.message[3] & 0xF == Code.NO_ERROR
    assert reply.message[7] == 0


def test_each_time_another_address_is_the_first() -> None:
    firsts = set()
    for turn in range(4):
        reply = reply_to(ask("reviews", Kind.A), TABLE, turn=turn)
        assert reply is not None
        firsts.add(reply.message[-20:-16])
    assert len(firsts) == 2


@pytest.mark.parametrize("domain", SEARCH)
def test_a_name_that_was_completed_needlessly_is_found(domain: str) -> None:
    reply = reply_to(ask(f"api.example.com.{domain}", Kind.A), TABLE, SEARCH)
    assert reply is not None
    assert reply.message[7] == 2
    assert b"\x03api\x07example\x03com\0" in reply.message


@pytest.mark.parametrize(
    "message",
    [ask("example.org", Kind.A), ask("reviews", 15), ask("reviews", Kind.A)[:-2] + b"\0\3", ask("x.reviews", Kind.A)],
)
def test_all_else_is_for_others(message: bytes) -> None:
    assert reply_to(message, TABLE, SEARCH) is None


def test_odd_labels_are_for_others() -> None:
    assert reply_to(ask("reviews", Kind.A)[:12] + b"\x03a.b\0\0\1\0\1", TABLE) is None
    assert reply_to(ask("reviews", Kind.A)[:12] + b"\x01\xff\0\0\1\0\1", TABLE) is None


def test_without_a_configuration_nobody_is_told_that_a_name_is_none() -> None:
    reply = reply_to(ask("reviews", Kind.A), None)
    assert reply is not None
    assert reply.result == "not_ready"
    assert reply.message[3] & 0xF == Code.SERVER_FAILURE


def test_what_cannot_be_read_is_told_so() -> None:
    reply = reply_to(ask("reviews", Kind.A)[:-1], TABLE)
    assert reply is not None
    assert (reply.result, reply.message[3] & 0xF) == ("malformed", Code.FORMAT_ERROR)
    nothing = reply_to(b"x", TABLE)
    assert nothing is not None
    assert nothing.message == b""
