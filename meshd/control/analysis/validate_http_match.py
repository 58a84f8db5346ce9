"""What an HTTP route matches, and the names of the gateways it is for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from meshd.api.document import Path
from meshd.api.networking.virtual_service import HTTPMatchRequest
from meshd.api.problem import FIELD_NOT_SUPPORTED, Problem, error, warning
from meshd.control.analysis import checks

CLAIM_PREFIX = "@request.auth.claims"
_CLAIM = re.compile(re.escape(CLAIM_PREFIX) + r"(?:\..+|(?:\[[^\[\]]+\])+)")


def is_claim(name: str) -> bool:
    """Whether a header's name stands for a claim of a token: ``@request.auth.claims.group``."""
    return _CLAIM.fullmatch(name) is not None


def http_match(match: HTTPMatchRequest, path: Path) -> Iterator[Problem]:
    """Istio's rules for one entry of ``match``."""
    yield from checks.string_match(match.uri, (*path, "uri"), empty_prefix=True)
    for name in ("scheme", "method", "authority"):
        yield from checks.string_match(getattr(match, name), (*path, name))
    for name, value in match.headers.items():
        yield from _name(name, (*path, "headers", name))
        yield from checks.string_match(value, (*path, "headers", name))
    for name, value in match.withoutHeaders.items():
        yield from _name(name, (*path, "withoutHeaders", name))
        if value.regex != "*":  # Istio's word for "is there", in this place only.
            yield from checks.string_match(value, (*path, "withoutHeaders", name))
    for name, value in match.queryParams.items():
        here = (*path, "queryParams", name)
        if not name:
            yield error(here, "a parameter's name is empty", at_value=False)
        yield from checks.string_match(value, here)
    if match.port:
        yield from checks.port(match.port, (*path, "port"))
    yield from checks.labels(match.sourceLabels, (*path, "sourceLabels"))
    if match.sourceNamespace:
        yield from checks.namespace(match.sourceNamespace, (*path, "sourceNamespace"))
    yield from gateway_names(match.gateways, (*path, "gateways"))


def _name(name: str, path: Path) -> Iterator[Problem]:
    if is_claim(name):
        yield warning(path, "meshd does not validate JWTs yet, so this never matches", code=FIELD_NOT_SUPPORTED)
    else:
        yield from checks.header_name(name, path)


def gateway_names(names: Sequence[str], path: Path) -> Iterator[Problem]:
    """``name``, ``namespace/name``, ``mesh``; the old form ``name.namespace.svc.cluster.local`` with a warning."""
    for index, name in enumerate(names):
        here = (*path, index)
        space, slash, plain = name.partition("/")
        if not slash:
            yield from checks.fqdn(name, here)
            parts = name.split(".")
            if len(parts) > 1 and all(parts[:2]):
                yield warning(
                    here, f'"{name}" is the old form of a gateway\'s name: write {parts[1]}/{parts[0]}', at_value=True
                )
        elif not space or not plain:
            yield error(here, f'"{name}" is not a gateway: write it as namespace/name')
        else:
            yield from checks.namespace(space, here)
            if not checks.LABEL.fullmatch(plain):
                yield error(here, f'"{plain}" is not a gateway\'s name')
