"""The wire format: what is read, what is written, and that nothing odd does harm."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.proxy.dns.message import (
    HEADER,
    OPT,
    TRUNCATED,
    Code,
    Kind,
    Malformed,
    answer,
    answers,
    ask,
    encode_name,
    read_question,
    refusal,
)

QUERY = ask("Reviews.default", Kind.A, 7)


def edns(size: int) -> bytes:
    query = bytearray(QUERY)
    query[11] = 1
    return bytes(query) + b"\0" + struct.pack("!HHIH", OPT, size, 0, 0)


def test_a_question_is_read() -> None:
    question = read_question(QUERY)

    assert (question.id, question.name, question.kind, question.size) == (7, "reviews.default", Kind.A, 512)
    assert question.raw in QUERY


@pytest.mark.parametrize(("said", "counts"), [(100, 512), (1000, 1000), (65535, 1232)])
def test_how_much_a_client_takes(said: int, counts: int) -> None:
    assert read_question(edns(said)).size == counts


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", None),
        (QUERY[:11], None),
        (QUERY[:2] + b"\x81" + QUERY[3:], None),
        (QUERY[:2] + b"\x29" + QUERY[3:], Code.NOT_IMPLEMENTED),
        (QUERY[:5] + b"\x02" + QUERY[6:], Code.FORMAT_ERROR),
        (QUERY[:7] + b"\x01" + QUERY[8:], Code.FORMAT_ERROR),
        (QUERY[:-1], Code.FORMAT_ERROR),
        (QUERY[:15], Code.FORMAT_ERROR),
        (QUERY[:12] + b"\xc0\x0c\0\1\0\1", Code.FORMAT_ERROR),
        (QUERY[:12] + b"\x40" + b"a" * 64 + b"\0\0\1\0\1", Code.FORMAT_ERROR),
        (QUERY[:12] + b"\x3f" + b"a" * 63 + (b"\x3f" + b"a" * 63) * 3 + b"\0\0\1\0\1", Code.FORMAT_ERROR),
    ],
)
def test_what_is_no_question(message: bytes, code: Code | None) -> None:
    with pytest.raises(Malformed) as error:
        read_question(message)
    assert error.value.code is code


def test_a_dot_inside_of_a_label_makes_no_other_name() -> None:
    assert read_question(QUERY[:12] + b"\x03a.b\0\0\1\0\1").name == "a\\.b"


def test_an_answer_repeats_the_question_as_it_was_asked() -> None:
    message = answer(read_question(QUERY), ("10.0.0.1", "10.0.0.2"), ttl=30)

    assert message[:2] == QUERY[:2]
    assert b"\x07Reviews" in message
    assert struct.unpack_from("!HH", message, 4) == (1, 2)
    assert message.endswith(b"\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4\x0a\0\0\2")
    assert answers(message, QUERY)


def test_ipv6_and_what_a_name_stands_for() -> None:
    question = read_question(ask("api.example.com.default.svc", Kind.AAAA))
    message = answer(question, ("fd00::1",), ttl=30, alias="api.example.com")

    target = encode_name("api.example.com")
    assert target + target in message
    assert message.endswith(b"\0\x10\xfd" + bytes(14) + b"\x01")


def test_no_address_is_an_answer() -> None:
    message = answer(read_question(QUERY), (), ttl=30)
    assert struct.unpack_from("!HH", message, 4) == (1, 0)
    assert message[3] & 0xF == Code.NO_ERROR


def test_what_does_not_fit_is_left_out_and_said() -> None:
    many = tuple(f"10.0.{each // 250}.{each % 250 + 1}" for each in range(100))
    message = answer(read_question(QUERY), many, ttl=30, limit=512)

    assert len(message) <= 512
    assert int.from_bytes(message[2:4], "big") & TRUNCATED
    assert int.from_bytes(message[6:8], "big") == 29
    assert len(answer(read_question(QUERY), many, ttl=30)) > 1600


def test_a_refusal_has_the_question_when_there_is_one() -> None:
    assert refusal(QUERY, Code.SERVER_FAILURE).endswith(read_question(QUERY).raw)
    assert refusal(QUERY, Code.SERVER_FAILURE)[3] & 0xF == 2
    assert len(refusal(QUERY[:-1], Code.FORMAT_ERROR)) == HEADER.size


@pytest.mark.parametrize("other", [b"", QUERY, b"\0\x08" + QUERY[2:], ask("other.default", Kind.A, 7)])
def test_what_answers_something_else(other: bytes) -> None:
    response = other[:2] + b"\x81" + other[3:] if other and other is not QUERY else other
    assert not answers(response, QUERY)


@pytest.mark.parametrize("name", ["", "a..b", "a" * 64, ".".join(["a" * 60] * 5), "ü.example"])
def test_what_is_no_name_is_not_written(name: str) -> None:
    with pytest.raises(ValueError, match=r"host name|codec"):
        encode_name(name)


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(lambda rest: QUERY[:12] + rest)))
def test_anything_is_a_question_or_is_not(message: bytes) -> None:
    try:
        question = read_question(message)
    except Malformed as error:
        code = error.code
    else:
        assert message[12 : 12 + len(question.raw)] == question.raw
        made = answer(question, ("10.0.0.1",) if question.kind == Kind.A else (), ttl=1, limit=question.size)
        assert answers(made, message)
        return
    if code is not None:
        assert len(refusal(message, code)) >= HEADER.size


@given(st.binary(max_size=100))
def test_no_answer_of_a_server_does_harm(message: bytes) -> None:
    assert answers(message, QUERY) in (True, False)


@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z0-9]{1,10}){0,5}", fullmatch=True))
def test_names_survive(name: str) -> None:
    assert read_question(ask(name, Kind.A)).name == name
