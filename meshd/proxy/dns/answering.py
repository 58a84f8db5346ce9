"""One question: answered from the mesh's names, or to be asked of others. Pure.

Names are completed with search domains by the client's resolver before they are
asked for; a name of the mesh that was completed needlessly is answered with what
it stands for, or every call would first ask the world for
``api.example.com.default.svc.cluster.local``.

Source: Istio's ``pkg/dns/client``.
"""

from __future__ import annotations

import attrs

from meshd.proxy.dns.message import IN, Code, Kind, Malformed, answer, read_question, refusal
from meshd.proxy.dns.names import NameTable

TTL = 30
"""Seconds (Istio)."""


@attrs.frozen
class Reply:
    """What to send, and for the metrics what it is. ``message`` b"" sends nothing."""

    result: str
    message: bytes = attrs.field(default=b"", repr=False)


def reply_to(
    message: bytes, table: NameTable | None, search: tuple[str, ...] = (), *, turn: int = 0, udp: bool = True
) -> Reply | None:
    """What is known without asking anyone; None when others are to be asked.

    Args:
        message: A client's query.
        table: The mesh's names; None while there is no configuration: then names of the mesh would seem to be none.
        search: The domains that names are completed with.
        turn: Addresses begin at another place each time, so that clients share them out.
        udp: The answer has to fit.
    """
    try:
        question = read_question(message)
    except Malformed as error:
        return Reply("malformed", refusal(message, error.code) if error.code is not None else b"")
    if table is None:
        return Reply("not_ready", refusal(message, Code.SERVER_FAILURE))
    if question.space != IN or question.kind not in (Kind.A, Kind.AAAA):
        return None
    name, alias = question.name, ""
    if not name.isascii() or "\\" in name:
        return None
    found = table.find(name)
    for domain in search:
        if found is not None:
            break
        if name.endswith(f".{domain}"):
            alias = name.removesuffix(f".{domain}")
            found = table.find(alias)
    if found is None:
        return None
    fitting = tuple(each for each in found if (":" in each) == (question.kind == Kind.AAAA))
    at = turn % len(fitting) if fitting else 0
    limit = question.size if udp else 0
    return Reply("mesh", answer(question, fitting[at:] + fitting[:at], ttl=TTL, alias=alias, limit=limit))
