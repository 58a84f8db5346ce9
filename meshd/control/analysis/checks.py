"""Checks of single values that several kinds share. Pure.

Every check yields the problems of one value at one path, and nothing when it
is fine. Source of the rules: Istio's ``pkg/config/validation``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping

from meshd.api.common import Duration, Percent, StringMatch
from meshd.api.document import Path
from meshd.api.durations import format_duration
from meshd.api.problem import FIELD_WITHOUT_EFFECT, Problem, error, warning
from meshd.errors import ConfigError, ProtocolError
from meshd.http.guard import check_authority
from meshd.snapshot.regex import full_match, substitute

LABEL = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
"""One part of a DNS name (RFC 1123)."""

_SNI_FORM = re.compile(r"outbound_\.?[0-9]+\.?_\.?[^_]*\.?_\.?[^_]*[a-zA-Z][^_]*")
"""Istio's own server names (``outbound_.9080_.v1_.reviews...``), which are no DNS names."""

_WILDCARD_LABEL = re.compile(r"\*|\*-?[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
_HEADER_NAME = re.compile(r"[-_A-Za-z0-9]+")
"""Istio's: narrower than a token of RFC 9110."""
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_URI_PATH = re.compile(r"[\x21\x22\x24-\x7e]*")
_LABEL_KEY = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_OBJECT_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")

LONGEST_NAME = 255
LONGEST_REGEX = 1024
"""Bytes; Istio's ``maxRegexLength``."""
SHORTEST_DURATION = 0.001
LARGEST_PORT = 65535


def object_name(name: str, path: Path) -> Iterator[Problem]:
    """``metadata.name``, as Kubernetes takes it."""
    if len(name) > 253 or not _OBJECT_NAME.fullmatch(name):
        yield error(path, f'"{name}" is not a name: lower-case letters, digits, "-" and "." only, 253 at most')


def namespace(name: str, path: Path) -> Iterator[Problem]:
    """``metadata.namespace``."""
    if not _NAMESPACE.fullmatch(name):
        yield error(path, f'"{name}" is not a namespace: lower-case letters, digits and "-" only, 63 at most')


def fqdn(name: str, path: Path, *, whole: str = "") -> Iterator[Problem]:
    """A DNS name without a wildcard; ``whole`` is what to call it if it is only a part of what was written."""
    shown = whole or name
    plain = name.removesuffix(".")
    if not plain:
        yield error(path, "a host (a domain name) is missing")
    elif len(name) > LONGEST_NAME:
        yield error(path, f"the domain name is longer than {LONGEST_NAME}")
    else:
        labels = plain.split(".")
        for label in labels:
            if not LABEL.fullmatch(label):
                yield error(path, f'"{shown}" is not a domain name{_why_not_host(shown, label)}')
                return
        if labels[-1].isdecimal() and not name.endswith("."):
            why = "an IP address cannot stand here" if is_address(shown) else "its last part is a number"
            yield error(path, f'"{shown}" is not a domain name: {why}')


def _why_not_host(name: str, label: str) -> str:
    if "://" in name:
        return ": leave the scheme out"
    if "/" in name:
        return ": leave the path out"
    if ":" in name:
        return ": leave the port out"
    if "*" in label:
        return ': "*" can only stand at the beginning, as in "*.example.com"'
    return f': "{label}" is not a part of one' if label else ": a part of it is empty"


def wildcard_host(name: str, path: Path) -> Iterator[Problem]:
    """A DNS name, ``*``, ``*.example.com``, ``*-x.example.com`` or ``*x.example.com``."""
    first, _, rest = name.partition(".")
    if not _WILDCARD_LABEL.fullmatch(first):
        yield from fqdn(name, path)
    elif len(name) > LONGEST_NAME:
        yield error(path, f"the domain name is longer than {LONGEST_NAME}")
    elif rest:
        yield from fqdn(rest, path, whole=name)
    elif name.endswith("."):
        yield error(path, f'"{name}" is not a domain name')


def sni_host(name: str, path: Path) -> Iterator[Problem]:
    """A wildcard host, or one of Istio's own server names for what a gateway passes on."""
    if not name.startswith("outbound_"):
        yield from wildcard_host(name, path)
    elif not _SNI_FORM.fullmatch(name):
        yield error(path, f'"{name}" is not of the form outbound_.PORT_.SUBSET_.HOST')


def is_partial_wildcard(name: str) -> bool:
    """``*bar.com`` and ``*-bar.com``: a wildcard within the first part of a name."""
    return name.startswith("*") and name != "*" and not name.startswith("*.")


def host_or_address(name: str, path: Path) -> Iterator[Problem]:
    """A wildcard host or an IP address."""
    if not is_address(name):
        yield from wildcard_host(name, path)


def scoped_host(text: str, path: Path, *, sidecar: bool = False) -> Iterator[Problem]:
    """``namespace/host`` of a Gateway's server (where the namespace may be left out) or of a Sidecar's listener.

    ``sidecar``: it must have a namespace, which may also be ``~`` (nothing) or ``~name`` (all but that one's).
    """
    space, slash, name = text.partition("/")
    if not slash:
        name = text
        if sidecar:
            yield error(path, f'"{text}" is not of the form namespace/host; "./{text}" is in its own namespace')
            return
    elif not space or not name:
        yield error(path, f'"{text}": both a namespace and a host are needed')
        return
    elif space not in ("*", ".") and not (sidecar and space == "~"):
        plain = space.removeprefix("~") if sidecar else space
        if not LABEL.fullmatch(plain):
            yield error(path, f'invalid namespace value "{space}": a namespace, "." (its own) or "*" (all)')
    yield from _long_host(name, path, sidecar=sidecar)


def _long_host(name: str, path: Path, *, sidecar: bool) -> Iterator[Problem]:
    """``*`` or a name with a dot; an address only where it is not a sidecar's."""
    if not sidecar and is_address(name):
        return
    if name != "*" and "." not in name:
        yield error(
            path, f'"{name}" is a short name: write the whole domain name, as in {name}.default.svc.cluster.local'
        )
        return
    if is_partial_wildcard(name):
        yield error(path, f'partial wildcard "{name}" not allowed: "*" stands for whole parts of a name')
        return
    yield from wildcard_host(name, path)


def is_address(text: str) -> bool:
    """Whether it is an IP address."""
    if (
        ":" not in text and not text[-1:].isdigit()
    ):  # Most are names: an exception for each would cost more than all else.
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def subnet(text: str, path: Path) -> Iterator[Problem]:
    """An IP address or a CIDR block."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        yield error(path, f'"{text}" is not an IP address or a block such as 10.0.0.0/8')


def port(number: int, path: Path) -> Iterator[Problem]:
    """1 to 65535."""
    if not 1 <= number <= LARGEST_PORT:
        yield error(path, f"{number} is not a port: 1 to {LARGEST_PORT}")


def duration(seconds: Duration | None, path: Path, *, least: float = SHORTEST_DURATION) -> Iterator[Problem]:
    """At least a millisecond, unless ``least`` says otherwise, and whole milliseconds (Istio)."""
    if seconds is None:
        return
    if seconds < least:
        yield error(path, f"{format_duration(seconds)} is too short: at least {format_duration(least)}")
    elif abs(seconds * 1000 - round(seconds * 1000)) > 1e-7:
        yield error(path, f"{format_duration(seconds)} is finer than a millisecond")


def port_text(text: str, path: Path, *, at_value: bool = True, least: int = 1) -> Iterator[Problem]:
    """A port written as text."""
    if not (text.isascii() and text.isdigit() and least <= int(text[:6]) <= LARGEST_PORT):
        yield error(path, f'"{text}" is not a port: 1 to {LARGEST_PORT}', at_value=at_value)


def percent(value: Percent | float | None, path: Path, *, least: float = 0.0) -> Iterator[Problem]:
    """0 to 100; with ``least``, nothing between 0 and that."""
    number = value.value if isinstance(value, Percent) else value
    if number is None:
        return
    if not 0 <= number <= 100:
        yield error(path, f"{number:g} is not a percentage: 0 to 100")
    elif 0 < number < least:
        yield error(path, f"{number:g} is too small a percentage: 0, or at least {least:g}")


def not_negative(number: int | None, path: Path) -> Iterator[Problem]:
    """Zero or more."""
    if number is not None and number < 0:
        yield error(path, f"{number} is negative")


def regex(pattern: str, path: Path, replacement: str | None = None) -> Iterator[Problem]:
    """RE2, 1024 bytes at most; with a ``replacement``, one that names its groups only."""
    if len(pattern.encode()) > LONGEST_REGEX:
        yield error(path, f"the regular expression is longer than {LONGEST_REGEX} bytes")
        return
    try:
        # The proxies' own functions decide: what is accepted here must run there.
        if replacement is None:
            full_match(pattern)
        else:
            substitute(pattern, replacement)
    except ConfigError as caught:
        yield error(path, caught.message)


def string_match(match: StringMatch | None, path: Path, *, empty_prefix: bool = False) -> Iterator[Problem]:
    """At most one of the three forms, a regular expression that compiles, and nothing empty but ``exact``.

    ``empty_prefix``: a prefix may be empty too, which is any value.
    """
    if match is None:
        return
    given = [name for name in ("exact", "prefix", "regex") if getattr(match, name) is not None]
    if len(given) > 1:
        yield error(path, f"{' and '.join(given)} cannot both be given: choose one", at_value=False)
    if match.prefix == "" and not empty_prefix:
        yield error((*path, "prefix"), "the prefix is empty: write {} to match any value")
    if match.regex == "":
        yield error((*path, "regex"), "the regular expression is empty: write {} to match any value")
    elif match.regex == "*":
        yield error((*path, "regex"), '"*" alone is not a regular expression: write ".*", or {} to match any value')
    elif match.regex is not None:
        yield from regex(match.regex, (*path, "regex"))


def header_name(name: str, path: Path) -> Iterator[Problem]:
    """Letters, digits, "-" and "_"."""
    if not name:
        yield error(path, "a header's name is empty", at_value=False)
    elif not _HEADER_NAME.fullmatch(name):
        yield error(path, f'"{name}" is not a valid header name: letters, digits, "-" and "_"', at_value=False)


def uri_path(text: str, path: Path) -> Iterator[Problem]:
    """What a request line can hold: visible ASCII without ``#``."""
    if not _URI_PATH.fullmatch(text):
        yield error(path, f'"{text}" holds a character that must be percent-encoded (as %20 for a space)')


def authority(text: str, path: Path) -> Iterator[Problem]:
    """A host, with or without a port, as a request may carry it; "" is none."""
    if not text:
        return
    try:
        check_authority(text.encode())
    except ProtocolError:
        yield error(path, f'"{text}" is not a host with or without a port')


def header_value(value: str, path: Path) -> Iterator[Problem]:
    """No control characters but a tab."""
    if not _HEADER_VALUE.fullmatch(value):
        yield error(path, "a header's value cannot have line breaks, NUL or other control characters")


def labels(values: Mapping[str, str], path: Path) -> Iterator[Problem]:
    """Kubernetes labels."""
    for key, value in values.items():
        prefix, slash, name = key.rpartition("/")
        if not _LABEL_KEY.fullmatch(name) or (slash and not _OBJECT_NAME.fullmatch(prefix)):
            yield error((*path, key), f'"{key}" is not a label\'s name', at_value=False)
        if not _LABEL_VALUE.fullmatch(value):
            yield error((*path, key), f'"{value}" is not a label\'s value: letters, digits, "-", "_", ".", 63 at most')


def answer_status(status: int, path: Path) -> Iterator[Problem]:
    """What a proxy can answer by itself."""
    if not 200 <= status <= 600:
        yield error(path, f"HTTP status {status} is not one to answer with: 200 to 599")
    elif status == 600:  # Istio takes it, and no client does.
        yield warning(path, "no client understands status 600: 200 to 599", code=FIELD_WITHOUT_EFFECT)


def socket_path(address: str, path: Path) -> Iterator[Problem]:
    """``unix://`` with an absolute path of a file, or with an abstract name (``@...``)."""
    place = address.removeprefix("unix://")
    if place.startswith("@"):
        return
    if not place.startswith("/"):
        yield error(path, f'"{address}" is not an absolute socket path')
    elif place.endswith("/"):
        yield error(path, f'"{address}" is a directory: name the socket itself')
