"""Rules of authorization, compiled: fields to tests, tests to rules. Pure.

A field is one line of a source, operation or condition. It is made once into a
test of the subject (an exchange, or a connection alone) and can say, when
asked, which values it compared: the explanation runs the tests that decide.

Identity, host and headers that are absent never satisfy a positive field and
always satisfy its ``not`` twin (Istio).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Protocol

import attrs

from meshd.errors import ConfigError
from meshd.http.head import RequestHead
from meshd.policy.addresses import compile_blocks
from meshd.policy.exchange import ConnectionInfo
from meshd.snapshot.common import StringMatch
from meshd.snapshot.match import describe, text
from meshd.snapshot.policy import AuthorizationRule, Condition, Operation, Source
from meshd.snapshot.predicates import compile_any, compile_values


class Subject(Protocol):
    """What rules look at; an ``Exchange`` fits."""

    @property
    def connection(self) -> ConnectionInfo: ...
    @property
    def request(self) -> RequestHead: ...
    @property
    def remote_host(self) -> str: ...


Test = Callable[[Subject], object]
Reader = Callable[[Subject], bytes]

_HTTP_FIELDS = frozenset(("hosts", "not_hosts", "methods", "not_methods", "paths", "not_paths"))
_HEADER_KEY = re.compile(r"request\.headers\[([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\]")
CONDITION_KEYS = (
    "request.headers[NAME]",
    "source.ip",
    "remote.ip",
    "source.namespace",
    "source.principal",
    "destination.ip",
    "destination.port",
    "connection.sni",
)


@attrs.frozen(eq=False)
class Field:
    """One field, compiled. ``test`` has its negation applied."""

    name: str
    wanted: str
    test: Test
    read: Reader

    def why_not(self, subject: Subject) -> str:
        """The comparison that failed."""
        value = self.read(subject)
        return (
            f"{self.name}: {self.wanted} != {text(value)!r}"
            if value
            else f"{self.name}: {self.wanted}, but it is absent"
        )


@attrs.frozen(eq=False)
class Rule:
    """One rule, compiled: (any source) and (any operation) and (every condition)."""

    name: str
    """``ns[default]-policy[reviews]-rule[0]``."""
    policy: str
    index: int
    test: Test
    alternatives: tuple[tuple[tuple[Field, ...], ...], ...]
    """For each part its alternatives, each a list of fields that must all hold."""

    def why_not(self, subject: Subject) -> str:
        """The first part of which no alternative holds: the first field that failed; "" when the rule matches."""
        for part in self.alternatives:
            failures = [_first_failure(fields, subject) for fields in part]
            if all(failures):
                return failures[0] if len(failures) == 1 else f"{failures[0]} (and {len(failures) - 1} alternatives)"
        return ""

    def why(self) -> str:
        """The rule in words, for those it matched."""
        named = [field.name + " " + field.wanted for part in self.alternatives for fields in part for field in fields]
        return ", ".join(named[:4]) or "everything"


def _first_failure(fields: tuple[Field, ...], subject: Subject) -> str:
    return next((field.why_not(subject) for field in fields if not field.test(subject)), "")


def compile_rule(rule: AuthorizationRule, policy: str, index: int, *, http: bool) -> Rule:
    """Compile one rule; without ``http``, HTTP-only fields are left out (which widens it).

    Raises:
        ConfigError: a block, port, key or expression is not usable.
    """
    parts: list[tuple[tuple[Field, ...], ...]] = []
    if rule.sources:
        parts.append(tuple(tuple(_source_fields(source)) for source in rule.sources))
    if rule.operations:
        parts.append(tuple(tuple(_operation_fields(operation, http=http)) for operation in rule.operations))
    conditions = [condition for condition in rule.conditions if http or not is_http_key(condition.key)]
    parts += [(tuple(_condition_fields(condition)),) for condition in conditions]
    tests = [_any([_all([field.test for field in fields]) for fields in part]) for part in parts]
    return Rule(f"{policy}-rule[{index}]", policy, index, _all(tests), tuple(parts))


def needs_http(rule: AuthorizationRule) -> bool:
    """Does the rule use a field that only HTTP has?"""
    return any(getattr(operation, name) for operation in rule.operations for name in _HTTP_FIELDS) or any(
        is_http_key(condition.key) for condition in rule.conditions
    )


def is_http_key(key: str) -> bool:
    """Is this condition key about a request?"""
    return key.startswith("request.")


def _source_fields(source: Source) -> Iterable[Field]:
    yield from _strings("source principal", _principal, source.principals, source.not_principals)
    yield from _strings("source service account", _principal, source.service_accounts, source.not_service_accounts)
    yield from _strings("source trust domain", _principal, source.trust_domains, source.not_trust_domains)
    yield from _strings("source namespace", _namespace, source.namespaces, source.not_namespaces)
    yield from _blocks("source ip", _source_ip, source.ip_blocks, source.not_ip_blocks)
    yield from _blocks("remote ip", _remote_ip, source.remote_ip_blocks, source.not_remote_ip_blocks)


def _operation_fields(operation: Operation, *, http: bool) -> Iterable[Field]:
    yield from _ports("destination port", operation.ports, operation.not_ports)
    if http:
        hosts = tuple(attrs.evolve(match, ignore_case=True) for match in operation.hosts)
        not_hosts = tuple(attrs.evolve(match, ignore_case=True) for match in operation.not_hosts)
        yield from _strings("host", _host, hosts, not_hosts)
        yield from _strings("method", _method, operation.methods, operation.not_methods)
        yield from _strings("path", _path, operation.paths, operation.not_paths)


def _condition_fields(condition: Condition) -> Iterable[Field]:
    key, values, not_values = condition.key, condition.values, condition.not_values
    texts = [match.value for match in values], [match.value for match in not_values]
    header = _HEADER_KEY.fullmatch(key)
    if header is not None:
        yield from _headers(header[1].lower(), values, not_values)
    elif key in _IP_KEYS:
        yield from _blocks(key, _IP_KEYS[key], *texts)
    elif key in _TEXT_KEYS:
        yield from _strings(key, _TEXT_KEYS[key], values, not_values)
    elif key == "destination.port":
        yield from _ports(key, [_port(value) for value in texts[0]], [_port(value) for value in texts[1]])
    else:
        raise ConfigError(
            f"condition key {key!r} is not supported: known are {', '.join(CONDITION_KEYS)}", path="when.key"
        )


def _principal(subject: Subject) -> bytes:
    return subject.connection.principal.encode()


def _namespace(subject: Subject) -> bytes:
    return subject.connection.namespace.encode()


def _server_name(subject: Subject) -> bytes:
    return subject.connection.server_name.encode()


def _source_ip(subject: Subject) -> str:
    connection = subject.connection
    return (connection.direct or connection.peer).host


def _remote_ip(subject: Subject) -> str:
    return subject.remote_host or subject.connection.peer.host


def _destination_ip(subject: Subject) -> str:
    return subject.connection.local.host


def _host(subject: Subject) -> bytes:
    return subject.request.authority


def _method(subject: Subject) -> bytes:
    return subject.request.method


def _path(subject: Subject) -> bytes:
    return subject.request.target.partition(b"?")[0]


_IP_KEYS = {"source.ip": _source_ip, "remote.ip": _remote_ip, "destination.ip": _destination_ip}
_TEXT_KEYS = {"source.namespace": _namespace, "source.principal": _principal, "connection.sni": _server_name}


def _strings(
    name: str, read: Reader, values: tuple[StringMatch, ...], not_values: tuple[StringMatch, ...]
) -> Iterable[Field]:
    if values:
        yield Field(name, _list(map(describe, values)), _on_text(read, compile_any(values)), read)
    if not_values:
        test = _not(_on_text(read, compile_any(not_values)))
        yield Field(name, f"not {_list(map(describe, not_values))}", test, read)


def _on_text(read: Reader, holds: Callable[[bytes], object]) -> Test:
    return lambda subject: (value := read(subject)) and holds(value)


def _blocks(
    name: str, read: Callable[[Subject], str], blocks: Iterable[str], not_blocks: Iterable[str]
) -> Iterable[Field]:
    def shown(subject: Subject) -> bytes:
        return read(subject).encode()

    if blocks:
        inside = compile_blocks(blocks)
        yield Field(name, f"in {_list(blocks)}", lambda subject: inside(read(subject)), shown)
    if not_blocks:
        excluded = compile_blocks(not_blocks)
        yield Field(name, f"not in {_list(not_blocks)}", lambda subject: not excluded(read(subject)), shown)


def _ports(name: str, ports: Iterable[int], not_ports: Iterable[int]) -> Iterable[Field]:
    def shown(subject: Subject) -> bytes:
        return b"%d" % subject.connection.destination_port

    if ports:
        allowed = frozenset(ports)
        yield Field(name, _list(map(str, ports)), lambda subject: subject.connection.destination_port in allowed, shown)
    if not_ports:
        excluded = frozenset(not_ports)
        wanted = f"not {_list(map(str, not_ports))}"
        yield Field(name, wanted, lambda subject: subject.connection.destination_port not in excluded, shown)


def _headers(name: str, values: tuple[StringMatch, ...], not_values: tuple[StringMatch, ...]) -> Iterable[Field]:
    encoded = name.encode()
    title = f"header {name}"

    def read(subject: Subject) -> bytes:
        return b",".join(subject.request.headers.get_all(encoded))

    def on(matches: tuple[StringMatch, ...]) -> Test:
        holds = compile_values(compile_any(matches))
        return lambda subject: (found := subject.request.headers.get_all(encoded)) and holds(found)

    if values:
        yield Field(title, _list(map(describe, values)), on(values), read)
    if not_values:
        yield Field(title, f"not {_list(map(describe, not_values))}", _not(on(not_values)), read)


def _port(value: str) -> int:
    if not (value.isascii() and value.isdigit()) or int(value) > 65535:
        raise ConfigError(f"{value!r} is no port: expected 1 to 65535", path="when.values")
    return int(value)


def _list(items: Iterable[str]) -> str:
    shown = list(items)
    return " or ".join(shown[:3]) + (f" (and {len(shown) - 3} more)" if len(shown) > 3 else "")


def _not(test: Test) -> Test:
    return lambda subject: not test(subject)


def _all(tests: list[Test]) -> Test:
    match tests:
        case []:
            return lambda _subject: True
        case [only]:
            return only
        case [first, second]:
            return lambda subject: first(subject) and second(subject)
    return lambda subject: all(test(subject) for test in tests)


def _any(tests: list[Test]) -> Test:
    match tests:
        case [only]:
            return only
        case [first, second]:
            return lambda subject: first(subject) or second(subject)
    return lambda subject: any(test(subject) for test in tests)
