"""Message heads as values: what filters and routers look at and edit. Pure.

A header block stays the bytes it came as. Looking a header up scans the block;
edits are collected and applied once, when the head is written. A block that
came over HTTP/1.1 and leaves over HTTP/1.1 unedited is never taken apart.

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

from collections.abc import Iterable, Iterator

_EMPTY: tuple[tuple[bytes, bytes], ...] = ()


class Headers:
    """An ordered header list, kept as bytes, with edits on top.

    Not thread- or task-safe: it belongs to one exchange. ``copy`` is cheap (the
    block is shared) and is what a retry starts from.
    """

    __slots__ = ("_added", "_block", "_lower", "_removed")

    def __init__(self, block: bytes = b"") -> None:
        """``block``: lines ``name: value CRLF`` exactly as written to the wire, each well-formed; no blank line."""
        # The whole mutable state: the block, its lower-case copy (made when first
        # searched), the names taken out of it, and the lines put behind it.
        self._block = block
        self._lower: bytes | None = None
        self._removed: set[bytes] | None = None
        self._added: list[tuple[bytes, bytes]] | tuple[()] = ()

    @classmethod
    def of(cls, items: Iterable[tuple[bytes, bytes]]) -> Headers:
        """From (name, value) pairs; the caller vouches for tokens and clean values."""
        return cls(b"".join([b"%b: %b\r\n" % item for item in items]))

    def copy(self) -> Headers:
        """An independent copy that shares the block."""
        twin = Headers(self._block)
        twin._lower = self._lower
        twin._removed = set(self._removed) if self._removed else None
        twin._added = list(self._added) if self._added else ()
        return twin

    def get(self, name: bytes) -> bytes | None:
        """The value; several are joined with ``,`` as Envoy does; None when absent."""
        values = self.get_all(name)
        if not values:
            return None
        return values[0] if len(values) == 1 else b",".join(values)

    def get_all(self, name: bytes) -> list[bytes]:
        """Every value of a name, in order."""
        values: list[bytes] = []
        if self._block and not (self._removed and name in self._removed):
            lower = self._lower
            if lower is None:
                lower = self._lower = b"\r\n" + self._block.lower()
            needle = b"\r\n%b:" % name
            at = lower.find(needle)
            while at >= 0:
                start = at + len(needle) - 2
                end = self._block.index(b"\r\n", start)
                values.append(self._block[start:end].strip(b" \t"))
                at = lower.find(needle, at + 2)
        for added, value in self._added:
            if added == name:
                values.append(value)
        return values

    def __contains__(self, name: bytes) -> bool:
        return bool(self.get_all(name))

    def add(self, name: bytes, value: bytes) -> None:
        """Append a line."""
        if not self._added:
            self._added = []
        assert isinstance(self._added, list)
        self._added.append((name, value))

    def set(self, name: bytes, value: bytes) -> None:
        """Replace every line of this name by one."""
        self.remove(name)
        self.add(name, value)

    def remove(self, name: bytes) -> None:
        """Take out every line of this name."""
        if self._removed is None:
            self._removed = set()
        self._removed.add(name)
        if self._added:
            self._added = [item for item in self._added if item[0] != name]

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """(lower-case name, value) in order, edits applied."""
        removed = self._removed or ()
        for line in self._block.split(b"\r\n"):
            if line:
                name, _, value = line.partition(b":")
                name = name.lower()
                if name not in removed:
                    yield name, value.strip(b" \t")
        yield from self._added

    def render(self) -> bytes:
        """The HTTP/1.1 lines, edits applied, without the final blank line."""
        block = self._block
        if self._removed and block:
            block = self._without_removed()
        if self._added:
            return block + b"".join([b"%b: %b\r\n" % item for item in self._added])
        return block

    def _without_removed(self) -> bytes:
        block = self._block
        if self._lower is None:
            self._lower = b"\r\n" + block.lower()
        lower = self._lower
        removed = self._removed or ()
        if not any(lower.find(b"\r\n%b:" % name) >= 0 for name in removed):
            return block
        lines = block.split(b"\r\n")
        return b"\r\n".join([line for line in lines if line.partition(b":")[0].lower() not in removed])

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

    __slots__ = ("authority", "expect_continue", "headers", "length", "method", "scheme", "target", "upgrade", "version")

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
        return RequestHead(
            self.method,
            self.target,
            self.authority,
            self.headers.copy(),
            length=self.length,
            scheme=self.scheme,
            version=self.version,
            upgrade=self.upgrade,
            expect_continue=self.expect_continue,
        )

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

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status}>"
