"""Header fields as tests like to read them: a mapping of text, names in any case. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from meshd.http.head import Headers

Fields = Mapping[str, str] | Iterable[tuple[str, str]]
"""Headers as a test writes them."""


class FieldView(Mapping[str, str]):
    """A message's header fields. Several of one name are joined by ``, ``; ``all`` has them one by one."""

    __slots__ = ("all",)

    def __init__(self, headers: Headers | None = None) -> None:
        items = headers.items() if headers is not None else ()
        self.all: tuple[tuple[str, str], ...] = tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in items
        )
        """(name in lower case, value) in order."""

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def get_all(self, name: str) -> tuple[str, ...]:
        """Every value of a name, in order."""
        wanted = name.lower()
        return tuple(value for field, value in self.all if field == wanted)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self.all))

    def __len__(self) -> int:
        return len({name for name, _ in self.all})

    def __repr__(self) -> str:
        return repr(dict(self))


def headers_of(fields: Fields) -> Headers:
    """Header fields for a message."""
    items = fields.items() if isinstance(fields, Mapping) else fields
    return Headers.of([(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in items])
