"""Host names in configuration: short names, wildcards, and who may see what. Pure.

Source: Istio's ``pkg/config/host`` and ``pkg/config/visibility``. Names in
configuration are compared as they are written; a request's host is lower case.
"""

from __future__ import annotations

import ipaddress

DOMAIN = "cluster.local"
"""The DNS domain of the mesh's own services."""

MESH = "mesh"
"""The gateway that stands for every sidecar."""


def is_wildcard(host: str) -> bool:
    """``*``, ``*.example.com`` or ``*-v1.example.com``."""
    return host.startswith("*")


def is_ip(host: str) -> bool:
    """An IPv4 or IPv6 literal."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def cidr(written: str) -> str:
    """An address or a CIDR as a CIDR without host bits; what is neither stays as it is."""
    try:
        return str(ipaddress.ip_network(written, strict=False))
    except ValueError:
        return written


def service_host(name: str, namespace: str, domain: str = DOMAIN) -> str:
    """The full name of a Kubernetes Service."""
    return f"{name}.{namespace}.svc.{domain}"


def resolve(host: str, namespace: str, domain: str = DOMAIN) -> str:
    """A host as a rule means it: a name without a dot is a service of the *rule's* namespace."""
    if "." in host or is_wildcard(host) or ":" in host or not host:
        return host
    return service_host(host, namespace, domain)


def covers(pattern: str, host: str) -> bool:
    """True when every name that ``host`` stands for is one that ``pattern`` stands for."""
    if not is_wildcard(pattern):
        return pattern == host
    if is_wildcard(host):
        return host[1:].endswith(pattern[1:])
    return host.endswith(pattern[1:])


def overlaps(one: str, other: str) -> bool:
    """True when some name is meant by both."""
    return covers(one, other) or covers(other, one)


def narrower(one: str, other: str) -> str | None:
    """The more specific of two hosts that overlap, None when they do not."""
    if covers(one, other):
        return other
    return one if covers(other, one) else None


def specificity(host: str) -> tuple[bool, int, str]:
    """Sorts the most specific first: exact before wildcard, longer before shorter, then alphabetical."""
    return (is_wildcard(host), -len(host), host)


def gateway_name(name: str, namespace: str) -> str:
    """A gateway as a rule of ``namespace`` means it: ``ns/name``; ``name`` and ``./name`` are of its own namespace.

    A name with a dot is the old form, a service's full name: ``name.ns.svc.cluster.local``.
    """
    if name == MESH:
        return name
    owner, slash, short = name.partition("/")
    if slash:
        return f"{namespace}/{short}" if owner == "." else name
    short, dot, rest = name.partition(".")
    return f"{rest.partition('.')[0]}/{short}" if dot else f"{namespace}/{name}"


def visible(export_to: tuple[str, ...], owner: str, viewer: str) -> bool:
    """Whether something of namespace ``owner`` is seen from namespace ``viewer``.

    An empty list is ``*``; ``.`` is the owner's own namespace, ``~`` nobody.
    """
    if not export_to:
        return True
    return any(
        entry == "*" or (entry == "." and owner == viewer) or entry == viewer for entry in export_to if entry != "~"
    )


def domains(host: str, viewer: str, addresses: tuple[str, ...] = (), domain: str = DOMAIN) -> tuple[str, ...]:
    """The Host headers (lower case, without port) by which a service is reached from a namespace.

    A service of the mesh has short names: ``reviews`` from its own namespace,
    ``reviews.default`` and ``reviews.default.svc`` from all.
    """
    name = host.lower()
    found = [name]
    suffix = f".svc.{domain}"
    if name.endswith(suffix) and not is_wildcard(name):
        short = name.removesuffix(suffix)
        service, _, namespace = short.partition(".")
        if namespace and "." not in namespace:
            found.append(f"{name}.")
            if namespace == viewer:
                found.append(service)
            found += [short, f"{short}.svc"]
    return tuple(dict.fromkeys((*found, *literals(addresses))))


def literals(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Those of a service's addresses that are addresses (and not CIDRs), as they stand in a Host header."""
    return tuple(f"[{address}]" if ":" in address else address for address in addresses if is_ip(address))
