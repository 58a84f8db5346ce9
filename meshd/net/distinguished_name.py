"""The subject of a certificate as text, as RFC 2253 and OpenSSL write it: ``CN=reviews,O=Books``. Pure."""

from __future__ import annotations

from collections.abc import Iterable

Attributes = Iterable[tuple[str, str]]

_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "givenName": "GN",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "street",
    "surname": "SN",
    "userId": "UID",
}
_SPECIAL = frozenset(b',+"\\<>;')


def render(names: Iterable[Attributes]) -> str:
    """A name as one line of printable ASCII.

    Args:
        names: The relative names in the certificate's order, as ``ssl.SSLObject.getpeercert()["subject"]`` has them.

    Returns:
        The last one first. Whatever could be taken for the text's own syntax, control characters and what is not
        ASCII are escaped, so a stranger's name cannot say more than a name.
    """
    parts = ["+".join(f"{_SHORT.get(kind, kind)}={_escape(value)}" for kind, value in name) for name in names]
    return ",".join(reversed(parts))


def _escape(value: str) -> str:
    data = value.encode("utf-8", "surrogateescape")
    last = len(data) - 1
    out: list[str] = []
    for at, byte in enumerate(data):
        edge = (at == 0 and byte in b" #") or (at == last and byte == 0x20)
        if byte in _SPECIAL or edge:
            out.append(f"\\{chr(byte)}")
        elif 0x20 <= byte < 0x7F:
            out.append(chr(byte))
        else:
            out.append(f"\\{byte:02X}")
    return "".join(out)
