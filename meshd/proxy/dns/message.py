"""DNS messages, as much of them as an answer about addresses needs. Pure.

A question is read whole and strictly; everything else of a message is passed on
as it is, so nothing here has to understand it.

Source: RFC 1035, RFC 6891 (EDNS).
"""

from __future__ import annotations

import ipaddress
import struct
from enum import IntEnum

import attrs

HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
MOST_NAME = 255
"""Bytes of a name on the wire (RFC 1035, section 2.3.4)."""
MOST_LABEL = 63
PLAIN_SIZE = 512
"""Of an answer by UDP to who says nothing of more (RFC 1035, section 2.3.4)."""
MOST_UDP = 1232
"""What passes everywhere without being cut up (DNS flag day 2020)."""

RESPONSE = 0x8000
AUTHORITATIVE = 0x0400
TRUNCATED = 0x0200
RECURSION_DESIRED = 0x0100
RECURSION_AVAILABLE = 0x0080
_OPCODE = 0x7800

IN = 1
OPT = 41


class Kind(IntEnum):
    """The types of records that are answered here."""

    A = 1
    CNAME = 5
    AAAA = 28


class Code(IntEnum):
    """What became of a question (RCODE)."""

    NO_ERROR = 0
    FORMAT_ERROR = 1
    SERVER_FAILURE = 2
    NOT_IMPLEMENTED = 4
    REFUSED = 5


class Malformed(Exception):
    """No question that can be read; ``code`` is the answer, None where there is nobody to answer."""

    def __init__(self, code: Code | None) -> None:
        super().__init__("malformed")
        self.code = code


@attrs.frozen
class Question:
    """What a client asks.

    ``name`` is in lower case without the dot at the end; ``raw`` the question as
    it was asked, whose spelling an answer repeats. ``size`` is the largest answer
    the client takes by UDP.
    """

    id: int
    flags: int
    name: str
    kind: int
    space: int
    raw: bytes = attrs.field(repr=False)
    size: int = PLAIN_SIZE


def read_question(message: bytes) -> Question:
    """Read a query.

    Raises:
        Malformed: it is none.
    """
    if len(message) < HEADER.size:
        raise Malformed(None)
    ident, flags, questions, answers, authorities, additional = HEADER.unpack_from(message)
    if flags & RESPONSE:
        # Answering answers could go on for ever.
        raise Malformed(None)
    if flags & _OPCODE:
        raise Malformed(Code.NOT_IMPLEMENTED)
    if questions != 1 or answers or authorities:
        raise Malformed(Code.FORMAT_ERROR)
    name, at = _read_name(message, HEADER.size)
    if at + 4 > len(message):
        raise Malformed(Code.FORMAT_ERROR)
    kind, space = struct.unpack_from("!HH", message, at)
    end = at + 4
    size = _udp_size(message, end) if additional else PLAIN_SIZE
    return Question(ident, flags, name, kind, space, message[HEADER.size : end], size)


def _read_name(message: bytes, at: int) -> tuple[str, int]:
    """A name without compression, which a question has no use for."""
    labels: list[str] = []
    begin = at
    while at < len(message):
        length = message[at]
        at += 1
        if length == 0:
            return ".".join(labels), at
        if length > MOST_LABEL or at + length > len(message) or at + length - begin >= MOST_NAME:
            break
        # Dots inside of a label would make another name of it; escaped, it is one that nobody has.
        labels.append(message[at : at + length].decode("latin-1").lower().replace(".", "\\."))
        at += length
    raise Malformed(Code.FORMAT_ERROR)


def _udp_size(message: bytes, at: int) -> int:
    """What the OPT record says, when it is the first of the additional ones (as everybody puts it)."""
    if len(message) < at + 1 + _RECORD.size or message[at] != 0:
        return PLAIN_SIZE
    kind, size, _, _ = _RECORD.unpack_from(message, at + 1)
    return min(max(size, PLAIN_SIZE), MOST_UDP) if kind == OPT else PLAIN_SIZE


def refusal(message: bytes, code: Code) -> bytes:
    """An answer without an answer to a message of at least a header; the question is repeated if it can be read."""
    ident, flags, *_ = HEADER.unpack_from(message)
    flags = RESPONSE | (flags & (_OPCODE | RECURSION_DESIRED)) | RECURSION_AVAILABLE | code
    try:
        raw = read_question(message).raw
    except Malformed:
        return HEADER.pack(ident, flags, 0, 0, 0, 0)
    return HEADER.pack(ident, flags, 1, 0, 0, 0) + raw


def answer(question: Question, addresses: tuple[str, ...], *, ttl: int, alias: str = "", limit: int = 0) -> bytes:
    """An answer with addresses of the kind that was asked for.

    Args:
        question: What was asked.
        addresses: IP literals of one family; none is an answer too: the name has no such address.
        ttl: Seconds that clients may remember it.
        alias: The name that the asked one stands for.
        limit: The most bytes; what does not fit is left out, and the answer says so. 0 for none.
    """
    owner = b"\xc0\x0c"
    records: list[bytes] = []
    if alias:
        target = encode_name(alias)
        records.append(owner + _RECORD.pack(Kind.CNAME, IN, ttl, len(target)) + target)
        owner = target
    for address in addresses:
        packed = ipaddress.ip_address(address).packed
        records.append(owner + _RECORD.pack(question.kind, IN, ttl, len(packed)) + packed)
    size = HEADER.size + len(question.raw)
    fitting: list[bytes] = []
    for record in records:
        size += len(record)
        if limit and size > limit:
            break
        fitting.append(record)
    flags = RESPONSE | AUTHORITATIVE | RECURSION_AVAILABLE | (question.flags & RECURSION_DESIRED)
    if len(fitting) < len(records):
        flags |= TRUNCATED
    return HEADER.pack(question.id, flags, 1, len(fitting), 0, 0) + question.raw + b"".join(fitting)


def encode_name(name: str) -> bytes:
    """A name as labels, without compression.

    Raises:
        ValueError: it is no name.
    """
    encoded = b""
    for label in name.rstrip(".").split("."):
        raw = label.encode("ascii")
        if not 0 < len(raw) <= MOST_LABEL:
            raise ValueError(f"{name!r} is no host name")
        encoded += bytes([len(raw)]) + raw
    if len(encoded) + 1 > MOST_NAME:
        raise ValueError(f"{name!r} is too long for a host name")
    return encoded + b"\0"


def ask(name: str, kind: int, ident: int = 0) -> bytes:
    """A query for a name."""
    return HEADER.pack(ident, RECURSION_DESIRED, 1, 0, 0, 0) + encode_name(name) + struct.pack("!HH", kind, IN)


def answers(message: bytes, sent: bytes) -> bool:
    """Is this an answer to what was sent: the same id, and the same question (but for the case of letters)?"""
    if len(message) < HEADER.size or message[:2] != sent[:2] or not message[2] & 0x80:
        return False
    end = _read_name(sent, HEADER.size)[1] + 4
    return message[HEADER.size : end].lower() == sent[HEADER.size : end].lower()
