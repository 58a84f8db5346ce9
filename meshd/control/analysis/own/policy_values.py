"""Values of AuthorizationPolicies: those that match nothing, and requests that slip past them. Pure.

What a mode of normalisation leaves apart is written down in ``VARIANTS``; that
it is what the proxies do is a test. Source: Istio's pages on best practices of
security and on path normalisation; Envoy's ``path_utility.cc``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import attrs

from meshd.api.document import Path
from meshd.api.mesh.config import NormalizationType
from meshd.api.problem import Problem
from meshd.api.security import Action, AuthorizationPolicy, Operation, Rule, Source
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.remarks import remark
from meshd.control.finding import Finding

NEVER_MATCHES: Final = "MD0054"
SLIPS_THROUGH: Final = "MD0055"
HOST_WITHOUT_PORT: Final = "MD0056"

NONE, BASE = NormalizationType.NONE, NormalizationType.BASE
MERGE, DECODE = NormalizationType.MERGE_SLASHES, NormalizationType.DECODE_AND_MERGE_SLASHES
ORDER: Final = (NONE, BASE, MERGE, DECODE)
"""From the weakest to the strongest."""


def mode_of(facts: Facts) -> NormalizationType:
    """The mesh's normalisation of paths."""
    chosen = facts.mesh.config.pathNormalization.normalization
    return BASE if chosen is NormalizationType.DEFAULT else chosen


@attrs.frozen
class Variant:
    """Another way to write a path, which many servers take for the same.

    ``write`` gives "" where it has nothing to change; ``undone_by`` is the
    weakest mode that makes it the same before policies look.
    """

    write: Callable[[str], str]
    undone_by: NormalizationType


def _dot(path: str) -> str:
    return f"/.{path}"


def _encoded_letter(path: str) -> str:
    found = re.search(r"[A-Za-z0-9]", path)
    return f"{path[: found.start()]}%{ord(found[0]):02x}{path[found.end() :]}" if found else ""


def _two_slashes(path: str) -> str:
    return f"/{path}"


def _encoded_slash(path: str) -> str:
    head, slash, tail = path[1:].partition("/")
    return f"/{head}%2f{tail}" if slash and tail else ""


VARIANTS: Final = (
    Variant(_dot, BASE),
    Variant(_encoded_letter, BASE),
    Variant(_two_slashes, MERGE),
    Variant(_encoded_slash, DECODE),
)

NEVER_NORMAL: Final = (
    (re.compile(r"/\.\.?(?=/|$)"), BASE, 'dot segments are resolved before policies look: write the path without "."'),
    (re.compile(r"\\"), BASE, 'backslashes become slashes before policies look: write "/"'),
    (
        re.compile(r"%(?:2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE])"),
        BASE,
        "letters, digits and -._~ are decoded before policies look: write them as they are",
    ),
    (re.compile(r"//"), MERGE, 'several slashes become one before policies look: write "/"'),
    (re.compile(r"%(?:2[fF]|5[cC])"), DECODE, 'encoded slashes become slashes before policies look: write "/"'),
)
"""What no path holds any more, from which mode on, and what to write instead."""


def policy_values(facts: Facts) -> Iterable[Finding]:
    """Values that match nothing, and values that are easily got around."""
    mode = mode_of(facts)
    for document in facts.all(AuthorizationPolicy):
        policy: AuthorizationPolicy = document.resource
        problems: list[Problem] = []
        for index, rule in enumerate(policy.rules):
            here: Path = ("spec", "rules", index)
            for at, source in enumerate(rule.from_):
                if source.source is not None:
                    problems += _source(source.source, (*here, "from", at, "source"))
            for at, each in enumerate(rule.to):
                if each.operation is not None:
                    problems += _operation(each.operation, policy.action, mode, (*here, "to", at, "operation"))
            problems += _conditions(rule, here)
        yield from told(document, problems)


def _source(source: Source, path: Path) -> Iterator[Problem]:
    for name in ("principals", "notPrincipals"):
        for index, value in enumerate(getattr(source, name)):
            if "*" not in value and ("/" not in value or re.match(r"/?ns/", value)):
                yield remark(
                    NEVER_MATCHES,
                    (*path, name, index),
                    f'"{value}" is no principal that a caller can have: write "cluster.local/ns/NAMESPACE/sa/ACCOUNT", '
                    'or "*" and a beginning or an end',
                    at_value=True,
                )
    yield from _contrary(source, ("principals", "namespaces", "serviceAccounts", "requestPrincipals"), path)


def _contrary(value: Source | Operation, names: Iterable[str], path: Path) -> Iterator[Problem]:
    """Everything that is asked for is also excluded."""
    for name in names:
        wanted = set(getattr(value, name))
        excluded = set(getattr(value, f"not{name[0].upper()}{name[1:]}"))
        if wanted and (wanted <= excluded or "*" in excluded):
            yield remark(
                NEVER_MATCHES,
                (*path, name),
                f"this never matches: all of {name} are excluded by not{name[0].upper()}{name[1:]}; take one away",
            )


def _operation(operation: Operation, action: Action, mode: NormalizationType, path: Path) -> Iterator[Problem]:
    yield from _contrary(operation, ("hosts", "ports", "methods", "paths"), path)
    for name in ("methods", "notMethods"):
        for index, value in enumerate(getattr(operation, name)):
            if value != value.upper():
                yield remark(
                    NEVER_MATCHES,
                    (*path, name, index),
                    f'"{value}" matches no request: methods are compared as they are sent; write "{value.upper()}"',
                    at_value=True,
                )
    for name in ("paths", "notPaths"):
        for index, value in enumerate(getattr(operation, name)):
            yield from _path(value, mode, (*path, name, index))
    for name in ("hosts", "notHosts"):
        for index, value in enumerate(getattr(operation, name)):
            if "/" in value:
                yield remark(
                    NEVER_MATCHES,
                    (*path, name, index),
                    f'"{value}" matches no host: write it without a scheme and a path',
                    at_value=True,
                )
    denied = "paths" if action is Action.DENY else "notPaths"
    if action in {Action.ALLOW, Action.DENY}:
        yield from _slipping(getattr(operation, denied), mode, (*path, denied))
        hosts = "hosts" if action is Action.DENY else "notHosts"
        yield from _without_port(getattr(operation, hosts), (*path, hosts))


def _path(value: str, mode: NormalizationType, path: Path) -> Iterator[Problem]:
    why = ""
    if value[:1] not in {"/", "*", "{"}:
        why = f'paths begin with a slash; write "/{value}"'
    elif "?" in value or "#" in value:
        why = "what is compared ends before the query; leave the rest away"
    else:
        for pattern, since, reason in NEVER_NORMAL:
            if ORDER.index(mode) >= ORDER.index(since) and pattern.search(value):
                why = f"{reason} (pathNormalization {mode.value})"
                break
    if why:
        yield remark(NEVER_MATCHES, path, f'"{value}" matches no request: {why}', at_value=True)


def _slipping(values: tuple[str, ...], mode: NormalizationType, path: Path) -> Iterator[Problem]:
    """Paths that must not be reached, and can be under another spelling."""
    listed = set(values)
    for index, value in enumerate(values):
        if not value.startswith("/") or "{" in value or value in {"/", "/*"}:
            continue
        plain = value.removesuffix("*")
        samples = [
            written
            for variant in VARIANTS
            if ORDER.index(mode) < ORDER.index(variant.undone_by) and (written := variant.write(plain))
            if not any(_matches(each, written) for each in listed)
        ]
        exact = [] if value.endswith(("*", "/")) else [f"{value}/"]
        samples += [each for each in exact if not any(_matches(other, each) for other in listed)]
        if samples:
            yield remark(
                SLIPS_THROUGH,
                (*path, index),
                f"{_quoted(samples)} {'slips' if len(samples) == 1 else 'slip'} past this and reach"
                f"{'es' if len(samples) == 1 else ''} a server that may take {'it' if len(samples) == 1 else 'them'} for "
                f'"{value}": {_remedy(value, mode, exact=bool(exact) and samples[-1] == exact[0])}',
                at_value=True,
            )


def _quoted(samples: list[str]) -> str:
    quoted = [f'"{each}"' for each in samples]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _remedy(value: str, mode: NormalizationType, *, exact: bool) -> str:
    parts = [] if not exact else [f'add "{value}/*" (and "{value}/")']
    if mode is not DECODE:
        parts.append("set pathNormalization DECODE_AND_MERGE_SLASHES in MeshConfig")
    parts.append("or better list the paths that are allowed")
    return ", ".join(parts)


def _matches(pattern: str, path: str) -> bool:
    """Whether a policy's value matches a path."""
    if pattern == "*":
        return True
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    if pattern.startswith("*"):
        return path.endswith(pattern[1:])
    return path == pattern


def _without_port(values: tuple[str, ...], path: Path) -> Iterator[Problem]:
    """Hosts that must not be asked for, and can be: with a port, or with the dot at the end of a full name."""
    for index, value in enumerate(values):
        if value.endswith("*") or re.search(r":\d+$", value) or f"{value}:*" in values or "/" in value:
            continue
        sample = f"x{value[1:]}" if value.startswith("*") else value
        remedy = (
            "a pattern has one star, so list the hosts that are allowed instead"
            if value.startswith("*")
            else f'add "{value}:*" and "{value}.", or better list the hosts that are allowed'
        )
        yield remark(
            HOST_WITHOUT_PORT,
            (*path, index),
            f'requests with "Host: {sample}:80" or "Host: {sample}." slip past this: a host is compared as it is sent, '
            f"with its port; {remedy}",
            at_value=True,
        )


def _conditions(rule: Rule, path: Path) -> Iterator[Problem]:
    for index, condition in enumerate(rule.when):
        wanted, excluded = set(condition.values), set(condition.notValues)
        if wanted and (wanted <= excluded or "*" in excluded):
            yield remark(
                NEVER_MATCHES,
                (*path, "when", index, "values"),
                f"this never matches: all values of {condition.key} are excluded by notValues; take one away",
            )
