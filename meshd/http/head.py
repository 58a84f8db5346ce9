"""Message heads as values: what filters and routers look at and edit. Pure.

A header block stays the bytes it came as. Looking a header up scans the block;
an edit cuts or appends a line, which makes a new block and leaves every copy
alone. A block that came over HTTP/1.1 and leaves over HTTP/1.1 is never taken
apart into objects.

One meaning, whatever the protocol. The codecs keep these promises:

- names are compared in lower case; ``name`` arguments here are lower-case bytes;
- ``headers`` never holds ``host``, ``content-length``, ``transfer-encoding``,
  nor anything hop-by-hop (``connection`` and what it names, ``keep-alive``,
  ``proxy-connection``, ``te`` other than ``trailers``, ``upgrade``, ``expect``):
  ``authority``, ``length``, ``upgrade`` and ``expect_continue`` say those, and
  the codec that writes the head renders them in its own protocol's way;
- names are tokens and values hold no CR, LF or NUL (RFC 9110 section 5.5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_new = object.__new__
_LINE = re.compile(rb"([^:\r\n]++):[ \t]*+([^\r\n]*+)\r\n")


def _line(name: bytes, value: bytes) -> bytes:
    """One line of a block.

    Raises:
        ValueError: the value or name would become more than one line. Values from
            peers are clean already; this guards those that configuration or a
            filter has put together.
    """
    if b"\n" in value or b"\r" in value or b"\0" in value or b"\n" in name or b":" in name or not name:
        raise ValueError(f"header {name!r} cannot have this name or value")
    return b"%b: %b\r\n" % (name, value)


class Headers:
    r"""An ordered header list, kept as bytes.

    Not task-safe: it belongs to one exchange. ``copy`` costs next to nothing (the
    bytes are shared) and is what a retry starts from.

    Args:
        block: Lines ``name: value`` each ended by CR LF, known to be well formed.
        lower: ``b"\r\n" + block.lower()`` when the caller has it already.
    """

    __slots__ = ("_block", "_lower")

    def __init__(self, block: bytes = b"", lower: bytes | None = None) -> None:
        # The whole mutable state: the block, and its searchable form (made when
        # first searched; its CR LF in front lets every name be found as a line's start).
        self._block = block
        self._lower = lower

    @classmethod
    def of(cls, items: Iterable[tuple[bytes, bytes]]) -> Headers:
        """From (name, value) pairs."""
        return cls(b"".join([_line(name, value) for name, value in items]))

    def copy(self) -> Headers:
        """An independent copy."""
        return Headers(self._block, self._lower)

    def get(self, name: bytes) -> bytes | None:
        """The value; several are joined with ``,`` as Envoy does; None when absent."""
        lower = self._lower
        if lower is None:
            lower = self._lower = b"\r\n" + self._block.lower()
        needle = b"\r\n" + name + b":"
        at = lower.find(needle)
        if at < 0:
            return None
        # An index into the block is two less than one into its searchable form.
        start = at + len(needle) - 2
        if lower.find(needle, start) >= 0:
            return b",".join(self.get_all(name))
        return self._block[start : lower.index(b"\r\n", start + 2) - 2].strip(b" \t")

    def get_all(self, name: bytes) -> list[bytes]:
        """Every value of a name, in order."""
        lower = self._lower
        if lower is None:
            lower = self._lower = b"\r\n" + self._block.lower()
        values: list[bytes] = []
        needle = b"\r\n" + name + b":"
        at = lower.find(needle)
        while at >= 0:
            start = at + len(needle) - 2
            values.append(self._block[start : lower.index(b"\r\n", start + 2) - 2].strip(b" \t"))
            at = lower.find(needle, start)
        return values

    def __contains__(self, name: bytes) -> bool:
        lower = self._lower
        if lower is None:
            lower = self._lower = b"\r\n" + self._block.lower()
        return b"\r\n" + name + b":" in lower

    def add(self, name: bytes, value: bytes) -> None:
        """Append a line.

        Raises:
            ValueError: the value holds CR, LF or NUL.
        """
        line = _line(name, value)
        self._block += line
        if self._lower is not None:
            self._lower += line.lower()

    def append(self, lines: bytes) -> None:
        """Append lines that the caller has rendered: well formed, CR LF after each, names in lower case."""
        self._block += lines
        if self._lower is not None:
            self._lower += lines

    def extend(self, lines: Headers) -> None:
        """Append all lines of another list (pre-rendered ones cost one concatenation)."""
        self._block += lines._block
        if self._lower is not None:
            if lines._lower is None:
                lines._lower = b"\r\n" + lines._block.lower()
            self._lower += lines._lower[2:]

    def set(self, name: bytes, value: bytes) -> None:
        """Replace every line of this name by one (put last).

        Raises:
            ValueError: the value holds CR, LF or NUL.
        """
        self.remove(name)
        self.add(name, value)

    def remove(self, name: bytes) -> None:
        """Take out every line of this name."""
        lower = self._lower
        if lower is None:
            lower = self._lower = b"\r\n" + self._block.lower()
        needle = b"\r\n" + name + b":"
        at = lower.find(needle)
        while at >= 0:
            # From the CR LF before the line to the one that ends it; in the block,
            # which lacks the first CR LF, the same indices span the line and its end.
            end = lower.index(b"\r\n", at + 2)
            self._block = self._block[:at] + self._block[end:]
            self._lower = lower = lower[:at] + lower[end:]
            at = lower.find(needle, at)

    def has_prefix(self, prefix: bytes) -> bool:
        """Is there a line whose name begins so (lower case)?"""
        lower = self._lower
        if lower is None:
            lower = self._lower = b"\r\n" + self._block.lower()
        return b"\r\n" + prefix in lower

    def lines(self, pattern: re.Pattern[bytes]) -> list[bytes]:
        r"""Every line that a pattern finds, all in one search.

        Args:
            pattern: Matches ``\r\nname: value`` in lower case, up to the CR LF that ends the line.

        Returns:
            The lines as they are, without their ends.
        """
        lower = self._lower
        if lower is None:
            lower = self._lower = b"\r\n" + self._block.lower()
        block = self._block
        return [block[match.start() : match.end() - 2] for match in pattern.finditer(lower)]

    def cut(self, lines: re.Pattern[bytes]) -> list[bytes]:
        r"""Take out every line that a pattern finds, all in one search.

        Args:
            lines: Matches ``\r\nname: value`` in lower case, up to the CR LF that ends the line.

        Returns:
            The lines as they were, without their ends.
        """
        lower = self._lower
        if lower is None:
            lower = self._lower = b"\r\n" + self._block.lower()
        block = self._block
        taken: list[bytes] = []
        cut = 0
        for match in lines.finditer(lower):
            # As in ``remove``: the same indices span the line and its end in the block; each cut moves what follows.
            start, end = match.span()
            start -= cut
            end -= cut
            taken.append(block[start : end - 2])
            block = block[:start] + block[end:]
            lower = lower[:start] + lower[end:]
            cut += end - start
        self._block, self._lower = block, lower
        return taken

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """(lower-case name, value) in order."""
        for name, value in _LINE.findall(self._block):
            yield name.lower(), value.rstrip(b" \t")

    def render(self) -> bytes:
        """The HTTP/1.1 lines, without the final blank line."""
        return self._block

    def __len__(self) -> int:
        return self._block.count(b"\n")

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<Headers {list(self.items())!r}>"


class RequestHead:
    """What a request says before its body.

    ``target`` is origin-form (``/path?query``), ``*`` or, for CONNECT, empty.
    ``authority`` is Host or ``:authority`` as sent (port kept, case kept), b""
    when there was none (HTTP/1.0). ``length`` is the body's size in bytes: 0
    for none, None when only its end will tell. ``version`` is ``HTTP/1.0``,
    ``HTTP/1.1`` or ``HTTP/2``.
    """

    __slots__ = (
        "authority",
        "expect_continue",
        "headers",
        "length",
        "method",
        "scheme",
        "target",
        "upgrade",
        "version",
    )

    def __init__(
        self,
        method: bytes,
        target: bytes,
        authority: bytes = b"",
        headers: Headers | None = None,
        *,
        length: int | None = 0,
        scheme: bytes = b"http",
        version: str = "HTTP/1.1",
        upgrade: bytes = b"",
        expect_continue: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.authority = authority
        self.headers = headers if headers is not None else Headers()
        self.length = length
        self.scheme = scheme
        self.version = version
        self.upgrade = upgrade
        self.expect_continue = expect_continue

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        """What follows the first ``?``, b"" without one."""
        return self.target.partition(b"?")[2]

    def copy(self) -> RequestHead:
        """An independent copy (headers included): what one try edits and sends."""
        # Attribute by attribute: half the price of a call with nine arguments.
        twin = _new(RequestHead)
        twin.method = self.method
        twin.target = self.target
        twin.authority = self.authority
        twin.headers = headers = _new(Headers)
        headers._block, headers._lower = self.headers._block, self.headers._lower
        twin.length = self.length
        twin.scheme = self.scheme
        twin.version = self.version
        twin.upgrade = self.upgrade
        twin.expect_continue = self.expect_continue
        return twin

    def __repr__(self) -> str:
        return f"<RequestHead {self.method!r} {self.authority!r} {self.target!r}>"


class ResponseHead:
    """What a response says before its body.

    ``length`` as in ``RequestHead``; for an answer to HEAD, or a 304, it is the
    Content-Length that was declared (None: none was) though no body follows.
    ``reason`` is kept from HTTP/1.1 for HTTP/1.1.
    """

    __slots__ = ("headers", "length", "reason", "status", "upgrade", "version")

    def __init__(
        self,
        status: int,
        headers: Headers | None = None,
        *,
        length: int | None = 0,
        reason: bytes = b"",
        version: str = "HTTP/1.1",
        upgrade: bytes = b"",
    ) -> None:
        self.status = status
        self.headers = headers if headers is not None else Headers()
        self.length = length
        self.reason = reason
        self.version = version
        self.upgrade = upgrade

    def copy(self) -> ResponseHead:
        """An independent copy (headers included)."""
        twin = _new(ResponseHead)
        twin.status = self.status
        twin.headers = headers = _new(Headers)
        headers._block, headers._lower = self.headers._block, self.headers._lower
        twin.length = self.length
        twin.reason = self.reason
        twin.version = self.version
        twin.upgrade = self.upgrade
        return twin

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status}>"
